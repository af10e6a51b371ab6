"""Bayesian optimisation against Sobol points and random points: how much sooner, and how much better?

Compared are ``BayesianPlanner``, ``SobolPlanner`` and ``RandomPlanner``, each through a whole ``Campaign`` in
virtual time, with the same seeds, on

* ``thin-film``: the twin ``ThinFilmLab``, three knobs, noise and drift; the truth is its physics without them;
* ``crossed-barrel``, ``direct-arylation``, ``p3ht``: tables of real measurements, as pools of candidates; the truth is
  the mean over a design's replicates. The tables are no part of the project: name a folder that holds them with
  ``--datasets`` or ``SDL_DATASETS``. Without it, the invented table of ``examples/tables`` stands in.

What counts is the true value of the best of the trials so far, "best" by truth: measurement noise decides what a
planner learns, not how it is judged. Medians and quartiles are over seeds.

acceleration factor
    The trials after which the reference's median reaches its own final value, divided by the trials after which the
    planner's median reaches that value; and the same for the threshold that counts as found, with medians over seeds
    (a seed that never reached it counts as the number of trials and one).
enhancement factor
    The planner's median divided by the reference's after equally many trials; the other way round where less is
    better. Above 1 the planner is ahead.
wins
    Seeds in which the planner's final value is better than that of the reference with the same seed.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import harness
import numpy as np
from harness import Spread, environment, parser, print_environment, print_table, to_int, write_json
from scipy.optimize import differential_evolution  # pyright: ignore[reportMissingTypeStubs] # scipy has no types

import sdl
from sdl.campaign import History, Planner, Situation, Suggestion
from sdl.errors import SdlError
from sdl.journal import MemoryJournal
from sdl.planners import BayesianPlanner, RandomPlanner, SobolPlanner
from sdl.problem import Objective, ParameterValue, Problem
from sdl.simulators import TableLab, ThinFilmLab

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "tables"
TABLES = {"crossed-barrel": "crossed_barrel", "direct-arylation": "direct_arylation", "p3ht": "p3ht"}
PLANNERS: Mapping[str, Callable[[int], Planner]] = {
    "Bayesian": lambda seed: BayesianPlanner(seed=seed),
    "Sobol": lambda seed: SobolPlanner(seed=seed),
    "random": lambda seed: RandomPlanner(seed=seed),
}
OURS, REFERENCES = "Bayesian", ("random", "Sobol")
CHECKPOINTS = (5, 10, 15, 20, 30, 40, 60)

Truth = Callable[[Mapping[str, ParameterValue]], float]


@dataclass(frozen=True)
class Question:
    """A laboratory, what is asked of it, and what is known of the answer.

    Parameters
    ----------
    truth
        The value without noise at a point.
    optimum
        The best true value that there is.
    threshold
        The true value that counts as found.
    """

    name: str
    lab: sdl.Lab
    space: sdl.SearchSpace
    objective: Objective
    plan: Callable[[Any, Any], Any]
    truth: Truth
    optimum: float
    threshold: float
    told: str

    @property
    def is_less_better(self) -> bool:
        return self.objective.kind == "minimize"

    def best_of(self, values: Sequence[float]) -> list[float]:
        """Return the best so far."""
        return list(accumulate(values, min if self.is_less_better else max))

    def is_better(self, a: float, b: float) -> bool:
        return self.objective.score(a) > self.objective.score(b)


def question(name: str, seed: int, datasets: str | None) -> Question:
    """Make the laboratory *name* with *seed*."""
    if name == "thin-film":
        return film_question(seed)
    if name == "example-table":
        return table_question(name, EXAMPLE, EXAMPLE / "dye.yaml", seed)
    assert datasets is not None
    return table_question(name, Path(datasets), HERE / "schemas" / f"{TABLES[name]}.yaml", seed)


def film_question(seed: int) -> Question:
    optimum = film_optimum()
    return Question(
        name="thin-film",
        lab=ThinFilmLab(seed=seed),
        space=ThinFilmLab.space(),
        objective=ThinFilmLab.objective,
        plan=ThinFilmLab.deposit_and_measure,
        truth=ThinFilmLab.truth,
        optimum=optimum,
        threshold=1.1 * optimum,
        told="within 10 % of the lowest resistance",
    )


def film_optimum() -> float:
    """The lowest true resistance, by differential evolution over the three knobs; oxygen counts in decades."""
    low, high = ThinFilmLab.space().bounds["oxygen"]
    others = [ThinFilmLab.space().bounds[name] for name in ("temperature", "power")]

    def resistance(knobs: Sequence[float]) -> float:
        return ThinFilmLab.truth({"oxygen": 10 ** knobs[0], "temperature": knobs[1], "power": knobs[2]})

    bounds = [(math.log10(low), math.log10(high)), *others]
    return float(differential_evolution(resistance, bounds, rng=np.random.default_rng(0), tol=1e-6).fun)


def table_question(name: str, folder: Path, schema: Path, seed: int) -> Question:
    lab = TableLab(folder, schema, seed=seed)
    objective = lab.objectives[0]
    best = lab.best.outcomes[objective.outcome]
    is_less_better = objective.kind == "minimize"
    return Question(
        name=name,
        lab=lab,
        space=lab.space(),
        objective=objective,
        plan=TableLab.measure,
        truth=lambda values: lab.truth(values)[objective.outcome],
        optimum=best,
        threshold=1.1 * best if is_less_better else 0.9 * best,
        told=f"within 10 % of the best of {len(lab.space().pool or ()):,} designs",
    )


# --- one campaign -----------------------------------------------------------------------------------------------------


class TimedPlanner:
    """A planner that notes how long it thinks when it has a model."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.cpu: list[float] = []
        self.wall: list[float] = []

    @property
    def name(self) -> str:
        return self._planner.name

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> Sequence[Suggestion]:
        cpu, wall = time.process_time(), time.perf_counter()
        suggestions = self._planner.suggest(problem, history, n, situation=situation, seed=seed)
        if self._planner.name != OURS or any(suggestion.decision.predicted for suggestion in suggestions):
            self.cpu.append(time.process_time() - cpu)
            self.wall.append(time.perf_counter() - wall)
        return suggestions


