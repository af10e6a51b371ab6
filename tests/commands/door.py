"""Knocking at the front door: in this process, in another one; and a store with something of everything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from sdl.campaign.planner import TrialState
from sdl.commands.app import app
from sdl.journal import Entry, open_journal
from sdl.journal.records import (
    AttemptFailed,
    Body,
    CampaignOpened,
    Decision,
    Failure,
    FailureCategory,
    Observation,
    Prediction,
    RunnerUp,
    SessionStarted,
    StepEnded,
    StepStarted,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
    TrialStarted,
    TrialUnknown,
)
from sdl.problem import Continuous, Maximize, Measurement, Minimize, Problem, SearchSpace

GONE = 4_000_000  # a process id above what Linux gives out


def sdl(*words: str | Path, **options: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="sdl", **options)


def is_one_line(text: str) -> bool:
    """Whether *text* is what a person should see of an error: one line, from sdl, without a traceback."""
    return text.startswith("sdl: ") and text.endswith("\n") and text.count("\n") == 1 and "Traceback" not in text


class Pen:
    """Writes a campaign into a journal, event by event."""

    def __init__(self, journal: Any, campaign: str) -> None:
        self.journal = journal
        self.campaign = campaign

    def write(self, *bodies: Body, trial: int | None = None) -> None:
        self.journal.append(*(Entry(body, self.campaign, trial) for body in bodies))

    def open(self, problem: Problem, *, pid: int = GONE, **settings: Any) -> None:
        self.write(
            CampaignOpened(
                problem=problem,
                problem_digest=problem.digest,
                planner={"name": "careful", "module": "__main__", "class": "Careful"},
                lab={"name": "film lab"},
                settings=settings,
                seed=7,
            ),
            SessionStarted(session=1, is_virtual=False, host="bench", pid=pid, versions={"sdl": "0.1.0"}),
        )

    def propose(self, number: int, x: float, **decision: Any) -> None:
        known: dict[str, Any] = {
            "planner": "careful",
            "version": "1",
            "seed": 5,
            "n_observed": number - 1,
            "n_pending": 0,
        }
        self.write(TrialProposed(values={"x": x}, decision=Decision(**known | decision)), trial=number)

    def begin(self, number: int, attempt: int = 1) -> None:
        self.write(
            TrialStarted(attempt=attempt),
            StepStarted(step="deposit", station="chamber", attempt=attempt),
            trial=number,
        )

    def end_step(self, number: int, *, is_success: bool, attempt: int = 1) -> None:
        step = StepEnded(
            step="deposit", station="chamber", attempt=attempt, is_success=is_success, seconds=5400.0, runs=("run-1",)
        )
        self.write(step, trial=number)

    def complete(self, number: int, **outcomes: Measurement) -> None:
        self.begin(number)
        self.end_step(number, is_success=True)
        observation = Observation(outcomes=outcomes, runs=("run-1",))
        self.write(TrialCompleted(observation=observation, cost=2.5), trial=number)


def film_problem() -> Problem:
    return Problem(SearchSpace(x=Continuous(0.0, 1.0, unit="Pa")), Minimize("resistance", unit="ohm"))


def write_store(path: Path) -> None:
    """Write a campaign that was killed: 1 and 2 completed, 3 failed, 4 unknown, 5 running when the end came."""
    journal = open_journal(path)
    pen = Pen(journal, "films")
    pen.open(film_problem(), in_flight=1, on_unknown="ask", budget={"trials": 10, "lab_time": None, "cost": None})
    pen.propose(1, 0.1)
    pen.complete(1, resistance=Measurement(100.0, "ohm", standard_error=2.0))
    pen.propose(
        2,
        0.5,
        predicted={"resistance": Prediction(50.0, 4.0)},
        acquisition=0.25,
        acquisition_name="log EI",
        expected_improvement=30.0,
        runners_up=(RunnerUp(values={"x": 0.55}, acquisition=0.2, predicted={"resistance": Prediction(55.0, 5.0)}),),
        note="Most is to be gained here.",
    )
    pen.complete(2, resistance=Measurement(40.0, "ohm", standard_error=3.0))
    pen.propose(3, 0.7, fallback_from="the matrix is singular")
    fail(pen)
    pen.propose(4, 0.8, n_pending=1)
    pen.begin(4)
    pen.write(TrialUnknown(attempt=1, reason="the process that ran session 0 is gone"), trial=4)
    pen.propose(5, 0.9)
    pen.begin(5)
    journal.close()


def fail(pen: Pen) -> None:
    """Let trial 3 fail twice; its reason is an instrument's, with a line break and a control character."""
    failure = Failure(
        category=FailureCategory.DEVICE,
        reason="no plasma\nafter 60 s\x1b[2J",
        step="deposit",
        partial={"resistance": Measurement(77.0, "ohm")},
        runs=("run-1",),
    )
    pen.begin(3)
    pen.end_step(3, is_success=False)
    pen.write(AttemptFailed(attempt=1, failure=failure), trial=3)
    pen.begin(3, attempt=2)
    pen.end_step(3, is_success=False, attempt=2)
    pen.write(TrialFailed(failure=failure, cost=1.0), trial=3)


def write_trade_off(path: Path, n: int = 14) -> None:
    """Write a campaign with two objectives, all of whose trials are on the front."""
    journal = open_journal(path)
    pen = Pen(journal, "trade")
    space = SearchSpace(x=Continuous(0.0, 1.0))
    pen.open(Problem(space, (Maximize("gain"), Minimize("loss"))), pid=os.getpid())
    for number in range(1, n + 1):
        pen.propose(number, number / (n + 1))
        pen.complete(number, gain=Measurement(float(number), None), loss=Measurement(float(number), None))
    journal.close()


STATES = {TrialState.COMPLETED: 2, TrialState.FAILED: 1, TrialState.UNKNOWN: 1, TrialState.RUNNING: 1}
"""What :func:`write_store` leaves."""
