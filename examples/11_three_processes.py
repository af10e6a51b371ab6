"""Three stations in processes of their own, and one campaign. A process is killed; the campaign goes on.

``python 11_three_processes.py dispenser oven camera`` kills each of them once; without names, the dispenser's.

A dispenser, an oven and a camera, each with its process, as beside real instruments. ``remote(...)`` in place of
``Workshop(...)`` is the one line that puts them there; on other hosts it is ``remote(..., at={...}, keys=...)``.

The matter is files in the folder ``bench``: a process can die, and what it did has been done all the same. The killed
dispenser had poured; its balance says so, and its trial goes on, with nothing poured twice. What a killed oven or
camera was doing cannot be mended: its trial fails, and the next ones run.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps

import sdl
from sdl.lab import ActRecord, Evidence
from sdl.lab.remote import remote

Plan = Generator[Any, Any, Any]
BENCH = Path("bench")


class Task:
    """The status of something that ends by itself."""

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.get_running_loop().create_task(asyncio.sleep(seconds))

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's signature
        return None

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done()


class Instrument:
    """Does something to the sample of the present trial, in a tenth of a second."""

    parent = None
    safe_action = "stop_now"  # when the engine is gone

    def __init__(self, name: str) -> None:
        self.name = name
        self.trial = 0

    def work(self, value: float) -> Task:
        done = json.dumps({"what": self.name, "trial": self.trial, "value": value})
        with (BENCH / "done").open("a") as file:
            file.write(f"{done}\n")
        return Task(0.1)

    def stop(self, *, success: bool = False) -> None:
        pass


class Dispenser(Instrument):
    """Pours so many millilitres onto a balance."""

    action_classes: ClassVar = {"set": "cumulative"}  # doing it again adds up

    def set(self, volume: float) -> Task:
        return self.work(volume)

    def reconcile(self, act: ActRecord) -> Evidence:
        """Look at the balance: has it been poured?"""
        poured = [line for line in bench() if (line["what"], line["trial"]) == (self.name, act.trial)]
        return Evidence("happened" if poured else "did_not_happen", f"the balance shows {len(poured)} portions")


class Oven(Instrument):
    """Goes to a temperature."""

    action_classes: ClassVar = {"set": "set_absolute"}  # doing it again changes nothing

    def set(self, temperature: float) -> Task:
        return self.work(temperature)


class Camera(Instrument):
    """Sees how bright the sample is: brightest with 2 mL at 150 °C."""

    action_classes: ClassVar = {"trigger": "read"}

    def trigger(self) -> Task:
        return self.work(0.1)

    def read(self) -> dict[str, Any]:
        last = {line["what"]: line["value"] for line in bench() if line["trial"] == self.trial}
        bright = 100.0 - 20.0 * (last["dispenser"] - 2.0) ** 2 - ((last["oven"] - 150.0) / 20.0) ** 2
        return {self.name: {"value": bright, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "bench", "dtype": "number", "shape": []}}


class Workshop(sdl.Lab):
    """Three instruments, each at a station of its own."""

    def __init__(self) -> None:
        super().__init__(
            "workshop",
            stations={"pouring": ["dispenser"], "baking": ["oven"], "looking": ["camera"]},
            dispenser=Dispenser("dispenser"),
            oven=Oven("oven"),
            camera=Camera("camera"),
        )

    def prepare(self, trial: int, attempt: int) -> None:  # noqa: ARG002 # the laboratory's signature
        for instrument in (self.dispenser, self.oven, self.camera):
            instrument.trial = trial


def pour(lab: Workshop, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.dispenser, s.number("volume"))


def after_pouring(lab: Workshop, s: sdl.Settings) -> Plan:  # noqa: ARG001 # a plan's signature
    """What is left of the step when it was cut off and the portion is on the balance: nothing."""
    yield from bps.null()


def bake(lab: Workshop, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.oven, s.number("temperature"))


def look(lab: Workshop, s: sdl.Settings) -> Plan:  # noqa: ARG001 # a plan's signature
    reading = yield from bps.trigger_and_read([lab.camera])
    return {"brightness": reading["camera"]["value"]}


def bench() -> list[dict[str, Any]]:
    """Return what was really done."""
    path = BENCH / "done"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kill_each_once(lab: Any, names: Sequence[str]) -> None:
    """Kill the process of an instrument in the middle of its work: of the first in trial 2, of the next in 3."""
    stations = {"dispenser": "pouring", "oven": "baking", "camera": "looking"}
    for trial, name in enumerate(names, 2):
        while not any((line["what"], line["trial"]) == (name, trial) for line in bench()):
            time.sleep(0.01)
        os.kill(lab.stations[stations[name]].pid, signal.SIGKILL)
        print(f"trial {trial}: killed the process of the {name} in the middle of its work")


def main(*names: str) -> None:
    from sdl.planners import SobolPlanner  # noqa: PLC0415 # the stations' processes need no planner

    BENCH.mkdir(exist_ok=True)
    with remote(f"{__name__}:Workshop") as lab:
        campaign = sdl.Campaign(
            "brightness",
            space=sdl.SearchSpace(
                volume=sdl.Continuous(0.5, 4.0, unit="mL"), temperature=sdl.Continuous(80.0, 220.0, unit="degC")
            ),
            objective=sdl.Maximize("brightness"),
            planner=SobolPlanner(seed=3),
            experiment=sdl.Experiment(
                sdl.Step("pour", pour, station="pouring", resume=after_pouring),
                sdl.Step("bake", bake, station="baking"),
                sdl.Step("look", look, station="looking"),
            ),
            lab=lab,
            on_unknown="failed",
        )
        threading.Thread(target=kill_each_once, args=(lab, names or ("dispenser",)), daemon=True).start()
        print(campaign.run(trials=max(3, len(names) + 2)))
    for trial in campaign.trials:
        print(trial)
    poured = Counter(line["trial"] for line in bench() if line["what"] == "dispenser")
    print(f"poured once: {sum(n == 1 for n in poured.values())} trials, twice: {sum(n > 1 for n in poured.values())}")


if __name__ == "__main__":
    # The stations' processes import this file by its name, and so the campaign does: one plan, one function.
    importlib.import_module(Path(__file__).stem).main(*sys.argv[1:])
