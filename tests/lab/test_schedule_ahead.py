"""Planning ahead: it finds what the rule does not see, keeps what must be kept, and is never needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from random_labs import BEGIN, RandomLab, intervals

from sdl.lab.schedule import Calendar, Decision, StationState, Work, ahead, dispatch, schedule_ahead
from sdl.lab.schedule.rehearsal import rehearse
from sdl.testing.schedule import check_schedule


def works() -> list[Work]:
    """By age the short one goes first; the whole is shorter if the long one does."""

    def trial(number: int, *seconds: float) -> list[Work]:
        stations = ("coater", "meter")
        return [
            Work(campaign="c", trial=number, step=name, stations=(name,), duration=time, after=stations[:place])
            for place, (name, time) in enumerate(zip(stations, seconds, strict=True))
        ]

    return [*trial(1, 3000.0, 100.0), *trial(2, 100.0, 3000.0)]


STATIONS = [StationState(name="coater"), StationState(name="meter")]


def test_a_plan_ends_sooner_where_the_rule_does_not_look_ahead() -> None:
    pytest.importorskip("ortools")
    planned = schedule_ahead(0.0, works(), STATIONS)
    assert (planned.source, planned.is_optimal) == ("cp-sat", True)
    assert planned.decision.starts[0].works == (("c", 2, "coater"),)
    assert max(run.end for run in planned.placed) == 3200.0
    assert dispatch(0.0, works(), STATIONS).starts[0].works == (("c", 1, "coater"),)


def test_of_two_runs_shorter_than_a_second_one_begins() -> None:
    pytest.importorskip("ortools")
    short = [Work(campaign="c", trial=number, step="look", stations=("meter",), duration=0.5) for number in (1, 2)]
    decision = schedule_ahead(0.0, short, STATIONS).decision
    assert [start.works for start in decision.starts] == [(("c", 1, "look"),)]
    assert [wait.because for wait in decision.waits.values()] == ["turn"]


def test_without_the_solver_the_rule_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "has_solver", lambda: False)
    planned = schedule_ahead(0.0, works(), STATIONS)
    assert (planned.source, planned.decision) == ("rule", dispatch(0.0, works(), STATIONS))


def test_hours_and_works_that_fit_nowhere() -> None:
    pytest.importorskip("ortools")
    by_day = [STATIONS[0], StationState(name="meter", calendar=Calendar(hours=("08:00-09:00",)))]
    planned = schedule_ahead(0.0, works(), by_day)
    assert [run.begin % 86400 >= 8 * 3600 for run in planned.placed if run.station == "meter"] == [True, True]
    closed = [STATIONS[0], StationState(name="meter", is_down=True)]
    assert schedule_ahead(0.0, works(), closed).source == "rule"


@pytest.mark.parametrize("seed", [2, 10, 17])
def test_what_is_planned_is_allowed(seed: int) -> None:
    pytest.importorskip("ortools")
    lab = RandomLab(seed, has_calendars=False)

    def decide(now: float, given: Sequence[Work], stations: Sequence[StationState], _: Mapping[str, float]) -> Decision:
        return schedule_ahead(now, given, stations, effort=0.05).decision

    done = rehearse(lab.trials, lab.states, begin=BEGIN, decide=decide)
    assert len({key for run in done.runs for key in run.works}) == sum(map(len, lab.trials))
    assert check_schedule(intervals(done), lab.rules) == []
