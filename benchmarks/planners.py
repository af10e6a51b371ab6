"""Which planner needs the fewest experiments, and how long does it think?

Compared are ``BayesianPlanner`` (``sdl``), its references (``sdl-sobol``, ``random``), and other projects' planners at
the settings that their documentation recommends: Optuna (Gaussian process and TPE), Ax, BayBE, BoFire, Xopt,
bluesky-adaptive, NIMO (PHYSBO), HEBO and SMAC. Each runs in a virtual environment of its own with pinned versions,
which is made when it is first needed, in a process of its own with one thread, and is asked and told through lines of
JSON; none sees more than points and measurements.

Cases are synthetic, placed anew for every seed, so that nobody can be tuned to where an optimum lies; the twins; and
four tables of published measurements, which are no part of the project: name their folder with ``--datasets`` or
``SDL_DATASETS``. Seeds from 10,001 (``--held-back``) are for judging, the others for development.

gap
    How far from the best that there is, after so many trials: for one goal the best true value so far minus the
    optimum, in the unit of the outcome; for several the missing part of the hypervolume. Noise decides what a planner
    learns, not how it is judged. What breaks a limit counts for nothing.
acceleration factor
    Trials after which the median of random search reaches where it is after 200 trials, divided by the trials after
    which the planner's median is there.
enhancement factor
    Median gap of random search divided by that of the planner after equally many trials.
CPU s per suggestion
    Processor time of the planner's process for telling and asking, median over the second half of the trials.
failed
    Runs in which the planner raised, or did not answer in time. It keeps the gap that it had.
illegal
    Suggested points that cannot be tried. Each costs a trial.

``--speed`` measures processor seconds per suggestion instead, with so many observations told beforehand; ``--only``
then names tasks, with semicolons between them.

Results are kept line by line in the folder ``--results``, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import harness
from harness import environment, parser, print_environment, to_int, write_json
from planning import plots, speed
from planning.cases import FIRST_HELD_BACK
from planning.cells import CASES, Cell, Job, Results, run_cell
from planning.client import CONTENDERS
from planning.measured import TABLES
from planning.summary import OURS, REFERENCE, Round, first_line, show_matrix, show_overall, show_pairs, show_round

QUICK_CASES = ("branin", "hartmann6", "gramacy", "branin-currin", "reaction")
QUICK_PLANNERS = (OURS, REFERENCE, "optuna-gp")
SMOKE_CASES = ("branin", "pool-blends")
SMOKE_PLANNERS = (OURS, REFERENCE)
N_SMOKE = 7


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Return what is to be run: seed by seed, so that what is there early compares everybody."""
    first = FIRST_HELD_BACK if options.held_back else 1
    n_seeds = options.seeds or (1 if options.smoke else 2 if options.quick else 10)
    return [
        Job(
            planner=planner,
            case=case,
            seed=seed,
            cache=str(options.cache.expanduser().resolve()),
            datasets=options.datasets,
            n_trials=N_SMOKE if options.smoke else options.trials,
            limit_s=options.limit,
        )
        for seed in range(first, first + n_seeds)
        for planner in planners_of(options)
        for case in cases_of(options)
    ]


def planners_of(options: argparse.Namespace) -> list[str]:
    chosen = SMOKE_PLANNERS if options.smoke else QUICK_PLANNERS if options.quick else tuple(CONTENDERS)
    return chosen_from(options.planners, CONTENDERS, chosen)


def cases_of(options: argparse.Namespace) -> list[str]:
    chosen = SMOKE_CASES if options.smoke else QUICK_CASES if options.quick else CASES
    names = chosen_from(options.only, CASES, chosen)
    return [name for name in names if name not in absent_tables(names, options.datasets)]


def absent_tables(names: Sequence[str], datasets: str | None) -> list[str]:
    """Return the cases whose table is not there."""
    return [name for name in names if name in TABLES and not (datasets and (Path(datasets) / TABLES[name]).is_dir())]


def chosen_from(text: str | None, known: Any, otherwise: Sequence[str]) -> list[str]:
    """Read a list of names from the command line."""
    names = text.split(",") if text else list(otherwise)
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    return names


