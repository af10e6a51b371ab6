"""The Gaussian process and the scales of outcomes."""

from __future__ import annotations

from typing import Any

import gpytorch
import numpy as np
import pytest
import torch
from botorch.posteriors.gpytorch import GPyTorchPosterior
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm
from trials import completed, history_of

from sdl.planners.encoding import Encoding
from sdl.planners.evidence import (
    AMPLITUDE_PRIOR,
    LENGTHSCALE_PRIOR,
    NOISE_PRIOR,
    LogPosterior,
    TrainingSet,
    fit,
    starting_points,
)
from sdl.planners.fitting import fit_outcome
from sdl.planners.gaussian_process import CachedGaussianProcess
from sdl.planners.outcome import OutcomeData
from sdl.planners.surrogate import Surrogate, single_threaded
from sdl.planners.warp import Scale, Warp, possible_scales
from sdl.problem import Categorical, Continuous, Maximize, Measurement, OutcomeConstraint, SearchSpace, Target

UNIT_SQUARE = Encoding(SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0)))


def a_training_set(n: int = 25, dimension: int = 3, noise: float = 0.0) -> TrainingSet:
    rng = np.random.default_rng(3)
    inputs = rng.random((n, dimension))
    values = np.sin(4.0 * inputs).sum(axis=1) + 0.1 * rng.standard_normal(n)
    return TrainingSet(inputs, (values - values.mean()) / values.std(), np.full(n, noise), np.arange(dimension))


def gpytorch_posterior(data: TrainingSet, theta: np.ndarray, mean: float) -> float:
    """Log evidence by GPyTorch, plus the log priors by PyTorch."""
    kernel = gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=data.n_groups)
    kernel.lengthscale = torch.tensor(np.exp(theta[:-2]))
    covariance = float(np.exp(theta[-2])) * kernel(torch.tensor(data.inputs)).to_dense()
    noise = float(np.exp(theta[-1])) + torch.tensor(data.known_noise)
    normal = torch.distributions.MultivariateNormal(
        torch.full((len(data.targets),), mean, dtype=torch.double), covariance + torch.diag(noise)
    )
    evidence: Any = normal.log_prob(torch.tensor(data.targets)).detach()  # type: ignore[no-untyped-call] # torch's
    location, scale = LENGTHSCALE_PRIOR
    priors = [
        *((location + 0.5 * np.log(data.n_groups), scale) for _ in range(data.n_groups)),
        AMPLITUDE_PRIOR,
        NOISE_PRIOR,
    ]
    log_priors = (
        torch.distributions.Normal(*prior).log_prob(torch.tensor(value))  # type: ignore[no-untyped-call] # torch's
        for prior, value in zip(priors, theta, strict=True)
    )
    return float(evidence + sum(log_priors))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_evidence_is_that_of_gpytorch(noise: float) -> None:
    """Differences between places agree; the constants of the priors are left out of ours."""
    data = a_training_set(noise=noise)
    posterior = LogPosterior(data)
    places = [np.array([0.1, -0.5, 0.7, 0.2, -3.0]), np.array([-1.0, 0.3, 1.5, -0.4, -6.0])]
    ours = [posterior(place)[0] for place in places]
    theirs = [gpytorch_posterior(data, place, posterior.mean(place)) for place in places]
    assert ours[0] - ours[1] == pytest.approx(theirs[0] - theirs[1], rel=1e-6)


@given(theta=st.lists(st.floats(-3.0, 1.0), min_size=5, max_size=5))
def test_the_gradient_of_the_evidence_is_its_slope(theta: list[float]) -> None:
    posterior, place = LogPosterior(a_training_set(12)), np.array(theta)
    _, gradient = posterior(place)
    step = 1e-5
    slopes = [(posterior(place + step * e)[0] - posterior(place - step * e)[0]) / (2 * step) for e in np.eye(5)]
    assert gradient == pytest.approx(slopes, rel=1e-4, abs=1e-4)


def test_the_fit_finds_the_greatest_posterior_density() -> None:
    """None of twenty other starting points leads to a better place."""
    data = a_training_set(30)
    posterior = LogPosterior(data)
    rng = np.random.default_rng(0)
    starts = rng.uniform([-2, -2, -2, -1, -7], [1, 1, 1, 1, 0], size=(20, 5))
    found = [
        -minimize(lambda t: -posterior(t)[0], start, jac=lambda t: -posterior(t)[1], method="BFGS").fun
        for start in starts
    ]
    assert fit(data, starting_points(data.n_groups)).log_posterior >= max(found) - 1e-3


