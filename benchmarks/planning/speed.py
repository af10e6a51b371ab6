"""How long planners think: processor seconds per suggestion with so many observations, one thread, one run.

Every planner is told the same random observations, asked once without counting (what it imports and compiles at first
use is not thinking), then asked and told a few times more. Counted are asking, and telling what was asked before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import print_table, short

from planning import functions as f
from planning.adapters.ours import problem_of
from planning.cases import Case, Outcomes, exact
from planning.cells import CASES, make_case, source_of
from planning.client import CONTENDERS, Client, PlannerFailedError
from planning.environments import EnvironmentMissingError
from planning.functions import Array
from planning.summary import OURS, first_line
from planning.wire import Goal, Knob, Point, Question, Unsupported, Value

N_MEASURED = 3
SEED = 20_001


@dataclass(frozen=True)
class Task:
    """So many observations of a case."""

    name: str
    make: Callable[[], Case]
    n_observations: int
    told: str


@dataclass(frozen=True)
class Timing:
    """Processor seconds per suggestion, request by request."""

    key: str
    planner: str
    task: str
    version: str = ""
    seconds: list[float] = field(default_factory=list[float])
    error: str | None = None
    unsupported: str | None = None


def known(name: str) -> Callable[[], Case]:
    """Return a maker of a case of the comparison."""
    assert name in CASES
    return partial(make_case, name, SEED, None)


def bowl(n_dimensions: int) -> Case:
    """A smooth function with a few valleys of many knobs."""
    knobs = tuple(Knob(f"x{index}", "continuous") for index in range(1, n_dimensions + 1))

    def truth(point: Point) -> Outcomes:
        u = np.array([float(point[knob.name]) for knob in knobs])
        return {"y": float(np.sum((u - 0.4) ** 2) + 0.3 * np.sum(np.cos(5 * u)))}

    question = Question(knobs, (Goal("y"),), n_trials=10_000)
    return Case(f"bowl{n_dimensions}", SEED, question, truth, exact(truth), 0.0, 100.0, 0.0)


def pool(n_rows: int) -> Case:
    """A list of so many candidates with five numbers each."""
    rng = np.random.default_rng(SEED)
    rows: Array = rng.random((n_rows, 5))
    landscape, _ = f.peaks(5, 12, rng)
    knobs = tuple(Knob(f"x{index}", "continuous") for index in range(1, 6))
    columns: dict[str, tuple[Value, ...]] = {
        knob.name: (*column,) for knob, column in zip(knobs, rows.T.tolist(), strict=True)
    }

    def truth(point: Point) -> Outcomes:
        return {"y": float(landscape(np.array([float(point[knob.name]) for knob in knobs])))}

    question = Question(knobs, (Goal("y"),), pool=columns, n_trials=10_000)
    return Case(f"pool-{n_rows}", SEED, question, truth, exact(truth), 0.0, 10.0, 0.0)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("6 knobs, 50", known("hartmann6"), 50, "one goal, 6 knobs, 50 observations"),
        Task("20 knobs, 100", partial(bowl, 20), 100, "one goal, 20 knobs, 100 observations"),
        Task("pool of 10,000", partial(pool, 10_000), 100, "a list of 10,000 candidates, 100 observations"),
        Task("3 goals", known("three-goals"), 100, "three goals, 6 knobs, 100 observations"),
        Task("limits", known("gramacy"), 100, "one goal, two limits, 2 knobs, 100 observations"),
        Task("mixed", known("reaction"), 100, "two categories, three numbers, 100 observations"),
        Task("batch of 4", known("hartmann6-batch"), 100, "four points at a time, 6 knobs, 100 observations"),
        Task("1,000", known("hartmann6"), 1000, "one goal, 6 knobs, 1,000 observations"),
        Task("pool of 1,000,000", partial(pool, 1_000_000), 100, "a list of a million, 100 observations"),
        Task("2,000", known("hartmann6"), 2000, "one goal, 6 knobs, 2,000 observations"),
        Task("5,000", known("hartmann6"), 5000, "one goal, 6 knobs, 5,000 observations"),
    )
}
"""Name -> task."""

QUICK_TASKS = ("6 knobs, 50", "limits")
LONG_TASKS = ("pool of 1,000,000", "2,000", "5,000")
"""Tasks for our own planner; others on request, by ``--only``."""


def observations(case: Case, n: int) -> list[tuple[Point, Outcomes]]:
    """Return *n* random points and what is measured there; the same for every planner."""
    space = problem_of(case.question).space
    points: Sequence[Point] = space.sample(n, np.random.default_rng(SEED))
    return [(point, case.measure(point, trial)) for trial, point in enumerate(points, 1)]


def key_of_timing(planner: str, task: Task) -> str:
    """Return what tells a timing from others."""
    return json.dumps([planner, source_of(planner), task.name, task.n_observations, N_MEASURED])


def measure(planner: str, task: Task, cache: Path, limit_s: float) -> Timing:
    """Measure one planner on one task."""
    timing = Timing(key_of_timing(planner, task), planner, task.name)
    case = task.make()
    client: Client | None = None
    try:
        client = Client(CONTENDERS[planner], cache)
        seconds = list(thinking(client, case, observations(case, task.n_observations), limit_s))
        return replace(timing, version=client.version, seconds=seconds)
    except Unsupported as reason:
        return replace(timing, unsupported=str(reason))
    except (PlannerFailedError, EnvironmentMissingError) as error:
        return replace(timing, error=str(error))
    finally:
        if client is not None:
            client.close()
        case.close()


def thinking(client: Client, case: Case, seen: list[tuple[Point, Outcomes]], limit_s: float) -> list[float]:
    """Return the processor seconds per suggestion of each counted request."""
    n = case.question.n_at_once
    client.begin(case.question, SEED, limit_s)
    client.tell(seen, limit_s)
    found: list[float] = []
    spent = 0.0
    for number in range(N_MEASURED + 1):
        points, cpu = client.ask(n, limit_s)
        if number:
            found.append((cpu + spent) / n)
        results = [(point, case.measure(point, len(seen) + number)) for point in points]
        spent = client.tell(results, limit_s)
    return found


def run(planners: Sequence[str], tasks: Sequence[str], folder: Path, cache: Path, limit_s: float) -> list[Timing]:
    """Measure all, one after the other, task by task, so that a busy spell meets all planners; resumable."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "speed.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    there = {timing.key: timing for timing in (Timing(**json.loads(line)) for line in lines if line.endswith("}"))}
    found: list[Timing] = []
    for name in tasks:
        for planner in planners:
            timing = there.get(key_of_timing(planner, TASKS[name]))
            if timing is None:
                timing = measure(planner, TASKS[name], cache, limit_s)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(timing)) + "\n")
            found.append(timing)
    return found


def show(timings: Sequence[Timing]) -> dict[str, Any]:
    """Print one line for each task and planner; return the figures."""
    rows: list[list[str]] = []
    for timing in timings:
        ours = next((t for t in timings if t.task == timing.task and t.planner == OURS and t.seconds), None)
        if timing.unsupported is not None or not timing.seconds:
            said = f"unsupported: {timing.unsupported}" if timing.unsupported else first_line(timing.error)
            rows.append([TASKS[timing.task].told, timing.planner, said, ""])
            continue
        ratio = median(timing.seconds) / median(ours.seconds) if ours else None
        rows.append(
            [
                TASKS[timing.task].told,
                timing.planner,
                f"{median(timing.seconds):.2g} ({min(timing.seconds):.2g} to {max(timing.seconds):.2g})",
                "-" if ratio is None else short(ratio, 2),
            ]
        )
    print_table(
        f"CPU seconds per suggestion, median (range) of {N_MEASURED} requests, one thread; and how many times ours:",
        ["task", "planner", "CPU s", "times ours"],
        rows,
    )
    return {"timings": [asdict(timing) for timing in timings]}
