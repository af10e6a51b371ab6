"""Devices as plain classes, whose time is that of the running loop, and which can be told to misbehave."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from typing import Any, ClassVar, cast

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Reading, Status
from event_model.documents.event_descriptor import DataKey

from sdl.lab import current_time

Steps = Generator[Any, Any, Any]

# bluesky declares no types for these.
with_clean_up = cast("Callable[[Steps, Callable[[], Steps]], Steps]", bpp.finalize_wrapper)
with_run_key = cast("Callable[[Steps, str], Steps]", bpp.set_run_key_wrapper)


class Later(Status):
    """A status that ends after some seconds of the running loop; never, after infinity."""

    def __init__(self, seconds: float, then: Callable[[], None] = lambda: None) -> None:
        self._callbacks: list[Callable[[Status], None]] = []
        self._then = then
        self._error: Exception | None = None
        self._is_done = False
        if seconds <= 0:
            self._end()
        elif math.isfinite(seconds):
            asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        try:
            self._then()
        except Exception as error:
            self._error = error
        self._is_done = True
        for callback in self._callbacks:
            callback(self)

    def add_callback(self, callback: Callable[[Status], None]) -> None:
        if self._is_done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        return self._error

    @property
    def done(self) -> bool:
        return self._is_done

    @property
    def success(self) -> bool:
        return self._is_done and self._error is None


def key(name: str) -> dict[str, DataKey]:
    return {name: {"source": f"test:{name}", "dtype": "number", "shape": []}}


class Knob:
    """Goes where it is sent, at one unit a second, or as it is told otherwise."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

    def __init__(self, name: str, *, value: float = 0.0, seconds: float | None = 0.0) -> None:
        self.name = name
        self.value = value
        self.seconds = seconds
        self.offset = 0.0
        self.age = 0.0
        self.fault: Exception | None = None
        self.sent: list[float] = []
        self.stops: list[bool] = []
        self.moved_at = 0.0

    def set(self, value: float) -> Status:
        self.sent.append(value)
        return Later(abs(value - self.value) if self.seconds is None else self.seconds, lambda: self._arrive(value))

    def _arrive(self, value: float) -> None:
        if self.fault is not None:
            raise self.fault
        self.value = value + self.offset
        self.moved_at = current_time() - self.age

    def read(self) -> dict[str, Reading[float]]:
        return {self.name: {"value": self.value, "timestamp": self.moved_at}}

    def describe(self) -> dict[str, DataKey]:
        return key(self.name)

    def stop(self, success: bool = True) -> None:
        self.stops.append(success)


class Meter:
    """Measures for some seconds when it is triggered."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "read"}

    def __init__(self, name: str, *, seconds: float = 0.0, value: object = 1.5) -> None:
        self.name = name
        self.seconds = seconds
        self.value = value
        self.fault: Exception | None = None
        self.taken_at = 0.0

    def trigger(self) -> Status:
        return Later(self.seconds, self._take)

    def _take(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.taken_at = current_time()

    def read(self) -> dict[str, Reading[Any]]:
        return {self.name: {"value": self.value, "timestamp": self.taken_at}}

    def describe(self) -> dict[str, DataKey]:
        return key(self.name)


def move_and_measure(lab: Any, s: Any) -> Steps:
    """Move ``lab.knob`` to ``s["x"]`` and measure with ``lab.meter``."""
    yield from bps.mv(lab.knob, s["x"])
    readings = yield from bps.trigger_and_read([lab.meter, lab.knob])
    return {"y": readings[lab.meter.name]["value"]}
