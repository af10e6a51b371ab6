"""Two runs of one campaign say the same; two campaigns do not."""

from __future__ import annotations

import difflib
import json
import uuid

import pytest

from sdl.errors import ProblemError
from sdl.journal import VARYING, MemoryJournal, comparable_lines, digest
from sdl.journal.records import (
    DocumentEmitted,
    Entry,
    Observation,
    SessionStarted,
    StepEnded,
    TrialCompleted,
    TrialProposed,
)
from sdl.problem import Measurement
from sdl.testing.journal import SteppingTime, opened, proposed


def campaign(*, pid: int = 1, x: float = 0.25, start: float = 0.0) -> MemoryJournal:
    """A short campaign, as one process records it."""
    journal = MemoryJournal(time_source=SteppingTime(start), version=f"0.{pid}")
    session = SessionStarted(session=1, is_virtual=True, host=f"host{pid}", pid=pid, versions={"numpy": f"2.{pid}"})
    journal.append(opened("a"), Entry(session, "a"))
    for trial in (1, 2):
        run, descriptor = str(uuid.uuid4()), str(uuid.uuid4())
        journal.append(Entry(TrialProposed(values={"x": x}, decision=proposed().decision), "a", trial))
        journal.append(
            Entry(DocumentEmitted(name="start", document={"uid": run, "time": float(pid)}), "a", trial),
            Entry(DocumentEmitted(name="descriptor", document={"uid": descriptor, "run_start": run}), "a", trial),
        )
        step = StepEnded(step="s", station="bench", attempt=1, is_success=True, seconds=1.0, runs=(run,))
        observation = Observation(outcomes={"y": Measurement(1.5)}, runs=(run,))
        journal.append(Entry(step, "a", trial), Entry(TrialCompleted(observation=observation), "a", trial))
    return journal


IGNORING = VARYING | {"document:document.time"}


def test_two_runs_of_one_campaign_have_one_digest() -> None:
    assert digest(campaign(pid=1), IGNORING) == digest(campaign(pid=2), IGNORING)


def test_what_is_not_ignored_makes_a_difference() -> None:
    assert digest(campaign(pid=1)) != digest(campaign(pid=2))  # the time in the documents
    assert digest(campaign()) != digest(campaign(x=0.26))
    assert digest(campaign()) != digest(campaign(start=0.5))
    assert digest(campaign(start=0.5), VARYING | {"time", "monotonic"}) == digest(
        campaign(), VARYING | {"time", "monotonic"}
    )


def test_the_lines_show_where_two_journals_part() -> None:
    old, new = (list(comparable_lines(campaign(x=x), IGNORING)) for x in (0.25, 0.26))
    changed = [line for line in difflib.unified_diff(old, new, lineterm="", n=0) if line.startswith("+{")]
    assert [json.loads(line[1:])["body"]["values"] for line in changed] == [{"x": 0.26}, {"x": 0.26}]


def test_uids_are_counted_so_that_references_still_tell() -> None:
    start, descriptor, step, completed = list(comparable_lines(campaign(), IGNORING))[3:7]
    assert json.loads(start)["body"]["document"]["uid"] == "uid-1"
    assert json.loads(descriptor)["body"]["document"] == {"uid": "uid-2", "run_start": "uid-1"}
    assert json.loads(step)["body"]["runs"] == json.loads(completed)["body"]["observation"]["runs"] == ["uid-1"]


def test_nothing_else_is_taken_out() -> None:
    lines = [json.loads(line) for line in comparable_lines(campaign())]
    assert [line["sequence"] for line in lines] == list(range(1, 13))
    assert lines[0].keys() == {"actor", "body", "campaign", "kind", "monotonic", "sequence", "time", "trial"}
    assert lines[1]["body"] == {"kind": "session.started", "session": 1, "is_virtual": True}


def test_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ProblemError, match="no field bootid"):
        digest(campaign(), {"bootid"})
