"""A laboratory on the wall clock whose instruments note in files of their own what they really do."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.lab import ActRecord, Evidence
from sdl.lab.remote import host

Plan = Generator[Any, Any, Any]


class Status:
    """A bluesky status that ends when its task does."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def add_callback(self, callback: Any) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        return None if not self._task.cancelled() and self._task.exception() is None else RuntimeError("stopped")

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None


def note(path: Path, **fields: Any) -> None:
    """Append a line, which a kill cannot cut."""
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(number, f"{json.dumps({'at': time.monotonic(), **fields})}\n".encode())
    os.close(number)


def noted(path: Path) -> list[dict[str, Any]]:
    """Return what was noted."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Doser:
    """Adds so many millilitres at once, and says so after some seconds."""

    parent = None
    action_classes: ClassVar = {"set": "cumulative"}
    safe_action = "stop_now"

    def __init__(self, name: str, folder: Path, seconds: float, *, has_probe: bool) -> None:
        self.name, self.truth, self.seconds = name, folder / "truth", seconds
        self.trial = (0, 0)
        self.task: asyncio.Task[None] | None = None
        if has_probe:
            self.reconcile = self._look

    def set(self, value: float) -> Status:
        note(self.truth, what="dose", trial=self.trial[0], attempt=self.trial[1], value=value, pid=os.getpid())
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(self.seconds))
        return Status(self.task)

    def stop(self, *, success: bool = False) -> None:
        note(self.truth.with_name("stops"), pid=os.getpid())
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def _look(self, act: ActRecord) -> Evidence:
        found = [line for line in noted(self.truth) if line["trial"] == act.trial]
        return Evidence("happened" if found else "did_not_happen", f"the balance shows {len(found)} doses", 0.001)


class Detector:
    """Answers a parabola of what was dosed."""

    parent = None
    action_classes: ClassVar = {"trigger": "read"}

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.truth = name, folder / "truth"

    def trigger(self) -> Status:
        return Status(asyncio.get_running_loop().create_task(asyncio.sleep(0)))

    def read(self) -> dict[str, Any]:
        value = noted(self.truth)[-1]["value"]
        return {self.name: {"value": (value - 0.3) ** 2, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "toy", "dtype": "number", "shape": [], "units": "V"}}


class HostedLab(sdl.Lab):
    """A doser and a detector, at one station."""

    def __init__(self, folder: str, seconds: float = 0.02, has_probe: bool = False, clock: Any = None) -> None:
        place = Path(folder)
        doser = Doser("doser", place, seconds, has_probe=has_probe)
        super().__init__(
            "hosted",
            clock=clock,
            stations={"cell": ["doser", "detector"]},
            doser=doser,
            detector=Detector("detector", place),
        )

    def prepare(self, trial: int, attempt: int) -> None:
        self.doser.trial = (trial, attempt)


def dream_lab(folder: str, clock: Any = None) -> HostedLab:
    """Return the laboratory in virtual time, unless it is told otherwise."""
    return HostedLab(folder, clock=clock or sdl.VirtualClock())


def dose(lab: HostedLab, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.doser, s.number("x"))
    return (yield from rest_of_dose(lab, s))


def rest_of_dose(lab: HostedLab, s: sdl.Settings) -> Plan:
    reading = yield from bps.trigger_and_read([lab.detector])
    return {"signal": sdl.Measurement(reading["detector"]["value"], "V"), "dosed": (s.number("x"), "mL")}


def dose_all(lab: HostedLab, batch: tuple[sdl.Settings, ...]) -> Plan:
    """Dose what all of them want together; each has its share of the signal."""
    together = sum(s.number("x") for s in batch)
    yield from bps.mv(lab.doser, together)
    reading = yield from bps.trigger_and_read([lab.detector])
    assert {(s.station, s.role) for s in batch} == {("cell", "search")}
    return [
        {"signal": sdl.Measurement(reading["detector"]["value"] + place, "V"), "mates": len(batch)}
        for place, _ in enumerate(batch)
    ]


def rinse_all(lab: HostedLab, batch: tuple[sdl.Settings, ...]) -> Plan:
    note(lab.doser.truth.with_name("rinses"), gas=str(batch[0]["gas"]))
    yield from bps.sleep(0.05)


def rinse(lab: HostedLab, s: sdl.Settings) -> Plan:
    note(lab.doser.truth.with_name("rinses"), gas=str(s["gas"]))
    yield from bps.null()


def look(lab: HostedLab, s: sdl.Settings) -> Plan:
    yield from bps.null()
    return {"signal": s.results["dose"]["signal"]}


def idle(lab: sdl.Lab, s: sdl.Settings) -> Plan:
    yield from bps.null()


def hosted_lab(
    folder: Path, *, lease: float = 1.0, grace: float = 30.0, is_started_here: bool = True, **options: Any
) -> sdl.Lab:
    """Return the laboratory, with its station in a process of its own."""
    (folder / "stations").mkdir(mode=0o700, exist_ok=True)
    given: dict[str, Any] = {"folder": str(folder), **options}
    return host(
        HostedLab(**given),
        "hosted:HostedLab",
        given,
        folder=folder / "stations",
        lease=lease,
        grace=grace,
        is_started_here=is_started_here,
    )


def campaign_on(lab: sdl.Lab, folder: Path, *, resume: bool = False, **changes: Any) -> sdl.Campaign:
    """Return a campaign of two steps on it."""
    timeout = changes.pop("timeout", None)
    step = sdl.Step("dose", dose, resume=rest_of_dose if resume else None, timeout=timeout)
    options: dict[str, Any] = {
        "space": sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        "objective": sdl.Minimize("signal", unit="V"),
        "planner": SpaceFillingFallback(),
        "experiment": sdl.Experiment(step, sdl.Step("look", look), evaluate=lambda results, _: results["look"]),
        "lab": lab,
        "journal": folder / "store.sdl",
        "progress": False,
        "on_unknown": "failed",
        "planner_place": "thread",
    }
    return sdl.Campaign("hosted", **(options | changes))
