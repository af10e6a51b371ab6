"""A furnace that needs ventilation: the devices of the tests of interlocks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
from bluesky.protocols import Reading, Status
from event_model.documents.event_descriptor import DataKey
from plain_devices import Later, Steps

from sdl.lab import Clock, Interlock, Lab, VirtualClock, current_time

RULE = Interlock("ventilation", when="heater.setpoint > 50 degC", require="vent.flow >= 10 L/min", max_age="5 s")


def key(name: str, unit: str) -> dict[str, DataKey]:
    return {name: {"source": f"test:{name}", "dtype": "number", "shape": [], "units": unit}}


class Heater:
    """Takes set-points, each reached after some seconds; keeps what it was sent, and when."""

    parent = None
    unit = "degC"
    tolerance = 1e6
    timeout_s = 1e9
    safe_action: str | None = "ramp_down(10 K/min to 20 degC)"
    action_classes: ClassVar[Mapping[str, str]] = {"set": "set_absolute"}

    def __init__(self, name: str = "heater", seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.setpoint = 20.0
        self.sent: list[tuple[float, float]] = []
        self.stops: list[float] = []

    def set(self, value: float) -> Status:
        self.sent.append((current_time(), value))
        self.setpoint = value
        return Later(self.seconds)

    def stop(self, success: bool = True) -> None:
        self.stops.append(current_time())

    async def locate(self) -> dict[str, float]:
        return {"setpoint": self.setpoint, "readback": self.setpoint}

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.sent]


class Vent:
    """Says how much air flows, and can be told to fail in several ways."""

    parent = None

    def __init__(self, name: str = "vent_flow") -> None:
        self.name = name
        self.value: Any = 20.0
        self.fails_at = math.inf  # UTC
        self.how = "falls"
        self.n_reads = 0
        self._last = 0.0

    def read(self) -> dict[str, Reading[Any]]:
        self.n_reads += 1
        now = current_time()
        value, stamp = self.value, now
        if now >= self.fails_at:
            value, stamp = self._failed(now)
        self._last = stamp
        return {self.name: {"value": value, "timestamp": stamp}}

    def _failed(self, now: float) -> tuple[Any, float]:
        match self.how:
            case "falls":
                return 0.0, now
            case "nan":
                return math.nan, now
            case "stuck":  # the last reading again and again
                return self.value, self._last
            case "nothing":
                return None, now
            case "text":
                return "on", now
            case _:
                raise ConnectionError("the line is cut")

    def describe(self) -> dict[str, DataKey]:
        return key(self.name, "L/min")


class Ventilation:
    """A namespace: ``lab.vent.flow``."""

    def __init__(self) -> None:
        self.flow = Vent()


class Hanging(Vent):
    """Answers by a coroutine; never, once it has failed."""

    async def read(self) -> dict[str, Reading[Any]]:  # type: ignore[override] # bluesky takes both
        if current_time() >= self.fails_at:
            await asyncio.sleep(math.inf if self.how == "hangs" else 0)
        return super().read()


def furnace(*interlocks: Interlock, clock: Clock | None = None, **devices: Any) -> Lab:
    """Make the laboratory, in virtual time unless told otherwise."""
    made: dict[str, Any] = {"heater": Heater(), "vent": Ventilation()} | devices
    options: dict[str, Any] = {"watch_period": 2.5 if clock is None else None} | {
        name: made.pop(name) for name in ("watch_period",) if name in made
    }
    return Lab("furnace", clock=clock or VirtualClock(), interlocks=interlocks or (RULE,), **options, **made)


def hold(seconds: float) -> Steps:
    """Wait in a plan."""
    yield from bps.sleep(seconds)
