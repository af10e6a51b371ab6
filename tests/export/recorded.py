"""Campaigns that never ran: their events are written into a journal in memory, with a clock that obeys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdl.campaign.planner import History
from sdl.campaign.view import CampaignView
from sdl.journal.memory import MemoryJournal
from sdl.journal.records import (
    Body,
    CampaignOpened,
    Comment,
    Decision,
    Entry,
    Failure,
    FailureCategory,
    Observation,
    ParameterValue,
    PlannerFailed,
    Prediction,
    RunnerUp,
    SeedAdded,
    SeedRow,
    SessionEnded,
    SessionStarted,
    StepEnded,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
    TrialStarted,
)
from sdl.problem import Categorical, Continuous, Fixed, Maximize, Measurement, Minimize, Problem, SearchSpace

BAYESIAN = {"name": "bayesian", "options": {"n_initial": 5}}
START = 1_767_225_600.0  # 2026-01-01T00:00Z


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - START


class Recorded:
    """A campaign that is written event by event; every trial takes two hours of laboratory time."""

    def __init__(self, problem: Problem, name: str = "nb-tio2", planner: Mapping[str, Any] = BAYESIAN) -> None:
        self.name = name
        self.clock = Hands()
        self.journal = MemoryJournal(time_source=self.clock, boot_id="boot", version="0")
        self.n = 0
        self.record(
            CampaignOpened(
                problem=problem,
                problem_digest=problem.digest,
                planner=dict(planner),
                lab={"name": "thin film"},
                settings={"in_flight": 1},
                seed=7,
            ),
            SessionStarted(
                session=1, is_virtual=True, host="bench-3", pid=1, versions={"sdl": "0.1.0", "python": "3.11"}
            ),
        )

    @property
    def view(self) -> CampaignView:
        return CampaignView.of(self.journal, self.name)

    def record(self, *bodies: Body, trial: int | None = None, actor: str = "engine") -> None:
        self.journal.append(*(Entry(body=body, campaign=self.name, trial=trial, actor=actor) for body in bodies))

    def propose(self, values: Mapping[str, ParameterValue], decision: Decision | None = None) -> int:
        self.n += 1
        decided = decision or Decision(planner="bayesian", version="1", seed=1, n_observed=self.n - 1, n_pending=0)
        self.record(TrialProposed(values=dict(values), decision=decided), trial=self.n)
        self.record(TrialStarted(attempt=1), trial=self.n)
        self.clock.now += 7200
        return self.n

    def complete(
        self,
        values: Mapping[str, ParameterValue],
        outcomes: Mapping[str, Measurement],
        decision: Decision | None = None,
    ) -> int:
        number = self.propose(values, decision)
        self.record(
            self._step(is_success=True),
            TrialCompleted(observation=Observation(outcomes=dict(outcomes)), cost=1.5),
            trial=number,
        )
        return number

    def fail(
        self,
        values: Mapping[str, ParameterValue],
        reason: str = "the target is worn out",
        *,
        category: FailureCategory = FailureCategory.DEVICE,
        partial: Mapping[str, Measurement] | None = None,
    ) -> int:
        number = self.propose(values)
        failure = Failure(category=category, reason=reason, step="deposit", partial=dict(partial or {}))
        self.record(self._step(is_success=False), TrialFailed(failure=failure, cost=1.0), trial=number)
        return number

    def end(self) -> None:
        self.record(SessionEnded(session=1, status="finished", reason=f"{self.n} trials, as many as the budget allows"))

    @staticmethod
    def _step(*, is_success: bool) -> StepEnded:
        return StepEnded(step="deposit", station="sputter", attempt=1, is_success=is_success, seconds=5400.0)


def film_problem() -> Problem:
    return Problem(
        SearchSpace(
            oxygen=Continuous(0.01, 1.0, unit="Pa", log=True),
            temperature=Continuous(20, 400, unit="degC"),
            target=Categorical(("Nb 2 %", "Nb 6 %", "Nb 9 %")),
            power=Fixed(100.0, unit="W"),
        ),
        Minimize("resistance", unit="ohm"),
    )


def film(oxygen: float, temperature: float, target: str) -> float:
    """A resistance with one valley in oxygen that deepens as the substrate gets hotter."""
    doping = {"Nb 2 %": 0.5, "Nb 6 %": 0.0, "Nb 9 %": 0.25}[target]
    return 40.0 * 10 ** (1.1 * (math.log10(oxygen) + 1.1) ** 2 + 1.2 * ((temperature - 330) / 380) ** 2 + doping)


def film_campaign(n: int = 30, seed: int = 3) -> Recorded:
    """A campaign with failures, a comment, seed data, predictions and a planner that failed once."""
    rng = np.random.default_rng(seed)
    campaign = Recorded(film_problem())
    space = film_problem().space
    rows = tuple(
        SeedRow(values=p, outcomes={"resistance": Measurement(_film_at(p), "ohm")}) for p in space.sample(4, rng)
    )
    campaign.record(SeedAdded(name="prior runs", origin="made by the twin", licence="CC0-1.0", rows=rows))
    for number in range(1, n + 1):
        point = space.sample(1, rng)[0]
        if number > 8:
            spread = 2.2 / number
            point |= {
                "oxygen": float(np.clip(10 ** (-1.1 + rng.normal(0, spread)), 0.01, 1.0)),
                "temperature": float(np.clip(330 + rng.normal(0, 200 * spread), 20, 400)),
                "target": "Nb 6 %" if number % 3 else str(point["target"]),
            }
        true = _film_at(point)
        if number % 9 == 5:
            campaign.fail(point, "plasma lost: the chamber pressure fell below 0.02 Pa and the source went out")
            continue
        decision = decide(number, true, rng) if number > 8 else None
        measured = Measurement(true * float(rng.normal(1, 0.03)), "ohm", standard_error=0.03 * true)
        campaign.complete(point, {"resistance": measured}, decision)
    campaign.record(PlannerFailed(planner="bayesian", attempt=1, error="the matrix is singular", action="retry"))
    campaign.record(Comment(text="changed the target after trial 14"), actor="mira")
    campaign.end()
    return campaign


def decide(number: int, true: float, rng: np.random.Generator) -> Decision:
    return Decision(
        planner="bayesian",
        version="1",
        seed=number,
        n_observed=number - 1,
        n_pending=0,
        predicted={"resistance": Prediction(true * float(rng.lognormal(0, 0.3)), 0.3 * true)},
        acquisition=0.1,
        acquisition_name="log EI",
        note="expected to improve on the best so far",
        runners_up=(RunnerUp(values={"oxygen": 0.1, "temperature": 300.0, "target": "Nb 6 %"}, acquisition=0.05),),
    )


def _film_at(point: Mapping[str, ParameterValue]) -> float:
    oxygen, temperature, target = point["oxygen"], point["temperature"], point["target"]
    assert isinstance(oxygen, float)
    assert isinstance(temperature, float)
    assert isinstance(target, str)
    return film(oxygen, temperature, target)


class FilmModel:
    """Predicts the truth, a little uncertain."""

    def predict(
        self, problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
    ) -> list[dict[str, Prediction]]:
        for point in points:
            problem.space.check(point)
        return [
            {"resistance": Prediction(_film_at(p), 0.15 * _film_at(p) + abs(_film_at(p) - 60) * 0.1)} for p in points
        ]


def two_objectives(n: int = 24, seed: int = 1) -> Recorded:
    """A yield that costs: two objectives."""
    rng = np.random.default_rng(seed)
    problem = Problem(
        SearchSpace(dose=Continuous(0.0, 1.0), time=Continuous(1, 60, unit="min")),
        (Maximize("yield", unit="%"), Minimize("cost")),
    )
    campaign = Recorded(problem, "yield-cost")
    for point in problem.space.sample(n, rng):
        dose, time = float(point["dose"]), float(point["time"])
        good = 100 * (1 - math.exp(-3 * dose)) * (1 - math.exp(-time / 20)) + float(rng.normal(0, 1))
        cost = Measurement(dose * 2 + time / 60, None)
        campaign.complete(point, {"yield": Measurement(good, "%", standard_error=1.0), "cost": cost})
    campaign.end()
    return campaign
