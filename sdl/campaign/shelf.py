"""Choosing lots: what expires first is used first, and a dose of a liquid comes out of one bottle."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from sdl.lab.books import ZERO, Account, Lot, exact, total
from sdl.lab.ledger import Ledger
from sdl.problem.amount import Amount
from sdl.problem.value import listing


class Shelf:
    """What is free today, less what has been taken from here: for finding out whether several needs can be met at once.

    Only the lower end of what may be left counts.
    """

    def __init__(self, ledger: Ledger, day: dt.date) -> None:
        self._ledger = ledger
        self._day = day
        self._taken: dict[tuple[str, str], Decimal] = {}
        self._wanted: dict[str, Amount] = {}
        self._short: set[str] = set()

    def take(self, material: str, amount: Amount) -> Sequence[tuple[Lot, Amount]]:
        """Take *amount*, and return from which lots; nothing where there is too little."""
        before = self._wanted.get(material, Amount(0.0, 0.0, amount.unit))
        self._wanted[material] = Amount(before.least + amount.least, before.most + amount.most, amount.unit)
        chosen = self._choose(material, amount)
        if not chosen:
            self._short.add(material)
        for lot, part in chosen:
            place = (material, lot.name)
            self._taken[place] = total(self._taken.get(place, ZERO), exact(part.most))
        return chosen

    @property
    def missing(self) -> tuple[str, ...]:
        """What there is too little of, and why, in words."""
        return tuple(self._explain(material) for material in self._wanted if material in self._short)

    def _choose(self, material: str, amount: Amount) -> Sequence[tuple[Lot, Amount]]:
        if material not in self._ledger.materials:
            return []
        lots = [lot for lot in self._ledger.lots(material) if not lot.is_expired(self._day)]
        if self._ledger.form(material) == "consumable":
            return self._gather(lots, exact(amount.most))
        enough = next((lot for lot in lots if self._free(lot) >= exact(amount.most)), None)
        return [] if enough is None else [(enough, amount)]

    def _gather(self, lots: Sequence[Lot], wanted: Decimal) -> Sequence[tuple[Lot, Amount]]:
        """Take things that are counted from several lots."""
        parts: list[tuple[Lot, Amount]] = []
        for lot in lots:
            part = float(min(wanted, self._free(lot)))
            if part > 0:
                parts.append((lot, Amount(part, part, lot.unit)))
                wanted = total(wanted, -exact(part))
        return [] if wanted > 0 else parts

    def _free(self, lot: Lot) -> Decimal:
        return total(lot.worst[Account.STOCK], -self._taken.get((lot.material, lot.name), ZERO))

    def _explain(self, material: str) -> str:
        amount = self._wanted[material]
        wanted = f"{Amount(amount.most, amount.most, amount.unit)} of {material}"
        if material not in self._ledger.materials:
            return f"{wanted}: the stock has {listing(self._ledger.materials) or 'nothing'}"
        balance = self._ledger.balance(material, self._day)
        parts = [f"{balance.usable} is free"]
        parts += [f"{balance.reserved} is set aside for other steps"] if balance.reserved.most else []
        parts += [
            f"lot {lot.lot or 'without a name'} expired on {lot.expires}" for lot in balance.lots if lot.is_expired
        ]
        if len(balance.lots) > 1 and balance.form == "reagent":
            parts.append("a dose comes from one lot")
        return f"{wanted}: {', '.join(parts)}"
