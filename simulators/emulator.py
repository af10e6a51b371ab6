"""A smooth function fitted to a table of measurements, which answers between the measured points.

A Gaussian process with a Matérn-5/2 kernel and one length per parameter (Rasmussen and Williams, *Gaussian Processes
for Machine Learning*, 2006, chapters 2, 4 and 5), in plain numpy and scipy. What it says is a prediction, not a
measurement, so it carries its own error: leaving out one design at a time, which for a Gaussian process has a closed
form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg  # pyright: ignore[reportMissingTypeStubs]
import scipy.optimize  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from sdl.errors import ProblemError
from sdl.problem import ParameterValue

Array = NDArray[np.float64]

_linalg: Any = scipy.linalg  # scipy has no types
_optimize: Any = scipy.optimize

# The likelihood of more designs than this costs seconds and hardly moves the lengths.
MAX_DESIGNS_FOR_LENGTHS = 300
# In coordinates from 0 to 1: shorter than a step of the table is noise, longer than this is a straight line.
LENGTHS = (0.05, 20.0)
# Variance that the function does not explain, against the variance that it does.
NOISE = (1e-6, 1.0)
SQRT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Axis:
    """How one parameter becomes a coordinate: numbers go from 0 to 1, choices lie at distance 1 from each other."""

    name: str
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, values: Sequence[ParameterValue], *, is_log: bool = False) -> Axis:
        """Return the axis that spans *values*."""
        if any(isinstance(value, str) for value in values):
            return cls(name, choices=tuple(sorted({str(value) for value in values})))
        numbers = [_scaled(float(value), is_log) for value in values]
        return cls(name, low=min(numbers), high=max(numbers), is_log=is_log)

    def coordinate(self, value: ParameterValue) -> float:
        """Return the coordinate of *value*; the number of the choice for a choice."""
        if self.choices:
            return float(self.choices.index(str(value)))
        return (_scaled(float(value), self.is_log) - self.low) / ((self.high - self.low) or 1.0)

    def squared_distances(self, first: Array, second: Array) -> Array:
        """Return the squared distances between two columns of coordinates, shape ``(len(first), len(second))``."""
        difference = first[:, None] - second[None, :]
        return (difference != 0.0).astype(np.float64) if self.choices else difference**2


def _scaled(value: float, is_log: bool) -> float:
    return math.log(value) if is_log else value


def _kernel(squared: Array) -> tuple[Array, Array]:
    """Matérn 5/2 of the squared distance, and its derivative with respect to the squared distance."""
    distance = np.sqrt(squared)
    decay = np.exp(-SQRT5 * distance)
    return (1.0 + SQRT5 * distance + 5.0 / 3.0 * squared) * decay, -5.0 / 6.0 * (1.0 + SQRT5 * distance) * decay


def _loss(logs: Array, squares: Array, y: Array) -> tuple[float, Array]:
    """Minus the log likelihood per design, the scale of the outcome eliminated, and its gradient.

    ``logs`` are the logarithms of the lengths and of the noise; ``squares`` has shape (parameters, n, n).
    """
    lengths, noise = np.exp(logs[:-1]), math.exp(logs[-1])
    n = len(y)
    correlation, slope = _kernel(np.tensordot(lengths**-2.0, squares, axes=1))
    factor: tuple[Array, bool] = _linalg.cho_factor(correlation + noise * np.eye(n), lower=True)
    weights: Array = _linalg.cho_solve(factor, y)
    scale = max(float(y @ weights) / n, 1e-300)  # an outcome that is the same everywhere has none
    loss = 0.5 * math.log(scale) + float(np.log(np.diag(factor[0])).sum()) / n
    inverse: Array = _linalg.cho_solve(factor, np.eye(n))
    inner = 0.5 * (inverse - np.outer(weights, weights) / scale) / n
    by_lengths = [
        -2.0 * float((inner * slope * square).sum()) / length**2
        for square, length in zip(squares, lengths, strict=True)
    ]
    return loss, np.array([*by_lengths, noise * float(np.trace(inner))])


class Surface:
    """The fitted function of one outcome.

    Parameters
    ----------
    axes
        One for each parameter.
    x
        Coordinates of the designs, shape ``(n, len(axes))``.
    y
        The outcome at each design, shape ``(n,)``.
    rng
        Chooses the designs that the lengths are fitted to, where there are very many.
    """

    def __init__(self, axes: Sequence[Axis], x: Array, y: Array, *, rng: np.random.Generator) -> None:
        self._axes = tuple(axes)
        self._x = x
        self._center = float(y.mean())
        self._spread = float(y.std()) or 1.0
        scaled = (y - self._center) / self._spread
        self._lengths, noise = self._fit(scaled, rng)
        correlation, _ = _kernel(self._squared(x, x))
        factor = np.linalg.cholesky(correlation + noise * np.eye(len(x)))
        self._weights: Array = _linalg.cho_solve((factor, True), scaled)
        # Leaving out design i misses it by weights[i] / inverse[i, i] (Rasmussen and Williams, eq. 5.12).
        half: Array = _linalg.solve_triangular(factor, np.eye(len(x)), lower=True)
        self.leave_one_out: Array = self._spread * self._weights / (half**2).sum(axis=0)

    @property
    def error(self) -> float:
        """Root mean square of what leaving out one design at a time misses it by, in the outcome's unit."""
        return float(np.sqrt((self.leave_one_out**2).mean()))

    @property
    def explained(self) -> float:
        """The share of the outcome's variance that is predicted for designs left out; 1 is all, 0 the mean alone."""
        return 1.0 - (self.error / self._spread) ** 2

    def __call__(self, x: Array) -> Array:
        """Return the function at coordinates of shape ``(n, len(axes))``."""
        correlation, _ = _kernel(self._squared(x, self._x))
        predicted: Array = self._center + self._spread * (correlation @ self._weights)
        return predicted

    def _fit(self, y: Array, rng: np.random.Generator) -> tuple[Array, float]:
        chosen = np.arange(len(y))
        if len(y) > MAX_DESIGNS_FOR_LENGTHS:
            chosen = np.sort(rng.choice(len(y), MAX_DESIGNS_FOR_LENGTHS, replace=False))
        x = self._x[chosen]
        squares = np.stack([axis.squared_distances(x[:, i], x[:, i]) for i, axis in enumerate(self._axes)])
        start = np.log([0.5] * len(self._axes) + [1e-2])
        bounds = [tuple(np.log(LENGTHS))] * len(self._axes) + [tuple(np.log(NOISE))]
        fit = _optimize.minimize(_loss, start, args=(squares, y[chosen]), jac=True, bounds=bounds, method="L-BFGS-B")
        found: Array = np.exp(fit.x)
        return found[:-1], float(found[-1])

    def _squared(self, first: Array, second: Array) -> Array:
        total = np.zeros((len(first), len(second)))
        for i, axis in enumerate(self._axes):
            total += axis.squared_distances(first[:, i], second[:, i]) / self._lengths[i] ** 2
        return total


