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
    Experiments of the reference over those of the planner, to the same goal (A. D. Adesiji et al., Digital Discovery,
    2025, doi 10.1039/d5dd00337g, for this and the next one).
enhancement factor
    Best value after as many experiments as ours needed: the planner's against that of the reference, as a ratio (the
    other way round where less is better; for the beamline of the densities, for powders and electrolytes of the
    numbers told or made).
fewer days
    Days of the reference, one at a time, over ours.

A reference that has not reached the goal when its budget is used up counts with that budget, and carries a ``>``; so
do the ratios made of it. One that can never reach it (a grid without such a point, one factor at a time in a dead end)
is ``never``, and carries no number; in medians it counts as larger than any.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exhibits.cases import cases
from exhibits.common import Case, Outcome
from exhibits.electrolytes import electrolytes
from exhibits.powders import powders
from exhibits.references import search
from exhibits.stations import show_stations
from exhibits.tables import show, summary
from harness import environment, parser, print_environment, to_int, write_json


def main() -> None:
    """Run the exhibits and print the tables."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=to_int, default=3, help="how many seeds, from 1 (3)")
    options.add_argument("--only", nargs="*", default=(), metavar="EXHIBIT", help="these exhibits only")
    options.add_argument("--keep", type=Path, metavar="FILE", help="keep each seed's result in FILE, and go on from it")
    options.add_argument("--only-show", action="store_true", help="run nothing: show what FILE has")
    options.add_argument("--stations", action="store_true", help="show how busy stations are instead, by random points")
    given = options.parse_args()
    n_seeds = 1 if given.smoke or given.quick else given.seeds
    kept = Kept(given.keep)
    searches = cases()
    names = [*searches, "powder-synthesis", "electrolytes"]
    chosen = ["powder-synthesis"] if given.smoke else list(given.only) or names
    if unknown := sorted(set(chosen) - set(names)):
        options.error(f"no such exhibit: {', '.join(unknown)}; there are {', '.join(names)}")
    found_environment = environment()
    print_environment(found_environment)
    if given.stations:
        for name in [name for name in chosen if name in searches and searches[name].in_flight > 1]:
            show_stations(searches[name])
        return
    for seed in range(1, n_seeds + 1):
        for name in chosen:
            if (name, seed) not in kept.runs and not given.only_show:
                kept.add(name, seed, _run(name, searches.get(name), seed))
                print(f"{name}, seed {seed}: done", file=sys.stderr, flush=True)
    found: list[dict[str, Any]] = []
    for name in chosen:
        case = searches.get(name)
        ratio = case.ratio if case is not None else (lambda ours, theirs: ours / theirs)
        runs = [kept.runs[name, seed] for seed in range(1, n_seeds + 1) if (name, seed) in kept.runs]
        found += [summary(name, runs, ratio)] if runs else []
    show(found)
    write_json(given.json, {"environment": found_environment, "exhibits": found})


class Kept:
    """What has been run, in a file of JSON lines if one is given: a run that was cut off goes on where it was."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.runs: dict[tuple[str, int], dict[str, Outcome]] = {}
        for text in path.read_text().splitlines() if path is not None and path.exists() else ():
            line = json.loads(text)
            ways = {way: Outcome(**outcome) for way, outcome in line["ways"].items()}
            self.runs[line["exhibit"], line["seed"]] = ways

    def add(self, name: str, seed: int, ways: dict[str, Outcome]) -> None:
        """Keep what one seed of an exhibit came to; of each way the first values are enough."""
        self.runs[name, seed] = ways
        if self.path is not None:
            data = {way: {**asdict(outcome), "values": outcome.values[:1000]} for way, outcome in ways.items()}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"exhibit": name, "seed": seed, "ways": data}) + "\n")


def _run(name: str, case: Case | None, seed: int) -> dict[str, Outcome]:
    if case is not None:
        return search(case, seed)
    return powders(seed) if name == "powder-synthesis" else electrolytes(seed)


if __name__ == "__main__":
    main()
