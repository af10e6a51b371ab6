"""What a trial costs, as a function of its parameters that can be written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_serializer

from sdl.errors import ProblemError
from sdl.problem.parameters import ParameterValue
from sdl.problem.value import FrozenMap, Value


class Price(Value):
    """A sum: a fixed part, so much for each unit of a number, and so much for a choice.

    Give it to an :class:`~sdl.Experiment` as its ``cost``: the journal then records what every trial costs, and a
    planner knows it beforehand.

    Parameters
    ----------
    fixed
        What every trial costs.
    per
        Name of a numeric parameter to the price of one of its declared units: ``{"anneal_time": 2.0}``.
    of
        Name of a choice to the price of each: ``{"method": {"simulation": 0.1, "slow": 20.0}}``.

    All prices are in the unit in which the campaign's budget states its cost.
    """

    fixed: Annotated[float, Field(ge=0)] = Field(default=0.0, kw_only=False)
    per: FrozenMap[float] = Field(default_factory=dict[str, float])
    of: FrozenMap[FrozenMap[Annotated[float, Field(ge=0)]]] = Field(default_factory=dict[str, "FrozenMap[float]"])
    positional: ClassVar[tuple[str, ...]] = ("fixed",)

    if TYPE_CHECKING:

        def __init__(
            self,
            fixed: float = 0.0,
            *,
            per: Mapping[str, float] | None = None,
            of: Mapping[str, Mapping[str, float]] | None = None,
        ) -> None: ...

    @field_serializer("of")
    def _plain(self, of: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        return {name: dict(prices) for name, prices in of.items()}

    def __call__(self, values: Mapping[str, ParameterValue]) -> float:
        """Return what a trial with *values*, in their declared units, costs; never less than nothing.

        Raises
        ------
        ProblemError
            A parameter that the price depends on is missing, or a choice has no price.
        """
        numbers = sum(price * float(self._value(values, name)) for name, price in self.per.items())
        return max(0.0, self.fixed + numbers + sum(self.of_choice(name, self._value(values, name)) for name in self.of))

    def of_choice(self, name: str, choice: ParameterValue) -> float:
        """Return what *choice* of the parameter *name* adds. Raises ProblemError where it has no price."""
        prices = self.of[name]
        if choice not in prices:
            raise ProblemError(f"the choice {choice!r} of {name} has no price", hint=f"there are {', '.join(prices)}")
        return prices[str(choice)]

    @staticmethod
    def _value(values: Mapping[str, ParameterValue], name: str) -> ParameterValue:
        if name not in values:
            raise ProblemError(f"the price depends on {name}, which the trial does not have", hint="look at the names")
        return values[name]
