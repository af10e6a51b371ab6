"""The hypervolume improvement and the approach to a target, against BoTorch, Monte Carlo and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.multi_objective.hypervolume import Hypervolume
from hypothesis import given
from hypothesis import strategies as st
from trials import Values, completed, unfinished

from sdl.campaign.planner import History, TrialState
from sdl.planners.acquisition import acquisition_for
from sdl.planners.domain import Domain, Mask
from sdl.planners.encoding import Array
from sdl.planners.fitting import fit_outcome
from sdl.planners.hypervolume import boxes
from sdl.planners.improvement import Improvement
from sdl.planners.proposal import Request
from sdl.planners.surrogate import Surrogate, single_threaded
from sdl.problem import (
    Continuous,
    Maximize,
    Measurement,
    Minimize,
    Objective,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
)

SQUARE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0))
PLACES = np.random.default_rng(1).random((14, 2))
ELSEWHERE = np.random.default_rng(2).random((12, 2))
ENDS: tuple[Objective, ...] = (Minimize("loss"), Maximize("gain"))
THREE: tuple[Objective, ...] = (*ENDS, Minimize("heat"))
TARGET: tuple[Objective, ...] = (Target("gain", value=1.1),)


def at(row: Array) -> Values:
    return {name: float(value) for name, value in zip("xy", row, strict=True)}


def outcomes(row: Array, noise: float) -> dict[str, Measurement]:
    x, y = row
    truths = {
        "loss": float(np.sin(5.0 * x) + (y - 0.4) ** 2),
        "gain": float(x + np.cos(4.0 * y)),
        "heat": float(np.exp(6.0 * (x - 0.5) ** 2 + 2.0 * y)),
    }
    luck = np.random.default_rng(int(1e6 * x)).standard_normal(3)
    return {
        name: Measurement(value=truth + noise * float(each), standard_error=noise or None)
        for (name, truth), each in zip(truths.items(), luck, strict=True)
    }


def asked(
    objectives: tuple[Objective, ...],
    *,
    noise: float = 0.0,
    n_pending: int = 0,
    n_failed: int = 0,
    constraints: tuple[OutcomeConstraint, ...] = (),
) -> tuple[Surrogate, Improvement]:
    """Return the model of a history, and what is made large."""
    problem = Problem(SQUARE, objectives, constraints)
    done = [completed(i + 1, at(row), **outcomes(row, noise)) for i, row in enumerate(PLACES)]
    others = [unfinished(50 + i, at(row)) for i, row in enumerate(ELSEWHERE[:n_pending])]
    others += [unfinished(70 + i, at(row), TrialState.FAILED) for i, row in enumerate(ELSEWHERE[-n_failed or 99 :])]
    request = Request.of(problem, History([*done, *others]), Domain(SQUARE, {}), 0)
    with single_threaded():
        surrogate = request.fit(fit_outcome)
        function = acquisition_for(problem, surrogate, request.known, seed=3)
    assert isinstance(function, Improvement)
    return surrogate, function


COOL = OutcomeConstraint("heat", upper=9.0)
MIXED: tuple[Objective, ...] = (Minimize("loss"), Target("gain", low=0.9, high=1.2))
CASES: list[dict[str, object]] = [
    {"objectives": ENDS},
    {"objectives": ENDS, "noise": 0.2},
    {"objectives": ENDS, "n_pending": 2, "n_failed": 2},
    {"objectives": ENDS, "noise": 0.1, "constraints": (COOL,)},
    {"objectives": THREE},
    {"objectives": THREE, "noise": 0.1, "n_pending": 1},
    {"objectives": THREE, "noise": 0.3, "n_pending": 1, "constraints": (COOL,)},  # fewer draws than limits could have
    {"objectives": MIXED},
    {"objectives": MIXED, "noise": 0.2, "n_pending": 2},
    {"objectives": TARGET},
    {"objectives": TARGET, "noise": 0.2, "n_pending": 2, "constraints": (COOL,)},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_slopes(case: dict[str, object]) -> None:
    _, function = asked(**case)  # type: ignore[arg-type] # a table of keyword arguments
    values, gradients = function.evaluate(ELSEWHERE[4:8])
    step = 1e-6
    slopes = [
        (function.evaluate(ELSEWHERE[4:8] + step * e)[0] - function.evaluate(ELSEWHERE[4:8] - step * e)[0]) / (2 * step)
        for e in np.eye(2)
    ]
    assert np.isfinite(values).all()
    np.testing.assert_allclose(gradients, np.stack(slopes, axis=1), rtol=2e-4, atol=1e-3)


@given(st.integers(1, 4), st.integers(0, 8), st.integers(0, 1000))
def test_boxes_fill_what_is_not_dominated(n_objectives: int, n_points: int, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-0.5, 1.0, (n_points, n_objectives)).round(1)
    lows, highs = boxes(points, np.zeros(n_objectives))
    free = (np.minimum(highs, 2.0) - lows).prod(axis=1).sum()
    dominated = Hypervolume(torch.zeros(n_objectives, dtype=torch.double)).compute(
        torch.tensor(points[(points > 0).all(axis=1)])
    )
    assert free == pytest.approx(2.0**n_objectives - dominated, abs=1e-9)
    centres = 0.5 * (lows + np.minimum(highs, 2.0))
    inside = (centres[:, None, :] > lows) & (centres[:, None, :] < highs)
    assert (inside.all(axis=2).sum(axis=1) <= 1).all()  # they do not overlap


def test_on_linear_scales_it_is_botorchs() -> None:
    surrogate, function = asked((Minimize("loss", reference=2.0), Maximize("gain", reference=-1.0)))
    assert [fit.warp.scale for fit in surrogate.fits.values()] == ["linear", "linear"]
    signs = torch.tensor([-1.0, 1.0], dtype=torch.double)
    with single_threaded(), torch.no_grad():
        observed = surrogate.latent(PLACES)[0] * signs.numpy()
        warps = [fit.warp for fit in surrogate.fits.values()]
        reference = torch.tensor([-float(warps[0].forward(np.array(2.0))), float(warps[1].forward(np.array(-1.0)))])
        reference = reference.double()
        cut = FastNondominatedPartitioning(ref_point=reference, Y=torch.tensor(observed))
        model: Any = Signed(surrogate, signs)
        partitioning: Any = cut
        theirs = ExpectedHypervolumeImprovement(model, ref_point=reference.tolist(), partitioning=partitioning)
        expected = np.array([float(theirs(torch.tensor(row[None, None, :]))) for row in ELSEWHERE])
    units = float(np.prod([warp.spread * warp.unit for warp in warps]))
    is_there = expected > 1e-12
    assert is_there.sum() >= 5
    np.testing.assert_allclose(np.exp(function.values(ELSEWHERE))[is_there], units * expected[is_there], rtol=1e-6)


@pytest.mark.parametrize("objectives", [THREE, MIXED], ids=str)
def test_it_is_the_mean_over_samples_of_the_outcomes(objectives: tuple[Objective, ...]) -> None:
    surrogate, function = asked(objectives)
    rng = np.random.default_rng(0)
    ours, theirs = np.exp(function.values(ELSEWHERE[:4])), np.zeros(4)
    front = _scored(objectives, surrogate, surrogate.latent(PLACES)[0][:, None, :])[:, 0]
    front = front[_is_best(front)]
    lows, highs = boxes(front, front.min(axis=0) - 0.1 * np.ptp(front, axis=0))
    for number, row in enumerate(ELSEWHERE[:4]):
        mean, deviation = surrogate.latent(row[None])
        samples = _scored(objectives, surrogate, mean[0] + deviation[0] * rng.standard_normal((4000, 1, len(mean[0]))))
        theirs[number] = np.maximum(np.minimum(samples, highs) - lows, 0.0).prod(axis=2).sum(axis=1).mean()
    assert np.argsort(ours).tolist() == np.argsort(theirs).tolist()
    np.testing.assert_allclose(ours, theirs, rtol=0.35, atol=1e-3 * theirs.max())


def test_the_approach_to_a_target_is_the_mean_over_samples() -> None:
    surrogate, function = asked(TARGET)
    rng = np.random.default_rng(0)
    warp = surrogate.fits["gain"].warp
    best = -np.abs(warp.backward(surrogate.latent(PLACES)[0]) - 1.1).min()
    mean, deviation = surrogate.latent(ELSEWHERE)
    samples = warp.backward(mean + deviation * rng.standard_normal((12, 40_000)))
    expected = np.maximum(-np.abs(samples - 1.1) - best, 0.0).mean(axis=1)
    np.testing.assert_allclose(np.exp(function.values(ELSEWHERE)), expected, rtol=0.1, atol=2e-4)


def test_where_nothing_beats_the_reference_point_it_still_leads_somewhere() -> None:
    _, function = asked((Minimize("loss", reference=-3.0), Maximize("gain", reference=9.0)))
    values, gradients = function.evaluate(ELSEWHERE)
    assert np.isfinite(values).all()
    assert (np.abs(gradients).max(axis=1) > 0.0).all()


class Signed(torch.nn.Module):
    """The model with outcomes turned so that more is better."""

    num_outputs = 2

    def __init__(self, surrogate: Surrogate, signs: torch.Tensor) -> None:
        super().__init__()
        self._surrogate, self._signs = surrogate, signs

    def posterior(self, X: torch.Tensor, **_: object) -> object:  # noqa: N803 # BoTorch's name
        mean, deviation = self._surrogate.latent(X[:, 0].numpy())
        turned = torch.tensor(mean)[:, None, :] * self._signs
        variance = torch.tensor(deviation)[:, None, :] ** 2
        return type("Posterior", (), {"mean": turned, "variance": variance})()


def _scored(objectives: tuple[Objective, ...], surrogate: Surrogate, latent: Array) -> Array:
    values = [
        np.vectorize(o.score)(surrogate.fits[o.outcome].warp.backward(latent[..., surrogate.names.index(o.outcome)]))
        for o in objectives
    ]
    return np.stack(values, axis=-1)


def _is_best(points: Array) -> Mask:
    better = (points[:, None] >= points[None]).all(axis=2) & (points[:, None] > points[None]).any(axis=2)
    return np.asarray(~better.any(axis=0))
