"""Planning ahead: it finds what the rule does not see, keeps what must be kept, and is never needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from random_labs import BEGIN, RandomLab, intervals

from sdl.lab.schedule import Calendar, Decision, StationState, Work, ahead, dispatch, schedule_ahead
from sdl.lab.schedule.rehearsal import rehearse
from sdl.lab.schedule.solving import Placed, solve
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


def of_two_campaigns(priority: int = 0) -> list[Work]:
    """One long work of one campaign, and three short ones of another: with these first the sum of ends is least."""
    long = Work(campaign="long", trial=1, step="fire", stations=("coater",), duration=3600.0, priority=priority)
    short = [Work(campaign="short", trial=n, step="look", stations=("coater",), duration=600.0) for n in (1, 2, 3)]
    return [long, *short]


def test_a_plan_takes_no_time_from_a_campaign_of_higher_priority_or_with_more_of_its_share_left() -> None:
    pytest.importorskip("ortools")
    prior = schedule_ahead(0.0, of_two_campaigns(priority=1), STATIONS)
    assert prior.decision.starts[0].works == (("long", 1, "fire"),)
    usage = {"long": 3600.0, "short": 5400.0}
    its_turn = schedule_ahead(0.0, of_two_campaigns(), STATIONS, usage=usage)
    assert its_turn.decision.starts[0].works == (("long", 1, "fire"),)
    has_had = schedule_ahead(0.0, of_two_campaigns(), STATIONS, usage=usage, shares={"short": 2.0})
    assert has_had.decision.starts[0].works == (("short", 1, "look"),)


@pytest.mark.parametrize(("is_fair", "first"), [(True, "long"), (False, "short")])
def test_where_windows_are_to_be_saved_the_solver_may_take_from_anybody(is_fair: bool, first: str) -> None:
    pytest.importorskip("ortools")
    works = of_two_campaigns()
    begins = (0.0, 3600.0, 4200.0, 4800.0)
    known = [
        Placed("coater", (), (work.key,), begin, begin + work.duration)
        for work, begin in zip(works, begins, strict=True)
    ]
    found = solve(0.0, works, STATIONS, known, effort=0.1, seed=0, is_fair=is_fair)
    assert found is not None
    assert found[0][0].works[0][0] == first


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
