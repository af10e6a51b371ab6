"""Light through dissolved dye, and the current of a dissolved redox couple.

Light: the law of Beer and Lambert, ``A = epsilon c l``. Light that reaches the detector by other ways, a share ``s`` of
all, bounds what an instrument can show: ``-log10((10**-A + s) / (1 + s))``, the usual expression for stray light.

Current: a couple that follows Nernst's equation at a planar electrode, with both of its forms diffusing equally fast.
Then the share that is oxidised at the surface is given by the potential alone, and the current is the semi-derivative
of it in time (K. B. Oldham, Anal. Chem. 44, 196, 1972):
``I = F A c sqrt(D) d^0.5/dt^0.5 [1 / (1 + exp(-F (E - E0) / (R T)))]``, for one electron. It is computed with the
weights of Gruenwald and Letnikov. For a step this is Cottrell's equation, for a sweep the current function of
R. S. Nicholson and I. Shain (Anal. Chem. 36, 706, 1964), whose maximum 0.4463 is in the equation of Randles and Sevcik.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FARADAY = 96_485.33212  # C/mol
GAS = 8.314462618  # J/(mol K)

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "epsilon": (10_000.0, "L/(mol cm) of the dye at its maximum; strong dyes have 1e4 to 1e5"),
        "centre": (520.0, "nm: where the dye absorbs most"),
        "width": (35.0, "nm: standard deviation of the band"),
        "stray": (1e-4, "share of stray light; simple instruments have 1e-3, good ones 1e-6"),
        "potential": (0.40, "V: where half of the couple is oxidised"),
        "diffusion": (1e-5, "cm^2/s; small molecules in water have 0.5 to 2e-5"),
        "area": (0.0707, "cm^2: a disk of 3 mm"),
        "double_layer": (20e-6, "F/cm^2; bare metal in water has 10 to 40"),
    }
)
"""Numbers that were chosen, not measured: name -> (value, unit and reason)."""


def constant(name: str) -> float:
    """Return one of the :data:`CALIBRATED` numbers."""
    return CALIBRATED[name][0]


def absorbance(molar: float, centimetres: float, wavelength: float) -> float:
    """Return the decadic absorbance of dye at *molar* mol/L on a path of so many cm, at *wavelength* nm."""
    band = math.exp(-0.5 * ((wavelength - constant("centre")) / constant("width")) ** 2)
    return constant("epsilon") * band * molar * centimetres


def shown(true: float, stray: float | None = None) -> float:
    """Return the absorbance that an instrument with stray light shows."""
    share = constant("stray") if stray is None else stray
    return -math.log10((10.0**-true + share) / (1 + share))


def semi_derivative(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return the derivative of order one half of *values* (shape ``(n,)``), which stand *step* seconds apart.

    Before the first of them the function was zero. The error is of the order of *step*.
    """
    k = np.arange(1, len(values))
    weights = np.concatenate(([1.0], np.cumprod((k - 1.5) / k)))
    n = 2 * len(values)  # a convolution by Fourier transforms, with room for what would come around
    together = np.fft.rfft(values, n) * np.fft.rfft(weights, n)
    found: NDArray[np.float64] = np.fft.irfft(together, n)[: len(values)] / math.sqrt(step)
    return found


def current(potentials: NDArray[np.float64], step: float, molar: float, kelvin: float = 298.15) -> NDArray[np.float64]:
    """Return amperes at *potentials* (V, shape ``(n,)``, *step* seconds apart); oxidation is positive.

    *molar*: mol/L of the reduced form, all of the couple at first. The charging of the double layer is in it.
    """
    nernst = (potentials - constant("potential")) * FARADAY / (GAS * kelvin)
    oxidised = 1 / (1 + np.exp(-np.clip(nernst, -500, 500)))
    faradaic = FARADAY * constant("area") * molar * 1e-3 * math.sqrt(constant("diffusion"))
    charging = constant("double_layer") * constant("area") * np.gradient(potentials, step)
    found: NDArray[np.float64] = faradaic * semi_derivative(oxidised, step) + charging
    return found
