"""A step that does not come to its end is told of by twice the time it should take, and can be ended."""

from __future__ import annotations

import math
import threading
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from toy import LinePlanner, ToyLab, measure, toy_campaign

import sdl
from sdl.campaign.view import CampaignView
from sdl.journal import MemoryJournal
from sdl.journal.records import Comment, Event, FailureCategory
from sdl.lab import WallClock

USUAL = 70.0
"""Seconds that the toy's step takes: a move and a reading."""


def said(journal: MemoryJournal) -> list[tuple[int | None, float, str]]:
    """Return each alarm: its trial, how long after the begin of the step it came, and what it says."""
    began: dict[int | None, float] = {}
    found: list[tuple[int | None, float, str]] = []
    for event in journal.read():
        if event.kind == "step.started":
            began[event.trial] = event.time.timestamp()
        if isinstance(event.body, Comment):
            found.append((event.trial, event.time.timestamp() - began[event.trial], event.body.text))
    return found


@pytest.mark.parametrize("declared", [None, "70 s"])
def test_a_device_that_never_ends_is_told_of_once_and_given_up_at_the_deadline(declared: str | None) -> None:
    """Where nobody has said how long it takes, the first three trials have."""
    worst = 2 if declared else 4

    def plan(lab: Any, s: sdl.Settings) -> Any:
        lab.motor0.seconds = math.inf if s.trial == worst else 60.0
        return (yield from measure(lab, s))

    journal, lab = MemoryJournal(), ToyLab()
    experiment = sdl.Experiment(sdl.Step("measure", plan, duration=declared, timeout=600.0))
    campaign = toy_campaign(lab, journal=journal, planner=LinePlanner(), experiment=experiment)
    assert campaign.run(trials=worst + 1).status == "finished"
    ((trial, after, text),) = said(journal)
    assert trial == worst
    assert after == pytest.approx(2 * USUAL, abs=1.0)
    assert "step 'measure' has run for 140 s on cell0, and 70 s were expected" in text
    failures = [trial.failure and trial.failure.category for trial in campaign.trials]
    assert failures == [FailureCategory.TIMEOUT if number == worst else None for number in range(1, worst + 2)]


def test_a_worker_that_is_locked_up_is_told_of_while_it_is_and_an_abort_ends_it() -> None:
    """Its event loop is blocked, so that nothing of the station itself can say so."""
    is_free = threading.Event()

    def plan(lab: Any, s: sdl.Settings) -> Any:
        yield from bps.null()
        assert is_free.wait(30.0)
        yield from bps.sleep(1e6)

    class Operator:
        def notify(self, event: Event, view: CampaignView) -> None:
            if isinstance(event.body, Comment):
                campaign.abort("it is locked up")
                is_free.set()

        def close(self, view: CampaignView) -> None:
            pass

    campaign = toy_campaign(
        ToyLab(clock=WallClock()),
        planner=LinePlanner(),
        planner_place="thread",
        experiment=sdl.Experiment(sdl.Step("measure", plan, duration="0.1 s")),
        progress=Operator(),
    )
    ended = campaign.run(trials=1)
    assert (ended.status, ended.reason) == ("aborted", "it is locked up")
