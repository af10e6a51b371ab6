"""Planners that look at where trials lie and not at what they gave: random, Sobol, Latin hypercube, grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion
from sdl.journal.records import Decision
from sdl.planners.domain import Candidates, Domain, is_among
from sdl.planners.encoding import Array, Point
from sdl.planners.framing import Question, framed
from sdl.planners.sequences import latin_hypercube, sobol
from sdl.problem import Problem
from sdl.problem.value import FrozenMap, Value, canonical_json

N_CANDIDATES = 1024
"""How many random points a spread design chooses from."""

CHUNK = 4096
"""How many grid points are made at a time."""

Fractions = Callable[[int, int, int], Array]
"""``fractions(start, n, dimension)``: points *start* to *start* + *n* of a sequence in the unit cube."""


class RandomPlanner(Value):
    """Proposes points drawn uniformly from what was not tried yet.

    Parameters
    ----------
    seed
        Makes two planners in one campaign differ.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "random"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        history, n, seed, domain = question.history, question.n, question.seed, question.domain
        rng = np.random.default_rng([self.seed, seed, len(history.entries)])
        tried = tried_rows(domain, history)
        if domain.is_listable:
            candidates = domain.unseen(tried, N_CANDIDATES, rng)
            candidates = candidates.only(rng.permutation(len(candidates)))
        else:
            candidates = _without_repeats(Candidates(domain.draw(n + 16, rng)), tried)
        decision = blank_decision(self.name, self.version, history, seed, "Drawn at random.")
        return [Suggestion(values=point, decision=decision) for point in legal_points(domain, candidates, n)]


class SobolPlanner(Value):
    """Proposes the points of one scrambled Sobol sequence, from the number of trials in the history on.

    The scrambling must stay the same through a campaign, while every request brings another seed. It is drawn from
    *seed* and from the first trial; only the request that finds no trial yet uses its own seed. Spaces with constraints
    or a pool have no such sequence: there the point farthest from all others is chosen from a random sample.

    Parameters
    ----------
    seed
        Makes two planners in one campaign differ.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "Sobol"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        history, n, seed, domain = question.history, question.n, question.seed, question.domain
        points, note = sobol_points(domain, history, n, own_seed=self.seed, seed=seed)
        decision = blank_decision(self.name, self.version, history, seed, note)
        return [Suggestion(values=point, decision=decision) for point in points]


class LatinHypercubePlanner(Value):
    """Proposes the points of a random Latin hypercube, and of another one when it is used up.

    Every parameter's range is cut into *n* slices, and each slice holds one point. What was said of
    :class:`SobolPlanner` about seeds, constraints and pools holds here too.

    Parameters
    ----------
    n
        How many points one hypercube has: the number of trials that are planned.
    seed
        Makes two planners in one campaign differ.
    """

    n: Annotated[int, Field(ge=1)] = 16
    seed: Annotated[int, Field(ge=0)] = 0
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "Latin hypercube"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        history, n, seed, domain = question.history, question.n, question.seed, question.domain
        scrambling = campaign_seed(history, self.seed, seed)

        def fractions(start: int, count: int, dimension: int) -> Array:
            first, last = start // self.n, (start + count - 1) // self.n
            blocks = [latin_hypercube(self.n, dimension, scrambling + block) for block in range(first, last + 1)]
            return np.vstack(blocks)[start - first * self.n :][:count]

        rng = np.random.default_rng([self.seed, seed, len(history.entries)])
        label = f"Latin hypercube of {self.n}"
        points, note = points_of_sequence(domain, history, n, fractions, label=label, rng=rng)
        decision = blank_decision(self.name, self.version, history, seed, note)
        return [Suggestion(values=point, decision=decision) for point in points]


class GridPlanner(Value):
    """Proposes the points of a full grid, one after the other, the last parameter varying fastest.

    Discrete and categorical parameters take all their levels. Grid points that break a constraint are left out. In a
    pool, the rows are taken in order.

    Parameters
    ----------
    levels
        How many values a continuous parameter takes, bounds included: one number for all, or one per name.
    """

    levels: Annotated[int, Field(ge=2)] | FrozenMap[Annotated[int, Field(ge=2)]] = 5
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "grid"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return the next *n* grid points that were not tried; fewer where the grid ends."""
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        history, n, seed, domain = question.history, question.n, question.seed, question.domain
        tried = domain.in_context(tried_rows(domain, history))
        points: list[Point] = []
        for candidates in self._chunks(domain, tried):
            points += legal_points(domain, candidates.only(~is_among(candidates.rows, tried)), n - len(points))
            if len(points) == n:
                break
        decision = blank_decision(self.name, self.version, history, seed, "The next grid point.")
        return [Suggestion(values=point, decision=decision) for point in points]

    def _chunks(self, domain: Domain, tried: Array) -> Iterator[Candidates]:
        if domain.space.pool is not None:
            yield domain.unseen(tried, len(domain.space.pool), np.random.default_rng(0))
            return
        yield from domain.grid([self._n_levels(code.name) for code in domain.free_codes], CHUNK)

    def _n_levels(self, name: str) -> int:
        return self.levels if isinstance(self.levels, int) else self.levels.get(name, 5)


