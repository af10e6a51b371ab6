"""Trips and latches on record: what the watchers say goes into the journal, and what the journal says holds.

A latch is recorded as it is set, whatever the campaign's thread does then: a planner may think for minutes, and a kill
in between would lose it. Devices do what is safe first and wait for no disk; so on the wall clock another thread
records, and what a kill within that one commit (a few milliseconds) loses is seen anew by the watcher of the next
session, as far as it is still wrong. A latch that the journal does not take, because its disk is full or fails, is kept
in a small file beside it, whose room was taken when the session began; the next session puts it on record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from sdl.campaign.recorder import Recorder
from sdl.errors import CampaignError, JournalError
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import Entry, Event
from sdl.journal.safety import LatchSet, Rearmed, SafetyBody
from sdl.lab import Lab
from sdl.lab.latches import Latch, check_person, drop_aside, keep_aside, latches_in, room_aside
from sdl.lab.scribe import Scribe

PATIENCE = 5.0
"""Wall seconds that a disk, or a station in another process, may take for the last latch when a session ends."""


class Safeguard:
    """One session's.

    Parameters
    ----------
    lab, journal, recorder
        Whose interlocks, and where they are recorded.
    wake
        Has the campaign's thread look; called from any thread.
    """

    def __init__(self, lab: Lab, journal: Journal, recorder: Recorder, wake: Callable[[], None]) -> None:
        self._interlocks = lab.interlocks
        self._lab = lab
        self._journal = journal
        self._recorder = recorder
        self._wake = wake
        self._news: deque[SafetyBody] = deque()
        self._events: deque[Event] = deque()
        self._scribe = None if lab.clock.is_virtual else Scribe("sdl-latch")

    def open(self) -> str | None:
        """Hold the laboratory to the latches of the journal, and listen from now on; return why nothing may start."""
        self._interlocks.restore(latches_in(self._journal, self._lab.name))
        spare = room_aside(self._journal)
        if spare is not None and self._interlocks.rules:
            spare.lay_by()
        self.listen()
        self._news.extend(latch.body for latch in self._interlocks.latches if not latch.sequence)
        self.take()
        return self.reason

    def listen(self) -> None:
        """Listen from now on, in the place of whoever did."""
        self._interlocks.listener = self._hear

    def close(self) -> None:
        """Listen no more."""
        for station in self._lab.stations.values():
            station.settle(PATIENCE)
        if self._interlocks.listener == self._hear:  # else another campaign of this laboratory does
            self._interlocks.listener = _hear_nothing
        if self._scribe is not None:
            self._scribe.drain()
            self._scribe.end(PATIENCE)
        self.take()

    @property
    def reason(self) -> str | None:
        """Why no step may start; None where one may."""
        latches = self._interlocks.latches
        return None if not latches else f"{'; '.join(map(str, latches))}. sdl rearm lets it start again"

    def take(self) -> None:
        """Tell the observers of what was recorded, and record what was not. Called on the campaign's thread."""
        while self._events:
            self._recorder.pass_on(self._events.popleft())
        bodies: list[SafetyBody] = []
        while self._news:
            bodies.append(self._news.popleft())
        if not bodies:
            return
        self._recorder.record(*bodies, actor="watcher")
        for body in bodies:
            if isinstance(body, LatchSet):
                self._interlocks.recorded(body, self._recorder.sequence)
        drop_aside(self._journal, bodies.__contains__)

    def _hear(self, bodies: Sequence[SafetyBody]) -> None:
        if self._scribe is None:
            self._commit(bodies)
        else:
            self._scribe.submit(lambda: self._commit(bodies))
        self._wake()

    def _commit(self, bodies: Sequence[SafetyBody]) -> None:
        """Record at once, on the thread that says it, or on one that does nothing else."""
        fail_point("safeguard.before_latch")
        entries = [Entry(body=body, campaign=self._recorder.campaign, actor="watcher") for body in bodies]
        try:
            events = self._journal.append(*entries)
        except JournalError:  # the campaign's thread tries once more, and meets the error where it ends the session
            self._news.extend(bodies)
            keep_aside(self._journal, [body for body in bodies if isinstance(body, LatchSet)])
            self._wake()
            return
        fail_point("safeguard.after_latch")
        for body, event in zip(bodies, events, strict=True):
            if isinstance(body, LatchSet):
                self._interlocks.recorded(body, event.sequence)
        self._events.extend(events)
        self._wake()


def _hear_nothing(_bodies: Sequence[SafetyBody]) -> None:
    pass


def rearm(
    journal: Journal, *, by: str, because: str, station: str | None = None, lab: str | None = None
) -> Sequence[Latch]:
    """Record that a person arms stations again, and return the latches that this opens.

    Parameters
    ----------
    by, because
        Who, and what was found and done.
    station, lab
        Which; every latched one, where they are left out.

    Raises
    ------
    CampaignError
        Nothing is latched.
    LabError
        No person or no reason is named.
    """
    check_person(by, because)
    latches = [latch for latch in latches_in(journal, lab) if station is None or latch.station == station]
    if not latches:
        raise CampaignError(f"nothing is latched{'' if station is None else f' on station {station!r}'}")
    first = {(latch.body.lab, latch.station): latch for latch in latches}
    journal.append(
        *(
            Entry(Rearmed(lab=at, station=name, because=because), latch.campaign, actor=by)
            for (at, name), latch in first.items()
        )
    )
    drop_aside(journal, lambda body: (body.lab, body.station) in first)
    return latches
