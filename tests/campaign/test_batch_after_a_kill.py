"""A run of several samples that is killed: all are decided alike, and nothing is done to one of them twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from acting import truth_of

from sdl.campaign import CampaignView, TrialState
from sdl.journal import Journal, open_journal
from sdl.journal.acts import StepRecovered
from sdl.journal.audit import verify
from sdl.journal.records import StepEnded, StepStarted

SCRIPT = Path(__file__).parent / "annealing.py"
TOGETHER = (1, 2, 3)
CASES: list[dict[str, Any]] = [
    {"points": [point], "resume": resume, "actions": actions, "state": state}
    for point, resume, actions, state in (
        ("loop.step_announced:1", False, {"redo"}, "completed"),
        ("guard.before_intent:1", False, {"redo"}, "completed"),
        ("guard.after_act:1", False, {"policy"}, "failed"),
        ("guard.after_end:1", False, {"policy"}, "failed"),
        ("guard.after_end:1", True, {"resume"}, "completed"),
        ("loop.batch_ended:1", False, {"go_on"}, "completed"),
        ("recovery.after_decision:1", True, set[str](), "completed"),
    )
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run all cases in one process, which forks."""
    cases = [{**case, "actions": sorted(case["actions"])} for case in CASES]
    cases[-1]["points"] = ["guard.after_end:1", "recovery.after_decision:1"]
    folder = tmp_path_factory.mktemp("annealing")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def steps_twice(journal: Journal) -> list[object]:
    """Return the steps that began after they had ended well."""
    ended: set[object] = set()
    twice: list[object] = []
    for event in journal.read(kinds=("step.started", "step.ended")):
        body = event.body
        assert isinstance(body, StepStarted | StepEnded)
        key = (event.trial, body.step)
        if isinstance(body, StepStarted) and key in ended:
            twice.append(key)
        elif isinstance(body, StepEnded) and body.is_success:
            ended.add(key)
    return twice


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(CASES[n]["points"]))
def test_every_sample_of_a_killed_run_is_decided_alike(outcomes: list[dict[str, Any]], number: int) -> None:
    case, folder = outcomes[number], Path(outcomes[number]["folder"])
    assert all(code != 0 for code in case["codes"]), "it was not killed"
    assert case["code"] == 0
    assert verify(folder / "store.sdl").ok
    with open_journal(folder / "store.sdl", "read") as journal:
        view = CampaignView.of(journal)
        assert [trial.state for trial in view.trials] == [TrialState(case["state"])] * 3
        assert not steps_twice(journal)
        recovered = [event.body for event in journal.read() if isinstance(event.body, StepRecovered)]
        ends = [
            event.body
            for event in journal.read()
            if isinstance(event.body, StepEnded) and event.body.step == "anneal" and event.body.is_success
        ]
    if case["actions"]:
        assert {body.action for body in recovered} == set(case["actions"])
        assert len(recovered) == 3
    if case["state"] == "completed":
        assert [body.members for body in ends] == [TOGETHER] * 3
        assert len({body.runs for body in ends}) == 1
    fired = Counter(trial for line in truth_of(folder / "truth") for trial in line["trials"])
    assert max(fired.values()) == 1, "a sample was in the oven twice"
    assert set(fired) == set(TOGETHER)
