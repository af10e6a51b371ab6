"""Devices that hang and lie, clocks that jump, planners that propose what they may not, results that are none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dosing import DosingLab, campaign
from hypothesis import given, settings
from hypothesis import strategies as st

import sdl
from sdl.campaign import CampaignView, History
from sdl.campaign.planner import Situation, TrialState
from sdl.campaign.planning import PlanningDesk, Request, ThreadHost, check_suggestions
from sdl.campaign.results import keep_raw, observe
from sdl.campaign.returned import written
from sdl.errors import IllegalSuggestion, JournalError, SdlError
from sdl.journal import MemoryJournal, open_journal
from sdl.journal.records import Comment, PlannerFailed
from sdl.lab.experiment import Settings
from sdl.testing import TruthJournal, check
from sdl.testing.disturbances import (
    AdversarialPlanner,
    JumpingClock,
    disturbed,
    failing,
    hanging,
    reading,
    slow,
)
from sdl.testing.storage import FailAt, recorded_disk


@pytest.fixture
def made(tmp_path: Path) -> Iterator[sdl.Campaign]:
    campaign_made = campaign(tmp_path, "failed", progress=False)
    yield campaign_made
    campaign_made.lab.close()


def acts(tmp_path: Path) -> list[str]:
    return [truth.key for truth in TruthJournal(tmp_path / "truth.jsonl").read()]


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_slow_device_is_waited_for_and_acts_once(made: sdl.Campaign, tmp_path: Path) -> None:
    with disturbed(made.lab.pump, "trigger", slow(600.0)):
        made.run(trials=2)
    assert [trial.state for trial in made.trials] == [TrialState.COMPLETED] * 2
    assert acts(tmp_path) == ["1.1", "2.1"]


def test_a_device_that_hangs_is_given_up_at_the_deadline_and_not_asked_again(tmp_path: Path) -> None:
    made = campaign(tmp_path, "failed", progress=False, on_failure=sdl.FailurePolicy(retries=2))
    with disturbed(made.lab.pump, "trigger", hanging()):
        made.run(trials=2)
    made.lab.close()
    assert all(trial.state is TrialState.FAILED for trial in made.trials)
    assert acts(tmp_path) == ["1.1", "2.1"]


@pytest.mark.parametrize("after_acting", [False, True])
def test_a_device_that_fails_is_not_asked_again(tmp_path: Path, after_acting: bool) -> None:
    made = campaign(tmp_path, "failed", progress=False)
    with disturbed(made.lab.pump, "trigger", failing(OSError("no answer"), after_acting=after_acting)):
        made.run(trials=2)
    made.lab.close()
    assert acts(tmp_path) == (["1.1", "2.1"] if after_acting else [])


@pytest.mark.parametrize("lie", [math.nan, math.inf, "1.5", None, True])
def test_a_reading_that_is_no_number_never_becomes_a_result(made: sdl.Campaign, lie: object) -> None:
    with disturbed(made.lab.balance, "read", reading(lie)):
        made.run(trials=2)
    assert [trial.state for trial in made.trials] == [TrialState.FAILED] * 2
    assert made.view.history.completed == ()


# --- the disk under a campaign ----------------------------------------------------------------------------------------


def test_when_the_disk_fails_nothing_more_is_done_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """At every twentieth write and sync of a campaign."""
    n_failed = 0
    for n in range(12, 1000, 20):
        folder = tmp_path / str(n)
        folder.mkdir()
        failing_disk = FailAt(n)
        with recorded_disk(failing_disk):
            made = campaign(folder, "failed")
            try:
                made.run(trials=2)
            except (JournalError, OSError):
                n_failed += 1
            done = acts(folder)
            made.lab.close()
        if not failing_disk.has_failed:
            break
        assert acts(folder) == done
        again = campaign(folder, "failed")
        assert again.run(trials=2).status == "finished"
        again.lab.close()
        assert check(folder / "store.sdl", truth=TruthJournal(folder / "truth.jsonl"), are_runs_closed=True).ok
    assert n_failed >= 4


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_no_order_and_no_budget_and_is_told(tmp_path: Path) -> None:
    clock = JumpingClock(np.random.default_rng(4), every=3)

    def quick(lab: Any, s: Any) -> Any:
        yield from ()
        return {"mass": sdl.Measurement(float(s["volume"]), "g")}

    lab = DosingLab(TruthJournal(tmp_path / "truth.jsonl"), clock=clock)
    made = campaign(
        tmp_path,
        "failed",
        lab=lab,
        experiment=quick,
        progress=False,
        planner_place="thread",
        budget=sdl.Budget(trials=5, lab_time="30 min"),
    )
    ended = made.run()
    lab.close()
    assert clock.n_jumps > 3
    assert ended.reason == "5 trials, as many as the budget allows"
    with open_journal(tmp_path / "store.sdl", "read") as journal:
        events = list(journal.read())
        view = CampaignView.of(journal)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(after.monotonic >= before.monotonic for before, after in pairwise(events))
    assert view.lab_seconds < 60
    told = [event.body.text for event in events if isinstance(event.body, Comment)]
    assert told
    assert all("the clock jumped by" in text for text in told)


# --- planners ---------------------------------------------------------------------------------------------------------


def test_of_a_thousand_evil_proposals_none_passes() -> None:
    problem = sdl.Problem(
        sdl.SearchSpace(
            x=sdl.Continuous(0.1, 0.9),
            t=sdl.Continuous("20 degC", "80 degC", unit="degC"),
            kind=sdl.Categorical(("a", "b")),
        ),
        sdl.Minimize("y"),
    )
    planner, rng = AdversarialPlanner(), np.random.default_rng(5)
    request = Request(problem=problem, history=History(), n=1, situation=Situation(n_free_slots=1), seed=1)
    for _ in range(1000):
        evil = planner._suggestion(planner.evil(problem, request.history, rng, {}))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(IllegalSuggestion):
            check_suggestions([evil], request)


def test_what_reaches_the_hardware_lies_in_the_envelope_whatever_is_proposed(tmp_path: Path) -> None:
    journal = MemoryJournal()
    made = campaign(tmp_path, "failed", planner=AdversarialPlanner(), journal=journal, progress=False)
    made.run(trials=40)
    made.lab.close()
    volumes = [truth.facts["volume"] for truth in TruthJournal(tmp_path / "truth.jsonl").read()]
    assert len(volumes) == 40
    assert all(isinstance(volume, float) and 0.0 <= volume <= 1.0 for volume in volumes)
    refused = [event for event in journal.read() if isinstance(event.body, PlannerFailed)]
    assert len(refused) > 20
    assert any(trial.decision.fallback_from for trial in made.trials)


# --- results ----------------------------------------------------------------------------------------------------------


def nested(depth: int) -> object:
    value: object = 1.0
    for _ in range(depth):
        value = {"deeper": [value]}
    return value


class Rude:
    """An object that answers every question with an error."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


