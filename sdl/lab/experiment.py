"""What is done with a suggestion: one or more steps, and what their results mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeGuard, get_args

from sdl.errors import LabError, ObservationError
from sdl.journal.trust import Quality
from sdl.lab.batch import Batch, Changeover, Duration, seconds_of, window_of
from sdl.lab.materials import Use
from sdl.lab.settings import BatchPlan, NoSuchParameter, Plan, Settings
from sdl.problem.price import Price
from sdl.problem.value import listing

__all__ = ["Condition", "Experiment", "NoSuchParameter", "OnLate", "Plan", "Settings", "Step", "if_suspect", "merge"]

Condition = Callable[[Settings], object]
"""Says whether a step is done, by what the steps before it returned: ``lambda s: s.results["quick"]["yield"] > 5``."""

OnLate = Literal["fail", "go on"]
"""What becomes of a trial whose step did not begin within its window."""


class IfSuspect:
    """A condition: an earlier step returned something that the campaign's checks do not trust."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.reason = f"what {step} returned is not in doubt"

    def __call__(self, s: Settings) -> bool:
        return self.step in s.results and s.quality(self.step) is not Quality.VALID


def if_suspect(step: str) -> IfSuspect:
    """Return a condition for ``when``: do this step where the campaign's checks doubt what *step* returned.

    >>> sdl.Step("measure again", measure, when=sdl.if_suspect("measure"))  # doctest: +SKIP
    """
    return IfSuspect(step)


