"""How many laboratory days and experiments until the goal, on whole simulated laboratories?

Compared are the loop as a user has it (planner, batches, stations that work side by side) with what is done without
it: random points, a grid, and one factor at a time, each with one sample at a time. A fourth way, the same planner with
one sample at a time, says how much is the planner's and how much the schedule's.

Exhibits and goals; all are judged by the true value of what was tried, noise decides only what a planner learns:

* ``thin-film``: a resistance at most 10 % above the lowest there is;
* ``mobile-chemist``: six times the hydrogen of the first mixture, as published;
* ``beamline``: a quarter of the density of photons that perfect mirrors have;
* ``powder-synthesis``: nine of the fourteen targets made, each with a share of at least a half;
* ``electrolytes``: 96 % of the 594 candidates told rightly, whether they conduct at least 9 mS/cm;
* ``bioprocess``: 90 % of the highest titre that a long search found.

experiments
    Trials completed when the goal is reached, those of the same batch included; for one sample at a time the number of
    the sample that reached it.
days
    Of laboratory time, by the virtual clock: from the start to the end of that trial. The references run without the
    engine: their experiments times the duration of one sample made alone, which is measured in the engine, as a mean
    over random points. They decide by true values, and lose no time and no sample to faults: both are in their favour.
    The planner's own processor time is not in the days; it is in the last column.
grid
    The coarsest grid of equidistant levels that holds a point at the goal, in random order; with at most 100,000
    points, and 1100 where the truth takes long to work out.
one factor at a time
    From the middle of each range (for mixtures: from what a chemist begins with) every factor goes in turn through up
    to seven levels, and stays at the best, until a round changes nothing.
acceleration factor
    Experiments of random points over those of the planner, to the same goal (A. D. Adesiji et al., Digital Discovery,
    2025, doi 10.1039/d5dd00337g, for this and the next one).
enhancement factor
    Best value after as many experiments as ours needed: the planner's against that of random points, as a ratio (the
    other way round where less is better; for the beamline of the densities, for powders and electrolytes of the
    numbers told or made).
times fewer days
    Days of random points, one at a time, over ours.

A reference that has not reached the goal when its budget is used up counts with that budget, and carries a ``>``; so
do the ratios made of it. One that can never reach it (a grid without such a point, one factor at a time in a dead end)
is ``never``, and carries no number.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import environment, parser, print_environment, print_table, short, to_int, write_json

import sdl
from sdl.campaign.planner import History, Situation, Suggestion
from sdl.campaign.view import CampaignView
from sdl.journal import MemoryJournal
from sdl.journal.records import Decision
from sdl.planners import BayesianPlanner, LevelSetPlanner, RandomPlanner
from sdl.problem import Categorical, Continuous, Discrete, Problem, SearchSpace
from sdl.simulators import BeamlineLab, BioprocessLab, ElectrolyteLab, MobileChemistLab, PowderLab, ThinFilmLab
from sdl.simulators.photocatalysis_physics import START as FIRST_MIXTURE
from sdl.simulators.powder_synthesis import TARGETS

Point = dict[str, Any]
GRID_CAP = 100_000
NEVER = -1


@dataclass(frozen=True)
class Case:
    """An exhibit and its goal.

    Parameters
    ----------
    name
        Of the exhibit.
    make
        Makes the laboratory of a seed.
    space, objective
        What is searched.
    score
        ``score(lab, point)``: the true value, higher is better; *goal* is what it has to reach.
    experiment, alone
        The experiment as ours runs it, and the plan for one sample.
    in_flight
        Trials under way in ours.
    budget, patience, grid_cap
        Experiments after which ours gives up, and after which a reference does; the largest grid that is looked at.
    start
        Where one factor at a time begins; None for the middle.
    """

    name: str
    make: Callable[[int], Any]
    space: SearchSpace
    objective: Any
    score: Callable[[Any, Point], float]
    goal: Callable[[Any], float]
    experiment: Callable[[Any], Any]
    alone: Callable[[Any], Any]
    in_flight: int
    budget: int
    patience: int = 20_000
    grid_cap: int = GRID_CAP
    start: Mapping[str, float] | None = None
    ratio: Callable[[float, float], float] = lambda ours, theirs: ours / theirs
    planner: Callable[[int], Any] = lambda seed: BayesianPlanner(seed=seed)
    is_fixed: bool = True  # whether the truth is the same for every seed


@dataclass
class Outcome:
    """What one way of working needed."""

    experiments: float
    days: float
    is_reached: bool = True
    values: list[float] = field(default_factory=list[float])
    cpu: float = 0.0

    @property
    def is_never(self) -> bool:
        return self.experiments == NEVER


class Reached:
    """Stops a campaign when the true value of a completed trial reaches the goal."""

    def __init__(self, score: Callable[[Point], float], goal: float) -> None:
        self.score = score
        self.goal = goal
        self.seen: dict[int, float] = {}

    def reason(self, view: CampaignView) -> str | None:
        for entry in view.history.completed:
            if entry.trial not in self.seen:
                self.seen[entry.trial] = self.score(dict(entry.values))
        return "the goal is reached" if max(self.seen.values(), default=-np.inf) >= self.goal else None


# --- the six exhibits -------------------------------------------------------------------------------------------------


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
            ratio=lambda ours, theirs: 10 ** (ours - theirs),
            is_fixed=False,
        ),
        Case(
            "bioprocess",
            lambda seed: BioprocessLab(seed=seed),
            BioprocessLab.space(),
            BioprocessLab.objective,
            lambda _, point: BioprocessLab.truth(point),
            lambda _: 0.9 * HIGHEST_TITRE,
            lambda lab: lab.experiment(hopeless=2.0),
            lambda lab: lab.grow_and_measure,
            in_flight=8,
            budget=120,
            patience=1000,
            grid_cap=1100,
        ),
    )
    return {case.name: case for case in found}


HIGHEST_TITRE = 15.0  # g/L: SciPy's differential_evolution on the truth of BioprocessLab


def lowest_resistance() -> float:
    """Return the lowest true resistance of the thin-film twin, ohm, on a fine grid."""
    if not _lowest:
        oxygen, heat, power = np.geomspace(0.02, 0.5, 25), np.linspace(280, 380, 41), np.linspace(60, 200, 29)
        grid = product(oxygen, heat, power)
        _lowest.append(min(ThinFilmLab.truth({"oxygen": o, "temperature": t, "power": p}) for o, t, p in grid))
    return _lowest[0]


_lowest: list[float] = []


def ours(case: Case, seed: int, *, alone: bool = False) -> Outcome:
    """Run the loop until the goal: with batches and stations side by side, or with one sample at a time."""
    began = time.process_time()
    with case.make(seed) as lab:
        rule = Reached(lambda point: case.score(lab, point), case.goal(lab))
        campaign = sdl.Campaign(
            case.name,
            space=case.space,
            objective=case.objective,
            planner=case.planner(seed),
            experiment=(case.alone if alone else case.experiment)(lab),
            lab=lab,
            seed=seed,
            in_flight=1 if alone else case.in_flight,
            stopping=[rule],
            journal=MemoryJournal(),
            planner_place="thread",
            progress=False,
        )
        ended = campaign.run(trials=case.budget)
        if max(rule.seen.values(), default=-np.inf) < rule.goal:
            print(f"{case.name}, seed {seed}: {ended}", file=sys.stderr)
        return _outcome(campaign, rule, time.process_time() - began)


def _outcome(campaign: sdl.Campaign, rule: Reached, cpu: float) -> Outcome:
    """Return when the first good trial ended, and how many were completed by then."""
    done = sorted((t for t in campaign.trials if t.number in rule.seen and t.ended_at), key=lambda t: t.ended_at)  # type: ignore[arg-type,return-value] # they have ended
    start = min(t.proposed_at for t in campaign.trials)
    good = next((t for t in done if rule.seen[t.number] >= rule.goal), None)
    last = good or done[-1]
    assert last.ended_at is not None
    counted = [t for t in done if t.ended_at is not None and t.ended_at <= last.ended_at]
    days = (last.ended_at - start).total_seconds() / 86_400
    return Outcome(len(counted), days, good is not None, [rule.seen[t.number] for t in counted], cpu)


def duration_alone(case: Case, seed: int) -> float:
    """Return the laboratory days of one sample made alone: the mean over five random points."""
    with case.make(seed) as lab:
        campaign = sdl.Campaign(
            case.name,
            space=case.space,
            objective=case.objective,
            planner=RandomPlanner(seed=seed),
            experiment=case.alone(lab),
            lab=lab,
            journal=MemoryJournal(),
            progress=False,
        )
        campaign.run(trials=5)
        return campaign.view.lab_seconds / 86_400 / len(campaign.trials)


# --- the references ---------------------------------------------------------------------------------------------------


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
    n_points, n_good = _grids[key]
    if not n_good:
        return Outcome(NEVER, NEVER, is_reached=False)
    order = np.random.default_rng([seed, 0x6D]).permutation(n_points)
    tried = int(np.flatnonzero(order < n_good)[0]) + 1
    return Outcome(tried, tried * days)


_grids: dict[str, tuple[int, int]] = {}


def _good_grid(case: Case, lab: Any) -> tuple[int, int]:
    """Return how many points the grid has, and how many of them are good; 0 if none with a point is small enough."""
    goal = case.goal(lab)
    for n_levels in range(3, 12):
        levels = [list(levels_of(p, n_levels)) for p in case.space.parameters.values()]
        if np.prod([float(len(some)) for some in levels]) > case.grid_cap:
            break
        points = (dict(zip(case.space.parameters, values, strict=True)) for values in product(*levels))
        legal = [point for point in points if case.space.contains(point)]
        n_good = sum(case.score(lab, point) >= goal for point in legal)
        if n_good:
            return len(legal), n_good
    return 0, 0


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


# --- powders: many goals, one after the other -------------------------------------------------------------------------

MADE = 0.5
ENOUGH = 9


def powders(seed: int) -> dict[str, Outcome]:
    """Make nine of fourteen targets: recipes improved target by target, or found by other ways."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
    from importlib import import_module  # noqa: PLC0415 # an example is no module of ours

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
        campaign.run(trials=150)
        done = [t for t in campaign.trials if t.observation is not None and t.ended_at is not None]
        last = max(t.ended_at for t in done if t.ended_at is not None)
        days = (last - min(t.proposed_at for t in campaign.trials)).total_seconds() / 86_400
        values = [float(len(rule.made))]
        return Outcome(len(done), days, len(rule.made) >= ENOUGH, values, time.process_time() - began)


