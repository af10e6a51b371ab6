"""The expected hypervolume improvement of several objectives, in closed form, with its gradient.

What no trial dominates is cut into boxes. In each box the expected improvement is a product over the objectives,
because their models are independent: Emmerich, Deutz and Klinkenberg, "Hypervolume-based expected improvement:
monotonicity properties and exact computation" (IEEE CEC 2011). All is computed in logarithms, after Ament et al.,
"Unexpected improvements to expected improvement" (NeurIPS 2023). Where noise, or trials under way, leave open where
the trials lie, there are boxes for every draw of them, as in :mod:`sdl.planners.improvement`.

Volumes are in the outcomes' own units. On a bent scale an edge of a box has another length; what is gained within the
box is taken in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Protocol

import numpy as np

from sdl.planners.domain import Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field, Glance
from sdl.planners.improvement import LOG_ROOT_2PI, Approach, log_improvement, summed
from sdl.planners.numerics import log_normal_cdf
from sdl.planners.warp import Warp

NARROW = 1e-6
"""Edges shorter than this, in deviations, gain their length times the chance to be beyond them."""

NOTHING = -1e6
"""The logarithm of the gain in a box that is none: it only fills up an array."""


def boxes(points: Array, floor: Array) -> tuple[Array, Array]:
    """Return lower and upper corners, shape (k, objectives), of boxes that fill what *points* do not dominate.

    Parameters
    ----------
    points
        Shape (n, objectives); higher is better.
    floor
        Shape (objectives,), the corner below which nothing counts.
    """
    points = points[(points > floor).all(axis=1)]
    if points.shape[1] == 1:
        return np.array([[points.max(initial=floor[0])]]), np.array([[np.inf]])
    levels = np.unique(points[:, -1])
    lows: list[Array] = []
    highs: list[Array] = []
    for low, high in zip([floor[-1], *levels], [*levels, np.inf], strict=True):
        low_sides, high_sides = boxes(points[points[:, -1] >= high, :-1], floor[:-1])
        lows.append(np.column_stack([low_sides, np.full(len(low_sides), low)]))
        highs.append(np.column_stack([high_sides, np.full(len(high_sides), high)]))
    return np.vstack(lows), np.vstack(highs)


def stacked(cut: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the corners of the boxes of all draws, shape (draws, boxes, objectives); NaN fills up."""
    n = max(len(lows) for lows, _ in cut)
    shape = (len(cut), n, cut[0][0].shape[1])
    lows, highs = np.full(shape, np.nan), np.full(shape, np.nan)
    for number, (low, high) in enumerate(cut):
        lows[number, : len(low)], highs[number, : len(high)] = low, high
    return lows, highs


@dataclass(frozen=True)
class Edges:
    """What one objective gains within each box.

    Parameters
    ----------
    values
        The logarithm, shape (n, draws, boxes).
    derivatives
        Returns its derivatives with respect to mean and deviation, in the same shape.
    """

    glance: Glance
    values: Array
    derivatives: Callable[[], tuple[Array, Array]]


class Axis(Protocol):
    """One objective: its part of what is gained within each box."""

    def edges(self, rows: Array) -> Edges:
        """Return the log of the expected gain along this objective at *rows*, and its derivatives."""
        ...


