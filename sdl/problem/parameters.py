"""What can be varied, and what is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from sdl.errors import PointError, ProblemError
from sdl.problem import units
from sdl.problem.value import FrozenMap, Tuple, Value, as_tuple, listing

ParameterValue = float | str
"""What a canonical point holds for a parameter: a float in the declared unit, or the name of a choice."""

SNAP = 1e-12
"""What a person writes may miss a bound or a level by this, relative to it, and counts as it: arithmetic rounds."""


def _positive_zero(value: float) -> float:
    return value + 0.0  # -0.0 and 0.0 are one number, and must be one text


Number = Annotated[float, AfterValidator(_positive_zero)]
"""A finite float; -0.0 becomes 0.0."""


def _unit(unit: str | None) -> str | None:
    units.check_unit(unit, name="unit")
    return unit


Unit = Annotated[str | None, AfterValidator(_unit)]
"""None, or a unit that pint knows."""


def convert_fields(data: object, *names: str) -> object:
    """Convert the named fields of raw *data* to the number that they are in the field ``unit``."""
    if not isinstance(data, Mapping):
        return data
    fields = dict(cast("Mapping[str, object]", data))
    for name in names:
        if name in fields:
            fields[name] = _converted(fields[name], fields.get("unit"), name)
    return fields


def _converted(value: Any, unit: object, name: str) -> object:
    """Convert *value*; what is no number or quantity stays, for the type check to refuse."""
    if isinstance(value, (bool, list, tuple, Mapping, type(None))) or not isinstance(unit, (str, type(None))):
        return cast("object", value)
    return units.to_unit_or_bare(value, unit, name=name)


def _number(name: str, value: object, unit: str | None) -> float:
    """The float that a canonical point holds, or PointError."""
    found = units.number(value)
    if found is None or not math.isfinite(found):
        raise PointError(
            f"{name} = {value!r} is not a finite number", hint=f"give a number{f' in {unit}' if unit else ''}"
        )
    return found


def _snapped(value: float, marks: Sequence[float]) -> float:
    """Return the mark that *value* misses by rounding only, else *value*."""
    nearest = min(marks, key=lambda mark: abs(mark - value))
    scale = abs(nearest) or max(map(abs, marks))
    return nearest if abs(value - nearest) <= SNAP * scale else value


def is_empty(value: object) -> bool:
    """Tell whether a field holds nothing, and is left out of JSON."""
    return not value


def described_in_order(name: str, values: object, choices: Sequence[str]) -> object:
    """Return the numbers of one descriptor in the order of *choices*, where they were given by choice."""
    if not isinstance(values, Mapping):
        tolist = getattr(values, "tolist", None)
        return as_tuple(values if tolist is None else tolist())
    numbers = cast("Mapping[str, object]", values)
    if missing := [choice for choice in choices if choice not in numbers]:
        raise ProblemError(f"the descriptor {name!r} lacks {missing[0]!r}", hint="give a number for each choice")
    if unknown := [choice for choice in numbers if choice not in choices]:
        raise ProblemError(f"the descriptor {name!r} describes {unknown[0]!r}, which is no choice")
    return tuple(numbers[choice] for choice in choices)


def check_descriptors(descriptors: Mapping[str, Sequence[float]], n: int, what: str) -> None:
    """Refuse descriptors that do not give one number for each of *n* choices or rows, or all the same."""
    for name, values in descriptors.items():
        if len(values) != n:
            raise ProblemError(f"the descriptor {name!r} has {len(values)} numbers for {n} {what}")
        if min(values) == max(values):
            raise ProblemError(
                f"the descriptor {name!r} is {values[0]} for all {n} {what}: it tells nothing", hint="leave it out"
            )


class Continuous(Value):
    """A number between two bounds, both included.

    Parameters
    ----------
    low, high
        The bounds: numbers in *unit*, or quantities and texts such as ``"10 mPa"``, which are converted to it.
    unit
        A unit that pint knows; None for a plain number.
    log
        Whether the parameter acts through its logarithm; the bounds are positive then.
    context
        Whether the laboratory gives the value instead of the planner.
    """

    low: Number
    high: Number
    unit: Unit = None
    log: bool = False
    context: bool = False
    kind: Literal["continuous"] = "continuous"
    positional: ClassVar[tuple[str, ...]] = ("low", "high")

    if TYPE_CHECKING:

        def __init__(
            self, low: object, high: object, *, unit: str | None = None, log: bool = False, context: bool = False
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        return convert_fields(data, "low", "high")

    @model_validator(mode="after")
    def _ordered(self) -> Continuous:
        if not self.low < self.high:
            raise ProblemError(
                f"Continuous({self.low}, {self.high}): the lower bound must lie below the upper bound",
                hint="use Fixed(value) for a parameter with one value" if self.low == self.high else "swap the bounds",
            )
        if not math.isfinite(self.high - self.low):
            raise ProblemError(f"Continuous({self.low}, {self.high}): the range is wider than a float can hold")
        if self.log and not self.low > 0:
            raise ProblemError(
                f"Continuous({self.low}, {self.high}): a log parameter needs a positive lower bound",
                hint="raise the bound, or drop log=True",
            )
        return self

    def contains(self, value: object) -> bool:
        """Tell whether *value*, in the declared unit, lies within the bounds."""
        found = units.number(value)
        return found is not None and self.low <= found <= self.high

    def check(self, name: str, value: object) -> None:
        """Raise :class:`~sdl.errors.PointError` unless *value* lies within the bounds."""
        if self.contains(value):
            return
        found = _number(name, value, self.unit)
        side = f"below its lower bound {self.low}" if found < self.low else f"above its upper bound {self.high}"
        raise PointError(
            f"{name} = {units.show(found, self.unit)} lies {units.show(side, self.unit)}",
            hint=f"choose a value in {units.show(f'[{self.low}, {self.high}]', self.unit)}",
        )

    def canonical(self, name: str, value: object) -> float:
        """Convert what a person wrote to a float in the declared unit."""
        found = units.to_unit(value, self.unit, name=name)
        return found + 0.0 if self.low <= found <= self.high else _snapped(found, (self.low, self.high))


class Discrete(Value):
    """One of several numbers, in ascending order.

    Parameters
    ----------
    values
        At least two numbers in *unit*, ascending; quantities and texts such as ``"10 mPa"`` are converted to it.
    unit
        A unit that pint knows; None for plain numbers.
    context
        Whether the laboratory gives the value instead of the planner.
    """

    values: Tuple[Number]
    unit: Unit = None
    context: bool = False
    kind: Literal["discrete"] = "discrete"
    positional: ClassVar[tuple[str, ...]] = ("values",)

    if TYPE_CHECKING:

        def __init__(self, values: Iterable[object], *, unit: str | None = None, context: bool = False) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        fields = dict(cast("Mapping[str, object]", data))
        values = as_tuple(fields.get("values"))
        if isinstance(values, tuple):
            unit = fields.get("unit")
            fields["values"] = tuple(_converted(v, unit, "values") for v in cast("tuple[object, ...]", values))
        return fields

    @model_validator(mode="after")
    def _ascending(self) -> Discrete:
        if len(self.values) < 2:
            raise ProblemError(
                f"a Discrete parameter needs at least 2 values, got {len(self.values)}", hint="use Fixed"
            )
        for before, after in zip(self.values, self.values[1:], strict=False):
            if not before < after:
                raise ProblemError(f"the values of a Discrete parameter must ascend, got {before} before {after}")
        return self

    def contains(self, value: object) -> bool:
        """Tell whether *value*, in the declared unit, is one of the values."""
        found = units.number(value)
        return found is not None and found in self.values

    def check(self, name: str, value: object) -> None:
        """Raise :class:`~sdl.errors.PointError` unless *value* is one of the values."""
        if not self.contains(value):
            found = _number(name, value, self.unit)
            raise PointError(
                f"{name} = {units.show(found, self.unit)} is none of its {len(self.values)} values",
                hint=f"choose one of {units.show(listing(self.values), self.unit)}",
            )

    def canonical(self, name: str, value: object) -> float:
        """Convert what a person wrote to a float in the declared unit."""
        found = units.to_unit(value, self.unit, name=name)
        return _snapped(found, self.values)


class Categorical(Value):
    """One of several names without order.

    Parameters
    ----------
    choices
        At least two different, non-empty texts.
    context
        Whether the laboratory gives the value instead of the planner.
    target
        The choice that counts, where the others only approximate what it gives: the slow measurement beside a quick one
        and a simulation. The planner chooses among them by their prices; only trials at the target can be the best.
    descriptors
        Name to numbers that say what a choice is like (the polarity of a solvent): one for each choice, in order, or by
        choice. Planners with a model learn from choices what similar ones would give.
    """

    choices: Tuple[str]
    context: bool = False
    target: str | None = None
    descriptors: Annotated[FrozenMap[Tuple[Number]], Field(exclude_if=is_empty)] = Field(default_factory=dict)
    kind: Literal["categorical"] = "categorical"
    positional: ClassVar[tuple[str, ...]] = ("choices",)
    unit: ClassVar[None] = None

    if TYPE_CHECKING:

        def __init__(
            self,
            choices: Iterable[str],
            *,
            context: bool = False,
            target: str | None = None,
            descriptors: Mapping[str, Sequence[float] | Mapping[str, float]] | None = None,
        ) -> None: ...

    @field_validator("choices", mode="before")
    @classmethod
    def _iterable(cls, choices: object) -> object:
        return as_tuple(choices)

    @field_validator("descriptors", mode="before")
    @classmethod
    def _in_order(cls, descriptors: Any, info: ValidationInfo) -> object:
        if not isinstance(descriptors, Mapping) or "choices" not in info.data:
            return {} if descriptors is None else cast("object", descriptors)
        given = cast("Mapping[str, object]", descriptors)
        return {name: described_in_order(name, values, info.data["choices"]) for name, values in given.items()}

    @model_validator(mode="after")
    def _distinct(self) -> Categorical:
        if len(self.choices) < 2:
            raise ProblemError(
                f"a Categorical parameter needs at least 2 choices, got {len(self.choices)}", hint="use Fixed"
            )
        repeated = [choice for index, choice in enumerate(self.choices) if choice in self.choices[:index]]
        if repeated or "" in self.choices:
            raise ProblemError(f"choices must differ and not be empty, got {(repeated or [''])[0]!r}")
        return self

    def __hash__(self) -> int:
        return hash((self.choices, self.context, self.target, tuple(self.descriptors.items())))

    @model_validator(mode="after")
    def _described(self) -> Categorical:
        check_descriptors(self.descriptors, len(self.choices), "choices")
        if self.descriptors and self.target is not None:
            raise ProblemError("approximations of a target are told apart by what they give", hint="drop descriptors")
        return self

    @model_validator(mode="after")
    def _has_target(self) -> Categorical:
        if self.target is None:
            return self
        if self.target not in self.choices:
            raise ProblemError(f"target {self.target!r} is none of the choices", hint=f"name {listing(self.choices)}")
        return self

    def contains(self, value: object) -> bool:
        """Tell whether *value* is one of the choices."""
        return isinstance(value, str) and value in self.choices

    def check(self, name: str, value: object) -> None:
        """Raise :class:`~sdl.errors.PointError` unless *value* is one of the choices."""
        if not self.contains(value):
            raise PointError(
                f"{name} = {value!r} is none of its choices", hint=f"choose one of {listing(self.choices)}"
            )

    def canonical(self, name: str, value: object) -> str:
        """Return *value* as it is; a choice has no unit."""
        if not isinstance(value, str):
            self.check(name, value)
        return str(value)


class Fixed(Value):
    """A value that does not vary, kept with every point.

    Parameters
    ----------
    value
        A number in *unit*, or a text. With a unit, a text such as ``"10 mPa"`` or a quantity is converted to it.
    unit
        A unit that pint knows; None for a plain number or a text.
    """

    value: Number | str
    unit: Unit = None
    kind: Literal["fixed"] = "fixed"
    positional: ClassVar[tuple[str, ...]] = ("value",)
    context: ClassVar[bool] = False

    if TYPE_CHECKING:

        def __init__(self, value: object, *, unit: str | None = None) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        fields = cast("Mapping[str, object]", data)
        is_text = fields.get("unit") is None and isinstance(fields.get("value"), str)
        return fields if is_text else convert_fields(fields, "value")

    def contains(self, value: object) -> bool:
        """Tell whether *value* is the fixed value."""
        if isinstance(self.value, str):
            return isinstance(value, str) and value == self.value
        return units.number(value) == self.value

    def check(self, name: str, value: object) -> None:
        """Raise :class:`~sdl.errors.PointError` unless *value* is the fixed value."""
        if not self.contains(value):
            fixed = units.show(repr(self.value), self.unit)
            raise PointError(f"{name} = {value!r} differs from its fixed value {fixed}", hint="leave it out")

    def canonical(self, name: str, value: object) -> ParameterValue:
        """Convert what a person wrote to what the parameter holds."""
        if isinstance(self.value, str):
            self.check(name, value)
            return self.value
        found = units.to_unit(value, self.unit, name=name)
        return _snapped(found, (self.value,))


Parameter = Annotated[Continuous | Discrete | Categorical | Fixed, Field(discriminator="kind")]
"""Any parameter, told apart by its field ``kind``."""
