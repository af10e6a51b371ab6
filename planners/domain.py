"""What a planner may choose from at the moment of asking: the space with the context filled in, as coordinates.

Everything here works on rows of coordinates (:mod:`sdl.planners.encoding`). The way back to a point always ends with
the space's own check, so a point that leaves this module is legal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from sdl.errors import EmptySpaceError, PointError
from sdl.journal.records import ParameterValue
from sdl.planners.encoding import Array, Code, Encoding, NumberCode, Point
from sdl.problem import AtMost, CandidatePool, Continuous, Fixed, LinearConstraint, Mixture, SearchSpace

Mask = npt.NDArray[np.bool_]

ENUMERABLE = 100_000
"""Spaces without a pool are listed in full up to so many combinations of levels."""

SAME = 1e-6
"""Two rows that differ by no more than this in every coordinate are one experiment."""

CLOSE_BY = 1e-4
"""A point may differ by so much from the row that it was made of: rounding, not another experiment."""

SLACK = 1e-9
"""Forgiven in constraints on rows, relative to the size of the terms. In the end the space's own check decides."""


@dataclass(frozen=True)
class LinearForm:
    """``lower <= coefficients @ row[columns] <= upper``; a limit may be infinite."""

    columns: npt.NDArray[np.intp]
    coefficients: Array
    lower: float
    upper: float


@dataclass(frozen=True)
class Candidates:
    """Rows to choose from, and for a pool the number of the pool's row behind each."""

    rows: Array
    pool_rows: npt.NDArray[np.intp] | None = None
    is_complete: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, chosen: npt.NDArray[np.intp] | Mask, *, is_complete: bool | None = None) -> Candidates:
        """Return some of the candidates."""
        pool_rows = None if self.pool_rows is None else self.pool_rows[chosen]
        return Candidates(self.rows[chosen], pool_rows, self.is_complete if is_complete is None else is_complete)


