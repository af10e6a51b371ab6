"""Planning with the laboratory in mind: days to a goal.

Compared are a planner that is told of the laboratory and the same one that is not. The laboratory is that of
``examples/04_furnace_of_eight.py``: a person who weighs by day, a coater, two furnaces that take eight samples at one
temperature, a quick look, and a measurement of three hours for what looks promising. Here the temperature may be any
from 350 to 550 degC. Both ways use the same Bayesian planner and the same scheduler; one is told of the batch that its
suggestions will fill (its free places and the temperature that they share), of batches that have begun to fill and of
durations; from the other one all of this is kept.

The goal is a figure of at least 9.9, where 10 is the best there is, judged by the true value of what was tried.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import harness
from exhibits.common import Reached, finished

import sdl
from sdl.campaign.planner import History, Planner, Situation, Suggestion
from sdl.journal import MemoryJournal
from sdl.journal.records import StepEnded
from sdl.planners import BayesianPlanner
from sdl.problem import Problem

GOAL = 9.9
BUDGET = 150
WAYS = ("told", "not told")
SPACE = sdl.SearchSpace(
    temperature=sdl.Continuous(350, 550, unit="degC"),
    fraction=sdl.Continuous(0, 1),
    solvent=sdl.Categorical(["ethanol", "toluene"]),
)


class NotTold:
    """A planner from which the laboratory is kept."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    @property
    def name(self) -> str:
        return self.planner.name

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> Sequence[Suggestion]:
        known = Situation(context=situation.context, n_free_slots=n, n_trials_left=situation.n_trials_left)
        return self.planner.suggest(problem, history, n, situation=known, seed=seed)


def days_to_goal(seed: int, way: str, budget: int = BUDGET) -> dict[str, Any]:
    """Return days, trials and runs of a furnace until the goal, or until *budget* trials."""
    example = import_module("04_furnace_of_eight")
    planner = BayesianPlanner(seed=seed)
    rule = Reached(lambda values: float(example.quality(sdl.Settings(values))), GOAL)
    journal = MemoryJournal()
    with example.laboratory() as lab:
        campaign = sdl.Campaign(
            "furnace",
            space=SPACE,
            objective=sdl.Maximize("figure"),
            planner=planner if way == "told" else NotTold(planner),
            experiment=example.EXPERIMENT,
            lab=lab,
            seed=seed,
            stopping=[rule],
            journal=journal,
            planner_place="thread",
            progress=False,
        )
        finished("furnace", seed, campaign.run(trials=budget))
    done = sorted((t for t in campaign.trials if t.number in rule.seen and t.ended_at), key=lambda t: str(t.ended_at))
    good = next((t for t in done if rule.seen[t.number] >= GOAL), None)
    last = good or done[-1]
    assert last.ended_at is not None
    start = min(t.proposed_at for t in campaign.trials)
    fired = {
        (event.timestamp, event.body.station)
        for event in journal.read(kinds={"step.ended"})
        if isinstance(event.body, StepEnded) and event.body.step == "anneal" and event.time <= last.ended_at
    }
    return {
        "seed": seed,
        "way": way,
        "days": (last.ended_at - start).total_seconds() / 86_400,
        "trials": done.index(last) + 1,
        "runs": len(fired),
        "is_reached": good is not None,
    }


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 1; 5 at first")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    found = harness.environment()
    harness.print_environment(found)
    n_seeds = 1 if options.smoke or options.quick else options.seeds
    runs: list[dict[str, Any]] = []
    for seed in range(1, n_seeds + 1):
        for way in WAYS:
            runs.append(days_to_goal(seed, way, 9 if options.smoke else BUDGET))
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    rows: list[list[Any]] = []
    for way in WAYS:
        own = [run for run in runs if run["way"] == way]
        medians = [f"{statistics.median(run[key] for run in own):.3g}" for key in ("days", "trials", "runs")]
        rows.append([way, f"{sum(run['is_reached'] for run in own)}/{n_seeds}", *medians])
    harness.print_table(
        f"Medians over {n_seeds} seeds, until the goal",
        ["planner", "reached", "days", "trials", "runs of a furnace"],
        rows,
    )
    harness.write_json(options.json, {"environment": found, "runs": runs})


if __name__ == "__main__":
    main()
