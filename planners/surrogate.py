"""The Gaussian processes of all outcomes as one model."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no type information

from sdl.journal.records import Prediction
from sdl.planners.encoding import Array
from sdl.planners.field import Field
from sdl.planners.goals import scores
from sdl.planners.many import field_of
from sdl.planners.numerics import normal_cdf
from sdl.planners.outcome import OutcomeFit
from sdl.planners.warp import normal_nodes
from sdl.problem import Objective, OutcomeConstraint

NUMERICAL_ERRORS: tuple[type[Exception], ...] = (np.linalg.LinAlgError, ArithmeticError)
"""What ill-conditioned data can end in."""

ENOUGH = 20
"""So many measurements can tell where 95 % of them lie."""

IN_95_PERCENT = 1.959964
"""Half the width of the interval that holds 95 % of a normal variable, in its deviations."""

STRETCH = (0.5, 2.0)
"""Limits of the factor that predicted deviations are multiplied by."""

CHUNK = 512
"""How many rows are predicted at a time: bounds the memory for their joint covariance."""


@contextmanager
def single_threaded() -> Generator[None]:
    """Compute on one thread: matrices are small, and sums come out alike whatever the machine has."""
    with threadpool_limits(limits=1):
        yield


class Restoring(Protocol):
    """Knows on what scale the measurement at a row would come."""

    def restored(self, row: Array, prediction: Prediction) -> Prediction:
        """Return *prediction*, made on the common scale, on the row's own."""
        ...


class Surrogate:
    """One Gaussian process per outcome, in the order of *fits*.

    Means and deviations called latent are on the standardised scales of the warps, and without noise.
    """

    def __init__(self, fits: Mapping[str, OutcomeFit], restoring: Mapping[str, Restoring] | None = None) -> None:
        self.fits = dict(fits)
        self._restoring = dict(restoring or {})
        self.names = tuple(fits)
        self._fields: dict[str, Field] = {}

    def field(self, name: str) -> Field:
        """Return the posterior of the outcome *name*."""
        if name not in self._fields:
            self._fields[name] = field_of(self.fits[name])
        return self._fields[name]

    def latent(self, rows: Array) -> tuple[Array, Array]:
        """Return latent mean and standard deviation at *rows*, both of shape (n, outcomes)."""
        means, deviations = [np.zeros((0, len(self.names)))], [np.zeros((0, len(self.names)))]
        for chunk in np.array_split(rows, max(1, -(-len(rows) // CHUNK))):
            glances = [self.field(name).at(chunk) for name in self.names]
            means.append(np.hstack([glance.mean for glance in glances]))
            deviations.append(np.stack([glance.deviation for glance in glances], axis=1))
        mean, deviation = np.vstack(means), np.vstack(deviations)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise FloatingPointError("the model predicts values that are not finite")
        return mean, deviation

    def predict(self, rows: Array) -> list[dict[str, Prediction]]:
        """Return what the next measurement at each of *rows* is expected to give, its noise included."""
        means, deviations = self.latent(rows)
        found: list[dict[str, Prediction]] = [{} for _ in rows]
        for number, (name, fit) in enumerate(self.fits.items()):
            noisy = self.stretch(name) * np.sqrt(deviations[:, number] ** 2 + fit.noise_at(rows))
            moments = zip(*fit.warp.moments(means[:, number], noisy), strict=True)
            for row, prediction, (mean, deviation) in zip(rows, found, moments, strict=True):
                expected = Prediction(mean=float(mean), standard_deviation=float(deviation))
                own = self._restoring.get(name)
                prediction[name] = expected if own is None else own.restored(row, expected)
        return found

    def stretch(self, name: str) -> float:
        """Return by what factor predicted deviations are stretched so that 95 % intervals hold 95 %.

        Hyper-parameters are taken as certain, which makes intervals too narrow. How far 95 % of the measurements lie
        from what all others predict says by how much: the idea of the jackknife of Barber, Candès, Ramdas and
        Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49, 486 (2021).
        """
        errors, deviations = self.field(name).left_out()
        n = len(errors)
        if n < ENOUGH:
            return 1.0
        missed = np.sort(np.abs(errors / deviations))[min(n - 1, ceil(0.95 * (n + 1)) - 1)]
        return float(np.clip(missed / IN_95_PERCENT, *STRETCH))

    def expected_score(self, objective: Objective, rows: Array) -> Array:
        """Return the expected score of *objective* at *rows*, in its unit, without noise, shape (n,)."""
        scored, weights = self._scores(objective, rows)
        return scored @ weights

    def score_of_mean(self, objective: Objective, rows: Array) -> Array:
        """Return the score at *rows* if the model's mean, on its own scale, were the truth, shape (n,)."""
        means, _ = self.latent(rows)
        number = self.names.index(objective.outcome)
        return scores(objective, self.fits[objective.outcome].warp.backward(means[:, number]))

    def expected_improvement(self, objective: Objective, rows: Array, best: float) -> Array:
        """Return by how much the score at *rows* is expected to exceed *best*, in the objective's unit, shape (n,)."""
        scored, weights = self._scores(objective, rows)
        return np.maximum(scored - best, 0.0) @ weights

    def _scores(self, objective: Objective, rows: Array) -> tuple[Array, Array]:
        """Return scores at quantiles of the latent outcome, shape (n, quantiles), and the quantiles' weights."""
        means, deviations = self.latent(rows)
        number = self.names.index(objective.outcome)
        nodes, weights = normal_nodes()
        latent = means[:, number, None] + deviations[:, number, None] * nodes
        values = self.fits[objective.outcome].warp.backward(latent)
        return scores(objective, values), weights

    def chance_to_keep(self, constraints: Sequence[OutcomeConstraint], rows: Array) -> Array:
        """Return the probability that all *constraints* are kept at *rows*, shape (n,)."""
        means, deviations = self.latent(rows)
        chance = np.ones(len(rows))
        for limit in constraints:
            number = self.names.index(limit.outcome)
            bounds = [-np.inf if limit.lower is None else limit.lower, np.inf if limit.upper is None else limit.upper]
            levels = self.fits[limit.outcome].warp.forward(np.array(bounds))
            below = [(level - means[:, number]) / deviations[:, number] for level in levels]
            chance *= np.maximum(normal_cdf(below[1]) - normal_cdf(below[0]), 0.0)
        return chance
