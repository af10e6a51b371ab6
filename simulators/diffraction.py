"""Powder diffraction: patterns from crystal structures, and shares of phases from patterns.

A pattern is computed from structure factors, as in any textbook (B. E. Warren, X-ray Diffraction, 1969): the intensity
of a reflection is |F|^2 times its multiplicity times the factor of Lorentz and polarisation, over the square of the
cell's volume. Here it is given per unit of mass, so that the scale of a phase in a fit is its share by weight (R. J.
Hill and C. J. Howard, J. Appl. Cryst. 20, 467, 1987). All phases absorb alike, peaks are Gaussian, and there is no
texture. Lines and intensities of all structures agree with those of pymatgen 2026.10.24: to 0.01 degrees, and to 1.5 %
of the strongest line.

Phases are found by fitting all candidates at once with non-negative least squares (C. L. Lawson and R. J. Hanson,
Solving Least Squares Problems, 1974), for several zero shifts of the diffractometer, of which the best is kept.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# scipy has no stubs

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from sdl.simulators.crystals import CRYSTALS, FORM_FACTORS, Crystal

Array = NDArray[np.float64]

WAVELENGTH = 1.5406  # angstrom: copper K alpha 1
B_ISO = 0.6  # angstrom^2: thermal motion, the same for all atoms; assumed
WIDTH = 0.16  # degrees: standard deviation of a peak is this over 2.355; assumed
ANGLES: Array = np.arange(18.0, 70.0, 0.05)
"""Degrees 2 theta of a scan."""

ZERO_SHIFTS = (-0.04, -0.02, 0.0, 0.02, 0.04)
"""Degrees that a fit tries."""


def reciprocal(crystal: Crystal) -> tuple[Array, float]:
    """Return the matrix from Miller indices to the reciprocal vector, 1/angstrom, and the volume, angstrom^3."""
    a, b, c, angle = crystal.cell
    turned = math.radians(angle)
    if crystal.is_hexagonal:
        rows = [(a, 0, 0), (b * math.cos(turned), b * math.sin(turned), 0), (0, 0, c)]
    else:
        rows = [(a, 0, 0), (0, b, 0), (c * math.cos(turned), 0, c * math.sin(turned))]
    matrix = np.array(rows, dtype=float)
    return np.linalg.inv(matrix).T, float(abs(np.linalg.det(matrix)))


def form_factor(element: str, s: Array) -> Array:
    """Return electrons at *s*, sin(theta) / wavelength in 1/angstrom; the mean where two elements share a site."""
    shares = element.split("+")
    total = np.zeros_like(s)
    for name in shares:
        a, b, c = FORM_FACTORS[name]
        total += c + sum(ai * np.exp(-bi * s**2) for ai, bi in zip(a, b, strict=True))
    return total / len(shares)


def reflections(crystal: Crystal, highest: float = 72.0) -> tuple[Array, Array]:
    """Return 2 theta in degrees and the intensity per unit of mass of every reflection up to *highest* degrees.

    Every Miller index counts by itself, so multiplicities come about by themselves.
    """
    turn, volume = reciprocal(crystal)
    longest = 2 * math.sin(math.radians(highest / 2)) / WAVELENGTH
    reach = [math.ceil(longest * length) + 1 for length in crystal.cell[:3]]
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    q = np.linalg.norm(grid @ turn, axis=1)
    keep = (q > 1e-6) & (q < longest)
    grid, s = grid[keep], q[keep] / 2
    factor = np.zeros(len(grid), dtype=complex)
    for element in {name for name, _ in crystal.atoms}:
        places = np.array([place for name, place in crystal.atoms if name == element])
        factor += form_factor(element, s) * np.exp(2j * math.pi * grid @ places.T).sum(axis=1)
    theta = np.arcsin(s * WAVELENGTH)
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    n_units = sum(1 for _ in crystal.atoms) / sum(crystal.formula.values())
    mass = volume * n_units * crystal.mass
    strength = np.abs(factor) ** 2 * np.exp(-2 * B_ISO * s**2) * lorentz / mass
    return np.degrees(2 * theta), strength


@cache
def pattern(phase: str, shift: float = 0.0) -> Array:
    """Return the pattern of a pure phase at :data:`ANGLES`, per unit of mass, shape (angles,)."""
    angles, strengths = reflections(CRYSTALS[phase])
    places, which = np.unique(np.round(angles, 3), return_inverse=True)
    heights = np.bincount(which, strengths)
    sigma = WIDTH / 2.3548
    found = np.zeros_like(ANGLES)
    for place, height in zip(places + shift, heights, strict=True):
        low, high = np.searchsorted(ANGLES, (place - 6 * sigma, place + 6 * sigma))
        found[low:high] += height * np.exp(-0.5 * ((ANGLES[low:high] - place) / sigma) ** 2)
    found.setflags(write=False)
    return found


def mixture(shares: Mapping[str, float], *, counts: float, shift: float, rng: np.random.Generator) -> Array:
    """Return what a diffractometer counts for a mixture, shape (angles,).

    Parameters
    ----------
    shares
        By weight.
    counts
        At the strongest peak, about.
    shift
        Of the zero, degrees.
    rng
        Of the counting.
    """
    clean = np.zeros_like(ANGLES)
    for phase, share in shares.items():
        clean += share * np.interp(ANGLES - shift, ANGLES, pattern(phase))
    background = 0.02 + 0.03 * np.exp(-(ANGLES - ANGLES[0]) / 15)
    expected = counts * (clean / clean.max() if clean.max() > 0 else clean) + counts * background
    return np.asarray(rng.poisson(expected), dtype=float)


def fit_phases(counted: Sequence[float] | Array, candidates: Sequence[str]) -> tuple[dict[str, float], float]:
    """Return the share by weight of each of *candidates* in a pattern, and how well they explain it.

    Parameters
    ----------
    counted
        Counts at :data:`ANGLES`.
    candidates
        Names of phases.

    Returns
    -------
    The shares, which sum to 1 unless nothing was found, and the weighted profile residual (Rwp), 0 for a perfect fit.
    """
    data = np.asarray(counted, dtype=float)
    weights = 1 / np.sqrt(np.maximum(data, 1.0))
    fits = [_fit(data, weights, candidates, shift) for shift in ZERO_SHIFTS]
    scales, residual = min(fits, key=lambda fit: fit[1])
    total = float(scales.sum())
    shares = scales / total if total > 0 else scales
    norm = float(np.linalg.norm(weights * data)) or 1.0
    return {name: float(share) for name, share in zip(candidates, shares, strict=True)}, residual / norm


def _fit(data: Array, weights: Array, candidates: Sequence[str], shift: float) -> tuple[Array, float]:
    ramp = np.exp(-(ANGLES - ANGLES[0]) / 15)
    columns = [*(pattern(name, shift) for name in candidates), np.ones_like(ANGLES), ramp]
    matrix = np.stack(columns, axis=1)
    size = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    solution: tuple[Array, float] = nnls(weights[:, None] * matrix / size, weights * data)
    scales: Array = solution[0] / size
    return scales[: len(candidates)], float(solution[1])
