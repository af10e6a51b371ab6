"""Trips and latches on record: what the watchers say goes into the journal, and what the journal says holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from sdl.campaign.recorder import Recorder
from sdl.errors import CampaignError
from sdl.journal.protocol import Journal
from sdl.journal.records import Entry
from sdl.journal.safety import LatchSet, Rearmed, SafetyBody
from sdl.lab import Lab
from sdl.lab.latches import Latch, check_person, latches_in


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

    def open(self) -> str | None:
        """Hold the laboratory to the latches of the journal, and listen from now on; return why nothing may start."""
        self._interlocks.restore(latches_in(self._journal, self._lab.name))
        self._interlocks.listener = self._hear
        self._news.extend(latch.body for latch in self._interlocks.latches if not latch.sequence)
        self.take()
        return self.reason

    def close(self) -> None:
        """Listen no more."""
        self.take()
        self._interlocks.listener = _hear_nothing

    @property
    def reason(self) -> str | None:
        """Why no step may start; None where one may."""
        latches = self._interlocks.latches
        return None if not latches else f"{'; '.join(map(str, latches))}. sdl rearm lets it start again"

    def take(self) -> None:
        """Record what has been heard. Called on the campaign's thread."""
        bodies: list[SafetyBody] = []
        while self._news:
            bodies.append(self._news.popleft())
        if not bodies:
            return
        self._recorder.record(*bodies, actor="watcher")
        for body in bodies:
            if isinstance(body, LatchSet):
                self._interlocks.recorded(body, self._recorder.sequence)

    def _hear(self, bodies: Sequence[SafetyBody]) -> None:
        self._news.extend(bodies)
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
    return latches
