"""Conductivity and freezing of mixtures of carbonates with a lithium salt.

The exhibit is the manner in which NIMS-OS explores electrolytes: a list of candidate mixtures, of which an algorithm
takes the next ones for a robot, with goals that need not be an optimum (R. Tamura, K. Tsuda and S. Matsuda, Sci.
Technol. Adv. Mater. Methods 3, 2232297, 2023; abstract). Its robot does electrochemistry on other electrolytes; the
mixtures, the properties and the numbers here are this twin's own.

Conductivity: the equation of J. F. Casteel and E. S. Amis (J. Chem. Eng. Data 17, 55, 1972) in the molality of the
salt, with a height of its maximum that depends on the solvent. That the surface is a dome in molality and solvent
is what M. S. Ding found for LiPF6 in PC and DEC (J. Chem. Eng. Data 48, 519, 2003; abstract).

Freezing: a solvent crystallises below the temperature of Schroeder and van Laar's equation for ideal solutions,
``ln x = -H / R (1 / T - 1 / Tm)``, with the salt counting as two ions. Melting points and enthalpies of EC and DMC are
handbook values; EMC freezes at -53 degC and is not reached here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

GAS = 8.314462618  # J/(mol K)

MASSES: Mapping[str, float] = MappingProxyType({"ec": 88.06, "dmc": 90.08, "emc": 104.10})
"""g/mol of ethylene, dimethyl and ethyl methyl carbonate."""

MELTING: Mapping[str, tuple[float, float]] = MappingProxyType({"ec": (309.5, 13_300.0), "dmc": (277.7, 11_600.0)})
"""Melting point, K, and enthalpy of fusion, J/mol."""

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "height": (11.3, "mS/cm at 25 degC of the best mixture; EC and DMC with 1 mol/kg of LiPF6 have 10 to 12"),
        "ec": (0.36, "share of EC at the maximum: more dissociates better, but is thicker"),
        "ec_width": (0.62, "share of EC from there to no conductivity"),
        "dmc": (0.22, "loss from all DMC to all EMC as the thin solvent"),
        "place": (1.05, "mol/kg of salt at the maximum"),
        "exponent": (0.95, "of the equation of Casteel and Amis"),
        "curvature": (-0.10, "of the same, (kg/mol)^2"),
        "activation": (2300.0, "K: how the conductivity falls with the temperature"),
    }
)
"""Numbers that were chosen, not measured: name -> (value, unit and reason)."""


def _c(name: str) -> float:
    return CALIBRATED[name][0]


def conductivity(ec: float, dmc: float, emc: float, salt: float, celsius: float = 25.0) -> float:
    """Return mS/cm of a mixture: shares of the solvents by mass, which sum to 1, and mol of salt per kg of them."""
    if salt <= 0:
        return 0.0
    dome = max(1 - ((ec - _c("ec")) / _c("ec_width")) ** 2, 0.02)
    thin = 1 - _c("dmc") * emc / max(dmc + emc, 1e-9)
    place, exponent = _c("place"), _c("exponent")
    excess = salt - place
    shape = (salt / place) ** exponent * math.exp(_c("curvature") * excess**2 - exponent * excess / place)
    cold = math.exp(-_c("activation") * (1 / (celsius + 273.15) - 1 / 298.15))
    return float(_c("height") * dome * thin * shape * cold)


def crystals(ec: float, dmc: float, emc: float, salt: float, celsius: float) -> tuple[int, float]:
    """Return which solvent crystallises first at *celsius* (0 none, 1 EC, 2 DMC), and how far below it is, K."""
    moles = {"ec": ec / MASSES["ec"], "dmc": dmc / MASSES["dmc"], "emc": emc / MASSES["emc"]}
    total = sum(moles.values()) + 2 * salt / 1000.0
    below = {name: freezing_point(name, moles[name] / total) - celsius for name in MELTING}
    name, most = max(below.items(), key=lambda item: item[1])
    return (list(MELTING).index(name) + 1, most) if most > 0 else (0, 0.0)


def freezing_point(solvent: str, share: float) -> float:
    """Return degC below which a solvent with this mole fraction crystallises; absolute zero where there is none."""
    melting, enthalpy = MELTING[solvent]
    if share <= 0:
        return -273.15
    return 1 / (1 / melting - GAS * math.log(share) / enthalpy) - 273.15
