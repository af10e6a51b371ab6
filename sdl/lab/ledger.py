"""The ledger: samples and materials as the journal tells of them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from sdl.errors import JournalCorrupt, LabError
from sdl.journal.materials import (
    MaterialAdded,
    MaterialConsumed,
    MaterialCounted,
    MaterialReleased,
    MaterialReserved,
    PositionHeld,
    RackAdded,
    SampleMade,
    SampleMarked,
    SampleMoved,
    SampleState,
    StepWaiting,
)
from sdl.journal.protocol import Journal
from sdl.journal.records import Event, StepStarted
from sdl.lab.books import Account, Key, Lot
from sdl.problem.amount import Amount
from sdl.problem.value import Tuple, Value, listing


class Consumption(Value):
    """What one step used of one lot: at least and at most so much, and how the step ended."""

    step: str
    material: str
    lot: str
    amount: Amount
    how: str


class Sample(Value):
    """One sample.

    Parameters
    ----------
    name
        Unique in the store: ``campaign/trial.attempt`` for what a campaign makes.
    campaign, trial
        What it was made for.
    state
        See :class:`~sdl.lab.SampleState`.
    positions
        Where it is, as ``rack/position``: none when it is out of all racks, several while it is under way between them,
        or was when something failed.
    made_of
        What the steps of its trial used so far.
    because, by
        Why it has this state, and who said so, where somebody marked it.
    step
        The step that works on it, or did when its process died.
    """

    name: str
    campaign: str
    trial: int | None
    state: SampleState
    positions: Tuple[str]
    made_of: Tuple[Consumption]
    because: str = ""
    by: str = ""
    step: str | None = None


class Balance(Value):
    """How one material stands; amounts lie between two ends, and planning goes by the lower one.

    Parameters
    ----------
    material, form
        Its name, and whether it is a reagent or a consumable.
    left
        What is on the shelf, set aside or not.
    usable
        What of it is neither set aside nor expired.
    reserved, consumed
        What is set aside for steps, and what steps have used.
    unexplained
        What counts missed beyond that; below 0 where they found too much.
    lots
        The lots that are not empty, in the order in which they are used.
    """

    material: str
    form: str
    left: Amount
    usable: Amount
    reserved: Amount
    consumed: Amount
    unexplained: float
    lots: Tuple[LotBalance]


class LotBalance(Value):
    """How one lot stands."""

    lot: str
    left: Amount
    reserved: Amount
    expires: dt.date | None
    is_expired: bool


_Use = tuple[str, Lot, float, float, str]
"""What a step used of a lot: its name, the lot, at least and at most so much in the lot's unit, how it ended."""


@dataclass(slots=True)
class SampleRecord:
    """What the fold keeps of a sample."""

    name: str
    campaign: str
    trial: int | None
    state: SampleState = SampleState.FRESH
    positions: list[str] = field(default_factory=list[str])
    because: str = ""
    by: str = ""
    step: str | None = None


@dataclass(slots=True)
class RackRecord:
    """What the fold keeps of a rack: who is where, and which wells are used up."""

    name: str
    positions: tuple[str, ...]
    is_reusable: bool
    taken: dict[str, str] = field(default_factory=dict[str, str])
    used: set[str] = field(default_factory=set[str])

    @property
    def free(self) -> list[str]:
        """The positions that a sample could be brought to, in their order."""
        return [each for each in self.positions if each not in self.taken and each not in self.used]


