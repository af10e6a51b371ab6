"""Constraints written as limits of sums, which is what sampling works on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.errors import EmptySpaceError
from sdl.problem.constraints import LINEAR_TOLERANCE, MIXTURE_TOLERANCE, AtMost, LinearConstraint, Mixture
from sdl.problem.parameters import Continuous, ParameterValue

if TYPE_CHECKING:
    from sdl.problem.space import SearchSpace


@dataclass(frozen=True)
class Row:
    """``lower <= sum of coefficient * value <= upper``; a counting row sums 1 for every value that is not 0."""

    coefficients: Mapping[str, float]
    lower: float
    upper: float
    tolerance: float
    label: str
    is_count: bool = False

    def pinned(self, values: Mapping[str, ParameterValue]) -> Row:
        """Move the parameters that have a value to the limits."""
        shift = sum(self.part(name, _float(values[name])) for name in self.coefficients if name in values)
        rest = {name: c for name, c in self.coefficients.items() if name not in values}
        return Row(rest, self.lower - shift, self.upper - shift, self.tolerance, self.label, self.is_count)

    def part(self, name: str, value: float) -> float:
        """What a value of the parameter *name* adds to the sum."""
        return float(value != 0) if self.is_count else self.coefficients[name] * value


def _float(value: ParameterValue) -> float:
    assert not isinstance(value, str)
    return value


def rows_of(space: SearchSpace) -> list[Row]:
    """Write the constraints of *space* as rows; of ``AtMost``, those over discrete parameters alone."""
    rows: list[Row] = []
    for constraint in space.constraints:
        match constraint:
            case LinearConstraint():
                rows.append(linear_row(constraint, space.bounds))
            case Mixture():
                rows.append(mixture_row(constraint))
            case AtMost(k=k, names=names) if not has_continuous(constraint, space):
                rows.append(Row(dict.fromkeys(names, 1.0), -math.inf, float(k), 0.5, str(constraint), is_count=True))
            case AtMost():
                pass
    return rows


def mixture_row(mixture: Mixture) -> Row:
    """Write a mixture as a row."""
    total = mixture.total
    return Row(dict.fromkeys(mixture.names, 1.0), total, total, MIXTURE_TOLERANCE * total, str(mixture))


def linear_row(constraint: LinearConstraint, bounds: Mapping[str, tuple[float, float]]) -> Row:
    """Write a linear constraint as a row, whose tolerance is that of the largest sums that the bounds allow."""
    size = sum(abs(c) * max(map(abs, bounds[name])) for name, c in constraint.coefficients.items())
    limits = [abs(limit) for limit in (constraint.lower, constraint.upper) if limit is not None]
    lower = -math.inf if constraint.lower is None else constraint.lower
    upper = math.inf if constraint.upper is None else constraint.upper
    return Row(constraint.coefficients, lower, upper, LINEAR_TOLERANCE * (size + max(limits)), str(constraint))


def has_continuous(constraint: AtMost, space: SearchSpace) -> bool:
    """Tell whether a continuous parameter is among those of *constraint*."""
    return any(isinstance(space.parameters[name], Continuous) for name in constraint.names)


def empty(rows: Sequence[Row]) -> EmptySpaceError:
    """Make the error for rows that no point satisfies together."""
    return EmptySpaceError(
        f"no point satisfies {' and '.join(dict.fromkeys(row.label for row in rows))} within the bounds",
        hint="widen a bound or a limit",
    )
