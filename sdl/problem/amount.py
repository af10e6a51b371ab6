"""How much of something there is, or was used: a quantity that is known to lie between two ends."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from sdl.errors import ProblemError, UnitError
from sdl.problem import units
from sdl.problem.value import Value
from sdl.problem.writing import number

_DIGITS = 6


class Amount(Value):
    """A quantity of material, between *least* and *most* of a unit.

    Parameters
    ----------
    least, most
        The ends, from 0. They are the same where the quantity is known exactly.
    unit
        A unit that pint knows; None for things that are counted.
    """

    least: Annotated[float, Field(ge=0)] = Field(kw_only=False)
    most: Annotated[float, Field(ge=0)] = Field(kw_only=False)
    unit: str | None = Field(default=None, kw_only=False)
    positional: ClassVar[tuple[str, ...]] = ("least", "most", "unit")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ProblemError(f"an amount of {self.least:g} to {self.most:g} ends before it begins")
        return self

    @classmethod
    def of(cls, value: object, *, name: str = "amount") -> Self:
        """Return the amount that is meant by a number, a quantity, or a text such as ``"500 mL"``."""
        found, unit = units.split(value, name=name)
        units.check_unit(unit, name=name)
        return cls(found, found, unit)

    @property
    def is_exact(self) -> bool:
        """Whether both ends are the same."""
        return self.least == self.most

    def contains(self, value: float) -> bool:
        """Tell whether *value*, in the unit of the amount, lies between the ends or on one of them."""
        return self.least <= value <= self.most

    def to(self, unit: str | None, *, name: str = "amount") -> Amount:
        """Return the same amount in another unit. Raises UnitError where it does not convert."""
        return Amount(
            units.convert(self.least, self.unit, unit, name=name),
            units.convert(self.most, self.unit, unit, name=name),
            unit,
        )

    def give_or_take(self, tolerance: float | str, *, name: str = "tolerance") -> Amount:
        """Return the amount widened by *tolerance* to both sides, and not below 0.

        Parameters
        ----------
        tolerance
            A share of the amount (0.02, or ``"2 %"``), or a quantity (``"0.1 mL"``).
        """
        share, unit = units.split(tolerance, name=name)
        if share < 0:
            raise UnitError(f"{name} = {tolerance} is negative", hint='write it as "2 %" or as "0.1 mL"')
        if unit in {None, "%"}:
            share = share / 100 if unit else share
            return Amount(max(0.0, self.least - share * self.least), self.most + share * self.most, self.unit)
        width = units.convert_difference(share, unit, self.unit, name=name)
        return Amount(max(0.0, self.least - width), self.most + width, self.unit)

    def __str__(self) -> str:
        # With the unit as it was declared: an account that was opened in mL is not read in ml.
        text = (
            number(self.least, _DIGITS)
            if self.is_exact
            else f"{number(self.least, _DIGITS)} to {number(self.most, _DIGITS)}"
        )
        return f"{text} {self.unit}" if self.unit else text