class EndAxis:
    """An outcome of which one end is sought.

    Parameters
    ----------
    field
        Its model.
    sign
        -1 where less is better.
    warp
        Its scale: the lengths of edges are those in the outcome's unit.
    lows, highs
        Edges of the boxes, shape (draws, boxes): *sign* times the standardised outcome.
    """

    def __init__(self, field: Field, sign: float, warp: Warp, lows: Array, highs: Array) -> None:
        self._field = field
        self._sign = sign
        self._is_box, self._is_open = np.isfinite(lows), ~np.isfinite(highs)
        # The boxes of a draw share edges, and an edge costs more than its place in a box.
        draws = np.broadcast_to(np.arange(len(lows))[:, None], lows.shape)
        pairs = [(draws[mask], edge[mask]) for mask, edge in ((self._is_box, lows), (~self._is_open, highs))]
        known = np.concatenate([np.column_stack(pair) for pair in pairs])
        bounds, places = np.unique(known, axis=0, return_inverse=True)
        self._draws, self._bounds = bounds[:, 0].astype(np.intp), bounds[:, 1]
        of_lows, of_highs = np.split(places.ravel(), [int(self._is_box.sum())])
        self._low = np.zeros(lows.shape, dtype=np.intp)
        self._low[self._is_box] = of_lows
        self._high = np.zeros(lows.shape, dtype=np.intp)
        self._high[~self._is_open] = of_highs
        ends = np.where(self._is_open, lows + 1.0, highs)
        lengths = sign * (warp.backward(sign * ends) - warp.backward(sign * lows))
        self._width = np.where(self._is_open, np.inf, highs - lows)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._log_ratio = np.log(np.maximum(lengths, 0.0) / (ends - lows))
        self._log_ratio = np.where(np.isfinite(self._log_ratio), self._log_ratio, NOTHING)

    def edges(self, rows: Array) -> Edges:
        """Return the log of the expected gain along this objective at *rows*, and its derivatives."""
        glance = self._field.at(rows)
        deviation = glance.deviation[:, None, None]
        means = glance.mean if glance.mean.shape[1] == 1 else glance.mean[:, self._draws]
        z = (self._sign * means - self._bounds) / glance.deviation[:, None]
        shape = self._gain(log_improvement(z), log_normal_cdf(z), deviation)
        values = np.where(self._is_box, np.log(deviation) + shape + self._log_ratio, NOTHING)
        return Edges(glance, values, partial(self._derivatives, z, shape, deviation))

    def _gain(self, improvement: Array, below: Array, deviation: Array) -> Array:
        """Return the log of the difference of the expected improvements at the edges, in deviations."""
        low = improvement[:, self._low]
        high = np.where(self._is_open, -np.inf, improvement[:, self._high])
        width = np.broadcast_to(self._width / deviation, low.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = low + np.log1p(-np.exp(np.minimum(high - low, 0.0)))
        is_narrow = (width < NARROW) | ~np.isfinite(found)
        if is_narrow.any():
            with np.errstate(divide="ignore"):
                narrow = np.log(width) + below[:, self._low]
            found = np.where(is_narrow, np.maximum(narrow, 2.0 * NOTHING), found)
        return found

    def _derivatives(self, z: Array, shape: Array, deviation: Array) -> tuple[Array, Array]:
        """Return the derivatives of the logarithm with respect to mean and deviation."""
        densities = -0.5 * z**2 - LOG_ROOT_2PI
        with np.errstate(invalid="ignore", over="ignore"):
            by_mean = np.exp(np.minimum(self._between(z) - shape, 700.0)) / deviation
            low = np.exp(np.minimum(densities[:, self._low] - shape, 700.0))
            high = np.exp(np.minimum(densities[:, self._high] - shape, 700.0))
        return self._sign * by_mean, (low - np.where(self._is_open, 0.0, high)) / deviation

    def _between(self, z: Array) -> Array:
        """Return the log of the chance to lie between the edges, by the tail that keeps its digits."""
        below, above = log_normal_cdf(z), log_normal_cdf(-z)
        is_right = ~self._is_open & (z[:, self._high] > 0.0)
        more = np.where(is_right, above[:, self._high], below[:, self._low])
        less = np.where(is_right, above[:, self._low], np.where(self._is_open, -np.inf, below[:, self._high]))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = more + np.log1p(-np.exp(less - more))
        return np.where(np.isnan(found), -np.inf, found)


@dataclass(frozen=True)
class TargetAxis:
    """An outcome that is to come near a target: the gain within a box is a weighted sum over distances.

    Parameters
    ----------
    approach
        The distances of all boxes, one after the other, as draws: shape (draws * boxes, nodes).
    is_box
        Shape (draws, boxes).
    """

    approach: Approach
    is_box: Mask

    def edges(self, rows: Array) -> Edges:
        """Return the log of the expected gain along this objective at *rows*, and its derivatives."""
        shape = (len(rows), *self.is_box.shape)
        glance = self.approach.field.at(rows)
        mean = np.repeat(glance.mean, self.is_box.shape[1], axis=1) if glance.mean.shape[1] > 1 else glance.mean
        part = self.approach.part(glance, mean)
        values = np.where(self.is_box, part.values.reshape(shape), NOTHING)
        return Edges(glance, values, lambda: reshaped(part.derivatives(), shape))


@dataclass(frozen=True)
class Front:
    """The expected gain in hypervolume, a factor of :class:`~sdl.planners.improvement.Improvement`."""

    axes: tuple[Axis, ...]
    shape: tuple[int, int]

    @property
    def width(self) -> int:
        """How many numbers a row takes."""
        return prod(self.shape)

    def look(self, rows: Array) -> FrontLook:
        """Return the log of the expected gain at *rows* in every draw."""
        edges = [axis.edges(rows) for axis in self.axes]
        within = np.sum([edge.values for edge in edges], axis=0)
        peak = within.max(axis=2, keepdims=True)
        shares = np.exp(within - peak)
        totals = shares.sum(axis=2, keepdims=True)
        return FrontLook((peak + np.log(totals))[:, :, 0], shares / totals, edges)


@dataclass(frozen=True)
class FrontLook:
    """The log of the expected gain, and each box's share of it."""

    values: Array
    shares: Array
    edges: Sequence[Edges]

    def slopes(self, weights: Array) -> Array:
        """Return the gradient of the average, where draws have *weights*, shape (n, draws)."""
        weighted = weights[:, :, None] * self.shares
        return np.asarray(np.sum([_slopes(edge, weighted) for edge in self.edges], axis=0))


def reshaped(derivatives: tuple[Array, Array], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return both in another shape."""
    by_mean, by_deviation = derivatives
    return by_mean.reshape(shape), by_deviation.reshape(shape)


def _slopes(edge: Edges, weighted: Array) -> Array:
    """Return the gradient of the sum over draws and boxes along one objective, shape (n, columns)."""
    by_mean, by_deviation = edge.derivatives()
    means = summed((weighted * by_mean).sum(axis=2), edge.glance.mean)
    return edge.glance.back(means, (weighted * by_deviation).sum(axis=(1, 2)))
