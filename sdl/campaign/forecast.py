"""What the stations are expected to do next: the rule of the schedule, let go on in thought with what is known now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sdl.errors import LabError
from sdl.lab.schedule import StationState, Work
from sdl.lab.schedule.rehearsal import RehearsedRun, rehearse


@dataclass(frozen=True)
class Coming:
    """What is to come of one campaign.

    Parameters
    ----------
    trials
        The works of each trial: of those under way, those that wait, and some that are yet to be proposed.
    in_flight
        How many of these may be under way at the same time.
    ends
        When the runs are expected to end that stations work on, in UTC seconds, by station.
    """

    trials: Sequence[Sequence[Work]] = ()
    in_flight: int = 1
    ends: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Question:
    """All that a forecast goes by: values only, so that it can be made on any thread.

    Parameters
    ----------
    now
        UTC seconds.
    stations
        As they stand.
    coming
        What is to come, by campaign.
    """

    now: float
    stations: Sequence[StationState]
    coming: Mapping[str, Coming]

    @property
    def ends(self) -> Mapping[str, float]:
        """When the runs are expected to end that stations work on, by station."""
        return {station: end for each in self.coming.values() for station, end in each.ends.items()}


def expected_runs(question: Question) -> tuple[RehearsedRun, ...]:
    """Return the runs to come, in the order they begin; none where nobody can tell."""
    ends = question.ends
    stations = [
        state.replace(busy_until=ends[state.name]) if state.name in ends else state for state in question.stations
    ]
    trials = [works for each in question.coming.values() for works in each.trials if works]
    in_flight = {name: each.in_flight for name, each in question.coming.items()}
    try:
        return rehearse(trials, stations, begin=question.now, in_flight=in_flight).runs
    except LabError:  # something never gets what it needs: why it waits is said elsewhere
        return ()