def test_predictions_and_their_slopes_are_those_of_botorch() -> None:
    """Jointly over several places, some of them at the data, with gradients."""
    rng = np.random.default_rng(5)
    rows, values = rng.random((12, 2)), rng.standard_normal(12)
    model = CachedGaussianProcess(fit_outcome(OutcomeData(rows, values, np.full(12, 0.1)), UNIT_SQUARE))
    places = np.vstack([rng.random((4, 2)), rows[:2]])
    answers = []
    for posterior_of in (model.posterior, super(CachedGaussianProcess, model).posterior):
        asked = torch.tensor(places, requires_grad=True)
        with single_threaded():
            posterior = posterior_of(asked)
            assert isinstance(posterior, GPyTorchPosterior)
            distribution = posterior.distribution
            mean, covariance = distribution.mean, distribution.covariance_matrix
            slopes = torch.autograd.grad(mean.sum() + covariance.sin().sum(), asked)[0]
        answers.append([part.detach().numpy() for part in (mean, covariance, slopes)])
    for ours, theirs in zip(*answers, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)


def test_the_columns_of_a_choice_share_a_lengthscale() -> None:
    encoding = Encoding(SearchSpace(base=Categorical(["a", "b", "c"]), x=Continuous(0.0, 1.0)))
    places = [(base, x) for base in "abc" for x in (0.0, 0.4, 1.0)]
    points: list[dict[str, float | str]] = [{"base": base, "x": x} for base, x in places]
    values = np.array(["abc".index(base) + x for base, x in places])
    fitted = fit_outcome(OutcomeData(encoding.encode(points), values, np.zeros(9)), encoding)
    assert len(set(fitted.lengthscales[:3])) == 1
    assert fitted.lengthscales[3] != fitted.lengthscales[0]


# --- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", Scale)
@given(values=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=20, unique=True))
def test_every_scale_can_be_carried_back(scale: Scale, values: list[float]) -> None:
    array = np.array(values)
    warp = Warp.of(scale, array)
    standardised = warp.forward(array)
    assert warp.backward(standardised) == pytest.approx(array, rel=1e-6, abs=1e-9)
    assert (np.argsort(standardised) == np.argsort(array)).all() or len(np.unique(standardised)) < len(array)


@pytest.mark.parametrize("scale", Scale)
def test_slopes_are_those_of_the_scale(scale: Scale) -> None:
    values = np.array([0.2, 0.5, 1.0, 3.0, 20.0])
    warp = Warp.of(scale, values)
    numeric = (warp.forward(values + 1e-6) - warp.forward(values - 1e-6)) / 2e-6
    assert warp.slope(values) == pytest.approx(numeric, rel=1e-5)


def test_moments_on_a_log_scale_are_those_of_a_log_normal() -> None:
    warp = Warp(Scale.LOG, mean=0.3, spread=0.5)
    mean, deviation = warp.moments(np.array([1.0]), np.array([0.8]))
    location, width = 0.3 + 0.5 * 1.0, 0.5 * 0.8
    expected = np.exp(location + width**2 / 2)
    assert mean[0] == pytest.approx(expected, rel=1e-9)
    assert deviation[0] == pytest.approx(expected * np.sqrt(np.expm1(width**2)), rel=1e-9)


def outcome_on(function: np.ufunc, n: int = 25) -> OutcomeData:
    rows = np.random.default_rng(2).random((n, 2))
    return OutcomeData(rows, function(6.0 * rows[:, 0] + np.sin(5.0 * rows[:, 1])), np.zeros(n))


def test_an_outcome_over_decades_is_modelled_on_its_logarithm() -> None:
    assert fit_outcome(outcome_on(np.exp), UNIT_SQUARE).warp.scale is Scale.LOG


def test_a_tame_outcome_is_modelled_as_it_is() -> None:
    assert fit_outcome(outcome_on(np.positive), UNIT_SQUARE).warp.scale is Scale.LINEAR


def test_a_long_tail_below_zero_is_compressed() -> None:
    data = outcome_on(np.exp)
    mirrored = OutcomeData(data.rows, -data.values, data.errors)
    assert fit_outcome(mirrored, UNIT_SQUARE).warp.scale is Scale.COMPRESSED_BELOW


def test_the_log_scale_predicts_an_exponential_better_than_a_linear_one() -> None:
    data = outcome_on(np.exp)
    places = np.random.default_rng(9).random((40, 2))
    truth = np.exp(6.0 * places[:, 0] + np.sin(5.0 * places[:, 1]))
    with single_threaded():
        predicted = Surrogate({"r": fit_outcome(data, UNIT_SQUARE)}).predict(places)
    errors = [abs(np.log(p["r"].mean / t)) for p, t in zip(predicted, truth, strict=True)]
    assert np.median(errors) < 0.05


