"""Conditions that parameters must satisfy together.

Every constraint has ``names`` (the parameters it speaks of), ``violation(values)`` (by how much it is broken, 0 where
it is not) and ``check(values)``. Values are canonical: floats in the declared units. Sums of floats are never exact, so
linear constraints forgive :data:`LINEAR_TOLERANCE` and mixtures :data:`MIXTURE_TOLERANCE`, both relative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import Field, field_validator, model_validator

from sdl.errors import PointError, ProblemError
from sdl.problem.parameters import Number, ParameterValue
from sdl.problem.value import FrozenMap, Tuple, Value, as_tuple, listing

LINEAR_TOLERANCE = 1e-9
"""Forgiven, relative to the sum of the magnitudes of all terms and the limit."""

MIXTURE_TOLERANCE = 1e-6
"""Forgiven, relative to the total: fractions are often written with six digits."""


def _numbers(values: Mapping[str, ParameterValue], names: Iterable[str]) -> list[float]:
    return [cast("float", values[name]) for name in names]


class LinearConstraint(Value):
    """``lower <= sum of coefficient * value <= upper`` over numeric parameters, in their declared units.

    Parameters
    ----------
    coefficients
        Parameter name to coefficient, none of them 0.
    lower, upper
        The limits, both included; at least one. Equal limits make an equality.
    """

    coefficients: FrozenMap[Number]
    lower: Number | None = None
    upper: Number | None = None
    kind: Literal["linear"] = "linear"
    positional: ClassVar[tuple[str, ...]] = ("coefficients",)

    if TYPE_CHECKING:

        def __init__(
            self, coefficients: Mapping[str, float], *, lower: float | None = None, upper: float | None = None
        ) -> None: ...

    @model_validator(mode="after")
    def _sound(self) -> LinearConstraint:
        if not self.coefficients or not all(self.coefficients.values()):
            raise ProblemError(f"{self}: give at least one parameter, and no coefficient of 0")
        if self.lower is None and self.upper is None:
            raise ProblemError(f"the linear constraint on {self} has no limit", hint="give lower=, upper= or both")
        if self.lower is not None and self.upper is not None and not self.lower <= self.upper:
            raise ProblemError(f"the constraint {self} cannot be met: its lower limit exceeds its upper limit")
        return self

    def __str__(self) -> str:
        total = " + ".join(name if c == 1 else f"{c:g} {name}" for name, c in self.coefficients.items())
        total = total.replace("+ -", "- ")
        if self.lower is not None and self.lower == self.upper:
            return f"{total} = {self.lower}"
        lower = "" if self.lower is None else f"{self.lower} <= "
        upper = "" if self.upper is None else f" <= {self.upper}"
        return f"{lower}{total}{upper}"

    def __hash__(self) -> int:
        return hash((frozenset(self.coefficients.items()), self.lower, self.upper))

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the constraint speaks of."""
        return tuple(self.coefficients)

    @property
    def is_equality(self) -> bool:
        """Whether both limits are one."""
        return self.lower == self.upper

    def total(self, values: Mapping[str, ParameterValue]) -> float:
        """Return the sum of coefficient times value."""
        return sum(c * x for c, x in zip(self.coefficients.values(), _numbers(values, self.names), strict=True))

    def violation(self, values: Mapping[str, ParameterValue]) -> float:
        """Return by how much the sum breaks a limit; 0 within the tolerance, NaN where a value is NaN."""
        total, size = 0.0, 0.0
        for name, coefficient in self.coefficients.items():
            term = coefficient * cast("float", values[name])
            total += term
            size += abs(term)
        if self.lower is not None and not total >= self.lower - LINEAR_TOLERANCE * (size + abs(self.lower)):
            return self.lower - total
        if self.upper is not None and not total <= self.upper + LINEAR_TOLERANCE * (size + abs(self.upper)):
            return total - self.upper
        return 0.0

    def check(self, values: Mapping[str, ParameterValue]) -> None:
        """Raise :class:`~sdl.errors.PointError` where the constraint is broken."""
        if self.violation(values) != 0:
            raise PointError(
                f"the point breaks the linear constraint {self}: the sum is {self.total(values):.9g}",
                hint=f"change {listing(self.names)}",
            )


