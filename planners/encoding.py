"""Points as rows of numbers between 0 and 1: the coordinates that planners compute in.

A number takes one column: 0 at its lower bound, 1 at its upper, on the logarithm where the parameter says so. A choice
takes a column per level, of which one is not 0; its height of the root of one half puts two different choices at
distance 1, as far as the two ends of a number. Descriptors of choices, and of the rows of a pool, are further columns,
between 0 and 1. Fixed parameters take no column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from sdl.journal.records import ParameterValue
from sdl.problem import Categorical, Continuous, Discrete, Fixed, SearchSpace

Array = npt.NDArray[np.float64]
Point = dict[str, ParameterValue]

ONE = sqrt(0.5)
"""The height of the column of the chosen level."""

MANY_DESCRIPTORS = 8
"""More descriptors of one thing than this share a lengthscale: an embedding says more by distances than by columns."""


@dataclass(frozen=True)
class NumberCode:
    """One column for a Continuous or Discrete parameter.

    Parameters
    ----------
    name
        The parameter.
    start
        The number of its column.
    low, high
        Its bounds in the declared unit.
    is_log
        Whether the column runs on the logarithm.
    values
        The values of a Discrete parameter, ascending; None for a Continuous one.
    """

    name: str
    start: int
    low: float
    high: float
    is_log: bool = False
    values: tuple[float, ...] | None = None
    width: int = 1
    groups: tuple[int, ...] = (0,)

    def encode(self, values: Iterable[ParameterValue]) -> Array:
        """Return the column of *values*, shape (n, 1). Values outside the bounds keep their place outside [0, 1]."""
        numbers = np.asarray(values if isinstance(values, Sequence) else list(values), dtype=np.float64)
        if self.is_log:
            smallest = np.finfo(np.float64).tiny
            numbers = (np.log(np.maximum(numbers, smallest)) - log(self.low)) / (log(self.high) - log(self.low))
        else:
            numbers = (numbers - self.low) / (self.high - self.low)
        return numbers[:, None]

    def numbers(self, column: Array) -> Array:
        """Return the numbers in the declared unit that a column stands for, within the bounds, not yet on a level."""
        if self.is_log:
            numbers = np.exp(log(self.low) + column * (log(self.high) - log(self.low)))
        else:
            numbers = self.low + column * (self.high - self.low)
        return np.clip(numbers, self.low, self.high)

    def decode(self, part: Array) -> float:
        """Return the legal value nearest to one row's *part*, shape (1,)."""
        number = float(self.numbers(part)[0])
        if self.values is None:
            return number
        return self.values[int(np.abs(np.asarray(self.values) - number).argmin())]

    def levels(self) -> Array | None:
        """Return the coordinates of every level, shape (levels, 1); None where there are infinitely many."""
        return None if self.values is None else self.encode(self.values)


@dataclass(frozen=True)
class ChoiceCode:
    """A column per choice of a Categorical parameter, and one per descriptor.

    Two choices differ by what their descriptors say, and beside it by being different choices.

    Parameters
    ----------
    name, start, choices
        The parameter, the number of its first column, and its choices.
    descriptors
        For each descriptor the coordinates of all choices.
    """

    name: str
    start: int
    choices: tuple[str, ...]
    descriptors: tuple[tuple[float, ...], ...] = ()

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.choices) + len(self.descriptors)

    @property
    def groups(self) -> tuple[int, ...]:
        """Which lengthscale each column has, counted from 0."""
        return (*[0] * len(self.choices), *(1 + group for group in _groups_of(len(self.descriptors))))

    def encode(self, values: Iterable[ParameterValue]) -> Array:
        """Return the columns of *values*, shape (n, width). Raises KeyError for an unknown choice."""
        places: dict[ParameterValue, int] = {choice: place for place, choice in enumerate(self.choices)}
        rows = np.fromiter((places[value] for value in values), dtype=np.intp)
        return self.levels()[rows]

    def decode(self, part: Array) -> str:
        """Return the choice that one row's *part*, shape (width,), is nearest to."""
        return self.choices[int(part[: len(self.choices)].argmax())]

    def levels(self) -> Array:
        """Return the coordinates of every choice, shape (choices, width)."""
        n = len(self.choices)
        return np.hstack([ONE * np.eye(n), np.array(self.descriptors).reshape(-1, n).T])


