"""Groups of parameters that are drawn together, and the ways to draw them.

A group is a :class:`~sdl.problem.polytope.Region` (its continuous parameters, scaled to the unit box, and the rows that
tie them), and what each level of its discrete parameters adds to the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdl.errors import ProblemError
from sdl.problem.lattice import Lattice, Limits
from sdl.problem.parameters import Categorical, Continuous, Discrete, Parameter, ParameterValue
from sdl.problem.polytope import THIN, Region, Walk, centre
from sdl.problem.rows import Row, empty
from sdl.problem.value import listing

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]
Columns = dict[str, Sequence[ParameterValue]]
Drawn = tuple[Integers, Floats]
"""Levels of the discrete parameters, shape ``(n, discrete)``, and coordinates in the unit box, ``(n, continuous)``."""

_TRIAL = 20_000
"""Points tried to see how often rejection succeeds."""

_ACCEPTANCE = 1 / 500
"""Rejection is used where it succeeds at least this often."""

_MAX_TRIES = 1_000_000
"""Tries for one point before a group counts as impossible to draw; never reached at an acceptance of 1 / 500."""

_MAX_FLAT = 500
"""Flat slices that are looked at one by one."""


class Group(Protocol):
    """Parameters that are drawn together."""

    def draw(self, n: int, rng: np.random.Generator) -> Columns:
        """Draw *n* values of each."""
        ...

    def count(self) -> int:
        """How many points the group has, where all are discrete; an upper bound where they are too many to count."""
        ...


def group_of(parameters: Mapping[str, Parameter], rows: Sequence[Row]) -> Group:
    """Make the group of *parameters*, which *rows* tie together. Raises EmptySpaceError where it has no point."""
    if rows:
        return Tied(parameters, rows)
    ((name, parameter),) = parameters.items()
    return Single(name, parameter)


class Single:
    """A parameter on its own."""

    def __init__(self, name: str, parameter: Parameter) -> None:
        self._name = name
        self._parameter = parameter

    def draw(self, n: int, rng: np.random.Generator) -> Columns:
        """Draw *n* values."""
        match self._parameter:
            case Continuous(low=low, high=high, log=log):
                share = rng.random(n)
                values = _log_between(low, high, share) if log else low + (high - low) * share
                return {self._name: np.clip(values, low, high).tolist()}
            case Discrete(values=levels) | Categorical(choices=levels):
                return {self._name: [levels[index] for index in rng.integers(len(levels), size=n).tolist()]}
            case fixed:
                return {self._name: [fixed.value] * n}

    def count(self) -> int:
        """How many values there are."""
        match self._parameter:
            case Discrete(values=levels) | Categorical(choices=levels):
                return len(levels)
            case _:
                return 1


def _log_between(low: float, high: float, share: Floats) -> Floats:
    return np.exp(math.log(low) + (math.log(high) - math.log(low)) * share)


class Tied:
    """Numeric parameters that rows tie together."""

    def __init__(self, parameters: Mapping[str, Parameter], rows: Sequence[Row]) -> None:
        self._rows = rows
        self._levels = {name: np.array(p.values) for name, p in parameters.items() if isinstance(p, Discrete)}
        self._free = {name: p for name, p in parameters.items() if isinstance(p, Continuous)}
        self._low = np.array([p.low for p in self._free.values()])
        self._high = np.array([p.high for p in self._free.values()])
        self._parts = [
            np.array([[row.part(name, x) if name in row.coefficients else 0.0 for row in rows] for x in levels])
            for name, levels in self._levels.items()
        ]
        self._region = self._scaled()
        self._drawer = self._choose()

    def _scaled(self) -> Region:
        """Write the rows for continuous parameters that run from 0 to 1."""
        matrix = np.array([[row.coefficients.get(name, 0.0) for name in self._free] for row in self._rows])
        matrix = matrix.reshape(len(self._rows), len(self._free))
        base = matrix @ self._low
        lower, upper = (np.array([getattr(row, side) for row in self._rows]) for side in ("lower", "upper"))
        tolerance = np.array([row.tolerance for row in self._rows])
        return Region(matrix * (self._high - self._low), lower - base, upper - base, tolerance)

    def _log_origins(self) -> Floats:
        """Where a log parameter has its 0 in the unit box, with the sign turned; infinite for the others."""
        is_log = np.array([p.log for p in self._free.values()], dtype=np.bool_)
        is_tied = self._region.is_in_equality
        return np.where(is_log & ~is_tied, self._low / (self._high - self._low), np.inf)

    def _choose(self) -> Drawer:
        region, origins = self._region, self._log_origins()
        simplex = None if self._parts or np.isfinite(origins).any() else Simplex.of(region)
        for drawer in (simplex, Rejection(region, self._parts, origins)):
            if drawer is not None and drawer.acceptance() >= _ACCEPTANCE:
                return drawer
        lattice = self._lattice()
        if not len(lattice.sums):
            raise empty(self._rows)
        if lattice.is_coarse:
            return self._among_coarse(lattice, origins)
        if not self._free:
            return Counted(lattice)
        found = _continuous(region, self._parts, lattice, origins)
        if found is None:
            raise empty(self._rows)
        return found

    def _lattice(self) -> Lattice:
        region = self._region
        rest_low, rest_high = np.minimum(region.matrix, 0).sum(axis=1), np.maximum(region.matrix, 0).sum(axis=1)
        return Lattice(self._parts, Limits(region.lower, region.upper, region.tolerance, rest_low, rest_high))

    def _among_coarse(self, lattice: Lattice, origins: Floats) -> Drawer:
        drawer = Rejection(self._region, self._parts, origins, lattice)
        if drawer.acceptance() >= _ACCEPTANCE:
            return drawer
        raise ProblemError(
            f"the discrete parameters {listing(self._levels)} have too many combinations to sample under "
            f"{' and '.join(row.label for row in self._rows)}",
            hint="give them fewer values, or list the candidates in a CandidatePool",
        )

    def draw(self, n: int, rng: np.random.Generator) -> Columns:
        """Draw *n* values of each."""
        levels, points = self._drawer.draw(n, rng)
        columns: Columns = {}
        for index, (name, values) in enumerate(self._levels.items()):
            columns[name] = values[levels[:, index]].tolist()
        numbers = np.clip(self._low + (self._high - self._low) * points, self._low, self._high)
        for index, name in enumerate(self._free):
            columns[name] = numbers[:, index].tolist()
        return columns

    def count(self) -> int:
        """How many points there are; an upper bound where they are too many to count."""
        return self._lattice().total


class Drawer(Protocol):
    """A way to draw a tied group."""

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw *n* points."""
        ...


