"""Scales on which an outcome looks like a Gaussian process: linear, logarithmic, or compressed at one end.

A film's resistance runs over three decades; on a linear scale a stationary model sees one spike and a plain. Which
scale an outcome is modelled on is decided by the evidence of the data, the Jacobian of the scale included, so that the
densities compared are all densities of the outcome itself. Every scale is monotone and reaches every real number, so
a prediction can always be carried back.

The compressing scales are the Yeo-Johnson transforms with parameters 0 and 2: Yeo and Johnson, "A new family of power
transformations to improve normality or symmetry", Biometrika 87, 954 (2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LARGEST_EXPONENT = 300.0
"""Exponents are cut here on the way back, so that a wild extrapolation stays a finite number even when squared."""

N_QUANTILES = 801
"""Nodes of the trapezoidal rule over the normal density."""


class Scale(StrEnum):
    """The family of scales."""

    LINEAR = "linear"
    LOG = "logarithmic"
    COMPRESSED_ABOVE = "compressed above"
    COMPRESSED_BELOW = "compressed below"


FAR_OUT = 20.0
"""A logarithm so many times the spread of the upper half (of a factor of e at least) below the median is no value."""

Wanted = Literal["low", "high"] | None
"""Which end of an outcome is sought."""

HIDING: dict[Wanted, tuple[Scale, ...]] = {
    "low": (Scale.COMPRESSED_BELOW,),
    "high": (Scale.LOG, Scale.COMPRESSED_ABOVE),
    None: (),
}
"""The scales that compress an end."""


SMALLEST_UNIT = 1e-150
"""Nothing is divided by less: squares of what comes out would overflow."""


@dataclass(frozen=True)
class Warp:
    """A monotone map between an outcome, in its unit, and standardised values; greater stays greater.

    ``standardised = (scale((outcome - origin) / unit) - mean) / spread``
    """

    scale: Scale
    origin: float = 0.0
    unit: float = 1.0
    mean: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, scale: Scale, values: Array) -> Warp:
        """Return the warp of kind *scale* that gives *values* mean 0 and variance 1."""
        origin, unit = _origin_and_unit(scale, values)
        curved = _curve(scale, (values - origin) / unit)
        mean = float(curved.mean())
        return cls(scale, origin, unit, mean, _spread(curved))

    def forward(self, values: Array) -> Array:
        """Return standardised values. Outcomes that the scale cannot hold (a log of no positive number) become -inf."""
        return (_curve(self.scale, (values - self.origin) / self.unit) - self.mean) / self.spread

    def slope(self, values: Array) -> Array:
        """Return the derivative of :meth:`forward`."""
        return _slope(self.scale, (values - self.origin) / self.unit) / (self.unit * self.spread)

    def backward(self, standardised: Array) -> Array:
        """Return outcomes in their unit."""
        return _straighten(self.scale, standardised * self.spread + self.mean) * self.unit + self.origin

    def moments(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the outcome where its standardised value is normal."""
        if self.scale is Scale.LINEAR:
            return self.backward(mean), deviation * self.spread * self.unit
        nodes, weights = normal_nodes()
        values = self.backward(mean[:, None] + deviation[:, None] * nodes)
        centre = values @ weights
        return centre, np.sqrt(np.maximum((values - centre[:, None]) ** 2 @ weights, 0.0))


def normal_nodes() -> tuple[Array, Array]:
    """Return nodes and weights for expectations over a standard normal variable: reaches 8 standard deviations."""
    nodes = np.linspace(-8.0, 8.0, N_QUANTILES)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def possible_scales(values: Array, wanted: Wanted = None) -> list[Scale]:
    """Return the scales worth a comparison: a log only of positive values, nothing but linear for few or equal ones.

    A scale that compresses the end that is *wanted* is left out. It hides the differences between good trials, and
    promises more beyond them than there is: where a yield of 90 % is sought, a factor of ten is not to be had.
    """
    if len(np.unique(values)) < 4:
        return [Scale.LINEAR]
    bent = [Scale.COMPRESSED_ABOVE, Scale.COMPRESSED_BELOW]
    bent = [Scale.LOG, *bent] if _has_logarithm(values) else bent
    return [Scale.LINEAR, *(scale for scale in bent if scale not in HIDING[wanted])]


def _has_logarithm(values: Array) -> bool:
    """Tell whether a logarithm makes the values more alike.

    Where an outcome vanishes but for rounding, its logarithm sets that trial apart from all others, and the density of
    the smallest numbers, which evidence counts in a log scale's favour, is that of rounding errors.
    """
    if values.min() <= 0.0:
        return False
    median, high = np.quantile(np.log(values), [0.5, 0.75])
    return bool(median - np.log(values.min()) <= FAR_OUT * max(2.0 * (high - median), 1.0))


def _origin_and_unit(scale: Scale, values: Array) -> tuple[float, float]:
    """Return what makes values plain numbers of moderate size: for the bent scales median and interquartile range."""
    if scale is Scale.LOG:
        return 0.0, 1.0
    low, median, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    extent = float(values.max() - values.min())
    least = max(1e-12 * max(abs(median), extent), SMALLEST_UNIT)
    return median, next((width for width in (high - low, extent, abs(median)) if width > least), 1.0)


def _spread(curved: Array) -> float:
    deviation = float(curved.std(ddof=1)) if len(curved) > 1 else 0.0
    return deviation if deviation > 1e-9 * max(1.0, float(np.abs(curved).max())) else 1.0


def _curve(scale: Scale, values: Array) -> Array:
    match scale:
        case Scale.LINEAR:
            return values
        case Scale.LOG:
            return np.log(values, out=np.full_like(values, -np.inf), where=values > 0)
        case Scale.COMPRESSED_ABOVE:
            return _compress(values)
        case Scale.COMPRESSED_BELOW:
            return -_compress(-values)


def _slope(scale: Scale, values: Array) -> Array:
    match scale:
        case Scale.LINEAR:
            return np.ones_like(values)
        case Scale.LOG:
            return 1.0 / values
        case Scale.COMPRESSED_ABOVE:
            return _compression(values)
        case Scale.COMPRESSED_BELOW:
            return _compression(-values)


def _straighten(scale: Scale, curved: Array) -> Array:
    match scale:
        case Scale.LINEAR:
            return curved
        case Scale.LOG:
            return np.exp(np.clip(curved, -LARGEST_EXPONENT, LARGEST_EXPONENT))
        case Scale.COMPRESSED_ABOVE:
            return _decompress(curved)
        case Scale.COMPRESSED_BELOW:
            return -_decompress(-curved)


def _compress(values: Array) -> Array:
    """Yeo-Johnson with parameter 0: a logarithm above zero, a parabola below."""
    above, below = np.maximum(values, 0.0), np.minimum(values, 0.0)
    return np.where(values >= 0.0, np.log1p(above), -0.5 * ((1.0 - below) ** 2 - 1.0))


def _compression(values: Array) -> Array:
    return np.where(values >= 0.0, 1.0 / (1.0 + np.maximum(values, 0.0)), 1.0 - np.minimum(values, 0.0))


def _decompress(curved: Array) -> Array:
    above = np.expm1(np.clip(curved, 0.0, LARGEST_EXPONENT))
    below = 1.0 - np.sqrt(1.0 - 2.0 * np.clip(curved, -1e300, 0.0))
    return np.where(curved >= 0.0, above, below)
