"""What would be gained: the same trials rehearsed again with a second station, or with more trials at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sdl.lab.schedule.rehearsal import Rehearsed, rehearse
from sdl.lab.schedule.values import Key, StationState, Work

MAX_DOUBLED = 4
"""Stations that are tried as two, the busiest first."""

WORTH = 0.01
"""The share of the whole time from which on a saving is worth a word."""


@dataclass(frozen=True)
class Scenario:
    """What is to be rehearsed, as :func:`~sdl.lab.schedule.rehearsal.rehearse` takes it."""

    trials: Sequence[Sequence[Work]]
    stations: Sequence[StationState]
    begin: float
    in_flight: Mapping[str, int]
    took: Mapping[Key, float]
    fail_late: bool = False

    def rehearse(self) -> Rehearsed:
        """Let it run to its end."""
        return rehearse(
            self.trials,
            self.stations,
            begin=self.begin,
            in_flight=self.in_flight,
            took=self.took,
            fail_late=self.fail_late,
        )

    def with_two_of(self, name: str) -> Scenario:
        """Return the same laboratory with a second station like *name*."""
        other = f"{name} (second)"
        states = [state for state in self.stations if state.name == name]
        trials = [[_with_either(work, name, other) for work in works] for works in self.trials]
        return replace(self, trials=trials, stations=[*self.stations, *(s.replace(name=other) for s in states)])

    def with_more_at_a_time(self) -> Scenario:
        """Return the same laboratory with twice as many trials in flight."""
        return replace(self, in_flight={campaign: 2 * n for campaign, n in self.in_flight.items()})


def _with_either(work: Work, name: str, other: str) -> Work:
    if not any(name in group for group in work.groups):
        return work

    def either(group: Sequence[str]) -> tuple[str, ...]:
        return (*group, other) if name in group else tuple(group)

    return work.replace(stations=either(work.stations), needs=tuple(map(either, work.needs)), keeps=either(work.keeps))


@dataclass(frozen=True)
class Saving:
    """What a change would save.

    Parameters
    ----------
    station
        Of which there would be two; empty: twice as many trials at a time instead.
    seconds
        By how much the whole would end earlier; below zero: later.
    """

    station: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A rehearsal, and what it tells of the laboratory.

    Parameters
    ----------
    done
        The rehearsal.
    utilisation
        The share of the whole time in which each station was taken.
    waited
        Mean seconds for which a trial was ready for each step before it began.
    savings
        What changes would save, the greatest first.
    """

    done: Rehearsed
    utilisation: Mapping[str, float]
    waited: Mapping[str, float]
    savings: Sequence[Saving]

    @property
    def bottleneck(self) -> Saving | None:
        """The station of which a second one would save most, where that is worth a word."""
        found = next((saving for saving in self.savings if saving.station), None)
        return found if found is not None and found.seconds > WORTH * self.done.seconds else None


def look_into(floor: Scenario, *, n_doubled: int = MAX_DOUBLED) -> Outcome:
    """Rehearse *floor*, and rehearse it again with the busiest stations doubled, and with more trials at a time."""
    done = floor.rehearse()
    total = done.seconds or 1.0
    busy = done.busy()
    utilisation = {state.name: busy.get(state.name, 0.0) / total for state in floor.stations}
    busiest = sorted((name for name in utilisation if busy.get(name)), key=lambda name: -utilisation[name])[:n_doubled]
    savings = [Saving(name, done.end - floor.with_two_of(name).rehearse().end) for name in busiest]
    if any(sum(works[0].campaign == campaign for works in floor.trials) > n for campaign, n in floor.in_flight.items()):
        savings.append(Saving("", done.end - floor.with_more_at_a_time().rehearse().end))
    savings.sort(key=lambda saving: -saving.seconds)
    return Outcome(done=done, utilisation=utilisation, waited=_mean_waits(done), savings=savings)


def _mean_waits(done: Rehearsed) -> dict[str, float]:
    waits: dict[str, list[float]] = {}
    for (_, _, step), seconds in done.waited.items():
        waits.setdefault(step, []).append(seconds)
    return {step: sum(found) / len(found) for step, found in waits.items()}
