"""What forms when a mixture of powders is fired: a rule of kinetics for ternary oxides.

The exhibit behind it is N. J. Szymanski et al., "An autonomous laboratory for the accelerated synthesis of novel
materials" (A-Lab), Nature 624, 86 (2023): targets from a list, recipes that are improved from what formed, 41 of 58
targets made in 17 days (abstract). The targets there were compounds that nobody had made, and their structures came
from a database; the fourteen here are old ones, whose structures can be looked up.

A pair of precursors reacts as far as ``1 - exp(-(k t)^0.7)``, a stretched exponential as for diffusion through a
growing layer, with k after Arrhenius. Three things make recipes differ, as in the exhibit: some sources are more
reactive than others; some pairs of sources form a layer that ends the reaction early unless it is fired hotter; and
what contains lithium or zinc loses it when it is fired too hot. Which pair behaves how is drawn from a seed, since it
cannot be computed; the numbers are in :data:`CALIBRATED` and :data:`REACTING`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from sdl.simulators.answering import chance
from sdl.simulators.crystals import CRYSTALS

GAS = 8.314462618e-3  # kJ/(mol K)

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "activation": (260.0, "kJ/mol, of the reaction: cations that diffuse in oxides"),
        "hours": (5.0, "h to react as far as 1 - 1/e at the temperature of REACTING"),
        "stretching": (0.7, "exponent of time"),
        "spread": (0.7, "standard deviation of the logarithm of the rate among pairs of sources"),
        "blocked": (0.4, "share of pairs of sources that form a layer"),
        "layer": (0.4, "extent at which the layer ends the reaction"),
        "unblocking": (150.0, "K above the temperature of REACTING at which the layer lets through"),
        "unground": (0.3, "rate of powders that were not milled together"),
        "evaporation": (350.0, "kJ/mol, of the loss of lithium and zinc"),
        "lithium": (1000.0, "degC at which a tenth of a compound loses its lithium in an hour"),
        "zinc": (1250.0, "degC, likewise for zinc"),
        "noise": (0.15, "standard deviation of the logarithm of the rate between firings"),
    }
)
"""Numbers that were chosen, not measured: name -> (value, unit and reason)."""

REACTING: Mapping[str, float] = MappingProxyType(
    {
        "BaTiO3": 950.0,
        "SrTiO3": 1000.0,
        "BaZrO3": 1150.0,
        "LaAlO3": 1200.0,
        "LaFeO3": 950.0,
        "LaCoO3": 850.0,
        "MgAl2O4": 1150.0,
        "ZnAl2O4": 900.0,
        "CoAl2O4": 1050.0,
        "ZnFe2O4": 850.0,
        "NiFe2O4": 1000.0,
        "MgFe2O4": 950.0,
        "LiMn2O4": 700.0,
        "LiCoO2": 750.0,
    }
)
"""Target -> degC at which it forms within hours; chosen, in the range in which such powders are fired."""

SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Ba": ("BaCO3", "BaO"),
        "Sr": ("SrCO3", "SrO"),
        "La": ("La2O3",),
        "Mg": ("MgO", "MgCO3"),
        "Zn": ("ZnO", "ZnCO3"),
        "Co": ("Co3O4", "CoO"),
        "Ni": ("NiO",),
        "Li": ("Li2CO3",),
        "Ti": ("TiO2-anatase", "TiO2-rutile"),
        "Zr": ("ZrO2",),
        "Al": ("Al2O3",),
        "Fe": ("Fe2O3", "Fe3O4"),
        "Mn": ("MnO2", "MnO"),
    }
)
"""Metal -> what it comes from, the usual source first."""

RESIDUES: Mapping[str, tuple[tuple[float, str], ...]] = MappingProxyType(
    {
        "BaO": ((0.0, "BaCO3"),),
        "SrO": ((0.0, "SrCO3"),),
        "MgCO3": ((500.0, "MgO"),),
        "ZnCO3": ((350.0, "ZnO"),),
        "CoO": ((0.0, "Co3O4"),),
        "Fe3O4": ((500.0, "Fe2O3"),),
        "MnO": ((500.0, "MnO2"),),
        "TiO2-anatase": ((850.0, "TiO2-rutile"),),
    }
)
"""What is left of a source after firing in air above so many degC. Manganese oxides all count as MnO2."""

VOLATILE: Mapping[str, str] = MappingProxyType({"Li": "lithium", "Zn": "zinc"})


def _c(name: str) -> float:
    return CALIBRATED[name][0]


def metals(formula: Mapping[str, float]) -> dict[str, float]:
    """Return the metals of a formula and their numbers."""
    return {element: n for element, n in formula.items() if element not in {"O", "C"}}


def masses(target: str, sources: tuple[str, str], milligrams: float) -> dict[str, float]:
    """Return mg of each source that *milligrams* of the target take."""
    crystal = CRYSTALS[target]
    moles = milligrams / crystal.mass
    needed: dict[str, float] = {}
    for (metal, n), source in zip(metals(crystal.formula).items(), sources, strict=True):
        found = CRYSTALS[source]
        needed[source] = needed.get(source, 0.0) + moles * n / found.formula[metal] * found.mass
    return needed


def candidates(target: str) -> tuple[str, ...]:
    """Return the phases that may be in a product: the target, the sources of its metals, and what they leave."""
    sources = [source for metal in metals(CRYSTALS[target].formula) for source in SOURCES[metal]]
    left = [residue for source in sources for _, residue in RESIDUES.get(source, ())]
    return tuple(dict.fromkeys((target, *sources, *left)))


def target_of(contents: Mapping[str, float]) -> str | None:
    """Return the target whose two metals are those in *contents*."""
    found = {metal for source in contents for metal in metals(CRYSTALS[source].formula)}
    return next((name for name in REACTING if set(metals(CRYSTALS[name].formula)) == found), None)


def extent(
    target: str, sources: tuple[str, ...], temperature: float, hours: float, *, seed: int, rate: float = 1.0
) -> float:
    """Return how far the reaction goes, from 0 to 1.

    Parameters
    ----------
    target, sources
        What is to form, from what.
    temperature, hours
        degC, and the dwell.
    seed
        Which pairs of sources are slow, and which form a layer.
    rate
        What multiplies the rate besides: milling, noise.
    """
    rng = chance(seed, "+".join((target, *sorted(sources))), 0x5E)
    own = math.exp(_c("spread") * rng.standard_normal())
    reacting = REACTING[target]
    k = own * rate / _c("hours") * _arrhenius(_c("activation"), temperature, reacting)
    reached = 1 - math.exp(-((k * hours) ** _c("stretching")))
    is_blocked = rng.random() < _c("blocked") and temperature < reacting + _c("unblocking")
    return min(reached, _c("layer")) if is_blocked else reached


def lost(target: str, temperature: float, hours: float) -> float:
    """Return the share of the target that has lost its lithium or zinc."""
    kind = next((VOLATILE[metal] for metal in metals(CRYSTALS[target].formula) if metal in VOLATILE), None)
    if kind is None:
        return 0.0
    k = -math.log(0.9) * _arrhenius(_c("evaporation"), temperature, _c(kind))
    return 1 - math.exp(-k * hours)


def fire(
    contents: Mapping[str, float],
    temperature: float,
    hours: float,
    *,
    seed: int,
    rate: float = 1.0,
) -> dict[str, float]:
    """Return mg of each phase after firing mg of sources. What is no target's mixture only changes by itself."""
    target = target_of(contents)
    moles = {source: mass / CRYSTALS[source].mass for source, mass in contents.items()}
    left: dict[str, float] = {}
    made: dict[str, float] = {}
    if target is not None:
        formula = metals(CRYSTALS[target].formula)
        supply = {
            metal: sum(n * metals(CRYSTALS[s].formula).get(metal, 0) for s, n in moles.items()) for metal in formula
        }
        possible = min(supply[metal] / n for metal, n in formula.items())
        formed = possible * extent(target, tuple(contents), temperature, hours, seed=seed, rate=rate)
        kept = formed * (1 - lost(target, temperature, hours))
        made[target] = kept * CRYSTALS[target].mass
        for metal, n in formula.items():
            stays = 0.0 if metal in VOLATILE else formed - kept
            share = max(supply[metal] - n * (formed - stays), 0.0) / supply[metal]
            left |= {s: moles[s] * share for s in moles if metal in metals(CRYSTALS[s].formula)}
    else:
        left = moles
    for source, n in left.items():
        residue = _residue(source, temperature)
        metal = next(iter(metals(CRYSTALS[source].formula)))
        count = n * CRYSTALS[source].formula[metal] / CRYSTALS[residue].formula[metal]
        made[residue] = made.get(residue, 0.0) + count * CRYSTALS[residue].mass
    return {phase: mass for phase, mass in made.items() if mass > 0}


def _residue(source: str, temperature: float) -> str:
    for above, residue in RESIDUES.get(source, ()):
        if temperature > above:
            return residue
    return source


def _arrhenius(energy: float, temperature: float, reference: float) -> float:
    """Return the rate at *temperature* against that at *reference*, both in degC."""
    return math.exp(-energy / GAS * (1 / (temperature + 273.15) - 1 / (reference + 273.15)))
