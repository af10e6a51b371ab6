"""Expected improvement of one objective, with noise, pending trials and outcome constraints, and its gradient.

What is not known at the places of past and pending trials (the noise, the outcome of what still runs) is drawn at
random from the model; given such a draw everything has a closed form, and the values are averages over draws: Letham,
Karrer, Ottoni and Bakshy, "Constrained Bayesian optimization with noisy experiments", Bayesian Analysis 14, 495 (2019).
All is computed in logarithms, after Ament et al., "Unexpected improvements to expected improvement" (NeurIPS 2023), so
that gradients lead uphill even where an improvement is out of sight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log, pi
from typing import Protocol

import numpy as np

from sdl.planners.domain import LinearForm, Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field, Glance
from sdl.planners.numerics import log_normal_cdf, minimise, minimise_within, normal_cdf, scaled_erfc

CHUNK = 2048
"""Rows that are evaluated at a time."""

AT_ONCE = 1_000_000
"""Numbers that are computed at a time, whatever rows they belong to."""

MANY_NUMBERS = 64_000_000
"""Numbers that a list of candidates may take."""

COSTLY = 256
"""A function whose rows take more numbers than this is asked for fewer rows."""

LOG_ROOT_2PI = 0.5 * log(2.0 * pi)

BY_FAILURE, BY_SUCCESS = log(5.0), log(20.0)
"""How much a failure and a success speak for a place where all trials fail, and for one where most succeed."""

TINY = 1e-300
"""Keeps logarithms finite."""

FAR_BELOW = -1e5
"""Below it ``log(1 - |z| erfcx(...))`` has lost its digits, and its limit for large arguments is exact enough."""


class Look(Protocol):
    """What a factor of the value is at some rows."""

    @property
    def values(self) -> Array:
        """The logarithm of the factor for each row and draw, shape (n, draws), or (n, 1) where the draws agree."""
        ...

    def slopes(self, weights: Array) -> Array:
        """Return the gradient of the average, where draws have *weights*, shape (n, draws); shape (n, columns)."""
        ...


class Factor(Protocol):
    """What the value of a point is a product of: a gain, or the chance to keep a limit."""

    @property
    def width(self) -> int:
        """How many numbers a row takes, about."""
        ...

    def look(self, rows: Array) -> Look:
        """Return logarithm and derivatives at *rows*, shape (n, columns)."""
        ...


@dataclass(frozen=True)
class Limit:
    """An outcome constraint: the standardised outcome of *field* is to lie between *lower* and *upper*."""

    field: Field
    lower: float
    upper: float

    @property
    def width(self) -> int:
        """How many numbers a row takes."""
        return 1

    def look(self, rows: Array) -> Look:
        """Return the log of the chance that the limit is kept."""
        glance = self.field.at(rows)
        deviation = glance.deviation[:, None]
        low, high = (self.lower - glance.mean) / deviation, (self.upper - glance.mean) / deviation
        chance = log_between(low, high)
        by_low, by_high = -density_ratio(low, chance), density_ratio(high, chance)
        by_deviation = -(_finite(low) * by_low + _finite(high) * by_high) / deviation
        by_mean = -(by_low + by_high) / deviation
        return Part(glance, chance, lambda: (by_mean, by_deviation))


@dataclass(frozen=True)
class Gain:
    """What is to be improved: *sign* times the standardised outcome of *field*, above *bests*, one for each draw."""

    field: Field
    sign: float
    bests: Array

    @property
    def width(self) -> int:
        """How many numbers a row takes."""
        return self.bests.size

    def look(self, rows: Array) -> Look:
        """Return the log of the expected improvement."""
        glance = self.field.at(rows)
        deviation = glance.deviation[:, None]
        z = (self.sign * glance.mean - self.bests) / deviation
        shape = log_improvement(z)
        return Part(glance, np.log(deviation) + shape, partial(self._derivatives, z, shape, deviation))

    def _derivatives(self, z: Array, shape: Array, deviation: Array) -> tuple[Array, Array]:
        ratio = np.exp(np.minimum(log_normal_cdf(z) - shape, 700.0))
        return self.sign * ratio / deviation, (1.0 - ratio * z) / deviation


@dataclass(frozen=True)
class Approach:
    """How much nearer to a target an outcome is expected to come than the best trial is.

    The integral, over all distances below the best, of the chance to be nearer; a weighted sum stands for it.

    Parameters
    ----------
    field
        The model of the outcome.
    lower, upper
        Between which standardised outcomes the distance is less than at each node, shape (draws, nodes).
    weights
        The weights of the nodes, shape (draws, nodes).
    """

    field: Field
    lower: Array
    upper: Array
    weights: Array

    @property
    def width(self) -> int:
        """How many numbers a row takes."""
        return self.weights.size

    def look(self, rows: Array) -> Look:
        """Return the log of the expected approach."""
        glance = self.field.at(rows)
        return self.part(glance, glance.mean)

    def part(self, glance: Glance, means: Array) -> Part:
        """Return the log of the expected approach where the *means* are those of the draws, shape (n, draws)."""
        deviation = glance.deviation[:, None, None]
        low, high = ((edge - means[:, :, None]) / deviation for edge in (self.lower, self.upper))
        chances = log_between(low, high) + np.log(self.weights)
        peak = _finite(chances.max(axis=2, keepdims=True))
        total = peak + np.log(np.maximum(np.exp(chances - peak).sum(axis=2, keepdims=True), TINY))
        by_low = -self.weights * density_ratio(low, total)
        by_high = self.weights * density_ratio(high, total)
        by_deviation = -(_finite(low) * by_low + _finite(high) * by_high) / deviation
        derivatives = (-(by_low + by_high) / deviation).sum(axis=2), by_deviation.sum(axis=2)
        return Part(glance, total[:, :, 0], lambda: derivatives)


class Improvement:
    """Log of a product of factors, of an improvement and the chances to keep limits, averaged over draws.

    Parameters
    ----------
    name
        What decision records call it.
    factors
        What the value is a product of, in every draw.
    completed, failed
        Rows of completed and failed trials: they tell the chance that a trial succeeds at all, :func:`log_success`.
    """

    def __init__(self, name: str, factors: Sequence[Factor], completed: Array, failed: Array) -> None:
        self.name = f"{name} with chance of success" if len(failed) else name
        self._factors = tuple(factors)
        self._completed = completed
        self._failed = failed
        self._width = max((factor.width for factor in self._factors), default=1)

    @property
    def max_candidates(self) -> int:
        """How many candidates of a list are evaluated at most."""
        return min(1_000_000, MANY_NUMBERS // self._width)

    @property
    def is_costly(self) -> bool:
        """Whether a value takes several times longer than the usual."""
        return self._width > COSTLY

    def values(self, rows: Array) -> Array:
        """Return the value at each row, shape (n,); minus infinity where it is not a number."""
        size = min(CHUNK, max(1, AT_ONCE // self._width))
        chunks = (rows[start : start + size] for start in range(0, len(rows), size))
        found = [np.zeros(0), *(self.evaluate(chunk, with_slopes=False)[0] for chunk in chunks)]
        return np.nan_to_num(np.concatenate(found), nan=-np.inf, posinf=-np.inf)

    def evaluate(self, rows: Array, *, with_slopes: bool = True) -> tuple[Array, Array]:
        """Return values, shape (n,), and gradients, shape (n, columns), at *rows*; no gradients unless asked for."""
        parts = [factor.look(rows) for factor in self._factors]
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
class Part:
    """A factor that one field tells.

    Parameters
    ----------
    values
        Its logarithm for each row and draw, shape (n, draws).
    derivatives
        Returns the derivatives of that with respect to means and deviations, in the same shape.
    """

    glance: Glance
    values: Array
    derivatives: Callable[[], tuple[Array, Array]]

    def slopes(self, weights: Array) -> Array:
        """Return the gradient of the average, where draws have *weights*, shape (n, draws)."""
        by_mean, by_deviation = self.derivatives()
        return self.glance.back(summed(weights * by_mean, self.glance.mean), (weights * by_deviation).sum(axis=1))


def log_improvement(z: Array) -> Array:
    """Return the log of the expected positive part of a normal variable of mean *z* and deviation 1."""
    found, is_far = np.empty_like(z), z <= -1.0
    near, far = z[~is_far], z[is_far]
    found[~is_far] = np.log(np.exp(-0.5 * near**2 - LOG_ROOT_2PI) + near * normal_cdf(near))
    tail = 1.0 + far * scaled_erfc(-far / np.sqrt(2.0)) * np.sqrt(0.5 * pi)
    log_tail = np.where(far > FAR_BELOW, np.log(np.maximum(tail, TINY)), -2.0 * np.log(-far))
    found[is_far] = -0.5 * far**2 - LOG_ROOT_2PI + log_tail
    return found


def log_between(low: Array, high: Array) -> Array:
    """Return the log of the chance that a standard normal variable lies between *low* and *high*."""
    is_right = low > 0.0
    low, high = np.where(is_right, -high, low), np.where(is_right, -low, high)
    upper, lower = log_normal_cdf(high), log_normal_cdf(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = upper + np.log1p(-np.exp(lower - upper))
    return np.where(np.isnan(found), -np.inf, found)


def density_ratio(z: Array, log_chance: Array) -> Array:
    """Return the standard normal density at *z* over a chance whose logarithm is given; 0 at infinite *z*."""
    with np.errstate(invalid="ignore"):
        found = np.exp(np.minimum(-0.5 * z**2 - LOG_ROOT_2PI - log_chance, 700.0))
    return np.where(np.isfinite(z), found, 0.0)


def _finite(z: Array) -> Array:
    return np.where(np.isfinite(z), z, 0.0)


def summed(by_mean: Array, mean: Array) -> Array:
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
