"""The evidence of a Gaussian process: which lengthscales, amplitude and noise the data speak for.

The kernel is Matérn 5/2 on inputs between 0 and 1, one lengthscale per parameter, with a constant mean and Gaussian
noise. What is maximised is the posterior density of the logarithms of the hyper-parameters. The lengthscales' prior
grows with the root of their number, as Hvarfner, Hellsten and Nardi propose in "Vanilla Bayesian optimization
performs great in high dimensions" (ICML 2024). It is narrower than theirs, which BoTorch takes over: with a wide one, a
few noisy data are explained by short lengthscales and no noise, and intervals become too narrow.

Likelihood and gradient are written out in NumPy, because below some hundred observations a general autograd framework
spends far more time on overhead than on numbers. A test compares them with GPyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
import numpy.typing as npt

from sdl.planners.numerics import Array, cholesky, inverse_of, minimise

LENGTHSCALE_FLOOR = 0.025
"""Shorter lengthscales make a kernel matrix of independent points; BoTorch's limit."""

NOISE_FLOOR = 1e-6
"""Smallest noise variance, in units of the outcome's variance: keeps kernel matrices of near repeats invertible."""

NOISE_CEILING = 10.0

LENGTHSCALE_PRIOR = (log(0.5), 1.0)
"""Mean and deviation of the logarithm of a lengthscale, for one parameter."""

ORIGIN_PRIOR = log(3.0)
"""The mean for prior data: what they say should resemble the campaign's own by more than 90 %, give or take."""

AMPLITUDE_PRIOR = (0.25, 0.5)
"""The same for the amplitude: outcomes are standardised, so it is about 1."""

NOISE_PRIOR = (-4.0, 1.5)
"""The same for the noise variance: about a seventh of the outcome's deviation, give or take a factor of 2."""

JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
"""Added to the diagonal, one after the other, until the Cholesky factorisation succeeds."""


@dataclass(frozen=True)
class Hyperparameters:
    """What a Gaussian process is made of besides the data.

    Parameters
    ----------
    lengthscales
        One per group of columns, in units of the inputs.
    noise
        Variance of the noise that the standard errors do not explain, in units of the outcome's variance.
    amplitude
        Prior variance of the function, in the same units.
    mean
        The constant prior mean, in standard deviations of the outcome.
    log_posterior
        Log evidence plus log priors (without the constants of the latter) at these values.
    """

    lengthscales: Array
    noise: float
    amplitude: float
    mean: float
    log_posterior: float

    @property
    def theta(self) -> Array:
        """The logarithms of lengthscales, amplitude and noise, shape (n_groups + 2,)."""
        theta: Array = np.log(np.append(self.lengthscales, [self.amplitude, self.noise]))
        return theta


@dataclass(frozen=True)
class TrainingSet:
    """Standardised data of one outcome.

    Parameters
    ----------
    inputs
        Shape (n, d), between 0 and 1.
    targets
        Shape (n,), about zero mean and unit variance.
    known_noise
        Shape (n,), squared standard errors; 0 where none is known.
    groups
        Shape (d,), the number of the parameter that each column belongs to; a parameter's columns share a lengthscale.
    is_finite
        Whether the space has finitely many points. The prior mean is then the mean of the targets. Elsewhere it is
        what generalised least squares make of it, which counts a cluster of good trials as one: far from the data a
        function is expected to be as it was in the first, scattered trials. Among candidates that makes a planner
        stay with the first good level of a choice and never try the others.
    has_origins
        Whether the last group tells prior data from the campaign's own: its lengthscale says how much the outcome of
        the one resembles that of the other (Swersky, Snoek and Adams, "Multi-task Bayesian optimization", NIPS 2013,
        with a kernel between the tasks that one number describes).
    noise_prior
        Mean and deviation of the logarithm of the noise variance before the fit: repeats say more than a habit.
    """

    inputs: Array
    targets: Array
    known_noise: Array
    groups: npt.NDArray[np.intp]
    is_finite: bool = False
    has_origins: bool = False
    noise_prior: tuple[float, float] = NOISE_PRIOR

    @property
    def n_groups(self) -> int:
        """How many lengthscales there are."""
        return int(self.groups.max()) + 1 if self.groups.size else 0

    def squared_distances(self) -> Array:
        """Return the squared distances along every parameter, shape (n_groups, n * n)."""
        n = len(self.inputs)
        distances = np.zeros((self.n_groups, n, n))
        for column, group in enumerate(self.groups):
            x = self.inputs[:, column]
            distances[group] += (x[:, None] - x[None, :]) ** 2
        return distances.reshape(self.n_groups, n * n)