@dataclass(frozen=True)
class ApproximationCode:
    """A column per choice of a Categorical parameter with a target, but for the target: there all columns are 0.

    Each column has a lengthscale of its own, which says how well that choice approximates the target.
    """

    name: str
    start: int
    choices: tuple[str, ...]
    target: str

    @property
    def others(self) -> tuple[str, ...]:
        """The choices that approximate the target, in the order of the columns."""
        return tuple(choice for choice in self.choices if choice != self.target)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.choices) - 1

    @property
    def groups(self) -> tuple[int, ...]:
        """Which lengthscale each column has, counted from 0: its own."""
        return tuple(range(self.width))

    def encode(self, values: Iterable[ParameterValue]) -> Array:
        """Return the columns of *values*, shape (n, choices - 1). Raises KeyError for an unknown choice."""
        levels: dict[ParameterValue, Array] = dict(zip(self.choices, self.levels(), strict=True))
        return np.array([levels[value] for value in values]).reshape(-1, self.width)

    def decode(self, part: Array) -> str:
        """Return the choice that one row's *part*, shape (choices - 1,), is nearest to."""
        return self.others[int(part.argmax())] if part.max() > 0.5 else self.target

    def levels(self) -> Array:
        """Return the coordinates of every choice, shape (choices, choices - 1)."""
        return np.array([[float(choice == other) for other in self.others] for choice in self.choices])


Code = NumberCode | ChoiceCode | ApproximationCode