class Step:
    """One plan, and where it runs.

    Parameters
    ----------
    name
        What the journal calls it.
    plan
        A generator function ``plan(lab, settings)`` that yields bluesky messages. What it returns is the step's result.
        It may be called twice, for the dry walk of the limits and for the execution, so it touches instruments only by
        what it yields.
    station
        The station that runs it, or several that could: a free one takes it. None: any station.
    timeout
        Clock seconds for one attempt; None for no limit.
    uses
        What the step uses of the laboratory's stock: a list of :class:`~sdl.Use`, or a function of the settings that
        returns one. It is called before the trial begins, when there are no results yet. A step that lacks something
        does not start.
    needs_position
        The rack in which the step needs a free position for the trial's sample. The plan finds it in
        ``s.positions``; the sample keeps it until it moves to another rack, is used up, or is taken out by a person.
    ends_sample
        Whether the sample is used up, or thrown away, when the step has ended; its position is free then.
    resume
        A plan for the rest of the step, written like *plan*. It runs where a crash cut the step off after acts that may
        not be repeated: ``s.acts`` says which of them were done. What it returns is the step's result. Without one,
        such a step does not go on by itself.
    duration
        How long it takes, as a first estimate: seconds, ``"2 h"``, or a function of the settings. What the journal has
        replaces it once there are three runs. Whoever plans reckons with it; nothing is cut off by it.
    batch
        One run treats several trials: see :class:`~sdl.Batch`. The plan is ``plan(lab, batch)`` then, *batch* a tuple
        of settings, and returns a sequence of results, one for each of them in that order. An exception in the place
        of a result fails that one trial.
    needs
        Further stations, or kinds of stations, that it holds while it runs.
    within
        The latest start: ``{"coat": "10 min"}`` begins at most ten minutes after the end of step ``coat``.
    on_late
        What becomes of a trial for which that is too late: it is to ``"fail"``, or to ``"go on"`` all the same.
    when
        The step is done where this says so of the settings, and skipped elsewhere: see :func:`~sdl.if_suspect`.
    setup
        What has to be done on the station before, where the run before it was another one: see
        :class:`~sdl.Changeover`.
    keeps
        Of its stations those that stay with the trial afterwards, until its next step that names them has ended: a
        robot that holds the sample.
    """

    def __init__(
        self,
        name: str,
        plan: Plan | BatchPlan,
        *,
        station: str | Sequence[str] | None = None,
        timeout: float | None = None,
        uses: Sequence[Use] | Callable[[Settings], Sequence[Use]] = (),
        needs_position: str | None = None,
        ends_sample: bool = False,
        resume: Plan | BatchPlan | None = None,
        duration: Duration | None = None,
        batch: Batch | None = None,
        needs: str | Sequence[str] = (),
        within: Mapping[str, float | str] | None = None,
        on_late: OnLate = "fail",
        when: Condition | None = None,
        setup: Changeover | None = None,
        keeps: str | Sequence[str] = (),
    ) -> None:
        if not name:
            raise LabError("a step needs a name")
        if timeout is not None and not timeout > 0:
            raise LabError(f"step {name!r} has a timeout of {timeout} s", hint="a timeout is above zero, or None")
        check_plan(plan, f"step {name!r}")
        if resume is not None:
            check_plan(resume, f"the rest of step {name!r}")
        if setup is not None:
            check_plan(setup.plan, f"the changeover of step {name!r}")
        if on_late not in get_args(OnLate):
            raise LabError(f"step {name!r} has on_late={on_late!r}", hint=f"it is one of {listing(get_args(OnLate))}")
        self.resume: Plan | BatchPlan | None = resume
        self.name = name
        self.plan: Plan | BatchPlan = plan
        self.stations: tuple[str, ...] | None = (station,) if isinstance(station, str) else _tuple(station)
        self.timeout = timeout
        self.uses = uses if callable(uses) else tuple(uses)
        self.needs_position = needs_position
        self.ends_sample = ends_sample
        self.duration = duration if callable(duration) else _seconds(duration, name)
        self.batch = batch
        self.needs: tuple[str, ...] = (needs,) if isinstance(needs, str) else tuple(needs)
        self.within: Mapping[str, float] = MappingProxyType(window_of(within or {}, name))
        self.on_late: OnLate = on_late
        self.when = when
        self.setup = setup
        self.keeps: tuple[str, ...] = (keeps,) if isinstance(keeps, str) else tuple(keeps)

    def __repr__(self) -> str:
        return f"Step({self.name!r})"

    @property
    def has_needs(self) -> bool:
        """Whether it uses material or handles a sample, so that an account is kept."""
        return bool(self.uses) or self.needs_position is not None or self.ends_sample

    @property
    def is_plain(self) -> bool:
        """Whether it asks nothing of the schedule but one free station."""
        return not (self.batch or self.needs or self.within or self.when or self.setup or self.keeps)

    def declared_seconds(self, settings: Settings) -> float | None:
        """Return the declared duration at *settings*, in seconds; None where nobody said."""
        return _seconds(self.duration(settings) if callable(self.duration) else self.duration, self.name)

    def is_wanted(self, settings: Settings) -> bool:
        """Return whether it is done, by what the steps before it returned."""
        return self.when is None or bool(self.when(settings))

    @property
    def skipped_because(self) -> str:
        """Why it is skipped where its condition does not hold."""
        said: object = getattr(self.when, "reason", None)
        return said if isinstance(said, str) and said else f"its condition {_name_of(self.when)} does not hold"

    def uses_of(self, settings: Settings) -> tuple[Use, ...]:
        """Return what the step uses at *settings*. Raises :class:`~sdl.errors.LabError` for what is no use."""
        given: Any = self.uses(settings) if callable(self.uses) else self.uses  # whatever a function returned
        uses = tuple(use for use in given if isinstance(use, Use))
        if len(uses) != len(given):
            raise LabError(f"the uses of step {self.name!r} are {given!r}", hint='write [Use("ethanol", "5 mL")]')
        return uses


def _seconds(given: float | str | None, step: str) -> float | None:
    return None if given is None else seconds_of(given, f"the duration of step {step!r}")


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


