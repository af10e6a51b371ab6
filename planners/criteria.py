"""How much a measurement would teach: criteria for exploration, as functions of rows that can be maximised.

The first two look ahead: what is compared is not how little is known of a point, but how much less doubt a measurement
there would leave in the whole space. The difference shows at the edges, where doubt is greatest, and least of the space
profits.

* Of a function: the integrated posterior variance that vanishes. Source: Cohn, Ghahramani and Jordan, "Active learning
  with statistical models", J. Artif. Intell. Res. 4, 129 (1996); for Gaussian processes Seo, Wallat, Graepel and
  Obermayer, "Gaussian process regression: active data selection and test point rejection" (IJCNN 2000).
* Of a set: the integrated variance of the membership, p (1 - p), that is expected to vanish. Source: Bect, Ginsbourger,
  Li, Picheny and Vazquez, "Sequential design of computer experiments for the estimation of a probability of failure",
  Stat. Comput. 22, 773 (2012); Chevalier et al., "Fast parallel kriging-based stepwise uncertainty reduction with
  application to the identification of an excursion set", Technometrics 56, 455 (2014).
* Of what outcomes there are: Stein novelty. Source: Terayama et al., "Pushing property limits in materials discovery
  via boundless objective-free exploration", Chem. Sci. 11, 5959 (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from sdl.planners.domain import LinearForm, Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field, Glance
from sdl.planners.improvement import Improvement
from sdl.planners.many import believing, field_of
from sdl.planners.numerics import owen
from sdl.planners.outcome import OutcomeFit

N_REFERENCES = 128
"""Points all over the space that stand for the whole of it."""

MAX_CANDIDATES = 20_000
"""Candidates of a list that are compared."""

STEP = 1e-4
"""Of the central differences that stand for gradients, in units of the coordinates."""

N_STEPS = 12
"""Iterations of a climb: a point close to the best teaches as much as the best."""

SMALLEST = 1e-300

CURIOSITY = 1e-3
"""Weight of the plain variance beside the doubt about a set: where the model has none left it may be wrong."""


@dataclass(frozen=True)
class Belief:
    """A Gaussian process that knows of pending trials: as if they had given what is expected of them.

    The variance of a Gaussian process does not depend on what is measured, so conditioning on pending trials is exact
    for variances; means stay as they are.
    """

    fit: OutcomeFit
    field: Field

    @classmethod
    def of(cls, fit: OutcomeFit, pending: Array) -> Belief:
        """Return what *fit* expects once the trials at the rows *pending* are measured."""
        field = field_of(fit)
        return cls(fit, believing(fit, field, pending) if len(pending) else field)

    def shifts(self, rows: Array, references: Glance) -> Array:
        """Return by how much a measurement at each row would move the means, shape (rows, references).

        Standard deviations, known in advance: their squares are the variance that vanishes.
        """
        glance = self.field.at(rows)
        spread = np.sqrt(glance.deviation**2 + self.fit.next_noise)
        return np.asarray(self.field.covariance(glance, references) / spread[:, None])


class Criterion(Improvement):
    """The log of what a measurement teaches, plus the log of the chance that it succeeds; climbed like an improvement.

    Parameters
    ----------
    name
        What decision records call it.
    worth
        ``worth(rows)``: what is learned at each row, not negative, shape (n,).
    completed, failed
        Rows of completed and failed trials, which the chance of success is judged by.
    """

    def __init__(self, name: str, worth: Callable[[Array], Array], completed: Array, failed: Array) -> None:
        super().__init__(name, (), completed, failed)
        self._worth = worth

    @property
    def max_candidates(self) -> int:
        """How many candidates of a list are evaluated at most."""
        return MAX_CANDIDATES

    def evaluate(self, rows: Array, *, with_slopes: bool = True) -> tuple[Array, Array]:
        """Return values, shape (n,), and gradients by central differences, shape (n, columns)."""
        chance, chance_slopes = super().evaluate(rows, with_slopes=with_slopes)
        values = chance + self._log_worth(rows)
        if not with_slopes:
            return values, chance_slopes
        n, columns = rows.shape
        steps = STEP * np.eye(columns)
        around = (rows[:, None, None, :] + np.stack([steps, -steps])[None]).reshape(-1, columns)
        sides = self._log_worth(around).reshape(n, 2, columns)
        return values, chance_slopes + (sides[:, 0] - sides[:, 1]) / (2.0 * STEP)

    def climb(self, starts: Array, movable: Mask, forms: Sequence[LinearForm], max_iterations: int) -> Array:
        """Return where a short gradient search in the *movable* columns leads from each of *starts*."""
        return super().climb(starts, movable, forms, min(max_iterations, N_STEPS))

    def _log_worth(self, rows: Array) -> Array:
        return np.asarray(np.log(np.maximum(self._worth(rows), SMALLEST)))


def variance_reduction(beliefs: Sequence[Belief], references: Array) -> Callable[[Array], Array]:
    """Return how much of the variance at *references* a measurement takes away: shares, summed over outcomes."""
    glances = [belief.field.at(references) for belief in beliefs]

    def worth(rows: Array) -> Array:
        total = np.zeros(len(rows))
        for belief, glance in zip(beliefs, glances, strict=True):
            total += (belief.shifts(rows, glance) ** 2).mean(axis=1) / belief.fit.hyperparameters.amplitude
        return total

    return worth


@dataclass(frozen=True)
class Border:
    """A level of a standardised outcome that is to be located."""

    belief: Belief
    level: float


def doubt_reduction(borders: Sequence[Border], references: Array) -> Callable[[Array], Array]:
    """Return how much of the doubt on which side of *borders* the *references* lie a measurement takes away.

    With ``h`` the distance of the mean from the level in deviations ``s``, and ``d`` the shift that a measurement will
    cause, the chance p to lie above has the variance ``p (1 - p) = 2 T(h, 1)``, and its expectation after the
    measurement is ``2 T(h, sqrt((s^2 - d^2) / (s^2 + d^2)))``, where T is Owen's function.
    """
    glances = [border.belief.field.at(references) for border in borders]
    distances = [(g.mean[:, 0] - b.level) / g.deviation for b, g in zip(borders, glances, strict=True)]
    doubts = [owen(distance, np.ones(len(distance))) for distance in distances]

    def worth(rows: Array) -> Array:
        total = np.zeros(len(rows))
        for border, glance, distance, doubt in zip(borders, glances, distances, doubts, strict=True):
            squares = border.belief.shifts(rows, glance) ** 2
            share = np.minimum(squares / glance.deviation**2, 1.0)
            after = owen(distance[None, :], np.sqrt((1.0 - share) / (1.0 + share)))
            total += 2.0 * np.maximum(doubt[None, :] - after, 0.0).mean(axis=1)
            total += CURIOSITY * squares.mean(axis=1) / border.belief.fit.hyperparameters.amplitude
        return total

    return worth


def borders_of(belief: Belief, lower: float, upper: float) -> list[Border]:
    """Return the borders of a range in the outcome's unit; an infinite limit is none."""
    levels = belief.fit.warp.forward(np.array([limit for limit in (lower, upper) if isfinite(limit)]))
    return [Border(belief, float(level)) for level in levels if abs(float(level)) < inf]


