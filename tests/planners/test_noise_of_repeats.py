"""The noise that the model assumes, where points were measured more than once."""

from __future__ import annotations

import numpy as np
import pytest
from trials import LINE, ask, bumps, completed

from sdl.campaign.planner import History, HistoryEntry
from sdl.journal.trust import Role
from sdl.planners import BayesianPlanner
from sdl.planners.evidence import NOISE_PRIOR
from sdl.planners.repeats import noise_by_repeats


def repeated(sd: float, n_repeats: int, n_points: int = 6, seed: int = 0) -> History:
    """A wild function at few points, each measured *n_repeats* times: without repeats nobody could tell its noise."""
    rng = np.random.default_rng(seed)
    entries: list[HistoryEntry] = []
    for x in np.linspace(0.03, 0.97, n_points):
        for repeat in range(n_repeats):
            value = bumps({"x": float(x)})["gain"] + sd * float(rng.normal())
            entry = completed(len(entries) + 1, {"x": float(x)}, gain=value)
            entries.append(entry.replace(role=Role.REPLICATE) if repeat else entry)
    return History(tuple(entries))


@pytest.mark.parametrize("sd", [0.03, 0.2])
def test_the_assumed_noise_is_that_of_the_repeats(sd: float) -> None:
    assumed = [BayesianPlanner().explain(LINE, repeated(sd, 4, seed=seed))["gain"].noise for seed in range(3)]
    assert sd / 1.6 < float(np.median(assumed)) < sd * 1.6


def test_without_repeats_nothing_changes() -> None:
    rows = np.linspace(0, 1, 5)[:, None]
    assert noise_by_repeats(rows, np.arange(5.0), np.zeros(5)) == NOISE_PRIOR


def test_the_pooled_variance_is_taken_less_the_standard_errors() -> None:
    rows = np.repeat(np.linspace(0, 1, 200), 2)[:, None]
    targets = np.random.default_rng(0).normal(0, 0.5, 400)
    location, deviation = noise_by_repeats(rows, targets, np.full(400, 0.09))
    assert np.exp(location) == pytest.approx(0.25 - 0.09, rel=0.25)
    assert deviation == pytest.approx(0.1, rel=0.05)  # the root of 2/200


def test_one_pair_that_agrees_by_chance_does_not_make_the_noise_vanish() -> None:
    rows = np.array([[0.1], [0.1], [0.5], [0.9]])
    location, _ = noise_by_repeats(rows, np.array([1.0, 1.0, 0.0, -1.0]), np.zeros(4))
    assert np.exp(location) > 1e-5


def test_repeats_do_not_stand_for_the_first_points_that_fill_the_space() -> None:
    (suggestion,) = ask(BayesianPlanner(n_initial=4), LINE, repeated(0.1, 3, n_points=2))
    assert "Before there is a model" in suggestion.decision.note
