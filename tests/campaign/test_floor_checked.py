"""Scheduler and engine together: what the journal says of a laboratory is checked by one who knows neither."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from busy_lab import BusyLab, campaigns_on, wrongs
from floor_toy import HOUR, FloorLab, Plan, batch_lasting, floor_campaign, lasting, measuring
from toy import bodies

import sdl
from sdl import Batch, Changeover, Step
from sdl.campaign import TrialState, floor
from sdl.journal import MemoryJournal, comparable_lines
from sdl.journal.records import ScheduleChosen, StepEnded
from sdl.lab import Calendar
from sdl.lab.schedule import ahead
from sdl.testing.schedule import Opening, StepRule, check_schedule, intervals_of


def rinse(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.sleep(300)


STEPS = (
    Step("take", lasting(120), station="robot", duration=120, keeps=("robot",)),
    Step(
        "coat",
        lasting(1800),
        station="coater",
        duration="30 min",
        needs=("robot",),
        setup=Changeover(key=("temperature",), plan=rinse, duration=300),
    ),
    Step(
        "anneal",
        batch_lasting(2 * HOUR),
        station="furnace",
        duration="2 h",
        batch=Batch(8, shared=("temperature",), patience="1 h"),
    ),
    Step("measure", measuring(600), station="meter", duration=600, within={"anneal": "90 min"}, on_late="go on"),
)
RULES: Mapping[str, StepRule] = {
    "take": StepRule(("robot",)),
    "coat": StepRule(("coater",), needs=(("robot",),), after=("take",)),
    "anneal": StepRule(("furnace1", "furnace2"), size=8, after=("coat",)),
    "measure": StepRule(("meter",), within={"anneal": 5400.0}, after=("anneal",)),
}


def test_a_laboratory_with_robot_coater_furnaces_and_windows_is_run_as_it_may_be() -> None:
    journal = MemoryJournal()
    lab = FloorLab(calendars={"meter": Calendar(hours=("06:00-22:00",), timezone="Europe/Paris")})
    campaigns = [
        floor_campaign(*STEPS, lab=lab, name=name, journal=journal, in_flight=8, share=share)
        for name, share in (("a", 1.0), ("b", 2.0))
    ]
    sdl.run_together(*campaigns, trials=16)
    assert [trial.state for each in campaigns for trial in each.trials] == [TrialState.COMPLETED] * 32
    found = intervals_of(journal)
    assert {each.role for each in found} == {"run", "need", "setup", "keep"}
    assert len([each for each in found if each.role == "run"]) == 4 * 32
    opening = {"meter": Opening(("06:00-22:00",), "Europe/Paris")}
    assert check_schedule(found, RULES, opening=opening) == []
    late = [each for each in found if each.role == "run" and each.step == "measure"]
    assert check_schedule(found, {**RULES, "measure": StepRule(("robot",))}) != []  # it does look
    assert len(late) == 32


def test_two_trials_that_keep_what_the_other_needs_do_not_lock_the_laboratory() -> None:
    """Each takes one of two stations while the other one still works, and would then wait for it for ever."""

    def steps(first: str, second: str, seconds: float) -> tuple[Step, ...]:
        return (
            Step("take", lasting(seconds), station=first, duration=seconds, keeps=(first,)),
            Step("place", measuring(60), station=second, duration=60, needs=(first,)),
        )

    look = Step("look", lasting(60), station="meter", duration=60)  # so that it begins a little later
    journal, lab = MemoryJournal(), FloorLab()
    campaigns = [
        floor_campaign(*steps("robot", "coater", 600), lab=lab, name="a", journal=journal, in_flight=2),
        floor_campaign(look, *steps("coater", "robot", 600), lab=lab, name="b", journal=journal, in_flight=2),
    ]
    ended = sdl.run_together(*campaigns, trials=3)
    assert [each.status for each in ended] == ["finished", "finished"]
    assert check_schedule(intervals_of(journal)) == []


@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_failed_step_lets_go_of_what_it_was_to_keep(in_flight: int) -> None:
    def fail(lab: Any, s: sdl.Settings) -> Plan:
        yield from bps.sleep(60)
        if s.trial == 1:
            raise ValueError("it slipped")

    journal = MemoryJournal()
    campaign = floor_campaign(
        Step("take", fail, station="robot", keeps=("robot",)),
        Step("measure", measuring(60), station="meter", needs=("robot",)),
        journal=journal,
        in_flight=in_flight,
    )
    campaign.run(trials=3)
    assert [trial.state for trial in campaign.trials] == [TrialState.FAILED, *[TrialState.COMPLETED] * 2]
    assert check_schedule(intervals_of(journal)) == []


def tight_campaigns(journal: MemoryJournal, schedule_ahead: str, lab: FloorLab) -> list[sdl.Campaign]:
    """Two campaigns with windows of minutes between steps that share a furnace, a meter, a coater and a robot."""

    def step(name: str, seconds: float, station: str, **more: Any) -> Step:
        return Step(name, measuring(seconds), station=station, duration=seconds, **more)

    steps = {
        "a": (
            step("load", 900, "furnace1", needs="robot"),
            step("look", 300, "meter", needs="robot", within={"load": 60}),
            step("coat", 1800, "coater"),
            step("heat", 1800, "furnace1", within={"look": 2700}),
        ),
        "b": (
            step("coat", 900, "coater"),
            step("heat", 900, "furnace1", within={"coat": 60}),
            step("coat again", 300, "coater", needs="robot", within={"coat": 1200}),
        ),
    }
    options: dict[str, Any] = {"journal": journal, "in_flight": 2, "schedule_ahead": schedule_ahead, "lab": lab}
    return [floor_campaign(*steps[name], name=name, **options) for name in steps]


@pytest.fixture
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "Ahead", functools.partial(ahead.Ahead, effort=0.05))


@pytest.mark.usefixtures("little_effort")
def test_where_windows_are_tight_a_schedule_made_ahead_discards_no_sample_and_the_rule_two() -> None:
    pytest.importorskip("ortools")
    rules = {
        "a/look": StepRule(("meter",), needs=(("robot",),), within={"load": 60}),
        "a/heat": StepRule(("furnace1",), within={"look": 2700}),
        "b/heat": StepRule(("furnace1",), within={"coat": 60}),
        "b/coat again": StepRule(("coater",), needs=(("robot",),), within={"coat": 1200}),
    }
    failed: dict[str, int] = {}
    for when in ("never", "auto"):
        journal, lab = MemoryJournal(), FloorLab()
        campaigns = tight_campaigns(journal, when, lab)
        sdl.run_together(*campaigns, trials=3)
        failed[when] = sum(trial.state is TrialState.FAILED for each in campaigns for trial in each.trials)
        assert check_schedule(intervals_of(journal), rules) == []
        told = bodies(journal, ScheduleChosen)
        assert [each.by for each in told if each.by == "cp-sat"] == (["cp-sat"] if when == "auto" else [])
        lab.close()
    assert failed == {"never": 2, "auto": 0}


@pytest.mark.usefixtures("little_effort")
def test_a_schedule_made_ahead_is_the_same_in_every_run() -> None:
    pytest.importorskip("ortools")
    lines: list[list[str]] = []
    for _ in range(2):
        journal, lab = MemoryJournal(), FloorLab()
        sdl.run_together(*tight_campaigns(journal, "auto", lab), trials=2)
        lines.append(list(comparable_lines(journal)))
        lab.close()
    assert lines[0] == lines[1]


def test_without_the_solver_the_rule_decides_and_the_journal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "has_solver", lambda: False)
    journal, lab = MemoryJournal(), FloorLab()
    sdl.run_together(*tight_campaigns(journal, "auto", lab), trials=2)
    (told,) = bodies(journal, ScheduleChosen)
    assert (told.by, "pip install 'sdl[schedule]'" in told.reason) == ("rule", True)


def test_four_campaigns_with_faults_do_only_what_they_may() -> None:
    """The soak ``tests/soak/four_campaigns.py`` is this with ten thousand trials."""
    journal = MemoryJournal()
    with BusyLab(3, 12) as lab:
        campaigns = campaigns_on(lab, journal)
        ended = sdl.run_together(*campaigns, trials=12)
    assert [each.status for each in ended] == ["finished"] * 4
    states = [trial.state for each in campaigns for trial in each.trials]
    assert len(states) == 48
    assert set(states) <= {TrialState.COMPLETED, TrialState.FAILED}
    failed = [body for body in bodies(journal, StepEnded) if not body.is_success]
    assert failed
    assert wrongs(journal) == []
