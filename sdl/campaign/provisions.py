"""What a step needs before it starts: material, a place for its sample, and a sample that nobody doubts.

The loop asks here before every step, and tells how the step ended. What comes back are the entries of the ledger; the
loop records them together with what they belong to, so that a crash leaves both or neither.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdl.campaign.shelf import Shelf
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError, StepAborted
from sdl.failpoints import fail_point
from sdl.journal.materials import (
    MaterialAdded,
    MaterialConsumed,
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
from sdl.journal.records import Body
from sdl.lab import Experiment, Lab, Settings, Step
from sdl.lab.books import Key, Lot
from sdl.lab.ledger import Ledger, Sample
from sdl.lab.materials import Consumable, Reagent, Use, check_count
from sdl.problem.amount import Amount
from sdl.problem.value import listing

HINT = "sdl stock shows the account, and takes what was added (add) or counted (count)"


ENGINE = "engine"
"""Who marks a sample by itself."""

How = Literal["done", "failed", "aborted", "unknown"]


@dataclass(frozen=True)
class Grant:
    """A step may start: what is to be recorded with its start, and the positions that its plan is told of."""

    bodies: tuple[Body, ...] = ()
    positions: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Refusal:
    """A step may never start: its sample is in doubt, or gone."""

    reason: str


@dataclass(frozen=True)
class Wanting:
    """A step may not start now, for want of these."""

    missing: tuple[str, ...]


class Provisions:
    """Keeps the ledger of one session.

    Parameters
    ----------
    view, journal
        The campaign, and where it is recorded.
    lab, experiment
        Its stock, and the needs of its steps.
    ledger
        What is left and where the samples are: one for all campaigns of a session, which share the shelf.
    record
        Records bodies together, for a trial or for none.
    """

    def __init__(
        self,
        *,
        view: CampaignView,
        journal: Journal,
        lab: Lab,
        experiment: Experiment,
        ledger: Ledger,
        record: Callable[..., None],
    ) -> None:
        self.ledger = ledger
        self.missing: dict[int, tuple[str, ...]] = {}
        self._view = view
        self._journal = journal
        self._lab = lab
        self._experiment = experiment
        self._record = record
        self._has_needs = any(step.has_needs for step in experiment.steps)
        self._is_needed = bool(lab.stock.items) or self._has_needs

    # --- the session --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the accounts that the laboratory declares and the journal does not have."""
        if not self._is_needed:
            return
        with self._journal.hold():  # another campaign of this store may declare the same
            self._open()

    def _open(self) -> None:
        self.ledger.catch_up(self._journal)
        new = [
            body
            for body in (
                *(self._opening(item) for item in self._lab.stock.materials),
                *(self._rack(item.name, item.positions, item.is_reusable) for item in self._lab.stock.racks),
            )
            if body is not None
        ]
        if new:
            self._record(*new)
            fail_point("provisions.opened")

    def _opening(self, item: Reagent | Consumable) -> Body | None:
        known = self.ledger.lot(item.name, item.lot)
        amount = item.amount
        if item.name in self.ledger.materials:
            amount = amount.to(self.ledger.unit(item.name), name=item.name)
        if known is None:
            expires = None if item.expires is None else item.expires.isoformat()
            return MaterialAdded(
                material=item.name,
                lot=item.lot,
                form=item.form,
                amount=amount,
                expires=expires,
                because=f"declared by laboratory {self._lab.name}",
            )
        if known.opening != amount:
            raise CampaignError(
                f"the account of {known} was opened with {known.opening}, and {self._lab.name} declares {item.amount}",
                hint="leave the declaration as it was; what came since is added with sdl stock, or is another lot",
            )
        return None

    def _rack(self, name: str, positions: tuple[str, ...], is_reusable: bool) -> Body | None:
        known = self.ledger.racks.get(name)
        if known is None:
            return RackAdded(rack=name, positions=positions, is_reusable=is_reusable)
        if known.positions != positions:
            raise CampaignError(
                f"rack {name} has {listing(known.positions)} in the journal, and other positions in {self._lab.name}",
                hint="give the changed rack another name",
            )
        return None

    def recover(self, going_on: Mapping[int, bool]) -> None:
        """Book what the last session left open, when it is decided which trials go on.

        A step that was cut off used something between nothing and all that was set aside for it, and its sample is
        in doubt unless the trial goes on.

        Parameters
        ----------
        going_on
            The trials that go on where they were cut off, and of each whether it resumes in the middle of its step:
            then it still uses what it has set aside. Whoever decided it vouches for the samples.
        """
        if not self._is_needed:
            return
        self.ledger.catch_up(self._journal)
        for sample in self.ledger.cut_off(self._view.name):
            assert sample.trial is not None
            if not going_on.get(sample.trial, False):
                self._record(*self._cut_off(sample, is_doubted=sample.trial not in going_on), trial=sample.trial)
                fail_point("provisions.recovered")
        self.release(going_on)

    def _cut_off(self, sample: Sample, *, is_doubted: bool) -> list[Body]:
        assert sample.trial is not None
        used: list[Body] = [
            _consumed(key, lot, "unknown")
            for key, lots in self._reservations(sample.trial).items()
            if key.step == sample.step
            for lot in lots
        ]
        if is_doubted:
            because = f"the process that ran step {sample.step!r} is gone"
            used.append(SampleMarked(sample=sample.name, state=SampleState.SUSPECT, because=because))
        return used

    def release(self, active: Container[int]) -> None:
        """Free what is set aside for trials that are not *active* any more."""
        if not self._has_needs:
            return
        self.ledger.catch_up(self._journal)
        for trial in self.ledger.open_reservations(self._view.name):
            if trial not in active:
                self._record(*self.over(trial), trial=trial)

    def vouch(self, number: int) -> None:
        """A trial goes on, by evidence or by a person's word: a sample that the engine doubted is in order.

        What a person has marked stays as it is.
        """
        if not self._has_needs:
            return
        self.ledger.catch_up(self._journal)
        sample = self.ledger.sample_of(self._view.name, number)
        if sample is not None and sample.state is SampleState.SUSPECT and sample.by == ENGINE:
            because = "it is known what happened, and the trial goes on"
            self._record(SampleMarked(sample=sample.name, state=SampleState.IN_PROCESS, because=because), trial=number)

    # --- before a step ------------------------------------------------------------------------------------------------

    def grant(self, number: int, attempt: int, settings: Settings, next_step: int) -> Grant | Refusal | None:
        """Say whether the step may start. None: not now; what it lacks is in the journal and in :attr:`missing`.

        With the first step of a trial everything that its later steps use is set aside as well: a trial that could not
        be brought to its end is not begun.
        """
        steps = self._experiment.steps[next_step:]
        if not self._has_needs:
            return Grant()
        self.ledger.catch_up(self._journal)
        answer = self._answer(number, attempt, settings, steps)
        if isinstance(answer, Wanting):
            self._note(number, steps[0], answer.missing)
            return None
        self.missing.pop(number, None)
        fail_point("provisions.granted")
        return answer

    def _answer(
        self, number: int, attempt: int, settings: Settings, steps: Sequence[Step]
    ) -> Grant | Refusal | Wanting:
        sample = self.ledger.sample_of(self._view.name, number)
        if sample is not None and sample.name != self._sample_name(number, attempt):
            sample = None  # of an earlier attempt
        if sample is not None and sample.state in {SampleState.SUSPECT, SampleState.CONSUMED}:
            return Refusal(f"sample {sample.name} is {sample.state}{f': {sample.because}' if sample.because else ''}")
        set_aside, lacking = self._set_aside(number, settings, steps)
        made, position, no_place = self._seat(number, attempt, steps[0], sample)
        if lacking or no_place:
            return Wanting((*lacking, *no_place))
        return Grant((*made, *set_aside), position)

    def _note(self, number: int, step: Step, missing: tuple[str, ...]) -> None:
        if self.missing.get(number) != missing:
            self.missing[number] = missing
            self._record(StepWaiting(step=step.name, missing=missing), trial=number)
            fail_point("provisions.waiting")

    def _set_aside(self, number: int, settings: Settings, steps: Sequence[Step]) -> tuple[list[Body], tuple[str, ...]]:
        """Return what is to be reserved for *steps* beside what is, and what there is too little of."""
        today = self._today()
        kept = self._reservations(number)
        stale = [key for key, lots in kept.items() if any(lot.is_expired(today) for lot in lots)]
        reserved = {key.step for key in kept if key not in stale}
        shelf = Shelf(self.ledger, today)
        bodies: list[Body] = [_released(key, lot, "it expired") for key in stale for lot in kept[key]]
        for step in steps:
            if step.name in reserved:
                continue
            for material, amount in self._doses(step, settings).items():
                bodies += [
                    MaterialReserved(material=material, lot=lot.name, step=step.name, amount=taken)
                    for lot, taken in (shelf.take(material, amount) if amount.most > 0 else ())
                ]
        return bodies, shelf.missing

    def _doses(self, step: Step, settings: Settings) -> dict[str, Amount]:
        """Return how much of each material *step* uses, in the unit of its account, within the tolerance."""
        doses: dict[str, Amount] = {}
        for use in step.uses_of(settings):
            dose = self._dose(step, use)
            before = doses.get(use.material, Amount(0.0, 0.0, dose.unit))
            doses[use.material] = Amount(before.least + dose.least, before.most + dose.most, dose.unit)
        return doses

    def _dose(self, step: Step, use: Use) -> Amount:
        if use.material not in self.ledger.materials:
            return use.amount
        what = f"the use of {use.material} in step {step.name!r}"
        if self.ledger.form(use.material) == "consumable":
            check_count(what, use.amount)
        amount = use.amount.to(self.ledger.unit(use.material), name=what)
        tolerance = self._lab.stock.tolerance_of(use.material) if use.tolerance is None else use.tolerance
        return amount.give_or_take(tolerance, name=f"the tolerance of {what}")

    def _seat(
        self, number: int, attempt: int, step: Step, sample: Sample | None
    ) -> tuple[list[Body], Mapping[str, str], tuple[str, ...]]:
        """Return the bodies that make the sample and hold its place, its positions by rack, and what is missing."""
        name = self._sample_name(number, attempt)
        made: list[Body] = [] if sample is not None or not step.has_needs else [SampleMade(sample=name, step=step.name)]
        positions = {} if sample is None else dict(each.split("/", 1) for each in sample.positions)
        rack = step.needs_position
        if rack is None or rack in positions:
            return made, positions, ()
        if rack not in self.ledger.racks:
            return [], {}, (f"a position in {rack}: the stock has no such rack",)
        free = self.ledger.racks[rack].free
        if not free:
            return [], {}, (f"a free position in {rack}: {self._who_is_in(rack)}",)
        return [*made, PositionHeld(sample=name, position=f"{rack}/{free[0]}")], positions | {rack: free[0]}, ()

    def _who_is_in(self, rack: str) -> str:
        known = self.ledger.racks[rack]
        doubtful = [name for name in known.taken.values() if self.ledger.sample(name).state is SampleState.SUSPECT]
        parts = [f"{len(known.taken)} of {len(known.positions)} are taken"]
        parts += [f"{len(known.used)} are used up"] if known.used else []
        parts += [f"{len(doubtful)} by suspect samples"] if doubtful else []
        return ", ".join(parts)

    # --- after a step -------------------------------------------------------------------------------------------------

    def ended(
        self, number: int, attempt: int, step: Step, error: BaseException | None, *, is_begun: bool = True
    ) -> tuple[Body, ...]:
        """Return the entries for a step that has ended, to be recorded with its end.

        A step that was refused before it began (*is_begun* is False) has used nothing, and its sample is as it was.
        """
        if not self._has_needs:
            return ()
        self.ledger.catch_up(self._journal)
        fail_point("provisions.ended")
        if not is_begun:
            return tuple(
                _released(key, lot, "the step was refused before it began")
                for key, lots in self._reservations(number).items()
                if key.step == step.name
                for lot in lots
            )
        how: How = "done" if error is None else "aborted" if isinstance(error, StepAborted) else "failed"
        used = [
            _consumed(key, lot, how)
            for key, lots in self._reservations(number).items()
            if key.step == step.name
            for lot in lots
        ]
        return (*used, *self._sample_after(number, attempt, step, error))

    def _sample_after(self, number: int, attempt: int, step: Step, error: BaseException | None) -> list[Body]:
        sample = self.ledger.sample_of(self._view.name, number)
        if sample is None or sample.name != self._sample_name(number, attempt):
            return []
        if error is not None:
            because = f"step {step.name!r} failed: {str(error) or type(error).__name__}"
            return [SampleMarked(sample=sample.name, state=SampleState.SUSPECT, because=because)]
        if step.ends_sample:
            because = f"used up by step {step.name!r}"
            return [
                SampleMarked(sample=sample.name, state=SampleState.CONSUMED, because=because),
                SampleMoved(sample=sample.name, position=None, because=because),
            ]
        if len(sample.positions) > 1:
            return [SampleMoved(sample=sample.name, position=sample.positions[-1])]
        return []

    def over(self, number: int, *, besides: str | None = None) -> tuple[Body, ...]:
        """Return the entries that free what is set aside for a trial that does not go on, except for one step."""
        if self._has_needs:
            self.ledger.catch_up(self._journal)  # with what its last step has used
        return tuple(
            _released(key, lot, "the trial does not go on")
            for key, lots in self._reservations(number).items()
            if key.step != besides
            for lot in lots
        )

    # --- for the planner ----------------------------------------------------------------------------------------------

    def left(self) -> dict[str, float]:
        """Return how much of each material may be left and is not set aside, in the unit of its account."""
        if not self._is_needed:
            return {}
        self.ledger.catch_up(self._journal)
        today = self._today()
        return {name: self.ledger.balance(name, today).usable.most for name in self.ledger.materials}

    def missing_for(self, pending: Sequence[Settings], settings: Settings) -> tuple[str, ...]:
        """Return what a trial with *settings* would lack after the *pending* ones have taken what they use."""
        if not self._has_needs:
            return ()
        self.ledger.catch_up(self._journal)
        shelf = Shelf(self.ledger, self._today())
        for each in pending:
            self._take(shelf, each)
        before = shelf.missing
        self._take(shelf, settings)
        return tuple(each for each in shelf.missing if each not in before)

    def _take(self, shelf: Shelf, settings: Settings) -> None:
        for step in self._experiment.steps:
            for material, amount in self._doses(step, settings).items():
                if amount.most > 0:
                    shelf.take(material, amount)

    # --- facts --------------------------------------------------------------------------------------------------------

    def reason(self) -> str:
        """Say what the waiting trials lack, and what to do."""
        wants = dict.fromkeys(each for missing in self.missing.values() for each in missing)
        trials = ", ".join(str(number) for number in sorted(self.missing))
        return f"trial {trials} lacks {'; '.join(wants)} ({HINT})"

    def _reservations(self, number: int) -> Mapping[Key, Sequence[Lot]]:
        return self.ledger.reservations(self._view.name, number)

    def _sample_name(self, number: int, attempt: int) -> str:
        return f"{self._view.name}/{number}.{attempt}"

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._lab.clock.time(), dt.UTC).date()


def _consumed(key: Key, lot: Lot, how: How) -> MaterialConsumed:
    """Return the entry for a step that has ended: what it was to use, or between nothing and all of it."""
    reserved = lot.reserved[key]
    amount = reserved if how == "done" else Amount(0.0, reserved.most, reserved.unit)
    return MaterialConsumed(material=lot.material, lot=lot.name, step=key.step, amount=amount, how=how)


def _released(key: Key, lot: Lot, because: str) -> MaterialReleased:
    return MaterialReleased(material=lot.material, lot=lot.name, step=key.step, because=because)
