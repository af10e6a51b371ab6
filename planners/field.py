"""A Gaussian process with given hyper-parameters that knows values at some places, in NumPy, with gradients.

BoTorch's models answer the same questions; with a few dozen observations their bookkeeping takes ten times longer than
the numbers. Tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.encoding import Array
from sdl.planners.evidence import JITTERS
from sdl.planners.kernel import Spots, padded
from sdl.planners.numerics import cholesky, lower_inverse

if TYPE_CHECKING:
    from sdl.planners.outcome import OutcomeFit

SMALLEST = 1e-9
"""Deviations are raised to this, in standard deviations of the outcome."""


@dataclass(frozen=True)
class Differences:
    """What is known of the differences between the outcomes at pairs of rows, as if they had been measured.

    Parameters
    ----------
    low, high
        The rows, shape (m, columns).
    values, noise
        What the outcome at *high* exceeds that at *low* by, and the variance of that, standardised, shape (m,).
    """

    low: Array
    high: Array
    values: Array
    noise: Array


class Field:
    """The posterior of one standardised outcome, or of several that share places and kernel.

    What the fit knows of differences between places is known here too.

    Parameters
    ----------
    fit
        Kernel and mean.
    rows
        The places where values are known, shape (m, columns).
    values
        What is known there, shape (m,) or (m, k).
    noise
        Variance of the noise of those values, shape (m,); None where they are exact.

    Raises
    ------
    numpy.linalg.LinAlgError
        The covariance of the places cannot be factorised, with any jitter.
    """

    def __init__(self, fit: OutcomeFit, rows: Array, values: Array, noise: Array | None = None) -> None:
        self.fit = fit
        self.kernel = fit.kernel
        self.n_rows = len(rows)
        self.known = self.kernel.spots(self._with_pairs(rows))
        covariance = self.observed(self.observed(self.kernel.between(self.known, self.known)).T)
        noises = np.concatenate([np.zeros(len(rows)) if noise is None else noise, *self._of_pairs("noise")])
        covariance[np.diag_indices_from(covariance)] += noises
        self.whitening = lower_inverse(_factor(covariance, self.kernel.amplitude, is_exact=noise is None))
        residuals = values.reshape(len(rows), -1) - self._prior_mean(rows)[:, None]
        self.weights = self.whitening.T @ (self.whitening @ self._with_differences(residuals))

    @classmethod
    def of(cls, fit: OutcomeFit) -> Field:
        """Return the posterior given the data of *fit*."""
        return cls(fit, fit.data.inputs, fit.data.targets, fit.noise)

    def at(self, rows: Array) -> Glance:
        """Return what is expected at *rows*, shape (n, columns), without noise."""
        spots = self.kernel.spots(rows)
        distances = self.kernel.distances(spots, self.known)
        kernel = self.observed(self.kernel.values(distances))
        whitened = kernel @ self.whitening.T
        variance = self.kernel.amplitude - np.einsum("ij,ij->i", whitened, whitened)
        deviation = np.sqrt(np.maximum(variance, SMALLEST**2))
        mean = self._prior_mean(rows)[:, None] + kernel @ self.weights
        return Glance(self, rows, spots, distances, whitened, mean, deviation)

    def draw(self, rows: Array, normals: Array) -> Array:
        """Return joint samples at *rows*, shape (n, k), from standard *normals* of the same shape; one known column."""
        glance = self.at(rows)
        factor = np.tril(_factor(self.covariance(glance, glance), self.kernel.amplitude, is_exact=True))
        return np.asarray(glance.mean[:, :1] + factor @ normals)

    def covariance(self, first: Glance, second: Glance) -> Array:
        """Return the posterior covariance, without noise, between the rows of two glances, shape (n, m)."""
        return np.asarray(self.kernel.between(first.spots, second.spots) - first.whitened @ second.whitened.T)

    def shares(self, rows: Array) -> Array:
        """Return each known value's part of the weights that interpolate the mean at *rows*, shape (n, m)."""
        weights = np.abs(self.at(rows).whitened @ self.whitening)[:, : self.n_rows]
        totals = weights.sum(axis=1, keepdims=True)
        return np.asarray(weights / np.where(totals > 0.0, totals, 1.0))

    def left_out(self) -> tuple[Array, Array]:
        """Return the error and the deviation with which all other values predict each one, noise included, shape (m,).

        Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), equations 5.10 to 5.12.
        """
        variances = 1.0 / np.einsum("ij,ij->j", self.whitening, self.whitening)[: self.n_rows]
        return np.asarray(self.weights[: self.n_rows, 0] * variances), np.sqrt(variances)

    def back(self, glance: Glance, by_mean: Array, by_deviation: Array) -> Array:
        """Return the gradient with respect to the rows of a function of mean and deviation, shape (n, columns).

        Parameters
        ----------
        glance
            What :meth:`at` returned for the rows.
        by_mean
            Derivatives of the function with respect to the means, shape (n, k).
        by_deviation
            With respect to the deviations, shape (n,).
        """
        by_variance = by_deviation / (2.0 * glance.deviation)
        by_kernel = by_mean @ self.weights.T - 2.0 * by_variance[:, None] * (glance.whitened @ self.whitening)
        gradient = self.kernel.back(glance.spots, self.known, glance.distances, self._unobserved(by_kernel))
        gradient = gradient[:, : glance.rows.shape[1]]
        if self.fit.offset is not None:
            gradient = gradient + by_mean.sum(axis=1, keepdims=True) * self.fit.offset.slopes(glance.rows)
        return gradient

    def observed(self, covariance: Array) -> Array:
        """Return covariances with what is known, shape (n, known), from those with the places, shape (n, places)."""
        if self.fit.differences is None:
            return covariance
        plain, low, high = np.split(covariance, self._cuts, axis=1)
        return np.hstack([plain, high - low])

    def _unobserved(self, by_known: Array) -> Array:
        """Return derivatives with respect to covariances with the places from those with what is known."""
        if self.fit.differences is None:
            return by_known
        plain, pairs = by_known[:, : self.n_rows], by_known[:, self.n_rows :]
        return np.hstack([plain, -pairs, pairs])

    @property
    def _cuts(self) -> list[int]:
        n_pairs = 0 if self.fit.differences is None else len(self.fit.differences.values)
        return [self.n_rows, self.n_rows + n_pairs]

    def _with_pairs(self, rows: Array) -> Array:
        pairs, n_columns = self.fit.differences, self.kernel.n_columns
        if pairs is None:
            return rows
        return np.vstack([padded(part, n_columns) for part in (rows, pairs.low, pairs.high)])

    def _of_pairs(self, name: str) -> list[Array]:
        return [] if self.fit.differences is None else [getattr(self.fit.differences, name)]

    def _with_differences(self, residuals: Array) -> Array:
        pairs = self.fit.differences
        if pairs is None:
            return residuals
        known = pairs.values - (self._prior_mean(pairs.high) - self._prior_mean(pairs.low))
        return np.vstack([residuals, np.repeat(known[:, None], residuals.shape[1], axis=1)])

    def _prior_mean(self, rows: Array) -> Array:
        mean = np.full(len(rows), self.fit.hyperparameters.mean)
        return mean if self.fit.offset is None else mean + self.fit.offset.values(rows)


@dataclass(frozen=True)
class Glance:
    """What a field expects at some rows.

    Parameters
    ----------
    mean
        Shape (n, k).
    deviation
        Shape (n,).
    rows, spots, distances, whitened
        What the gradient is made of.
    """

    field: Field
    rows: Array
    spots: Spots
    distances: tuple[Array, ...]
    whitened: Array
    mean: Array
    deviation: Array

    def back(self, by_mean: Array, by_deviation: Array) -> Array:
        """See :meth:`Field.back`."""
        return self.field.back(self, by_mean, by_deviation)


def _factor(covariance: Array, amplitude: float, *, is_exact: bool) -> Array:
    """Return the lower Cholesky factor. Exact values at places close by need some jitter from the start."""
    for jitter in JITTERS[1:] if is_exact else JITTERS:
        factor = cholesky(covariance + jitter * amplitude * np.eye(len(covariance)))
        if factor is not None:
            return factor
    raise np.linalg.LinAlgError("the covariance matrix of the places is not positive definite")