def _powder_days(seed: int) -> Callable[[Point], float]:
    """Return the days that one recipe takes alone: what is measured besides firing, and the firing itself."""
    from sdl.simulators.powder_synthesis import ramp_s  # noqa: PLC0415 # only here

    recipe: Point = {"target": "BaTiO3", "first": "usual", "second": "usual", "temperature": 900.0, "hours": 4.0}
    with PowderLab(seed=seed) as lab:
        start = lab.clock.time()
        lab.run(lab.make_and_measure, recipe)
        rest = lab.clock.time() - start - ramp_s(900.0) - 4 * 3600
    return lambda point: (rest + ramp_s(point["temperature"]) + 3600 * point["hours"]) / 86_400


def _one_by_one(lab: PowderLab, seed: int, order: Any, days: Callable[[Point], float]) -> Outcome:
    """Try recipes for one target after the other, twenty at most for each, until enough are made."""
    n_tried, spent, n_made = 0, 0.0, 0
    rng = np.random.default_rng([seed, 0xB0])
    for target in rng.permutation(TARGETS):
        recipes = order(lab, str(target), rng)
        for recipe, _ in zip(recipes, range(20), strict=False):
            n_tried += 1
            spent += days(recipe)
            if lab.truth(recipe) >= MADE:
                n_made += 1
                break
        if n_made == ENOUGH:
            return Outcome(n_tried, spent, values=[float(n_made)])
    return Outcome(n_tried, spent, is_reached=False, values=[float(n_made)])


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


