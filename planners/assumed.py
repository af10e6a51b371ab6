"""What a person says about an outcome before there are data: a model of his own, its structure, its measurement.

Options of the planner are plain data; here they become what a fit can use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import AfterValidator

from sdl.errors import PlannerError, ProblemError
from sdl.journal.records import ParameterValue
from sdl.planners.encoding import Array, Encoding
from sdl.planners.warp import Warp
from sdl.problem import Categorical, Problem
from sdl.problem.value import FrozenMap, Tuple, Value, listing

Points = Sequence[Mapping[str, ParameterValue]]
Model = Callable[[Points], Any]

Mode = Literal["auto", "yes", "no"]
"""Whether a feature of the model is used: when the data speak clearly for it, as soon as they can tell, or never."""

Watch = Literal["auto", "no"]
"""Whether something is looked for: there is no way to assume it."""

FARTHEST = 8.0
"""A user's model is cut so many standard deviations from the mean of the measurements."""

STEP = 1e-5
"""Of the differences that stand for the slopes of a user's model, in units of the coordinates."""


class Monotonic(Value):
    """An outcome only rises, or only falls, with a parameter, whatever the others are.

    Parameters
    ----------
    parameter
        A continuous or discrete parameter.
    direction
        Whether the outcome is increasing or decreasing with it.
    outcome
        Which outcome; None where the problem has one objective, for its outcome.
    """

    parameter: str
    direction: Literal["increasing", "decreasing"]
    outcome: str | None = None
    positional: ClassVar[tuple[str, ...]] = ("parameter", "direction", "outcome")

    if TYPE_CHECKING:

        def __init__(self, parameter: str, direction: str, outcome: str | None = None) -> None: ...


class Additive(Value):
    """An outcome is a sum of functions of groups of parameters, which do not act on one another.

    Parameters
    ----------
    groups
        Names of parameters; each in one group at most. Those not named are a group of their own.
    outcome
        Which outcome; None for all.
    """

    groups: Tuple[Tuple[str]]
    outcome: str | None = None
    positional: ClassVar[tuple[str, ...]] = ("groups", "outcome")

    if TYPE_CHECKING:

        def __init__(self, groups: Sequence[Sequence[str]], outcome: str | None = None) -> None: ...


def _reference(text: str) -> str:
    module, colon, name = text.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ProblemError(
            f"prior_mean {text!r} is not of the form module:function", hint='as in "my_models:expected_yield"'
        )
    return text


Reference = Annotated[str, AfterValidator(_reference)]
"""Where a function can be imported from: ``package.module:function``."""


@dataclass(frozen=True)
class Assumed:
    """What is assumed of one outcome.

    Parameters
    ----------
    model
        A user's model of it: points to values in its unit.
    monotonic
        +1 or -1 for each parameter that it rises or falls with.
    groups
        Names of the parameters that act together, where it is a sum.
    drift, outliers, noise
        Whether it may drift with time, have measurements that are wrong, and noise that depends on the place.
    """

    model: Model | None = None
    monotonic: Mapping[str, int] = field(default_factory=dict[str, int])
    groups: tuple[tuple[str, ...], ...] = ()
    drift: Mode = "no"
    outliers: Watch = "no"
    noise: Mode = "no"


NOTHING = Assumed()


class Assumptions(Value):
    """What is assumed of all outcomes; the fields are those of :class:`~sdl.planners.BayesianPlanner`."""

    prior_mean: FrozenMap[Reference]
    monotonic: Tuple[Monotonic]
    additive: Tuple[Additive]
    drift: Mode
    outliers: Watch
    noise: Mode

    def check(self, problem: Problem) -> None:
        """Raise PlannerError where something is said of what *problem* does not have."""
        names = [*self.prior_mean, *(m.outcome for m in self.monotonic), *(a.outcome for a in self.additive)]
        for name in names:
            if name is not None and name not in problem.outcomes:
                raise PlannerError(
                    f"the planner is told of outcome {name!r}, which the problem does not have",
                    hint=f"it has {listing(problem.outcomes)}",
                )
        for said in self.monotonic:
            _check_monotonic(said, problem)
        for each in self.additive:
            _check_groups(each, problem)
        first = problem.objectives[0].outcome
        _check_once([f"{m.outcome or first} is monotonic in {m.parameter}" for m in self.monotonic])
        _check_once(
            [f"{name} is additive" for name in problem.outcomes for a in self.additive if a.outcome in {None, name}]
        )

    def of(self, problem: Problem) -> dict[str, Assumed]:
        """Return what is assumed of each outcome of *problem*. Raises PlannerError where a model is not there."""
        self.check(problem)
        return {name: self._of(name, problem) for name in problem.outcomes}

    def _of(self, outcome: str, problem: Problem) -> Assumed:
        first = problem.objectives[0].outcome
        signs = {
            said.parameter: 1 if said.direction == "increasing" else -1
            for said in self.monotonic
            if (said.outcome or first) == outcome
        }
        groups = next((said.groups for said in self.additive if said.outcome in (None, outcome)), ())
        model = imported(self.prior_mean[outcome]) if outcome in self.prior_mean else None
        return Assumed(model, signs, groups, self.drift, self.outliers, self.noise)


