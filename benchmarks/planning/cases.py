"""What a case of the benchmark is: a question, the truth behind it, and how far from the best an answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from planning.functions import Array
from planning.wire import Goal, Limit, Point, Question, at_most_zero, unscored

Outcomes = Mapping[str, float]

REVISION = 1
"""Part of the key of every result: raise it when a case changes, and old results are not mixed with new ones."""

FIRST_HELD_BACK = 10_001
"""Instances from this seed on are for judging; smaller seeds are for development."""


@dataclass(frozen=True)
class Case:
    """One instance of a problem.

    Parameters
    ----------
    truth
        The outcomes without noise at a point.
    measure
        The outcomes that trial number so-and-so would measure at a point.
    best
        The best that there is: a goal's value turned so that less is better, or the hypervolume for several goals.
    worst
        The gap that counts until something has been found that keeps all limits.
    threshold
        The gap that counts as found.
    duration
        The hours that a trial takes, by its number, where trials end one by one; None where they end together.
    close
        Frees what the case holds.
    """

    name: str
    seed: int
    question: Question
    truth: Callable[[Point], Outcomes]
    measure: Callable[[Point, int], Outcomes]
    best: float
    worst: float
    threshold: float
    duration: Callable[[int], float] | None = None
    close: Callable[[], None] = lambda: None

    def gaps(self, truths: Sequence[Outcomes]) -> list[float]:
        """Return how far from the best the trials are after each of them.

        One goal: the regret, which is the best true value so far minus the best that there is. Several: the part of
        the hypervolume that is still missing. What breaks a limit counts for nothing.
        """
        kept = [self.is_kept(outcomes) for outcomes in truths]
        scores = np.array([unscored(self.question.goals, outcomes) for outcomes in truths])
        if scores.shape[1] == 1:
            regrets = np.where(kept, scores[:, 0] - self.best, self.worst)
            return [max(0.0, min(self.worst, float(gap))) for gap in np.minimum.accumulate(regrets)]
        reference = reference_of(self.question.goals)
        shares = [hypervolume(scores[: n + 1][kept[: n + 1]], reference) / self.best for n in range(len(truths))]
        return [max(0.0, 1.0 - share) for share in shares]

    def is_kept(self, outcomes: Outcomes) -> bool:
        """Tell whether *outcomes* keep all limits."""
        return all(excess <= 0 for excess in at_most_zero(self.question.limits, outcomes))


def reference_of(goals: Sequence[Goal]) -> Array:
    """Return the reference point, turned so that less is better."""
    return np.array([(-1.0 if goal.is_maximized else 1.0) * (goal.reference or 0.0) for goal in goals])


def hypervolume(points: Array, reference: Array) -> float:
    """Return the volume that *points* dominate up to *reference*; less is better. Exact, for few points or two goals.

    Sweeps along the last goal and adds slices of the others.
    """
    points = points[np.all(points < reference, axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1])]
    if points.shape[1] == 2:
        lowest = np.minimum.accumulate(points[:, 0])
        heights = np.diff(np.r_[points[:, 1], reference[1]])
        return float(np.sum((reference[0] - lowest) * heights))
    heights = np.diff(np.r_[points[:, -1], reference[-1]])
    return float(
        sum(
            height * hypervolume(points[: n + 1, :-1], reference[:-1]) for n, height in enumerate(heights) if height > 0
        )
    )


def with_noise(
    truth: Callable[[Point], Outcomes], deviations: Mapping[str, float], seed: int
) -> Callable[[Point, int], Outcomes]:
    """Return a measurement of *truth* whose noise depends on *seed* and the number of the trial alone.

    So every planner meets the same noise in its n-th trial, and comparisons over seeds are paired.
    """
    return partial(_noisy, truth, dict(deviations), seed)


def _noisy(
    truth: Callable[[Point], Outcomes], deviations: Mapping[str, float], seed: int, point: Point, trial: int
) -> Outcomes:
    draws = np.random.default_rng([seed, trial, 77]).normal(size=len(deviations))
    outcomes = dict(truth(point))
    for (name, deviation), draw in zip(deviations.items(), draws, strict=True):
        outcomes[name] += deviation * float(draw)
    return outcomes


def uneven_hours(seed: int) -> Callable[[int], float]:
    """Return durations that differ by a factor of about four: a logarithmic normal with a deviation of 0.7."""
    return lambda trial: float(np.exp(0.7 * np.random.default_rng([seed, trial, 99]).normal()))


def exact(truth: Callable[[Point], Outcomes]) -> Callable[[Point, int], Outcomes]:
    """Return a measurement without noise."""
    return lambda point, _trial: truth(point)


def limits_below(names: Sequence[str], bound: float = 0.0) -> tuple[Limit, ...]:
    """Return limits that keep outcomes at or below *bound*."""
    return tuple(Limit(name, upper=bound) for name in names)
