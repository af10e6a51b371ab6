"""Expected improvement of one objective, with noise, pending trials and outcome constraints, and its gradient.

What is not known at the places of past and pending trials (the noise, the outcome of what still runs) is drawn at
random from the model; given such a draw everything has a closed form, and the values are averages over draws: Letham,
Karrer, Ottoni and Bakshy, "Constrained Bayesian optimization with noisy experiments", Bayesian Analysis 14, 495 (2019).
All is computed in logarithms, after Ament et al., "Unexpected improvements to expected improvement" (NeurIPS 2023), so
that gradients lead uphill even where an improvement is out of sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi

import numpy as np

from sdl.planners.domain import LinearForm, Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field, Glance
from sdl.planners.numerics import log_normal_cdf, minimise, minimise_within, scaled_erfc

CHUNK = 2048
"""Rows that are evaluated at a time."""

LOG_ROOT_2PI = 0.5 * log(2.0 * pi)

BY_FAILURE, BY_SUCCESS = log(5.0), log(20.0)
"""How much a failure and a success speak for a place where all trials fail, and for one where most succeed."""

FAR_BELOW = -1e5
"""Below it ``log(1 - |z| erfcx(...))`` has lost its digits, and its limit for large arguments is exact enough."""


@dataclass(frozen=True)
class Limit:
    """An outcome constraint: the standardised outcome of *field* is to lie between *lower* and *upper*."""

    field: Field
    lower: float
    upper: float


@dataclass(frozen=True)
class Gain:
    """What is to be improved: *sign* times the standardised outcome of *field*, above *bests*, one for each draw."""

    field: Field
    sign: float
    bests: Array


class Improvement:
    """Log of the expected improvement times the chance to keep all limits, averaged over draws; larger is better.

    Parameters
    ----------
    name
        What decision records call it.
    gain
        The objective; None to look for feasible points alone.
    limits
        The outcome constraints.
    completed, failed
        Rows of completed and failed trials: they tell the chance that a trial succeeds at all, :func:`log_success`.
    """

    is_costly = False
    max_candidates = 1_000_000

    def __init__(self, name: str, gain: Gain | None, limits: Sequence[Limit], completed: Array, failed: Array) -> None:
        self.name = f"{name} with chance of success" if len(failed) else name
        self._gain = gain
        self._limits = tuple(limits)
        self._completed = completed
        self._failed = failed

    def values(self, rows: Array) -> Array:
        """Return the value at each row, shape (n,); minus infinity where it is not a number."""
        chunks = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
        found = [np.zeros(0), *(self.evaluate(chunk, with_slopes=False)[0] for chunk in chunks)]
        return np.nan_to_num(np.concatenate(found), nan=-np.inf, posinf=-np.inf)

    def evaluate(self, rows: Array, *, with_slopes: bool = True) -> tuple[Array, Array]:
        """Return values, shape (n,), and gradients, shape (n, columns), at *rows*; no gradients unless asked for."""
        parts = [_gained(self._gain, rows)] if self._gain is not None else []
        parts += [_kept(limit, rows) for limit in self._limits]
        together = sum((part.values for part in parts), np.zeros((len(rows), 1)))
        peak = together.max(axis=1, keepdims=True)
        peak = np.where(np.isfinite(peak), peak, 0.0)
        weights = np.exp(together - peak)
        totals = weights.sum(axis=1, keepdims=True)
        values = (peak + np.log(totals / together.shape[1]))[:, 0]
        slopes = np.zeros_like(rows)
        if with_slopes:
            slopes = np.sum([part.slopes(weights / totals) for part in parts], axis=0)
        if len(self._failed):
            chance, chance_slopes = _success(rows, self._completed, self._failed)
            values, slopes = values + chance, slopes + chance_slopes
        return values, slopes

    def climb(self, starts: Array, movable: Mask, forms: Sequence[LinearForm], max_iterations: int) -> Array:
        """Return where a gradient search in the *movable* columns leads from each of *starts*, shape (n, columns)."""
        climbed = starts.copy()
        for row in climbed:
            self._climb(row, movable, forms, max_iterations)
        return climbed

    def _climb(self, row: Array, movable: Mask, forms: Sequence[LinearForm], max_iterations: int) -> None:
        def negative(moved: Array) -> tuple[float, Array]:
            row[movable] = moved
            values, slopes = self.evaluate(row[None, :])
            return -float(values[0]), -slopes[0, movable]

        start = row[movable].copy()
        bounds = [(0.0, 1.0)] * len(start)
        if forms:
            limits = [_restricted(form, row, movable) for form in forms]
            place = minimise_within(negative, start, bounds, limits, max_iterations)
        else:
            _, place = minimise(negative, start, bounds, max_iterations)
        row[movable] = np.clip(place, 0.0, 1.0)


@dataclass(frozen=True)
class _Part:
    """One factor of the value: its logarithm for each row and draw, and the derivatives of that."""

    glance: Glance
    values: Array
    by_mean: Array
    by_deviation: Array

    def slopes(self, weights: Array) -> Array:
        """Return the gradient of the average, where draws have *weights*, shape (n, draws)."""
        return self.glance.back(_summed(weights * self.by_mean, self.glance.mean), (weights * self.by_deviation).sum(1))


def _gained(gain: Gain, rows: Array) -> _Part:
    glance = gain.field.at(rows)
    deviation = glance.deviation[:, None]
    z = (gain.sign * glance.mean - gain.bests) / deviation
    shape = log_improvement(z)
    ratio = np.exp(np.minimum(log_normal_cdf(z) - shape, 700.0))
    return _Part(glance, np.log(deviation) + shape, gain.sign * ratio / deviation, (1.0 - ratio * z) / deviation)


def _kept(limit: Limit, rows: Array) -> _Part:
    glance = limit.field.at(rows)
    deviation = glance.deviation[:, None]
    low, high = (limit.lower - glance.mean) / deviation, (limit.upper - glance.mean) / deviation
    chance = log_between(low, high)
    by_low, by_high = -_density_ratio(low, chance), _density_ratio(high, chance)
    by_deviation = -(_finite(low) * by_low + _finite(high) * by_high) / deviation
    return _Part(glance, chance, -(by_low + by_high) / deviation, by_deviation)


def log_improvement(z: Array) -> Array:
    """Return the log of the expected positive part of a normal variable of mean *z* and deviation 1."""
    size = np.maximum(-z, 1.0)
    tail = 1.0 - size * scaled_erfc(size / np.sqrt(2.0)) * np.sqrt(0.5 * pi)
    log_tail = np.where(z > FAR_BELOW, np.log(np.maximum(tail, 1e-300)), -2.0 * np.log(size))
    near = np.maximum(z, -1.0)
    above = np.log(np.exp(-0.5 * near**2 - LOG_ROOT_2PI) + near * np.exp(log_normal_cdf(near)))
    return np.where(z > -1.0, above, -0.5 * z**2 - LOG_ROOT_2PI + log_tail)


def log_between(low: Array, high: Array) -> Array:
    """Return the log of the chance that a standard normal variable lies between *low* and *high*."""
    is_right = low > 0.0
    low, high = np.where(is_right, -high, low), np.where(is_right, -low, high)
    upper, lower = log_normal_cdf(high), log_normal_cdf(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = upper + np.log1p(-np.exp(lower - upper))
    return np.where(np.isnan(found), -np.inf, found)


def _density_ratio(z: Array, log_chance: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found = np.exp(np.minimum(-0.5 * z**2 - LOG_ROOT_2PI - log_chance, 700.0))
    return np.where(np.isfinite(z), found, 0.0)


def _finite(z: Array) -> Array:
    return np.where(np.isfinite(z), z, 0.0)


def _summed(by_mean: Array, mean: Array) -> Array:
    """Sum derivatives over draws where the draws share one mean."""
    return by_mean if by_mean.shape == mean.shape else by_mean.sum(axis=1, keepdims=True)


def log_success(good: Array, bad: Array) -> Array:
    """Return the log of the chance that a trial succeeds where *good* trials succeeded and *bad* ones failed close by.

    A place is sound, and one trial in five fails there by accident, or it is dead, and all fail; a success speaks for a
    sound one by 20 to 1. One failure makes a planner hesitate, each further one keeps it five times farther away, and a
    success close by takes the suspicion back.
    """
    return np.asarray(-np.logaddexp(0.0, BY_FAILURE * bad - BY_SUCCESS * good))


def _success(rows: Array, completed: Array, failed: Array) -> tuple[Array, Array]:
    """Return the log of the chance that a trial succeeds, and its gradient; trials count by their distance."""
    good, good_slopes = _near(rows, completed)
    bad, bad_slopes = _near(rows, failed)
    chance = log_success(good, bad)
    doubt = -np.expm1(chance)
    return chance, -doubt[:, None] * (BY_FAILURE * bad_slopes - BY_SUCCESS * good_slopes)


def _near(rows: Array, others: Array) -> tuple[Array, Array]:
    """Count *others* around each row, by a normal density of a tenth of the diagonal; with the gradient."""
    variance = 0.01 * max(rows.shape[1], 1)
    squared = ((rows[:, None, :] - others[None, :, :]) ** 2).sum(axis=2)
    counts = np.exp(-0.5 * squared / variance)
    slopes = (counts @ others - counts.sum(axis=1, keepdims=True) * rows) / variance
    return counts.sum(axis=1), slopes


def _restricted(form: LinearForm, row: Array, movable: Mask) -> tuple[Array, float, float]:
    """Return coefficients and limits of *form* for the movable columns, the others as they are."""
    coefficients = np.zeros(len(row))
    coefficients[form.columns] = form.coefficients
    held = float(coefficients[~movable] @ row[~movable])
    return coefficients[movable], form.lower - held, form.upper - held