class Domain:
    """The choices that a space leaves in a given context.

    Parameters
    ----------
    space
        The space.
    context
        The values that the laboratory gives.
    held
        Values of free parameters that are decided already, as if they were given too.

    Raises
    ------
    PointError
        The context lacks a contextual parameter, or gives it a value outside its bounds.
    """

    def __init__(
        self,
        space: SearchSpace,
        context: Mapping[str, ParameterValue],
        held: Mapping[str, ParameterValue] | None = None,
    ) -> None:
        self.space = space
        self.encoding = Encoding(space)
        self.held: Point = {name: _given(space, held or {}, name) for name in held or {} if name in space.free}
        self.context: Point = {name: _given(space, context, name) for name in space.contextual} | self.held
        self.free_codes = [code for code in self.encoding.codes if code.name not in self.context]
        self._sums = [c for c in space.constraints if isinstance(c, (LinearConstraint, Mixture))]
        self._sparse = [c for c in space.constraints if isinstance(c, AtMost)]
        self.smooth = np.zeros(self.encoding.n_columns, dtype=bool)
        for code in self.free_codes:
            self.smooth[code.start : code.start + code.width] = isinstance(space.parameters[code.name], Continuous)

    @property
    def is_box(self) -> bool:
        """Whether every combination of values is legal."""
        return not self.space.constraints and self.space.pool is None

    @property
    def n_free(self) -> int:
        """How many parameters there are to choose."""
        return len(self.free_codes)

    @property
    def is_listable(self) -> bool:
        """Whether all points can be listed."""
        if self.space.pool is not None:
            return True
        counts = [_count(code) for code in self.free_codes]
        return all(counts) and prod(counts) <= ENUMERABLE

    # --- rows from nothing --------------------------------------------------------------------------------------------

    def unseen(self, tried: Array, limit: int, rng: np.random.Generator) -> Candidates:
        """Return the points of a listable space that were not tried, or *limit* of them at random.

        Raises
        ------
        EmptySpaceError
            No point, tried or not, keeps the constraints.
        """
        candidates = self._combinations() if self.space.pool is None else self._pool(tried, limit, rng)
        candidates = candidates.only(~is_among(candidates.rows, tried))
        if len(candidates) <= limit:
            return candidates
        return candidates.only(np.sort(rng.choice(len(candidates), limit, replace=False)), is_complete=False)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the rows of *n* points drawn uniformly from the feasible set, shape (n, columns)."""
        if self.is_box:
            return self.place(rng.random((n, self.n_free)))
        space = _given_from_outside(self.space, self.held) if self.held else self.space
        return self.encoding.encode(space.sample(n, rng, context=self.context))

    def place(self, fractions: Array) -> Array:
        """Return rows for *fractions*, shape (n, n_free), each in [0, 1): how far through the parameter's range."""
        rows = np.repeat(self._context_row(), len(fractions), axis=0)
        for fraction, code in zip(fractions.T, self.free_codes, strict=True):
            levels = code.levels()
            part = fraction[:, None] if levels is None else levels[(fraction * len(levels)).astype(np.intp)]
            rows[:, code.start : code.start + code.width] = part
        return rows

    def in_context(self, rows: Array) -> Array:
        """Return *rows* with the present context in place of their own."""
        here, moved = self._context_row(), rows.copy()
        for code in self.encoding.codes:
            if code.name in self.context:
                columns = slice(code.start, code.start + code.width)
                moved[:, columns] = here[:, columns]
        return moved

    def grid(self, n_levels: Sequence[int], chunk: int) -> Iterator[Candidates]:
        """Yield a full grid in pieces of at most *chunk* rows: all levels, and *n_levels* values of continuous ones."""
        levels = [_grid_levels(code, n) for code, n in zip(self.free_codes, n_levels, strict=True)]
        counts = [len(level) for level in levels]
        for start in range(0, prod(counts), chunk):
            numbers = np.arange(start, min(start + chunk, prod(counts)))
            rows = self._cross(levels, np.unravel_index(numbers, counts) if counts else (), len(numbers))
            yield Candidates(rows[self.holds(rows)])

    def _cross(self, levels: Sequence[Array], places: Sequence[npt.NDArray[np.intp]], n: int) -> Array:
        rows = np.repeat(self._context_row(), n, axis=0)
        for code, level, place in zip(self.free_codes, levels, places, strict=True):
            rows[:, code.start : code.start + code.width] = level[place]
        return rows

    def _context_row(self) -> Array:
        row = np.zeros((1, self.encoding.n_columns))
        for code in self.encoding.codes:
            if code.name in self.context:
                row[:, code.start : code.start + code.width] = code.encode([self.context[code.name]])
        if self.encoding.embedding.shape[1]:  # of no candidate in particular
            row[:, -self.encoding.embedding.shape[1] :] = self.encoding.embedding.mean(axis=0)
        return row

    def _combinations(self) -> Candidates:
        rows = next(self.grid([0] * self.n_free, ENUMERABLE)).rows
        if not len(rows):
            raise EmptySpaceError("no point of the space keeps its constraints", hint="loosen a constraint")
        return Candidates(rows)

    def _pool(self, tried: Array, limit: int, rng: np.random.Generator) -> Candidates:
        pool = self.space.pool
        assert pool is not None
        enough = limit + len(tried)
        numbers = _rows_with(pool, self.held)
        n_rows = len(numbers)
        if n_rows > enough:
            numbers = np.sort(rng.choice(numbers, enough, replace=False))
        rows = np.repeat(self._context_row(), len(numbers), axis=0)
        for code in self.free_codes:
            column = pool.columns[code.name]
            is_whole = len(numbers) == len(column)  # a list is in the order of the pool
            values: Sequence[ParameterValue] = column if is_whole else [column[int(number)] for number in numbers]
            rows[:, code.start : code.start + code.width] = code.encode(values)
        if self.encoding.embedding.shape[1]:
            rows[:, -self.encoding.embedding.shape[1] :] = self.encoding.embedding[numbers]
        return Candidates(rows, numbers, is_complete=n_rows <= enough)

    # --- rows from rows -----------------------------------------------------------------------------------------------

    def between(self, centres: Array, others: Array, steps: Array, rng: np.random.Generator) -> Array:
        """Return feasible rows near *centres*: each moved by the fraction *steps* towards its partner in *others*.

        Linear constraints bound a convex set, so such a move keeps them. Levels are taken over now and then.
        """
        rows = np.where(self.smooth, centres + steps[:, None] * (others - centres), centres)
        for code in self.free_codes:
            columns = slice(code.start, code.start + code.width)
            if not self.smooth[code.start]:
                swapped = rng.random(len(rows)) < 1.0 / len(self.free_codes)
                rows[swapped, columns] = others[swapped, columns]
        rows = np.where(self.smooth, np.clip(rows, 0.0, 1.0), rows)
        return rows[self.holds(rows)]

    def neighbours(self, row: Array) -> Array:
        """Return the feasible rows that differ from *row* in the level of one free parameter."""
        found = [self._with_level(row, code, level) for code in self.free_codes for level in _other_levels(code, row)]
        rows = np.array(found).reshape(-1, len(row))
        return rows[self.holds(rows)]

    @staticmethod
    def _with_level(row: Array, code: Code, level: Array) -> Array:
        changed = row.copy()
        changed[code.start : code.start + code.width] = level
        return changed

    def movable(self, row: Array) -> Mask:
        """Tell which coordinates a continuous search from *row* may change: absent components stay absent."""
        movable = self.smooth.copy()
        for constraint in self._sparse:
            for code in self._codes(constraint.names):
                movable[code.start] &= abs(float(row[code.start]) - float(code.encode([0.0])[0, 0])) > SLACK
        return movable

    def holds(self, rows: Array) -> Mask:
        """Tell which rows keep the constraints."""
        kept = np.ones(len(rows), dtype=bool)
        for constraint in self._sums:
            kept &= self._sum_holds(constraint, rows)
        for sparse in self._sparse:
            active = [abs(rows[:, c.start] - c.encode([0.0])[0, 0]) > SLACK for c in self._codes(sparse.names)]
            fixed = sum(self.encoding.fixed.get(name, 0.0) != 0.0 for name in sparse.names)
            kept &= np.sum(active, axis=0) + fixed <= sparse.k
        return kept

    def _sum_holds(self, constraint: LinearConstraint | Mixture, rows: Array) -> Mask:
        coefficients, lower, upper = _limits(constraint)
        total, size = np.zeros(len(rows)), np.zeros(len(rows))
        for code in self._codes(constraint.names):
            term = coefficients[code.name] * code.numbers(rows[:, code.start])
            total, size = total + term, size + np.abs(term)
        fixed = self._fixed_part(coefficients)
        slack = SLACK * (1.0 + size + abs(fixed))
        return (total + fixed >= lower - slack) & (total + fixed <= upper + slack)

    def linear_forms(self) -> list[LinearForm]:
        """Return the linear constraints on coordinates; over a logarithmic parameter none is linear."""
        forms: list[LinearForm] = []
        for constraint in self._sums:
            coefficients, lower, upper = _limits(constraint)
            codes = self._codes(constraint.names)
            if codes and not any(code.is_log for code in codes):
                offset = self._fixed_part(coefficients) + sum(coefficients[c.name] * c.low for c in codes)
                widths = np.array([coefficients[c.name] * (c.high - c.low) for c in codes])
                columns = np.array([c.start for c in codes], dtype=np.intp)
                forms.append(LinearForm(columns, widths, lower - offset, upper - offset))
        return forms

    def _fixed_part(self, coefficients: Mapping[str, float]) -> float:
        fixed = self.encoding.fixed
        return sum(c * float(fixed[name]) for name, c in coefficients.items() if name in fixed)

    def _codes(self, names: Sequence[str]) -> list[NumberCode]:
        return [code for code in self.encoding.codes if isinstance(code, NumberCode) and code.name in names]

    # --- points from rows ---------------------------------------------------------------------------------------------

    def point(self, candidates: Candidates, index: int) -> Point | None:
        """Return the legal point of a candidate; None where no legal point lies close by."""
        if candidates.pool_rows is not None and self.space.pool is not None:
            row = self.space.pool.row(int(candidates.pool_rows[index]))
            point = {**self.encoding.fixed, **self.context, **row}
            point = {name: point[name] for name in self.space.names}
        else:
            row = candidates.rows[index]
            point = self._settle(self.encoding.decode(row) | self.context)
            if np.abs(self.encoding.encode([point])[0] - row).max(initial=0.0) > CLOSE_BY:
                return None
        return point if self.space.contains(point) else None

    def _settle(self, point: Point) -> Point:
        """Remove what rounding did: traces of absent components, and the residue of sums."""
        for sparse in self._sparse:
            for code in self._codes(sparse.names):
                if abs(float(point[code.name])) <= SLACK * (code.high - code.low):
                    point[code.name] = 0.0
        for _ in range(3):  # constraints that share a parameter settle within a few rounds, or the check refuses
            for constraint in self._sums:
                self._settle_sum(point, constraint)
        return point

    def _settle_sum(self, point: Point, constraint: LinearConstraint | Mixture) -> None:
        coefficients, lower, upper = _limits(constraint)
        total = sum(c * float(point[name]) for name, c in coefficients.items())
        missing = min(max(total, lower), upper) - total
        for code in sorted(self._codes(constraint.names), key=lambda code: code.low - code.high):
            if missing and self.smooth[code.start] and not (self._sparse and point[code.name] == 0.0):
                before = float(point[code.name])
                after = min(max(before + missing / coefficients[code.name], code.low), code.high)
                point[code.name] = after
                missing -= coefficients[code.name] * (after - before)


