"""The action guard: what does it cost a scan, and what does it cost an act?

Compared, in one process and one run, on devices that answer at once:

* a scan of thousands of moves (``set_absolute``) and readings through a station, as it is, and through the same station
  with the guard taken out; the ratio of their speeds is what the guard leaves of it;
* the same plan on a bare ``bluesky.RunEngine``, which neither reads back nor checks limits;
* acts that may not be repeated (``cumulative``), each with its two commits to SQLite, against the same moves declared
  ``set_absolute``: the difference is what an act costs.

Figures are processor time of the whole process, medians over repeats that take turns; for acts, wall time as well,
because a commit waits for the disk.
"""

from __future__ import annotations

import gc
import importlib
import logging
import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from harness import Spread, alternate, environment, parser, print_environment, print_table, write_json

import sdl
from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.records import Entry
from sdl.lab import Job

Steps = Generator[Any, Any, Any]
checks: Any = importlib.import_module("sdl.lab.checks")


class Done:
    """A status that has ended already."""

    done = success = True

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        return None


class Motor:
    """Is there at once."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

    def __init__(self, name: str) -> None:
        self.name = name
        self.position = 0.0

    def set(self, value: float) -> Done:
        self.position = value
        return Done()

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.position, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "benchmark", "dtype": "number", "shape": []}}


class Doser(Motor):
    """Adds up."""

    action_classes: ClassVar[dict[str, str]] = {"set": "cumulative"}


def scan(motor: Motor, n: int) -> Steps:
    """Plan: move and read, *n* times."""
    for index in range(n):
        yield from bps.mv(motor, float(index % 7))
        yield from bps.trigger_and_read([motor])


def moves(motor: Motor, n: int) -> Steps:
    """Plan: move *n* times."""
    for index in range(n):
        yield from bps.mv(motor, float(index % 7))


def by_station(n: int, *, is_guarded: bool) -> float:
    """Return the processor seconds of a scan through a station."""
    before = checks._ACTING
    with sdl.Lab("scan", motor=Motor("motor")) as lab:
        station = lab.stations["scan"]
        station.run(Job(partial(scan, lab.motor, 10)))
        checks._ACTING = before if is_guarded else frozenset()
        try:
            began = begin()
            result = station.run(Job(partial(scan, lab.motor, n)))
            total = time.process_time() - began
        finally:
            checks._ACTING = before
    if result.error is not None:
        raise result.error
    return total


def by_bluesky(n: int) -> float:
    """Return the processor seconds of a scan by a bare RunEngine."""
    make: Any = RunEngine
    engine = make({}, context_managers=[])
    motor = Motor("motor")
    wrapped: Any = bpp.run_wrapper
    engine(wrapped(scan(motor, 10)))
    began = begin()
    engine(wrapped(scan(motor, n)))
    total = time.process_time() - began
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    return total


def by_acts(n: int, kind: type[Motor]) -> tuple[float, float]:
    """Return processor and wall seconds of *n* moves, whose acts are committed to SQLite."""
    with tempfile.TemporaryDirectory() as folder, sdl.Lab("acts", motor=kind("motor")) as lab:
        journal = sdl.open_journal(Path(folder) / "benchmark.sdl")

        def record(body: ActIntended | ActEnded) -> None:
            journal.append(Entry(body, "benchmark", 1))

        lab.stations["acts"].run(Job(partial(moves, lab.motor, 3), on_act=record))
        wall, began = time.perf_counter(), begin()
        result = lab.stations["acts"].run(Job(partial(moves, lab.motor, n), on_act=record))
        spent = time.process_time() - began, time.perf_counter() - wall
        journal.close()
    if result.error is not None:
        raise result.error
    return spent


def begin() -> float:
    """Clean up, and return the processor time from which to count."""
    gc.collect()
    gc.freeze()
    return time.process_time()


def scans(n: int, n_repeats: int) -> dict[str, Any]:
    """Compare scans; print a table, return the figures."""
    with_guard, without, bare = alternate(
        n_repeats,
        lambda: by_station(n, is_guarded=True),
        lambda: by_station(n, is_guarded=False),
        lambda: by_bluesky(n),
    )
    kept = Spread.of([other / own for own, other in zip(with_guard, without, strict=True)])
    of_bare = Spread.of([other / own for own, other in zip(with_guard, bare, strict=True)])
    rows = [
        [name, Spread.of([1e6 * seconds / n for seconds in taken]).written()]
        for name, taken in (("station", with_guard), ("station, guard out", without), ("bare RunEngine", bare))
    ]
    print_table(f"scan of {n} moves and readings, {n_repeats} repeats", ["", "CPU µs a point"], rows)
    print(f"\na scan through a station keeps {of_bare.median:.1%} of a bare RunEngine's speed (90 % is asked for),")
    print(f"and with the guard {kept.median:.1%} of the speed without it")
    return {
        "n": n,
        "kept": kept.median,
        "of_bare": of_bare.median,
        "cpu_s": {"station": with_guard, "station, guard out": without, "bare RunEngine": bare},
    }


def acts(n: int, n_repeats: int) -> dict[str, Any]:
    """Compare acts; print a table, return the figures."""
    doses, plain = alternate(n_repeats, lambda: by_acts(n, Doser), lambda: by_acts(n, Motor))
    cpu = Spread.of([1000 * (own[0] - other[0]) / n for own, other in zip(doses, plain, strict=True)])
    wall = Spread.of([1000 * (own[1] - other[1]) / n for own, other in zip(doses, plain, strict=True)])
    print_table(
        f"what an act costs: two commits, {n} acts, {n_repeats} repeats",
        ["", "CPU ms an act", "wall ms an act"],
        [["cumulative, less set_absolute", cpu.written(), wall.written()]],
    )
    return {"n": n, "cpu_ms": cpu.median, "wall_ms": wall.median}


def main() -> None:
    options = parser(__doc__).parse_args()
    logging.getLogger("bluesky").setLevel(logging.ERROR)
    n_points, n_acts, n_repeats = (50, 5, 1) if options.smoke else (1000, 50, 3) if options.quick else (4000, 200, 7)
    found = environment()
    print_environment(found)
    results = {"environment": found, "scan": scans(n_points, n_repeats), "acts": acts(n_acts, n_repeats)}
    write_json(options.json, results)


if __name__ == "__main__":
    main()
