"""The ledger: whatever happens, the books balance and the truth lies between them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.errors import JournalCorrupt, LabError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.materials import (
    MaterialAdded,
    MaterialConsumed,
    MaterialCounted,
    MaterialReleased,
    MaterialReserved,
    PositionHeld,
    RackAdded,
    SampleMade,
    SampleMoved,
)
from sdl.journal.records import Event, StepStarted
from sdl.lab import Ledger, SampleState
from sdl.lab.books import Account, Key, Lot
from sdl.problem import Amount

DAY = dt.date(2026, 1, 1)


def ml(least: float, most: float | None = None) -> Amount:
    return Amount(least, least if most is None else most, "mL")


class Pen:
    """Writes into a journal, and reads its ledger."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.ledger = Ledger()

    def write(self, *bodies: Any, trial: int | None = None) -> None:
        self.journal.append(*(Entry(body, "films", trial) for body in bodies))
        self.ledger.catch_up(self.journal)

    def add(self, amount: Amount, material: str = "ethanol", **more: Any) -> None:
        form: Any = "consumable" if amount.unit is None else "reagent"
        self.write(MaterialAdded(material=material, form=form, amount=amount, **more))

    def use(self, trial: int, set_aside: Amount, used: Amount, how: Any = "done") -> None:
        self.write(
            MaterialReserved(material="ethanol", step="coat", amount=set_aside),
            MaterialConsumed(material="ethanol", step="coat", amount=used, how=how),
            trial=trial,
        )


# --- the rule that matters --------------------------------------------------------------------------------------------

share = st.floats(0.0, 1.0)
volume = st.floats(0.0, 50.0).map(lambda value: round(value, 4))
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("add"), volume, share),
        st.tuples(st.sampled_from(["done", "failed", "unknown", "release"]), volume, share),
        st.tuples(st.just("count"), st.floats(0.0, 2.0).map(lambda value: round(value, 3)), share),
    ),
    max_size=40,
)


class Bottle:
    """The truth beside the books: what is really in the bottle, and what has really gone."""

    def __init__(self) -> None:
        self.lot = Lot("ethanol", "", "reagent", "mL", None, ml(0.0), 0)
        self.volume = self.added = self.used = 0.0

    def do(self, number: int, deed: str, volume: float, share: float) -> None:
        if deed == "add":
            self.lot.add(ml(volume))
            self.volume += volume
            self.added += volume
        elif deed == "count":
            truth = self.volume
            self.lot.count(ml(max(0.0, truth - share * volume), truth + (1 - share) * volume))
        else:
            self._step(Key("films", number, "coat"), deed, ml(0.95 * volume, 1.05 * volume), share)

    def _step(self, key: Key, deed: str, dose: Amount, share: float) -> None:
        if dose.most > float(self.lot.worst[Account.STOCK]):
            with pytest.raises(JournalCorrupt, match="cannot be set aside"):
                self.lot.reserve(key, dose)
            return
        self.lot.reserve(key, dose)
        if deed == "release":
            self.lot.release(key)
            return
        booked = dose if deed == "done" else ml(0.0, dose.most)
        self.lot.consume(key, booked)
        used = booked.least + share * (booked.most - booked.least)
        self.volume -= used
        self.used += used


@given(deeds)
@settings(max_examples=150)
def test_the_truth_lies_between_the_books(deeds: Sequence[tuple[str, float, float]]) -> None:
    """consumed.least <= added - what is there <= consumed.most, and so is what is left, counted in between or not."""
    bottle = Bottle()
    for number, deed in enumerate(deeds, 1):
        bottle.do(number, *deed)
        lot = bottle.lot
        left, consumed = lot.left, lot.amount(Account.CONSUMED)
        assert left.least - 1e-9 <= bottle.volume <= left.most + 1e-9
        assert consumed.least - 1e-9 <= bottle.added - bottle.volume <= consumed.most + 1e-9
        assert lot.unexplained == pytest.approx(0.0, abs=1e-9)
        for book in (lot.worst, lot.best):
            assert sum(book.values()) == 0
        assert not lot.reserved


