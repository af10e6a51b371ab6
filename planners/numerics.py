# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false
"""Typed access to the linear algebra and the optimiser of SciPy, which has no type information."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]


def cholesky(matrix: Array) -> Array | None:
    """Return the lower Cholesky factor (the upper triangle is not cleaned), None where there is none."""
    factor, failed = lapack.dpotrf(matrix, lower=1)
    return np.asarray(factor) if failed == 0 and np.isfinite(factor).all() else None


def inverse_of(factor: Array) -> Array:
    """Return the inverse of the matrix with the lower Cholesky *factor*."""
    inverse, _ = lapack.dpotri(factor, lower=1)
    lower: Array = np.tril(np.asarray(inverse))
    return lower + np.tril(lower, -1).T


def minimise(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: Sequence[tuple[float, float]],
    max_iterations: int,
) -> tuple[float, Array]:
    """Return value and place of a local minimum (L-BFGS-B). *function* returns value and gradient."""
    found = minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": max_iterations})
    return float(found.fun), np.asarray(found.x)