def run_all(jobs: Sequence[Job], results: Results, executor: Executor) -> Iterator[Cell]:
    """Run what is not there yet, on any executor whose workers can reach the cache; keep each cell as it comes."""
    missing = [job for job in jobs if job.key not in results]
    print(f"{len(jobs) - len(missing)} cells are there, {len(missing)} are to be run", file=sys.stderr, flush=True)
    futures = [executor.submit(run_cell, job) for job in missing]
    try:
        for future in as_completed(futures):
            cell = future.result()
            results.add(cell)
            yield cell
    finally:
        for future in futures:
            future.cancel()


def report(cell: Cell, n_done: int) -> None:
    """Say on standard error that a cell is done."""
    said = cell.unsupported or first_line(cell.error) or f"gap {cell.gaps[-1]:.3g}"
    print(f"{n_done} {cell.planner} {cell.case} {cell.seed} {cell.seconds:.0f} s: {said}", file=sys.stderr, flush=True)


def show(cells: Sequence[Cell], folder: Path | None) -> dict[str, Any]:
    """Print all tables, draw into *folder*, return the figures."""
    rounds = [Round.of(case, cells) for case in dict.fromkeys(cell.case for cell in cells)]
    rounds = [shown for shown in rounds if shown.able]
    figures = [show_round(shown) for shown in rounds]
    pairs = show_pairs(rounds)
    show_matrix(rounds)
    overall = show_overall(rounds, figures)
    if folder is not None:
        plots.draw(rounds, overall, folder)
    return {"cases": figures, "pairs": pairs, "overall": overall}


def measure_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print how long planners think, return the figures."""
    chosen = speed.QUICK_TASKS if options.quick or options.smoke else tuple(speed.TASKS)
    tasks = options.only.split(";") if options.only else list(chosen)
    cache = options.cache.expanduser().resolve()
    timings = [
        timing
        for task in tasks
        for timing in speed.run(
            [OURS] if task in speed.LONG_TASKS and not options.only else planners_of(options),
            [task],
            options.results,
            cache,
            options.limit,
        )
    ]
    return speed.show(timings)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--datasets", default=os.environ.get("SDL_DATASETS"), help="folder of published tables")
    made.add_argument("--planners", metavar="NAMES", help=",".join(CONTENDERS))
    made.add_argument("--only", metavar="NAMES", help=",".join(CASES))
    made.add_argument("--seeds", type=to_int, help="how many (10)")
    made.add_argument("--held-back", action="store_true", help=f"seeds from {FIRST_HELD_BACK:,} instead of from 1")
    made.add_argument("--trials", type=to_int, help="trials of each run (what the case asks for; random search: 200)")
    made.add_argument("--jobs", type=to_int, default=1, help="how many planners think at once")
    made.add_argument("--limit", type=float, default=3600.0, help="wall seconds after which a run has failed (3600)")
    made.add_argument("--results", type=Path, default=Path("planner-results"), help="where results are kept")
    made.add_argument(
        "--cache", type=Path, default=Path("~/.cache/sdl-benchmarks"), help="where the rivals' environments are made"
    )
    made.add_argument("--plots", type=Path, metavar="FOLDER", help="draw courses and ranks there, as SVG")
    made.add_argument(
        "--speed", action="store_true", help="measure processor seconds per suggestion instead; --only names tasks"
    )
    return made.parse_args(arguments)


def main() -> None:
    options = options_of()
    found = environment()
    print_environment(found)
    if options.speed:
        write_json(options.json, {"environment": found, **measure_speed(options)})
        return
    absent = absent_tables(chosen_from(options.only, CASES, CASES), options.datasets)
    if absent and not options.smoke:
        print(f"No table for {', '.join(absent)} (--datasets, SDL_DATASETS): left out.\n")
    jobs = jobs_of(options)
    results = Results(options.results)
    with ThreadPoolExecutor(options.jobs) as executor:
        for n_done, cell in enumerate(run_all(jobs, results, executor), 1):
            report(cell, n_done)
    cells = results.of(jobs)
    seeds = sorted({job.seed for job in jobs})
    versions = {cell.planner: cell.version for cell in cells if cell.version}
    print(f"seeds {seeds[0]} to {seeds[-1]}; " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print()
    tables = show(cells, options.plots)
    write_json(
        options.json,
        {"environment": found | {"load_at_end": harness.load()}, "versions": versions, "seeds": seeds, **tables},
    )


if __name__ == "__main__":
    main()