class Encoding:
    """Carries points of a space to rows of coordinates and back."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.fixed: Point = {name: p.value for name, p in space.parameters.items() if isinstance(p, Fixed)}
        codes: list[Code] = []
        for name in space.names:
            if name not in self.fixed:
                codes.append(_code(space, name, sum(code.width for code in codes)))
        self.codes = tuple(codes)
        self.embedding = _embedding(space)
        self.n_columns = sum(code.width for code in codes) + self.embedding.shape[1]
        is_finite = space.pool is not None or not any(isinstance(p, Continuous) for p in space.parameters.values())
        self.has_levels = is_finite or any(isinstance(code, ChoiceCode) and code.width > 2 for code in codes)

    @property
    def n_groups(self) -> int:
        """How many lengthscales the columns have: one for each parameter, and for each approximation of a target."""
        return int(self.groups.max()) + 1 if self.codes else 0

    @property
    def groups(self) -> npt.NDArray[np.intp]:
        """The number of the lengthscale that each column has, shape (columns,)."""
        found: list[int] = []
        for groups in (*(code.groups for code in self.codes), _groups_of(self.embedding.shape[1])):
            first = max(found, default=-1) + 1
            found += [first + group for group in groups]
        return np.array(found, dtype=np.intp)

    def groups_of(self, name: str) -> tuple[int, ...]:
        """Return the groups of the columns of the parameter *name*; none for a fixed one."""
        codes = [code for code in self.codes if code.name == name]
        columns = [column for code in codes for column in range(code.start, code.start + code.width)]
        return tuple(dict.fromkeys(int(group) for group in self.groups[columns]))

    @property
    def stand_ins(self) -> tuple[int, ...]:
        """The groups of columns that tell choices apart beside their descriptors."""
        described = [code for code in self.codes if isinstance(code, ChoiceCode) and code.descriptors]
        return tuple(int(self.groups[code.start]) for code in described)

    @property
    def smooth_columns(self) -> npt.NDArray[np.intp]:
        """The columns of continuous parameters."""
        return np.array(
            [code.start for code in self.codes if isinstance(self.space.parameters[code.name], Continuous)],
            dtype=np.intp,
        )

    @property
    def links(self) -> tuple[int, ...]:
        """The groups whose lengthscale says how much two kinds of data resemble each other."""
        apart = [code for code in self.codes if isinstance(code, ApproximationCode)]
        return tuple(int(group) for code in apart for group in self.groups[code.start : code.start + code.width])

    def encode(self, points: Sequence[Mapping[str, ParameterValue]]) -> Array:
        """Return the coordinates of *points*, shape (n, columns)."""
        parts = [code.encode([point[code.name] for point in points]) for code in self.codes]
        if self.embedding.shape[1]:
            numbers = [self._pool_row(point) for point in points]
            parts.append(self.embedding[np.array(numbers, dtype=np.intp)])
        return np.hstack(parts) if parts else np.zeros((len(points), 0))

    def _pool_row(self, point: Mapping[str, ParameterValue]) -> int:
        number = self.space.pool.find(point) if self.space.pool is not None else None
        if number is None:
            raise KeyError(f"{dict(point)} is none of the candidates")
        return number

    def decode(self, row: Array) -> Point:
        """Return the point nearest to a row, within bounds and on levels; constraints are not looked at."""
        decoded = {code.name: code.decode(row[code.start : code.start + code.width]) for code in self.codes}
        return {name: self.fixed[name] if name in self.fixed else decoded[name] for name in self.space.names}

    def can_encode(self, values: Mapping[str, ParameterValue]) -> bool:
        """Tell whether *values* have a place among the coordinates: data of another campaign may not."""
        is_in_pool = not self.embedding.shape[1] or (
            self.space.pool is not None and self.space.pool.find(values) is not None
        )
        return is_in_pool and all(_has_place(code, values.get(code.name)) for code in self.codes)


def _code(space: SearchSpace, name: str, start: int) -> Code:
    match space.parameters[name]:
        case Continuous(low=low, high=high, log=is_log):
            return NumberCode(name, start, low, high, is_log)
        case Discrete(values=values):
            return NumberCode(name, start, values[0], values[-1], values=values)
        case Categorical(choices=choices, target=str(target)):
            return ApproximationCode(name, start, choices, target)
        case Categorical(choices=choices, descriptors=descriptors):
            columns = _scaled(np.array([*descriptors.values()]).reshape(-1, len(choices)).T)
            return ChoiceCode(name, start, choices, tuple(tuple(column) for column in columns.T.tolist()))
        case Fixed():
            raise AssertionError("a fixed parameter has no coordinates")


def _embedding(space: SearchSpace) -> Array:
    """Return the descriptors of a pool's rows as coordinates, shape (rows, descriptors)."""
    if space.pool is None or not space.pool.descriptors:
        return np.zeros((0, 0))
    return _scaled(np.stack([np.asarray(column) for column in space.pool.descriptors.values()], axis=1))


def _scaled(columns: Array) -> Array:
    """Return descriptors as coordinates: between 0 and 1, and many of them together no wider than one."""
    if not columns.size:
        return columns
    low, width = columns.min(axis=0), np.ptp(columns, axis=0)
    n = columns.shape[1]
    return np.asarray((columns - low) / np.where(width > 0.0, width, 1.0) / (sqrt(n) if n > MANY_DESCRIPTORS else 1.0))


def _groups_of(n: int) -> tuple[int, ...]:
    """Return the lengthscales of *n* descriptors of one thing."""
    return (0,) * n if n > MANY_DESCRIPTORS else tuple(range(n))


def _has_place(code: Code, value: ParameterValue | None) -> bool:
    if isinstance(code, ChoiceCode | ApproximationCode):
        return value in code.choices
    return isinstance(value, float) and (value > 0 or not code.is_log)


def to_target(encoding: Encoding, rows: Array) -> Array:
    """Return *rows* with every approximation replaced by what it approximates."""
    moved = rows.copy()
    for code in encoding.codes:
        if isinstance(code, ApproximationCode):
            moved[:, code.start : code.start + code.width] = 0.0
    return moved


def are_at_target(encoding: Encoding, rows: Array) -> npt.NDArray[np.bool_]:
    """Tell which of *rows* are no approximations."""
    return np.asarray((rows == to_target(encoding, rows)).all(axis=1))