@dataclass(frozen=True)
class Run:
    """What came of one campaign: the true value of every trial, and the seconds per suggestion."""

    question: str
    planner: str
    seed: int
    truths: list[float]
    cpu_per_suggestion: float
    wall_per_suggestion: float
    n_fallbacks: int


def run(job: tuple[str, str, int, int, str | None]) -> Run:
    """Run one campaign of so many trials."""
    name, planner_name, seed, n_trials, datasets = job
    asked = question(name, seed, datasets)
    planner = TimedPlanner(PLANNERS[planner_name](seed))
    campaign = sdl.Campaign(
        f"{name}-{planner_name}-{seed}",
        space=asked.space,
        objective=asked.objective,
        planner=planner,
        experiment=asked.plan,
        lab=asked.lab,
        seed=seed,
        journal=MemoryJournal(time_source=asked.lab.clock),
        progress=False,
    )
    campaign.run(trials=n_trials)
    trials = campaign.trials
    asked.lab.close()
    if any(trial.observation is None for trial in trials):
        raise SdlError(f"{campaign.name}: a trial failed where nothing can fail")
    return Run(
        question=name,
        planner=planner_name,
        seed=seed,
        truths=[asked.truth(trial.values) for trial in trials],
        cpu_per_suggestion=median(planner.cpu or [0.0]),
        wall_per_suggestion=median(planner.wall or [0.0]),
        n_fallbacks=sum(trial.decision.fallback_from is not None for trial in trials),
    )


def run_all(jobs: Sequence[tuple[str, str, int, int, str | None]], n_processes: int) -> Iterator[Run]:
    """Run all campaigns, several at once where more than one process is allowed."""
    if n_processes == 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run, jobs)


