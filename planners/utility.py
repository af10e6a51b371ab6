"""What a person prefers among outcomes, learned from pairs.

A utility of the outcomes is a Gaussian process: its prior mean is the mean of the scores of all objectives, each in
units of its range, and its kernel is linear plus squared exponential: weights first, and bends where the answers ask
for them. An answer "a rather than b" has the chance of a normal distribution function of the difference in utility;
the posterior is Laplace's approximation. Source: Chu and Ghahramani, "Preference learning with Gaussian processes"
(ICML 2005).

* The next trial: the greatest expected improvement of the utility, with the outcomes as the models expect them; as in
  Lin, Astudillo, Frazier and Bakshy, "Preference exploration for efficient Bayesian optimization with multiple
  outcomes" (AISTATS 2022).
* The next question: the pair of trials with the greatest expected utility of the better one (EUBO, from the same).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np

from sdl.campaign.planner import HistoryEntry
from sdl.planners.acquisition import Evidence
from sdl.planners.criteria import Belief, Criterion
from sdl.planners.encoding import Array
from sdl.planners.goals import scores
from sdl.planners.improvement import LOG_ROOT_2PI, log_improvement
from sdl.planners.numerics import log_normal_cdf, normal_cdf, normal_draws
from sdl.planners.surrogate import Surrogate
from sdl.problem import Problem

Pairs = Sequence[tuple[int, int]]
"""Numbers of trials: the better one, then the worse one."""

LINEAR, BENT = 0.5, 0.3
"""Deviations of the linear and of the bent part of the utility, for scores that run from 0 to 1."""

LENGTHSCALE = 0.7
"""Of the bent part."""

DOUBT = 0.05
"""Of two outcomes whose utility differs by so much, the better one is named three times in four."""

N_DRAWS = 32
"""Draws of the outcomes at a point."""

N_STEPS = 50
JITTER = 1e-8
SMALLEST = 1e-9
MOST_PAIRS = 20_000
"""Pairs among which the next question is looked for."""


@dataclass(frozen=True)
class Utility:
    """What a person prefers, as far as his answers tell.

    Parameters
    ----------
    problem
        Its objectives are what the utility depends on.
    low, width
        Worst score seen of each objective, and its range, shape (objectives,).
    places
        The compared outcomes, as scores between 0 and 1, shape (items, objectives).
    weights
        Of the places in the posterior mean, shape (items,).
    shrink
        What the answers take off the prior covariance: ``k(z, z') - k(z) shrink k(z')``, shape (items, items).
    """

    problem: Problem
    low: Array
    width: Array
    places: Array
    weights: Array
    shrink: Array

    @classmethod
    def of(cls, problem: Problem, entries: Sequence[HistoryEntry], pairs: Pairs) -> Utility:
        """Learn from *pairs* of the completed trials *entries*; those of unknown trials are passed over."""
        raw = _scores_of(problem, entries)
        low, width = raw.min(axis=0), np.ptp(raw, axis=0)
        width = np.where(width > 0.0, width, 1.0)
        places = (raw - low) / width
        number = {entry.trial: place for place, entry in enumerate(entries)}
        known = [(number[a], number[b]) for a, b in pairs if a in number and b in number]
        chosen = sorted({place for pair in known for place in pair})
        at = {place: index for index, place in enumerate(chosen)}
        signs = np.zeros((len(known), len(chosen)))
        for row, (better, worse) in enumerate(known):
            signs[row, at[better]], signs[row, at[worse]] = 1.0, -1.0
        weights, shrink = _laplace(places[chosen], signs)
        return cls(problem, low, width, places[chosen], weights, shrink)

    def normalised(self, raw: Array) -> Array:
        """Return scores, shape (..., objectives), in units of their ranges."""
        return np.asarray((raw - self.low) / self.width)

    def mean(self, places: Array) -> Array:
        """Return the expected utility of normalised scores, shape (n, objectives), shape (n,)."""
        prior = places.mean(axis=1)
        return np.asarray(prior + _kernel(places, self.places) @ self.weights if len(self.places) else prior)

    def covariance(self, places: Array) -> Array:
        """Return the covariance of the utilities of *places*, shape (n, n)."""
        prior = _kernel(places, places)
        if not len(self.places):
            return prior
        cross = _kernel(places, self.places)
        return np.asarray(prior - cross @ self.shrink @ cross.T)


def _scores_of(problem: Problem, entries: Sequence[HistoryEntry]) -> Array:
    columns = [
        scores(o, np.array([e.observation.outcomes[o.outcome].value for e in entries if e.observation]))
        for o in problem.objectives
    ]
    return np.stack(columns, axis=1)


def places_of(utility: Utility, entries: Sequence[HistoryEntry]) -> Array:
    """Return the normalised scores of completed trials, shape (n, objectives)."""
    return utility.normalised(_scores_of(utility.problem, entries))


def _kernel(first: Array, second: Array) -> Array:
    squared = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(LINEAR**2 * first @ second.T + BENT**2 * np.exp(-0.5 * squared / LENGTHSCALE**2))


def _laplace(places: Array, signs: Array) -> tuple[Array, Array]:
    """Return the weights of the posterior mean, and what the answers take off the covariance.

    Newton's method on utilities beyond their prior mean; *signs*, shape (answers, items), is +1 for the better one.
    """
    n = len(places)
    if not len(signs):
        return np.zeros(n), np.zeros((n, n))
    kernel = _kernel(places, places) + JITTER * np.eye(n)
    prior: Array = places.mean(axis=1)
    utilities, gradient = np.zeros(n), np.zeros(n)
    precision: Array = np.zeros((n, n))
    for _ in range(N_STEPS):
        z: Array = signs @ (prior + utilities) / (sqrt(2.0) * DOUBT)
        ratio = np.exp(np.minimum(-0.5 * z**2 - LOG_ROOT_2PI - log_normal_cdf(z), 700.0))
        slopes = signs / (sqrt(2.0) * DOUBT)
        gradient = slopes.T @ ratio
        precision = slopes.T @ ((ratio * (ratio + z))[:, None] * slopes)
        aim = kernel @ (precision @ utilities + gradient)
        step: Array = np.linalg.solve(np.eye(n) + kernel @ precision, aim) - utilities
        utilities = utilities + step * min(1.0, 1.0 / max(float(np.abs(step).max()), SMALLEST))
        if float(np.abs(step).max()) < 1e-9:
            break
    shrink: Array = precision @ np.linalg.inv(np.eye(n) + kernel @ precision)
    return gradient, 0.5 * (shrink + shrink.T)


def utility_improvement(utility: Utility, surrogate: Surrogate, known: Evidence) -> Criterion:
    """Return the expected improvement of the utility on that of the best trial."""
    problem = utility.problem
    beliefs = [Belief.of(surrogate.fits[o.outcome], known.pending) for o in problem.objectives]
    normals = normal_draws(len(beliefs), N_DRAWS, 0)

    def utilities(rows: Array, draws: Array) -> Array:
        columns: list[Array] = []
        for belief, objective, drawn in zip(beliefs, problem.objectives, draws, strict=True):
            glance = belief.field.at(rows)
            latent = glance.mean[:, :1] + glance.deviation[:, None] * drawn
            with np.errstate(over="ignore", invalid="ignore"):
                columns.append(scores(objective, belief.fit.warp.backward(latent)))
        places = np.clip(np.nan_to_num(utility.normalised(np.stack(columns, axis=2))), -10.0, 10.0)
        return utility.mean(places.reshape(-1, places.shape[2])).reshape(places.shape[:2])

    rows = known.observed[known.feasible] if known.feasible.any() else known.observed
    best = float(utilities(rows, np.zeros((len(beliefs), 1))).max())

    def worth(rows: Array) -> Array:
        drawn = utilities(rows, normals)
        deviation = np.maximum(drawn.std(axis=1), SMALLEST)
        gains = deviation * np.exp(log_improvement((drawn.mean(axis=1) - best) / deviation))
        return np.asarray(gains * surrogate.chance_to_keep(problem.outcome_constraints, rows))

    return Criterion("log expected improvement of the utility", worth, known.observed, known.failed)


def next_question(
    utility: Utility, entries: Sequence[HistoryEntry], pairs: Pairs, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Return the two trials whose comparison promises the best better one; None where all pairs were compared."""
    asked = {frozenset(pair) for pair in pairs}
    places = utility.normalised(_scores_of(utility.problem, entries))
    open_pairs = [
        (a, b)
        for a, b in combinations(range(len(entries)), 2)
        if frozenset((entries[a].trial, entries[b].trial)) not in asked and bool((places[a] != places[b]).any())
    ]
    if not open_pairs:
        return None
    numbers = np.array(open_pairs, dtype=np.intp)
    if len(numbers) > MOST_PAIRS:
        numbers = numbers[np.sort(rng.choice(len(numbers), MOST_PAIRS, replace=False))]
    mean, covariance = utility.mean(places), utility.covariance(places)
    a, b = numbers.T
    spread = np.sqrt(np.maximum(covariance[a, a] + covariance[b, b] - 2.0 * covariance[a, b], SMALLEST**2))
    z = (mean[a] - mean[b]) / spread
    density = np.exp(-0.5 * z**2 - LOG_ROOT_2PI)
    value = mean[a] * normal_cdf(z) + mean[b] * normal_cdf(-z) + spread * density
    best = int(value.argmax())
    return entries[int(a[best])].trial, entries[int(b[best])].trial
