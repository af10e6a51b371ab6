"""Cases that laboratories answer: the twins, and tables of published measurements as pools of candidates."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky import RunEngine
from engine import awaiting
from first_light import film_optimum

import sdl
from planning.cases import Case, Outcomes, hypervolume, reference_of
from planning.wire import Goal, Knob, Point, Question, Value, unscored
from sdl.lab.connection import connect_all, disconnect_all
from sdl.problem import Categorical, Continuous, Discrete, Maximize, Objective, SearchSpace
from sdl.simulators import TableLab, ThinFilmLab

lowest_resistance = cache(film_optimum)

SCHEMAS = Path(__file__).parent.parent / "schemas"
TABLES = {
    "crossed-barrel": "crossed_barrel",
    "direct-arylation": "direct_arylation",
    "p3ht": "p3ht",
    "yield-cost": "yield_cost",
}
Plan = Callable[[Any, Mapping[str, Any]], Generator[Any, Any, Any]]


class Bench:
    """A laboratory whose plan runs on a bare RunEngine, point by point, in virtual time.

    The n-th trial meets the same noise whoever chose its point: it follows from the laboratory's seed and the number.
    """

    def __init__(self, lab: sdl.Lab, plan: Plan) -> None:
        self._lab = lab
        self._plan = plan
        self._loop = lab.clock.new_loop()
        make: Any = RunEngine
        self._engine = make({}, loop=self._loop, context_managers=[], call_returns_result=True)
        self._run(awaiting(connect_all, lab))

    def measure(self, point: Point, trial: int) -> Outcomes:
        """Run the plan at *point*; return what it measured."""
        self._lab.prepare(trial, 1)
        found = self._run(within_run(self._plan(self._lab, point)))
        return {name: float(measured.value) for name, measured in found.items()}

    def close(self) -> None:
        """Part from the devices."""
        with suppress(Exception):  # a laboratory that is gone cannot part
            self._run(awaiting(disconnect_all, self._lab))
        self._lab.clock.close_loop(self._loop)
        self._lab.close()

    def _run(self, plan: Any) -> Any:
        self._lab.clock.release()  # virtual time may pass while the plan runs
        try:
            return self._engine(plan).plan_result
        finally:
            self._lab.clock.hold()


def within_run(plan: Any) -> Generator[Any, Any, Any]:
    """Plan: *plan* within a run; return what it returns."""
    yield from bps.open_run()
    found = yield from plan
    yield from bps.close_run()
    return found


def knobs_of(space: SearchSpace) -> tuple[Knob, ...]:
    """Return a space's parameters as knobs; units are left out, the planners here see bare numbers."""
    found: list[Knob] = []
    for name, parameter in space.parameters.items():
        match parameter:
            case Continuous(low=low, high=high, log=is_log):
                found.append(Knob(name, "continuous", low, high, is_log))
            case Discrete(values=values):
                found.append(Knob(name, "discrete", values=tuple(values)))
            case Categorical(choices=choices):
                found.append(Knob(name, "categorical", values=tuple(choices)))
            case _:
                raise ValueError(f"{name} is neither continuous nor discrete nor categorical")
    return tuple(found)


def goal_of(objective: Objective) -> Goal:
    """Return an objective as a goal."""
    assert objective.kind != "target"
    return Goal(objective.outcome, isinstance(objective, Maximize), objective.reference)


def thin_film(seed: int) -> Case:
    """The twin that comes with sdl: three knobs, noise, drift; the truth is its physics without them."""
    lab = ThinFilmLab(seed=seed)
    bench = Bench(lab, ThinFilmLab.deposit_and_measure)
    best = lowest_resistance()

    def truth(point: Point) -> Outcomes:
        return {"resistance": ThinFilmLab.truth(point)}

    question = Question(knobs_of(ThinFilmLab.space()), (goal_of(ThinFilmLab.objective),), n_trials=30, is_noisy=True)
    return Case("thin-film", seed, question, truth, bench.measure, best, 1e6, 0.1 * best, close=bench.close)


def table(name: str, seed: int, datasets: str) -> Case:
    """A table as a pool; the truth is the mean over a design's replicates. One goal within 10 % counts as found."""
    lab = TableLab(Path(datasets), SCHEMAS / f"{TABLES[name]}.yaml", seed=seed)
    goals = tuple(goal_of(objective) for objective in lab.objectives)
    space = lab.space()
    assert space.pool is not None
    pool: dict[str, tuple[Value, ...]] = {column: (*values,) for column, values in space.pool.columns.items()}
    outcomes = [goal.outcome for goal in goals]
    bench = Bench(lab, TableLab.measure)

    def truth(point: Point) -> Outcomes:
        found = lab.truth(point)
        return {outcome: found[outcome] for outcome in outcomes}

    def measure(point: Point, trial: int) -> Outcomes:
        found = bench.measure(point, trial)
        return {outcome: found[outcome] for outcome in outcomes}

    is_noisy = lab.schema.replicates == "draw"
    question = Question(knobs_of(space), goals, pool=pool, n_trials=40, is_noisy=is_noisy)
    scores = np.array([unscored(goals, truth(row)) for row in question.rows()])
    make = partial(Case, name, seed, question, truth, measure, close=bench.close)
    if len(goals) > 1:
        return make(hypervolume(scores, reference_of(goals)), 1.0, 0.05)
    best, worst = float(scores.min()), float(scores.max())
    return make(best, worst - best, 0.1 * abs(best))


MEASURED: Mapping[str, Callable[[int], Case]] = {"thin-film": thin_film}
"""Name -> maker of an instance that needs no table."""
