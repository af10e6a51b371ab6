"""A small laboratory for the tests of the loop: a motor that takes time, and a detector that answers a parabola."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any, ClassVar, TypeVar

import bluesky.plan_stubs as bps
import numpy as np

import sdl
from sdl.campaign import History, Situation, Suggestion
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.journal import Journal, MemoryJournal
from sdl.journal.records import Decision
from sdl.lab.clock import Clock, current_time
from sdl.problem import Problem
from sdl.problem.value import Value


class Status:
    """A bluesky status that ends when its task does."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        return self._task.exception()

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None


class Motor:
    """Moves to a number in ``seconds``; every command it got is kept in ``commands``."""

    parent = None
    tolerance = 1e-9
    timeout_s = 1e7
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.position = 0.0
        self.moved_at = 0.0
        self.commands: list[float] = []
        self.error: Exception | None = None

    def set(self, value: float) -> Status:
        self.commands.append(value)
        return Status(asyncio.get_running_loop().create_task(self._move(value)))

    async def _move(self, value: float) -> None:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.position, self.moved_at = value, current_time()

    def stop(self, *, success: bool = False) -> None:
        pass

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.position, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "toy", "dtype": "number", "shape": []}}


class Detector:
    """Answers ``(x - 0.3)**2`` plus noise from the laboratory's seed."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "read"}

    def __init__(self, name: str, motor: Motor) -> None:
        self.name = name
        self.motor = motor
        self.rng = np.random.default_rng(0)
        self.noise = 0.0
        self.settle = 10.0

    def value(self) -> float:
        return (self.motor.position - 0.3) ** 2 + self.noise * float(self.rng.normal())

    def trigger(self) -> Status:
        return Status(asyncio.get_running_loop().create_task(asyncio.sleep(self.settle)))

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self.value(), "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "toy", "dtype": "number", "shape": [], "units": "V"}}


class ToyLab(sdl.Lab):
    """One or more cells, each with a motor and a detector; noise depends on seed and trial alone."""

    is_simulated = True
    made: ClassVar[list[ToyLab]] = []

    def __init__(self, *, seed: int = 0, n_cells: int = 1, seconds: float = 60.0, clock: Clock | None = None) -> None:
        self.seed = seed
        devices: dict[str, Any] = {}
        for i in range(n_cells):
            motor = Motor(f"motor{i}", seconds)
            devices |= {f"motor{i}": motor, f"detector{i}": Detector(f"detector{i}", motor)}
        stations = {f"cell{i}": [f"motor{i}", f"detector{i}"] for i in range(n_cells)}
        super().__init__("toy", stations=stations, clock=clock or sdl.VirtualClock(), **devices)
        self.made.append(self)

    def prepare(self, trial: int, attempt: int) -> None:
        rng = np.random.default_rng([self.seed, trial])
        for name, device in self.devices.items():
            if name.startswith("detector"):
                device.rng = rng


Plan = Generator[Any, Any, Any]


def measure(lab: ToyLab, s: sdl.Settings) -> Plan:
    """Move the first cell's motor and read its detector."""
    yield from bps.mv(lab.motor0, s["x"])
    reading = yield from bps.trigger_and_read([lab.detector0])
    return {"signal": sdl.Measurement(reading["detector0"]["value"], "V")}


SPACE = sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0))


class LinePlanner(Value):
    """Proposes 0.05, 0.10, …: what it proposes shows how many trials it was told of."""

    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        return "line"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        first = len(history.entries) + 1
        return [
            Suggestion(
                values={"x": (0.05 * (first + i)) % 1.0},
                decision=Decision(
                    planner=self.name,
                    version=self.version,
                    seed=seed,
                    n_observed=len(history.completed),
                    n_pending=len(history.pending),
                ),
            )
            for i in range(n)
        ]


def toy_campaign(lab: ToyLab | None = None, **changes: Any) -> sdl.Campaign:
    """Make a quiet campaign on a toy laboratory, in memory unless told otherwise."""
    options: dict[str, Any] = {
        "space": SPACE,
        "objective": sdl.Minimize("signal", unit="V"),
        "planner": SpaceFillingFallback(),
        "experiment": measure,
        "lab": lab or ToyLab(),
        "journal": MemoryJournal(),
        "progress": False,
    }
    return sdl.Campaign("toy", **(options | changes))


B = TypeVar("B", bound=Value)


def bodies(journal: Journal, kind: type[B]) -> list[B]:
    """Return the bodies of one kind, oldest first."""
    return [event.body for event in journal.read() if isinstance(event.body, kind)]


def kinds(campaign: sdl.Campaign, journal: Journal) -> Sequence[str]:
    """Return the kinds of the campaign's events, documents left out."""
    return [event.body.kind for event in journal.read(campaign=campaign.name) if event.body.kind != "document"]