# --- what came out ----------------------------------------------------------------------------------------------------


def trials_to(best_so_far: Sequence[float], value: float, asked: Question) -> int | None:
    """Return after how many trials *value* was reached; None where it never was."""
    return next((n for n, best in enumerate(best_so_far, 1) if not asked.is_better(value, best)), None)


def acceleration(ours: Sequence[float], reference: Sequence[float], asked: Question) -> tuple[float, str]:
    """Return the acceleration factor of two median courses, and in words: a bound where ours never gets there."""
    at_reference = trials_to(reference, reference[-1], asked) or len(reference)
    needed = trials_to(ours, reference[-1], asked)
    factor = at_reference / (needed or len(ours))
    return factor, f"{factor:.2g}" if needed else f"below {factor:.2g}"


def enhancement(ours: float, reference: float, asked: Question) -> float | None:
    """Return the enhancement factor; None where the values have no ratio."""
    better, worse = (reference, ours) if asked.is_less_better else (ours, reference)
    return better / worse if worse > 0 and better > 0 else None


def summarise(asked: Question, runs: Sequence[Run]) -> dict[str, Any]:
    """Print the tables of one question, return their figures."""
    courses = {name: np.array([asked.best_of(run.truths) for run in runs if run.planner == name]) for name in PLANNERS}
    n_seeds, n_trials = courses[OURS].shape
    unit = f" [{asked.objective.unit}]" if asked.objective.unit else ""
    checkpoints = sorted({n for n in (*CHECKPOINTS, n_trials) if n <= n_trials})
    print_table(
        f"{asked.name}: {asked.objective.kind} {asked.objective.outcome}{unit}, seeds 1 to {n_seeds}, "
        f"{n_trials} trials each; best there is {asked.optimum:.4g}. True best so far, median (quartiles):",
        ["planner", *(f"after {n}" for n in checkpoints)],
        [
            [name, *(Spread.of(course[:, n - 1].tolist()).written() for n in checkpoints)]
            for name, course in courses.items()
        ],
    )
    found = {name: reached(asked, course) for name, course in courses.items()}
    print_table(
        f"{asked.name}: trials until {asked.threshold:.4g} is reached ({asked.told}), and seconds per suggestion:",
        ["planner", "seeds that reached it", "trials, median over all seeds", "CPU s per suggestion", "wall s"],
        [
            [
                name,
                f"{found[name]['n_reached']} of {n_seeds}",
                found[name]["written"],
                f"{median(run.cpu_per_suggestion for run in runs if run.planner == name):.2g}",
                f"{median(run.wall_per_suggestion for run in runs if run.planner == name):.2g}",
            ]
            for name in PLANNERS
        ],
    )
    factors = {reference: compare(asked, courses[OURS], courses[reference]) for reference in REFERENCES}
    at = [n for n in checkpoints if n >= 10] or checkpoints
    print_table(
        f"{asked.name}: {OURS} against the references:",
        ["reference", "acceleration factor", "to the threshold", *(f"enhancement after {n}" for n in at), "wins"],
        [
            [
                reference,
                values["acceleration in words"],
                to_threshold(found[OURS]["median"], found[reference]["median"], n_trials),
                *(ratio(values["enhancement"][n - 1]) for n in at),
                f"{values['wins']} of {n_seeds}" + (f", {values['ties']} ties" if values["ties"] else ""),
            ]
            for reference, values in factors.items()
        ],
    )
    n_fallbacks = sum(run.n_fallbacks for run in runs)
    if n_fallbacks:
        print(f"In {n_fallbacks} trials a fall-back stood in for a planner that failed.\n")
    return {
        "question": asked.name,
        "objective": asked.objective.model_dump(mode="json"),
        "optimum": asked.optimum,
        "threshold": asked.threshold,
        "trials_to_threshold": {name: values["trials"] for name, values in found.items()},
        "against": factors,
        "n_fallbacks": n_fallbacks,
        "runs": [asdict(run) for run in runs],
    }


