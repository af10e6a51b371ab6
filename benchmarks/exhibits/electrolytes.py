"""Electrolytes: a set to be told."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

import sdl
from exhibits.common import NEVER, Case, Outcome, Point, duration_alone
from sdl.campaign.planner import History, Situation, Suggestion
from sdl.journal import MemoryJournal
from sdl.journal.records import Decision
from sdl.planners import LevelSetPlanner
from sdl.problem import Problem
from sdl.simulators import ElectrolyteLab

GOOD_CONDUCTOR = 9.0
TOLD = 0.96
LOOKS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 200, 240, 300)


def electrolytes(seed: int) -> dict[str, Outcome]:
    """Tell which candidates conduct well: by the planner for level sets, by random points, by a grid."""
    began = time.process_time()
    planner = LevelSetPlanner(seed=seed, lower=GOOD_CONDUCTOR)
    days = duration_alone(_electrolyte_case(planner), seed)
    with ElectrolyteLab(seed=seed) as lab:
        pool = lab.space().pool
        assert pool is not None
        rows = [dict(pool.row(n)) for n in range(len(pool))]
        rng = np.random.default_rng([seed, 0xE1])
        mine = _told(lab, planner, seed, rows, None)
        mine.cpu = time.process_time() - began
        shuffled = [rows[n] for n in rng.permutation(len(rows))]
        coarse = [row for row in rows if is_on_grid(row)]
        coarse = [coarse[n] for n in rng.permutation(len(coarse))]
        theirs = {"random": _told(lab, planner, seed, rows, shuffled), "grid": _told(lab, planner, seed, rows, coarse)}
    found = {"ours": mine, "same planner, one at a time": mine, **theirs}
    for outcome in found.values():
        outcome.days = outcome.experiments * days
    return {**found, "one factor at a time": Outcome(NEVER, NEVER, is_reached=False)}


GRID_SALT = (0.4, 0.8, 1.2, 1.6, 2.0)


def is_on_grid(row: Point) -> bool:
    """Return whether a candidate has its solvents in fifths, and one of five molalities."""
    return all(round(10 * float(row[solvent])) % 2 == 0 for solvent in ("ec", "dmc")) and row["salt"] in GRID_SALT


def _electrolyte_case(planner: LevelSetPlanner) -> Case:
    return Case(
        "electrolytes",
        lambda seed: ElectrolyteLab(seed=seed),
        ElectrolyteLab.space(),
        ElectrolyteLab.objective,
        lambda _, point: ElectrolyteLab.truth(point),
        lambda _: np.inf,
        lambda lab: lab.mix_and_measure,
        lambda lab: lab.mix_and_measure,
        in_flight=1,
        budget=100,
        planner=lambda _: planner,
    )


class Listed:
    """Proposes the points of a list, in its order."""

    name = "listed"

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = points

    def suggest(
        self,
        problem: Problem,  # noqa: ARG002 # the protocol's arguments
        history: History,
        n: int,
        *,
        situation: Situation,  # noqa: ARG002 # likewise
        seed: int,
    ) -> list[Suggestion]:
        first = len(history.entries)
        decision = Decision(planner=self.name, version="1", seed=seed, n_observed=first, n_pending=0, note="")
        return [Suggestion(values=point, decision=decision) for point in self.points[first : first + n]]


def _told(
    lab: ElectrolyteLab, planner: LevelSetPlanner, seed: int, rows: list[Point], order: list[Point] | None
) -> Outcome:
    """Measure until enough candidates are told rightly by the model of *planner*, looking now and then."""
    campaign = sdl.Campaign(
        "told",
        space=lab.space(),
        objective=lab.objective,
        planner=planner if order is None else Listed(order),
        experiment=lab.mix_and_measure,
        lab=lab,
        seed=seed,
        journal=MemoryJournal(),
        planner_place="thread",
        progress=False,
    )
    truth = np.array([lab.truth(row) >= GOOD_CONDUCTOR for row in rows])
    shares: list[float] = []
    n = 0
    for n in LOOKS:
        if order is not None and n > len(order):
            return Outcome(NEVER, NEVER, is_reached=False, values=shares)
        campaign.run(trials=n)
        chances = np.array(planner.membership(campaign.problem, campaign.view.history, rows))
        found = float(np.mean((chances > 0.5) == truth))
        shares += [found] * (n - len(shares))  # as many as were measured for it
        if shares[-1] >= TOLD:
            return Outcome(n, 0.0, values=shares)
    return Outcome(n, 0.0, is_reached=False, values=shares)
