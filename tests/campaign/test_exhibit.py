"""The whole loop on the thin-film laboratory: one seed, one journal, and days of it in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import sdl
from sdl.journal import digest, open_journal
from sdl.planners import BayesianPlanner
from sdl.simulators import ThinFilmLab

N_TRIALS = 10


def film_campaign(store: Path) -> sdl.Campaign:
    with ThinFilmLab(seed=7) as lab:
        campaign = sdl.Campaign(
            "films",
            space=lab.space(),
            objective=lab.objective,
            planner=BayesianPlanner(seed=7),
            experiment=lab.deposit_and_measure,
            lab=lab,
            journal=store,
            progress=False,
        )
        campaign.run(trials=N_TRIALS)
    return campaign


def test_two_runs_with_one_seed_give_one_journal_and_take_seconds(tmp_path: Path) -> None:
    film_campaign(tmp_path / "first.sdl")
    began = time.process_time()
    campaign = film_campaign(tmp_path / "second.sdl")
    seconds = time.process_time() - began
    digests = []
    for name in ("first.sdl", "second.sdl"):
        with open_journal(tmp_path / name, mode="read") as journal:
            digests.append(digest(journal))
    assert digests[0] == digests[1]
    assert campaign.view.lab_seconds > 15 * 3600
    assert seconds < 20  # thirty trials then take well under a minute
    assert {trial.decision.planner for trial in campaign.trials} == {"Bayesian"}
    assert campaign.trials[-1].decision.predicted["resistance"].standard_deviation > 0
