"""Killed at every place around an act: nothing is done twice without consent, and no finished step runs again."""

from __future__ import annotations

import collections
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from acting import TRIALS, truth_of

from sdl.campaign import CampaignView, TrialState
from sdl.journal import Journal, open_journal
from sdl.journal.acts import ActEnded, ActIntended, ActResolved, StepRecovered
from sdl.journal.audit import verify
from sdl.journal.records import StepEnded, StepStarted, TrialResolved, TrialUnknown

SCRIPT = Path(__file__).parent / "acting.py"
pytestmark = pytest.mark.timeout(400)  # the first test waits for all cases, on a machine that may be busy
GUARD = ("before_intent", "after_intent", "before_act", "after_act", "before_end", "after_end")
IN_THE_WINDOW = {
    "guard.after_intent",
    "guard.before_act",
    "guard.after_act",
    "guard.before_end",
    "recorder.after_act:1",
}
AFTER = "guard.after_act:1"
"""A kill that leaves an act of which nobody knows."""

CASES: list[dict[str, Any]] = [
    *(
        {**mode, "points": [f"guard.{point}:{hit}"]}
        for mode in ({"policy": "failed"}, {"policy": "ask", "resume": True, "probe": True})
        for point, hit in zip(GUARD, (3, 1, 3, 1, 3, 1), strict=True)
    ),
    {"policy": "failed", "points": ["guard.before_intent:1"]},
    *({"policy": "redo", "points": [f"guard.{point}:1"]} for point in GUARD),
    *({"policy": "ask", "points": [f"guard.{point}:1"]} for point in ("before_intent", "after_act")),
    *({"policy": "ask", "resume": True, "points": [f"guard.{point}:2"]} for point in ("after_act", "after_end")),
    *(
        {"policy": "failed", "points": [f"recorder.{point}_act:{hit}"]}
        for point in ("before", "after")
        for hit in (1, 2)
    ),
    *(
        {"policy": policy, "points": [AFTER, f"recovery.{point}:1"]}
        for policy in ("failed", "redo")
        for point in ("before_unknown", "after_unknown", "before_resolution", "after_resolution")
    ),
    *(
        {"policy": "ask", "resume": True, "probe": True, "points": [AFTER, f"recovery.{point}:1", AFTER]}
        for point in ("before_evidence", "after_evidence", "before_decision", "after_decision")
    ),
]


