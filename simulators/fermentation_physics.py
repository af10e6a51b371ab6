"""How a bacterium grows, overflows and makes a product in a fed batch: a model of ordinary differential equations.

Growth and overflow follow B. Xu, M. Jahic and S.-O. Enfors, "Modeling of overflow metabolism in batch and fed-batch
cultures of Escherichia coli", Biotechnol. Prog. 15, 81 (1999): glucose is taken up after Monod; what the respiration
cannot take (its limit is reached at a critical uptake) flows over into acetate; acetate is taken up again when there is
respiration to spare, and inhibits the uptake of glucose. From its abstract, and verified: the inhibition constant of
9 g/L, an uptake of acetate of 0.12 to 0.18 g/(g h), overflow of up to 9 % of the glucose's carbon. The other constants
of growth are of the usual size for E. coli on glucose, and stand with the twin's own in :data:`CALIBRATED`.

The recombinant product is the twin's own: it is made after induction in proportion to growth and, less, to biomass
(R. Luedeking and E. L. Piret, J. Biochem. Microbiol. Technol. Eng. 1, 393, 1959), inducing slows growth down, and in
the warmth a part of the product is lost as inclusion bodies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CALIBRATED: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "uptake": (1.25, "g/(g h): largest uptake of glucose"),
        "monod": (0.05, "g/L of glucose at half of it"),
        "critical": (0.75, "g/(g h): uptake that the respiration can take at 37 degC"),
        "overflow": (0.25, "g of acetate per g of glucose beyond it; about 9 % of all glucose's carbon in batch"),
        "acetate_uptake": (0.15, "g/(g h), from the paper's range"),
        "acetate_half": (0.05, "g/L"),
        "inhibition": (9.0, "g/L of acetate at which the uptake of glucose is halved; the paper's"),
        "yield": (0.51, "g of biomass per g of respired glucose"),
        "overflow_yield": (0.15, "g of biomass per g of glucose that flows over"),
        "acetate_yield": (0.30, "g of biomass per g of acetate"),
        "maintenance": (0.04, "g/(g h) of glucose"),
        "oxygen": (14.0, "g/(L h) of glucose that the stirrer's oxygen suffices for"),
        "product": (0.24, "g per g of biomass grown after full induction at 37 degC"),
        "product_rest": (0.004, "g/(g h), from biomass that does not grow"),
        "inducer_half": (0.15, "mmol/L for half of the induction"),
        "burden": (0.55, "share of growth that full induction costs"),
        "lost": (32.0, "degC at which half of the product ends in inclusion bodies"),
        "lost_width": (2.5, "degC"),
        "cold": (0.065, "1/K: how all rates fall below 37 degC"),
    }
)
"""Numbers that were chosen, not measured (but for two): name -> (value, unit and reason)."""

FEED = 500.0  # g/L of glucose in the feed
START = (0.1, 1.0)  # g/L of biomass, and litres that everything is counted in
DT = 0.05  # h, of a step


@dataclass(frozen=True)
class Recipe:
    """What can be chosen of a cultivation.

    Parameters
    ----------
    glucose
        g/L to begin with.
    growth
        1/h: the feed is made for this growth, exponentially, once the first glucose is eaten.
    induction
        h at which the inducer is given and the temperature is changed.
    inducer
        mmol/L.
    temperature
        degC from then on; 37 before.
    """

    glucose: float
    growth: float
    induction: float
    inducer: float
    temperature: float


@dataclass(frozen=True)
class Harvest:
    """What there is in the end, g/L: biomass, glucose, acetate, product; and CO2 in mmol/(L h)."""

    biomass: float
    glucose: float
    acetate: float
    product: float
    co2: float


def _c(name: str) -> float:
    return CALIBRATED[name][0]


State = tuple[float, float, float, float, float]
"""Biomass, glucose, acetate, product, all in g per litre of the present volume, and the volume."""


def ferment(recipe: Recipe, hours: float = 30.0) -> Harvest:
    """Return what a cultivation of so many hours gives.

    Glucose and acetate follow their uptake within seconds when they are scarce, so their equations are solved
    implicitly (backward Euler, a quadratic equation with Monod's law); biomass grows exponentially in each step.
    Against steps fifty times shorter the product comes out within 2 %.
    """
    state: State = (START[0], recipe.glucose, 0.0, 0.0, START[1])
    fed_from: float | None = None
    fed_biomass = 0.0
    for n in range(round(hours / DT)):
        time = n * DT
        if fed_from is None and state[1] < 0.5:
            fed_from, fed_biomass = time, state[0] * state[4]
        feed = 0.0 if fed_from is None else _feed(recipe, time - fed_from, fed_biomass)
        state = _step(state, time, feed, recipe)
    return Harvest(state[0], state[1], state[2], state[3], _co2(state, hours, recipe))


def _feed(recipe: Recipe, hours: float, biomass: float) -> float:
    """Return L/h of feed for exponential growth, up to what the oxygen suffices for."""
    wanted = recipe.growth / _c("yield") + _c("maintenance")
    grams = wanted * biomass * math.exp(min(recipe.growth * hours, 20.0))
    return min(grams, _c("oxygen") * 1.3) / FEED


def rates(state: State, time: float, recipe: Recipe) -> tuple[float, float, float, float]:
    """Return growth (1/h), and uptake of glucose, of acetate and making of acetate, g/(g h)."""
    biomass, glucose, acetate = (max(value, 0.0) for value in state[:3])
    is_induced = time >= recipe.induction
    speed = math.exp(_c("cold") * (recipe.temperature - 37.0)) if is_induced else 1.0
    burden = _c("burden") * _induction(recipe) if is_induced else 0.0
    uptake = _c("uptake") * speed * glucose / (glucose + _c("monod")) / (1 + acetate / _c("inhibition"))
    uptake *= 1 - burden
    limit = min(_c("critical") * speed * (1 - burden), _c("oxygen") / max(biomass, 1e-6))
    respired = min(uptake, limit)
    over = uptake - respired
    spare = max(limit - respired, 0.0)
    eaten = min(_c("acetate_uptake") * speed, spare) * acetate / (acetate + _c("acetate_half"))
    growth = _c("yield") * max(respired - _c("maintenance") * speed, 0.0)
    growth += _c("overflow_yield") * over + _c("acetate_yield") * eaten
    return growth, uptake, eaten, _c("overflow") * over


def _induction(recipe: Recipe) -> float:
    return recipe.inducer / (recipe.inducer + _c("inducer_half"))


def _soluble(temperature: float) -> float:
    return 1 / (1 + math.exp((temperature - _c("lost")) / _c("lost_width")))


def _step(state: State, time: float, feed: float, recipe: Recipe) -> State:
    biomass, glucose, acetate, product, volume = state
    thinning = feed / volume
    gained = thinning * FEED
    wanted = rates((biomass, 1e6, acetate, product, volume), time, recipe)[1]
    glucose = _implicit(glucose + DT * gained, 1 + DT * thinning, DT * wanted * biomass, _c("monod"))
    growth, _, eaten, made = rates((biomass, glucose, acetate, product, volume), time, recipe)
    most = eaten * (acetate + _c("acetate_half")) / acetate if acetate > 0 else 0.0
    pool = acetate + DT * made * biomass
    acetate = _implicit(pool, 1 + DT * thinning, DT * most * biomass, _c("acetate_half"))
    per_biomass = 0.0
    if time >= recipe.induction:
        induced = _induction(recipe) * _soluble(recipe.temperature)
        per_biomass = induced * (_c("product") * growth + _c("product_rest"))
    grown = biomass * math.exp((growth - thinning) * DT)
    mean = 0.5 * (biomass + grown)
    product = (product + DT * per_biomass * mean) / (1 + DT * thinning)
    return grown, glucose, acetate, product, volume + DT * feed


def _implicit(pool: float, loss: float, uptake: float, half: float) -> float:
    """Return x with ``loss x + uptake x / (x + half) = pool``."""
    b = loss * half - pool + uptake
    return (math.sqrt(b * b + 4 * loss * half * pool) - b) / (2 * loss)


def _co2(state: State, time: float, recipe: Recipe) -> float:
    """Return mmol/(L h): what is taken up and is neither biomass nor acetate, as carbon (30 g of glucose a mol)."""
    growth, uptake, eaten, made = rates(state, time, recipe)
    carbon = (uptake + eaten - made) / 30.0 - growth / 25.0
    return 1000.0 * max(carbon, 0.0) * state[0]
