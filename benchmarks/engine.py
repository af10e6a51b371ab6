"""The loop against a bare RunEngine: how much processor time does everything around a plan cost?

Compared, in one process and one run, on the same devices and the same points:

* a bare ``bluesky.RunEngine`` that runs the plan once for each point and keeps nothing;
* a ``Campaign`` that proposes the point, walks the plan, supervises it, reads back what it moved, records every event
  and document, and folds them; with its journal in memory and in SQLite.

Two plans: one event of two devices that answer at once (nothing but overhead, the worst case), and the trial of
``ThinFilmLab`` in virtual time. Figures are processor time of the whole process per trial, medians over repeats that
take turns. Then: how fast virtual time passes on a line of 1, 4 and 8 stations, the planner's thinking left out.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from harness import Spread, alternate, environment, parser, print_environment, print_table, write_json

import sdl
from sdl.campaign import History, Planner, Situation, Suggestion
from sdl.journal import MemoryJournal
from sdl.journal.protocol import Journal
from sdl.journal.records import Artifact, Entry, Event
from sdl.lab.clock import Clock, current_time
from sdl.lab.connection import connect_all, disconnect_all
from sdl.planners import RandomPlanner, SobolPlanner
from sdl.problem import Problem
from sdl.simulators import ThinFilmLab

SEED = 7
Values = Mapping[str, float | str]
Steps = Generator[Any, Any, Any]
Plan = Callable[[Any, Any], Steps]


# --- devices ----------------------------------------------------------------------------------------------------------


class Done:
    """A status that has ended already."""

    done = success = True

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        return None


class Later:
    """A status that ends after some seconds of the loop."""

    def __init__(self, seconds: float) -> None:
        self.done = self.success = False
        self._callbacks: list[Callable[[Any], None]] = []
        asyncio.get_running_loop().call_later(seconds, self._finish)

    def _finish(self) -> None:
        self.done = self.success = True
        for callback in self._callbacks:
            callback(self)

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        return None


class Motor:
    """Moves in *seconds*; at once for 0."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}
    timeout_s = 1e6

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.position = 0.0

    def set(self, value: float) -> Done | Later:
        self.position = value
        return Later(self.seconds) if self.seconds else Done()

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.position, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "benchmark", "dtype": "number", "shape": []}}


class Detector:
    """Reads a parabola of the motor's position."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "read"}

    def __init__(self, name: str, motor: Motor) -> None:
        self.name = name
        self.motor = motor

    def trigger(self) -> Done:
        return Done()

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": (self.motor.position - 0.3) ** 2, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "benchmark", "dtype": "number", "shape": []}}


def one_event(lab: sdl.Lab, s: Values) -> Steps:
    """Plan: move, trigger, read."""
    yield from bps.mv(lab.motor, s["x"])
    reading = yield from bps.trigger_and_read([lab.motor, lab.detector])
    return {"signal": float(reading["detector"]["value"])}


# --- what is measured -------------------------------------------------------------------------------------------------


class Meter:
    """Adds up the processor time of the threads that pass through it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.cpu = 0.0
        self.wall = 0.0

    @contextmanager
    def running(self) -> Generator[None]:
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.cpu += time.thread_time() - cpu
                self.wall += time.perf_counter() - wall


