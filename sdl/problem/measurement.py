"""A measured number with its unit and its standard error."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sdl.problem.value import Value
from sdl.problem.writing import in_unit, with_error


class Measurement(Value):
    """One measured outcome.

    Parameters
    ----------
    value
        The number, in *unit*.
    unit
        A unit that pint knows, or None for a number without dimension.
    standard_error
        One standard deviation of *value*, in *unit*; None where it is not known.
    n_replicates
        How many repeated measurements *value* is the mean of.
    """

    value: float = Field(kw_only=False)
    unit: str | None = Field(default=None, kw_only=False)
    standard_error: Annotated[float, Field(ge=0)] | None = None
    n_replicates: Annotated[int, Field(ge=1)] = 1
    positional: ClassVar[tuple[str, ...]] = ("value", "unit")

    def __str__(self) -> str:
        return in_unit(with_error(self.value, self.standard_error), self.unit)
