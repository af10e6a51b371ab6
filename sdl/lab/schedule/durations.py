"""How long steps take: learned from the journal, and what was declared until enough of them have been seen."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

from sdl.journal.protocol import Journal
from sdl.journal.records import Event, StepEnded

CHANGEOVER = "{} (changeover)"
"""Under which name the durations of a step's changeover are kept."""

ENOUGH = 3
"""Runs that have to be on record before what they took replaces what was declared."""

REMEMBERED = 101
"""The latest runs that are looked at: an instrument that has become slower is believed soon."""

UNKNOWN = 600.0
"""Seconds that a step is taken to last about which nobody has said anything."""


@dataclass(frozen=True)
class Estimate:
    """What a step is expected to take, in seconds.

    Parameters
    ----------
    median
        Half of the runs took no longer. What the scheduler reckons with.
    p90
        Nine of ten took no longer.
    n_seen
        How many runs it comes from; 0: it was declared.
    """

    median: float
    p90: float
    n_seen: int = 0


@dataclass
class _Seen:
    """The latest durations, in the order they came and sorted."""

    latest: deque[float] = field(default_factory=deque[float])
    ordered: list[float] = field(default_factory=list[float])

    def add(self, seconds: float) -> None:
        if len(self.latest) == REMEMBERED:
            del self.ordered[bisect_left(self.ordered, self.latest.popleft())]
        self.latest.append(seconds)
        insort(self.ordered, seconds)

    def at(self, share: float) -> float:
        """Return the quantile, between the two nearest ranks."""
        place = share * (len(self.ordered) - 1)
        low = int(place)
        high = min(low + 1, len(self.ordered) - 1)
        return self.ordered[low] + (place - low) * (self.ordered[high] - self.ordered[low])

    @property
    def estimate(self) -> Estimate:
        return Estimate(self.at(0.5), self.at(0.9), len(self.ordered))


class Durations:
    """Durations per step and station, folded from ``step.ended`` events. Runs that failed do not count."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str | None], _Seen] = {}
        self._last = 0
        self._run: tuple[str, str, str, tuple[int, ...], float] | None = None

    def catch_up(self, journal: Journal) -> None:
        """Take in what the journal has had since the last time."""
        for event in journal.read(self._last, kinds={"step.ended"}):
            self.take(event)

    def take(self, event: Event) -> None:
        """Take in one event; any other than the end of a step says nothing.

        Each sample of a run of several says when it ended, one after the other: it is one run.
        """
        self._last = max(self._last, event.sequence)
        if event.kind == "step.ended" and isinstance(event.body, StepEnded) and event.body.is_success:
            body = event.body
            run = (event.campaign, body.step, body.station, body.members, body.seconds)
            if not body.members or run != self._run:
                self.add(event.campaign, body.step, body.station, body.seconds - body.setup_seconds)
                if body.setup_seconds:
                    self.add(event.campaign, CHANGEOVER.format(body.step), body.station, body.setup_seconds)
            self._run = run

    def add(self, campaign: str, step: str, station: str, seconds: float) -> None:
        """Take in that a run of *step* took *seconds* on *station*."""
        for place in (station, None):
            self._seen.setdefault((campaign, step, place), _Seen()).add(seconds)

    def estimate(
        self, campaign: str, step: str, station: str | None = None, *, declared: float | None = None
    ) -> Estimate:
        """Return what a run of *step* is expected to take.

        Parameters
        ----------
        station
            Where it runs. With fewer than three runs there, those on all stations are looked at.
        declared
            What was said of it in seconds; holds while fewer than three runs are on record. None: ten minutes.
        """
        for place in (station, None):
            seen = self._seen.get((campaign, step, place))
            if seen is not None and len(seen.ordered) >= ENOUGH:
                return seen.estimate
        seconds = UNKNOWN if declared is None else declared
        return Estimate(seconds, seconds)
