"""A box furnace that fires vessels on a programme: up, dwell, down.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

=====================  ===============================================================================================
``FIRE 900 4 V7 V8``   fire the vessels V7 and V8 at 900 degC for 4 h; done when the furnace is cold enough to open
``TEMP?``              degC
=====================  ===============================================================================================

``STOP`` switches the heater off; the furnace then cools by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Gauge, Limits
from sdl.devices.stubs import go
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.envelope import as_number

Firing = tuple[float, float, tuple[str, ...]]
"""degC, hours, and the vessels."""


TEMPERATURES = Limits(100.0, 1400.0)
HOURS = Limits(0.1, 48.0)


class BoxFurnace:
    """Driver of a box furnace.

    Parameters
    ----------
    transport
        The line to its controller.
    slots
        How many vessels it takes.
    temperatures
        Its range, degC.
    hours
        The range of the dwell.
    ramp_h
        The longest time for heating and cooling together.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    firing
        Activity: ``set((degC, hours, vessels))``.
    temperature
        Gauge, degC.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        slots: int = 8,
        temperatures: Limits = TEMPERATURES,
        hours: Limits = HOURS,
        ramp_h: float = 12.0,
        name: str = "furnace",
    ) -> None:
        self.name = name
        self.parent = None
        self.slots = slots
        self.temperatures = temperatures
        self.hours = hours
        self._ramp_s = 3600.0 * ramp_h
        self._line = TaskInstrument(name, transport)
        self.temperature = Gauge(
            f"{name}_temperature", instrument=self._line, question="TEMP?", unit="degC", parent=self
        )
        self.firing: Activity[Firing] = self._line.activity(
            "firing",
            lambda firing: f"FIRE {firing[0]:.6g} {firing[1]:.6g} {' '.join(firing[2])}",
            check=self._check,
            action_class="irreversible",
            timeout_s=self._ramp_s + 3600.0 * hours.high,
            parent=self,
        )

    def fire(self, vessels: Sequence[str], *, temperature: float, hours: float) -> MsgGenerator[None]:
        """Plan stub: fire *vessels* at *temperature* (degC) for *hours*, wait until they are cold."""
        timeout = self._ramp_s + 3600.0 * hours + 60
        yield from go(self.firing, (float(temperature), float(hours), tuple(vessels)), timeout=timeout)

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the furnace work again after a fault."""
        yield from self._line.reset()

    def _check(self, firing: Firing) -> None:
        temperature, hours, vessels = firing
        for value, limits, unit in ((temperature, self.temperatures, "degC"), (hours, self.hours, "h")):
            number = as_number(value)
            if number is None or not limits.low <= number <= limits.high:
                raise LimitError(
                    f"{self.name} was told {value!r} {unit}, its limits are {limits.low:g} to {limits.high:g} {unit}"
                )
        if not 1 <= len(vessels) <= self.slots:
            raise LimitError(f"{self.name} has {self.slots} slots, got {len(vessels)} vessels")
        for vessel in vessels:
            check_name(vessel, f"a vessel of {self.name}")