# --- electrolytes: a set to be told -----------------------------------------------------------------------------------

GOOD_CONDUCTOR = 9.0
TOLD = 0.96
LOOKS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 200, 240, 300)


def electrolytes(seed: int) -> dict[str, Outcome]:
    """Tell which candidates conduct well: by the planner for level sets, by random points, by a grid."""
    began = time.process_time()
    planner = LevelSetPlanner(seed=seed, lower=GOOD_CONDUCTOR)
    days = duration_alone(_electrolyte_case(planner), seed)
    with ElectrolyteLab(seed=seed) as lab:
        pool = lab.space().pool
        assert pool is not None
        rows = [dict(pool.row(n)) for n in range(len(pool))]
        rng = np.random.default_rng([seed, 0xE1])
        mine = _told(lab, planner, seed, rows, None)
        mine.cpu = time.process_time() - began
        shuffled = [rows[n] for n in rng.permutation(len(rows))]
        coarse = [
            r for r in rows if all(round(10 * float(r[s])) % 2 == 0 for s in ("ec", "dmc")) and r["salt"] in GRID_SALT
        ]
        coarse = [coarse[n] for n in rng.permutation(len(coarse))]
        theirs = {"random": _told(lab, planner, seed, rows, shuffled), "grid": _told(lab, planner, seed, rows, coarse)}
    found = {"ours": mine, "same planner, one at a time": mine, **theirs}
    for outcome in found.values():
        outcome.days = outcome.experiments * days
    return {**found, "one factor at a time": Outcome(NEVER, NEVER, is_reached=False)}


