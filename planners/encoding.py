"""Points as rows of numbers between 0 and 1: the coordinates that planners compute in.

A number takes one column: 0 at its lower bound, 1 at its upper, on the logarithm where the parameter says so. A choice
takes a column per level, of which one is not 0; its height of the root of one half puts two different choices at
distance 1, as far as the two ends of a number. Fixed parameters take no column.
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

    def encode(self, values: Iterable[ParameterValue]) -> Array:
        """Return the column of *values*, shape (n, 1). Values outside the bounds keep their place outside [0, 1]."""
        numbers = np.fromiter((float(value) for value in values), dtype=np.float64)
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
    """A column per choice of a Categorical parameter."""

    name: str
    start: int
    choices: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.choices)

    def encode(self, values: Iterable[ParameterValue]) -> Array:
        """Return the columns of *values*, shape (n, choices). Raises KeyError for an unknown choice."""
        places: dict[ParameterValue, int] = {choice: place for place, choice in enumerate(self.choices)}
        rows = np.fromiter((places[value] for value in values), dtype=np.intp)
        return ONE * np.eye(len(self.choices))[rows]

    def decode(self, part: Array) -> str:
        """Return the choice that one row's *part*, shape (choices,), is nearest to."""
        return self.choices[int(part.argmax())]

    def levels(self) -> Array:
        """Return the coordinates of every choice, shape (choices, choices)."""
        return ONE * np.eye(len(self.choices))


Code = NumberCode | ChoiceCode


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
        self.n_columns = sum(code.width for code in codes)
        self.is_finite = space.pool is not None or not any(isinstance(p, Continuous) for p in space.parameters.values())

    @property
    def n_parameters(self) -> int:
        """How many parameters have coordinates."""
        return len(self.codes)

    @property
    def groups(self) -> npt.NDArray[np.intp]:
        """The number of the parameter that each column belongs to, shape (columns,)."""
        return np.repeat(np.arange(len(self.codes)), [code.width for code in self.codes])

    def encode(self, points: Sequence[Mapping[str, ParameterValue]]) -> Array:
        """Return the coordinates of *points*, shape (n, columns)."""
        parts = [code.encode([point[code.name] for point in points]) for code in self.codes]
        return np.hstack(parts) if parts else np.zeros((len(points), 0))

    def decode(self, row: Array) -> Point:
        """Return the point nearest to a row, within bounds and on levels; constraints are not looked at."""
        decoded = {code.name: code.decode(row[code.start : code.start + code.width]) for code in self.codes}
        return {name: self.fixed[name] if name in self.fixed else decoded[name] for name in self.space.names}

    def can_encode(self, values: Mapping[str, ParameterValue]) -> bool:
        """Tell whether *values* have a place among the coordinates: data of another campaign may not."""
        return all(_has_place(code, values.get(code.name)) for code in self.codes)


def _code(space: SearchSpace, name: str, start: int) -> Code:
    match space.parameters[name]:
        case Continuous(low=low, high=high, log=is_log):
            return NumberCode(name, start, low, high, is_log)
        case Discrete(values=values):
            return NumberCode(name, start, values[0], values[-1], values=values)
        case Categorical(choices=choices):
            return ChoiceCode(name, start, choices)
        case Fixed():
            raise AssertionError("a fixed parameter has no coordinates")


def _has_place(code: Code, value: ParameterValue | None) -> bool:
    if isinstance(code, ChoiceCode):
        return value in code.choices
    return isinstance(value, float) and (value > 0 or not code.is_log)
