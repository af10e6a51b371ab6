"""Test functions, each to be minimised, and what places them anew for every seed.

Functions take an array of shape ``(..., d)`` and return one of shape ``(...)``. Those that are placed at random have
their smallest value everywhere, not in a box only, so that it stays the smallest when they are shifted and turned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

BRANIN_AT = np.array([np.pi, 2.275])
BRANIN_BEST = 0.39788735772973816
HARTMANN_AT = np.array([0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053])
HARTMANN_BEST = -3.322368011415515

_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def branin(z: Array) -> Array:
    """Branin's function of two numbers; Dixon and Szegoe, Towards Global Optimisation 2 (1978)."""
    x, y = z[..., 0], z[..., 1]
    valley = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
    return np.asarray(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)


def hartmann(z: Array) -> Array:
    """Hartmann's function of six numbers; Dixon and Szegoe (1978)."""
    inner = np.sum(_HARTMANN_A * (z[..., None, :] - _HARTMANN_P) ** 2, axis=-1)
    return np.asarray(-np.sum(_HARTMANN_WEIGHTS * np.exp(-inner), axis=-1))


def ackley(z: Array) -> Array:
    """Ackley's function: one funnel under many small dents; Ackley, A Connectionist Machine (1987)."""
    radius = np.sqrt(np.mean(z**2, axis=-1))
    return np.asarray(-20 * np.exp(-0.2 * radius) - np.exp(np.mean(np.cos(2 * np.pi * z), axis=-1)) + 20 + np.e)


def levy(z: Array) -> Array:
    """Levy's function, smallest (0) where all numbers are 1; Laguna and Marti, J. Global Optim. 33, 235 (2005)."""
    w = 1 + (z - 1) / 4
    first = np.sin(np.pi * w[..., 0]) ** 2
    middle = np.sum((w[..., :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[..., :-1] + 1) ** 2), axis=-1)
    return np.asarray(first + middle + (w[..., -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[..., -1]) ** 2))


def rosenbrock(z: Array) -> Array:
    """Rosenbrock's curved valley, smallest (0) where all numbers are 1; Comput. J. 3, 175 (1960). Here in thousands."""
    return np.asarray(np.sum(100 * (z[..., 1:] - z[..., :-1] ** 2) ** 2 + (1 - z[..., :-1]) ** 2, axis=-1) / 1000)


def ellipsoid(z: Array) -> Array:
    """A bowl a thousand times steeper one way than another; as f10 of Hansen et al., RR-6829 (2009), but milder."""
    weights = 10 ** np.linspace(0.0, 3.0, z.shape[-1])
    return np.asarray(np.sum(weights * z**2, axis=-1) / 1000)


def sharp_ridge(z: Array) -> Array:
    """A ridge that is not smooth across; f13 of Hansen et al., RR-6829 (2009), a tenth of it."""
    return np.asarray(z[..., 0] ** 2 / 10 + 10 * np.sqrt(np.sum(z[..., 1:] ** 2, axis=-1)))


def currin(z: Array) -> Array:
    """Currin's exponential function of two numbers in the unit square; Currin et al., ORNL-6498 (1988)."""
    x, y = z[..., 0], np.maximum(z[..., 1], 1e-9)
    factor = 1 - np.exp(-1 / (2 * y))
    return np.asarray(factor * (2300 * x**3 + 1900 * x**2 + 2092 * x + 60) / (100 * x**3 + 500 * x**2 + 4 * x + 20))


def peaks(n_dimensions: int, n_peaks: int, rng: np.random.Generator) -> tuple[Function, Array]:
    """Return a landscape of Gaussian peaks of random widths, and where its deepest point (0) is.

    After f21 of Hansen et al., RR-6829 (2009): the deepest has weight 10, the others 1.1 to 9.1; the conditions of
    their quadratic forms are spread over 1 to 1000. In the unit cube.
    """
    centres = rng.uniform(0.1, 0.9, (n_peaks, n_dimensions))
    weights = np.r_[10.0, np.linspace(1.1, 9.1, n_peaks - 1)]
    conditions = 1000 ** rng.permutation(np.linspace(0, 1, n_peaks))
    conditions[0] = 30.0
    forms = np.stack([_form(condition, n_dimensions, rng) for condition in conditions])

    def landscape(z: Array) -> Array:
        off = 10 * (z[..., None, :] - centres)
        squares = np.einsum("...ki,kij,...kj->...k", off, forms, off)
        return np.asarray(10 - np.max(weights * np.exp(-squares / (2 * n_dimensions)), axis=-1))

    return landscape, centres[0]


def _form(condition: float, n_dimensions: int, rng: np.random.Generator) -> Array:
    turn = rotation(n_dimensions, rng)
    axes = condition ** (np.linspace(0, 1, n_dimensions) / 2) / condition**0.25
    return np.asarray(turn.T @ np.diag(axes) @ turn)


def rotation(n_dimensions: int, rng: np.random.Generator) -> Array:
    """Return a random rotation, uniform over all; Mezzadri, Notices AMS 54, 592 (2007)."""
    q, r = np.linalg.qr(rng.normal(size=(n_dimensions, n_dimensions)))
    return np.asarray(q * np.sign(np.diag(r)))


def shuffle(n_dimensions: int, rng: np.random.Generator) -> Array:
    """Return a random exchange of axes with random signs."""
    return np.asarray(np.eye(n_dimensions)[rng.permutation(n_dimensions)] * rng.choice([-1.0, 1.0], n_dimensions))


@dataclass(frozen=True)
class Placement:
    """Puts a function into the unit cube: ``z = centre + size * turn @ (u - at)``; its optimum is then at *at*."""

    at: Array
    centre: Array
    size: float
    turn: Array

    @classmethod
    def random(
        cls, centre: Array, size: float, rng: np.random.Generator, *, margin: float = 0.2, is_rotated: bool = False
    ) -> Placement:
        """Draw where the optimum is, at least *margin* from the faces, and how the axes lie."""
        n = len(centre)
        turn = (rotation if is_rotated else shuffle)(n, rng)
        return cls(rng.uniform(margin, 1 - margin, n), centre, size, turn)

    def __call__(self, u: Array) -> Array:
        return np.asarray(self.centre + self.size * (u - self.at) @ self.turn.T)


@dataclass(frozen=True)
class Window:
    """Puts a part of a box into the unit cube, with axes exchanged and turned round: ``u`` to a point of the box."""

    low: Array
    high: Array
    order: NDArray[np.int64]
    is_turned: NDArray[np.bool_]

    @classmethod
    def random(
        cls, low: Array, high: Array, rng: np.random.Generator, *, keep: Array | None = None, share: float = 0.3
    ) -> Window:
        """Cut at most *share* of what lies between the faces and *keep* from each side; nothing without *keep*."""
        n = len(low)
        if keep is not None:
            cuts = rng.uniform(0, share, (2, n))
            low, high = low + cuts[0] * (keep - low), high - cuts[1] * (high - keep)
        return cls(low, high, rng.permutation(n), rng.random(n) < 0.5)

    def __call__(self, u: Array) -> Array:
        share = np.where(self.is_turned, 1 - u, u)[..., self.order]
        return np.asarray(self.low + share * (self.high - self.low))
