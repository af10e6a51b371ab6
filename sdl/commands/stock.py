"""``sdl stock``: what is left, and what a person has counted, added, taken out or looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sdl.campaign.identity import signed
from sdl.commands.output import say, say_json, say_table, title
from sdl.commands.stores import find_store, reading
from sdl.errors import LabError, ProblemError
from sdl.failpoints import fail_point
from sdl.journal import Entry, Journal, open_journal
from sdl.journal.materials import MaterialAdded, MaterialBody, MaterialCounted, SampleMarked, SampleMoved, SampleState
from sdl.lab.books import Lot
from sdl.lab.clock import WallClock
from sdl.lab.ledger import Balance, Ledger, LotBalance
from sdl.lab.materials import Consumable, Reagent, check_count
from sdl.problem.amount import Amount
from sdl.problem.value import listing

NO_CAMPAIGN = ""
"""The shelf belongs to all campaigns of a store: what a person books for it concerns none of them by name."""


@dataclass(frozen=True)
class Slip:
    """What a person says with an entry.

    Parameters
    ----------
    by, because
        Who, and why.
    lot, expires
        Which lot; the last day of a new one.
    tolerance
        By how much a count may be off.
    """

    by: str | None = None
    because: str | None = None
    lot: str | None = None
    expires: str | None = None
    tolerance: str | None = None


def stock(words: Sequence[str], slip: Slip, *, as_json: bool) -> None:
    """Show the stock of a store, after booking what *words* say."""
    store, action, rest = read_words(words)
    if action is not None:
        book(store, action, rest, slip)
    with reading(store) as journal:
        ledger, day = Ledger.of(journal), today(journal)
        campaigns = tuple(journal.campaigns)
    if as_json:
        say_json({"store": str(store), "day": day.isoformat(), **stock_json(ledger, day, campaigns)})
    else:
        say_stock(ledger, day, campaigns)


def read_words(words: Sequence[str]) -> tuple[Path, str | None, Sequence[str]]:
    """Take ``[STORE] [ACTION ...]`` apart."""
    is_store_named = bool(words) and (words[0] not in ACTIONS or Path(words[0]).is_dir())
    store = find_store(Path(words[0]) if is_store_named else None)
    rest = words[1:] if is_store_named else words
    if not rest:
        return store, None, ()
    if rest[0] not in ACTIONS:
        raise ProblemError(f"sdl stock does not know {rest[0]!r}", hint=f"it knows {', '.join(ACTIONS)}")
    return store, rest[0], rest[1:]


def today(journal: Journal) -> dt.date:
    """Return the day by the laboratory's clock: the machine's, or that of the last step in virtual time."""
    sessions = list(journal.read(kinds=("session.started",)))
    body: Any = sessions[-1].body if sessions else None
    if body is None or not body.is_virtual:
        return dt.datetime.fromtimestamp(WallClock().time(), dt.UTC).date()
    began = sessions[-1]
    later = list(journal.read(began.sequence, campaign=began.campaign, kinds=("step.ended", "session.ended")))
    return (later[-1] if later else began).time.date()


# --- writing ----------------------------------------------------------------------------------------------------------


def book(store: Path, action: str, words: Sequence[str], slip: Slip) -> None:
    """Record what a person did or found. JournalLocked while a campaign runs on the store."""
    needed, write = ACTIONS[action]
    if len(words) != len(needed):
        raise ProblemError(f"sdl stock {action} takes {' and '.join(needed)}, got {listing(words) or 'nothing'}")
    if not slip.by:
        raise ProblemError("who says so?", hint="add --by NAME; it stands in the journal")
    if not slip.because and action != "add":
        raise ProblemError("why?", hint='add --because "what you did or saw"; it stands in the journal')
    by = signed(slip.by)
    with open_journal(store) as journal:
        bodies = write(Ledger.of(journal), *words, slip)
        fail_point("stock.before_write")
        journal.append(*(Entry(body, NO_CAMPAIGN, actor=by) for body in bodies))
        fail_point("stock.written")


def _count(ledger: Ledger, material: str, amount: str, slip: Slip) -> list[MaterialBody]:
    lot = _lot(ledger, material, slip.lot)
    counted = _amount(ledger, material, amount)
    if slip.tolerance:
        counted = counted.give_or_take(slip.tolerance)
    return [MaterialCounted(material=material, lot=lot.name, amount=counted, because=slip.because or "")]


def _lot(ledger: Ledger, material: str, name: str | None) -> Lot:
    lots = ledger.lots(material)
    if name is None:
        there = [lot for lot in lots if lot.left.most > 0] or [lots[-1]]
        if len(there) > 1:
            raise LabError(
                f"there are {len(there)} lots of {material}",
                hint=f"say which: --lot with one of {listing(lot.name for lot in there)}",
            )
        return there[0]
    found = ledger.lot(material, name)
    if found is None:
        raise LabError(f"there is no lot {name!r} of {material}", hint=f"there is {listing(lot.name for lot in lots)}")
    return found


def _add(ledger: Ledger, material: str, amount: str, slip: Slip) -> list[MaterialBody]:
    added = _amount(ledger, material, amount)
    kind = Consumable if added.unit is None else Reagent
    item = kind(material, added, lot=slip.lot or "", expires=slip.expires)
    expires = None if item.expires is None else item.expires.isoformat()
    body = MaterialAdded(
        material=item.name, lot=item.lot, form=item.form, amount=added, expires=expires, because=slip.because or ""
    )
    return [body]


def _amount(ledger: Ledger, material: str, text: str) -> Amount:
    amount = Amount.of(text, name=material)
    if material in ledger.materials:
        amount = amount.to(ledger.unit(material), name=material)
    if amount.unit is None:
        check_count(material, amount)
    return amount


def _clear(ledger: Ledger, place: str, slip: Slip) -> list[MaterialBody]:
    rack, _, position = place.partition("/")
    if rack not in ledger.racks:
        raise LabError(f"there is no rack {rack!r}", hint=f"there is {listing(ledger.racks) or 'none'}")
    taken = ledger.racks[rack].taken
    names = dict.fromkeys(name for where, name in taken.items() if not position or where == position)
    if not names:
        raise LabError(f"there is no sample in {place}", hint=f"there is one in {listing(taken) or 'no position'}")
    return [SampleMoved(sample=name, position=None, because=slip.because or "") for name in names]


def _mark(ledger: Ledger, sample: str, state: str, slip: Slip) -> list[MaterialBody]:
    if state not in set(SampleState):
        raise LabError(f"{state!r} is no state of a sample", hint=f"one of {', '.join(SampleState)}")
    return [SampleMarked(sample=ledger.sample(sample).name, state=SampleState(state), because=slip.because or "")]


ACTIONS: Mapping[str, tuple[Sequence[str], Callable[..., list[MaterialBody]]]] = {
    "count": (("MATERIAL", "AMOUNT"), _count),
    "add": (("MATERIAL", "AMOUNT"), _add),
    "clear": (("RACK or RACK/POSITION",), _clear),
    "mark": (("SAMPLE", "STATE"), _mark),
}
"""What can be booked: the words that it takes, and what makes entries of them."""


# --- showing ----------------------------------------------------------------------------------------------------------


def stock_json(ledger: Ledger, day: dt.date, campaigns: Sequence[str]) -> dict[str, JsonValue]:
    """Return the stock for programs."""
    racks: dict[str, JsonValue] = {
        rack.name: {"positions": list(rack.positions), "free": list(rack.free), "taken": dict(rack.taken)}
        for rack in ledger.racks.values()
    }
    return {
        "materials": [ledger.balance(name, day).model_dump(mode="json") for name in ledger.materials],
        "racks": racks,
        "samples": [sample.model_dump(mode="json") for sample in ledger.samples],
        "waiting": [
            {"campaign": name, "trial": trial, "step": body.step, "missing": list(body.missing)}
            for name in campaigns
            for trial, body in ledger.waiting(name).items()
        ],
    }


def say_stock(ledger: Ledger, day: dt.date, campaigns: Sequence[str]) -> None:
    """Print the stock."""
    if not ledger.materials and not ledger.racks:
        say("no stock is kept: a laboratory declares it with Lab(..., stock=Stock(...))")
        return
    title(f"stock on {day}")
    rows = [row(ledger.balance(name, day)) for name in ledger.materials]
    if rows:
        say_table(["material", "left", "set aside", "consumed", "unexplained", "lots"], rows, indent=2)
    for rack in ledger.racks.values():
        used = f", {len(rack.used)} used up" if rack.used else ""
        say(f"  {rack.name}: {len(rack.free)} of {len(rack.positions)} positions are free{used}")
    for sample in ledger.samples:
        if sample.state is SampleState.SUSPECT:
            where = f" at {', '.join(sample.positions)}" if sample.positions else ""
            say(f"  sample {sample.name}{where} is suspect: {sample.because}")
    for line in waiting_lines(ledger, campaigns):
        say(f"  {line}")


def waiting_lines(ledger: Ledger, campaigns: Sequence[str]) -> list[str]:
    """Say which trials lack what."""
    return [
        f"trial {trial} of {name} waits with step {body.step!r} for {'; '.join(body.missing)}"
        for name in campaigns
        for trial, body in ledger.waiting(name).items()
    ]


def row(balance: Balance) -> list[str]:
    """Return the cells of one material."""
    unexplained = Amount(abs(balance.unexplained), abs(balance.unexplained), balance.left.unit)
    sign = "-" if balance.unexplained < 0 else ""
    return [
        balance.material,
        str(balance.left),
        str(balance.reserved) if balance.reserved.most else "",
        str(balance.consumed) if balance.consumed.most else "",
        f"{sign}{unexplained}" if balance.unexplained else "",
        ", ".join(_lot_text(lot, n=len(balance.lots)) for lot in balance.lots),
    ]


def _lot_text(lot: LotBalance, *, n: int) -> str:
    how_much = [str(lot.left)] if n > 1 else []
    until = [] if lot.expires is None else [f"{'expired' if lot.is_expired else 'until'} {lot.expires}"]
    details = ", ".join([*how_much, *until])
    return f"{lot.lot or 'no name'} ({details})" if details else lot.lot
