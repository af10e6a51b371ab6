"""A powder diffractometer with a sample changer.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

============  ========================================================================================================
``SCAN V7``   measure the powder from the vessel V7
``COUNTS?``   the counts of the last scan, one number for each angle
============  ========================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bluesky.protocols import Reading, Status
from bluesky.utils import MsgGenerator
from event_model.documents.event_descriptor import DataKey

from sdl.devices.driver import Action, Activity
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import DeviceError
from sdl.lab.actions import ActionClass
from sdl.lab.clock import current_time


class Pattern:
    """The counts of the last scan (Triggerable, Readable): one array."""

    action_classes: ClassVar[Mapping[str, ActionClass]] = {"trigger": ActionClass.READ}
    safe_action: ClassVar[str] = "finish_step_then_hold"

    def __init__(self, name: str, line: TaskInstrument, n_angles: int, parent: object) -> None:
        self.name = name
        self.parent = parent
        self._line = line
        self._n_angles = n_angles
        self._last: Reading[list[float]] | None = None

    def trigger(self) -> Status:
        """Fetch the counts from the controller."""
        return Action(self._fetch(), f"{self.name} transfer")

    def read(self) -> dict[str, Reading[list[float]]]:
        """Return them. Raises DeviceError if nothing was fetched."""
        if self._last is None:
            raise DeviceError(f"{self.name} has no scan to read", hint="scan and trigger first")
        return {self.name: self._last}

    def describe(self) -> dict[str, DataKey]:
        """Return the data key."""
        source = f"{self._line.transport.name} COUNTS?"
        return {self.name: {"dtype": "array", "shape": [self._n_angles], "source": source, "units": "counts"}}

    async def _fetch(self) -> None:
        self._last = None
        answer = await self._line.ask("COUNTS?")
        try:
            counts = [float(word) for word in answer.split()]
        except ValueError:
            counts = []
        if len(counts) != self._n_angles:
            raise self._line.nonsense("COUNTS?", answer, f"{self._n_angles} numbers")
        self._last = {"value": counts, "timestamp": current_time()}


class Diffractometer:
    """Driver of a powder diffractometer.

    Parameters
    ----------
    transport
        The line to its controller.
    n_angles
        How many angles a scan has.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time of one scan.

    Attributes
    ----------
    scan
        Activity: ``set(vessel)`` measures it; it takes a little of the powder.
    pattern
        The counts of the last scan.
    """

    def __init__(
        self, transport: Transport, *, n_angles: int, name: str = "diffractometer", timeout_s: float = 7200.0
    ) -> None:
        self.name = name
        self.parent = None
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.scan: Activity[str] = self._line.activity(
            "scan",
            lambda vessel: f"SCAN {vessel}",
            check=lambda vessel: check_name(vessel, f"a vessel of {name}"),
            action_class="cumulative",
            timeout_s=timeout_s,
            parent=self,
        )
        self.pattern = Pattern(f"{name}_pattern", self._line, n_angles, self)

    def measure(self, vessel: str) -> MsgGenerator[list[float]]:
        """Plan stub: scan *vessel*, record the event, return the counts; empty without a device."""
        yield from go(self.scan, vessel, timeout=self._timeout_s + 60)
        readings: Mapping[str, Any] = yield from record([self.pattern], self.name, timeout=120)
        return list(readings[self.pattern.name]["value"]) if self.pattern.name in readings else []

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the instrument work again after a fault."""
        yield from self._line.reset()