GRID_SALT = (0.4, 0.8, 1.2, 1.6, 2.0)


def is_on_grid(row: Point) -> bool:
    """Return whether a candidate has its solvents in fifths, and one of five molalities."""
    return all(round(10 * float(row[solvent])) % 2 == 0 for solvent in ("ec", "dmc")) and row["salt"] in GRID_SALT


def _electrolyte_case(planner: LevelSetPlanner) -> Case:
    return Case(
        "electrolytes",
        lambda seed: ElectrolyteLab(seed=seed),
        ElectrolyteLab.space(),
        ElectrolyteLab.objective,
        lambda _, point: ElectrolyteLab.truth(point),
        lambda _: np.inf,
        lambda lab: lab.mix_and_measure,
        lambda lab: lab.mix_and_measure,
        in_flight=1,
        budget=100,
        planner=lambda _: planner,
    )


class Listed:
    """Proposes the points of a list, in its order."""

    name = "listed"

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = points

    def suggest(
        self,
        problem: Problem,  # noqa: ARG002 # the protocol's arguments
        history: History,
        n: int,
        *,
        situation: Situation,  # noqa: ARG002 # likewise
        seed: int,
    ) -> list[Suggestion]:
        first = len(history.entries)
        decision = Decision(planner=self.name, version="1", seed=seed, n_observed=first, n_pending=0, note="")
        return [Suggestion(values=point, decision=decision) for point in self.points[first : first + n]]


def _told(
    lab: ElectrolyteLab, planner: LevelSetPlanner, seed: int, rows: list[Point], order: list[Point] | None
) -> Outcome:
    """Measure until enough candidates are told rightly by the model of *planner*, looking now and then."""
    campaign = sdl.Campaign(
        "told",
        space=lab.space(),
        objective=lab.objective,
        planner=planner if order is None else Listed(order),
        experiment=lab.mix_and_measure,
        lab=lab,
        seed=seed,
        journal=MemoryJournal(),
        planner_place="thread",
        progress=False,
    )
    truth = np.array([lab.truth(row) >= GOOD_CONDUCTOR for row in rows])
    shares: list[float] = []
    n = 0
    for n in LOOKS:
        if order is not None and n > len(order):
            return Outcome(NEVER, NEVER, is_reached=False, values=shares)
        campaign.run(trials=n)
        chances = np.array(planner.membership(campaign.problem, campaign.view.history, rows))
        shares.append(float(np.mean((chances > 0.5) == truth)))
        if shares[-1] >= TOLD:
            return Outcome(n, 0.0, values=shares)
    return Outcome(n, 0.0, is_reached=False, values=shares)


# --- tables -----------------------------------------------------------------------------------------------------------

WAYS = ("ours", "same planner, one at a time", "random", "grid", "one factor at a time")