def is_among(rows: Array, others: Array) -> Mask:
    """Tell which of *rows* occur in *others*, to nine decimals."""
    if not len(others) or not rows.shape[1]:
        return np.full(len(rows), bool(len(others)))
    return np.isin(_keys(rows), _keys(others))


def _keys(rows: Array) -> npt.NDArray[np.void]:
    rounded = np.ascontiguousarray(np.round(rows, 9) + 0.0)  # adding 0 makes one zero of -0.0 and 0.0
    return rounded.view(f"V{8 * rows.shape[1]}").ravel()


def is_near(row: Array, others: Array) -> bool:
    """Tell whether *row* is the same experiment as one of *others*."""
    return bool(len(others)) and bool((np.abs(others - row).max(axis=1, initial=0.0) <= SAME).any())


def _given(space: SearchSpace, context: Mapping[str, ParameterValue], name: str) -> ParameterValue:
    if name not in context:
        raise PointError(
            f"the situation gives no value for the contextual parameter {name}",
            hint="the laboratory reports it: see Lab.context",
        )
    space.parameters[name].check(name, context[name])
    return context[name]


def _given_from_outside(space: SearchSpace, held: Mapping[str, ParameterValue]) -> SearchSpace:
    """Return *space*, which has no pool, with the parameters *held* as contextual ones."""
    parameters = {
        name: p.replace(context=True) if name in held and not isinstance(p, Fixed) else p
        for name, p in space.parameters.items()
    }
    return SearchSpace(parameters, constraints=space.constraints)


