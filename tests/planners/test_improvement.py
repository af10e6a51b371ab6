"""The acquisition functions in closed form, against BoTorch, Monte Carlo and finite differences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from trials import Values, completed, unfinished

from sdl.campaign.planner import History, TrialState
from sdl.planners.acquisition import acquisition_for
from sdl.planners.domain import Domain
from sdl.planners.encoding import Array
from sdl.planners.field import Field
from sdl.planners.fitting import fit_outcome
from sdl.planners.gaussian_process import CachedGaussianProcess
from sdl.planners.improvement import Gain, Improvement, Limit, log_between, log_improvement
from sdl.planners.proposal import Request
from sdl.planners.surrogate import Surrogate, single_threaded
from sdl.problem import Continuous, Maximize, Measurement, Minimize, OutcomeConstraint, Problem, SearchSpace

CUBE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0), z=Continuous(0.0, 1.0))
PLACES = np.random.default_rng(1).random((18, 3))
ELSEWHERE = np.random.default_rng(2).random((12, 3))


def at(row: Array) -> Values:
    return {name: float(value) for name, value in zip("xyz", row, strict=True)}


def outcomes(row: Array, noise: float) -> Mapping[str, Measurement]:
    loss = float(np.sin(5.0 * row[0]) + (row[1] - 0.4) ** 2 + 0.3 * row[2])
    luck = float(np.random.default_rng(int(1e6 * row[0])).standard_normal())
    return {
        "loss": Measurement(value=loss + noise * luck, standard_error=noise or None),
        "heat": Measurement(value=float(row.sum()), standard_error=noise or None),
    }


def asked(
    *, noise: float = 0.0, n_pending: int = 0, n_failed: int = 0, constraints: tuple[OutcomeConstraint, ...] = ()
) -> tuple[Surrogate, Improvement]:
    """Return the model of a history, and what is made large."""
    problem = Problem(CUBE, Minimize("loss"), constraints)
    done = [completed(i + 1, at(row), **outcomes(row, noise)) for i, row in enumerate(PLACES)]
    others = [unfinished(50 + i, at(row)) for i, row in enumerate(ELSEWHERE[:n_pending])]
    others += [unfinished(70 + i, at(row), TrialState.FAILED) for i, row in enumerate(ELSEWHERE[-n_failed or 99 :])]
    request = Request.of(problem, History([*done, *others]), Domain(CUBE, {}), 0)
    with single_threaded():
        surrogate = request.fit(fit_outcome)
        function = acquisition_for(problem, surrogate, request.known, seed=3)
    assert isinstance(function, Improvement)
    return surrogate, function


BELOW, BETWEEN = OutcomeConstraint("heat", upper=1.5), OutcomeConstraint("heat", lower=1.0, upper=1.6)
CASES: list[dict[str, object]] = [
    {},
    {"noise": 0.3},
    {"n_pending": 3},
    {"n_failed": 3},
    {"constraints": (BELOW,)},
    {"noise": 0.2, "n_pending": 2, "n_failed": 2, "constraints": (BETWEEN,)},
    {"constraints": (OutcomeConstraint("heat", lower=9.0),)},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_slopes(case: dict[str, object]) -> None:
    _, function = asked(**case)  # type: ignore[arg-type] # a table of keyword arguments
    values, gradients = function.evaluate(ELSEWHERE[4:8])
    step = 1e-6
    slopes = [
        (function.evaluate(ELSEWHERE[4:8] + step * e)[0] - function.evaluate(ELSEWHERE[4:8] - step * e)[0]) / (2 * step)
        for e in np.eye(3)
    ]
    assert np.isfinite(values).all()
    assert gradients == pytest.approx(np.stack(slopes, axis=1), rel=1e-4, abs=1e-4)


def test_without_noise_it_is_the_log_expected_improvement_of_botorch() -> None:
    surrogate, ours = asked()
    assert ours.name == "LogEI"
    means, _ = surrogate.latent(PLACES)
    theirs = LogExpectedImprovement(
        CachedGaussianProcess(surrogate.fits["loss"]),
        best_f=float(-means[:, 0].min()),
        posterior_transform=ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.double)),
    )
    with torch.no_grad():
        expected = theirs(torch.tensor(ELSEWHERE[:, None, :])).numpy()
    assert ours.values(ELSEWHERE) == pytest.approx(expected, rel=1e-6)


def test_it_is_the_average_over_what_noise_and_pending_trials_leave_open() -> None:
    """Monte Carlo: the outcomes at all places and at the new one, drawn jointly; the constraint has to hold."""
    surrogate, ours = asked(noise=0.2, n_pending=2, constraints=(BELOW,))
    rng = np.random.default_rng(0)
    place = ELSEWHERE[[int(ours.values(ELSEWHERE).argmax())]]
    places, n = np.vstack([PLACES, ELSEWHERE[:2], place]), 100_000
    drawn = {}
    for name, fit in surrogate.fits.items():
        field = Field.of(fit)
        drawn[name] = field.draw(places, rng.standard_normal((len(places), n)))
    warp = surrogate.fits["heat"].warp
    kept = drawn["heat"] <= float(warp.forward(np.array([1.5]))[0])
    scores = np.where(kept, -drawn["loss"], -np.inf)
    best = scores[:-1].max(axis=0)
    gains = np.maximum(scores[-1] - best, 0.0)
    assert np.exp(ours.values(place)[0]) == pytest.approx(gains.mean(), rel=0.15)


def test_a_pending_trial_is_worth_no_second_one() -> None:
    _, ours = asked(n_pending=3)
    _, without = asked()
    assert (ours.values(ELSEWHERE[:3]) < without.values(ELSEWHERE[:3]) - 3.0).all()


def test_an_objective_on_a_bound_of_what_is_allowed_is_searched_inside() -> None:
    _, ours = asked(constraints=(BELOW,))
    inside, outside = np.array([[0.2, 0.3, 0.1]]), np.array([[0.9, 0.9, 0.9]])
    assert ours.values(outside)[0] < ours.values(inside)[0] - 10.0


@given(z=st.floats(-1e8, 40.0))
def test_the_log_of_the_expected_positive_part(z: float) -> None:
    found = float(log_improvement(np.array([z]))[0])
    if z > -8.0:
        assert found == pytest.approx(float(np.log(norm.pdf(z) + z * norm.cdf(z))), rel=1e-6)
    else:
        leading = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - 2.0 * np.log(-z)
        assert found == pytest.approx(leading, rel=1e-3, abs=0.1)


@given(low=st.floats(-30.0, 30.0), width=st.floats(1e-3, 30.0))
def test_the_log_of_the_chance_to_lie_between(low: float, width: float) -> None:
    found = float(log_between(np.array([low]), np.array([low + width]))[0])
    lower, upper = (low, low + width) if low < 0 else (-low - width, -low)
    exact = norm.logcdf(upper) + np.log1p(-np.exp(norm.logcdf(lower) - norm.logcdf(upper)))
    assert found == pytest.approx(float(exact), rel=1e-9, abs=1e-9)


def test_exact_values_are_met_and_the_doubt_is_gone_there() -> None:
    problem = Problem(CUBE, Maximize("sum"))
    done = [completed(i + 1, at(row), sum=float(row.sum())) for i, row in enumerate(PLACES)]
    with single_threaded():
        surrogate = Request.of(problem, History(done), Domain(CUBE, {}), 0).fit(fit_outcome)
    targets = surrogate.fits["sum"].data.targets
    glance = Field(surrogate.fits["sum"], PLACES, targets).at(PLACES)
    assert glance.mean[:, 0] == pytest.approx(targets, abs=1e-3)
    assert glance.deviation.max() < 1e-2


def test_a_limit_without_an_objective_is_a_chance() -> None:
    surrogate, _ = asked(constraints=(BELOW,))
    limit = Limit(surrogate.field("heat"), -np.inf, 0.0)
    chance = np.exp(Improvement("chance", [limit], PLACES, np.zeros((0, 3))).values(ELSEWHERE))
    glance = surrogate.field("heat").at(ELSEWHERE)
    assert chance == pytest.approx(norm.cdf(-glance.mean[:, 0] / glance.deviation), rel=1e-6)


def test_draws_share_a_best_each() -> None:
    """Two draws with different bests give the average of their improvements."""
    surrogate, _ = asked()
    field = surrogate.field("loss")
    none = np.zeros((0, 3))
    both = Improvement("both", [Gain(field, -1.0, np.array([0.5, 1.5]))], PLACES, none).values(ELSEWHERE)
    each = [Improvement("one", [Gain(field, -1.0, np.array([b]))], PLACES, none).values(ELSEWHERE) for b in (0.5, 1.5)]
    assert np.exp(both) == pytest.approx(0.5 * (np.exp(each[0]) + np.exp(each[1])), rel=1e-9)
