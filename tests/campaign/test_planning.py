"""What happens to planners that raise, hang, die or propose the impossible."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bad_planners import Misbehaving, suggestion
from hypothesis import given
from hypothesis import strategies as st
from toy import SPACE, LinePlanner, ToyLab, bodies, kinds, toy_campaign

import sdl
from sdl.campaign import History, HistoryEntry, Situation, TrialState
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.planning import ProcessHost, Request, check_suggestions, describe_planner, spec_of
from sdl.errors import CampaignError, IllegalSuggestion, PlannerError, PlannerTimeout, SdlError
from sdl.journal import MemoryJournal
from sdl.journal.records import PlannerFailed

ILLEGAL = ["outside", "other parameter", "text", "not a number", "too many", "nonsense", "None"]


def request(n: int = 1, entries: Any = ()) -> Request:
    problem = sdl.Problem(SPACE, sdl.Minimize("signal", unit="V"))
    return Request(problem=problem, history=History(entries), n=n, situation=Situation(), seed=1)


@pytest.mark.parametrize("how", ["raise", *ILLEGAL])
def test_a_bad_planner_is_asked_once_more_then_the_fallback_answers_and_says_so(how: str) -> None:
    lab, journal = ToyLab(), MemoryJournal()
    campaign = toy_campaign(lab, planner=Misbehaving(how=how), journal=journal)
    assert campaign.run(trials=2).status == "finished"
    assert kinds(campaign, journal).count("planner.failed") == 4
    assert [failed.action for failed in bodies(journal, PlannerFailed)] == ["retry", "fall back"] * 2
    for trial in campaign.trials:
        assert trial.decision.planner == SpaceFillingFallback().name
        assert trial.decision.fallback_from
        assert SPACE.contains(trial.values)
    assert all(0 <= command <= 1 for command in lab.motor0.commands)


def test_a_planner_that_hangs_is_given_up_at_its_deadline() -> None:
    campaign = toy_campaign(planner=Misbehaving(how="hang"), planner_deadline=0.2, fallback=None)
    ended = campaign.run(trials=1)
    assert ended.status == "paused"
    assert "did not answer within 0.2 s" in ended.reason
    assert campaign.trials == ()
    for thread in threading.enumerate():  # the planner's own, which nobody can end
        if thread.name == "sdl-planner":
            thread.join()


def test_without_a_fallback_the_campaign_pauses_and_goes_on_with_a_better_planner() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(planner=Misbehaving(how="raise"), fallback=None, journal=journal)
    assert campaign.run(trials=2).status == "paused"
    better = toy_campaign(planner=LinePlanner(), journal=journal)
    assert better.run(trials=2).status == "finished"
    assert "campaign.changed" in kinds(better, journal)


def test_a_fallback_that_answers_too_often_pauses_the_campaign() -> None:
    campaign = toy_campaign(planner=Misbehaving(how="raise"))
    assert campaign.run(trials=30).status == "paused"
    assert len(campaign.trials) == 10


def test_a_planner_that_has_nothing_to_propose_ends_the_campaign() -> None:
    ended = toy_campaign(planner=Misbehaving(how="nothing")).run(trials=3)
    assert ended.reason == "the planner has nothing left to propose"


def test_a_planner_that_says_that_it_does_not_fit_is_refused_before_anything_is_recorded() -> None:
    class Choosy(LinePlanner):
        def check(self, problem: sdl.Problem) -> None:
            raise PlannerError(f"no line through {', '.join(problem.space.names)}")

    journal = MemoryJournal()
    with pytest.raises(PlannerError, match="no line through x"):
        toy_campaign(planner=Choosy(), journal=journal)
    assert journal.head[0] == 0


def test_a_pending_point_is_not_proposed_again() -> None:
    pending = HistoryEntry(trial=1, values={"x": 0.5}, state=TrialState.UNKNOWN)
    with pytest.raises(IllegalSuggestion, match="pending already"):
        check_suggestions([suggestion({"x": 0.5})], request(entries=[pending]))
    done = HistoryEntry(trial=1, values={"x": 0.5}, state=TrialState.FAILED)
    assert check_suggestions([suggestion({"x": 0.5})], request(entries=[done]))


def test_a_contextual_parameter_may_not_be_changed() -> None:
    space = sdl.SearchSpace(x=sdl.Continuous(0, 1), humidity=sdl.Continuous(0, 1, context=True))
    asked = request().replace(
        problem=sdl.Problem(space, sdl.Minimize("signal")), situation=Situation(context={"humidity": 0.4})
    )
    assert check_suggestions([suggestion({"x": 0.5, "humidity": 0.4})], asked)
    with pytest.raises(IllegalSuggestion, match="humidity"):
        check_suggestions([suggestion({"x": 0.5, "humidity": 0.5})], asked)


def host(how: str, deadline: float = 30.0) -> ProcessHost:
    spec = spec_of(describe_planner(Misbehaving(how=how)))
    assert spec is not None
    return ProcessHost(spec, deadline)


def test_a_planner_process_answers_and_may_print() -> None:
    process = host("print")
    try:
        assert [dict(s.values) for s in process.ask(request())] == [{"x": 0.25}]
        assert [dict(s.values) for s in process.ask(request())] == [{"x": 0.25}]
    finally:
        process.close()


@pytest.mark.parametrize(
    ("how", "deadline", "kind", "message"),
    [
        ("raise", 30.0, PlannerError, "ZeroDivisionError: no model"),
        ("die", 30.0, PlannerError, "ended with code -6"),
        ("hang", 0.5, PlannerTimeout, "did not answer within 0.5 s"),
    ],
)
def test_a_planner_process_that_fails_is_reported_and_replaced(
    how: str, deadline: float, kind: type[Exception], message: str
) -> None:
    process = host(how, deadline)
    try:
        with pytest.raises(kind, match=message):
            process.ask(request())
        with pytest.raises(kind, match=message):
            process.ask(request())
    finally:
        process.close()


def test_a_planner_that_takes_too_much_memory_is_replaced_and_the_campaign_goes_on() -> None:
    """It may take 256 MiB and wants a GiB, when it is asked for the first time and for the second."""
    journal = MemoryJournal()
    campaign = toy_campaign(planner=Misbehaving(how="hoard"), planner_memory="256 MiB", journal=journal)
    assert campaign.run(trials=1).status == "finished"
    failures = bodies(journal, PlannerFailed)
    assert [failed.action for failed in failures] == ["retry", "fall back"]
    assert all("MemoryError" in failed.error for failed in failures)
    assert "MemoryError" in str(campaign.trials[0].decision.fallback_from)


@pytest.mark.parametrize("memory", ["2 apples", "-1 GiB", "1 kB", 10])
def test_a_limit_of_memory_that_is_none_is_refused(memory: Any) -> None:
    with pytest.raises(SdlError, match="planner_memory"):
        toy_campaign(planner_memory=memory)


def test_a_planner_process_does_not_outlive_its_parent() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_planning import host, request\n"
        "h = host('hang'); p = h.start(); print(p.pid, flush=True); h.ask(request())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(1.0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_a_campaign_on_the_wall_clock_asks_a_process() -> None:
    lab = ToyLab(seconds=0.01, clock=sdl.WallClock())
    lab.detector0.settle = 0.01
    campaign = toy_campaign(lab, planner=Misbehaving(how="die"), planner_deadline=30.0)
    assert campaign.run(trials=1).status == "finished"
    assert "ended with code -6" in str(campaign.trials[0].decision.fallback_from)
    lab.close()


def test_a_planner_that_is_no_value_cannot_be_sent_to_a_process() -> None:
    class Plain:
        name = "plain"

        def suggest(self, *_: Any, **__: Any) -> Any:
            return []

    with pytest.raises(CampaignError, match="process of its own"):
        toy_campaign(planner=Plain(), planner_place="process").run(trials=1)


@given(st.integers(0, 2**31), st.integers(1, 4), st.lists(st.floats(0, 1), max_size=5, unique=True))
def test_the_fallback_is_legal_repeatable_and_fills_the_gaps(seed: int, n: int, tried: list[float]) -> None:
    entries = [HistoryEntry(trial=i, values={"x": x}, state=TrialState.FAILED) for i, x in enumerate(tried)]
    asked = request(n, entries).replace(seed=seed)
    arguments = {"situation": asked.situation, "seed": asked.seed}
    first = SpaceFillingFallback().suggest(asked.problem, asked.history, n, **arguments)  # type: ignore[arg-type]
    again = SpaceFillingFallback().suggest(asked.problem, asked.history, n, **arguments)  # type: ignore[arg-type]
    assert first == again
    assert len(check_suggestions(first, asked)) == n
    if tried:
        gap = min(abs(float(first[0].values["x"]) - x) for x in tried)
        assert gap > 1 / (2 * (len(tried) + 1)) - 0.05
