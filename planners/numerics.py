# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false
"""Typed access to the linear algebra and the optimiser of SciPy, which has no type information."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import LinearConstraint, minimize
from scipy.special import erfcx, log_ndtr, ndtr, ndtri, owens_t

Array = npt.NDArray[np.float64]

PRECISION = 1e-7
"""A search ends when a step gains less, relative to the value: what is searched are logarithms of densities."""


def cholesky(matrix: Array) -> Array | None:
    """Return the lower Cholesky factor (the upper triangle is not cleaned), None where there is none."""
    factor, failed = lapack.dpotrf(matrix, lower=1)
    return np.asarray(factor) if failed == 0 and np.isfinite(np.diag(factor)).all() else None


def solved(factor: Array, right: Array) -> Array:
    """Return ``inverse(matrix) @ right``, shape (n, k), of the matrix with the lower Cholesky *factor*."""
    solution, _ = lapack.dpotrs(factor, right, lower=1)
    return np.asarray(solution)


def lower_of_inverse(factor: Array) -> Array:
    """Return the lower triangle of the inverse of the matrix with the lower Cholesky *factor*; not what is above it."""
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.asarray(inverse)


def minimise(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: Sequence[tuple[float, float]],
    max_iterations: int,
) -> tuple[float, Array]:
    """Return value and place of a local minimum (L-BFGS-B). *function* returns value and gradient."""
    options = {"maxiter": max_iterations, "ftol": PRECISION}
    found = minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return float(found.fun), np.asarray(found.x)


def lower_inverse(factor: Array) -> Array:
    """Return the inverse of a lower triangular matrix, whose upper triangle is not looked at."""
    inverse, _ = lapack.dtrtri(factor, lower=1)
    return np.tril(np.asarray(inverse))


def log_normal_cdf(values: Array) -> Array:
    """Return the logarithm of the standard normal distribution function."""
    return np.asarray(log_ndtr(values))


def normal_cdf(values: Array) -> Array:
    """Return the standard normal distribution function."""
    return np.asarray(ndtr(values))


def owen(h: Array, a: Array) -> Array:
    """Return Owen's T function: the chance that a normal variable x exceeds *h*, and another lies in [0, *a* x]."""
    return np.asarray(owens_t(h, a))


def scaled_erfc(values: Array) -> Array:
    """Return ``exp(x ** 2) * erfc(x)``."""
    return np.asarray(erfcx(values))


def normal_draws(n: int, k: int, seed: int) -> Array:
    """Return *k* standard normal vectors of *n* numbers, shape (n, k): quasi-random ones up to Sobol's dimensions."""
    from scipy.stats.qmc import Sobol  # noqa: PLC0415 # as long to import as all the rest

    chance = np.random.default_rng(seed)
    if n > Sobol.MAXDIM:
        return chance.standard_normal((n, k))
    fractions = Sobol(n, scramble=True, rng=chance).random(k)
    return np.asarray(ndtri(np.clip(fractions, 1e-12, 1.0 - 1e-12))).T


def minimise_within(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: Sequence[tuple[float, float]],
    limits: Sequence[tuple[Array, float, float]],
    max_iterations: int,
) -> Array:
    """Return the place of a local minimum (SLSQP) where ``lower <= coefficients @ x <= upper`` for all *limits*."""
    constraints = [LinearConstraint(coefficients, lower, upper) for coefficients, lower, upper in limits]
    found = minimize(
        function,
        start,
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints=constraints,
        options={"maxiter": max_iterations},
    )
    return np.asarray(found.x)


def sobol_indices(function: Callable[[Array], Array], n_parameters: int, n: int) -> tuple[Array, Array]:
    """Return first-order and total Sobol indices of *function* of fractions, shape (rows, parameters), in [0, 1).

    Saltelli et al., "Variance based sensitivity analysis of model output", Computer Physics Communications 181, 259
    (2010), as SciPy has it. Nothing but zeros where the function is constant.
    """

    def transposed(fractions: Array) -> Array:
        return function(np.clip(fractions.T, 0.0, 1.0 - 1e-9))[None, :]

    if not n_parameters or np.ptp(function(np.random.default_rng(0).random((64, n_parameters)))) < 1e-9:
        return np.zeros(n_parameters), np.zeros(n_parameters)
    if n_parameters == 1:
        return np.ones(1), np.ones(1)
    from scipy.stats import sobol_indices as sensitivity  # noqa: PLC0415 # as long to import as all the rest
    from scipy.stats import uniform  # noqa: PLC0415

    found = sensitivity(func=transposed, n=n, dists=[uniform()] * n_parameters, rng=np.random.default_rng(0))
    return np.asarray(found.first_order).ravel(), np.asarray(found.total_order).ravel()
