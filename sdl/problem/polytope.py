"""Points drawn uniformly from polytopes: elimination of equalities, inner points, and hit-and-run.

A :class:`Region` is ``{u in [0, 1]^n : lower <= matrix @ u + shift <= upper}``, where every *shift* (shape ``(rows,)``)
gives another polytope of one family: what discrete parameters add to the sums. Rows with equal limits are equalities;
each takes one coordinate out (a *dependent* one), so that points are described by the remaining, *independent* ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]

EPSILON = 1e-12
"""How far outside [0, 1] rounding may put a coordinate; it is moved to the edge then."""

THIN = 1e-9
"""An inner radius below this, in units of the box, is none: the polytope is flat."""

_N_PARTICLES = 256
"""Points of the first walk, from which later ones start."""

_N_SHIFTS = 8
"""Polytopes looked into at a time."""

# The first walk ends when the points spread no further in any direction.
_MIN_TURNS, _MAX_TURNS, _GROWTH = 2, 20, 1.3


@dataclass(frozen=True)
class Chord:
    """Where lines lie within polytopes: the part of line *i* in polytope ``candidates[i, j]`` runs from ``low[i, j]``.

    All have shape ``(points, few)``; *length* is 0 where a line misses a polytope.
    """

    candidates: Integers
    low: Floats
    length: Floats


class Region:
    """A family of polytopes within the unit box, which differ by a shift of their rows.

    Parameters
    ----------
    matrix
        Shape ``(rows, n)``.
    lower, upper
        Shape ``(rows,)``; infinite where there is no limit.
    tolerance
        What each row forgives, shape ``(rows,)``.
    """

    def __init__(self, matrix: Floats, lower: Floats, upper: Floats, tolerance: Floats) -> None:
        self.matrix = matrix
        self.lower = lower
        self.upper = upper
        self.tolerance = tolerance
        self._equal: Booleans = lower == upper
        self.dependent, self._solver = eliminate(matrix[self._equal])
        is_independent = np.ones(matrix.shape[1], dtype=np.bool_)
        is_independent[self.dependent] = False
        self.independent: Integers = np.flatnonzero(is_independent)
        self._slope = (self._solver @ matrix[self._equal])[: len(self.dependent)][:, self.independent]

    @property
    def n_free(self) -> int:
        """How many coordinates are independent."""
        return len(self.independent)

    @property
    def is_in_equality(self) -> Booleans:
        """Which coordinates an equality speaks of, shape ``(n,)``."""
        return np.asarray((self.matrix[self._equal] != 0).any(axis=0))

    def complete(self, free: Floats, shift: Floats) -> tuple[Floats, Booleans]:
        """Compute all coordinates from the independent ones, and tell which points lie inside.

        Shapes: *free* ``(n, n_free)``, *shift* ``(n, rows)`` or ``(1, rows)``; the result ``(n, all)`` and ``(n,)``.
        """
        constant, is_consistent = self._constants(shift)
        points = np.empty((len(free), self.matrix.shape[1]))
        points[:, self.independent] = free
        points[:, self.dependent] = constant - free @ self._slope.T
        is_in_box = ((points >= -EPSILON) & (points <= 1 + EPSILON)).all(axis=1)
        points = np.clip(points, 0.0, 1.0)
        sums = points @ self.matrix.T + shift
        keeps_rows = ((sums >= self.lower - self.tolerance) & (sums <= self.upper + self.tolerance)).all(axis=1)
        return points, is_consistent & is_in_box & keeps_rows

    def _constants(self, shift: Floats) -> tuple[Floats, Booleans]:
        """What the equalities make of the dependent coordinates at 0, and whether dependent equalities agree."""
        wanted = self.lower[self._equal] - shift[:, self._equal]
        solved = wanted @ self._solver.T
        rank = len(self.dependent)
        forgiven = np.abs(self._solver[rank:]) @ self.tolerance[self._equal]
        return solved[:, :rank], np.asarray((np.abs(solved[:, rank:]) <= forgiven).all(axis=1))

    def inequalities(self, shift: Floats) -> tuple[Floats, Floats]:
        """Write the polytopes as ``normals @ free <= offsets[i]`` with normals of length 1.

        Shapes: *shift* ``(shifts, rows)``, normals ``(k, n_free)``, offsets ``(shifts, k)``. Where a shift contradicts
        the equalities, or breaks a row that no independent coordinate enters, its offsets are minus infinity.
        """
        constant, is_consistent = self._constants(shift)
        rows = self.matrix[~self._equal]
        slope = rows[:, self.independent] - rows[:, self.dependent] @ self._slope
        level = shift[:, ~self._equal] + constant @ rows[:, self.dependent].T
        edge = np.eye(self.n_free)
        n_shifts = len(shift)
        normals = np.vstack([edge, -edge, -self._slope, self._slope, slope, -slope])
        offsets = np.hstack(
            [
                np.ones((n_shifts, self.n_free)),
                np.zeros((n_shifts, self.n_free)),
                1.0 - constant,
                constant,
                self.upper[~self._equal] - level,
                level - self.lower[~self._equal],
            ]
        )
        offsets[~is_consistent] = -np.inf
        return _normalised(normals, offsets)

    def flattened(self, shift: Floats) -> Region | None:
        """Turn the inequalities that hold with equality everywhere into equalities; None where no point is left.

        *shift* has shape ``(rows,)``; the new region belongs to this shift alone, and takes a shift of zeros.
        """
        normals, offsets = self.inequalities(shift[None])
        offset = offsets[0]
        slacks = [_largest_slack(normals, offset, row) for row in range(len(normals))]
        if not slacks or any(slack is None for slack in slacks):
            return None
        tight = np.array([slack is not None and slack <= THIN for slack in slacks])
        more = np.zeros((int(tight.sum()), self.matrix.shape[1]))
        more[:, self.independent] = normals[tight]
        matrix = np.vstack([self.matrix, more])
        lower = np.concatenate([self.lower - shift, offset[tight]])
        upper = np.concatenate([self.upper - shift, offset[tight]])
        return Region(matrix, lower, upper, np.concatenate([self.tolerance, np.full(len(more), 2 * THIN)]))


def eliminate(matrix: Floats) -> tuple[Integers, Floats]:
    """Solve equalities for as many coordinates as they determine (Gauss-Jordan elimination with full pivoting).

    Returns the determined columns, and the square matrix that turns *matrix* into one with unit columns there; its rows
    beyond the rank turn it into zeros.
    """
    work = matrix.copy()
    solver = np.eye(len(matrix))
    columns: list[int] = []
    scale = np.abs(matrix).max(initial=0.0)
    for rank in range(len(matrix)):
        rest = np.abs(work[rank:])
        row, column = np.unravel_index(int(rest.argmax()), rest.shape) if rest.size else (0, 0)
        if not rest.size or rest[row, column] <= EPSILON * scale:
            break
        swap = [rank, rank + int(row)]
        work[swap], solver[swap] = work[swap[::-1]], solver[swap[::-1]]
        pivot = work[rank, column]
        work[rank] /= pivot
        solver[rank] /= pivot
        others = np.arange(len(matrix)) != rank
        factor = work[others, column][:, None]
        work[others] -= factor * work[rank]
        solver[others] -= factor * solver[rank]
        columns.append(int(column))
    return np.array(columns, dtype=np.intp), solver


def _normalised(normals: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    length = np.linalg.norm(normals, axis=1)
    is_plane = length > EPSILON
    # A row without coordinates is true or false by itself; false empties the polytope.
    is_broken = np.asarray((offsets[:, ~is_plane] < -EPSILON).any(axis=1))
    normals, offsets = normals[is_plane] / length[is_plane, None], offsets[:, is_plane] / length[is_plane]
    is_limit = np.isfinite(offsets).any(axis=0) | (offsets == -np.inf).any(axis=0)
    offsets = np.where(is_broken[:, None], -np.inf, offsets)
    return normals[is_limit], offsets[:, is_limit]


def _largest_slack(normals: Floats, offset: Floats, row: int) -> float | None:
    """How far the polytope extends from one of its planes; None where it is empty."""
    solution = _solve(normals[row], normals, offset + EPSILON)
    return None if solution is None else float(offset[row] - normals[row] @ solution)


def centre(normals: Floats, offset: Floats) -> tuple[Floats, float] | None:
    """Find the centre and the radius of the largest ball inside ``normals @ x <= offset``; None where that is empty.

    The normals have length 1. This is the Chebyshev centre, the solution of a linear program (Boyd and Vandenberghe,
    Convex Optimization, section 8.5.1).
    """
    with_radius = np.hstack([normals, np.ones((len(normals), 1))])
    cost = np.zeros(normals.shape[1] + 1)
    cost[-1] = -1.0
    solution = _solve(cost, with_radius, offset)
    if solution is None or solution[-1] < -THIN:
        return None
    return solution[:-1], float(solution[-1])


def _solve(cost: Floats, normals: Floats, offset: Floats) -> Floats | None:
    """Minimise ``cost @ x`` under ``normals @ x <= offset``; None where no x exists."""
    from scipy import optimize  # noqa: PLC0415 # slow to import, seldom needed # pyright: ignore[reportMissingTypeStubs]

    if np.isneginf(offset).any():
        return None
    is_limit = np.isfinite(offset)
    strict = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = cast("Any", optimize).linprog(
        cost, A_ub=normals[is_limit], b_ub=offset[is_limit], bounds=(None, None), options=strict
    )
    return np.asarray(result.x, dtype=np.float64) if result.success else None


class Walk:
    """Hit-and-run through a family of polytopes: ``normals @ x <= offsets[i]``, the polytope *i* drawn with the point.

    From a point, a random line is followed: through the present polytope and through some others of the family, chosen
    at random. The next point is uniform on the parts of the line that lie inside them, each weighted by its polytope's
    weight. The uniform distribution over all pairs of polytope and point stays as it is under this step (R. L. Smith,
    Operations Research 32 (1984) 1296), and lines hit every polytope that has a volume.

    Lines are drawn from the covariance of points found in a first walk, so that long and thin polytopes mix as well.
    That first walk has a generator of its own: what is drawn later depends on nothing but the generator given.

    Parameters
    ----------
    normals, offsets
        Shapes ``(k, n)`` and ``(polytopes, k)``; bounded.
    weights
        Of each polytope, shape ``(polytopes,)``.
    start
        A polytope and a point inside it.
    log_origin
        Per coordinate, shape ``(n,)``: the density is proportional to ``1 / (x + log_origin)``; infinite for uniform.
    """

    def __init__(
        self, normals: Floats, offsets: Floats, weights: Floats, start: tuple[int, Floats], log_origin: Floats
    ) -> None:
        self._normals = normals
        # One more polytope, which is empty, fills up groups.
        self._offsets = np.vstack([offsets, np.full((1, offsets.shape[1]), -np.inf)])
        self._weights = np.append(weights, 0.0)
        self._log_origin = log_origin
        self._is_log: Booleans = np.isfinite(log_origin)
        self._root: Floats = np.eye(normals.shape[1])
        self._states = np.full(_N_PARTICLES, start[0], dtype=np.intp)
        self._points = np.tile(start[1], (_N_PARTICLES, 1))
        self._warm_up()

    @cached_property
    def n_steps(self) -> int:
        """How many steps lead from a point of the first walk to a point that is given out."""
        n_free: int = self._normals.shape[1]
        return 30 + 15 * n_free * (3 if self._is_log.any() else 1)

    def _warm_up(self) -> None:
        rng = np.random.default_rng(0)
        for turn in range(_MAX_TURNS):
            before = self._root
            for _ in range(self.n_steps):
                self._states, self._points = self._step(self._states, self._points, rng)
            covariance: Floats = np.atleast_2d(np.cov(self._points.T))
            jitter = 1e-12 * np.trace(covariance) + 1e-30
            self._root = np.asarray(np.linalg.cholesky(covariance + jitter * np.eye(len(covariance))), dtype=np.float64)
            growth = np.linalg.norm(np.linalg.solve(before, self._root), 2)
            if turn >= _MIN_TURNS and growth < _GROWTH:
                return

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats]:
        """Draw *n* polytopes and points: shapes ``(n,)`` and ``(n, coordinates)``."""
        particle = rng.integers(_N_PARTICLES, size=n)
        states, points = self._states[particle], self._points[particle]
        for _ in range(self.n_steps):
            states, points = self._step(states, points, rng)
        return states, points

    def _step(self, states: Integers, points: Floats, rng: np.random.Generator) -> tuple[Integers, Floats]:
        axis = int(rng.integers(len(self._root))) if self._is_log.any() and rng.random() < 0.5 else None
        if axis is None:
            lines = rng.standard_normal(points.shape) @ self._root.T
        else:
            lines = np.zeros_like(points)
            lines[:, axis] = 1.0
        chord = self._chord(points, lines, self._candidates(states, rng))
        return self._move(states, points, lines, chord, axis=axis, rng=rng)

    def _candidates(self, states: Integers, rng: np.random.Generator) -> Integers:
        """The polytopes to look into, the present one among them: ``(points, few)``.

        All are dealt at random into groups, and each point looks into the group of its own: whichever member of a group
        it is in, it looks into the same ones, which is what keeps the distribution.
        """
        n_polytopes = len(self._weights) - 1
        if n_polytopes <= _N_SHIFTS:
            return np.tile(np.arange(n_polytopes), (len(states), 1))
        order = rng.permutation(n_polytopes)
        dealt = np.full((-(-n_polytopes // _N_SHIFTS), _N_SHIFTS), n_polytopes)
        dealt.ravel()[:n_polytopes] = order
        place = np.empty(n_polytopes, dtype=np.intp)
        place[order] = np.arange(n_polytopes)
        return dealt[place[states] // _N_SHIFTS]

    def _chord(self, points: Floats, lines: Floats, candidates: Integers) -> Chord:
        """Where the lines lie within the candidates."""
        speed = (lines @ self._normals.T)[:, None, :]
        slack = self._offsets[candidates] - (points @ self._normals.T)[:, None, :]
        tiny = EPSILON * np.linalg.norm(lines, axis=1)[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = slack / speed
        high = np.where(speed > tiny, limit, np.inf).min(axis=2)
        low = np.where(speed < -tiny, limit, -np.inf).max(axis=2)
        is_missed = ((np.abs(speed) <= tiny) & (slack < -EPSILON)).any(axis=2) | ~(low < high)
        low = np.where(is_missed, 0.0, low)
        return Chord(candidates, low, np.where(is_missed, 0.0, high - low))

    def _move(
        self,
        states: Integers,
        points: Floats,
        lines: Floats,
        chord: Chord,
        *,
        axis: int | None,
        rng: np.random.Generator,
    ) -> tuple[Integers, Floats]:
        """Draw a polytope and a place on its part of the line."""
        is_log_axis = axis is not None and bool(self._is_log[axis])
        if is_log_axis:
            chord = self._log_chord(points[:, axis], float(self._log_origin[axis]), chord)
        pick, is_stuck = _pick(chord.length * self._weights[chord.candidates], rng)
        each = np.arange(len(points))
        place = chord.low[each, pick] + rng.random(len(points)) * chord.length[each, pick]
        if is_log_axis:
            place = np.exp(place) - points[:, axis] - float(self._log_origin[axis])
        moved = points + place[:, None] * lines
        stays = is_stuck if axis is not None else is_stuck | self._is_refused(points, moved, rng)
        return np.where(stays, states, chord.candidates[each, pick]), np.where(stays[:, None], points, moved)

    def _log_chord(self, points: Floats, origin: float, chord: Chord) -> Chord:
        """Write parts of lines along the axis of a log coordinate in its logarithm, in which the density is uniform."""
        start = (points + origin)[:, None] + chord.low
        low = np.log(np.where(chord.length > 0, start, 1.0))
        return Chord(chord.candidates, low, np.where(chord.length > 0, np.log(start + chord.length) - low, 0.0))

    def _is_refused(self, points: Floats, moved: Floats, rng: np.random.Generator) -> Booleans:
        """Metropolis' rule for the density of the log coordinates, along lines that are no axis."""
        if not self._is_log.any():
            return np.zeros(len(points), dtype=np.bool_)
        origin = self._log_origin[self._is_log]
        before, after = points[:, self._is_log] + origin, moved[:, self._is_log] + origin
        # Rounding can put a point outside the box, where the density is 0.
        density = np.where((after > 0).all(axis=1), np.prod(before / np.maximum(after, 1e-300), axis=1), 0.0)
        return np.asarray(~(rng.random(len(points)) < density))


def _pick(weights: Floats, rng: np.random.Generator) -> tuple[Integers, Booleans]:
    """Draw a column of each row, in proportion to its weight; the rows of which nothing can be drawn are marked."""
    sums = np.cumsum(weights, axis=1)
    pick = (rng.random(len(weights))[:, None] * sums[:, -1:] >= sums).sum(axis=1)
    is_stuck = (pick >= weights.shape[1]) | ~(sums[:, -1] > 0)
    return np.where(is_stuck, 0, pick), np.asarray(is_stuck)