class Ledger:
    """What is left, what is set aside, what was used by whom, and where the samples are.

    Feed it the events of a journal in order; it never writes. It goes over all campaigns of a store, because they share
    the shelf.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self._lots: dict[str, dict[str, Lot]] = {}
        self._reserved: defaultdict[tuple[str, int], dict[Key, list[Lot]]] = defaultdict(dict)
        # Every trial of a long campaign is in here: ends are kept, and made amounts of when somebody asks.
        self._consumed: defaultdict[tuple[str, int], list[_Use]] = defaultdict(list)
        self._samples: dict[str, SampleRecord] = {}
        self._sample_of: dict[tuple[str, int], SampleRecord] = {}
        self._racks: dict[str, RackRecord] = {}
        self._waiting: dict[tuple[str, int], StepWaiting] = {}
        self._folds: Mapping[str, Callable[[Event, Any], None]] = {
            "material.added": self._on_added,
            "material.reserved": self._on_reserved,
            "material.released": self._on_released,
            "material.consumed": self._on_consumed,
            "material.counted": self._on_counted,
            "rack.added": self._on_rack,
            "sample.made": self._on_made,
            "position.held": self._on_held,
            "sample.moved": self._on_moved,
            "sample.marked": self._on_marked,
            "step.waiting": self._on_waiting,
        }
        # Of these little or nothing of the body is looked at, which may be long.
        self._glances: Mapping[str, Callable[[Event], None]] = {
            "step.started": self._on_step_started,
            "step.ended": self._on_step_ended,
            "trial.completed": self._on_completed,
            "trial.failed": self._on_given_up,
            "trial.abandoned": self._on_given_up,
        }

    @classmethod
    def of(cls, journal: Journal) -> Ledger:
        """Fold all of *journal*."""
        ledger = cls()
        ledger.catch_up(journal)
        return ledger

    def catch_up(self, journal: Journal) -> None:
        """Apply what has been recorded since the last event that this ledger has seen."""
        last = journal.head[0]
        if last <= self.sequence:
            return
        for event in journal.read(self.sequence, kinds=(*self._folds, *self._glances)):
            self.apply(event)
        self.sequence = max(self.sequence, last)

    def apply(self, event: Event) -> None:
        """Take in one event. Raises JournalCorrupt where it does not fit what came before."""
        if event.sequence <= self.sequence:
            return
        glance = self._glances.get(event.kind)
        if glance is not None:
            glance(event)
        fold = self._folds.get(event.kind)
        try:
            if fold is not None:
                fold(event, event.body)
        except JournalCorrupt as error:
            raise JournalCorrupt(
                f"event {event.sequence} ({event.kind}) does not fit the ledger: {error.message}", hint="run sdl verify"
            ) from None
        self.sequence = event.sequence  # not before: who catches up again meets the same error

    # --- materials ----------------------------------------------------------------------------------------------------

    @property
    def materials(self) -> tuple[str, ...]:
        """The names of all materials, in the order in which they came."""
        return tuple(self._lots)

    def unit(self, material: str) -> str | None:
        """Return the unit of the account of *material*."""
        return next(iter(self._known(material).values())).unit

    def form(self, material: str) -> str:
        """Return ``"reagent"`` or ``"consumable"``."""
        return next(iter(self._known(material).values())).form

    def lots(self, material: str) -> tuple[Lot, ...]:
        """Return the books of all lots, in the order in which they are to be used: what expires first, first."""
        return tuple(sorted(self._known(material).values(), key=lambda lot: (lot.expires or dt.date.max, lot.number)))

    def lot(self, material: str, name: str) -> Lot | None:
        """Return the books of one lot; None where there is none."""
        return self._lots.get(material, {}).get(name)

    def balance(self, material: str, day: dt.date) -> Balance:
        """Return how *material* stands on *day*. Raises LabError where there is none of that name."""
        lots, unit = self.lots(material), self.unit(material)
        usable = [lot for lot in lots if not lot.is_expired(day)]
        return Balance(
            material=material,
            form=lots[0].form,
            left=_sum((lot.left for lot in lots), unit),
            usable=_sum((lot.amount(Account.STOCK) for lot in usable), unit),
            reserved=_sum((lot.amount(Account.RESERVED) for lot in lots), unit),
            consumed=_sum((lot.amount(Account.CONSUMED) for lot in lots), unit),
            unexplained=sum(lot.unexplained for lot in lots),
            lots=tuple(
                LotBalance(
                    lot=lot.name,
                    left=lot.left,
                    reserved=lot.amount(Account.RESERVED),
                    expires=lot.expires,
                    is_expired=lot.is_expired(day),
                )
                for lot in lots
                if lot.left.most > 0
            ),
        )

    def reservations(self, campaign: str, trial: int) -> Mapping[Key, Sequence[Lot]]:
        """Return what is set aside for a trial: for each of its steps the lots that hold it."""
        return self._reserved.get((campaign, trial), {})

    def open_reservations(self, campaign: str) -> tuple[int, ...]:
        """Return the trials of *campaign* for which something is set aside."""
        return tuple(sorted(trial for name, trial in self._reserved if name == campaign))

    def consumed(self, campaign: str, trial: int) -> tuple[Consumption, ...]:
        """Return what the steps of a trial have used, oldest first."""
        return tuple(
            Consumption(step=step, material=lot.material, lot=lot.name, amount=Amount(least, most, lot.unit), how=how)
            for step, lot, least, most, how in self._consumed.get((campaign, trial), ())
        )

    def _known(self, material: str) -> Mapping[str, Lot]:
        if material not in self._lots:
            raise LabError(
                f"the stock has no {material!r}",
                hint=f"it has {listing(self._lots) or 'nothing'}; declare it in the laboratory's Stock",
            )
        return self._lots[material]

    # --- samples ------------------------------------------------------------------------------------------------------

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, in the order in which they were made."""
        return tuple(self._frozen(record) for record in self._samples.values())

    def sample(self, name: str) -> Sample:
        """Return the sample of that name. Raises LabError where there is none."""
        if name not in self._samples:
            raise LabError(f"there is no sample {name!r}", hint=f"there are {listing(self._samples) or 'none'}")
        return self._frozen(self._samples[name])

    def sample_of(self, campaign: str, trial: int) -> Sample | None:
        """Return the sample that the last attempt at a trial made; None where it made none."""
        record = self._sample_of.get((campaign, trial))
        return None if record is None else self._frozen(record)

    def cut_off(self, campaign: str) -> tuple[Sample, ...]:
        """Return the samples of *campaign* with a step that began and has not ended."""
        found = (each for each in self._samples.values() if each.campaign == campaign and each.step is not None)
        return tuple(self._frozen(record) for record in found)

    @property
    def racks(self) -> Mapping[str, RackRecord]:
        """The racks and plates by name."""
        return self._racks

    def waiting(self, campaign: str) -> Mapping[int, StepWaiting]:
        """Return the trials of *campaign* whose next step lacks something, and what."""
        return {trial: body for (name, trial), body in self._waiting.items() if name == campaign}

    def _frozen(self, record: SampleRecord) -> Sample:
        made_of = () if record.trial is None else self.consumed(record.campaign, record.trial)
        return Sample(
            name=record.name,
            campaign=record.campaign,
            trial=record.trial,
            state=record.state,
            positions=tuple(record.positions),
            made_of=made_of,
            because=record.because,
            by=record.by,
            step=record.step,
        )

    # --- the fold: materials ------------------------------------------------------------------------------------------

    def _on_added(self, _: Event, body: MaterialAdded) -> None:
        lots = self._lots.setdefault(body.material, {})
        lot = lots.get(body.lot)
        first = next(iter(lots.values()), None)
        if first is not None and (first.unit, first.form) != (body.amount.unit, body.form):
            raise JournalCorrupt(f"{body.material} is a {first.form} in {first.unit}, and {body.amount} was added")
        if lot is None:
            expires = None if body.expires is None else dt.date.fromisoformat(body.expires)
            lot = Lot(body.material, body.lot, body.form, body.amount.unit, expires, body.amount, len(lots))
            lots[body.lot] = lot
        lot.add(body.amount)
        lot.check()

    def _on_reserved(self, event: Event, body: MaterialReserved) -> None:
        key = _key(event, body.step)
        lot = self._lot(body)
        lot.reserve(key, body.amount)
        lot.check()
        self._reserved[key[:2]].setdefault(key, []).append(lot)
        self._waiting.pop(key[:2], None)

    def _on_released(self, event: Event, body: MaterialReleased) -> None:
        key, lot = _key(event, body.step), self._lot(body)
        lot.release(key)
        lot.check()
        self._forget(key, lot)

    def _on_consumed(self, event: Event, body: MaterialConsumed) -> None:
        key, lot = _key(event, body.step), self._lot(body)
        lot.consume(key, body.amount)
        lot.check()
        self._used(key, lot, body.amount, body.how)

    def _on_counted(self, _: Event, body: MaterialCounted) -> None:
        lot = self._lot(body)
        for key in [key for key in lot.reserved if not self._is_begun(key)]:
            lot.release(key)  # it is on the shelf and was counted; the step sets it aside anew before it starts
            self._forget(key, lot)
        for key, amount in lot.count(body.amount):
            self._used(key, lot, amount, "unknown")
        lot.check()

    def _is_begun(self, key: Key) -> bool:
        record = self._sample_of.get(key[:2])
        return record is not None and record.step == key.step

    def _used(self, key: Key, lot: Lot, amount: Amount, how: str) -> None:
        self._forget(key, lot)
        self._consumed[key[:2]].append((intern(key.step), lot, amount.least, amount.most, intern(how)))

    def _forget(self, key: Key, lot: Lot) -> None:
        lots = self._reserved[key[:2]][key]
        lots.remove(lot)
        if not lots:
            del self._reserved[key[:2]][key]
        if not self._reserved[key[:2]]:
            del self._reserved[key[:2]]

    def _lot(self, body: MaterialReserved | MaterialReleased | MaterialConsumed | MaterialCounted) -> Lot:
        lot = self.lot(body.material, body.lot)
        if lot is None:
            raise JournalCorrupt(f"nothing of {body.material} lot {body.lot!r} was ever added")
        return lot

    # --- the fold: samples --------------------------------------------------------------------------------------------

    def _on_rack(self, _: Event, body: RackAdded) -> None:
        self._racks[body.rack] = RackRecord(body.rack, body.positions, body.is_reusable)

    def _on_made(self, event: Event, body: SampleMade) -> None:
        record = SampleRecord(body.sample, event.campaign, event.trial)
        self._samples[body.sample] = record
        if event.trial is not None:
            self._sample_of[event.campaign, event.trial] = record

    def _on_held(self, _: Event, body: PositionHeld) -> None:
        record = self._record(body.sample)
        rack, position = self._place(body.position)
        if position not in rack.free:
            raise JournalCorrupt(f"{body.position} is not free for {body.sample}")
        rack.taken[position] = record.name
        record.positions.append(body.position)

    def _on_moved(self, _: Event, body: SampleMoved) -> None:
        record = self._record(body.sample)
        for each in record.positions:
            if each != body.position:
                self._vacate(each)
        if body.position is not None and body.position not in record.positions:
            rack, position = self._place(body.position)
            rack.taken[position] = record.name
        record.positions = [] if body.position is None else [body.position]

    def _vacate(self, place: str) -> None:
        rack, position = self._place(place)
        rack.taken.pop(position, None)
        if not rack.is_reusable:
            rack.used.add(position)

    def _on_marked(self, event: Event, body: SampleMarked) -> None:
        record = self._record(body.sample)
        record.state, record.because, record.by, record.step = body.state, body.because, event.actor, None

    def _on_waiting(self, event: Event, body: StepWaiting) -> None:
        key = _key(event, body.step)
        self._waiting[key[:2]] = body

    def _on_step_started(self, event: Event) -> None:
        record = self._sample_behind(event)
        if record is not None:
            assert isinstance(event.body, StepStarted)
            record.step = event.body.step
            if record.state is SampleState.FRESH:
                record.state = SampleState.IN_PROCESS

    def _on_step_ended(self, event: Event) -> None:
        record = self._sample_behind(event)
        if record is not None:
            record.step = None

    def _on_completed(self, event: Event) -> None:
        record = self._sample_behind(event)
        if record is not None and record.state is SampleState.IN_PROCESS:
            record.state = SampleState.MEASURED

    def _on_given_up(self, event: Event) -> None:
        self._sample_behind(event)

    def _sample_behind(self, event: Event) -> SampleRecord | None:
        """Return the sample of the event's trial, which does not wait any more."""
        if event.trial is None:
            return None
        self._waiting.pop((event.campaign, event.trial), None)
        return self._sample_of.get((event.campaign, event.trial))

    def _record(self, name: str) -> SampleRecord:
        if name not in self._samples:
            raise JournalCorrupt(f"sample {name} was never made")
        return self._samples[name]

    def _place(self, place: str) -> tuple[RackRecord, str]:
        rack, _, position = place.partition("/")
        found = self._racks.get(rack)
        if found is None or position not in found.positions:
            raise JournalCorrupt(f"there is no position {place}")
        return found, position


def _key(event: Event, step: str) -> Key:
    if event.trial is None:
        raise JournalCorrupt("it names no trial")
    return Key(event.campaign, event.trial, step)


def _sum(amounts: Iterable[Amount], unit: str | None) -> Amount:
    known = list(amounts)
    return Amount(sum(each.least for each in known), sum(each.most for each in known), unit)
