"""Synthetic cases: where the optimum lies, how the axes are turned and in which ranges follow from the seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.optimize import minimize  # pyright: ignore[reportMissingTypeStubs] # scipy has no types

from planning import functions as f
from planning.cases import Case, Outcomes, exact, hypervolume, reference_of, uneven_hours, with_noise
from planning.functions import Array, Function, Placement, Window
from planning.wire import Goal, Knob, Limit, Linear, Point, Question

Truth = Callable[[Point], Outcomes]


@dataclass(frozen=True)
class Recipe:
    """A smooth description of a case with one goal, for the table of synthetic cases.

    Parameters
    ----------
    function
        Made from a generator: a function of the unit cube.
    best, worst, threshold
        As in :class:`~planning.cases.Case`; *worst* and *threshold* are gaps.
    noise
        Standard deviation of a measurement.
    is_uneven
        Whether trials end one by one.
    """

    function: Callable[[np.random.Generator], Function]
    n_dimensions: int
    n_trials: int
    best: float
    worst: float
    threshold: float
    n_at_once: int = 1
    noise: float = 0.0
    is_uneven: bool = False


def placed(function: Function, centre: Array, size: float, *, is_rotated: bool) -> Callable[..., Function]:
    """Return a maker of *function* at a random place."""

    def make(rng: np.random.Generator) -> Function:
        placement = Placement.random(centre, size, rng, is_rotated=is_rotated)
        return lambda u: function(placement(u))

    return make


def among(n_dimensions: int, make: Callable[[np.random.Generator], Function], n_active: int) -> Callable[..., Function]:
    """Return a maker of a function of which *n_active* of *n_dimensions* numbers matter."""

    def wider(rng: np.random.Generator) -> Function:
        active = rng.permutation(n_dimensions)[:n_active]
        function = make(rng)
        return lambda u: function(u[..., active])

    return wider


def landscape(n_dimensions: int, n_peaks: int) -> Callable[[np.random.Generator], Function]:
    """Return a maker of random peaks."""
    return lambda rng: f.peaks(n_dimensions, n_peaks, rng)[0]


BRANIN = placed(f.branin, f.BRANIN_AT, 15.0, is_rotated=False)
HARTMANN = placed(f.hartmann, f.HARTMANN_AT, 1.0, is_rotated=False)

HARTMANN_RECIPE = Recipe(HARTMANN, 6, 45, f.HARTMANN_BEST, 3.3, 0.32)
BRANIN_RECIPE = Recipe(BRANIN, 2, 30, f.BRANIN_BEST, 300.0, 0.1)
ACKLEY_RECIPE = Recipe(placed(f.ackley, np.zeros(10), 20.0, is_rotated=True), 10, 50, 0.0, 22.0, 5.0)

RECIPES: Mapping[str, Recipe] = {
    "branin": BRANIN_RECIPE,
    "hartmann6": HARTMANN_RECIPE,
    "ellipsoid8": Recipe(placed(f.ellipsoid, np.zeros(8), 4.0, is_rotated=True), 8, 50, 0.0, 30.0, 0.05),
    "rosenbrock4": Recipe(placed(f.rosenbrock, np.ones(4), 4.0, is_rotated=True), 4, 50, 0.0, 50.0, 0.01),
    "ridge5": Recipe(placed(f.sharp_ridge, np.zeros(5), 2.0, is_rotated=True), 5, 50, 0.0, 30.0, 1.0),
    "ackley10": ACKLEY_RECIPE,
    "levy6": Recipe(placed(f.levy, np.ones(6), 20.0, is_rotated=False), 6, 50, 0.0, 200.0, 1.0),
    "peaks4": Recipe(landscape(4, 21), 4, 60, 0.0, 10.0, 0.5),
    "ellipsoid20": Recipe(placed(f.ellipsoid, np.zeros(20), 4.0, is_rotated=False), 20, 80, 0.0, 60.0, 0.3),
    "hartmann6-in-50": Recipe(among(50, HARTMANN, 6), 50, 80, f.HARTMANN_BEST, 3.3, 1.0),
    "branin-noisy": replace(BRANIN_RECIPE, n_trials=40, noise=3.0, threshold=0.3),
    "hartmann6-noisy": replace(HARTMANN_RECIPE, noise=0.2),
    "hartmann6-batch": replace(HARTMANN_RECIPE, n_trials=48, n_at_once=4),
    "ackley10-batch": replace(ACKLEY_RECIPE, n_trials=60, n_at_once=4),
    "hartmann6-delayed": replace(HARTMANN_RECIPE, n_trials=48, n_at_once=4, is_uneven=True),
    "branin-delayed": replace(BRANIN_RECIPE, n_trials=32, n_at_once=4, is_uneven=True),
}
"""Name -> recipe."""


def recipe_case(name: str, seed: int) -> Case:
    """Return an instance of a recipe."""
    recipe = RECIPES[name]
    rng = rng_of(name, seed)
    knobs = ranges(recipe.n_dimensions, rng)
    function = recipe.function(rng)
    truth = partial(_value, function, knobs)
    question = Question(
        knobs,
        (Goal("y"),),
        n_trials=recipe.n_trials,
        n_at_once=recipe.n_at_once,
        is_noisy=recipe.noise > 0,
    )
    return Case(
        name,
        seed,
        question,
        truth,
        with_noise(truth, {"y": recipe.noise}, seed) if recipe.noise else exact(truth),
        recipe.best,
        recipe.worst,
        recipe.threshold,
        uneven_hours(seed) if recipe.is_uneven else None,
    )


def rng_of(name: str, seed: int) -> np.random.Generator:
    """Return the source of all chance of an instance; variants of one function share it: ``hartmann6-noisy``."""
    return np.random.default_rng([seed, *name.partition("-")[0].encode()])


def ranges(n: int, rng: np.random.Generator) -> tuple[Knob, ...]:
    """Return continuous knobs with ranges of their own, a tenth to a hundred wide."""
    lows, widths = rng.uniform(-10, 10, n).round(3), (10 ** rng.uniform(-1, 2, n)).round(3)
    return tuple(
        Knob(f"x{index}", "continuous", float(low), float(low + width))
        for index, (low, width) in enumerate(zip(lows, widths, strict=True), 1)
    )


def in_unit(knobs: tuple[Knob, ...], point: Point) -> Array:
    """Return where *point* lies in the unit cube of continuous knobs."""
    lows, highs = np.array([knob.low for knob in knobs]), np.array([knob.high for knob in knobs])
    return np.asarray((np.array([float(point[knob.name]) for knob in knobs]) - lows) / (highs - lows))


def _value(function: Function, knobs: tuple[Knob, ...], point: Point) -> Outcomes:
    return {"y": float(function(in_unit(knobs, point)))}


# --- limits -----------------------------------------------------------------------------------------------------------


def gramacy(seed: int) -> Case:
    """A straight slope under two curved limits, of two numbers; Gramacy et al., Technometrics 58, 1 (2016)."""
    rng = rng_of("gramacy", seed)
    knobs = ranges(2, rng)
    window = Window.random(np.zeros(2), np.ones(2), rng, keep=np.array([0.1954, 0.4044]))

    def truth(point: Point) -> Outcomes:
        a, b = window(in_unit(knobs, point))
        wave = 1.5 - a - 2 * b - 0.5 * np.sin(2 * np.pi * (a**2 - 2 * b))
        return {"y": float(a + b), "c1": float(wave), "c2": float(a**2 + b**2 - 1.5)}

    question = Question(knobs, (Goal("y"),), (Limit("c1", upper=0.0), Limit("c2", upper=0.0)), n_trials=30)
    return Case("gramacy", seed, question, truth, exact(truth), 0.5997880, 1.4, 0.02)


VESSEL_AT = {"shell": 0.8125, "head": 0.4375, "radius": 42.0984456, "length": 176.6365958}


def pressure_vessel(seed: int) -> Case:
    """The price of a vessel with walls of whole sixteenths of an inch; Kannan and Kramer, J. Mech. Des. 116 (1994).

    The best design with a length of at most 200 costs 6059.714; every window holds it. Prices are in thousands.
    """
    rng = rng_of("vessel", seed)
    knobs = (
        *(Knob(name, "discrete", values=_sixteenths(VESSEL_AT[name], rng)) for name in ("shell", "head")),
        *(_window_knob(name, low, high, rng) for name, low, high in (("radius", 10, 200), ("length", 10, 200))),
    )

    def truth(point: Point) -> Outcomes:
        shell, head, radius, length = (float(point[name]) for name in VESSEL_AT)
        plate = 0.6224 * shell * radius * length + 1.7781 * head * radius**2
        weld = 3.1661 * shell**2 * length + 19.84 * shell**2 * radius
        volume = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
        return {
            "price": (plate + weld) / 1000,
            "c_shell": 0.0193 * radius - shell,
            "c_head": 0.00954 * radius - head,
            "c_volume": float(1.296 - volume / 1e6),
        }

    limits = tuple(Limit(name, upper=1e-6) for name in ("c_shell", "c_head", "c_volume"))
    question = Question(knobs, (Goal("price"),), limits, n_trials=40)
    return Case("pressure-vessel", seed, question, truth, exact(truth), 6.0597143, 30.0, 0.6)


def _sixteenths(best: float, rng: np.random.Generator) -> tuple[float, ...]:
    middle = round(best / 0.0625)
    first, last = max(1, middle - int(rng.integers(4, 12))), middle + int(rng.integers(8, 24))
    return tuple(0.0625 * count for count in range(first, last + 1))


def _window_knob(name: str, low: float, high: float, rng: np.random.Generator) -> Knob:
    cuts = rng.uniform(0, 0.3, 2)
    best = VESSEL_AT[name]
    low, high = low + cuts[0] * (best - low), high - cuts[1] * (high - best)
    return Knob(name, "continuous", round(low, 3), round(high, 3))


# --- mixtures ---------------------------------------------------------------------------------------------------------


def mixture(seed: int) -> Case:
    """A blend of five components that add up to 1, two of them limited together: a bowl with ripples, by us."""
    rng = rng_of("mixture", seed)
    knobs = tuple(Knob(f"part{index}", "continuous") for index in range(1, 6))
    best = rng.dirichlet(np.full(5, 3.0))
    names = tuple(knob.name for knob in knobs)
    weights = 10 ** rng.uniform(0, 1, 5)
    cap = float(best[0] + best[1] + rng.uniform(0.02, 0.2))

    def truth(point: Point) -> Outcomes:
        off = np.array([float(point[name]) for name in names]) - best
        ripple = 0.15 * np.sum(1 - np.cos(6 * np.pi * off))
        return {"y": float(10 * np.sqrt(np.sum(weights * off**2)) + ripple)}

    constraints = (
        Linear(dict.fromkeys(names, 1.0), 1.0, 1.0),
        Linear({"part1": 1.0, "part2": 1.0}, upper=cap),
    )
    question = Question(knobs, (Goal("y"),), constraints=constraints, n_trials=40)
    return Case("mixture5", seed, question, truth, exact(truth), 0.0, 40.0, 2.0)


# --- several goals ----------------------------------------------------------------------------------------------------


def branin_currin(seed: int) -> Case:
    """Two goals of two numbers; Belakaria et al., NeurIPS 32 (2019). Reference point (18, 6)."""
    rng = rng_of("currin", seed)
    knobs = ranges(2, rng)
    window = Window.random(np.zeros(2), np.ones(2), rng)

    def values(z: Array) -> Array:
        branin = f.branin(np.stack([15 * z[..., 0] - 5, 15 * z[..., 1]], axis=-1))
        return np.stack([branin, f.currin(z)], axis=-1)

    def truth(point: Point) -> Outcomes:
        y = values(window(in_unit(knobs, point)))
        return {"y1": float(y[0]), "y2": float(y[1])}

    goals = (Goal("y1", reference=18.0), Goal("y2", reference=6.0))
    best = hypervolume(values(grid(1001)), reference_of(goals))
    question = Question(knobs, goals, n_trials=35)
    return Case("branin-currin", seed, question, truth, exact(truth), best, 1.0, 0.05)


def three_goals(seed: int) -> Case:
    """DTLZ2 of six numbers with three goals, its distances moved; Deb et al., CEC 2002. Reference point (1.1, ...)."""
    rng = rng_of("dtlz", seed)
    knobs = ranges(6, rng)
    order, centre = rng.permutation(6), rng.uniform(0.25, 0.75, 4)

    def truth(point: Point) -> Outcomes:
        u = in_unit(knobs, point)[order]
        far = 1 + float(np.sum((u[2:] - centre) ** 2))
        a, b = np.pi / 2 * u[:2]
        return {
            "y1": float(far * np.cos(a) * np.cos(b)),
            "y2": float(far * np.cos(a) * np.sin(b)),
            "y3": float(far * np.sin(a)),
        }

    goals = tuple(Goal(name, reference=1.1) for name in ("y1", "y2", "y3"))
    question = Question(knobs, goals, n_trials=50)
    return Case("three-goals", seed, question, truth, exact(truth), 1.1**3 - np.pi / 6, 1.0, 0.25)


def limited_goals(seed: int) -> Case:
    """Two goals under two limits, of two numbers; Srinivas and Deb, Evol. Comput. 2, 221 (1994)."""
    rng = rng_of("srinivas", seed)
    knobs = ranges(2, rng)
    window = Window.random(np.full(2, -20.0), np.full(2, 20.0), rng)

    def values(z: Array) -> Array:
        x, y = z[..., 0], z[..., 1]
        return np.stack(
            [2 + (x - 2) ** 2 + (y - 1) ** 2, 9 * x - (y - 1) ** 2, (x**2 + y**2 - 225) / 100, (x - 3 * y + 10) / 10],
            axis=-1,
        )

    def truth(point: Point) -> Outcomes:
        found = values(window(in_unit(knobs, point)))
        return {name: float(value) for name, value in zip(("y1", "y2", "c1", "c2"), found, strict=True)}

    goals = (Goal("y1", reference=250.0), Goal("y2", reference=20.0))
    every = values(-20 + 40 * grid(1001))
    kept = every[np.all(every[:, 2:] <= 0, axis=1), :2]
    question = Question(knobs, goals, (Limit("c1", upper=0.0), Limit("c2", upper=0.0)), n_trials=40)
    best = hypervolume(kept, reference_of(goals))
    return Case("limited-goals", seed, question, truth, exact(truth), best, 1.0, 0.1)


def grid(n: int) -> Array:
    """Return *n* by *n* points of the unit square: fine enough for a hypervolume to about a tenth of a per cent."""
    axis = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


# --- categories -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chemistry:
    """Consecutive reactions A -> B -> C whose rates follow Arrhenius' law, with a catalyst and a solvent to choose.

    In the manner of the case study of Aldulaijan, Marsden, Manson and Clayton, React. Chem. Eng. (2024), with two
    categories; the equations and numbers here are ours. What is wanted is the yield of B in per cent.
    """

    rate: Array  # (catalyst, solvent), per hour at 350 K and 1 mol/L
    barrier: Array  # (catalyst,), of the wanted reaction, in K
    waste: Array  # (catalyst, solvent), the second rate as a share of the first
    spoiled_above: Array  # (catalyst,), the temperature in K at which half of the catalyst is dead

    @classmethod
    def random(cls, rng: np.random.Generator) -> Chemistry:
        """Draw eight catalysts and five solvents whose effects mostly add up in the logarithm."""
        effect = rng.normal(0, 0.9, (8, 1)) + rng.normal(0, 0.6, (1, 5)) + rng.normal(0, 0.3, (8, 5))
        share = rng.normal(0, 0.9, (8, 1)) + rng.normal(0, 0.5, (1, 5)) + rng.normal(0, 0.3, (8, 5))
        barrier = rng.uniform(6000, 9500, 8)
        return cls(np.exp(effect), barrier, 0.15 * np.exp(share), rng.uniform(345, 395, 8))

    def yields(self, catalyst: Array, solvent: Array, kelvin: Array, molar: Array, hours: Array) -> Array:
        """Return yields in per cent."""
        i, j = catalyst.astype(int), solvent.astype(int)
        alive = 1 / (1 + np.exp((kelvin - self.spoiled_above[i]) / 6))
        warm = 1 / 350 - 1 / kelvin
        first = self.rate[i, j] * alive * molar**0.5 * np.exp(self.barrier[i] * warm)
        second = self.waste[i, j] * self.rate[i, j] * molar * np.exp((self.barrier[i] + 2500) * warm)
        second = np.where(np.abs(second / first - 1) < 1e-6, second * (1 + 1e-5) + 1e-12, second)
        return np.asarray(100 * first / (second - first) * (np.exp(-first * hours) - np.exp(-second * hours)))

    def best(self) -> float:
        """Return the highest yield: the best of many points of every pair, refined."""
        rng = np.random.default_rng(0)
        u = rng.random((4000, 3))
        found = 0.0
        for pair in np.ndindex(8, 5):
            tried = self.at(np.full(len(u), pair[0]), np.full(len(u), pair[1]), u)
            best = float(tried.max())
            if best > found - 5:
                start = u[int(tried.argmax())]
                refined: object = minimize(self._loss, start, args=pair, method="L-BFGS-B", bounds=[(0, 1)] * 3)
                found = max(found, best, -float(refined.fun))  # type: ignore[attr-defined] # scipy has no types
        return found

    def _loss(self, u: Array, i: int, j: int) -> float:
        return -float(self.at(np.array([i]), np.array([j]), u[None, :])[0])

    def at(self, catalyst: Array, solvent: Array, u: Array) -> Array:
        """Return yields at fractions of the ranges of temperature, concentration (log) and time."""
        return self.yields(catalyst, solvent, 303 + 100 * u[:, 0], 0.05 * 20 ** u[:, 1], 0.5 + 11.5 * u[:, 2])


CATALYSTS, SOLVENTS = tuple(f"cat{i}" for i in range(8)), tuple(f"sol{i}" for i in range(5))


def reaction(seed: int, *, noise: float = 0.0) -> Case:
    """Two categories and three numbers."""
    chemistry = Chemistry.random(rng_of("reaction", seed))
    knobs = (
        Knob("catalyst", "categorical", values=CATALYSTS),
        Knob("solvent", "categorical", values=SOLVENTS),
        Knob("kelvin", "continuous", 303.0, 403.0),
        Knob("molar", "continuous", 0.05, 1.0, is_log=True),
        Knob("hours", "continuous", 0.5, 12.0),
    )
    truth = partial(_reaction_yield, chemistry)
    question = Question(knobs, (Goal("yield", is_maximized=True),), n_trials=40, is_noisy=noise > 0)
    name = "reaction-noisy" if noise else "reaction"
    measure = with_noise(truth, {"yield": noise}, seed) if noise else exact(truth)
    return Case(name, seed, question, truth, measure, -chemistry.best(), 100.0, 3.0)


def _reaction_yield(chemistry: Chemistry, point: Point) -> Outcomes:
    i, j = CATALYSTS.index(str(point["catalyst"])), SOLVENTS.index(str(point["solvent"]))
    numbers = (np.array([float(point[name])]) for name in ("kelvin", "molar", "hours"))
    return {"yield": float(chemistry.yields(np.array([i]), np.array([j]), *numbers)[0])}


def pool_of_reactions(seed: int) -> Case:
    """The reaction on a plan of 8 by 5 by 6 by 4 by 3 conditions: 2,880 rows."""
    chemistry = Chemistry.random(rng_of("reaction", seed))
    knobs = (
        Knob("catalyst", "categorical", values=CATALYSTS),
        Knob("solvent", "categorical", values=SOLVENTS),
        Knob("kelvin", "discrete", values=(313.0, 328.0, 343.0, 358.0, 373.0, 388.0)),
        Knob("molar", "discrete", values=(0.1, 0.2, 0.4, 0.8)),
        Knob("hours", "discrete", values=(1.0, 3.0, 9.0)),
    )
    mesh = np.meshgrid(*(np.arange(len(knob.values)) for knob in knobs), indexing="ij")
    pool = {
        knob.name: tuple(knob.values[i] for i in indices.ravel()) for knob, indices in zip(knobs, mesh, strict=True)
    }
    truth = partial(_reaction_yield, chemistry)
    question = Question(knobs, (Goal("yield", is_maximized=True),), pool=pool, n_trials=40)
    best = max(truth(row)["yield"] for row in question.rows())
    return Case("pool-reactions", seed, question, truth, exact(truth), -best, 100.0, 2.0)


def pool_of_blends(seed: int) -> Case:
    """Two thousand blends of five components from a library, with rounded peaks over their make-up; by us."""
    rng = rng_of("blends", seed)
    blends = rng.dirichlet(np.full(5, 0.8), 2000).round(3)
    landscape_, _ = f.peaks(5, 12, rng)
    knobs = tuple(Knob(f"part{index}", "continuous") for index in range(1, 6))
    blends = np.unique(blends, axis=0)
    pool = {knob.name: tuple(column) for knob, column in zip(knobs, blends.T.tolist(), strict=True)}
    best = float(landscape_(blends + 0.3).min())  # the peaks lie about the middle of the cube, the blends about 0.2

    def truth(point: Point) -> Outcomes:
        return {"y": float(landscape_(np.array([float(point[knob.name]) for knob in knobs]) + 0.3))}

    question = Question(knobs, (Goal("y"),), pool=pool, n_trials=40)
    return Case("pool-blends", seed, question, truth, exact(truth), best, 10.0, 0.5)


def switches(seed: int) -> Case:
    """Ackley's function of ten switches and three numbers; after Bliek et al., arXiv:2006.04777. Smallest: 0."""
    rng = rng_of("switches", seed)
    knobs = (*(Knob(f"switch{i}", "categorical", values=("off", "on")) for i in range(1, 11)), *ranges(3, rng))
    wanted, at = rng.random(10) < 0.5, rng.uniform(0.2, 0.8, 3)

    def truth(point: Point) -> Outcomes:
        on = np.array([point[knob.name] == "on" for knob in knobs[:10]])
        return {"y": float(f.ackley(np.r_[(on != wanted).astype(float), 2 * (in_unit(knobs[10:], point) - at)]))}

    question = Question(knobs, (Goal("y"),), n_trials=50)
    return Case("switches", seed, question, truth, exact(truth), 0.0, 22.0, 0.5)


SPECIAL: Mapping[str, Callable[[int], Case]] = {
    "gramacy": gramacy,
    "pressure-vessel": pressure_vessel,
    "mixture5": mixture,
    "branin-currin": branin_currin,
    "three-goals": three_goals,
    "limited-goals": limited_goals,
    "reaction": reaction,
    "reaction-noisy": partial(reaction, noise=4.0),
    "switches": switches,
    "pool-reactions": pool_of_reactions,
    "pool-blends": pool_of_blends,
}
"""Name -> maker of an instance."""