class Mixture(Value):
    """The named parameters sum to a constant, as the fractions of a mixture do.

    Parameters
    ----------
    names
        At least two numeric parameters with one unit.
    total
        What they sum to, in their unit.
    """

    names: Tuple[str]
    total: Annotated[Number, Field(gt=0)] = 1.0
    kind: Literal["mixture"] = "mixture"
    positional: ClassVar[tuple[str, ...]] = ("names", "total")

    if TYPE_CHECKING:

        def __init__(self, names: Iterable[str], total: float = 1.0) -> None: ...

    @field_validator("names", mode="before")
    @classmethod
    def _iterable(cls, names: object) -> object:
        return as_tuple(names)

    @model_validator(mode="after")
    def _several(self) -> Mixture:
        _check_names(self.names, "Mixture")
        return self

    def __str__(self) -> str:
        return f"{' + '.join(self.names)} = {self.total}"

    def violation(self, values: Mapping[str, ParameterValue]) -> float:
        """Return how far the sum is from the total; 0 within the tolerance, NaN where a value is NaN."""
        distance = abs(sum(_numbers(values, self.names)) - self.total)
        return 0.0 if distance <= MIXTURE_TOLERANCE * self.total else distance

    def check(self, values: Mapping[str, ParameterValue]) -> None:
        """Raise :class:`~sdl.errors.PointError` where the sum is not the total."""
        if self.violation(values) != 0:
            total = sum(_numbers(values, self.names))
            raise PointError(
                f"the mixture {' + '.join(self.names)} sums to {total:.9g} and not to {self.total}",
                hint=f"change {listing(self.names)}",
            )


class AtMost(Value):
    """At most *k* of the named parameters differ from 0.

    Parameters
    ----------
    k
        How many may differ from 0, at least 1 and fewer than there are names.
    names
        Numeric parameters, each of which can be 0.
    """

    k: Annotated[int, Field(ge=1)]
    names: Tuple[str]
    kind: Literal["at_most"] = "at_most"
    positional: ClassVar[tuple[str, ...]] = ("k", "names")

    if TYPE_CHECKING:

        def __init__(self, k: int, names: Iterable[str]) -> None: ...

    @field_validator("names", mode="before")
    @classmethod
    def _iterable(cls, names: object) -> object:
        return as_tuple(names)

    @model_validator(mode="after")
    def _several(self) -> AtMost:
        _check_names(self.names, "AtMost")
        if self.k >= len(self.names):
            raise ProblemError(
                f"AtMost: {self.k} of {len(self.names)} parameters is no constraint", hint="leave it out"
            )
        return self

    def __str__(self) -> str:
        return f"at most {self.k} of {', '.join(self.names)}"

    def active(self, values: Mapping[str, ParameterValue]) -> tuple[str, ...]:
        """Return the named parameters that are not 0."""
        return tuple(name for name in self.names if values[name] != 0)

    def violation(self, values: Mapping[str, ParameterValue]) -> float:
        """Return how many parameters too many differ from 0."""
        return float(max(0, len(self.active(values)) - self.k))

    def check(self, values: Mapping[str, ParameterValue]) -> None:
        """Raise :class:`~sdl.errors.PointError` where too many parameters differ from 0."""
        active = self.active(values)
        if len(active) > self.k:
            raise PointError(
                f"{len(active)} parameters differ from 0 ({listing(active)}) where at most {self.k} of "
                f"{listing(self.names)} may",
                hint=f"set {len(active) - self.k} more of them to 0",
            )


Constraint = Annotated[LinearConstraint | Mixture | AtMost, Field(discriminator="kind")]
"""Any constraint, told apart by its field ``kind``."""


def _check_names(names: tuple[str, ...], what: str) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ProblemError(f"{what} needs at least 2 different parameters, got {listing(names) or 'none'}")
