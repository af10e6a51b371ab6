"""What is wanted of the outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from sdl.errors import ProblemError
from sdl.problem.parameters import Number, Unit, convert_fields
from sdl.problem.value import Value

OutcomeName = Annotated[str, Field(min_length=1)]


class Minimize(Value):
    """The smaller the outcome, the better.

    Parameters
    ----------
    outcome
        The name of the outcome.
    unit
        The unit in which the outcome is kept; None for a plain number.
    reference
        A value of the outcome just worse than anything of interest, for the hypervolume with several objectives: a
        number in *unit*, or a quantity or text that is converted to it.
    """

    outcome: OutcomeName
    unit: Unit = None
    reference: Number | None = None
    kind: Literal["minimize"] = "minimize"
    positional: ClassVar[tuple[str, ...]] = ("outcome",)

    if TYPE_CHECKING:

        def __init__(self, outcome: str, *, unit: str | None = None, reference: object = None) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        return convert_fields(data, "reference")

    def score(self, value: float) -> float:
        """Return how good *value* is; higher is better."""
        return -value


class Maximize(Value):
    """The greater the outcome, the better. Parameters as for :class:`Minimize`."""

    outcome: OutcomeName
    unit: Unit = None
    reference: Number | None = None
    kind: Literal["maximize"] = "maximize"
    positional: ClassVar[tuple[str, ...]] = ("outcome",)

    if TYPE_CHECKING:

        def __init__(self, outcome: str, *, unit: str | None = None, reference: object = None) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        return convert_fields(data, "reference")

    def score(self, value: float) -> float:
        """Return how good *value* is; higher is better."""
        return value


class Target(Value):
    """The outcome should have a value, or lie in a range.

    Parameters
    ----------
    outcome
        The name of the outcome.
    value
        The value wanted: a number in *unit*, or a quantity or text that is converted to it. Either this, or a range.
    low, high
        The range wanted, in the same way.
    unit
        The unit in which the outcome is kept; None for a plain number.
    reference
        A value of the outcome just farther away than anything of interest, for the hypervolume.
    """

    outcome: OutcomeName
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    unit: Unit = None
    reference: Number | None = None
    kind: Literal["target"] = "target"
    positional: ClassVar[tuple[str, ...]] = ("outcome",)

    if TYPE_CHECKING:

        def __init__(
            self,
            outcome: str,
            *,
            value: object = None,
            low: object = None,
            high: object = None,
            unit: str | None = None,
            reference: object = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        return convert_fields(data, "value", "low", "high", "reference")

    @model_validator(mode="after")
    def _one_target(self) -> Target:
        is_range = self.low is not None and self.high is not None
        is_partial = (self.low is None) != (self.high is None)
        if is_partial or (self.value is not None) == is_range:
            raise ProblemError(
                f"Target {self.outcome!r} needs either value= or both low= and high=",
                hint="for one bound alone, use OutcomeConstraint",
            )
        if is_range and not self.range[0] < self.range[1]:
            raise ProblemError(f"Target {self.outcome!r}: low = {self.low} must lie below high = {self.high}")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """The wanted range; both ends are the value where a value is wanted."""
        if self.value is not None:
            return self.value, self.value
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def score(self, value: float) -> float:
        """Return minus the distance to the target; 0 is best."""
        low, high = self.range
        if low <= value <= high:
            return 0.0
        return value - low if value < low else high - value


Objective = Annotated[Minimize | Maximize | Target, Field(discriminator="kind")]
"""Any objective, told apart by its field ``kind``."""


class OutcomeConstraint(Value):
    """A limit that an outcome must keep for a trial to count.

    Parameters
    ----------
    outcome
        The name of the outcome.
    lower, upper
        The limits, both included; at least one. Numbers in *unit*, or quantities and texts that are converted to it.
    unit
        The unit in which the outcome is kept; None for a plain number.
    """

    outcome: OutcomeName
    lower: Number | None = None
    upper: Number | None = None
    unit: Unit = None
    positional: ClassVar[tuple[str, ...]] = ("outcome",)

    if TYPE_CHECKING:

        def __init__(
            self, outcome: str, *, lower: object = None, upper: object = None, unit: str | None = None
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        return convert_fields(data, "lower", "upper")

    @model_validator(mode="after")
    def _ordered(self) -> OutcomeConstraint:
        if self.lower is None and self.upper is None:
            raise ProblemError(f"the constraint on {self.outcome!r} has no limit", hint="give lower=, upper= or both")
        if self.lower is not None and self.upper is not None and not self.lower <= self.upper:
            raise ProblemError(
                f"the constraint on {self.outcome!r} cannot be met: lower = {self.lower} exceeds upper = {self.upper}"
            )
        return self

    def is_met(self, value: float) -> bool:
        """Tell whether *value*, in the unit of the constraint, keeps the limits; NaN does not."""
        return self.violation(value) == 0

    def violation(self, value: float) -> float:
        """Return by how much *value* breaks a limit, 0 where it breaks none; NaN for NaN."""
        if self.lower is not None and not value >= self.lower:
            return self.lower - value
        if self.upper is not None and not value <= self.upper:
            return value - self.upper
        return 0.0