ODD_ONES = [math.nan, math.inf, 1e999, None, True, "1.5", "nan ohm", "\ud800", 10**5000, nested(3000), Rude(), b"\xff"]
ODD = st.integers(0, len(ODD_ONES) - 1).map(lambda number: ODD_ONES[number])  # whose own repr would be an error
ANYTHING = st.recursive(
    ODD | st.floats() | st.integers() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("mass"), inner, max_size=3)
    ),
    max_leaves=6,
)
PROBLEM = sdl.Problem(sdl.SearchSpace(volume=sdl.Continuous(0.0, 1.0)), sdl.Minimize("mass", unit="g"))


def plan(lab: Any, s: Any) -> Any:
    yield from ()


@settings(max_examples=1000)
@given(result=ANYTHING)
def test_any_result_is_an_observation_or_refused_with_its_raw_data_kept(result: object) -> None:
    journal = MemoryJournal()
    results: Any = {"weigh": result}
    json.dumps(written(result, journal, name="returned.json")[0], ensure_ascii=False).encode()
    try:
        observation = observe(PROBLEM, sdl.Experiment(sdl.Step("weigh", plan)), Settings({"volume": 0.5}), results, ())
    except (SdlError, TypeError, ValueError, AttributeError, RecursionError, RuntimeError):
        raw = keep_raw(journal, 1, results)
        assert journal.get(raw).startswith(b"weigh: ")
    else:
        assert math.isfinite(observation.outcomes["mass"].value)


@pytest.mark.parametrize("odd", [nested(3000), 10**5000, "\ud800", Rude(), {"\ud800": 1}], ids=range(5))
def test_a_campaign_survives_whatever_a_plan_returns(tmp_path: Path, odd: object) -> None:
    def weigh(lab: Any, s: Any) -> Any:
        yield from ()
        return odd if s.trial == 1 else {"mass": sdl.Measurement(1.0, "g"), "more": odd}

    made = campaign(tmp_path, "failed", experiment=sdl.Experiment(sdl.Step("weigh", weigh)), progress=False)
    made.run(trials=2)
    made.lab.close()
    failure = made.trials[0].failure
    assert failure is not None
    assert failure.raw is not None
    assert made.trials[1].state.is_final


def test_the_desk_gives_up_on_a_planner_that_is_always_evil() -> None:
    failures: list[str] = []
    desk = PlanningDesk(
        ThreadHost(AdversarialPlanner(mercy=10**9), 5.0), None, lambda n, error, do: failures.append(do)
    )
    request = Request(problem=PROBLEM, history=History(), n=1, situation=Situation(n_free_slots=1), seed=3)
    with pytest.raises(IllegalSuggestion):
        desk.ask(request)
    assert failures == ["retry", "pause"]