def reached(asked: Question, courses: np.ndarray) -> dict[str, Any]:
    """Return the trials to the threshold of every seed, None where it was missed, and their median in words."""
    trials = [trials_to(course.tolist(), asked.threshold, asked) for course in courses]
    n_trials = courses.shape[1]
    middle = median(n_trials + 1 if n is None else n for n in trials)
    return {
        "trials": trials,
        "median": middle,
        "n_reached": sum(n is not None for n in trials),
        "written": f"more than {n_trials}" if middle > n_trials else f"{middle:g}",
    }


def to_threshold(ours: float, reference: float, n_trials: int) -> str:
    """Write the acceleration factor to the threshold: a bound where the reference, or ours, never got there."""
    if ours > n_trials:
        return "neither got there" if reference > n_trials else f"below {reference / n_trials:.2g}"
    return f"{'above ' if reference > n_trials else ''}{min(reference, n_trials) / ours:.2g}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def compare(asked: Question, ours: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Return acceleration and enhancement of the medians, and in how many seeds ours ends better."""
    mine, other = np.median(ours, axis=0).tolist(), np.median(reference, axis=0).tolist()
    pairs = list(zip(ours[:, -1].tolist(), reference[:, -1].tolist(), strict=True))
    factor, words = acceleration(mine, other, asked)
    return {
        "acceleration": factor,
        "acceleration in words": words,
        "enhancement": [enhancement(a, b, asked) for a, b in zip(mine, other, strict=True)],
        "wins": sum(asked.is_better(a, b) for a, b in pairs),
        "ties": sum(a == b for a, b in pairs),
    }


def questions_of(options: Any) -> list[str]:
    """Return which questions are asked; say so where the tables are missing."""
    datasets = options.datasets
    known = ["thin-film", *TABLES, "example-table"]
    if options.only:
        names = str(options.only).split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            sys.exit(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    else:
        names = ["thin-film", "crossed-barrel", "direct-arylation"]
    missing = [name for name in names if name in TABLES and not is_there(name, datasets)]
    if missing:
        print(
            f"No table for {', '.join(missing)} (--datasets, SDL_DATASETS): the table of examples/tables stands in.\n"
        )
        names = [name for name in names if name not in missing]
        names += [] if "example-table" in names else ["example-table"]
    return names


def is_there(name: str, datasets: str | None) -> bool:
    return datasets is not None and (Path(datasets) / TABLES[name]).is_dir()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--datasets", default=os.environ.get("SDL_DATASETS"), help="folder of published tables")
    arguments.add_argument("--seeds", type=to_int, help="how many seeds (10)")
    arguments.add_argument("--trials", type=to_int, help="trials of each campaign (30 on thin-film, 40 on tables)")
    arguments.add_argument("--jobs", type=to_int, default=1, help="processes; timings suffer from more than the cores")
    arguments.add_argument(
        "--only", metavar="NAMES", help="thin-film,crossed-barrel,direct-arylation,p3ht,example-table"
    )
    options = arguments.parse_args()
    n_seeds = options.seeds or (1 if options.smoke else 2 if options.quick else 10)
    found = environment()
    print_environment(found)
    results: list[dict[str, Any]] = []
    for name in questions_of(options):
        n_full = 30 if name == "thin-film" else 40
        n_trials = options.trials or (7 if options.smoke else 15 if options.quick else n_full)
        jobs = [
            (name, planner, seed, n_trials, options.datasets) for seed in range(1, n_seeds + 1) for planner in PLANNERS
        ]
        asked = question(name, 1, options.datasets)
        results.append(summarise(asked, list(run_all(jobs, options.jobs))))
        asked.lab.close()
    write_json(options.json, {"environment": found | {"load_at_end": harness.load()}, "questions": results})


if __name__ == "__main__":
    main()
