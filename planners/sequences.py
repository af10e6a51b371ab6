"""Point sequences in the unit cube."""

from __future__ import annotations

from math import ceil, log2

import numpy as np

from sdl.planners.encoding import Array


def sobol(start: int, n: int, dimension: int, seed: int) -> Array:
    """Return points *start* to *start* + *n* of a scrambled Sobol sequence, shape (n, dimension), in [0, 1)."""
    # A second of import that only this sequence pays. SciPy has no type information.
    from scipy.stats import qmc  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    # Asked for a power of 2, SciPy need not warn that the points are not balanced.
    sequence = qmc.Sobol(dimension, scramble=True, rng=seed)
    points: Array = np.asarray(sequence.random_base2(ceil(log2(max(start + n, 2)))), dtype=np.float64)
    return points[start : start + n]


def latin_hypercube(n: int, dimension: int, seed: int) -> Array:
    """Return a random Latin hypercube, shape (n, dimension), in [0, 1): each slice of each axis holds one point."""
    rng = np.random.default_rng(seed)
    slices = np.array([rng.permutation(n) for _ in range(dimension)]).T.reshape(n, dimension)
    return (slices + rng.random((n, dimension))) / n
