"""kill -9, run again: the campaign goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdl.campaign import CampaignView
from sdl.journal import digest, open_journal
from sdl.journal.audit import verify
from sdl.testing import KillHarness

Run = Callable[..., int]
"""Runs the campaign in a process of its own: ``(store, trials[, kind, trial, on_unknown, signal])``; its exit code."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with KillHarness("resumed:main", path=[Path(__file__).parent]) as harness:

        def run(store: Path, *told: int | str) -> int:
            (store.parent / "arguments.json").write_text(json.dumps([str(store), *told]))
            return harness.run(store.parent).code

        yield run


def view_of(store: Path) -> CampaignView:
    journal = open_journal(store, mode="read")
    try:
        return CampaignView.of(journal)
    finally:
        journal.close()


def trials_of(store: Path) -> list[tuple[Any, ...]]:
    return [
        (
            trial.number,
            dict(trial.values),
            trial.state,
            trial.decision,
            trial.observation and trial.observation.outcomes,
        )
        for trial in view_of(store).trials
    ]


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "whole.sdl"
    assert run(store, 6) == 0
    return store


@pytest.mark.parametrize(
    ("kind", "trial"),
    [("trial.completed", 1), ("trial.completed", 3), ("trial.proposed", 4), ("step.started", 2), ("trial.started", 5)],
)
def test_killed_and_resumed_it_ends_in_the_same_trials(
    run: Run, whole: Path, tmp_path: Path, kind: str, trial: int
) -> None:
    store = tmp_path / "killed.sdl"
    assert run(store, 6, kind, trial) == -signal.SIGKILL
    assert run(store, 6) == 0
    assert trials_of(store) == trials_of(whole)
    view = view_of(store)
    assert view.session == 2
    assert verify(store).ok


def test_one_seed_gives_one_journal(run: Run, whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.sdl"
    assert run(again, 6) == 0
    a, b = open_journal(whole, mode="read"), open_journal(again, mode="read")
    try:
        assert digest(a) == digest(b)
    finally:
        a.close()
        b.close()


def test_an_interrupted_trial_is_marked_failed_by_policy(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "failed.sdl"
    assert run(store, 3, "act.intended", 2, "failed") == -signal.SIGKILL
    assert view_of(store).trial(2).state == "running"
    assert run(store, 3, "", 0, "failed") == 0
    trial = view_of(store).trial(2)
    assert trial.state == "failed"
    assert trial.failure is not None
    assert trial.failure.category == "interrupted"
    journal = open_journal(store, mode="read")
    kinds = [event.body.kind for event in journal.read(trial=2) if event.body.kind != "document"]
    journal.close()
    assert kinds[-3:] == ["trial.unknown", "trial.resolved", "trial.failed"]


def test_with_nobody_to_ask_an_interrupted_trial_stays_unknown_and_pending(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "unknown.sdl"
    assert run(store, 3, "act.intended", 2, "ask") == -signal.SIGKILL
    assert run(store, 4, "", 0, "ask") == 0
    view = view_of(store)
    assert [trial.state.value for trial in view.trials] == ["completed", "unknown", "completed", "completed"]
    assert [trial.decision.n_pending for trial in view.trials] == [0, 0, 1, 1]


def test_sigterm_finishes_what_runs_and_stops_in_order(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "stopped.sdl"
    assert run(store, 50, "step.started", 2, "redo", "SIGTERM") == 0
    view = view_of(store)
    assert [trial.state.value for trial in view.trials] == ["completed", "completed"]
    assert view.ended is not None
    assert (view.ended.status, view.ended.reason) == ("stopped", "interrupted")


def test_a_finished_campaign_has_nothing_left_to_do_and_may_be_extended(run: Run, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "more.sdl"
    assert run(store, 4) == 0
    assert run(store, 4) == 0
    assert run(store, 6) == 0
    assert trials_of(store) == trials_of(whole)