@given(st.lists(st.tuples(volume, st.floats(0.0, 1.0)), min_size=1, max_size=20), st.floats(-20.0, 20.0))
def test_a_leak_is_not_called_consumption(doses: Sequence[tuple[float, float]], leak: float) -> None:
    """What a count misses beyond all that steps can have used is unexplained, and no more than that."""
    lot = Lot("ethanol", "", "reagent", "mL", None, ml(0.0), 0)
    lot.add(ml(2000.0))
    for number, (dose, failed) in enumerate(doses):
        key = Key("films", number, "coat")
        lot.reserve(key, ml(dose))
        lot.consume(key, ml(failed * dose, dose))
    low, high = lot.left.least, lot.left.most
    found = (low - leak) if leak > 0 else (high - leak)
    lot.count(ml(found))
    assert lot.unexplained == pytest.approx(leak, abs=1e-6)
    assert lot.left == ml(found)


def test_ten_times_a_tenth_is_one() -> None:
    pen = Pen()
    pen.add(ml(1.0))
    for trial in range(10):
        pen.use(trial, ml(0.1), ml(0.1))
    assert pen.ledger.balance("ethanol", DAY).left == ml(0.0)


# --- what the ledger says ---------------------------------------------------------------------------------------------


def test_a_failed_step_may_have_used_anything_and_planning_goes_by_the_worst() -> None:
    pen = Pen()
    pen.add(ml(100.0), lot="A12")
    reserved = MaterialReserved(material="ethanol", lot="A12", step="coat", amount=ml(9.0, 11.0))
    pen.write(reserved, trial=3)
    during = pen.ledger.balance("ethanol", DAY)
    assert (during.left, during.usable, during.reserved) == (ml(100.0), ml(89.0), ml(11.0))
    pen.write(MaterialConsumed(material="ethanol", lot="A12", step="coat", amount=ml(0.0, 11.0), how="failed"), trial=3)
    after = pen.ledger.balance("ethanol", DAY)
    assert (after.left, after.usable, after.reserved, after.consumed) == (ml(89.0, 100.0),) * 2 + (
        ml(0.0),
        ml(0.0, 11.0),
    )
    (used,) = pen.ledger.consumed("films", 3)
    assert (used.step, used.lot, used.amount, used.how) == ("coat", "A12", ml(0.0, 11.0), "failed")


def test_a_count_corrects_the_books_and_the_next_steps_start_from_it() -> None:
    pen = Pen()
    pen.add(ml(500.0))
    pen.use(1, ml(100.0), ml(0.0, 100.0), "failed")
    pen.write(MaterialCounted(material="ethanol", amount=ml(412.0), because="weighed"))
    balance = pen.ledger.balance("ethanol", DAY)
    assert (balance.left, balance.unexplained, balance.consumed) == (ml(412.0), 0.0, ml(0.0, 100.0))
    pen.use(2, ml(12.0), ml(12.0))
    assert pen.ledger.balance("ethanol", DAY).left == ml(400.0)
    pen.write(MaterialCounted(material="ethanol", amount=ml(380.0), because="the cap was loose"))
    assert pen.ledger.balance("ethanol", DAY).unexplained == 20.0


def test_a_count_settles_what_a_cut_off_step_had_set_aside() -> None:
    """Whoever counts after a crash sees what the step really used; it is not booked a second time."""
    pen = Pen()
    pen.add(ml(50.0))
    pen.write(
        SampleMade(sample="s"),
        MaterialReserved(material="ethanol", step="coat", amount=ml(10.0)),
        MaterialReserved(material="ethanol", step="rinse", amount=ml(20.0)),
        StepStarted(step="coat", station="spin", attempt=1),
        trial=1,
    )
    pen.write(MaterialCounted(material="ethanol", amount=ml(44.0), because="looked"))
    assert pen.ledger.balance("ethanol", DAY).usable == ml(44.0)
    assert pen.ledger.balance("ethanol", DAY).unexplained == 0.0
    assert not pen.ledger.reservations("films", 1)
    assert [(used.step, used.how) for used in pen.ledger.consumed("films", 1)] == [("coat", "unknown")]


