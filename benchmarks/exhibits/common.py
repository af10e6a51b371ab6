"""What an exhibit is, how the loop searches it, and what that needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import sdl
from sdl.campaign.campaign import Ended
from sdl.campaign.view import CampaignView
from sdl.journal import MemoryJournal
from sdl.planners import BayesianPlanner, RandomPlanner
from sdl.problem import SearchSpace

Point = dict[str, Any]
GRID_CAP = 100_000
NEVER = -1


@dataclass(frozen=True)
class Case:
    """An exhibit and its goal.

    Parameters
    ----------
    name
        Of the exhibit.
    make
        Makes the laboratory of a seed.
    space, objective
        What is searched.
    score
        ``score(lab, point)``: the true value, higher is better; *goal* is what it has to reach.
    experiment, alone
        The experiment as ours runs it, and the plan for one sample.
    in_flight
        Trials under way in ours.
    budget, patience, grid_cap
        Experiments after which ours gives up, and after which a reference does; the largest grid that is looked at.
    start
        Where one factor at a time begins; None for the middle.
    """

    name: str
    make: Callable[[int], Any]
    space: SearchSpace
    objective: Any
    score: Callable[[Any, Point], float]
    goal: Callable[[Any], float]
    experiment: Callable[[Any], Any]
    alone: Callable[[Any], Any]
    in_flight: int
    budget: int
    patience: int = 20_000
    grid_cap: int = GRID_CAP
    start: Mapping[str, float] | None = None
    ratio: Callable[[float, float], float] = lambda ours, theirs: ours / theirs
    planner: Callable[[int], Any] = lambda seed: BayesianPlanner(seed=seed)
    is_fixed: bool = True  # whether the truth is the same for every seed


@dataclass
class Outcome:
    """What one way of working needed.

    Parameters
    ----------
    experiments, days
        Until the goal, or until it gave up.
    is_reached
        Whether it came to the goal.
    values
        The value of each experiment, in the order in which they were made; more than *experiments* where it was looked
        at what would have come next.
    cpu
        Processor time, s.
    """

    experiments: float
    days: float
    is_reached: bool = True
    values: list[float] = field(default_factory=list[float])
    cpu: float = 0.0

    @property
    def is_never(self) -> bool:
        return self.experiments == NEVER


class Reached:
    """Stops a campaign when the true value of a completed trial reaches the goal."""

    def __init__(self, score: Callable[[Point], float], goal: float) -> None:
        self.score = score
        self.goal = goal
        self.seen: dict[int, float] = {}

    def reason(self, view: CampaignView) -> str | None:
        for entry in view.history.completed:
            if entry.trial not in self.seen:
                self.seen[entry.trial] = self.score(dict(entry.values))
        return "the goal is reached" if max(self.seen.values(), default=-np.inf) >= self.goal else None


def ours(case: Case, seed: int, *, alone: bool = False) -> Outcome:
    """Run the loop until the goal: with batches and stations side by side, or with one sample at a time."""
    began = time.process_time()
    with case.make(seed) as lab:
        rule = Reached(lambda point: case.score(lab, point), case.goal(lab))
        campaign = sdl.Campaign(
            case.name,
            space=case.space,
            objective=case.objective,
            planner=case.planner(seed),
            experiment=(case.alone if alone else case.experiment)(lab),
            lab=lab,
            seed=seed,
            in_flight=1 if alone else case.in_flight,
            stopping=[rule],
            journal=MemoryJournal(),
            planner_place="thread",
            progress=False,
        )
        finished(case.name, seed, campaign.run(trials=case.budget))
        return _outcome(campaign, rule, time.process_time() - began)


def finished(name: str, seed: int, ended: Ended) -> None:
    """Refuse a campaign that did not come to its own end: somebody stopped the benchmark, or something is broken."""
    if ended.status != "finished":
        raise SystemExit(f"{name}, seed {seed}: {ended}")


def _outcome(campaign: sdl.Campaign, rule: Reached, cpu: float) -> Outcome:
    """Return when the first good trial ended, and how many were completed by then."""
    done = sorted((t for t in campaign.trials if t.number in rule.seen and t.ended_at), key=lambda t: t.ended_at)  # type: ignore[arg-type,return-value] # they have ended
    start = min(t.proposed_at for t in campaign.trials)
    good = next((t for t in done if rule.seen[t.number] >= rule.goal), None)
    last = good or done[-1]
    assert last.ended_at is not None
    counted = [t for t in done if t.ended_at is not None and t.ended_at <= last.ended_at]
    days = (last.ended_at - start).total_seconds() / 86_400
    return Outcome(len(counted), days, good is not None, [rule.seen[t.number] for t in counted], cpu)


def duration_alone(case: Case, seed: int) -> float:
    """Return the laboratory days of one sample made alone: the mean over five random points."""
    with case.make(seed) as lab:
        campaign = sdl.Campaign(
            case.name,
            space=case.space,
            objective=case.objective,
            planner=RandomPlanner(seed=seed),
            experiment=case.alone(lab),
            lab=lab,
            journal=MemoryJournal(),
            progress=False,
        )
        campaign.run(trials=5)
        return campaign.view.lab_seconds / 86_400 / len(campaign.trials)
