"""What is done so that data can be trusted: control samples, blanks, replicates, and what becomes of suspects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, JsonValue, model_validator

from sdl.campaign.chart import Expected
from sdl.errors import ProblemError
from sdl.journal.records import ParameterValue
from sdl.problem import Categorical, Problem, SearchSpace
from sdl.problem.units import to_unit
from sdl.problem.value import FrozenMap, Tuple, Value, listing


class Control(Value):
    """A recipe that is made and measured again and again; it should always come out alike.

    Parameters
    ----------
    every
        One is made after so many trials of the planner.
    values
        The recipe: a point of the search space, in the declared units. Contextual parameters are left out.
    name
        Tells several of them apart, and names the chart.
    at_start
        How many are made before the planner's first trial. A chart without *expected* compares from the fourth on.
    expected
        Outcome to what the sample is known to give. Without it, each is compared with those before it.
    outcomes
        Which outcomes have a chart; all that the problem names, where it is left out.
    role
        ``blank``: a measurement of nothing. The plan sees it in ``s.role``; its result never reaches the planner.
    """

    every: Annotated[int, Field(ge=1)]
    values: FrozenMap[ParameterValue]
    name: Annotated[str, Field(min_length=1)] = "control"
    at_start: Annotated[int, Field(ge=0)] = 1
    expected: FrozenMap[Expected] = Field(default_factory=dict[str, Expected])
    outcomes: Tuple[str] = ()
    role: Literal["control", "blank"] = "control"

    def n_scheduled(self, n_search: int) -> int:
        """Return how many are to have been made when the planner has proposed *n_search* trials."""
        return self.at_start + n_search // self.every


class Replicates(Value):
    """Trials of the planner that are made and measured again, whether the planner likes it or not.

    Parameters
    ----------
    n
        How many times the point is repeated.
    every
        Which trials: every one, every second, ...
    scale
        ``log``: repeats scatter by a share of the value, not by an amount. Values must be positive then.
    """

    n: Annotated[int, Field(ge=1)] = 1
    every: Annotated[int, Field(ge=1)] = 1
    scale: Literal["linear", "log"] = "linear"


class QualityControl(Value):
    """What a campaign does to know whether it can trust its data.

    Control samples, blanks and replicates are trials of their own kind, proposed by the engine. They cost laboratory
    time and ``cost`` like others; against a budget of trials they do not count: :meth:`extra_trials` says how many come
    on top.

    Parameters
    ----------
    controls
        Control samples and blanks.
    replicates
        Which trials are repeated, and how often; None: none.
    stuck_after
        So many results in a row that agree to the last digit, at different points, are suspect. None: never.
    ordinary
        Values that may well repeat, such as 0 where nothing was found.
    max_in_a_row
        After so many results in a row that came out suspect or invalid, the campaign pauses.
    suspects
        What planners make of suspect results: ``hold``: the point counts as pending, is not learned from and not
        proposed again. ``use``: as valid. ``drop``: as if the trial had never been, like an invalid one.
    """

    controls: Tuple[Control] = ()
    replicates: Replicates | None = None
    stuck_after: Annotated[int, Field(ge=2)] | None = 3
    ordinary: Tuple[float] = ()
    max_in_a_row: Annotated[int, Field(ge=1)] = 3
    suspects: Literal["hold", "use", "drop"] = "hold"

    @model_validator(mode="after")
    def _named_apart(self) -> QualityControl:
        names = [control.name for control in self.controls]
        if len(set(names)) < len(names):
            raise ProblemError(f"two control samples have one name: {listing(names)}", hint='add name="..."')
        return self

    def extra_trials(self, trials: int) -> int:
        """Return how many trials come on top of *trials* of the planner, as long as no control is out."""
        scheduled = sum(control.n_scheduled(trials) for control in self.controls)
        repeated = 0 if self.replicates is None else trials // self.replicates.every * self.replicates.n
        return scheduled + repeated

    def bound_to(self, problem: Problem) -> QualityControl:
        """Return it with the recipes as points of *problem*: fixed parameters filled in, texts with units converted.

        Raises
        ------
        ProblemError
            A control sample names an outcome that the problem does not, or lacks a parameter.
        PointError
            Its recipe lies outside the search space.
        """
        return self.replace(controls=tuple(_bound(control, problem) for control in self.controls))

    def control(self, name: str) -> Control | None:
        """Return the control sample or blank of that name."""
        return next((control for control in self.controls if control.name == name), None)

    @classmethod
    def recorded(cls, settings: Mapping[str, JsonValue]) -> QualityControl | None:
        """Return what the settings in a journal say; None where they say nothing."""
        given = settings.get("quality")
        return None if given is None else cls.from_data(cast("Any", given))


def charted(control: Control, problem: Problem) -> tuple[str, ...]:
    """Return the outcomes of *control* that have a chart."""
    return control.outcomes or tuple(problem.outcomes)


def _bound(control: Control, problem: Problem) -> Control:
    strangers = {*control.expected, *control.outcomes} - set(problem.outcomes)
    if strangers:
        raise ProblemError(
            f"control sample {control.name!r} names {listing(sorted(strangers))}, no outcome of the problem",
            hint=f"its outcomes are {listing(problem.outcomes)}",
        )
    space = problem.space
    fixed = {name: getattr(space.parameters[name], "value") for name in space.fixed}  # noqa: B009 # a union
    values = {name: _number(name, value, space) for name, value in {**fixed, **control.values}.items()}
    unset = [name for name in space.names if name not in {*values, *space.contextual}]
    if unset:
        raise ProblemError(f"control sample {control.name!r} has no value for {listing(unset)}")
    if not space.contextual:
        space.check(values)
    return control.replace(values=values)


def _number(name: str, value: ParameterValue, space: SearchSpace) -> ParameterValue:
    """Return the number that a text with a unit means, for a parameter that is one."""
    parameter = space.parameters.get(name)
    if not isinstance(value, str) or parameter is None or isinstance(parameter, Categorical):
        return value
    unit = getattr(parameter, "unit", None)
    return to_unit(value, unit, name=name) if unit is not None else value