# --- shared with the Bayesian planner ---------------------------------------------------------------------------------


def blank_decision(name: str, version: str, history: History, seed: int, note: str) -> Decision:
    """Return a decision record that says who, on what data, and *note*."""
    return Decision(
        planner=name,
        version=version,
        seed=seed,
        n_observed=len(history.completed),
        n_pending=len(history.pending),
        note=note,
    )


def placed(domain: Domain, entries: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """Return the entries that have a place in the space; data from elsewhere may lack a parameter or a choice."""
    return [entry for entry in entries if domain.encoding.can_encode(entry.values)]


def tried_rows(domain: Domain, history: History) -> Array:
    """Return the coordinates of every trial, whatever became of it, shape (n, columns)."""
    return domain.encoding.encode([entry.values for entry in placed(domain, history.entries)])


def campaign_seed(history: History, own_seed: int, seed: int) -> int:
    """Return a seed that stays the same from a campaign's first trial on, while the request's *seed* changes."""
    if not history.entries:
        return int(np.random.SeedSequence([own_seed, seed]).generate_state(1)[0])
    text = canonical_json(dict(history.entries[0].values))
    return int(np.random.SeedSequence([own_seed, *hashlib.sha256(text.encode()).digest()]).generate_state(1)[0])


def sobol_points(domain: Domain, history: History, n: int, *, own_seed: int, seed: int) -> tuple[list[Point], str]:
    """Return up to *n* new points of a Sobol sequence, and a sentence that says so."""
    scrambling = campaign_seed(history, own_seed, seed)

    def fractions(start: int, count: int, dimension: int) -> Array:
        return sobol(start, count, dimension, scrambling)

    rng = np.random.default_rng([own_seed, seed, len(history.entries)])
    return points_of_sequence(domain, history, n, fractions, label="scrambled Sobol sequence", rng=rng)


def points_of_sequence(
    domain: Domain, history: History, n: int, fractions: Fractions, *, label: str, rng: np.random.Generator
) -> tuple[list[Point], str]:
    """Return up to *n* new points of a sequence where the space is a box, else points spread by distance."""
    tried, start = tried_rows(domain, history), len(history.entries)
    if domain.is_box and domain.n_free:
        # Levels repeat: of a few more points than are wanted, the new ones are taken.
        rows = domain.place(fractions(start, 4 * n + 16, domain.n_free))
        candidates = _without_repeats(Candidates(rows), tried)
        points = legal_points(domain, candidates, n)
        if len(points) == n:
            return points, f"From number {start + 1} of a {label} on."
    return spread_points(domain, tried, n, rng), f"Far from all of the {len(tried)} points tried before."


def spread_points(domain: Domain, tried: Array, n: int, rng: np.random.Generator) -> list[Point]:
    """Return up to *n* new points, each of a random sample the farthest from those tried and chosen before.

    The maximin rule of Johnson, Moore and Ylvisaker, J. Stat. Plan. Inference 26, 131 (1990), one point at a time.
    """
    if domain.is_listable:
        candidates = domain.unseen(tried, N_CANDIDATES, rng)
    else:
        candidates = _without_repeats(Candidates(domain.draw(max(N_CANDIDATES // 4, 2 * n), rng)), tried)
    return legal_points(domain, candidates.only(_farthest_first(candidates.rows, tried, n, rng)), n)


def _farthest_first(
    rows: Array, tried: Array, n: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the numbers of up to *n* of *rows*, each the farthest from *tried* and from those chosen before."""
    nearest = np.full(len(rows), np.inf)
    for row in tried:
        nearest = np.minimum(nearest, np.linalg.norm(rows - row, axis=1))
    chosen: list[int] = []
    while len(chosen) < min(n, len(rows)):
        # The first of all lies anywhere: the point farthest from nothing would always be the first of the list.
        best = int(rng.integers(len(rows))) if not len(tried) and not chosen else int(nearest.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[best], axis=1))
        nearest[best] = -1.0
    return np.array(chosen, dtype=np.intp)


def _without_repeats(candidates: Candidates, tried: Array) -> Candidates:
    _, first = np.unique(np.round(candidates.rows, 9), axis=0, return_index=True)
    candidates = candidates.only(np.sort(first))
    return candidates.only(~is_among(candidates.rows, tried))


def legal_points(domain: Domain, candidates: Candidates, n: int) -> list[Point]:
    """Return the first *n* legal points of *candidates*."""
    points: list[Point] = []
    for index in range(len(candidates)):
        if len(points) >= n:
            break
        point = domain.point(candidates, index)
        if point is not None and point not in points:
            points.append(point)
    return points
