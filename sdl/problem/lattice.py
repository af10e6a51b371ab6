"""Counting and drawing the combinations of discrete levels whose sums keep given limits.

Combinations are counted without being listed: parameters are added one after the other, and partial sums that agree are
merged (dynamic programming). Ten parameters in steps of 1 % that sum to 1 are 4 * 10**12 combinations and 101 partial
sums. Going back from a final sum to its parts draws one combination, all of them equally likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

MAX_SUMS = 500_000
"""More partial sums than this are too many to keep."""

_QUANTUM = 1e-11
"""Partial sums that differ by less, relative to the size of their row, are one."""


@dataclass(frozen=True)
class Limits:
    """Limits of several sums, each shape ``(rows,)``; what is added to the sums later lies within *rest*."""

    lower: Floats
    upper: Floats
    tolerance: Floats
    rest_low: Floats
    rest_high: Floats


@dataclass(frozen=True)
class _Layer:
    """How one parameter leads from earlier sums (parents) to later ones (children), sorted by child."""

    parent: Integers
    level: Integers
    weight: Floats  # cumulative number of combinations over the transitions
    end: Integers  # per child, where its transitions end


class Lattice:
    """The combinations of levels that keep *limits*.

    Parameters
    ----------
    parts
        Per parameter, what each of its levels adds to every sum: shape ``(levels, rows)``.
    limits
        What the sums must keep.

    Where the partial sums are too many, the lattice is *coarse*: sums are rounded to a grid, and the limits are widened
    by what rounding can do. It then holds every combination that keeps the limits, each once, and some that do not.

    Attributes
    ----------
    sums
        The distinct sums that occur, shape ``(sums, rows)``.
    is_coarse
        Whether sums are rounded.
    counts
        How many combinations have each of them, shape ``(sums,)``; exact up to 2**53.
    """

    def __init__(self, parts: Sequence[Floats], limits: Limits) -> None:
        self.is_coarse = False
        if not self._fill(parts, limits, _QUANTUM):
            self.is_coarse = True
            most = max(len(part) for part in parts)
            n_cells = (MAX_SUMS / most / 2) ** (1 / len(limits.lower))
            if not self._fill(parts, limits, 1 / n_cells):
                raise AssertionError("a coarse lattice has a limited number of sums")

    def _fill(self, parts: Sequence[Floats], limits: Limits, quantum: float) -> bool:
        """Add all parameters, with sums rounded to *quantum* relative to their size; False where there are too many."""
        self._layers: list[_Layer] = []
        self.sums: Floats = np.zeros((1, len(limits.lower)))
        self.counts: Floats = np.ones(1)
        nothing = np.zeros(len(limits.lower))
        grid = quantum * sum((np.ptp(part, axis=0) for part in parts), nothing) + 1e-300
        widened = limits.tolerance + (len(parts) * grid if self.is_coarse else 0.0)
        rest_low = limits.rest_low + sum((part.min(axis=0) for part in parts), nothing)
        rest_high = limits.rest_high + sum((part.max(axis=0) for part in parts), nothing)
        for part in parts:
            rest_low, rest_high = rest_low - part.min(axis=0), rest_high - part.max(axis=0)
            if len(self.sums) * len(part) > MAX_SUMS:
                return False
            self._add(part, limits.lower - widened - rest_high, limits.upper + widened - rest_low, grid)
        return True

    def _add(self, part: Floats, lower: Floats, upper: Floats, grid: Floats) -> None:
        sums = (self.sums[:, None, :] + part[None, :, :]).reshape(-1, part.shape[1])
        kept = np.flatnonzero(((sums >= lower) & (sums <= upper)).all(axis=1))
        _, first, child = np.unique(np.rint(sums[kept] / grid), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(child, kind="stable")
        parent, level = np.divmod(kept[order], len(part))
        weight = np.cumsum(self.counts[parent])
        end = np.cumsum(np.bincount(child, minlength=len(first)))
        counts = np.bincount(child[order], weights=self.counts[parent], minlength=len(first))
        self.counts = counts.astype(np.float64)
        self.sums = sums[kept[first]]
        self._layers.append(_Layer(parent, level, weight, end))

    @property
    def total(self) -> int:
        """How many combinations the lattice holds."""
        return round(float(self.counts.sum()))

    def draw(self, sums: Integers, rng: np.random.Generator) -> Integers:
        """Draw a combination for each of *sums*, positions in :attr:`sums`: level numbers, ``(n, parameters)``."""
        levels = np.empty((len(sums), len(self._layers)), dtype=np.intp)
        child = sums
        for position in reversed(range(len(self._layers))):
            layer = self._layers[position]
            start = np.where(child > 0, layer.end[child - 1], 0)
            below = np.where(start > 0, layer.weight[start - 1], 0.0)
            aim = below + rng.random(len(child)) * (layer.weight[layer.end[child] - 1] - below)
            chosen = np.clip(np.searchsorted(layer.weight, aim, side="right"), start, layer.end[child] - 1)
            levels[:, position] = layer.level[chosen]
            child = layer.parent[chosen]
        return levels