def _check_monotonic(said: Monotonic, problem: Problem) -> None:
    parameter = problem.space.parameters.get(said.parameter)
    if parameter is None or isinstance(parameter, Categorical):
        raise PlannerError(
            f"{said.parameter!r} is {'a choice' if parameter else 'no parameter'}: no outcome is monotonic in it",
            hint="name a continuous or discrete parameter",
        )
    if said.outcome is None and len(problem.objectives) > 1:
        raise PlannerError(
            f"Monotonic({said.parameter!r}) does not say of which outcome, and there are several objectives",
            hint=f"add outcome=, one of {listing(problem.outcomes)}",
        )


def _check_once(sayings: Sequence[str]) -> None:
    twice = next((said for number, said in enumerate(sayings) if said in sayings[:number]), None)
    if twice is not None:
        raise PlannerError(f"the planner is told twice that {twice}", hint="say it once")


def _check_groups(sums: Additive, problem: Problem) -> None:
    named = [name for group in sums.groups for name in group]
    unknown = [name for name in named if name not in problem.space.parameters]
    repeated = [name for number, name in enumerate(named) if name in named[:number]]
    if unknown or repeated:
        what = f"{unknown[0]!r} is no parameter" if unknown else f"{repeated[0]!r} is in two groups"
        raise PlannerError(f"Additive({sums.groups}): {what}", hint=f"the space has {listing(problem.space.names)}")


def imported(reference: str) -> Model:
    """Import a user's model. Raises PlannerError where it is not there, or cannot be called."""
    module, _, name = reference.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PlannerError(f"prior_mean {reference!r} cannot be imported: {error}") from error
    if not callable(found):
        raise PlannerError(f"prior_mean {reference!r} is no function", hint="it takes a list of points")
    return cast("Model", found)


def asked(model: Model, points: Points) -> Array:
    """Return what *model* says of *points*, shape (n,); NaN where it says nothing.

    Raises
    ------
    PlannerError
        The model failed, or gave another number of values.
    """
    try:
        found = np.asarray(model(points), dtype=np.float64)
    except Exception as error:
        raise PlannerError(f"the model that is the prior mean failed: {type(error).__name__}: {error}") from error
    if found.shape != (len(points),):
        raise PlannerError(
            f"the model that is the prior mean gave values of shape {found.shape} for {len(points)} points",
            hint="return one number for each point of the list",
        )
    return found


@dataclass(frozen=True)
class Offset:
    """A user's model on the scale of a fit, times its weight: what is expected before the data speak."""

    model: Model
    encoding: Encoding
    warp: Warp
    weight: float = 1.0

    def values(self, rows: Array) -> Array:
        """Return it at *rows*, shape (n,); 0, the mean of the measurements, where the model gives no number."""
        known = self.encoding.n_columns
        said = asked(self.model, [self.encoding.decode(row[:known]) for row in rows]) if len(rows) else rows[:, 0]
        with np.errstate(invalid="ignore", over="ignore"):
            standardised = self.warp.forward(said)
        cut = np.clip(np.nan_to_num(standardised, nan=0.0, posinf=FARTHEST, neginf=-FARTHEST), -FARTHEST, FARTHEST)
        return np.asarray(self.weight * cut)

    def slopes(self, rows: Array) -> Array:
        """Return its gradient at *rows*, shape (n, columns), by differences; 0 along levels."""
        gradient = np.zeros_like(rows)
        columns = self.encoding.smooth_columns
        if not len(columns) or not self.weight:
            return gradient
        steps = np.where(rows[:, columns] > 0.5, -STEP, STEP)
        moved = np.repeat(rows[:, None, :], len(columns) + 1, axis=1)
        for place, column in enumerate(columns):
            moved[:, place + 1, column] += steps[:, place]
        found = self.values(moved.reshape(-1, rows.shape[1])).reshape(len(rows), -1)
        gradient[:, columns] = (found[:, 1:] - found[:, :1]) / steps
        return gradient
