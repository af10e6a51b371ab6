"""How fast a suspension of a polymer photocatalyst makes hydrogen: a response surface with reasons.

The exhibit behind it is B. Burger et al., "A mobile robotic chemist", Nature 583, 237 (2020). What is verified:

* ten variables in dispensable steps, more than 98 million mixtures, 688 experiments in eight days, and mixtures six
  times as active as the first ones (abstract of the paper, and press reports of it);
* the ten, their stock solutions and their steps: the polymer P10 from 1 to 5 mg by 0.2 mg, nine liquids from 0 to 5 mL
  by 0.25 mL whose sum is at most 5 mL: L-cysteine (100 g/L), NaOH (1 M), NaCl (3 M), sodium disilicate (1 % by weight),
  the surfactants SDS and PVP (1 %), the dyes acid red 87 (1 g/L), methylene blue (250 mg/L) and rhodamine B (1 g/L)
  (names and ranges as in program code that works with the authors' published data).

The surface is this twin's own. Its factors have the form that chemistry suggests; their numbers stand in
:data:`CALIBRATED`. They are chosen so that P10 with cysteine alone makes 3.5 umol/h, and the best mixture a little more
than 21.05 umol/h, the figures that the published gain of six corresponds to. Base and silicate help, dyes and
surfactants harm, as the paper's abstract says of "beneficial components and negative ones" without naming them; which
are which is taken over from the authors' data in the second source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

VOLUME = 5.0
"""mL of liquid in a vial; what is not asked for is water."""

LIQUIDS = ("cysteine", "naoh", "nacl", "disilicate", "sds", "pvp", "acid_red", "methylene_blue", "rhodamine")
"""The nine liquids, dosed in mL."""

CYSTEINE = 100.0 / 121.16  # mol/L of the stock: 100 g/L, molar mass 121.16 g/mol
NAOH = 1.0  # mol/L of the stock
NACL = 3.0  # mol/L of the stock

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "rate": (23.3, "umol/h of a perfect mixture; sets 3.5 umol/h for 5 mg of P10 with 20 g/L of cysteine"),
        "absorbing": (2.3, "mg of P10 that take up a share 1 - 1/e of the light"),
        "adsorption": (0.045, "mol/L of cysteine at which half of the sites are taken (Langmuir and Hinshelwood)"),
        "crowding": (0.62, "mol/L of cysteine at which it stands in its own way"),
        "acid": (0.21, "activity without base; cysteine is oxidised as the thiolate"),
        "base": (1.05, "mol of NaOH per mol of cysteine at the best pH"),
        "base_width": (0.55, "mol per mol: beyond, the polymer is wetted badly and the drive for protons is lost"),
        "silicate": (0.80, "gain with much disilicate, which binds to the polymer"),
        "silicate_half": (0.25, "% by weight of disilicate in the vial for half of that gain"),
        "silicate_excess": (0.75, "% by weight of disilicate at which it begins to gel"),
        "salt": (0.16, "gain by ions that screen charges"),
        "salt_half": (0.05, "mol/L of ions for half of that gain"),
        "salting_out": (1.1, "mol/L of ions at which the polymer flocks"),
        "acid_red": (0.75, "per mL: light that the dye takes away"),
        "methylene_blue": (1.50, "per mL, likewise"),
        "rhodamine": (0.95, "per mL, likewise"),
        "sds": (0.35, "per mL: sites that the surfactant covers, and foam"),
        "pvp": (0.50, "per mL, likewise"),
        "unstirred": (0.65, "activity of a suspension that was not sonicated"),
    }
)
"""Numbers that were chosen, not measured: name -> (value, unit and reason)."""

START: Mapping[str, float] = MappingProxyType({"p10": 5.0, "cysteine": 1.0, **dict.fromkeys(LIQUIDS[1:], 0.0)})
"""What a chemist begins with: the catalyst and the scavenger."""


def _c(name: str) -> float:
    return CALIBRATED[name][0]


def hydrogen_rate(mixture: Mapping[str, float], *, is_dispersed: bool = True) -> float:
    """Return umol/h of hydrogen.

    Parameters
    ----------
    mixture
        ``p10`` in mg and :data:`LIQUIDS` in mL; what is missing is 0. The rest of 5 mL is water.
    is_dispersed
        Whether the suspension was sonicated.
    """
    ml = {name: mixture.get(name, 0.0) for name in LIQUIDS}
    cysteine = CYSTEINE * ml["cysteine"] / VOLUME
    base = NAOH * ml["naoh"] / VOLUME
    salt = NACL * ml["nacl"] / VOLUME
    light = 1 - math.exp(-mixture.get("p10", 0.0) / _c("absorbing"))
    factors = (
        light,
        cysteine / (cysteine + _c("adsorption")) / (1 + (cysteine / _c("crowding")) ** 2),
        alkalinity(base, cysteine),
        silicate(ml["disilicate"] / VOLUME),
        ions(salt + base),
        harm(ml),
        1.0 if is_dispersed else _c("unstirred"),
    )
    return _c("rate") * math.prod(factors)


def alkalinity(base: float, cysteine: float) -> float:
    """Return the activity at so many mol/L of base and of cysteine, 1 at the best ratio."""
    if cysteine <= 0:
        return 0.0
    ratio = base / cysteine
    top = _bell((ratio - _c("base")) / _c("base_width"))
    return _c("acid") + (1 - _c("acid")) * top if ratio < _c("base") else top


def silicate(percent: float) -> float:
    """Return the gain by disilicate, % by weight, which rises, saturates, and is lost where it gels."""
    gain = 1 + _c("silicate") * percent / (percent + _c("silicate_half"))
    return gain / (1 + (percent / _c("silicate_excess")) ** 4)


def ions(molar: float) -> float:
    """Return the effect of so many mol/L of ions."""
    return (1 + _c("salt") * molar / (molar + _c("salt_half"))) * _bell(molar / _c("salting_out"))


def harm(ml: Mapping[str, float]) -> float:
    """Return what dyes and surfactants leave of the activity; *ml* are their volumes."""
    optical = sum(_c(dye) * ml[dye] for dye in ("acid_red", "methylene_blue", "rhodamine"))
    return math.exp(-optical) / ((1 + _c("sds") * ml["sds"]) * (1 + _c("pvp") * ml["pvp"]))


def _bell(x: float) -> float:
    return math.exp(-x * x)