class Experiment:
    """The steps of a trial, in order, and the evaluation that makes outcomes of their results.

    Parameters
    ----------
    steps
        At least one, with different names.
    evaluate
        ``evaluate(results, settings)`` gets what the steps returned, by step name, and returns the outcomes by name:
        measurements, quantities, or numbers where the outcome has no unit. Left out, the mappings that the steps
        returned are merged.
    cost
        What a trial costs: a number, a :class:`~sdl.Price`, which planners know of, or a function of the settings.
    """

    def __init__(
        self,
        *steps: Step,
        evaluate: Callable[[Mapping[str, Any], Settings], Mapping[str, Any]] | None = None,
        cost: float | Callable[[Settings], float] = 0.0,
    ) -> None:
        if not steps:
            raise LabError("an experiment has at least one step", hint='Experiment(Step("measure", plan))')
        names = [step.name for step in steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise LabError(f"two steps are called {listing(twice)}", hint="give each step a name of its own")
        for place, step in enumerate(steps):
            _check_place(step, names[:place], steps[place + 1 :])
        self.steps = steps
        self._evaluate = evaluate
        self._cost = cost

    def __repr__(self) -> str:
        return f"Experiment({', '.join(repr(step) for step in self.steps)})"

    @property
    def is_plain(self) -> bool:
        """Whether its steps ask nothing of the schedule but one free station each."""
        return all(step.is_plain for step in self.steps)

    @classmethod
    def of(cls, given: Experiment | Step | Plan) -> Experiment:
        """Return *given* if it is an experiment, else an experiment of that one step or plan."""
        if isinstance(given, Experiment):
            return given
        return cls(given if isinstance(given, Step) else Step(_name_of(given), given))

    def evaluate(self, results: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
        """Return the outcomes by name. Raises :class:`~sdl.errors.ObservationError` where results are no outcomes."""
        outcomes = merge(results) if self._evaluate is None else self._evaluate(results, settings)
        if not _is_mapping(outcomes):
            raise ObservationError(
                f"the evaluation returned {outcomes!r}", hint="it returns a mapping of outcome names to values"
            )
        return outcomes

    @property
    def price(self) -> Price | None:
        """What a trial costs, as far as it is written down as data."""
        return self._cost if isinstance(self._cost, Price) else None

    def cost_of(self, settings: Settings) -> float:
        """Return what a trial with these *settings* costs."""
        return float(self._cost(settings) if callable(self._cost) else self._cost)


def _check_place(step: Step, before: Sequence[str], after: Sequence[Step]) -> None:
    """Refuse what a step says of others that are not there, or not in that order."""
    strangers = [name for name in step.within if name not in before]
    if isinstance(step.when, IfSuspect) and step.when.step not in before:
        strangers.append(step.when.step)
    if strangers:
        raise LabError(
            f"step {step.name!r} refers to {listing(strangers)}, which is no step before it",
            hint=f"before it are {listing(before) or 'none'}",
        )
    own = {*(step.stations or ()), *step.needs}
    missing = [name for name in step.keeps if name not in own]
    if missing:
        raise LabError(
            f"step {step.name!r} keeps {listing(missing)}, which it does not use", hint="name it in station or needs"
        )
    for name in step.keeps:
        if not any(name in {*(other.stations or ()), *other.needs} for other in after):
            raise LabError(
                f"step {step.name!r} keeps {name}, and no step after it names that",
                hint="name it in station or needs of the step that lets go of it",
            )


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def merge(results: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the mappings that steps returned; a step that returned None has nothing to say."""
    outcomes: dict[str, Any] = {}
    for step, returned in results.items():
        if returned is None:
            continue
        if not _is_mapping(returned):
            raise ObservationError(
                f"step {step!r} returned {returned!r}",
                hint="return a mapping of outcome names to values, or give the experiment an evaluate function",
            )
        twice = sorted(str(name) for name in returned if name in outcomes)
        if twice:
            raise ObservationError(
                f"step {step!r} returns {listing(twice)} again",
                hint="name the outcomes differently, or give the experiment an evaluate function",
            )
        outcomes.update(returned)
    return outcomes


def _name_of(plan: object) -> str:
    found = plan
    while isinstance(found, functools.partial):
        found = found.func
    return str(getattr(found, "__name__", type(found).__name__))


def check_plan(plan: Any, what: str) -> None:
    """Raise :class:`~sdl.errors.LabError` unless *plan* is a generator function of two arguments."""
    hint = "write it as def plan(lab, s): with a yield from in its body"
    if not callable(plan):
        raise LabError(f"{what} has {plan!r} for a plan, which is no function", hint=hint)
    if not inspect.isgeneratorfunction(_body_of(plan)):
        raise LabError(f"the plan {_name_of(plan)} of {what} yields nothing", hint=hint)
    try:
        inspect.signature(plan).bind("lab", "settings")
    except TypeError as error:
        raise LabError(f"the plan {_name_of(plan)} of {what} does not take (lab, s): {error}", hint=hint) from None


def _body_of(plan: Any) -> Callable[..., Any]:
    """Return the function whose body runs: below decorators, or the class's ``__call__``."""
    method: Any = plan.__class__.__call__
    body: Callable[..., Any] = inspect.unwrap(plan if _is_function(plan) else method)
    return body


def _is_function(plan: object) -> bool:
    return inspect.isroutine(plan) or isinstance(plan, functools.partial)
