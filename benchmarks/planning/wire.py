"""What passes between the harness and a worker: a problem in plain words, points and outcomes, as lines of JSON.

Only the standard library: this module is imported in every rival's environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

Value = float | str
Point = dict[str, Value]


class Unsupported(Exception):  # it is an answer, not an error
    """The planner cannot do this kind of problem; the message says what it lacks."""


@dataclass(frozen=True)
class Knob:
    """A parameter.

    Parameters
    ----------
    kind
        ``continuous`` (with *low* and *high*), ``discrete`` (ordered numbers in *values*) or ``categorical`` (texts in
        *values*).
    is_log
        Whether a continuous parameter is searched on a logarithmic scale.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Linear:
    """``lower <= sum of coefficient times parameter <= upper``; None is no limit."""

    coefficients: Mapping[str, float]
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Goal:
    """An outcome to make large or small.

    Parameters
    ----------
    reference
        Its coordinate of the reference point, where several goals are weighed by hypervolume.
    """

    outcome: str
    is_maximized: bool = False
    reference: float | None = None


@dataclass(frozen=True)
class Limit:
    """What an outcome must keep: ``lower <= outcome <= upper``; None is no limit."""

    outcome: str
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Question:
    """All that a planner is told of a problem.

    Parameters
    ----------
    pool
        Name to column where only the rows of a list can be tried; the knobs then say what their values are.
    n_trials, n_at_once
        The budget, and how many trials run at the same time.
    is_noisy
        Whether measurements have noise; how much is not said.
    """

    knobs: tuple[Knob, ...]
    goals: tuple[Goal, ...]
    limits: tuple[Limit, ...] = ()
    constraints: tuple[Linear, ...] = ()
    pool: Mapping[str, tuple[Value, ...]] | None = None
    n_trials: int = 30
    n_at_once: int = 1
    is_noisy: bool = False

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Every outcome that is measured, goals first."""
        names = [goal.outcome for goal in self.goals] + [limit.outcome for limit in self.limits]
        return tuple(dict.fromkeys(names))

    @property
    def names(self) -> tuple[str, ...]:
        """The knobs' names."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def is_mixed(self) -> bool:
        """Whether some knob is not continuous."""
        return any(knob.kind != "continuous" for knob in self.knobs)

    def rows(self) -> list[Point]:
        """Return the pool, row by row."""
        pool = self.pool or {}
        return [dict(zip(pool, row, strict=True)) for row in zip(*pool.values(), strict=True)]

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Question:
        """Return what :meth:`as_json` gave."""
        pool = data["pool"]
        return cls(
            knobs=tuple(_knob(knob) for knob in data["knobs"]),
            goals=tuple(Goal(**goal) for goal in data["goals"]),
            limits=tuple(Limit(**limit) for limit in data["limits"]),
            constraints=tuple(Linear(**constraint) for constraint in data["constraints"]),
            pool=None if pool is None else {name: tuple(column) for name, column in pool.items()},
            n_trials=data["n_trials"],
            n_at_once=data["n_at_once"],
            is_noisy=data["is_noisy"],
        )


def _knob(data: Mapping[str, Any]) -> Knob:
    return Knob(data["name"], data["kind"], data["low"], data["high"], data["is_log"], tuple(data["values"]))


class Adapter(Protocol):
    """A planner as the benchmark sees it. Made with a question and a seed; raises Unsupported if it cannot answer.

    Points that were asked for and not told yet are pending: an adapter passes them on where the rival has a way.
    """

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points."""
        ...

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Take in what was measured at *point*, whether it was asked for or is given beforehand."""
        ...


def key_of(point: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """Return *point* as a key of dictionaries."""
    return tuple(sorted(point.items()))


def unscored(goals: Sequence[Goal], outcomes: Mapping[str, float]) -> list[float]:
    """Return the goals' outcomes turned so that less is better."""
    return [-outcomes[goal.outcome] if goal.is_maximized else outcomes[goal.outcome] for goal in goals]


def at_most_zero(limits: Sequence[Limit], outcomes: Mapping[str, float]) -> list[float]:
    """Return each limit as a number that is at most 0 where it is kept."""
    found: list[float] = []
    for limit in limits:
        value = outcomes[limit.outcome]
        if limit.lower is not None:
            found.append(limit.lower - value)
        if limit.upper is not None:
            found.append(value - limit.upper)
    return found


def as_product(question: Question) -> Question:
    """Return *question* with a pool that is every combination of some levels told as discrete knobs.

    For rivals that know knobs but no lists of candidates. Raises Unsupported for other pools.
    """
    if question.pool is None:
        return question
    levels = {name: tuple(sorted(set(column))) for name, column in question.pool.items()}
    n_rows = len(next(iter(question.pool.values())))
    if math.prod(len(found) for found in levels.values()) != n_rows:
        raise Unsupported("it takes no list of candidates, and these are not all combinations of some levels")
    kinds = {knob.name: "categorical" if knob.kind == "categorical" else "discrete" for knob in question.knobs}
    knobs = tuple(Knob(name, kinds[name], values=found) for name, found in levels.items())
    return replace(question, knobs=knobs, pool=None)


def prefixed(question: Question, prefix: str) -> Question:
    """Return *question* with *prefix* before every name, for rivals that read names as formulas."""
    return replace(
        question,
        knobs=tuple(replace(knob, name=prefix + knob.name) for knob in question.knobs),
        goals=tuple(replace(goal, outcome=prefix + goal.outcome) for goal in question.goals),
        limits=tuple(replace(limit, outcome=prefix + limit.outcome) for limit in question.limits),
        constraints=tuple(
            replace(given, coefficients={prefix + name: weight for name, weight in given.coefficients.items()})
            for given in question.constraints
        ),
    )


def n_initial(question: Question) -> int:
    """Return how many points fill the space before there is a model, for rivals that leave it to the user.

    The number that ``BayesianPlanner`` takes.
    """
    n = len(question.knobs)
    return max(4, min(2 * n, n + 4))


def to_scale(knob: Knob, value: Value) -> Value:
    """Return *value* on the scale of *knob*, for rivals that know no logarithmic scale."""
    return math.log10(float(value)) if knob.is_log else value


def from_scale(knob: Knob, value: Value) -> Value:
    """Return what :meth:`to_scale` was given; numbers that are nearly a level or a bound become it."""
    if knob.kind == "categorical":
        return str(value)
    number = 10 ** float(value) if knob.is_log else float(value)
    if knob.kind == "discrete":
        return min(knob.values, key=lambda level: abs(float(level) - number))
    slack = 1e-6 * (knob.high - knob.low)
    is_close = knob.low - slack <= number <= knob.high + slack
    return min(max(number, knob.low), knob.high) if is_close else number


def bounds(knob: Knob) -> tuple[float, float]:
    """Return the bounds of a continuous knob on its scale."""
    return float(to_scale(knob, knob.low)), float(to_scale(knob, knob.high))


class Pending:
    """Points that were asked for and not told yet, with what the rival calls each."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Point, Any]] = []

    def add(self, point: Point, token: Any = None) -> None:
        """Note that *point* was given out."""
        self._waiting.append((point, token))

    def take(self, point: Point) -> tuple[bool, Any]:
        """Return whether *point* was pending, and what the rival calls it; it is no longer pending."""
        for index, (waiting, token) in enumerate(self._waiting):
            if key_of(waiting) == key_of(point):
                del self._waiting[index]
                return True, token
        return False, None

    @property
    def points(self) -> list[Point]:
        """The pending points, oldest first."""
        return [point for point, _ in self._waiting]
