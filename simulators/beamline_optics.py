"""How large and how bright the spot behind two bent mirrors is: the optics of a Kirkpatrick-Baez pair.

Each mirror focuses in one plane (P. Kirkpatrick and A. V. Baez, J. Opt. Soc. Am. 38, 766, 1948), so the planes are
worked out one by one and the spot is the product of two Gaussians. In a plane, all lengths being root mean squares:

* source: its size times q / p, the demagnification;
* defocus: a mirror bent to the curvature C and hit at the grazing angle t has 1/f = 2 C / sin t (Coddington's equation
  for the tangential plane; for bent mirrors M. R. Howells et al., Opt. Eng. 39, 2748, 2000), so rays at a height a come
  down beside the focus by q a (1/f - 1/p - 1/q). An error of the pitch changes t, so pitch and bend make up for one
  another;
* coma: the figure of an ellipse for the angle t, used at t + d. The third-order coefficient of the ellipse, about
  t / (8 q^2) for p much larger than q, is off by the share d / t, which moves rays by 3/4 d a^2 / (q t^2);
* slope errors e: 2 q e;
* diffraction by the opening g: a full width of 0.88 wavelength q / g (a slit's central maximum).

They are added in squares, which is exact for Gaussians and an approximation for the others.

The distances, sizes and ranges below are those of a twin, with the orders of magnitude of an undulator beamline; they
are no particular beamline's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FWHM = 2 * math.sqrt(2 * math.log(2))  # full width at half maximum of a Gaussian, in standard deviations
WAVELENGTH = 1.0332e-10  # m: 12 keV
SLOPE_ERROR = 0.15e-6  # rad, root mean square; a good mirror
PHOTONS = 2.0e12  # per second before the slits; assumed


@dataclass(frozen=True)
class Mirror:
    """One mirror and its plane.

    Parameters
    ----------
    p, q
        From the source to the mirror and on to the sample, m.
    angle
        Grazing, rad.
    length
        m.
    source, beam
        Size of the source and of the beam at the mirror, root mean square, m.
    """

    p: float
    q: float
    angle: float
    length: float
    source: float
    beam: float

    @property
    def curvature(self) -> float:
        """Curvature of the ellipse at its middle, 1/m."""
        return 0.5 * math.sin(self.angle) * (1 / self.p + 1 / self.q)


VERTICAL = Mirror(p=55.0, q=0.45, angle=3e-3, length=0.30, source=8e-6, beam=0.25e-3)
HORIZONTAL = Mirror(p=55.2, q=0.25, angle=3e-3, length=0.20, source=45e-6, beam=0.30e-3)


@dataclass(frozen=True)
class Setting:
    """How a mirror and its slit stand, all relative to where they would be perfect.

    Parameters
    ----------
    pitch
        rad.
    bend
        Curvature minus that of the ellipse, as a share of it.
    shift
        Of the mirror across the beam, m.
    gap
        Of the slit before it, m.
    """

    pitch: float = 0.0
    bend: float = 0.0
    shift: float = 0.0
    gap: float = 0.4e-3


@dataclass(frozen=True)
class Plane:
    """What comes down in one plane.

    Parameters
    ----------
    width
        Full width at half maximum, m.
    centre
        Where, m.
    share
        Of the photons, that passes slit and mirror.
    """

    width: float
    centre: float
    share: float


@dataclass(frozen=True)
class Spot:
    """The spot at the sample: widths and places in um, photons per second."""

    x: float
    y: float
    width: float
    height: float
    flux: float

    @property
    def density(self) -> float:
        """Photons per second and um2, at the peak."""
        return self.flux / (2 * math.pi * (self.width / FWHM) * (self.height / FWHM))


def opening(mirror: Mirror, setting: Setting) -> tuple[float, float]:
    """Return the lower and the upper edge of what slit and mirror let pass, m; none where the lower one is above."""
    half = 0.5 * mirror.length * math.sin(mirror.angle)
    return max(-setting.gap / 2, setting.shift - half), min(setting.gap / 2, setting.shift + half)


def plane(mirror: Mirror, setting: Setting) -> Plane:
    """Return the spot in one plane."""
    low, high = opening(mirror, setting)
    if high <= low:
        return Plane(math.inf, 0.0, 0.0)
    share, spread = _passed(low, high, mirror.beam)
    q, angle = mirror.q, mirror.angle
    power = 2 * mirror.curvature * (1 + setting.bend) / math.sin(angle + setting.pitch)
    parts = (
        mirror.source * q / mirror.p,
        q * spread * (power - 1 / mirror.p - 1 / q),
        0.75 * setting.pitch * spread**2 / (q * angle**2),
        2 * q * SLOPE_ERROR,
        0.88 * WAVELENGTH * q / (high - low) / FWHM,
    )
    return Plane(FWHM * math.hypot(*parts), 2 * q * setting.pitch, share)


def spot(vertical: Setting, horizontal: Setting) -> Spot:
    """Return the spot behind both mirrors."""
    y, x = plane(VERTICAL, vertical), plane(HORIZONTAL, horizontal)
    return Spot(1e6 * x.centre, 1e6 * y.centre, 1e6 * x.width, 1e6 * y.width, PHOTONS * x.share * y.share)


def _passed(low: float, high: float, sigma: float) -> tuple[float, float]:
    """Return the share of a Gaussian beam between two edges, and the standard deviation of what passes."""
    a, b = low / sigma, high / sigma
    share = 0.5 * (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2)))
    if share < 1e-12:
        return 0.0, (high - low) / math.sqrt(12)
    density_a, density_b = (math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) for x in (a, b))
    mean = (density_a - density_b) / share
    variance = 1 + (a * density_a - b * density_b) / share - mean**2
    return share, sigma * math.sqrt(max(variance, 1e-12))


def sample_map(x: float, y: float, seed: int) -> float:
    """Return the signal of the sample at *x*, *y* in um, from about 0.05 to 1.4: grains on a ramp, and a crack.

    The sample is made up: seven grains of different size and height, placed by the *seed*.
    """
    rng = np.random.default_rng([seed, 0x5A])
    places = rng.uniform(10, 90, size=(7, 2))
    widths = rng.uniform(6, 16, size=7)
    heights = rng.uniform(0.3, 1.0, size=7)
    signal = 0.1 + 0.001 * x
    for (cx, cy), width, height in zip(places, widths, heights, strict=True):
        signal += height * math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    crack = 1 - 0.6 * math.exp(-(((x - 0.4 * y - 30) / 4) ** 2))
    return float(signal * crack)


def best_spot(settings: Mapping[str, float] | None = None) -> Spot:
    """Return the spot of perfect mirrors with slits as given (``gap_v``, ``gap_h`` in m), or else the densest."""
    if settings is not None:
        return spot(Setting(gap=settings["gap_v"]), Setting(gap=settings["gap_h"]))
    gaps = np.linspace(0.05e-3, 0.9e-3, 86)
    tall = max(gaps, key=lambda gap: _narrow(VERTICAL, float(gap)))
    wide = max(gaps, key=lambda gap: _narrow(HORIZONTAL, float(gap)))
    return spot(Setting(gap=float(tall)), Setting(gap=float(wide)))


def _narrow(mirror: Mirror, gap: float) -> float:
    found = plane(mirror, Setting(gap=gap))
    return found.share / found.width