class Emulator:
    """Fitted functions of several outcomes over the same designs.

    Parameters
    ----------
    designs
        The settings, each a mapping from parameter to value; all with the same parameters, none twice.
    outcomes
        Outcome to its value at each design.
    logs
        The parameters that act through their logarithm.
    seed
        Of the choice of designs for fitting, where there are very many.
    """

    MIN_DESIGNS = 5

    def __init__(
        self,
        designs: Sequence[Mapping[str, ParameterValue]],
        outcomes: Mapping[str, Sequence[float]],
        *,
        logs: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if len(designs) < self.MIN_DESIGNS:
            raise ProblemError(
                f"an emulator needs at least {self.MIN_DESIGNS} different designs, got {len(designs)}",
                hint="use the table as a pool of candidates",
            )
        names = tuple(designs[0])
        self._axes = tuple(Axis.of(name, [d[name] for d in designs], is_log=name in logs) for name in names)
        x = self._coordinates(designs)
        self.surfaces = {
            outcome: Surface(self._axes, x, np.asarray(values, dtype=np.float64), rng=np.random.default_rng(seed))
            for outcome, values in outcomes.items()
        }

    def _coordinates(self, points: Sequence[Mapping[str, ParameterValue]]) -> Array:
        return np.array([[axis.coordinate(point[axis.name]) for axis in self._axes] for point in points])

    def predict(self, points: Sequence[Mapping[str, ParameterValue]]) -> dict[str, Array]:
        """Return every outcome at every point, shape ``(len(points),)`` each."""
        x = self._coordinates(points)
        return {outcome: surface(x) for outcome, surface in self.surfaces.items()}