class MeteredPlanner:
    """A planner whose thinking is measured."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.meter = Meter()

    @property
    def name(self) -> str:
        return self._planner.name

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> Sequence[Suggestion]:
        with self.meter.running():
            return self._planner.suggest(problem, history, n, situation=situation, seed=seed)


class MeteredJournal:
    """A journal whose writing is measured. Reading passes through."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.meter = Meter()

    def append(self, *entries: Entry) -> Sequence[Event]:
        with self.meter.running():
            return self._journal.append(*entries)

    def put(self, data: bytes, *, name: str, media_type: str = "application/octet-stream") -> Artifact:
        with self.meter.running():
            return self._journal.put(data, name=name, media_type=media_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@dataclass(frozen=True)
class Setup:
    """A plan, and how its laboratory is made."""

    title: str
    make_lab: Callable[[], sdl.Lab]
    plan: Plan
    space: sdl.SearchSpace
    objective: sdl.Minimize
    planner: Planner


def event_setup() -> Setup:
    motor = Motor("motor")
    return Setup(
        "one event, devices that answer at once",
        lambda: sdl.Lab("benchmark", clock=sdl.WallClock(), motor=motor, detector=Detector("detector", motor)),
        one_event,
        sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        sdl.Minimize("signal"),
        RandomPlanner(seed=SEED),
    )


def film_setup() -> Setup:
    return Setup(
        "ThinFilmLab's trial, virtual time",
        lambda: ThinFilmLab(seed=SEED),
        ThinFilmLab.deposit_and_measure,
        ThinFilmLab.space(),
        ThinFilmLab.objective,
        SobolPlanner(seed=SEED),
    )


@dataclass(frozen=True)
class Cost:
    """Processor milliseconds per trial: in all, and of this in the journal and in the planner."""

    total: float
    journal: float = 0.0
    planner: float = 0.0


@contextmanager
def opened(kind: str, clock: Clock) -> Generator[Journal]:
    """Open a journal of *kind*, ``memory`` or ``SQLite``."""
    with tempfile.TemporaryDirectory() as folder:
        journal: Journal
        if kind == "memory":
            journal = MemoryJournal(time_source=clock)
        else:
            journal = sdl.open_journal(Path(folder) / "benchmark.sdl", time_source=clock)
        try:
            yield journal
        finally:
            journal.close()


def campaign_cost(setup: Setup, n: int, n_warm: int, kind: str) -> tuple[Cost, list[Values]]:
    """Run *n* trials through a campaign, after *n_warm* that are not counted; return the cost and the points."""
    lab = setup.make_lab()
    planner = MeteredPlanner(setup.planner)
    with opened(kind, lab.clock) as plain:
        journal = MeteredJournal(plain)
        campaign = sdl.Campaign(
            "benchmark",
            space=setup.space,
            objective=setup.objective,
            planner=planner,
            experiment=setup.plan,
            lab=lab,
            seed=SEED,
            journal=cast("Journal", journal),
            planner_place="thread",
            progress=False,
        )
        campaign.run(trials=n_warm)
        journal.meter, planner.meter = Meter(), Meter()
        began = begin()
        campaign.run(trials=n_warm + n)
        total = time.process_time() - began
        wrong = [trial for trial in campaign.trials if trial.observation is None]
        if wrong:
            raise RuntimeError(f"a trial failed, so there is nothing to compare: {wrong[0]}")
        points = [trial.values for trial in campaign.trials]
    lab.close()
    return Cost(*(1000 * cpu / n for cpu in (total, journal.meter.cpu, planner.meter.cpu))), points


def bare_cost(setup: Setup, points: Sequence[Values], n_warm: int) -> Cost:
    """Run the plan for *points* with a RunEngine and nothing else; the first *n_warm* are not counted."""
    lab = setup.make_lab()
    loop = lab.clock.new_loop()
    make: Any = RunEngine
    engine = make({}, loop=loop, context_managers=[], call_returns_result=True)

    def run(plan: Steps) -> Any:
        lab.clock.release()  # virtual time may pass while the plan runs; on the wall this does nothing
        try:
            return engine(plan).plan_result
        finally:
            lab.clock.hold()

    run(awaiting(connect_all, lab))
    began = 0.0
    for number, point in enumerate(points, 1):
        if number == n_warm + 1:
            began = begin()
        lab.prepare(number, 1)
        run(cast("Any", bpp).run_wrapper(setup.plan(lab, point)))
    total = time.process_time() - began
    run(awaiting(disconnect_all, lab))
    lab.clock.close_loop(loop)
    lab.close()
    return Cost(1000 * total / (len(points) - n_warm))


def awaiting(call: Callable[[Mapping[str, Any]], Any], lab: sdl.Lab) -> Steps:
    """Plan: await *call* for the laboratory's devices."""
    done = yield from bps.wait_for([lambda: call(lab.devices)])
    for future in done:
        future.result()


def begin() -> float:
    """Clean up, and return the processor time from which to count.

    What lives now, mostly imported modules, is left out of later garbage collections: they would cost more in this
    process, which has imported everything, than in one that runs a bare RunEngine alone.
    """
    gc.collect()
    gc.freeze()
    return time.process_time()


# --- overhead ---------------------------------------------------------------------------------------------------------


def overhead(setup: Setup, n: int, n_repeats: int) -> dict[str, Any]:
    """Compare bare RunEngine and campaign; print a table, return the figures."""
    n_warm = max(2, n // 10)
    _, points = campaign_cost(setup, n, n_warm, "memory")  # imports, caches, and the points for the bare RunEngine
    bare, memory, sqlite = alternate(
        n_repeats,
        lambda: bare_cost(setup, points, n_warm),
        lambda: campaign_cost(setup, n, n_warm, "memory")[0],
        lambda: campaign_cost(setup, n, n_warm, "SQLite")[0],
    )
    rows: list[list[str]] = []
    results: dict[str, Any] = {"plan": setup.title, "n_trials": n, "n_repeats": n_repeats, "seed": SEED}
    for name, costs in (
        ("bare RunEngine", bare),
        ("campaign, journal in memory", memory),
        ("campaign, SQLite", sqlite),
    ):
        total = Spread.of([cost.total for cost in costs])
        ratio = Spread.of([cost.total / other.total for cost, other in zip(costs, bare, strict=True)])
        journal, planner = (
            Spread.of([getattr(cost, part) / cost.total for cost in costs]) for part in ("journal", "planner")
        )
        shares = ["", ""] if costs is bare else [f"{journal.median:.0%}", f"{planner.median:.0%}"]
        rows.append([name, total.written(), "1" if costs is bare else ratio.written(), *shares])
        results[name] = {
            "cpu_ms_per_trial": [cost.total for cost in costs],
            "ratio": ratio.median,
            "journal_share": journal.median,
            "planner_share": planner.median,
        }
    print_table(
        f"{setup.title}: {n} trials, {n_repeats} repeats, medians (quartiles), seed {SEED}",
        ["", "CPU ms per trial", "times bare", "of it journal", "of it planner"],
        rows,
    )
    return results


# --- speed of virtual time --------------------------------------------------------------------------------------------

STEP_MINUTES = (34.0, 33.0, 25.0, 36.0)
"""Heating, pumping, deposition, cooling: what a station does in a step, one move after the other."""


class Line(sdl.Lab):
    """Stations in a line; every trial passes through all of them."""

    is_simulated = True

    def __init__(self, n_stations: int) -> None:
        motors: dict[str, Any] = {f"motor{index}": Motor(f"motor{index}") for index in range(n_stations)}
        stations = {f"station{index}": [f"motor{index}"] for index in range(n_stations)}
        super().__init__("line", stations=stations, clock=sdl.VirtualClock(), **motors)


def line_step(index: int) -> sdl.Step:
    def work(lab: sdl.Lab, s: Values) -> Steps:
        motor: Motor = getattr(lab, f"motor{index}")
        for minutes in STEP_MINUTES:
            motor.seconds = 60 * minutes
            yield from bps.mv(motor, s["x"])
        reading = yield from bps.trigger_and_read([motor])
        return {f"x{index}": float(reading[motor.name]["value"])}

    return sdl.Step(f"work{index}", work, station=f"station{index}")


@dataclass(frozen=True)
class Speed:
    """How fast virtual time passed."""

    simulated: float
    wall: float
    cpu: float
    n_steps: int


def line_speed(n_stations: int, n_steps: int) -> Speed:
    """Run about *n_steps* steps on a line of stations that are all busy; count from the second trial on."""
    lab = Line(n_stations)
    planner = MeteredPlanner(RandomPlanner(seed=SEED))
    campaign = sdl.Campaign(
        "line",
        space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        objective=sdl.Minimize("x0"),
        planner=planner,
        experiment=sdl.Experiment(*map(line_step, range(n_stations))),
        lab=lab,
        seed=SEED,
        in_flight=n_stations,
        journal=MemoryJournal(time_source=lab.clock),
        progress=False,
    )
    campaign.run(trials=n_stations)
    planner.meter = Meter()
    simulated = campaign.view.lab_seconds
    n_trials = max(1, round(n_steps / n_stations))
    cpu, wall = begin(), time.perf_counter()
    campaign.run(trials=n_stations + n_trials)
    speed = Speed(
        simulated=campaign.view.lab_seconds - simulated,
        wall=time.perf_counter() - wall - planner.meter.wall,
        cpu=time.process_time() - cpu - planner.meter.cpu,
        n_steps=n_trials * n_stations,
    )
    lab.close()
    return speed


def speeds(n_steps: int, n_repeats: int) -> list[dict[str, Any]]:
    """Measure lines of 1, 4 and 8 stations; print a table, return the figures."""
    sizes = (1, 4, 8)
    found: list[list[Speed]] = alternate(n_repeats, *(lambda n=n: line_speed(n, n_steps) for n in sizes))
    results: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    for n, runs in zip(sizes, found, strict=True):
        pace = Spread.of([run.simulated / run.wall for run in runs])
        steps = Spread.of([run.n_steps / run.wall for run in runs])
        cpu = Spread.of([1000 * run.cpu / run.n_steps for run in runs])
        days = runs[0].simulated / 86400
        rows.append(
            [str(n), f"{days:.1f}", f"{pace.median:,.0f}", f"{n * pace.median:,.0f}", steps.written(), cpu.written()]
        )
        results.append(
            {
                "n_stations": n,
                "simulated_days": days,
                "simulated_seconds_per_wall_second": [run.simulated / run.wall for run in runs],
                "steps_per_wall_second": steps.median,
                "cpu_ms_per_step": cpu.median,
            }
        )
    hours = sum(STEP_MINUTES) / 60
    print_table(
        f"Virtual time: a line of stations, steps of {hours:.2g} h in {len(STEP_MINUTES)} moves, planner left out, "
        f"{n_repeats} repeats, medians, seed {SEED}",
        [
            "stations",
            "simulated days",
            "simulated s per wall s",
            "station-s per wall s",
            "steps per wall s",
            "CPU ms per step",
        ],
        rows,
    )
    return results


def main() -> None:
    arguments = parser(__doc__)
    options = arguments.parse_args()
    logging.getLogger("bluesky").setLevel(logging.ERROR)
    n_events, n_films, n_steps, n_repeats = (
        (4, 2, 8, 1) if options.smoke else (100, 20, 80, 3) if options.quick else (200, 40, 240, 7)
    )
    found = environment()
    print_environment(found)
    results = {
        "environment": found,
        "overhead": [overhead(event_setup(), n_events, n_repeats), overhead(film_setup(), n_films, n_repeats)],
        "virtual_time": speeds(n_steps, n_repeats),
    }
    write_json(options.json, results)


if __name__ == "__main__":
    main()
