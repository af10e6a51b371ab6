"""A Gaussian process with given hyper-parameters that knows values at some places, in NumPy, with gradients.

BoTorch's models answer the same questions; with a few dozen observations their bookkeeping takes ten times longer than
the numbers. Tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from sdl.planners.encoding import Array
from sdl.planners.evidence import JITTERS
from sdl.planners.numerics import cholesky, lower_inverse
from sdl.planners.outcome import OutcomeFit

SMALLEST = 1e-9
"""Deviations are raised to this, in standard deviations of the outcome."""

ROOT_5 = sqrt(5.0)


class Field:
    """The posterior of one standardised outcome, or of several that share places and kernel.

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
        self._scale = 1.0 / fit.lengthscales
        self._amplitude = fit.hyperparameters.amplitude
        self._mean = fit.hyperparameters.mean
        self._places = self._scaled(rows)
        self._sizes = (self._places**2).sum(axis=1)
        covariance = self._kernel(self._distances(self._places, self._sizes))
        if noise is not None:
            covariance[np.diag_indices_from(covariance)] += noise
        self._whitening = lower_inverse(_factor(covariance, self._amplitude, is_exact=noise is None))
        residuals = values.reshape(len(rows), -1) - self._mean
        self._weights = self._whitening.T @ (self._whitening @ residuals)

    @classmethod
    def of(cls, fit: OutcomeFit) -> Field:
        """Return the posterior given the data of *fit*."""
        return cls(fit, fit.data.inputs, fit.data.targets, fit.noise)

    def at(self, rows: Array) -> Glance:
        """Return what is expected at *rows*, shape (n, columns), without noise."""
        scaled = self._scaled(rows)
        distances = self._distances(scaled, (scaled**2).sum(axis=1))
        kernel = self._kernel(distances)
        whitened = kernel @ self._whitening.T
        variance = self._amplitude - np.einsum("ij,ij->i", whitened, whitened)
        deviation = np.sqrt(np.maximum(variance, SMALLEST**2))
        return Glance(self, rows.shape[1], scaled, distances, whitened, self._mean + kernel @ self._weights, deviation)

    def draw(self, rows: Array, normals: Array) -> Array:
        """Return joint samples at *rows*, shape (n, k), from standard *normals* of the same shape; one known column."""
        glance = self.at(rows)
        scaled = self._scaled(rows)
        prior = self._kernel(np.sqrt(_squared(scaled, scaled)))
        covariance = prior - glance.whitened @ glance.whitened.T
        factor = np.tril(_factor(covariance, self._amplitude, is_exact=True))
        return np.asarray(glance.mean[:, :1] + factor @ normals)

    def covariance(self, first: Glance, second: Glance) -> Array:
        """Return the posterior covariance, without noise, between the rows of two glances, shape (n, m)."""
        prior = self._kernel(np.sqrt(_squared(first.scaled, second.scaled)))
        return np.asarray(prior - first.whitened @ second.whitened.T)

    def shares(self, rows: Array) -> Array:
        """Return each known value's part of the weights that interpolate the mean at *rows*, shape (n, m)."""
        weights = np.abs(self.at(rows).whitened @ self._whitening)
        totals = weights.sum(axis=1, keepdims=True)
        return np.asarray(weights / np.where(totals > 0.0, totals, 1.0))

    def left_out(self) -> tuple[Array, Array]:
        """Return the error and the deviation with which all other values predict each one, noise included, shape (m,).

        Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), equations 5.10 to 5.12.
        """
        variances = 1.0 / np.einsum("ij,ij->j", self._whitening, self._whitening)
        return np.asarray(self._weights[:, 0] * variances), np.sqrt(variances)

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
        by_kernel = by_mean @ self._weights.T - 2.0 * by_variance[:, None] * (glance.whitened @ self._whitening)
        stretched = ROOT_5 * glance.distances
        slopes = -(5.0 / 3.0) * self._amplitude * by_kernel * (1.0 + stretched) * np.exp(-stretched)
        inner = slopes.sum(axis=1, keepdims=True) * glance.scaled - slopes @ self._places
        return np.asarray(inner * self._scale)[:, : glance.n_columns]

    def _scaled(self, rows: Array) -> Array:
        """Measure *rows* in lengthscales. Where they do not say whose they are, they are the campaign's own: a 0."""
        return with_origin(rows, len(self._scale)) * self._scale

    def _distances(self, scaled: Array, sizes: Array) -> Array:
        squared = sizes[:, None] + self._sizes[None, :] - 2.0 * (scaled @ self._places.T)
        distances: Array = np.sqrt(np.maximum(squared, 0.0))
        return distances

    def _kernel(self, distances: Array) -> Array:
        stretched = ROOT_5 * distances
        return np.asarray(self._amplitude * (1.0 + stretched + stretched**2 / 3.0) * np.exp(-stretched))


@dataclass(frozen=True)
class Glance:
    """What a field expects at some rows.

    Parameters
    ----------
    mean
        Shape (n, k).
    deviation
        Shape (n,).
    n_columns, scaled, distances, whitened
        What the gradient is made of.
    """

    field: Field
    n_columns: int
    scaled: Array
    distances: Array
    whitened: Array
    mean: Array
    deviation: Array

    def back(self, by_mean: Array, by_deviation: Array) -> Array:
        """See :meth:`Field.back`."""
        return self.field.back(self, by_mean, by_deviation)


def with_origin(rows: Array, n_columns: int) -> Array:
    """Return *rows* with columns of zeros up to *n_columns*."""
    return np.pad(rows, ((0, 0), (0, n_columns - rows.shape[1])))


def _squared(first: Array, second: Array) -> Array:
    sizes = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    squared: Array = np.maximum(sizes - 2.0 * (first @ second.T), 0.0)
    return squared


def _factor(covariance: Array, amplitude: float, *, is_exact: bool) -> Array:
    """Return the lower Cholesky factor. Exact values at places close by need some jitter from the start."""
    for jitter in JITTERS[1:] if is_exact else JITTERS:
        factor = cholesky(covariance + jitter * amplitude * np.eye(len(covariance)))
        if factor is not None:
            return factor
    raise np.linalg.LinAlgError("the covariance matrix of the places is not positive definite")
