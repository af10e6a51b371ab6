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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log, pi, sqrt

import numpy as np
import numpy.typing as npt

from sdl.planners.numerics import Array, cholesky, lower_of_inverse, minimise, solved

LENGTHSCALE_FLOOR = 0.025
"""Shorter lengthscales make a kernel matrix of independent points; BoTorch's limit."""

NOISE_FLOOR = 1e-6
"""Smallest noise variance, in units of the outcome's variance: keeps kernel matrices of near repeats invertible."""

NOISE_CEILING = 10.0

LENGTHSCALE_PRIOR = (log(0.5), 1.0)
"""Mean and deviation of the logarithm of a lengthscale, for one parameter."""

ORIGIN_PRIOR = log(3.0)
"""The mean for prior data: what they say should resemble the campaign's own by more than 90 %, give or take."""

BASIS_PRIOR = (1.0, 0.3)
"""Mean and deviation of the weight of a user's model before there are data: what it says is taken as it is."""

AMPLITUDE_PRIOR = (0.25, 0.5)
"""The same for the amplitude: outcomes are standardised, so it is about 1."""

NOISE_PRIOR = (-4.0, 1.5)
"""The same for the noise variance: about a seventh of the outcome's deviation, give or take a factor of 2."""

SAME = 0.01
"""Searches whose log densities differ by less have found the same place."""

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
    amplitudes
        Prior variance of each component of the function, in the same units.
    mean
        The constant prior mean, in standard deviations of the outcome.
    log_posterior
        Log evidence plus log priors (without the constants of the latter) at these values.
    weight
        The weight of a user's model.
    """

    lengthscales: Array
    noise: float
    amplitudes: tuple[float, ...]
    mean: float
    log_posterior: float
    weight: float = 0.0

    @property
    def amplitude(self) -> float:
        """Prior variance of the function, all components together."""
        return sum(self.amplitudes)

    @property
    def theta(self) -> Array:
        """The logarithms of lengthscales, amplitudes and noise, shape (n_groups + n_components + 1,)."""
        theta: Array = np.log(np.concatenate([self.lengthscales, self.amplitudes, [self.noise]]))
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
    has_levels
        Whether the space has finitely many points, or a choice among more than two. The prior mean is then the mean of
        the targets. Elsewhere it is what generalised least squares make of it, which counts a cluster of good trials as
        one: far from the data a function is expected to be as it was in the first, scattered trials. Among candidates
        that makes a planner stay with the first good level of a choice and never try the others. Of two levels both
        have been tried soon, and there is nothing to be discovered.
    links
        The groups that tell two kinds of data apart, prior data from the campaign's own, or an approximation from what
        it approximates: their lengthscale says how much the outcome of the one resembles that of the other (Swersky,
        Snoek and Adams, "Multi-task Bayesian optimization", NIPS 2013, with one number for each pair of tasks).
    noise_prior
        Mean and deviation of the logarithm of the noise variance before the fit: repeats say more than a habit.
    components
        The groups that act together, where the function is a sum of parts; empty where all act together.
    centres
        Prior means of the logarithms of those lengthscales that differ from the others, by group.
    floors
        Least lengthscales, by group, where they are not :data:`LENGTHSCALE_FLOOR`.
    basis
        Shape (n,): what a user's model expects, standardised, see :data:`BASIS_PRIOR`; None where there is no model.
    noise_shape
        Shape (n,): by what factor the noise of each observation differs from the usual; None where it does not.
    """

    inputs: Array
    targets: Array
    known_noise: Array
    groups: npt.NDArray[np.intp]
    has_levels: bool = False
    links: tuple[int, ...] = ()
    noise_prior: tuple[float, float] = NOISE_PRIOR
    components: tuple[tuple[int, ...], ...] = ()
    centres: Mapping[int, float] = field(default_factory=dict[int, float])
    floors: Mapping[int, float] = field(default_factory=dict[int, float])
    basis: Array | None = None
    noise_shape: Array | None = None

    def only(self, chosen: npt.NDArray[np.intp]) -> TrainingSet:
        """Return some of the data; what is known of the noise and the priors stays."""
        if len(chosen) == len(self.targets):
            return self
        basis, shape = (None if part is None else part[chosen] for part in (self.basis, self.noise_shape))
        inputs, targets, known_noise = self.inputs[chosen], self.targets[chosen], self.known_noise[chosen]
        return replace(self, inputs=inputs, targets=targets, known_noise=known_noise, basis=basis, noise_shape=shape)

    def noise_of(self, noise: float) -> Array:
        """Return the variance of the noise of each observation, where that of the usual one is *noise*."""
        return self.known_noise + (noise if self.noise_shape is None else noise * self.noise_shape)

    @property
    def parts(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The groups of every component, as arrays."""
        together = self.components or (tuple(range(self.n_groups)),)
        return tuple(np.array(groups, dtype=np.intp) for groups in together)

    @property
    def n_groups(self) -> int:
        """How many lengthscales there are."""
        return int(self.groups.max()) + 1 if self.groups.size else 0

    def squared_distances(self) -> Array:
        """Return the squared distances along every parameter for all :meth:`pairs`, shape (n_groups, pairs)."""
        first, second = self.pairs()
        distances = np.zeros((self.n_groups, len(first)))
        for column, group in zip(self.inputs.T, self.groups, strict=True):
            distances[group] += (column[first] - column[second]) ** 2
        return distances

    def pairs(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the numbers of the two observations of every pair."""
        first, second = np.tril_indices(len(self.inputs), -1)
        return first, second


class LogPosterior:
    """Log evidence plus log priors, as a function of the logarithms of lengthscales, amplitudes and noise.

    Covariance matrices are symmetric: whatever can be, is computed for pairs of observations only.
    """

    def __init__(self, data: TrainingSet) -> None:
        self._data = data
        distances = data.squared_distances()
        self._groups = data.parts
        is_whole = len(self._groups) == 1 and len(self._groups[0]) == data.n_groups
        self._parts = [distances] if is_whole else [distances[groups] for groups in self._groups]
        self._n, self.n_groups, self.floors = len(data.targets), data.n_groups, data.floors
        self._first, self._second = data.pairs()
        self._places = self._first + self._n * self._second  # in a matrix that is kept column by column, as LAPACK does
        self._prior_locations, self._prior_scales = _priors(data)
        self._targets = data.targets if data.basis is None else data.targets - BASIS_PRIOR[0] * data.basis

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient. *theta*: shape (n_groups + n_components + 1,), as above."""
        scales, amplitudes, noise = self._split(theta)
        kernels = self._kernels(scales)
        value, by_pair, by_variance = self._evidence(self._factor(kernels, amplitudes, noise))
        n, gradient, total = self._data.n_groups, np.zeros_like(theta), float(by_variance.sum())
        parts = zip(self._parts, self._groups, kernels, amplitudes, strict=True)
        for number, (part, groups, (kernel, slope), amplitude) in enumerate(parts):
            gradient[groups] += (part @ (amplitude * (by_pair * slope))) * scales[groups]
            gradient[n + number] = amplitude * (float(by_pair @ kernel) + 0.5 * total)
        shape = self._data.noise_shape
        gradient[-1] = 0.5 * noise * (total if shape is None else float(by_variance @ shape))
        prior, prior_gradient = self._prior(theta)
        return value + prior, gradient + prior_gradient

    def mean(self, theta: Array) -> float:
        """Return the constant prior mean."""
        return self._solved(self._factor_at(theta))[1]

    def weight(self, theta: Array) -> float:
        """Return the most probable weight of the user's model, 0 where there is none."""
        if self._data.basis is None:
            return 0.0
        weights, _ = self._solved(self._factor_at(theta))
        centre, deviation = BASIS_PRIOR
        return centre + deviation**2 * float(self._data.basis @ weights)

    def _kernels(self, scales: Array) -> list[tuple[Array, Array]]:
        """Return kernel and derivative factor of every component for all pairs."""
        return [matern(scales[groups] @ part) for part, groups in zip(self._parts, self._groups, strict=True)]

    def _split(self, theta: Array) -> tuple[Array, Array, float]:
        n = self._data.n_groups
        return np.exp(-2.0 * theta[:n]), np.exp(theta[n:-1]), float(np.exp(theta[-1]))

    def _factor_at(self, theta: Array) -> Array:
        scales, amplitudes, noise = self._split(theta)
        return self._factor(self._kernels(scales), amplitudes, noise)

    def _factor(self, kernels: Sequence[tuple[Array, Array]], amplitudes: Array, noise: float) -> Array:
        """Return the lower Cholesky factor of the covariance of the data. Raises LinAlgError when no jitter helps."""
        flat = np.zeros(self._n * self._n)
        for (kernel, _), amplitude in zip(kernels, amplitudes, strict=True):
            flat[self._places] += amplitude * kernel
        flat[:: self._n + 1] = amplitudes.sum() + self._data.noise_of(noise)
        lower = flat.reshape((self._n, self._n), order="F")
        if self._data.basis is not None:
            lower += BASIS_PRIOR[1] ** 2 * np.outer(self._data.basis, self._data.basis)
        return factorised(lower)

    def _solved(self, factor: Array) -> tuple[Array, float]:
        """Return the covariance's inverse times what the prior mean leaves of the targets, and that mean."""
        both = solved(factor, np.stack([self._targets, np.ones(self._n)], axis=1))
        if self._data.has_levels:
            mean = float(self._targets.mean())
        else:
            mean = float(both[:, 1] @ self._targets / both[:, 1].sum())
        return both[:, 0] - mean * both[:, 1], mean

    def _evidence(self, factor: Array) -> tuple[float, Array, Array]:
        """Return the log evidence, and twice its derivatives with respect to the covariances of pairs, and variances.

        A covariance appears twice in the matrix; its derivative is that of one of the two.
        """
        alpha, mean = self._solved(factor)
        log_determinant = 2.0 * float(np.log(np.diag(factor)).sum())
        value = -0.5 * (float((self._targets - mean) @ alpha) + log_determinant + self._n * log(2.0 * pi))
        inverse = lower_of_inverse(factor).ravel(order="F")
        by_pair = alpha[self._first] * alpha[self._second] - inverse[self._places]
        return value, by_pair, alpha**2 - inverse[:: self._n + 1]

    def _prior(self, theta: Array) -> tuple[float, Array]:
        deviations = (theta - self._prior_locations) / self._prior_scales
        return float(-0.5 * deviations @ deviations), -deviations / self._prior_scales


def _priors(data: TrainingSet) -> tuple[Array, Array]:
    """Return means and deviations of all of theta before the fit."""
    location, scale = LENGTHSCALE_PRIOR
    n, n_parts, special = data.n_groups, len(data.parts), {*data.links, *data.centres}
    locations = np.full(n, location)
    for groups in data.parts:
        usual = [group for group in groups if group not in special]
        locations[usual] = location + 0.5 * log(max(len(usual), 1))
    locations[list(data.links)] = ORIGIN_PRIOR
    for group, centre in data.centres.items():
        locations[group] = centre
    amplitudes = [AMPLITUDE_PRIOR[0] - log(n_parts)] * n_parts
    deviations = [*[scale] * n, *[AMPLITUDE_PRIOR[1]] * n_parts, data.noise_prior[1]]
    return np.array([*locations, *amplitudes, data.noise_prior[0]]), np.array(deviations)


def matern(squared: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 kernel of squared scaled distances, and its derivative factor.

    The derivative with respect to the logarithm of a lengthscale is the factor times the squared scaled distance
    along that parameter.
    """
    distance = np.sqrt(5.0 * squared)
    decay = np.exp(-distance)
    return (1.0 + distance + distance**2 / 3.0) * decay, (5.0 / 3.0) * (1.0 + distance) * decay


def factorised(covariance: Array) -> Array:
    """Return the lower Cholesky factor of a covariance matrix, of which the lower triangle is read.

    Raises
    ------
    numpy.linalg.LinAlgError
        No jitter helps.
    """
    for jitter in JITTERS:
        factor = cholesky(covariance + jitter * np.eye(len(covariance)) if jitter else covariance)
        if factor is not None:
            return factor
    raise np.linalg.LinAlgError("the covariance matrix is not positive definite")


def fit(
    data: TrainingSet, starts: Sequence[Array], *, max_iterations: int = 100, reached: Sequence[float] = ()
) -> Hyperparameters:
    """Return the hyper-parameters of largest posterior density, searched from *starts*, see ``theta``.

    The search ends as soon as two starts have led to the same, greatest density; *reached* are those of earlier ones.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where every starting point ends in a matrix that cannot be factorised.
    """
    posterior, found = LogPosterior(data), list[tuple[float, Array]]()
    for start in starts:
        found.append(_climb(posterior, start, max_iterations))
        if _agree([*reached, *(value for value, _ in found)]):
            break
    best_value, best = max(found, key=lambda each: each[0])
    if not np.isfinite(best_value):
        raise np.linalg.LinAlgError("no starting point gave a finite evidence")
    n, weight = data.n_groups, posterior.weight(best)
    lengthscales, amplitudes, noise = np.exp(best[:n]), np.exp(best[n:-1]), float(np.exp(best[-1]))
    return Hyperparameters(lengthscales, noise, tuple(amplitudes.tolist()), posterior.mean(best), best_value, weight)


def _agree(values: Sequence[float]) -> bool:
    """Tell whether two searches have led to the greatest value found: a third would hardly lead elsewhere."""
    return sum(value > max(values) - SAME for value in values) > 1


def default_hyperparameters(data: TrainingSet) -> Hyperparameters:
    """Return what can be assumed where the evidence cannot be computed: medium lengthscales, some noise."""
    n, n_parts = data.n_groups, len(data.parts)
    lengthscales, amplitudes = np.full(n, 0.5 * sqrt(max(n, 1))), (1.0 / n_parts,) * n_parts
    return Hyperparameters(lengthscales, 0.05, amplitudes, float(data.targets.mean()), float("-inf"))


def starting_points(n_groups: int, n_components: int = 1) -> list[Array]:
    """Return starting points: medium lengthscales and little noise; short ones; long ones and much noise."""
    root = sqrt(max(n_groups, 1))
    return [
        np.array([*[log(length * root)] * n_groups, *[-log(n_components)] * n_components, log(noise)])
        for length, noise in ((0.4, 1e-3), (0.15, 1e-2), (1.5, 1e-1))
    ]


def _climb(posterior: LogPosterior, start: Array, max_iterations: int) -> tuple[float, Array]:
    n = posterior.n_groups
    bounds = [(log(posterior.floors.get(group, LENGTHSCALE_FLOOR)), log(1e3)) for group in range(n)]
    bounds += [(log(0.01), log(100.0))] * (len(start) - n - 1)
    bounds.append((log(NOISE_FLOOR), log(NOISE_CEILING)))

    def negative(theta: Array) -> tuple[float, Array]:
        value, gradient = posterior(theta)
        return -value, -gradient

    try:
        value, theta = minimise(negative, start, bounds, max_iterations)
    except np.linalg.LinAlgError:
        return -np.inf, start
    return (-value, theta) if np.isfinite(value) else (-np.inf, start)
