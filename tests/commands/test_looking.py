"""``sdl status`` and ``sdl show``: what a campaign and a trial are said to be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from door import STATES, Pen, film_problem, sdl, write_trade_off

from sdl.journal import open_journal
from sdl.journal.records import StepQueued
from sdl.problem import Measurement


def asked(*words: str) -> Any:
    done = sdl(*words, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return json.loads(done.stdout)


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_for_programs(films: Path) -> None:
    found = asked("status")
    (campaign,) = found["campaigns"]
    assert not found["is_locked"]
    assert campaign["state"] == "killed"
    assert {state: n for state, n in campaign["trials"].items() if n} == {s.value: n for s, n in STATES.items()}
    assert campaign["best"]["trial"] == 2
    assert campaign["best"]["outcomes"]["resistance"] == {
        "value": 40.0,
        "unit": "ohm",
        "standard_error": 3.0,
        "n_replicates": 1,
    }
    assert campaign["best"]["values"] == {"x": {"value": 0.5, "unit": "Pa"}}
    assert campaign["budget"]["trials"] == 10
    assert campaign["cost"] == 6.0
    assert [trial["trial"] for trial in campaign["failures"]] == [3]
    assert sorted(trial["trial"] for trial in campaign["unknown"]) == [4, 5]


def test_status_for_people(films: Path) -> None:
    said = sdl("status").stdout
    for part in (
        "campaign films: killed (process 4000000 on bench is gone",
        "5: 1 running, 2 completed, 1 failed, 1 unknown",
        "trial 2: resistance = 40.0 ± 3.0 Ω at x = 0.5 Pa",
        "10 trials",
        "3      device    deposit  no plasma after 60 s",
        "trial 4 was cut off (the process that ran session 0 is gone)",
        "trial 5 was cut off",
        "you are asked what happened, where it cannot go on by itself",
    ):
        assert part in said
    assert "\x1b" not in said


def test_a_campaign_is_running_while_its_process_writes(here: Path) -> None:
    journal = open_journal(here / "now.sdl")
    Pen(journal, "now").open(film_problem(), pid=os.getpid())
    Pen(journal, "before").open(film_problem())
    found = asked("status")
    assert found["is_locked"]
    assert {c["campaign"]: c["state"] for c in found["campaigns"]} == {"now": "running", "before": "killed"}
    journal.close()
    assert {c["state"] for c in asked("status")["campaigns"]} == {"killed"}


def test_status_looks_without_taking_the_lock(films: Path) -> None:
    (films / "lock").write_text('{"pid": 4000000, "host": "bench"}')  # as a killed process leaves it
    assert not asked("status")["is_locked"]
    open_journal(films).close()  # can be had afterwards


def test_status_of_a_trade_off(here: Path) -> None:
    write_trade_off(here / "trade.sdl", n=14)
    (campaign,) = asked("status")["campaigns"]
    assert campaign["best"] is None
    assert len(campaign["pareto"]) == 14
    said = sdl("status").stdout
    assert "14 trials on the Pareto front" in said
    assert "and 4 more" in said


def test_status_of_several_campaigns(films: Path) -> None:
    with open_journal(films) as journal:
        pen = Pen(journal, "more")
        pen.open(film_problem())
        pen.propose(1, 0.3)
        pen.complete(1, resistance=Measurement(1.0, "ohm"))
    said = sdl("status").stdout
    assert "campaign films: killed" in said
    assert "campaign more: killed" in said
    assert "trial 1: resistance = 1.000 Ω" in said or "trial 1: resistance = 1 Ω" in said


def test_status_of_a_store_without_a_campaign(here: Path) -> None:
    open_journal(here / "empty.sdl").close()
    assert "holds no campaign yet" in sdl("status").stdout
    assert asked("status")["campaigns"] == []


# --- show -------------------------------------------------------------------------------------------------------------


def test_show_a_decision_in_words(films: Path) -> None:
    said = " ".join(sdl("show", "2").stdout.split())
    for part in (
        "trial 2 of campaign films: completed",
        "x = 0.5 Pa",
        "resistance = 40.0 ± 3.0 Ω",
        "deposit chamber 1 1 h 30 min done run-1",
        "Planner careful, version 1, seed 5; it had seen 1 result.",
        "Expected resistance = 50.0 ± 4.0 Ω, measured 40.0 ± 3.0 Ω: 2.0 standard deviations off.",
        "log EI = 0.25.",
        "It was expected to improve on the best so far by 30 Ω.",
        "Most is to be gained here.",
        "x = 0.55 Pa 0.2 resistance = 55.0 ± 5.0 Ω",
    ):
        assert part in said


def test_show_a_failure_in_words(films: Path) -> None:
    said = " ".join(sdl("show", "3").stdout.split())
    for part in (
        "trial 3 of campaign films: failed",
        "device in step deposit: no plasma after 60 s",
        "resistance = 77 Ω, before it failed",
        "attempts 2",
        "attempt 1 failed: device: no plasma",
        "It answered in place of the chosen planner, which failed: the matrix is singular",
    ):
        assert part in said
    assert "\x1b" not in said


def test_show_what_was_cut_off(films: Path) -> None:
    assert "the process that ran session 0 is gone" in sdl("show", "4").stdout
    assert "no end recorded" in sdl("show", "5").stdout
    assert "and 1 trial without a result yet" in sdl("show", "4").stdout


def test_show_what_a_trial_waits_for_that_has_not_begun(films: Path) -> None:
    reason = "waits for station oven, which is closed until 8:00"
    with open_journal(films) as journal:
        pen = Pen(journal, "films")
        pen.propose(6, 0.2)
        pen.write(StepQueued(step="anneal", because="closed", reason=reason), trial=6)
    assert f"anneal {reason}" in " ".join(sdl("show", "6").stdout.split())


def test_show_for_programs(films: Path) -> None:
    found = asked("show", "2")
    assert found["is_best"]
    assert found["state"] == "completed"
    assert found["decision"]["predicted"]["resistance"] == {"mean": 50.0, "standard_deviation": 4.0}
    assert found["decision"]["runners_up"][0]["values"] == {"x": {"value": 0.55, "unit": "Pa"}}
    assert found["steps"] == [
        {
            "step": "deposit",
            "station": "chamber",
            "attempt": 1,
            "is_success": True,
            "seconds": 5400.0,
            "runs": ["run-1"],
            "returned": None,
        }
    ]
    failed = asked("show", "3")
    assert failed["failure"]["category"] == "device"
    assert [attempt["attempt"] for attempt in failed["failed_attempts"]] == [1]
    assert [step["attempt"] for step in asked("show", "5")["steps_under_way"]] == [1]


@pytest.mark.parametrize("number", ["6", "0"])
def test_show_says_which_trials_there_are(films: Path, number: str) -> None:
    done = sdl("show", number)
    assert done.exit_code == 2
    assert f"has no trial {number} (it has trials 1 to 5)" in done.stderr


def test_show_wants_to_know_which_campaign(films: Path) -> None:
    with open_journal(films) as journal:
        Pen(journal, "more").open(film_problem())
    done = sdl("show", "1")
    assert done.exit_code == 2
    assert "say --campaign with one of films, more" in done.stderr
    assert "campaign films" in sdl("show", "1", "--campaign", "films").stdout
    assert sdl("show", "1", "--campaign", "none").exit_code == 2
