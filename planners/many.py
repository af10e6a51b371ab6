"""A Gaussian process of thousands of observations, through some of their places.

What is known of the function is carried by its values at a few hundred places; all observations say what these are,
each with what the places leave open as noise of its own: the FITC approximation of Snelson and Ghahramani, "Sparse
Gaussian processes using pseudo-inputs" (NIPS 2005). Notation: Quiñonero-Candela and Rasmussen, "A unifying view of
sparse approximate Gaussian process regression", JMLR 6, 1939 (2005).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sdl.planners.encoding import Array
from sdl.planners.evidence import JITTERS
from sdl.planners.field import Field
from sdl.planners.kernel import padded
from sdl.planners.numerics import cholesky, lower_inverse
from sdl.planners.outcome import OutcomeFit

EXACT = 1500
"""Up to so many observations are taken as they are."""

N_PLACES = 600
"""Places that stand for more."""


def field_of(fit: OutcomeFit) -> Field:
    """Return the posterior given the data of *fit*: exact, unless there are thousands."""
    return Field.of(fit) if len(fit.data.targets) <= EXACT else SparseField(fit)


def believing(fit: OutcomeFit, field: Field, rows: Array) -> Field:
    """Return *field* as it will be when what is expected at *rows* was measured there."""
    data, n = fit.data, len(rows)
    shape = None if data.noise_shape is None else np.append(data.noise_shape, np.ones(n))
    more = replace(
        data,
        inputs=np.vstack([data.inputs, padded(rows, field.kernel.n_columns)]),
        targets=np.append(data.targets, field.at(rows).mean[:, 0]),
        known_noise=np.append(data.known_noise, np.full(n, np.median(data.known_noise))),
        noise_shape=shape,
        basis=None,
    )
    return field_of(replace(fit, data=more))


class SparseField(Field):
    """The posterior of one outcome through some of the places of its data; differences are left aside.

    Raises
    ------
    numpy.linalg.LinAlgError
        The covariance of the places cannot be factorised, with any jitter.
    """

    def __init__(self, fit: OutcomeFit) -> None:
        self.fit = fit = replace(fit, differences=None)
        self.kernel, self.n_rows = fit.kernel, N_PLACES
        chosen = places_of(fit)
        self.known = self.kernel.spots(fit.data.inputs[chosen])
        covariance = self.kernel.between(self.known, self.known)
        self._root = _inverse_root(covariance, self.kernel.amplitude)
        seen = self._root @ self.kernel.between(self.known, self.kernel.spots(fit.data.inputs))
        left = np.maximum(self.kernel.amplitude - np.einsum("ij,ij->j", seen, seen), 0.0) + fit.noise
        self._scaled = seen / left
        values, vectors = np.linalg.eigh(np.eye(len(chosen)) + self._scaled @ seen.T)
        self._inverse = (vectors / values) @ vectors.T
        residuals = fit.data.targets - self._prior_mean(fit.data.inputs)
        told = self._inverse @ (self._scaled @ residuals)
        self.weights = (self._root.T @ told)[:, None]
        self.whitening = (np.sqrt(np.maximum(1.0 - 1.0 / values, 0.0))[:, None] * vectors.T) @ self._root
        self._left_over = (residuals - seen.T @ told) / left
        self._precisions = 1.0 / left - np.einsum("ij,ij->j", self._scaled, self._inverse @ self._scaled)

    def shares(self, rows: Array) -> Array:
        """Return each observation's part of the weights that interpolate the mean at *rows*, shape (n, m)."""
        cross = self.kernel.between(self.kernel.spots(rows), self.known)
        weights = np.abs((cross @ self._root.T) @ self._inverse @ self._scaled)
        totals = weights.sum(axis=1, keepdims=True)
        return np.asarray(weights / np.where(totals > 0.0, totals, 1.0))

    def left_out(self) -> tuple[Array, Array]:
        """Return the error and the deviation with which all others predict each observation, shape (m,)."""
        precisions = np.maximum(self._precisions, 1e-12)
        return np.asarray(self._left_over / precisions), np.asarray(1.0 / np.sqrt(precisions))


def places_of(fit: OutcomeFit) -> npt.NDArray[np.intp]:
    """Return the numbers of the observations whose places stand for all: a quarter at either end, the others any.

    The best and the worst are where a planner has to know most; the others are taken evenly over time.
    """
    order, quarter = np.argsort(fit.data.targets, kind="stable"), N_PLACES // 4
    ends = np.concatenate([order[:quarter], order[-quarter:]])
    others = np.setdiff1d(np.arange(len(order)), ends)
    evenly = others[np.linspace(0, len(others) - 1, N_PLACES - len(ends)).astype(np.intp)]
    return np.sort(np.concatenate([ends, evenly]))


def _inverse_root(covariance: Array, amplitude: float) -> Array:
    for jitter in JITTERS[1:]:
        factor = cholesky(covariance + jitter * amplitude * np.eye(len(covariance)))
        if factor is not None:
            return lower_inverse(factor)
    raise np.linalg.LinAlgError("the covariance matrix of the places is not positive definite")