class _Trying:
    """Draws by proposing points and keeping those that lie inside."""

    def acceptance(self) -> float:
        """The share of proposals that lie inside, from a trial that is always the same."""
        return float(self.propose(_TRIAL, np.random.default_rng(0))[2].mean())

    def propose(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats, Booleans]:
        """Propose *n* points, and tell which lie inside."""
        raise NotImplementedError

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw *n* points."""
        found: list[Drawn] = []
        n_found, n_tried = 0, 0
        while n_found < n:
            if n_tried > _MAX_TRIES * (n_found + 1):
                raise ProblemError("the feasible set is too small for floating-point numbers", hint="widen a limit")
            share = max((n_found + 1) / (n_tried + 1), _ACCEPTANCE / 4)
            levels, points, inside = self.propose(min(int(1.2 * (n - n_found) / share) + 16, 200_000), rng)
            found.append((levels[inside], points[inside]))
            n_found, n_tried = n_found + int(inside.sum()), n_tried + len(inside)
        return np.vstack([levels for levels, _ in found])[:n], np.vstack([points for _, points in found])[:n]


class Rejection(_Trying):
    """The whole box, or where a lattice is given its combinations with the box of the continuous parameters."""

    def __init__(
        self, region: Region, parts: Sequence[Floats], log_origins: Floats, lattice: Lattice | None = None
    ) -> None:
        self._region = region
        self._parts = parts
        self._origins = log_origins[region.independent]
        self._lattice = lattice

    def propose(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats, Booleans]:
        """Propose *n* points, and tell which lie inside."""
        levels, shift = self._discrete(n, rng)
        free = rng.random((n, self._region.n_free))
        for index in np.flatnonzero(np.isfinite(self._origins)):
            origin = float(self._origins[index])
            free[:, index] = np.clip(_log_between(origin, 1 + origin, free[:, index]) - origin, 0, 1)
        points, inside = self._region.complete(free, shift)
        return levels, points, inside

    def _discrete(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats]:
        if self._lattice is None:
            levels = np.array([rng.integers(len(part), size=n) for part in self._parts], dtype=np.intp).reshape(-1, n).T
        else:
            counts = self._lattice.counts
            levels = self._lattice.draw(rng.choice(len(counts), size=n, p=counts / counts.sum()), rng)
        shift = np.zeros((n, len(self._region.lower)))
        for index, part in enumerate(self._parts):
            shift += part[levels[:, index]]
        return levels, shift


class Simplex(_Trying):
    """One row with coefficients of one sign that is an equality, or has one limit: a simplex, cut off by the box.

    Parameters
    ----------
    weights
        The coefficients, positive.
    total
        What the weighted coordinates sum to, or at most to where the simplex *is_full*.
    is_mirrored
        Whether coordinates count from the far corner of the box.
    """

    def __init__(self, weights: Floats, total: float, *, is_full: bool, is_mirrored: bool) -> None:
        self._weights = weights
        self._total = total
        self._is_full = is_full
        self._is_mirrored = is_mirrored

    @classmethod
    def of(cls, region: Region) -> Simplex | None:
        """Make one if the region is one; None where it is not."""
        if len(region.matrix) != 1 or region.matrix.shape[1] < 2:
            return None
        weights, lower, upper = region.matrix[0], float(region.lower[0]), float(region.upper[0])
        if (weights < 0).all():
            weights, lower, upper = -weights, -upper, -lower
        if not (weights > 0).all():
            return None
        size = float(weights.sum())
        if lower == upper:
            # Seen from the far corner, the simplex may be the smaller one, which the box cuts off less.
            is_mirrored, is_full = 2 * lower > size, False
        else:
            is_mirrored, is_full = lower > 0, True
            if is_mirrored and upper < size:
                return None
        total = size - lower if is_mirrored else upper
        return cls(weights, total, is_full=is_full, is_mirrored=is_mirrored) if total > 0 else None

    def propose(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats, Booleans]:
        """Propose *n* points, and tell which lie inside."""
        n_weights = len(self._weights)
        shares = rng.dirichlet(np.ones(n_weights + self._is_full), size=n)[:, :n_weights]
        points = self._total * shares / self._weights
        inside = np.asarray((points <= 1.0).all(axis=1))
        return np.empty((n, 0), dtype=np.intp), 1.0 - points if self._is_mirrored else points, inside


class Counted:
    """Discrete parameters alone: all combinations alike."""

    def __init__(self, lattice: Lattice) -> None:
        self._lattice = lattice

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw *n* points."""
        counts = self._lattice.counts
        levels = self._lattice.draw(rng.choice(len(counts), size=n, p=counts / counts.sum()), rng)
        return levels, np.empty((n, 0))