class LogPosterior:
    """Log evidence plus log priors, as a function of the logarithms of lengthscales, amplitude and noise."""

    def __init__(self, data: TrainingSet) -> None:
        self._data = data
        self._distances = data.squared_distances()
        self._n = len(data.targets)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient. *theta*: shape (n_groups + 2,), as above."""
        scales, (amplitude, noise) = np.exp(-2.0 * theta[:-2]), np.exp(theta[-2:])
        kernel, slope = matern(self._distances.T @ scales)
        value, outer = self._evidence(amplitude * kernel.reshape(self._n, self._n), noise)
        weighted = amplitude * (outer.ravel() * slope)
        slopes = [amplitude * (outer.ravel() @ kernel), noise * np.trace(outer)]
        gradient = 0.5 * np.concatenate([(self._distances @ weighted) * scales, slopes])
        prior, prior_gradient = self._prior(theta)
        return value + prior, gradient + prior_gradient

    def mean(self, theta: Array) -> float:
        """Return the constant prior mean."""
        kernel, _ = matern(self._distances.T @ np.exp(-2.0 * theta[:-2]))
        amplitude, noise = np.exp(theta[-2:])
        inverse, _ = invert(self._noisy(amplitude * kernel.reshape(self._n, self._n), noise))
        return self._constant(inverse)

    def _noisy(self, kernel: Array, noise: float) -> Array:
        covariance = kernel.copy()
        covariance[np.diag_indices(self._n)] += noise + self._data.known_noise
        return covariance

    def _constant(self, inverse: Array) -> float:
        if self._data.is_finite:
            return float(self._data.targets.mean())
        return float(inverse.sum(axis=0) @ self._data.targets / inverse.sum())

    def _evidence(self, kernel: Array, noise: float) -> tuple[float, Array]:
        """Return the log evidence, and twice its derivative with respect to the covariance matrix."""
        inverse, log_determinant = invert(self._noisy(kernel, noise))
        residuals = self._data.targets - self._constant(inverse)
        alpha = inverse @ residuals
        value = -0.5 * (float(residuals @ alpha) + log_determinant + self._n * log(2.0 * pi))
        return value, np.outer(alpha, alpha) - inverse

    def _prior(self, theta: Array) -> tuple[float, Array]:
        n = self._data.n_groups
        location, scale = LENGTHSCALE_PRIOR
        noise, n_parameters = self._data.noise_prior, n - self._data.has_origins
        lengthscales = [location + 0.5 * log(max(n_parameters, 1))] * n_parameters
        locations = [*lengthscales, *[ORIGIN_PRIOR] * self._data.has_origins, AMPLITUDE_PRIOR[0], noise[0]]
        scales = np.array([*[scale] * n, AMPLITUDE_PRIOR[1], noise[1]])
        deviations = (theta - np.array(locations)) / scales
        return float(-0.5 * deviations @ deviations), -deviations / scales


def matern(squared: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 kernel of squared scaled distances, and its derivative factor.

    The derivative with respect to the logarithm of a lengthscale is the factor times the squared scaled distance
    along that parameter.
    """
    distance = np.sqrt(5.0 * squared)
    decay = np.exp(-distance)
    return (1.0 + distance + distance**2 / 3.0) * decay, (5.0 / 3.0) * (1.0 + distance) * decay


def invert(covariance: Array) -> tuple[Array, float]:
    """Return inverse and log determinant of a covariance matrix. Raises LinAlgError when no jitter helps."""
    for jitter in JITTERS:
        factor = cholesky(covariance + jitter * np.eye(len(covariance)))
        if factor is not None:
            return inverse_of(factor), 2.0 * float(np.log(np.diag(factor)).sum())
    raise np.linalg.LinAlgError("the covariance matrix is not positive definite")


def fit(data: TrainingSet, starts: Sequence[Array], *, max_iterations: int = 100) -> Hyperparameters:
    """Return the hyper-parameters of largest posterior density, searched from each of *starts*, see ``theta``.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where every starting point ends in a matrix that cannot be factorised.
    """
    posterior = LogPosterior(data)
    best_value, best = max((_climb(posterior, start, max_iterations) for start in starts), key=lambda found: found[0])
    if not np.isfinite(best_value):
        raise np.linalg.LinAlgError("no starting point gave a finite evidence")
    amplitude, noise = (float(value) for value in np.exp(best[-2:]))
    return Hyperparameters(np.exp(best[:-2]), noise, amplitude, posterior.mean(best), best_value)


def default_hyperparameters(data: TrainingSet) -> Hyperparameters:
    """Return what can be assumed where the evidence cannot be computed: medium lengthscales, some noise."""
    n = data.n_groups
    return Hyperparameters(np.full(n, 0.5 * sqrt(max(n, 1))), 0.05, 1.0, float(data.targets.mean()), float("-inf"))


def starting_points(n_groups: int) -> list[Array]:
    """Return starting points: medium lengthscales and little noise; short ones; long ones and much noise."""
    root = sqrt(max(n_groups, 1))
    return [
        np.append(np.full(n_groups, log(length * root)), [0.0, log(noise)])
        for length, noise in ((0.4, 1e-3), (0.15, 1e-2), (1.5, 1e-1))
    ]


def _climb(posterior: LogPosterior, start: Array, max_iterations: int) -> tuple[float, Array]:
    bounds = [(log(LENGTHSCALE_FLOOR), log(1e3))] * (len(start) - 2)
    bounds += [(log(0.01), log(100.0)), (log(NOISE_FLOOR), log(NOISE_CEILING))]

    def negative(theta: Array) -> tuple[float, Array]:
        value, gradient = posterior(theta)
        return -value, -gradient

    try:
        value, theta = minimise(negative, start, bounds, max_iterations)
    except np.linalg.LinAlgError:
        return -np.inf, start
    return (-value, theta) if np.isfinite(value) else (-np.inf, start)
