"""What a laboratory has in stock, and what a step uses of it: the words in which a scientist declares both."""

from __future__ import annotations

import datetime as dt
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from sdl.errors import LabError, UnitError
from sdl.problem.amount import Amount
from sdl.problem.value import Tuple, Value, as_tuple, listing

Name = Annotated[str, Field(min_length=1, pattern=r"^[^/\s][^/]*$")]
"""What people call a thing; a slash stands between a rack and its position."""


if TYPE_CHECKING:
    from pint.facets.plain import PlainQuantity

    Quantity = str | float | Amount | PlainQuantity[float]
    """A number, a quantity, or a text with both."""


def _amount(value: object) -> object:
    if isinstance(value, dict):  # from JSON
        return cast("object", value)
    return value if isinstance(value, Amount) else Amount.of(value)


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise LabError(f"{value!r} is no day", hint='write a day as "2027-01-31"') from None


AmountLike = Annotated[Amount, BeforeValidator(_amount)]
Expiry = Annotated[dt.date, BeforeValidator(_day)]


class Reagent(Value):
    """Something that is used by amount: a liquid, a powder, a gas, the life of a target.

    Parameters
    ----------
    name
        What steps call it. Several reagents of one name are lots of the same thing.
    amount
        How much there is when the laboratory is first used: ``"500 mL"``. Its unit is the one of the account.
    lot
        Which bottle or batch.
    expires
        The last day on which it may be used, as ``"2027-01-31"``; None for no end.
    tolerance
        By how much a dose may be off: a share (0.02, or ``"2 %"``) or a quantity (``"0.1 mL"``). A use may differ.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            amount: Quantity,
            *,
            lot: str = "",
            expires: dt.date | str | None = None,
            tolerance: float | str = 0.0,
        ) -> None: ...

    form: Literal["reagent"] = "reagent"
    name: Name
    amount: AmountLike
    lot: str = ""
    expires: Expiry | None = None
    tolerance: float | str = 0.0
    positional: ClassVar[tuple[str, ...]] = ("name", "amount")

    @model_validator(mode="after")
    def _has_unit(self) -> Self:
        if self.amount.unit is None:
            raise UnitError(
                f"the amount of {self.name} has no unit",
                hint='write "500 mL", or make it a Consumable if it is counted',
            )
        return self


class Consumable(Value):
    """Something that is counted and used up: tips, vials, substrates.

    Parameters
    ----------
    name
        What steps call it.
    amount
        How many there are when the laboratory is first used.
    lot, expires
        As for a :class:`Reagent`.
    """

    if TYPE_CHECKING:

        def __init__(
            self, name: str, amount: Quantity, *, lot: str = "", expires: dt.date | str | None = None
        ) -> None: ...

    form: Literal["consumable"] = "consumable"
    name: Name
    amount: AmountLike
    lot: str = ""
    expires: Expiry | None = None
    positional: ClassVar[tuple[str, ...]] = ("name", "amount")

    @property
    def tolerance(self) -> float:
        """What is counted is used exactly."""
        return 0.0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        check_count(self.name, self.amount)
        return self


def check_count(name: str, amount: Amount) -> None:
    """Raise UnitError unless *amount* is a whole number without a unit."""
    if amount.unit is not None or amount.least % 1 or amount.most % 1:
        raise UnitError(
            f"{name} is counted, and {amount} is no whole number", hint="give a whole number without a unit"
        )


def _positions(given: object) -> object:
    if isinstance(given, int) and not isinstance(given, bool):
        return tuple(str(number) for number in range(1, given + 1))
    return as_tuple(given)


class Rack(Value):
    """Places for samples, one each: a hotel, a carousel, the stage of an instrument.

    Parameters
    ----------
    name
        What steps call it.
    positions
        How many there are, or what they are called. A number gives ``"1"``, ``"2"`` and so on.
    """

    if TYPE_CHECKING:

        def __init__(self, name: str, positions: int | Sequence[str]) -> None: ...

    form: Literal["rack"] = "rack"
    name: Name
    positions: Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(_positions)]
    positional: ClassVar[tuple[str, ...]] = ("name", "positions")
    is_reusable: ClassVar[bool] = True

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        twice = [position for position, n in Counter(self.positions).items() if n > 1]
        if twice:
            raise LabError(f"rack {self.name} has {listing(twice)} twice", hint="give each position a name of its own")
        return self


class Plate(Value):
    """A plate whose wells are used once each.

    Parameters
    ----------
    name
        What steps call it. A new plate has a new name.
    rows, columns
        8 and 12 for a plate of 96: the wells are ``"A1"`` to ``"H12"``.
    """

    if TYPE_CHECKING:

        def __init__(self, name: str, *, rows: int = 8, columns: int = 12) -> None: ...

    form: Literal["plate"] = "plate"
    name: Name
    rows: Annotated[int, Field(ge=1, le=26)] = 8
    columns: Annotated[int, Field(ge=1)] = 12
    positional: ClassVar[tuple[str, ...]] = ("name",)
    is_reusable: ClassVar[bool] = False

    @property
    def positions(self) -> tuple[str, ...]:
        """The names of the wells, row by row."""
        rows = string.ascii_uppercase[: self.rows]
        return tuple(f"{row}{column}" for row in rows for column in range(1, self.columns + 1))


Material = Reagent | Consumable
Item = Annotated[Reagent | Consumable | Rack | Plate, Field(discriminator="form")]


class Stock(Value):
    """What a laboratory has when it is first used: materials, and places for samples.

    The campaign opens the accounts with these numbers once. From then on the journal knows how much is left; what comes
    in later is added with ``sdl stock``, or declared as another lot.

    Parameters
    ----------
    items
        Reagents, consumables, racks and plates.
    """

    if TYPE_CHECKING:

        def __init__(self, *items: Reagent | Consumable | Rack | Plate) -> None: ...

    items: Tuple[Item] = ()
    gathered: ClassVar[str] = "items"

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        names = [(item.name, item.lot if isinstance(item, Material) else "") for item in self.items]
        twice = [f"{name} lot {lot}" if lot else name for (name, lot), n in Counter(names).items() if n > 1]
        if twice:
            raise LabError(f"the stock has {listing(twice)} twice", hint="give lots of one material different names")
        mixed = [name for name in {name for name, _ in names} if len({item.form for item in self._called(name)}) > 1]
        if mixed:
            raise LabError(f"{listing(mixed)} of the stock is two kinds of thing", hint="give them different names")
        return self

    def _called(self, name: str) -> Sequence[Reagent | Consumable | Rack | Plate]:
        return [item for item in self.items if item.name == name]

    @property
    def materials(self) -> tuple[Reagent | Consumable, ...]:
        """What is used up."""
        return tuple(item for item in self.items if isinstance(item, Material))

    @property
    def racks(self) -> tuple[Rack | Plate, ...]:
        """Where samples are put."""
        return tuple(item for item in self.items if not isinstance(item, Material))

    def tolerance_of(self, name: str) -> float | str:
        """Return what a dose of *name* may be off by, where its use does not say."""
        return next((item.tolerance for item in self.materials if item.name == name), 0.0)

    def describe(self) -> JsonValue:
        """Return the stock as plain data."""
        described: JsonValue = self.model_dump(mode="json")["items"]
        return described


class Use(Value):
    """How much of a material a step uses.

    Parameters
    ----------
    material
        The name of a :class:`Reagent` or a :class:`Consumable`.
    amount
        A quantity, or a number of things; one by default.
    tolerance
        By how much the dose may be off: a share (0.02, or ``"2 %"``) or a quantity (``"0.1 mL"``). Left out, what the
        material says.
    """

    if TYPE_CHECKING:

        def __init__(self, material: str, amount: Quantity = 1, *, tolerance: float | str | None = None) -> None: ...

    material: Name
    amount: AmountLike = Amount(1.0, 1.0)
    tolerance: float | str | None = None
    positional: ClassVar[tuple[str, ...]] = ("material", "amount")

    def __str__(self) -> str:
        return f"{self.amount} of {self.material}"
