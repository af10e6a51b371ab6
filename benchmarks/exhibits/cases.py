"""The exhibits that are a search for a high value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from scipy.optimize import differential_evolution

from exhibits.common import Case
from sdl.planners import Additive, BayesianPlanner
from sdl.problem import Continuous
from sdl.simulators import BeamlineLab, BioprocessLab, MobileChemistLab, ThinFilmLab
from sdl.simulators.photocatalysis_physics import START as FIRST_MIXTURE


def cases() -> dict[str, Case]:
    """Return the exhibits that are a search for a high value."""
    first = MobileChemistLab.truth(FIRST_MIXTURE)
    found = (
        Case(
            "thin-film",
            lambda seed: ThinFilmLab(seed=seed),
            ThinFilmLab.space(),
            ThinFilmLab.objective,
            lambda _, point: -ThinFilmLab.truth(point),
            lambda _: -1.1 * lowest_resistance(),
            lambda lab: lab.deposit_and_measure,
            lambda lab: lab.deposit_and_measure,
            in_flight=1,
            budget=80,
            ratio=lambda ours, theirs: theirs / ours,
        ),
        Case(
            "mobile-chemist",
            lambda seed: MobileChemistLab(seed=seed),
            MobileChemistLab.space(),
            MobileChemistLab.objective,
            lambda _, point: MobileChemistLab.truth(point),
            lambda _: 6 * first,
            lambda lab: lab.experiment(size=4, patience="5 min"),  # more and smaller batches learn sooner
            lambda lab: lab.make_and_measure,
            in_flight=12,
            budget=300,
            start=FIRST_MIXTURE,
        ),
        Case(
            "beamline",
            lambda seed: BeamlineLab(seed=seed),
            BeamlineLab.space(),
            BeamlineLab.objective,
            lambda lab, point: lab.truth(point),
            lambda lab: lab.best() - np.log10(4.0),
            lambda lab: lab.align,
            lambda lab: lab.align,
            in_flight=1,
            budget=250,
            # Each mirror focuses in its own plane, so the logarithm of the density is a sum of two functions. Whoever
            # aligns such a pair knows that before the first picture.
            planner=lambda seed: BayesianPlanner(seed=seed, additive=(Additive(BeamlineLab.planes),)),
            ratio=lambda ours, theirs: 10 ** (ours - theirs),
            is_fixed=False,
        ),
        Case(
            "bioprocess",
            lambda seed: BioprocessLab(seed=seed),
            BioprocessLab.space(),
            BioprocessLab.objective,
            lambda _, point: BioprocessLab.truth(point),
            lambda _: 0.9 * highest_titre(),
            lambda lab: lab.experiment(hopeless=2.0),
            lambda lab: lab.grow_and_measure,
            in_flight=8,
            budget=120,
            patience=1000,
            grid_cap=1100,
        ),
    )
    return {case.name: case for case in found}


@cache
def lowest_resistance() -> float:
    """Return the lowest true resistance of the thin-film twin, ohm, on a fine grid."""
    oxygen, heat, power = np.geomspace(0.02, 0.5, 25), np.linspace(280, 380, 41), np.linspace(60, 200, 29)
    grid = product(oxygen, heat, power)
    return min(ThinFilmLab.truth({"oxygen": o, "temperature": t, "power": p}) for o, t, p in grid)


@cache
def highest_titre() -> float:
    """Return the highest true titre of the bioprocess twin, g/L, that a long search finds."""
    space = BioprocessLab.space()
    ranges = {name: p for name, p in space.parameters.items() if isinstance(p, Continuous)}

    def lost(values: Sequence[float]) -> float:
        return -BioprocessLab.truth(dict(zip(ranges, (float(value) for value in values), strict=True)))

    bounds = [(p.low, p.high) for p in ranges.values()]
    return -float(differential_evolution(lost, bounds, maxiter=40, popsize=10, rng=0).fun)
