"""The planner that answers when the chosen one cannot: it fills the space, and needs nothing to do so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from sdl.campaign.planner import History, Situation, Suggestion
from sdl.journal.records import Decision, ParameterValue
from sdl.problem import Problem, SearchSpace
from sdl.problem.value import Value

N_CANDIDATES = 256
"""How many random points are compared for each suggestion."""


class SpaceFillingFallback(Value):
    """Proposes, of many random feasible points, the one farthest from every point that was tried or is pending.

    Distance is Euclidean on parameters scaled to [0, 1] (log parameters on their logarithm), and 1 between different
    categories. This is the sequential maximin design of Johnson, Moore and Ylvisaker, J. Stat. Plan. Inference 26, 131
    (1990), on a random candidate set.
    """

    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "space-filling fall-back"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return up to *n* suggestions; fewer where the space holds no more new points."""
        rng = np.random.default_rng(seed)
        candidates = problem.space.sample(N_CANDIDATES, rng, context=situation.context)
        pending = {_key(entry.values) for entry in history.pending}
        candidates = [candidate for candidate in candidates if _key(candidate) not in pending]
        tried = _scaled(problem.space, [entry.values for entry in history.entries])
        places = _scaled(problem.space, candidates)
        decision = Decision(
            planner=self.name,
            version=self.version,
            seed=seed,
            n_observed=len(history.completed),
            n_pending=len(history.pending),
            note=f"Chosen to lie far from the {len(history.entries)} points tried before.",
        )
        return [Suggestion(values=candidates[i], decision=decision) for i in _farthest(places, tried, n)]


def _key(values: Mapping[str, ParameterValue]) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(sorted(values.items()))


def _farthest(places: np.ndarray, tried: np.ndarray, n: int) -> list[int]:
    """Choose up to *n* rows of *places*, each the farthest from *tried* and from those chosen before it."""
    nearest = np.full(len(places), np.inf)
    for row in tried:
        nearest = np.minimum(nearest, np.linalg.norm(places - row, axis=1))
    chosen: list[int] = []
    while len(chosen) < min(n, len(places)):
        best = int(np.argmax(nearest))
        if chosen and nearest[best] <= 0:
            break
        chosen.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return chosen


def _scaled(space: SearchSpace, points: Sequence[Mapping[str, ParameterValue]]) -> np.ndarray:
    """Return *points* as an array (n points, n coordinates) in which every parameter spans 0 to 1."""
    columns: list[list[float]] = []
    for name in space.free:
        parameter = space.parameters[name]
        if parameter.kind == "categorical":
            half = math.sqrt(0.5)  # two different one-hot rows then lie 1 apart
            columns += [[half * (point[name] == choice) for point in points] for choice in parameter.choices]
            continue
        low, high = space.bounds[name]
        is_log = parameter.kind == "continuous" and parameter.log
        scale = math.log if is_log else float
        width = (scale(high) - scale(low)) or 1.0
        columns.append([(scale(float(point[name])) - scale(low)) / width for point in points])
    return np.array(columns, dtype=float).reshape(len(columns), len(points)).T
