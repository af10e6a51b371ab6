"""What a station lets pass: who may command it, and what it does only once.

A :class:`Gate` decides, and writes into the station's book before what it allows happens. It knows neither sockets nor
devices nor clocks: the time is handed in, in monotonic seconds of the station. Of a command it asks, in order: is it
for this process (``boot``), from the store and the epoch that own the station, was it seen before, is the station
latched, does the engine's lease hold, has the command expired, is it in its order.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal

from sdl.errors import LabError
from sdl.failpoints import fail_point
from sdl.lab.remote.book import Keeper
from sdl.lab.remote.messages import Code
from sdl.lab.remote.setups import Place, SetUps

State = Literal["proposed", "started", "done", "failed", "refused", "unknown", "cancelled", "missing"]
"""What became of an act. ``proposed``: the engine has not said its word. ``cancelled``: somebody asked before it was
begun, and it is not begun any more. ``missing``: somebody asked, and the book had nothing of it."""

TRANSFER = "sdl station LAB --station NAME --transfer --by NAME --because TEXT"
"""How a person lets a store have the station that it refuses."""


NOWHERE = Place()


class Refusal(LabError):
    """The gate stays closed."""

    def __init__(self, code: Code, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code: Code = code


@dataclass
class Act:
    """What the book says of an act."""

    state: State
    reason: str = ""
    is_ours: bool = False  # begun by this process, which will see its end


@dataclass(frozen=True)
class Command:
    """What a command to act says of itself."""

    boot: str
    store: str
    epoch: int
    expires: float


class Gate:
    """One station's. Takes up where the *book* ends."""

    def __init__(self, book: Keeper, boot: str) -> None:
        self.boot = boot
        self.store = ""
        self.epoch = 0
        self.session = ""
        self.latch = ""
        self.latched_because = ""
        self.by_hand = ""
        self.acts: dict[str, Act] = {}
        self.jobs: set[str] = set()
        self._set_up = SetUps()
        self.is_held = False
        self._lease = 0.0
        self._until = 0.0
        self._sequence = 0
        self._book = book
        for record in book.records():
            self._fold(record)

    def _fold(self, record: Any) -> None:
        match record["kind"]:
            case "epoch":
                self.store, self.epoch = record["store"], record["epoch"]
                self.session = record.get("session", "")
            case "transfer":
                self.store, self.epoch, self.session = "", 0, ""
                self._set_up.clear()
            case "job":
                self.jobs.add(record["job"])
                self._set_up.note(record.get("trial", ""), record.get("step", ""), record.get("boot", ""))
            case "act":
                self.acts[record["act"]] = Act(record["state"], record["reason"])
            case "take":
                self.by_hand = f"{record['by']} has taken the station by hand: {record['because']}"
            case "give":
                self.by_hand = ""
            case "latch":
                self.latch, self.latched_because = record["latch"], record["reason"]
                self._set_up.undo()
            case "rearm":
                self.latch = self.latched_because = ""
            case _:
                raise LabError(f"the book has a {record['kind']!r}, which this version does not know")

    def _write(self, kind: str, **fields: object) -> None:
        self._book.append({"kind": kind, **fields})

    # --- who owns the station -------------------------------------------------------------------------------------

    def hello(self, store: str, epoch: int, lease: float, now: float, *, session: str = "", past: str = "") -> None:
        """An engine takes the station; it says so again in the same epoch when the line was cut.

        A lease that has ended does not come back so: the station is latched by then, and an engine that finds it so may
        ask what became of its acts, and no more.
        """
        self.check_history(store, epoch, session=session, past=past)
        self._check_hands()
        if (store, epoch) == (self.store, self.epoch):
            if self._lease and not self.holds(now) and not self.latch:
                raise Refusal("lease", f"epoch {epoch} has lost its lease", hint="run the campaign again")
        else:
            self._write("epoch", store=store, epoch=epoch, session=session)
            self.store, self.epoch, self.session, self._sequence = store, epoch, session, 0
        self.is_held, self._lease, self._until = True, lease, now + lease

    def check_owner(self, store: str, epoch: int) -> None:
        """Raise where that engine is not the one that owns the station, nor its successor."""
        if self.store and store != self.store:
            raise Refusal(
                "store",
                f"the station belongs to store {self.store[:8]}, and store {store[:8]} asks",
                hint=f"{TRANSFER} lets another store have it, after you have looked",
            )
        if epoch < self.epoch:
            raise Refusal(
                "epoch",
                f"epoch {epoch} is over: the station has seen epoch {self.epoch}",
                hint=f"where the store was restored from a backup: {TRANSFER} lets it in, after you have looked",
            )

    def check_history(self, store: str, epoch: int, *, session: str, past: str) -> None:
        """Raise where that engine's journal does not go on from the one that commanded the station last.

        *session* is the hash of the event with the number *epoch*, *past* of the one with the number of the epoch that
        the station has seen. Without this a store that was restored from a backup would be let in as soon as it has as
        many events as the one that it takes the place of.
        """
        self.check_owner(store, epoch)
        known = session if epoch == self.epoch else past
        if self.session and known != self.session:
            raise Refusal(
                "history",
                f"epoch {epoch} does not go on from epoch {self.epoch}, which the station has seen",
                hint=f"where the store was restored from a backup: {TRANSFER} lets it in, after you have looked",
            )

    def check_present(self, store: str, epoch: int) -> None:
        """Raise unless that engine owns the station now."""
        self.check_owner(store, epoch)
        if (store, epoch) != (self.store, self.epoch):
            raise Refusal("epoch", f"epoch {epoch} has not said hello")

    def beat(self, store: str, epoch: int, now: float) -> bool:
        """The engine is alive: say whether the station is its own. Late is late: a lease that has ended stays so."""
        if (store, epoch) != (self.store, self.epoch) or not self.holds(now):
            return False
        self._until = now + self._lease
        return True

    def holds(self, now: float) -> bool:
        """Whether an engine holds the station."""
        return self.is_held and now <= self._until

    def is_lost(self, now: float) -> bool:
        """Whether the engine that held the station has gone silent."""
        return self.is_held and now > self._until

    def lose(self, reason: str) -> str:
        """The lease has ended: latch. Returns the latch."""
        self.is_held = False
        return self.close(reason)

    def let_go(self, store: str, epoch: int) -> None:
        """The engine leaves in good order: nothing is latched."""
        self.check_present(store, epoch)
        self.is_held, self._lease = False, 0.0

    def transfer(self, by: str, because: str) -> None:
        """A person lets another store have the station."""
        self._write("transfer", by=by, because=because)
        self._set_up.clear()
        self.store, self.epoch, self.session, self.is_held = "", 0, "", False

    # --- a person at the instrument -------------------------------------------------------------------------------

    def take(self, by: str, because: str) -> str:
        """A person takes the station by hand: no engine has it until they give it back. Returns what is said of it."""
        self._check_hands()
        self._write("take", by=by, because=because)
        self.by_hand, self.is_held = f"{by} has taken the station by hand: {because}", False
        self.close(self.by_hand)
        return self.by_hand

    def give(self, by: str, because: str) -> None:
        """A person gives the station back. Its latch stays closed."""
        if not self.by_hand:
            raise Refusal("local", "nobody has taken the station by hand")
        self._write("give", by=by, because=because)
        self.by_hand = ""

    def _check_hands(self) -> None:
        if self.by_hand:
            raise Refusal("local", self.by_hand, hint="sdl panel STATION --give-back --by NAME --because TEXT")

    # --- the latch ------------------------------------------------------------------------------------------------

    def close(self, reason: str) -> str:
        """Latch the station, and return the latch; it stays the same until a person opens it."""
        if not self.latch:
            self.latch, self.latched_because = str(uuid.uuid4()), reason  # it holds here whatever the disk does
            self._set_up.undo()
            self._write("latch", latch=self.latch, reason=reason)
        return self.latch

    def rearm(self, latch: str, by: str, because: str) -> bool:
        """Open *latch*, as a person has said; another latch stays closed. Says whether it was this one."""
        if latch != self.latch or not latch:
            return False
        self._write("rearm", latch=latch, by=by, because=because)
        self.latch = self.latched_because = ""
        return True

    # --- steps ----------------------------------------------------------------------------------------------------

    def admit(self, job: str, command: Command, sequence: int, now: float, *places: Place) -> None:
        """Let a step begin, once, and only while what earlier steps of its trials have set up stands.

        Raises :class:`Refusal` otherwise.
        """
        self._check_source(command)
        if job in self.jobs:
            raise Refusal("seen", f"step {job} was begun before")
        self._check_state(command, now)
        if sequence <= self._sequence:
            raise Refusal("order", f"step number {sequence} comes after number {self._sequence}")
        for place in places:
            self._check_set_up(place)
        for place in places or (NOWHERE,):
            self._write("job", job=job, trial=place.trial, step=place.step, boot=self.boot)
            self._set_up.note(place.trial, place.step, self.boot)
        self._sequence = sequence
        self.jobs.add(job)

    def check_hold(self, command: Command, now: float, *places: Place) -> None:
        """Raise :class:`Refusal` where no step of another station may hold this one, and rely on what it set up."""
        self._check_source(command)
        self._check_state(command, now)
        for place in places:
            self._check_set_up(place)

    def is_ready_for(self, what: str) -> bool:
        """Whether the devices are known to be ready for *what*, so that there is no changeover."""
        return bool(what) and not self.latch and self._set_up.ready_for == what

    def note_ready(self, what: str) -> None:
        """The devices are ready for *what*, for as long as this process lives; empty: nobody knows."""
        self._set_up.ready_for = "" if self.latch else what

    def _check_set_up(self, place: Place) -> None:
        if step := self._set_up.lost(place, self.boot):
            raise Refusal(
                "undone",
                f"the station was started anew or latched since step {step} of this trial: what that step has set up, "
                "set-points and homing, is not known any more",
                hint="the trial begins again where FailurePolicy(retries=...) says so",
            )

    def _check_source(self, command: Command) -> None:
        if command.boot != self.boot:
            raise Refusal("boot", "the station was started anew since")
        self.check_present(command.store, command.epoch)

    def _check_state(self, command: Command, now: float) -> None:
        if self.latch:
            raise Refusal("latched", f"the station is latched: {self.latched_because}")
        if not self.holds(now):
            raise Refusal("lease", f"the lease of epoch {command.epoch} has ended")
        if not now <= command.expires:
            raise Refusal("expired", f"the command came {now - command.expires:.3g} s too late")

    # --- acts -----------------------------------------------------------------------------------------------------

    def check_new(self, act: str) -> None:
        """Raise where the act was begun before, or is not to be begun any more."""
        known = self.acts.get(act)
        if known is not None and known.state != "proposed":
            raise Refusal("seen", f"act {act} was {known.state} before, and is not done again")

    def propose(self, act: str) -> None:
        """Note that the engine is going to be asked whether *act* may begin.

        This comes before the intent is in any journal. So a book without it is not the one of that time.
        """
        self.check_new(act)
        self._record(act, "proposed")

    def start(self, act: str, command: Command, now: float) -> None:
        """Let an act begin, once: that it does is on the disk when this returns."""
        self._check_source(command)
        self.check_new(act)
        self._check_state(command, now)
        fail_point("station.before_started")
        self._record(act, "started")
        self.acts[act].is_ours = True
        fail_point("station.after_started")

    def end(self, act: str, state: Literal["done", "failed", "refused", "unknown"], reason: str) -> None:
        """Record how an act ended. An end stands: it is recorded once."""
        known = self.acts.get(act)
        if known is not None and known.state not in {"proposed", "started"}:
            return
        fail_point("station.before_done")
        self._record(act, state, reason)
        fail_point("station.after_done")

    def query_or_cancel(self, act: str) -> Act:
        """Say what became of an act. One that was not begun is not begun any more: the book says so first.

        One that an earlier process began, and whose end is not in the book, is ``started``: nobody knows. One that is
        not in the book at all is ``missing``, and nobody knows either: another book may have it.
        """
        known = self.acts.get(act)
        if known is None:
            self._record(act, "missing", "the book that was asked had nothing of it")
        elif known.state == "proposed":
            self._record(act, "cancelled", "it was asked about before it was begun")
        return self.acts[act]

    def _record(self, act: str, state: State, reason: str = "") -> None:
        self._write("act", act=act, state=state, reason=reason)
        is_ours = act in self.acts and self.acts[act].is_ours
        self.acts[act] = Act(state, reason, is_ours)
