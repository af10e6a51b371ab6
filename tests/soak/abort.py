"""How long an abort takes to reach every device, on the wall clock, while something else is wrong.

    python tests/soak/abort.py --count 200

For each condition: the time from the call of ``abort`` to the call of each device's ``stop``; the slowest device of
each abort counts. Four devices have a plain ``stop``, three a coroutine. ``--json FILE`` writes the figures; the exit
code is 1 where the 99th percentile of a condition is above ``--limit`` (0.2 s).

The last two conditions block the event loop itself, where only a plain ``stop`` can be reached from outside: they are
measured for the plain ones, and are no part of the promise for the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.errors import JournalError
from sdl.journal import MemoryJournal
from sdl.journal.acts import ActEnded
from sdl.lab import Job, Lab, WallClock

Plan = Generator[Any, Any, Any]
FREE = threading.Event()
"""Set after each abort: whatever hangs may go on."""


class Done:
    """A status that ends after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._future.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        return None

    @property
    def done(self) -> bool:
        return self._future.done()

    @property
    def success(self) -> bool:
        return self._future.done()


class Plain:
    """A device whose ``stop`` is a plain function."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute", "trigger": "read"}

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopped: float | None = None
        self.hangs = False
        self.blocks = 0.0
        self.seconds = 0.0

    def note(self) -> None:
        if self.stopped is None:
            self.stopped = time.perf_counter()

    def set(self, value: float) -> Done:
        return Done(self.seconds)

    def trigger(self) -> Done:
        if self.blocks:
            FREE.wait(self.blocks)
        return Done(0.0)

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": 1.0, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "soak", "dtype": "number", "shape": []}}

    def stop(self, success: bool = True) -> None:
        self.note()
        if self.hangs:
            FREE.wait(5.0)


class Slow(Plain):
    """A device whose ``stop`` is a coroutine."""

    async def stop(self, success: bool = True) -> None:  # type: ignore[override] # bluesky takes both
        self.note()
        if self.hangs:
            await asyncio.to_thread(FREE.wait, 5.0)


class Doser(Plain):
    """A device whose acts may not be repeated."""

    action_classes: ClassVar[dict[str, str]] = {"set": "cumulative", "trigger": "read"}


def make_lab() -> Lab:
    devices: dict[str, Any] = {f"plain{i}": Plain(f"plain{i}") for i in range(3)} | {"doser": Doser("doser")}
    devices |= {f"slow{i}": Slow(f"slow{i}") for i in range(3)}
    return Lab("soak", clock=WallClock(), tolerance=1e9, **devices)


def reset(lab: Lab) -> None:
    FREE.clear()
    for device in lab.devices.values():
        device.stopped, device.hangs, device.blocks, device.seconds = None, False, 0.0, 0.0


def reached(devices: Sequence[Any], begun: float, patience: float = 3.0) -> float:
    """Wait until all *devices* were told to stop; return how long the last one took."""
    while any(device.stopped is None for device in devices) and time.perf_counter() < begun + patience:
        time.sleep(0.0005)
    return max((begun + patience if device.stopped is None else device.stopped) - begun for device in devices)


# --- conditions -------------------------------------------------------------------------------------------------------


def long_act(lab: Any) -> Plan:
    lab.plain0.seconds = lab.slow0.seconds = 60.0
    yield from bps.mv(lab.plain0, 1.0, lab.slow0, 1.0)


def many_messages(lab: Any) -> Plan:
    for i in range(5_000):
        yield from bps.mv(lab.plain0, float(i), lab.slow0, float(i))


def record(lab: Any) -> Plan:
    yield from bps.trigger_and_read([lab.plain0])
    yield from bps.sleep(60.0)


def hanging_stops(lab: Any) -> Plan:
    lab.plain1.hangs = lab.slow1.hangs = True
    yield from long_act(lab)


def dose(lab: Any) -> Plan:
    lab.doser.seconds = 60.0
    yield from bps.mv(lab.doser, 1.0)


def ignore(_: object) -> None:
    """Nothing is recorded."""


def hang(_: object) -> None:
    """A disk that hangs as an act is recorded."""
    FREE.wait(1.0)


def be_full(body: object) -> None:
    """A disk that has no room for how an act ended."""
    if isinstance(body, ActEnded):
        raise JournalError("the disk is full")


def blocked_loop(lab: Any) -> Plan:
    lab.plain0.blocks = 1.0
    yield from bps.trigger(lab.plain0, wait=True)


class Case:
    """One job on a station, aborted at a moment."""

    def __init__(
        self, plan: Callable[[Any], Plan], *, delay: float = 0.02, on_act: Callable[[object], None] = ignore
    ) -> None:
        self.plan = plan
        self.delay = delay
        self.on_act = on_act
        self.blocks_document = plan is record

    @contextmanager
    def running(self, lab: Lab) -> Generator[None]:
        ended = threading.Event()

        def on_document(name: str, _: dict[str, Any]) -> None:
            if self.blocks_document and name == "event":
                FREE.wait(1.0)  # a disk that hangs

        station = lab.stations["soak"]
        job = Job(lambda: self.plan(lab), on_document=on_document, on_done=lambda _: ended.set(), on_act=self.on_act)
        station.submit(job)
        time.sleep(self.delay)
        yield
        FREE.set()
        if not ended.wait(30.0):
            raise RuntimeError("the job has not ended")
        time.sleep(0.005)


@contextmanager
def idle(_: Lab) -> Generator[None]:
    yield


def measured(
    lab: Lab, running: Callable[[Lab], Any], devices: Sequence[Any], count: int, abort: Callable[[], None]
) -> list[float]:
    found: list[float] = []
    for _ in range(count):
        reset(lab)
        with running(lab):
            begun = time.perf_counter()
            abort()
            found.append(reached(devices, begun))
    FREE.set()
    return found


class Thinking(SpaceFillingFallback):
    """A planner that hangs until it is let go."""

    def suggest(self, *args: Any, **more: Any) -> Any:
        ASKED.set()
        FREE.wait(5.0)
        return super().suggest(*args, **more)


ASKED = threading.Event()


def experiment(lab: Any, s: Any) -> Plan:
    yield from long_act(lab)


def with_planner(lab: Lab, count: int) -> list[float]:
    """Abort campaigns whose planner hangs, through :meth:`sdl.Campaign.abort`."""

    @contextmanager
    def running(lab: Lab) -> Generator[None]:
        ASKED.clear()
        thread = threading.Thread(target=lambda: current[0].run(trials=1))
        current[0] = sdl.Campaign(
            "soak",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("y"),
            planner=Thinking(),
            planner_place="thread",
            experiment=experiment,
            lab=lab,
            journal=MemoryJournal(),
            progress=False,
        )
        thread.start()
        ASKED.wait(5.0)
        yield
        FREE.set()
        thread.join()

    current: list[Any] = [None]
    return measured(lab, running, list(lab.devices.values()), count, lambda: current[0].abort("soak"))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(count: int) -> dict[str, list[float]]:
    lab = make_lab()
    every = list(lab.devices.values())
    plain = [device for device in every if not isinstance(device, Slow)]
    station = lab.stations["soak"]

    def abort() -> None:
        station.abort("soak")

    with lab:
        lab.connect()
        return {
            "idle": measured(lab, idle, every, count, abort),
            "a long act": measured(lab, Case(long_act).running, every, count, abort),
            "a journal that hangs": measured(lab, Case(record).running, every, count, abort),
            "a disk that hangs as an act is recorded": measured(
                lab, Case(dose, on_act=hang).running, every, count, abort
            ),
            "a disk that is full": measured(lab, Case(dose, on_act=be_full).running, every, count, abort),
            "a planner that hangs": with_planner(lab, count),
            "5,000 messages": measured(lab, Case(many_messages, delay=0.05).running, every, count, abort),
            "two devices whose stop hangs": measured(lab, Case(hanging_stops).running, every, count, abort),
            "a loop that is blocked (plain stops only)": measured(lab, Case(blocked_loop).running, plain, count, abort),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="aborts of each condition")
    parser.add_argument("--limit", type=float, default=0.2, help="seconds that the 99th percentile may take")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    found = run(options.count)
    table = {
        name: {"n": len(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values)}
        for name, values in found.items()
    }
    print(f"{'while there is':44}{'n':>6}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for name, row in table.items():
        print(f"{name:44}{row['n']:6.0f}" + "".join(f"{1e3 * row[key]:10.2f}" for key in ("p50", "p99", "max")))
    if options.json is not None:
        options.json.write_text(json.dumps(table, indent=1))
    return int(any(row["p99"] > options.limit for row in table.values()))


if __name__ == "__main__":
    sys.exit(main())