def stein_novelty(known: Array, predicted: Callable[[Array], Array], bandwidth: float) -> Callable[[Array], Array]:
    """Return how much nearer to an even spread the outcomes come, by the kernelised Stein discrepancy.

    For the uniform distribution the Stein kernel is the trace of the mixed derivatives of a kernel, here a normal one:
    ``(k / h^2 - r^2 / h^4) exp(-r^2 / (2 h^2))`` for k outcomes at distance r.

    Parameters
    ----------
    known
        Outcomes in comparable units, shape (n, outcomes).
    predicted
        ``predicted(rows)``: draws of what is expected at rows, shape (draws, rows, outcomes).
    bandwidth
        h.
    """
    k = known.shape[1]

    def kernel(squared: Array) -> Array:
        scaled = squared / bandwidth**2
        return np.asarray((k - scaled) * np.exp(-0.5 * np.minimum(scaled, 1400.0)))

    def worth(rows: Array) -> Array:
        total = np.zeros(len(rows))
        draws = predicted(rows)
        for drawn in draws:
            squared = np.zeros((len(rows), len(known)))
            for column in range(k):
                squared += (drawn[:, column, None] - known[None, :, column]) ** 2
            # Shifted so that it is positive; the kernel is never above k, and the greatest worth lies below 2 each.
            total += k - kernel(squared).mean(axis=1)
        return total / len(draws)

    return worth
