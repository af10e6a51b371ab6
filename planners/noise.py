"""Noise that depends on the place: where measurements scatter more than elsewhere.

After Kersting, Plagemann, Pfaff and Burgard, "Most likely heteroscedastic Gaussian process regression" (ICML 2007): a
second Gaussian process of the logarithm of the noise, fitted to the errors of the first. What is taken here are the
errors with which all other data predict each observation, because those are not made small by the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sdl.planners.kernel import Array, Kernel, Spots, Term
from sdl.planners.numerics import cholesky, lower_inverse

if TYPE_CHECKING:
    from sdl.planners.outcome import OutcomeFit

LARGEST_FACTOR = 1e4
"""The noise of no place is so much larger or smaller than the usual."""

LOG_CHI_SQUARED = (-1.2704, 4.9348)
"""Mean and variance of the logarithm of the square of a standard normal variable: -gamma - log 2, and pi^2 / 2."""

LENGTHS = (0.3, 0.6, 1.2)
"""Lengthscales of the noise that are compared, in units of the root of the number of columns."""

AMPLITUDES = (0.5, 2.0, 6.0)
"""Prior variances of the logarithm of the noise that are compared."""

LITTLE = 0.02
"""Where noise makes up less of what others predict wrongly, its size cannot be seen."""


@dataclass(frozen=True)
class NoiseModel:
    """The logarithm of the factor of the noise, interpolated by a Gaussian process.

    Parameters
    ----------
    kernel, spots, weights
        Its covariance, the places that it knows, and the weights of each.
    """

    kernel: Kernel
    spots: Spots
    weights: Array

    def factors(self, rows: Array) -> Array:
        """Return by what factor the variance of the noise at *rows* differs from the usual, shape (n,)."""
        logarithms = self.kernel.between(self.kernel.spots(rows), self.spots) @ self.weights
        return np.clip(np.exp(np.clip(logarithms, -20.0, 20.0)), 1.0 / LARGEST_FACTOR, LARGEST_FACTOR)


def noise_model_of(
    fit: OutcomeFit, chosen: npt.NDArray[np.intp], errors: Array, deviations: Array
) -> NoiseModel | None:
    """Return how the noise depends on the place; None where the errors are no likelier than with one noise for all.

    Parameters
    ----------
    fit
        A model with one noise for all.
    chosen
        The numbers of the observations that are looked at.
    errors, deviations
        How much all other data miss each observation by, and are expected to, shape (n,).
    """
    share = fit.noise[chosen] / deviations**2
    if float(np.median(share)) < LITTLE:
        return None
    seen = np.log(np.maximum(errors**2 / deviations**2, 1e-6)) - LOG_CHI_SQUARED[0]
    rows, centred = fit.data.inputs[chosen], seen - seen.mean()
    best_value, best = _log_density(centred, LOG_CHI_SQUARED[1] * np.eye(len(seen)))[0], None
    for length in LENGTHS:
        scale = np.full(rows.shape[1], 1.0 / (length * rows.shape[1] ** 0.5))
        for amplitude in AMPLITUDES:
            kernel = Kernel([Term(None, scale, amplitude)], rows.shape[1])
            spots = kernel.spots(rows)
            covariance = kernel.between(spots, spots) + LOG_CHI_SQUARED[1] * np.eye(len(seen))
            value, weights = _log_density(centred, covariance)
            if value > best_value:
                best_value, best = value, NoiseModel(kernel, spots, weights)
    return best


def _log_density(values: Array, covariance: Array) -> tuple[float, Array]:
    """Return the log density of normal *values*, and the inverse covariance times them."""
    factor = cholesky(covariance)
    if factor is None:
        raise np.linalg.LinAlgError("the covariance of the noise is not positive definite")
    inverse = lower_inverse(factor)
    whitened = inverse @ values
    size = float(np.log(np.diag(factor)).sum())
    return -0.5 * float(whitened @ whitened) - size - 0.5 * len(values) * log(2.0 * np.pi), inverse.T @ whitened
