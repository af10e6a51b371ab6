"""Where the laboratory's time goes: how busy each station is, and how full its runs are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from harness import print_table

import sdl
from exhibits.common import Case, finished
from sdl.journal import MemoryJournal
from sdl.journal.records import StepEnded
from sdl.planners import RandomPlanner

TRIALS = 68
"""As many as our planner needs on the mobile chemist."""


def show_stations(case: Case) -> None:
    """Run random points on the exhibit as ours runs it, and print what its stations did."""
    journal = MemoryJournal()
    with case.make(1) as lab:
        campaign = sdl.Campaign(
            case.name,
            space=case.space,
            objective=case.objective,
            planner=RandomPlanner(),
            experiment=case.experiment(lab),
            lab=lab,
            seed=1,
            in_flight=case.in_flight,
            journal=journal,
            planner_place="thread",
            progress=False,
        )
        finished(case.name, 1, campaign.run(trials=TRIALS))
        seconds = campaign.view.lab_seconds
        runs = {
            (body.step, body.station, body.members or (event.trial,), body.attempt): body
            for event in journal.read(kinds={"step.ended"})
            if isinstance(body := event.body, StepEnded)
        }
    busy: defaultdict[str, float] = defaultdict(float)
    steps: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for (step, station, members, _), body in runs.items():
        for name in (station, *body.needs):
            busy[name] += body.seconds
        steps[step].append((len(members), body.seconds))
    shares: list[list[Any]] = [
        [name, f"{100 * found / seconds:.0f} %"] for name, found in sorted(busy.items(), key=lambda each: -each[1])
    ]
    print_table(
        f"{case.name}: {TRIALS} random points in {seconds / 86_400:.3g} days", ["station", "has a sample on it"], shares
    )
    rows: list[list[Any]] = [
        [
            step,
            len(found),
            f"{sum(n for n, _ in found) / len(found):.2f}",
            f"{sum(took for _, took in found) / len(found) / 60:.0f} min",
        ]
        for step, found in steps.items()
    ]
    print_table("its steps", ["step", "runs", "samples a run", "a run, in the mean"], rows)