def _rows_with(pool: CandidatePool, held: Mapping[str, ParameterValue]) -> npt.NDArray[np.intp]:
    """Return the numbers of the rows of *pool* that have the values *held*."""
    kept = np.ones(len(pool), dtype=bool)
    for name, value in held.items():
        kept &= np.array([each == value for each in pool.columns[name]], dtype=bool)
    return np.flatnonzero(kept)


def _count(code: Code) -> int:
    """Return how many levels a parameter has, 0 where they are not countable."""
    levels = code.levels()
    return 0 if levels is None else len(levels)


def _grid_levels(code: Code, n: int) -> Array:
    levels = code.levels()
    return np.linspace(0.0, 1.0, n)[:, None] if levels is None else levels


def _other_levels(code: Code, row: Array) -> list[Array]:
    levels = code.levels()
    if levels is None:
        return []
    part = row[code.start : code.start + code.width]
    return [level for level in levels if np.abs(level - part).max() > SLACK]


def _limits(constraint: LinearConstraint | Mixture) -> tuple[Mapping[str, float], float, float]:
    if isinstance(constraint, Mixture):
        return dict.fromkeys(constraint.names, 1.0), constraint.total, constraint.total
    lower = -np.inf if constraint.lower is None else constraint.lower
    upper = np.inf if constraint.upper is None else constraint.upper
    return constraint.coefficients, lower, upper
