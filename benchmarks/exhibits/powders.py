"""Powders: many goals, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import sdl
from exhibits.common import Outcome, Point, finished
from exhibits.references import levels_of
from sdl.campaign.view import CampaignView
from sdl.journal import MemoryJournal
from sdl.simulators import PowderLab
from sdl.simulators.powder_synthesis import TARGETS, ramp_s

MADE = 0.5
ENOUGH = 9


def powders(seed: int) -> dict[str, Outcome]:
    """Make nine of fourteen targets: recipes improved target by target, or found by other ways."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    planner = import_module("06_powder_synthesis").TargetByTarget(TARGETS)
    found = {
        "ours": _powder_campaign(seed, planner, in_flight=16),
        "same planner, one at a time": _powder_campaign(seed, planner, in_flight=1),
    }
    with PowderLab(seed=seed) as lab:
        days = _powder_days(seed)
        for name, order in (("random", _random_recipes), ("grid", _grid_recipes), ("one factor at a time", _ofat)):
            found[name] = _one_by_one(lab, seed, order, days)
    return found


class Made:
    """Stops when enough targets have been made; the value of the campaign is how many."""

    def __init__(self, lab: PowderLab) -> None:
        self.lab = lab
        self.made: dict[str, int] = {}

    def reason(self, view: CampaignView) -> str | None:
        for entry in view.history.completed:
            target = str(entry.values["target"])
            found = entry.observation
            if target not in self.made and found is not None and found.outcomes["yield"].value >= MADE:
                self.made[target] = entry.trial
        return "enough targets are made" if len(self.made) >= ENOUGH else None


def _powder_campaign(seed: int, planner: Any, *, in_flight: int) -> Outcome:
    began = time.process_time()
    with PowderLab(seed=seed) as lab:
        rule = Made(lab)
        campaign = sdl.Campaign(
            "powders",
            space=lab.space(),
            objective=lab.objective,
            planner=planner,
            experiment=lab.experiment() if in_flight > 1 else lab.make_and_measure,
            lab=lab,
            in_flight=in_flight,
            stopping=[rule],
            journal=MemoryJournal(),
            progress=False,
        )
        finished("powders", seed, campaign.run(trials=150))
        done = [t for t in campaign.trials if t.observation is not None and t.ended_at is not None]
        last = max(t.ended_at for t in done if t.ended_at is not None)
        days = (last - min(t.proposed_at for t in campaign.trials)).total_seconds() / 86_400
        values = [0.0] * (len(done) - 1) + [float(len(rule.made))]
        return Outcome(len(done), days, len(rule.made) >= ENOUGH, values, time.process_time() - began)


def _powder_days(seed: int) -> Callable[[Point], float]:
    """Return the days that one recipe takes alone: what is measured besides firing, and the firing itself."""
    recipe: Point = {"target": "BaTiO3", "first": "usual", "second": "usual", "temperature": 900.0, "hours": 4.0}
    with PowderLab(seed=seed) as lab:
        start = lab.clock.time()
        lab.run(lab.make_and_measure, recipe)
        rest = lab.clock.time() - start - ramp_s(900.0) - 4 * 3600
    return lambda point: (rest + ramp_s(point["temperature"]) + 3600 * point["hours"]) / 86_400


def _one_by_one(lab: PowderLab, seed: int, order: Any, days: Callable[[Point], float]) -> Outcome:
    """Try recipes for one target after the other, twenty at most for each, until enough are made."""
    spent, n_made, values = 0.0, 0, list[float]()
    rng = np.random.default_rng([seed, 0xB0])
    for target in rng.permutation(TARGETS):
        recipes = order(lab, str(target), rng)
        for recipe, _ in zip(recipes, range(20), strict=False):
            spent += days(recipe)
            is_made = lab.truth(recipe) >= MADE
            n_made += is_made
            values.append(float(n_made))
            if is_made:
                break
        if n_made == ENOUGH:
            return Outcome(len(values), spent, values=values)
    return Outcome(len(values), spent, is_reached=False, values=values)


def _recipes(lab: PowderLab, target: str) -> list[Point]:
    parameters = lab.space().parameters
    names = ("first", "second", "temperature", "hours")
    grid = product(*(levels_of(parameters[name], 4) for name in names))
    return [{"target": target, **dict(zip(names, values, strict=True))} for values in grid]


def _random_recipes(lab: PowderLab, target: str, rng: np.random.Generator) -> Iterator[Point]:
    for point in lab.space().sample(20, rng):
        yield {**point, "target": target}


def _grid_recipes(lab: PowderLab, target: str, rng: np.random.Generator) -> Iterator[Point]:
    recipes = _recipes(lab, target)
    for place in rng.permutation(len(recipes)):
        yield recipes[place]


def _ofat(lab: PowderLab, target: str, _: np.random.Generator) -> Iterator[Point]:
    point: Point = {"target": target, "first": "usual", "second": "usual", "temperature": 900.0, "hours": 8.0}
    parameters = lab.space().parameters
    for name in ("temperature", "hours", "first", "second"):
        levels: list[Point] = [{**point, name: level} for level in levels_of(parameters[name], 5)]
        yield from levels
        point = max(levels, key=lab.truth)