def name_of(case: Mapping[str, Any]) -> str:
    how = [word for word in ("resume", "probe") if case.get(word)]
    return " ".join([case["policy"], *how, "at", *case["points"]])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of every case, by its name."""
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("acting"))]
    ended = subprocess.run(command, input=json.dumps(CASES), check=True, capture_output=True, text=True, timeout=390)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    return {name_of(case): case for case in found}


@pytest.fixture(params=[name_of(case) for case in CASES])
def killed(
    request: pytest.FixtureRequest, outcomes: dict[str, dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Journal]]:
    """A case, and the journal that it left."""
    case = outcomes[request.param]
    journal = open_journal(Path(case["folder"]) / "store.sdl", mode="read")
    yield case, journal
    journal.close()


def counted(lines: list[dict[str, Any]], *keys: str) -> collections.Counter[tuple[Any, ...]]:
    return collections.Counter(tuple(line[key] for key in keys) for line in lines)


def test_killed_at_an_act(killed: tuple[dict[str, Any], Journal]) -> None:
    case, journal = killed
    truth = truth_of(Path(case["folder"]) / "truth")
    view = CampaignView.of(journal)
    assert case["codes"][0] == -signal.SIGKILL
    assert case["code"] == 0, "the campaign did not come to its end"
    assert len(view.trials) >= TRIALS
    assert verify(Path(case["folder"]) / "store.sdl").ok
    check_acts(journal, truth, has_consent=case["policy"] == "redo")
    check_steps(journal)
    check_window(case, journal)
    if case.get("probe"):  # the instrument remembers, and the step says how to go on: nothing is lost
        assert [trial.state for trial in view.trials] == [TrialState.COMPLETED] * TRIALS
        assert counted(truth, "device", "trial") == dict.fromkeys(
            [(device, trial) for device in ("doser", "burner") for trial in (1, 2)], 1
        )


def check_acts(journal: Journal, truth: list[dict[str, Any]], *, has_consent: bool) -> None:
    """Nothing was done twice, nothing was done without an intent, and what is recorded as done was done."""
    keys = ("device", "trial", "attempt") if has_consent else ("device", "trial")
    assert max(counted(truth, *keys).values(), default=0) <= 1
    intended: dict[str, tuple[str, int]] = {}
    done: collections.Counter[tuple[str, int]] = collections.Counter()
    for event in journal.read(kinds=("act.intended", "act.ended")):
        assert event.trial is not None
        if isinstance(event.body, ActIntended):
            assert event.body.act not in intended
            intended[event.body.act] = (event.body.device, event.trial)
        elif isinstance(event.body, ActEnded) and event.body.outcome == "done":
            done[intended[event.body.act]] += 1
    true = counted(truth, "device", "trial")
    assert true <= collections.Counter(intended.values())
    assert done <= true


def check_steps(journal: Journal) -> None:
    """No step that ended well was begun again in the same attempt."""
    ended: set[tuple[int | None, int, str]] = set()
    for event in journal.read(kinds=("step.started", "step.ended")):
        if isinstance(event.body, StepStarted):
            assert (event.trial, event.body.attempt, event.body.step) not in ended
        elif isinstance(event.body, StepEnded) and event.body.is_success:
            ended.add((event.trial, event.body.attempt, event.body.step))


def check_window(case: dict[str, Any], journal: Journal) -> None:
    """Only a kill between the intent and the end leaves an act of which nobody knows."""
    bodies = [event.body for event in journal.read() if not event.kind.startswith("document")]
    ended = {body.act for body in bodies if isinstance(body, ActEnded)}
    open_acts = [body for body in bodies if isinstance(body, ActIntended) and body.act not in ended]
    assert all(body.outcome == "done" for body in bodies if isinstance(body, ActEnded))
    places = {point.partition(":")[0] for point in case["points"]}
    if places <= {"guard.before_intent", "guard.after_end"}:
        assert not open_acts
    elif places <= IN_THE_WINDOW:
        assert len(open_acts) == 1
    if any(isinstance(body, TrialUnknown) for body in bodies):
        assert any(isinstance(body, StepRecovered) and body.action == "policy" for body in bodies)


def test_the_places_around_an_act_are_passed_in_their_order(outcomes: dict[str, dict[str, Any]]) -> None:
    passed = list(outcomes["failed at guard.after_end:1"]["names"])
    places = ["guard.before_intent", "guard.after_intent", "guard.before_act", "guard.after_act", "guard.before_end"]
    assert [name for name in passed if name in places] == places


def bodies_of(case: dict[str, Any], kind: type[Any]) -> list[Any]:
    journal = open_journal(Path(case["folder"]) / "store.sdl", mode="read")
    try:
        return [event.body for event in journal.read() if isinstance(event.body, kind)]
    finally:
        journal.close()


def test_with_nobody_to_ask_an_unknown_act_parks_its_trial_and_the_others_go_on(
    outcomes: dict[str, dict[str, Any]],
) -> None:
    case = outcomes["ask at guard.after_act:1"]
    journal = open_journal(Path(case["folder"]) / "store.sdl", mode="read")
    states = [trial.state.value for trial in CampaignView.of(journal).trials]
    journal.close()
    assert states == ["unknown", "completed"]


def test_no_act_was_begun_and_the_step_is_done_again_by_itself(outcomes: dict[str, dict[str, Any]]) -> None:
    (recovered,) = bodies_of(outcomes["failed at guard.before_intent:1"], StepRecovered)
    assert (recovered.action, recovered.step) == ("redo", "dose")
    assert recovered.reason == "it had begun nothing that may not be repeated"
    assert not bodies_of(outcomes["failed at guard.before_intent:1"], TrialUnknown)


def test_it_goes_on_after_the_acts_that_were_done(outcomes: dict[str, dict[str, Any]]) -> None:
    (recovered,) = bodies_of(outcomes["ask resume at guard.after_end:2"], StepRecovered)
    assert (recovered.action, recovered.step) == ("resume", "burn")


def test_a_redo_says_who_agreed(outcomes: dict[str, dict[str, Any]]) -> None:
    (resolved,) = bodies_of(outcomes["redo at guard.after_act:1"], TrialResolved)
    assert resolved.answer == "redo"
    assert "Kim: every attempt has a new vial" in resolved.reason


def test_the_probe_of_a_device_is_evidence(outcomes: dict[str, dict[str, Any]]) -> None:
    (found,) = bodies_of(outcomes["ask resume probe at guard.after_act:1"], ActResolved)
    assert (found.answer, found.evidence) == ("happened", "the balance shows 1 doses (wrong in 0.001 of all cases)")
    (missed,) = bodies_of(outcomes["ask resume probe at guard.after_intent:1"], ActResolved)
    assert missed.answer == "did_not_happen"
