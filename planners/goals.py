"""Objectives on whole arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdl.planners.encoding import Array
from sdl.problem import Maximize, Minimize, Objective, Target


def scores(objective: Objective, values: Array) -> Array:
    """Return the scores of outcome *values*, higher is better."""
    match objective:
        case Minimize():
            return -values
        case Maximize():
            return values
        case Target(range=(low, high)):
            return -(np.maximum(low - values, 0.0) + np.maximum(values - high, 0.0))


def pareto_mask(points: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which rows of *points*, shape (n, objectives), no other row dominates; higher is better."""
    is_as_good = (points[:, None, :] >= points[None, :, :]).all(axis=2)
    is_better = (points[:, None, :] > points[None, :, :]).any(axis=2)
    return np.asarray(~(is_as_good & is_better).any(axis=0))


def reference_point(given_references: Sequence[float | None], points: Array) -> Array:
    """Return the scores just worse than anything of interest, shape (objectives,).

    Where the user gives none, it lies below the worst of the Pareto front by a tenth of the front's range, the rule of
    Ishibuchi et al., "Reference point specification in hypervolume calculation" (GECCO 2011), as BoTorch has it. Of a
    front without range, the range of all points is taken.
    """
    front = points[pareto_mask(points)]
    worst = front.min(axis=0)
    nothing = 1e-9 * np.abs(points).max(axis=0)  # equal but for rounding
    ranges: Array = front.max(axis=0) - worst
    for wider in (points.max(axis=0) - points.min(axis=0), np.maximum(np.abs(worst), 1.0)):
        ranges = np.where(ranges > nothing, ranges, wider)
    reference: Array = worst - 0.1 * ranges
    for number, given in enumerate(given_references):
        if given is not None:
            reference[number] = given
    return reference
