"""Points drawn uniformly from a search space, its constraints included.

*Uniform* means: every combination of discrete levels and choices has the weight of the volume that its continuous
parameters have left, in their values, or in their logarithms where ``log=True``. Three things need a convention:

* A log parameter in an equality (a mixture, or a linear constraint with equal limits) is uniform in its value.
* ``AtMost`` over continuous parameters: points where fewer than the allowed number differ from 0 have no volume, and
  are not drawn. A set of parameters that may differ from 0 is drawn first, all feasible sets alike, then the point.
  Over discrete parameters alone, all points count alike.
* Where every feasible point lies in a face of the box (a mixture whose lower bounds reach the total), the volume is
  that of the face.

Parameters that no constraint ties together are drawn apart. Those that are tied form a *group*, drawn by the first of
these that works: a simplex or the box with rejection (exact), counting (:mod:`sdl.problem.lattice`, exact), hit-and-run
(:mod:`sdl.problem.polytope`, a Markov chain that is stopped late).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import EmptySpaceError, ProblemError
from sdl.problem.constraints import AtMost, Constraint
from sdl.problem.groups import Columns, group_of
from sdl.problem.parameters import ParameterValue
from sdl.problem.rows import Row, empty, has_continuous, rows_of
from sdl.problem.value import listing

if TYPE_CHECKING:
    from sdl.problem.space import Point, SearchSpace

_MAX_SETS = 2_000
"""Sets of active parameters that are tried before a space counts as empty."""


class Sampler:
    """Draws from *space*, where the parameters in *pinned* (fixed ones, and a given context) have their values."""

    def __init__(self, space: SearchSpace, pinned: Mapping[str, ParameterValue]) -> None:
        self._space = space
        self._pinned = pinned
        self._rows = rows_of(space)
        self._sets = tuple(c for c in space.constraints if isinstance(c, AtMost) and has_continuous(c, space))
        self._branches: dict[frozenset[str], Branch | None] = {}

    def draw(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Draw *n* points. Raises EmptySpaceError where there is none."""
        if self._space.pool is not None:
            return self._draw_rows(n, rng)
        found = self._draw_free(n, rng)
        if not self._space.constraints:
            return found
        # Rounding in the last place can break a constraint; such a point is drawn again.
        for _ in range(100):
            kept = [point for point in found if self._space.contains(point)]
            if len(kept) == n:
                return kept
            found = kept + self._draw_free(n - len(kept), rng)
        raise ProblemError(f"no point of the space keeps {_labels(self._space.constraints)} within rounding")

    def _draw_rows(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Rows of the pool: each at most once more often than any other. What is contextual is drawn beside them."""
        pool = self._space.pool
        assert pool is not None
        rounds, rest = divmod(n, len(pool))
        order = [rng.permutation(len(pool)) for _ in range(rounds)]
        order.append(rng.choice(len(pool), size=rest, replace=False))
        beside = Branch(self._space, {**self._pinned, **pool.row(0)}, []).draw(n, rng)
        return [point | pool.row(row) for point, row in zip(beside, np.concatenate(order).tolist(), strict=True)]

    def _draw_free(self, n: int, rng: np.random.Generator) -> list[Point]:
        if not self._sets:
            return self._branch(frozenset()).draw(n, rng)
        chosen = [self._draw_set(rng) for _ in range(n)]
        found: dict[frozenset[str], Iterator[Point]] = {}
        for inactive in dict.fromkeys(chosen):
            found[inactive] = iter(self._branch(inactive).draw(chosen.count(inactive), rng))
        return [next(found[inactive]) for inactive in chosen]

    def _draw_set(self, rng: np.random.Generator) -> frozenset[str]:
        """Draw which parameters stay at 0, such that points exist."""
        for _ in range(_MAX_SETS):
            inactive = self._any_set(rng)
            try:
                self._branch(inactive)
            except EmptySpaceError:
                continue
            return inactive
        raise EmptySpaceError(
            f"no point satisfies {_labels(self._space.constraints)} within the bounds "
            f"({_MAX_SETS} sets of active parameters tried)",
            hint="widen a bound or a limit",
        )

    def _any_set(self, rng: np.random.Generator) -> frozenset[str]:
        """Make parameters active in random order, while every AtMost allows it; return the others."""
        names = sorted({name for limit in self._sets for name in limit.names})
        left = [limit.k - sum(self._pinned.get(name, 0) != 0 for name in limit.names) for limit in self._sets]
        inactive: set[str] = set()
        order: list[int] = rng.permutation(len(names)).tolist()
        for name in (names[position] for position in order):
            mine = [index for index, limit in enumerate(self._sets) if name in limit.names]
            if name in self._pinned:
                continue
            if all(left[index] > 0 for index in mine):
                for index in mine:
                    left[index] -= 1
            else:
                inactive.add(name)
        return frozenset(inactive)

    def _branch(self, inactive: frozenset[str]) -> Branch:
        if inactive not in self._branches:
            try:
                self._branches[inactive] = Branch(
                    self._space, {**self._pinned, **dict.fromkeys(inactive, 0.0)}, self._rows
                )
            except EmptySpaceError:
                if not inactive:
                    raise
                self._branches[inactive] = None
        branch = self._branches[inactive]
        if branch is None:
            raise EmptySpaceError("this set of active parameters has no point")
        return branch

    def count(self) -> int:
        """How many points there are where none of the parameters that are drawn is continuous."""
        pool = self._space.pool
        if pool is not None:
            return len(pool) * Branch(self._space, {**self._pinned, **pool.row(0)}, []).count()
        try:
            return self._branch(frozenset()).count()
        except EmptySpaceError:
            return 0


class Branch:
    """The space with some parameters pinned, taken apart into groups that no constraint ties together."""

    def __init__(self, space: SearchSpace, pinned: Mapping[str, ParameterValue], rows: Sequence[Row]) -> None:
        self._names = space.names
        self._pinned = pinned
        open_names = [name for name in space.names if name not in pinned]
        rows = [row.pinned(pinned) for row in rows]
        for row in rows:
            if not row.coefficients and not row.lower - row.tolerance <= 0 <= row.upper + row.tolerance:
                raise empty([row])
        self._groups = [
            group_of({name: space.parameters[name] for name in names}, tying)
            for names, tying in _tied(open_names, [row for row in rows if row.coefficients])
        ]

    def draw(self, n: int, rng: np.random.Generator) -> list[Point]:
        """Draw *n* points."""
        columns: Columns = {name: [value] * n for name, value in self._pinned.items()}
        for group in self._groups:
            columns.update(group.draw(n, rng))
        ordered = [columns[name] for name in self._names]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*ordered, strict=True)]

    def count(self) -> int:
        """How many points there are."""
        return math.prod(group.count() for group in self._groups)


def _tied(names: Sequence[str], rows: Sequence[Row]) -> list[tuple[list[str], list[Row]]]:
    """Group parameters that rows tie together, in the order of the first of each group."""
    group = {name: {name} for name in names}
    for row in rows:
        joined = set[str]().union(*(group[name] for name in row.coefficients))
        for name in joined:
            group[name] = joined
    found: list[tuple[list[str], list[Row]]] = []
    for name in names:
        members = [other for other in names if other in group[name]]
        if members[0] == name:
            found.append((members, [row for row in rows if row.coefficients.keys() <= group[name]]))
    return found


def _labels(constraints: Sequence[Constraint]) -> str:
    return listing(f"{constraint}" for constraint in constraints)
