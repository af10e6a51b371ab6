"""Models that a user might have, to be imported by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Points = Sequence[Mapping[str, float | str]]

CENTRE = (0.72, 0.31, 0.55, 0.2)


def truth(v: Mapping[str, float | str]) -> dict[str, float]:
    x = np.array([float(v[name]) for name in "abcd"])
    return {"loss": float(10.0 * ((x - CENTRE) ** 2).sum() + np.sin(5.0 * x[0]) + 0.3 * np.cos(9.0 * x[1]))}


def good(points: Points) -> list[float]:
    """Right but for an offset and small things."""
    x = np.array([[float(point[name]) for name in "abcd"] for point in points])
    return list(2.0 + 10.0 * ((x - CENTRE) ** 2).sum(axis=1))


def misleading(points: Points) -> list[float]:
    return [-value for value in good(points)]


def of_nothing(points: Points) -> list[float]:
    return [float("nan")] * len(points)


def of_one_number(points: Points) -> float:
    return 1.0


def broken(points: Points) -> list[float]:
    raise RuntimeError("out of memory")


NO_FUNCTION = 3