def summary(name: str, runs: Sequence[Mapping[str, Outcome]], ratio: Callable[[float, float], float]) -> dict[str, Any]:
    """Return medians over seeds of one exhibit."""
    ways = {way: _median([run[way] for run in runs]) for way in WAYS}
    theirs = ways["random"]
    mine = ways["ours"]
    enhancement = [
        ratio(max(run["ours"].values), max(run["random"].values[: int(run["ours"].experiments)]))
        for run in runs
        if run["ours"].values and run["random"].values
    ]
    return {
        "name": name,
        "ways": ways,
        "acceleration": theirs["experiments"] / mine["experiments"],
        "enhancement": median(enhancement) if enhancement else None,
        "fewer_days": theirs["days"] / mine["days"],
        "is_bound": not theirs["is_reached"],
        "cpu": median(run["ours"].cpu for run in runs),
    }


def _median(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    never = sum(o.is_never for o in outcomes) > len(outcomes) / 2
    kept = [o for o in outcomes if not o.is_never]
    return {
        "experiments": NEVER if never else median(o.experiments for o in kept),
        "days": NEVER if never else median(o.days for o in kept),
        "is_reached": not never and sum(o.is_reached for o in outcomes) > len(outcomes) / 2,
        "n_reached": sum(o.is_reached for o in outcomes),
    }


def written(way: Mapping[str, Any], key: str) -> str:
    """Write a median: with ``>`` where it is a budget, ``never`` where there is none."""
    if way[key] == NEVER:
        return "never"
    return ("" if way["is_reached"] else "> ") + short(way[key])


def show(found: Sequence[Mapping[str, Any]], n_seeds: int) -> None:
    """Print the tables."""
    for key, title in (("experiments", "Experiments to the goal"), ("days", "Laboratory days to the goal")):
        rows = [[line["name"], *(written(line["ways"][way], key) for way in WAYS)] for line in found]
        print_table(f"{title}, medians over {n_seeds} seeds", ["exhibit", *WAYS], rows)
    rows = []
    for line in found:
        bound = "> " if line["is_bound"] else ""
        reached = line["ways"]["ours"]["n_reached"]
        enhancement = "" if line["enhancement"] is None else f"{line['enhancement']:.3g}"
        rows.append(
            [
                line["name"],
                f"{reached}/{n_seeds}",
                bound + short(line["acceleration"]),
                enhancement,
                bound + short(line["fewer_days"]),
                f"{line['cpu']:.0f}",
            ]
        )
    headings = ["exhibit", "reached", "acceleration", "enhancement", "times fewer days", "CPU s"]
    print_table("Ours against random points, one at a time", headings, rows)
    print(f"median over the exhibits: {short(median(line['fewer_days'] for line in found))} times fewer days\n")


def main() -> None:
    """Run the exhibits and print the tables."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=to_int, default=3, help="how many seeds, from 1 (3)")
    options.add_argument("--only", nargs="*", default=(), metavar="EXHIBIT", help="these exhibits only")
    given = options.parse_args()
    n_seeds = 1 if given.smoke or given.quick else given.seeds
    searches = cases()
    names = [*searches, "powder-synthesis", "electrolytes"]
    chosen = ["powder-synthesis"] if given.smoke else list(given.only) or names
    if unknown := sorted(set(chosen) - set(names)):
        options.error(f"no such exhibit: {', '.join(unknown)}; there are {', '.join(names)}")
    found_environment = environment()
    print_environment(found_environment)
    found: list[dict[str, Any]] = []
    for name in chosen:
        case = searches.get(name)
        ratio = case.ratio if case is not None else (lambda ours, theirs: ours / theirs)
        runs = [_run(name, case, seed) for seed in range(1, n_seeds + 1)]
        found.append(summary(name, runs, ratio))
        print(f"{name}: done", file=sys.stderr, flush=True)
    show(found, n_seeds)
    write_json(given.json, {"environment": found_environment, "seeds": n_seeds, "exhibits": found})


def _run(name: str, case: Case | None, seed: int) -> dict[str, Outcome]:
    if case is not None:
        return search(case, seed)
    return powders(seed) if name == "powder-synthesis" else electrolytes(seed)


if __name__ == "__main__":
    main()
