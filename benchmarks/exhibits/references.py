"""What is done without a loop: random points, a grid, one factor at a time, one sample after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from exhibits.common import NEVER, Case, Outcome, Point, duration_alone, ours
from sdl.problem import Categorical, Continuous, Discrete


def random_points(case: Case, lab: Any, seed: int, days: float) -> Outcome:
    """Try random points until the goal."""
    rng = np.random.default_rng([seed, 0x7A])
    goal, values = case.goal(lab), list[float]()
    while len(values) < case.patience:
        for point in case.space.sample(min(500, case.patience - len(values)), rng):
            values.append(case.score(lab, dict(point)))
            if values[-1] >= goal:
                return Outcome(len(values), len(values) * days, values=values)
    return Outcome(len(values), len(values) * days, is_reached=False, values=values)


def grid(case: Case, lab: Any, seed: int, days: float) -> Outcome:
    """Try the points of a grid in random order: the coarsest one that holds a point at the goal."""
    key = case.name if case.is_fixed else f"{case.name} {seed}"
    if key not in _grids:
        _grids[key] = _good_grid(case, lab)
    scores = _grids[key]
    shuffled = scores[np.random.default_rng([seed, 0x6D]).permutation(len(scores))]
    values = [float(score) for score in shuffled[:LOOKED_AT]]
    good = np.flatnonzero(shuffled >= case.goal(lab))
    if not len(good):
        return Outcome(NEVER, NEVER, is_reached=False, values=values)
    return Outcome(int(good[0]) + 1, (int(good[0]) + 1) * days, values=values)


_grids: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
LOOKED_AT = 1000
"""Points of a grid whose values are kept: more than any way of ours needs."""


def _good_grid(case: Case, lab: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the true values of the coarsest grid with a point at the goal, or of the finest that is small enough."""
    goal, scores = case.goal(lab), np.empty(0)
    for n_levels in range(3, 12):
        levels = [list(levels_of(p, n_levels)) for p in case.space.parameters.values()]
        if np.prod([float(len(some)) for some in levels]) > case.grid_cap:
            break
        points = (dict(zip(case.space.parameters, values, strict=True)) for values in product(*levels))
        scores = np.array([case.score(lab, point) for point in points if case.space.contains(point)])
        if scores.max(initial=-np.inf) >= goal:
            break
    return scores


def levels_of(parameter: Any, n: int) -> Sequence[Any]:
    """Return *n* levels from end to end of a parameter, or all it has."""
    match parameter:
        case Categorical(choices=choices):
            return choices
        case Discrete(values=values):
            places = np.unique(np.round(np.linspace(0, len(values) - 1, n)).astype(int))
            return [values[place] for place in places]
        case Continuous(low=low, high=high, log=True):
            return [float(level) for level in np.geomspace(low, high, n).clip(low, high)]
        case Continuous(low=low, high=high):
            return [float(level) for level in np.linspace(low, high, n)]
        case _:
            return [parameter.value]


def one_factor_at_a_time(case: Case, lab: Any, seed: int, days: float) -> Outcome:
    """Move one factor after the other to its best level, in an order that follows from the seed."""
    middle = {name: levels_of(p, 3)[1] for name, p in case.space.parameters.items()}
    point: Point = dict(case.start) if case.start is not None else middle
    goal, values = case.goal(lab), [case.score(lab, point)]
    names = list(case.space.parameters)
    np.random.default_rng([seed, 0x0F]).shuffle(names)
    has_changed = True
    while has_changed and len(values) < case.patience and max(values) < goal:
        has_changed = False
        for name in names:
            best = max(values)
            for level in _levels_near(case, name, point):
                tried = {**point, name: level}
                values.append(case.score(lab, tried))
                if values[-1] > best:
                    best, point, has_changed = values[-1], tried, True
                if values[-1] >= goal:
                    return Outcome(len(values), len(values) * days, values=values)
    return Outcome(NEVER, NEVER, is_reached=False, values=values)


def _levels_near(case: Case, name: str, point: Point) -> Iterator[Any]:
    """Yield up to seven legal levels of a factor, other than the present one."""
    candidates = [v for v in levels_of(case.space.parameters[name], 1000) if case.space.contains({**point, name: v})]
    places = sorted({round(place) for place in np.linspace(0, max(len(candidates) - 1, 0), min(7, len(candidates)))})
    yield from (candidates[place] for place in places if candidates[place] != point[name])


REFERENCES: Mapping[str, Callable[[Case, Any, int, float], Outcome]] = {
    "random": random_points,
    "grid": grid,
    "one factor at a time": one_factor_at_a_time,
}


def search(case: Case, seed: int) -> dict[str, Outcome]:
    """Return what every way of working needed for one seed."""
    found = {"ours": ours(case, seed)}
    same = case.in_flight == 1
    found["same planner, one at a time"] = found["ours"] if same else ours(case, seed, alone=True)
    days = duration_alone(case, seed)
    with case.make(seed) as lab:
        found |= {name: way(case, lab, seed, days) for name, way in REFERENCES.items()}
    return found
