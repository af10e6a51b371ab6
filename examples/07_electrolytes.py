"""Explore electrolytes without looking for the best one: which conduct well enough, and which freeze into what.

Both campaigns choose from a list of candidates. The first asks where the conductivity is at least 9 mS/cm, the second
for a map of what crystallises. At the end each planner says what it has learned of candidates that nobody measured.
"""

from __future__ import annotations

import sdl
from sdl.planners import LevelSetPlanner, PhaseMapPlanner
from sdl.simulators import ElectrolyteLab

GOOD = 9.0  # mS/cm


def good_ones(lab: ElectrolyteLab) -> None:
    """Find the set of good conductors among 594 candidates with 24 measurements."""
    planner = LevelSetPlanner(lower=GOOD)
    campaign = sdl.Campaign(
        "good-conductors",
        space=lab.space(),
        objective=lab.objective,
        planner=planner,
        experiment=lab.mix_and_measure,
        lab=lab,
        progress=False,
    )
    campaign.run(trials=24)
    pool = campaign.problem.space.pool
    assert pool is not None
    rows = [pool.row(n) for n in range(len(pool))]
    chances = planner.membership(campaign.problem, campaign.view.history, rows)
    n_right = sum((chance > 0.5) == (lab.truth(row) >= GOOD) for chance, row in zip(chances, rows, strict=True))
    print(f"24 trials, {campaign.view.lab_seconds / 3600:.0f} h: {n_right} of {len(rows)} candidates told rightly")


def phases(lab: ElectrolyteLab) -> None:
    """Map what crystallises among 462 candidates with 24 measurements."""
    planner = PhaseMapPlanner()
    campaign = sdl.Campaign(
        "what-freezes",
        space=lab.phase_space(),
        objective=lab.phase_objective,
        planner=planner,
        experiment=lab.mix_and_measure,
        lab=lab,
        progress=False,
    )
    campaign.run(trials=24)
    pool = campaign.problem.space.pool
    assert pool is not None
    rows = [pool.row(n) for n in range(len(pool))]
    found = planner.classify(campaign.problem, campaign.view.history, rows)
    n_right = sum(max(p, key=lambda c: p[c]) == lab.true_phase(row) for p, row in zip(found, rows, strict=True))
    print(f"24 trials, {campaign.view.lab_seconds / 3600:.0f} h: {n_right} of {len(rows)} phases told rightly")


def main() -> None:
    with ElectrolyteLab(seed=7) as lab:
        good_ones(lab)
        phases(lab)


if __name__ == "__main__":
    main()
