"""The account of one lot of material: double entry, in two books.

How much a step used is often known only between two ends. So each lot has two books. In the *worst* one every uncertain
amount went against you, in the *best* one in your favour; the truth lies between them. Each book is ordinary double
entry: what leaves one account enters another, so that the sum over all accounts is zero at any time, to the last digit.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import StrEnum
from functools import reduce
from typing import NamedTuple

from sdl.errors import JournalCorrupt
from sdl.problem.amount import Amount

ZERO = Decimal(0)
_EXACT = Context(prec=1000)  # any sum of floats, from 1e-324 to 1e308, has fewer digits: nothing is ever rounded


def total(*values: Decimal) -> Decimal:
    """Return the sum, without rounding."""
    return reduce(_EXACT.add, values, ZERO)


def exact(value: float) -> Decimal:
    """Return the decimal number that people see of a float: ten times 0.1 mL is 1 mL."""
    return Decimal(repr(value))


class Account(StrEnum):
    """Where material can be. Amounts go from one account to another, and never appear or vanish."""

    SUPPLY = "supply"  # the world outside: what was ever added, with a minus
    STOCK = "stock"  # on the shelf, free for anybody
    RESERVED = "reserved"  # on the shelf, set aside for a step
    CONSUMED = "consumed"  # used by steps
    SETTLED = "settled"  # what a count showed of consumption that was uncertain
    UNEXPLAINED = "unexplained"  # what a count missed beyond that; with a minus, what it found too much


class Posting(NamedTuple):
    """An amount that goes from one account to another: so much in the worst book, so much in the best."""

    source: Account
    target: Account
    worst: Decimal
    best: Decimal


class Key(NamedTuple):
    """Whom a reservation is for."""

    campaign: str
    trial: int
    step: str


@dataclass(slots=True)
class Lot:
    """The books of one lot. Amounts are in *unit*."""

    material: str
    name: str
    form: str
    unit: str | None
    expires: dt.date | None
    opening: Amount
    number: int
    worst: dict[Account, Decimal] = field(default_factory=lambda: dict.fromkeys(Account, ZERO))
    best: dict[Account, Decimal] = field(default_factory=lambda: dict.fromkeys(Account, ZERO))
    reserved: dict[Key, Amount] = field(default_factory=dict[Key, Amount])

    def __str__(self) -> str:
        return f"{self.material} lot {self.name}" if self.name else self.material

    # --- what is in the books -----------------------------------------------------------------------------------------

    def amount(self, account: Account) -> Amount:
        """Return what is in *account*, between the two books."""
        return self._between(self.worst[account], self.best[account])

    @property
    def left(self) -> Amount:
        """What is on the shelf, set aside or not."""
        worst, best = (total(book[Account.STOCK], book[Account.RESERVED]) for book in (self.worst, self.best))
        return self._between(worst, best)

    @property
    def unexplained(self) -> float:
        """What counts missed beyond all that steps can have used, in the unit; below 0 where they found too much."""
        return float(self.best[Account.UNEXPLAINED])

    def is_expired(self, day: dt.date) -> bool:
        """Tell whether it may not be used any more on *day*."""
        return self.expires is not None and day > self.expires

    def _between(self, a: Decimal, b: Decimal) -> Amount:
        return Amount(float(max(ZERO, min(a, b))), float(max(ZERO, a, b)), self.unit)

    # --- what is posted -----------------------------------------------------------------------------------------------

    def add(self, amount: Amount) -> None:
        """Take in what came."""
        self._post(Posting(Account.SUPPLY, Account.STOCK, exact(amount.least), exact(amount.most)))

    def reserve(self, key: Key, amount: Amount) -> None:
        """Set the upper end of *amount* aside."""
        most = exact(amount.most)
        if key in self.reserved or most > self.worst[Account.STOCK]:
            raise JournalCorrupt(
                f"{amount} of {self} cannot be set aside for {key}: {self.amount(Account.STOCK)} is free"
            )
        self._post(Posting(Account.STOCK, Account.RESERVED, most, most))
        self.reserved[key] = amount

    def release(self, key: Key) -> None:
        """Put back what was set aside."""
        most = self._taken(key)
        self._post(Posting(Account.RESERVED, Account.STOCK, most, most))

    def consume(self, key: Key, amount: Amount) -> None:
        """Book *amount* of what was set aside as used, and put the rest back."""
        least, most, reserved = exact(amount.least), exact(amount.most), self._taken(key)
        if most > reserved:
            raise JournalCorrupt(f"{key} used {amount} of {self}, and {reserved} was set aside")
        self._post(Posting(Account.RESERVED, Account.CONSUMED, most, least))
        self._post(Posting(Account.RESERVED, Account.STOCK, total(reserved, -most), total(reserved, -least)))

    def count(self, amount: Amount) -> list[tuple[Key, Amount]]:
        """Go on from what a person found on the shelf; return what is booked with it as used by unfinished steps.

        What the count shows of uncertain consumption is settled; what consumption cannot explain is unexplained. What
        is still set aside belongs to steps that were cut off: each may have used all of it or nothing.
        """
        cut_off = [(key, Amount(0.0, amount.most, self.unit)) for key, amount in self.reserved.items()]
        for key, used in cut_off:
            self.consume(key, used)
        fewest, most = exact(amount.least), exact(amount.most)
        worst, best = self.worst[Account.STOCK], self.best[Account.STOCK]
        missing = max(total(worst, -most), ZERO) or min(total(best, -fewest), ZERO)
        self._post(Posting(Account.STOCK, Account.UNEXPLAINED, missing, missing))
        settled = (total(worst, -missing, -fewest), total(best, -missing, -most))
        self._post(Posting(Account.STOCK, Account.SETTLED, *settled))
        return cut_off

    def _taken(self, key: Key) -> Decimal:
        if key not in self.reserved:
            raise JournalCorrupt(f"nothing of {self} is set aside for {key}")
        return exact(self.reserved.pop(key).most)

    def _post(self, posting: Posting) -> None:
        source, target, worst, best = posting
        for book, value in ((self.worst, worst), (self.best, best)):
            book[source] = _EXACT.subtract(book[source], value)
            book[target] = _EXACT.add(book[target], value)

    def check(self) -> None:
        """Raise JournalCorrupt unless both books balance and the worst one does not promise more than the best."""
        if total(*self.worst.values()) or total(*self.best.values()):
            raise JournalCorrupt(f"the books of {self} do not balance")
        if not ZERO <= self.worst[Account.STOCK] <= self.best[Account.STOCK]:
            raise JournalCorrupt(f"the books of {self} say that {self.worst[Account.STOCK]} or more is left")
