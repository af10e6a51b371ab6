"""Where an acquisition function is greatest, among legal points that were not tried.

* Spaces that can be listed and pools: every new candidate is evaluated (a random part of very large ones).
* All others: feasible points are drawn, all over the space and near the best trials; from the best of them, far apart,
  gradients lead uphill in the continuous coordinates while levels are held; then every change of one level is tried,
  and the climb repeated where one helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sdl.planners.domain import Candidates, Domain, LinearForm, Mask, is_near
from sdl.planners.encoding import Array, Point

N_DRAWS = 512
"""Points drawn all over a space that is no list; half as many where drawing is slow because of constraints."""

N_NEARBY = 256
"""Points drawn near the best trials."""

COST = 4
"""By so much the two numbers above shrink for a costly function."""

NEARBY_STEPS = (-3.0, -0.5)
"""How far those lie from a best trial: powers of ten of the way to a random point."""

N_STARTS = 6
"""Gradient searches."""

MAX_ITERATIONS = 50
"""Iterations of a gradient search."""

LEVEL_ROUNDS = 2
"""How often changes of level are tried."""

APART = 0.1
"""Starts and runners-up differ by so much in at least one coordinate, where there are enough of them."""

N_RUNNERS_UP = 3


class RowFunction(Protocol):
    """A function of rows that can be climbed: an acquisition function."""

    @property
    def name(self) -> str:
        """What decision records call it."""
        ...

    @property
    def is_costly(self) -> bool:
        """Whether a value takes several times longer than the usual."""
        ...

    @property
    def max_candidates(self) -> int:
        """How many candidates of a list are evaluated at most."""
        ...

    def values(self, rows: Array) -> Array:
        """Return the value at each row; minus infinity where there is none."""
        ...

    def climb(self, starts: Array, movable: Mask, forms: Sequence[LinearForm], max_iterations: int) -> Array:
        """Return where gradients lead from each start."""
        ...


@dataclass(frozen=True)
class Ranked:
    """A legal point with its coordinates and its value."""

    row: Array
    point: Point
    value: float


@dataclass(frozen=True)
class Ranking:
    """The best legal points found, best first, far apart from one another; *note* says what was left out."""

    best: list[Ranked]
    note: str = ""


def maximise(function: RowFunction, domain: Domain, avoid: Array, centres: Array, rng: np.random.Generator) -> Ranking:
    """Return the best new points for *function*: none where every point was tried.

    Parameters
    ----------
    function
        What is to be made large.
    domain
        What may be chosen.
    avoid
        Rows that may not be proposed again, shape (n, columns).
    centres
        Rows of the best trials, to search nearby, shape (m, columns).
    rng
        The source of chance.

    Raises
    ------
    FloatingPointError
        The function has no finite value anywhere.
    """
    if domain.is_listable:
        return _best_of_list(function, domain, avoid, rng)
    return _best_of_continuum(function, domain, avoid, centres, rng)


def _best_of_list(function: RowFunction, domain: Domain, avoid: Array, rng: np.random.Generator) -> Ranking:
    candidates = domain.unseen(avoid, function.max_candidates, rng)
    note = "" if candidates.is_complete else f"Only {len(candidates)} candidates, drawn at random, were compared."
    values = function.values(candidates.rows)
    _require_numbers(values)
    return Ranking(_ranked(domain, candidates, values, avoid), note)


def _best_of_continuum(
    function: RowFunction, domain: Domain, avoid: Array, centres: Array, rng: np.random.Generator
) -> Ranking:
    drawn = _draws(domain, centres, _cost(function), rng)
    drawn_values = function.values(drawn)
    _require_numbers(drawn_values)
    climbed = _climb(function, domain, drawn[_apart(drawn, drawn_values, N_STARTS)])
    for _ in range(LEVEL_ROUNDS):
        improved, is_improved = _change_levels(function, domain, climbed)
        if not is_improved.any():
            break
        improved[is_improved] = _climb(function, domain, improved[is_improved])
        climbed = improved
    rows = np.vstack([climbed, drawn])
    values = np.concatenate([function.values(climbed), drawn_values])
    best = _ranked(domain, Candidates(rows), values, avoid)
    is_drawn = bool(best) and best[0].value < values[: len(climbed)].max() and best[0].value in drawn_values
    note = "The points that gradients led to were tried before or break a constraint; the best point drawn was taken."
    return Ranking(best, note if is_drawn else "")


def _require_numbers(values: Array) -> None:
    if len(values) and not np.isfinite(values).any():
        raise FloatingPointError("the acquisition function is nowhere finite")


def _cost(function: RowFunction) -> int:
    return COST if function.is_costly else 1


def _draws(domain: Domain, centres: Array, cost: int, rng: np.random.Generator) -> Array:
    drawn = domain.draw((N_DRAWS if domain.is_box else N_DRAWS // 2) // cost, rng)
    if not len(centres):
        return drawn
    n = N_NEARBY // cost
    partners, middles = drawn[rng.integers(len(drawn), size=n)], centres[rng.integers(len(centres), size=n)]
    steps = 10.0 ** rng.uniform(*NEARBY_STEPS, size=n)
    return np.vstack([drawn, domain.between(domain.in_context(middles), partners, steps, rng)])


def _climb(function: RowFunction, domain: Domain, starts: Array) -> Array:
    """Climb from every start; starts that hold different coordinates are climbed apart."""
    climbed, forms = starts.copy(), domain.linear_forms()
    masks = np.array([domain.movable(row) for row in starts])
    for mask in np.unique(masks, axis=0):
        if mask.any():
            same = (masks == mask).all(axis=1)
            climbed[same] = function.climb(np.clip(starts[same], 0.0, 1.0), mask, forms, MAX_ITERATIONS)
    return np.where(np.isfinite(climbed), climbed, starts)


def _change_levels(function: RowFunction, domain: Domain, rows: Array) -> tuple[Array, Mask]:
    """Return each row with the best change of one level, and which rows gained by theirs."""
    changed, gained = rows.copy(), np.zeros(len(rows), dtype=bool)
    values = function.values(rows)
    for number, row in enumerate(rows):
        neighbours = domain.neighbours(row)
        if len(neighbours):
            around = function.values(neighbours)
            if around.max() > values[number] + 1e-9:
                changed[number], gained[number] = neighbours[around.argmax()], True
    return changed, gained


def _apart(rows: Array, values: Array, n: int) -> list[int]:
    """Return the numbers of up to *n* rows of great value that lie apart, best first."""
    chosen: list[int] = []
    for number in np.argsort(-values, kind="stable"):
        if len(chosen) == n:
            break
        if all(np.abs(rows[number] - rows[other]).max(initial=0.0) > APART for other in chosen):
            chosen.append(int(number))
    return chosen


def _ranked(domain: Domain, candidates: Candidates, values: Array, avoid: Array) -> list[Ranked]:
    """Return the best legal new point, and the runners-up that lie apart from it and from one another."""
    best: list[Ranked] = []
    for number in np.argsort(-values, kind="stable"):
        row = candidates.rows[number]
        is_apart = all(np.abs(row - other.row).max(initial=0.0) > APART for other in best)
        if not is_apart or is_near(row, avoid):
            continue
        point = domain.point(candidates, int(number))
        if point is not None and all(point != other.point for other in best):
            best.append(Ranked(row, point, float(values[number])))
        if len(best) > N_RUNNERS_UP:
            break
    return best
