"""The laboratory's floor: which station works on what, who keeps it, what it is ready for; and what begins next.

Campaigns that run together share one floor. Who begins where is decided by :mod:`sdl.lab.schedule`; here is what that
has to be told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sdl.campaign.active import Run
from sdl.journal.protocol import Journal
from sdl.journal.records import StepEnded, StepStarted
from sdl.journal.safety import LatchSet
from sdl.lab import Lab
from sdl.lab.clock import Mailbox
from sdl.lab.ledger import Ledger
from sdl.lab.schedule import Ahead, Decision, Durations, Holder, Key, StationState, Work
from sdl.lab.schedule.ahead import WHEN, When

JUMP = 1.0
"""Seconds by which the time of day and the monotonic clock part before somebody has set the clock."""

LATENCY = 60.0
"""Seconds after which at the latest the engine hears that a step has ended."""

NOBODY_KNOWS = ""
"""What a station is ready for after a run that failed: any changeover has to be done."""


class Floor:
    """The stations of one laboratory for the length of a session.

    Parameters
    ----------
    lab
        Whose stations.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._anchor = lab.clock.time() - lab.clock.monotonic()
        self.ahead = Ahead("never")
        self.mailbox: Mailbox[Any] = lab.clock.mailbox()
        self.busy: dict[str, tuple[tuple[Key, ...], float]] = {}
        self.kept: dict[str, list[Holder]] = {}
        self.ready_for: dict[str, str] = {}
        self.usage: dict[str, float] = {}
        self.shares: dict[str, float] = {}
        self.durations = Durations()
        self.ledger = Ledger()
        self.taught: set[str] = set()
        self.decision = Decision()
        self._states: dict[str, tuple[object, StationState]] = {}
        self._read_to: int | None = None

    def read(self, journal: Journal) -> None:
        """Learn from *journal* how long steps take, and what stations are ready for. Once a session."""
        after, self._read_to = self._read_to, journal.head[0]
        if after is None:
            self.durations.catch_up(journal)
        steps = ("step.started", "step.ended") if after is None else ()  # later ones are told of as they come
        for event in journal.read(after or 0, kinds=(*steps, "safety.latched")):
            body = event.body
            # A latched station's devices went where they are safe.
            if isinstance(body, LatchSet) or (isinstance(body, StepStarted) and body.setup_key):
                self.ready_for[body.station] = NOBODY_KNOWS
            elif isinstance(body, StepEnded) and body.setup_key and body.is_success:  # one sample of the run is enough
                self.ready_for[body.station] = body.setup_key

    def join(self, campaign: str, share: float, schedule_ahead: When = "auto") -> None:
        """Another campaign works here, which should get so much of the stations' time in proportion to the others.

        Scheduled ahead is as much as the campaign says that wants most of it.
        """
        self.shares[campaign] = share
        if WHEN.index(schedule_ahead) > WHEN.index(self.ahead.when):
            self.ahead.when = schedule_ahead

    # --- the time -----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return UTC seconds as they were at the begin of the session, and as they go on by the monotonic clock.

        Windows and estimates are counted in these: whoever sets the clock moves no window.
        """
        clock = self.lab.clock
        return clock.time() if clock.is_virtual else clock.monotonic() + self._anchor

    @property
    def shift(self) -> float:
        """By how much somebody has set the clock since then: calendars go by the time of day."""
        clock = self.lab.clock
        shift = 0.0 if clock.is_virtual else clock.time() - self.now()
        return shift if abs(shift) > JUMP else 0.0

    def ended(self, told: float) -> float:
        """Return when something ended of which the lab's clock says *told*; now, where it was set in between."""
        at, now = told - self.shift, self.now()
        return at if now - LATENCY <= at <= now else now

    # --- who is where -------------------------------------------------------------------------------------------------

    def begin(self, campaign: str, run: Run, ends: float = 0.0) -> None:
        """A run begins."""
        keys = tuple((campaign, number, run.step.name) for number in run.members)
        for name in run.taken:
            self.busy[name] = (keys, ends)
        for name in run.keeps:  # from now on: who else keeps what until then decides whether all can go on
            holders = self.kept.setdefault(name, [])
            holders.extend(key[:2] for key in keys if key[:2] not in holders)
        if run.setup_key:
            self.ready_for[run.station] = NOBODY_KNOWS

    def end(self, campaign: str, run: Run, seconds: float, *, is_success: bool) -> None:
        """A run has ended."""
        for name in run.taken:
            self.busy.pop(name, None)
        self.usage[campaign] = self.usage.get(campaign, 0.0) + seconds * len(run.taken)
        if not is_success:
            return
        self.durations.add(campaign, run.step.name, run.station, seconds - run.setup_seconds)
        if run.setup_key:
            self.ready_for[run.station] = run.setup_key

    def is_ready(self, run: Run) -> bool:
        """Whether the station is known to be ready for a run, so that there is no changeover.

        One in a process of its own has to know it too: that may have been started anew since.
        """
        return not run.setup_key or self.ready_for.get(run.station) == run.setup_key

    def keep(self, holder: Holder, stations: Collection[str]) -> None:
        """*stations*, and no others, stay with *holder*."""
        for name in [*self.kept]:
            if holder in self.kept[name] and name not in stations:
                self.kept[name].remove(holder)
                if not self.kept[name]:
                    del self.kept[name]
        for name in stations:
            holders = self.kept.setdefault(name, [])
            if holder not in holders:
                holders.append(holder)

    # --- what begins --------------------------------------------------------------------------------------------------

    def decide(self, works: Sequence[Work], expecting: Collection[str]) -> Decision:
        """Say which of *works* begin now, and why the others wait."""
        shift = self.shift
        found = self.ahead.decide(
            self.now() + shift,
            [_moved(work, shift) for work in works] if shift else works,
            self.states(shift),
            usage=self.usage,
            shares=self.shares,
            expecting=expecting,
            timezone=self.timezone,
        )
        if shift:
            wake = None if found.wake_at is None else found.wake_at - shift
            starts = tuple(replace(start, ends=start.ends - shift) for start in found.starts)
            found = replace(found, starts=starts, wake_at=wake)
        self.decision = found
        return found

    @property
    def timezone(self) -> str:
        """The zone in which reasons give times: that of the calendars, where they have one in common."""
        zones = {calendar.timezone for calendar in self.lab.calendars.values()}
        return zones.pop() if len(zones) == 1 else "UTC"

    def states(self, shift: float = 0.0) -> tuple[StationState, ...]:
        """Return how every station stands, times moved by *shift*."""
        return tuple(self._state(name, shift) for name in self.lab.stations)

    def _state(self, name: str, shift: float) -> StationState:
        keys, ends = self.busy.get(name, ((), None))
        ends = None if ends is None else ends + shift
        held_by, last_setup = tuple(self.kept.get(name, ())), self.ready_for.get(name)
        now = (keys, ends, held_by, last_setup)
        known = self._states.get(name)
        if known is None or known[0] != now:
            known = (
                now,
                StationState(
                    name=name,
                    busy_until=ends,
                    busy_with=keys,
                    held_by=held_by,
                    last_setup=last_setup,
                    calendar=self.lab.calendars.get(name),
                ),
            )
            self._states[name] = known
        return known[1]


def _moved(work: Work, shift: float) -> Work:
    """Return *work* with its times moved by *shift*."""
    return work.replace(release=work.release + shift, due=None if work.due is None else work.due + shift)