def test_intervals_cover_what_they_promise() -> None:
    """Of noisy data held out, about 95 % lie within 1.96 standard deviations."""
    rng = np.random.default_rng(4)
    rows = rng.random((260, 2))
    values = 5.0 + np.sin(4.0 * rows[:, 0]) + rows[:, 1] + 0.2 * rng.standard_normal(260)
    fitted = fit_outcome(OutcomeData(rows[:60], values[:60], np.zeros(60)), UNIT_SQUARE)
    with single_threaded():
        predicted = Surrogate({"gain": fitted}).predict(rows[60:])
    inside = [
        abs(p["gain"].mean - v) < 1.96 * p["gain"].standard_deviation
        for p, v in zip(predicted, values[60:], strict=True)
    ]
    assert 0.90 <= np.mean(inside) <= 0.99


def test_standard_errors_tell_good_measurements_from_bad_ones() -> None:
    """Two measurements at one place: the model believes the one with the small error."""
    rows = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.1], [0.9, 0.2]])
    data = OutcomeData(rows, np.array([1.0, 3.0, 0.0, 0.2]), np.array([0.01, 2.0, 0.01, 0.01]))
    with single_threaded():
        (predicted,) = Surrogate({"gain": fit_outcome(data, UNIT_SQUARE)}).predict(rows[:1])
    assert predicted["gain"].mean == pytest.approx(1.0, abs=0.2)


def test_improvement_and_chance_are_those_of_a_normal_outcome() -> None:
    """Against the textbook formulae, at a place where the model's mean and deviation are known."""
    data = OutcomeData(np.random.default_rng(0).random((8, 2)), np.arange(8.0), np.zeros(8))
    place = np.array([[0.3, 0.9]])
    with single_threaded():
        surrogate = Surrogate({"gain": fit_outcome(data, UNIT_SQUARE)})
        latent_mean, latent_deviation = surrogate.latent(place)
        mean, deviation = surrogate.fits["gain"].warp.moments(latent_mean[:, 0], latent_deviation[:, 0])
        improvement = surrogate.expected_improvement(Maximize("gain"), place, 4.0)
        distance = -surrogate.expected_score(Target("gain", value=float(mean[0])), place)
        chance = surrogate.chance_to_keep([OutcomeConstraint("gain", lower=2.0, upper=5.0)], place)
    u = (mean - 4.0) / deviation
    assert surrogate.fits["gain"].warp.scale is Scale.LINEAR
    assert improvement == pytest.approx(deviation * (norm.pdf(u) + u * norm.cdf(u)), rel=1e-3)
    assert distance == pytest.approx(deviation * np.sqrt(2 / np.pi), rel=1e-3)
    assert chance == pytest.approx(norm.cdf((5.0 - mean) / deviation) - norm.cdf((2.0 - mean) / deviation), rel=1e-6)


def test_outcomes_that_are_missing_are_left_out() -> None:
    full = history_of(
        [{"x": 0.1, "y": 0.2}, {"x": 0.5, "y": 0.6}], lambda _: {"gain": 1.0, "heat": Measurement(value=2.0)}
    )
    partial = completed(3, {"x": 0.9, "y": 0.9}, gain=3.0)
    data = OutcomeData.of(UNIT_SQUARE, (*full.entries, partial), "heat")
    assert len(data.values) == 2


def test_a_logarithm_of_rounding_errors_is_no_scale() -> None:
    values = np.array([1.0, 0.8, 1.7, 2.2, 0.4, 6e-17, 1.3, 6e-17])
    assert Scale.LOG not in possible_scales(values, "low")
    assert Scale.LOG in possible_scales(np.geomspace(1e-2, 1e4, 8), "low")


def test_untried_levels_of_a_choice_are_worth_a_look_once_good_trials_come_in() -> None:
    def expected_elsewhere(n_choices: int) -> float:
        space = SearchSpace(solvent=Categorical([f"s{i}" for i in range(n_choices)]), heat=Continuous(0.0, 1.0))
        tried = [(0.1, 1.0), (0.9, 0.0), (0.5, 8.0), *((0.5 + 0.005 * i, 10.0 + 0.1 * i) for i in range(9))]
        entries = [
            completed(i + 1, {"solvent": "s0", "heat": heat}, y=Measurement(value=y))
            for i, (heat, y) in enumerate(tried)
        ]
        encoding = Encoding(space)
        measured = OutcomeData.of(encoding, entries, "y", "high")
        return fit_outcome(measured, encoding).hyperparameters.mean

    assert expected_elsewhere(5) > expected_elsewhere(2) + 0.2