def _continuous(region: Region, parts: Sequence[Floats], lattice: Lattice, origins: Floats) -> Drawer | None:
    """The way to draw where rejection from the box fails; None where there is no point."""
    if region.n_free == 0:
        return Points.of(region, lattice)
    tried = Rejection(region, parts, origins, lattice)
    if len(lattice.sums) > 1 and tried.acceptance() >= _ACCEPTANCE:
        return tried
    normals, offsets = region.inequalities(lattice.sums)
    flat: list[int] = []
    for index, offset in enumerate(offsets):
        ball = centre(normals, offset)
        if ball is not None and ball[1] > THIN:
            walk = Walk(normals, offsets, lattice.counts, (index, ball[0]), origins[region.independent])
            return Walking(region, lattice, walk)
        if ball is not None:
            flat.append(index)
    return Flat.of(region, lattice, flat, origins) if flat else None


class Points:
    """Continuous parameters that the discrete ones determine: all combinations that leave them in bounds, alike."""

    def __init__(self, lattice: Lattice, possible: Integers, points: Floats) -> None:
        self._lattice = lattice
        self._possible = possible
        self._points = points

    @classmethod
    def of(cls, region: Region, lattice: Lattice) -> Points | None:
        """Find the combinations; None where there are none."""
        points, inside = region.complete(np.empty((len(lattice.sums), 0)), lattice.sums)
        return cls(lattice, np.flatnonzero(inside), points) if inside.any() else None

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw *n* points."""
        counts = self._lattice.counts[self._possible]
        sums = self._possible[rng.choice(len(counts), size=n, p=counts / counts.sum())]
        return self._lattice.draw(sums, rng), self._points[sums]


class Walking(_Trying):
    """Hit-and-run; rounding can put a point outside, and another is drawn then."""

    def __init__(self, region: Region, lattice: Lattice, walk: Walk) -> None:
        self._region = region
        self._lattice = lattice
        self._walk = walk

    def propose(self, n: int, rng: np.random.Generator) -> tuple[Integers, Floats, Booleans]:
        """Draw *n* points, and tell which lie inside."""
        sums, free = self._walk.draw(min(n, 4096), rng)
        points, inside = self._region.complete(free, self._lattice.sums[sums])
        return self._lattice.draw(sums, rng), points, inside


class Flat:
    """Feasible slices without volume: one of those with the most dimensions, then a point of it."""

    def __init__(self, lattice: Lattice, slices: Sequence[tuple[int, Drawer]], n_continuous: int) -> None:
        self._lattice = lattice
        self._slices = slices
        self._n_continuous = n_continuous

    @classmethod
    def of(cls, region: Region, lattice: Lattice, flat: Sequence[int], origins: Floats) -> Flat | None:
        """Take each of the flat slices by itself."""
        found: list[tuple[int, int, Drawer]] = []
        for index in flat[:_MAX_FLAT]:
            face = region.flattened(lattice.sums[index])
            if face is None or face.n_free >= region.n_free:
                continue
            drawer = _face(face, np.where(face.is_in_equality, np.inf, origins))
            if drawer is not None:
                found.append((face.n_free, index, drawer))
        most = max((dimensions for dimensions, _, _ in found), default=0)
        slices = [(index, drawer) for dimensions, index, drawer in found if dimensions == most]
        return cls(lattice, slices, region.matrix.shape[1]) if slices else None

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw *n* points."""
        indices = np.array([index for index, _ in self._slices], dtype=np.intp)
        counts = self._lattice.counts[indices]
        chosen = rng.choice(len(indices), size=n, p=counts / counts.sum())
        points = np.empty((n, self._n_continuous))
        positions: list[int] = sorted(set(chosen.tolist()))
        for position in positions:
            mine = chosen == position
            points[mine] = self._slices[position][1].draw(int(mine.sum()), rng)[1]
        return self._lattice.draw(indices[chosen], rng), points


def _face(face: Region, origins: Floats) -> Drawer | None:
    """The way to draw one polytope, whose shift is 0."""
    n_rows = len(face.lower)
    nothing = np.zeros(n_rows)
    limits = Limits(face.lower, face.upper, face.tolerance, nothing, nothing)
    return _continuous(face, (), Lattice((), limits), origins)
