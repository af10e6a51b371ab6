"""How brightly a dyed stream fluoresces in a laser beam.

The beam is Gaussian: its intensity falls with the distance r from its axis as exp(-2 r^2 / w^2) (A. E. Siegman, Lasers,
University Science Books, 1986, chapter 17). The dye absorbs after Beer and Lambert, and glows in proportion to what is
absorbed in the stretch that the photodiode sees. What it absorbs before that stretch is lost, which is the primary
inner-filter effect (J. R. Lakowicz, Principles of Fluorescence Spectroscopy, 3rd ed., Springer, 2006, section 2.8): so
there is a best concentration, and more dye is darker.
"""

from __future__ import annotations

import math

TRAVEL = (0.0, 25.0)  # mm, of the stage; assumed
FLOW = (0.0, 2.0)  # mL/min of dye; assumed
CARRIER = 2.0  # mL/min, constant; assumed
STOCK = 2e-5  # mol/L of dye in the stock; assumed
DOSE_RATE = 1.0  # mL/s, of a dose; assumed

ABSORPTION = 1.16e5
"""L/(mol cm): molar absorption of rhodamine 6G in ethanol at 530 nm, about (H. Du et al., Photochem. Photobiol. 68,
141, 1998)."""

BEFORE, SEEN = 0.5, 0.2  # cm of stream before the stretch that the photodiode sees, and of that stretch; assumed
CENTRE, WAIST = 14.2, 5.0  # mm: where the beam is, and its radius w; assumed
FULL = 40.0  # nA if all light were absorbed in the stretch; assumed
DARK = 0.02  # nA; assumed
NOISE = 0.004  # relative, of one exposure of a second; assumed


def fluorescence(position: float, flow: float) -> float:
    """Return the current of the photodiode in nA, without noise.

    Parameters
    ----------
    position
        Of the stage, in mm.
    flow
        Of the dye, in mL/min.
    """
    concentration = STOCK * flow / (flow + CARRIER)
    per_cm = math.log(10) * ABSORPTION * concentration
    reaching = math.exp(-per_cm * BEFORE)
    absorbed = -math.expm1(-per_cm * SEEN)
    beam = math.exp(-2 * ((position - CENTRE) / WAIST) ** 2)
    return DARK + FULL * beam * reaching * absorbed


def best() -> tuple[float, float, float]:
    """Return the best position in mm, the best flow in mL/min, and the current there in nA."""
    per_cm = math.log1p(SEEN / BEFORE) / SEEN  # where the derivative of reaching * absorbed is zero
    share = per_cm / (math.log(10) * ABSORPTION * STOCK)
    flow = CARRIER * share / (1 - share)
    return CENTRE, flow, fluorescence(CENTRE, flow)