def test_expired_lots_are_left_but_not_usable_and_the_first_to_expire_is_first() -> None:
    pen = Pen()
    pen.add(ml(5.0), lot="late", expires="2027-05-01")
    pen.add(ml(7.0), lot="early", expires="2026-01-01")
    pen.add(ml(9.0), lot="never")
    assert [lot.name for lot in pen.ledger.lots("ethanol")] == ["early", "late", "never"]
    today = pen.ledger.balance("ethanol", DAY)
    assert today.usable == today.left == ml(21.0)
    tomorrow = pen.ledger.balance("ethanol", DAY + dt.timedelta(days=1))
    assert (tomorrow.usable, tomorrow.left) == (ml(14.0), ml(21.0))
    assert [lot.lot for lot in tomorrow.lots if lot.is_expired] == ["early"]


def test_a_sample_that_moves_holds_both_places_until_it_is_there() -> None:
    pen = Pen()
    pen.write(
        RackAdded(rack="hotel", positions=("1", "2")),
        RackAdded(rack="plate", positions=("A1", "A2"), is_reusable=False),
    )
    pen.write(SampleMade(sample="s"), PositionHeld(sample="s", position="hotel/1"), trial=1)
    pen.write(SampleMoved(sample="s", position="hotel/1"), trial=1)
    pen.write(PositionHeld(sample="s", position="plate/A1"), trial=1)
    assert pen.ledger.sample("s").positions == ("hotel/1", "plate/A1")
    assert pen.ledger.racks["hotel"].free == ["2"]
    pen.write(SampleMoved(sample="s", position="plate/A1"), trial=1)
    assert pen.ledger.racks["hotel"].free == ["1", "2"]
    pen.write(SampleMoved(sample="s", position=None), trial=1)
    assert pen.ledger.racks["plate"].free == ["A2"]  # a well is used once
    assert pen.ledger.sample("s").state is SampleState.FRESH


@pytest.mark.parametrize(
    "body",
    [
        MaterialReserved(material="ethanol", step="coat", amount=ml(100.1)),
        MaterialReserved(material="water", step="coat", amount=ml(1.0)),
        MaterialConsumed(material="ethanol", step="coat", amount=ml(1.0), how="done"),
        MaterialReleased(material="ethanol", step="coat"),
        MaterialAdded(material="ethanol", form="reagent", amount=Amount(1.0, 1.0, "L")),
        SampleMoved(sample="s", position="hotel/1"),
        PositionHeld(sample="s", position="hotel/1"),
    ],
    ids=lambda body: body.kind,
)
def test_an_event_that_does_not_fit_is_named(body: Any) -> None:
    pen = Pen()
    pen.add(ml(100.0))
    with pytest.raises(JournalCorrupt, match=r"event 2 .*does not fit the ledger"):
        pen.write(body, trial=1)


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    pen = Pen()
    pen.add(ml(100.0))
    with pytest.raises(LabError, match=r"no 'etanol'.*ethanol"):
        pen.ledger.balance("etanol", DAY)


def test_a_long_ledger_is_folded_in_seconds() -> None:
    """Twenty thousand events in about half a second; a hundred thousand take five times as long, and no more."""
    pen = Pen()
    pen.add(ml(1e6))
    pen.use(0, ml(1.0, 1.1), ml(1.0, 1.1))
    _, reserved, used = pen.journal.read()
    events = (
        Event._make(event._replace(sequence=4 + 2 * trial + i, trial=trial + 1))
        for trial in range(10_000)
        for i, event in enumerate((reserved, used))
    )
    began = time.process_time()
    for event in events:
        pen.ledger.apply(event)
    seconds = time.process_time() - began
    assert pen.ledger.balance("ethanol", DAY).consumed == ml(10_001.0, 11_001.1)
    assert len(pen.ledger.consumed("films", 10_000)) == 1
    assert seconds < 5.0
