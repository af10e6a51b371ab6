"""Which completed trials are the best, kept up to date trial by trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sdl.campaign.trials import TrialRecord
from sdl.journal.trust import Role
from sdl.problem import Measurement, Problem


class Ranking:
    """The best trial of one objective, or the Pareto front of several.

    Attributes
    ----------
    best
        The best trial; None with several objectives, or where none is feasible.
    undominated
        The front with several objectives, each with its scores.
    completed_since_best
        How many trials of the search were taken in after the best, or after the last that joined the front.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.best: TrialRecord | None = None
        self._best_score = -float("inf")
        self.undominated: list[tuple[TrialRecord, tuple[float, ...]]] = []
        self.completed_since_best = 0

    def take(self, record: TrialRecord, outcomes: Mapping[str, Measurement]) -> None:
        """Take in a completed trial; one at an approximation of what counts is passed over."""
        if not self._problem.space.counts(record.proposal.values):
            return
        self.completed_since_best += record.role is Role.SEARCH
        if not self._problem.is_feasible(outcomes):
            return
        score = self._problem.score(outcomes)
        if len(self._problem.objectives) > 1:
            self._take_into_front(record, score)
            return
        (first,) = score
        if first > self._best_score:
            self.best, self._best_score, self.completed_since_best = record, first, 0

    def _take_into_front(self, record: TrialRecord, score: tuple[float, ...]) -> None:
        if any(_dominates(other, score) for _, other in self.undominated):
            return
        if all(other != score for _, other in self.undominated):
            self.completed_since_best = 0
        self.undominated = [(kept, other) for kept, other in self.undominated if not _dominates(score, other)]
        self.undominated.append((record, score))


def _dominates(a: Iterable[float], b: Iterable[float]) -> bool:
    pairs = list(zip(a, b, strict=True))
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)
