"""A thermostatted cell that measures the conductivity of liquids, and sees whether something has crystallised.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

====================  ================================================================================================
``MEASURE V7 25``     draw from V7, bring it to 25 degC, measure
``COND?``             conductivity of the last sample, mS/cm
``TURBID?``           how much light the crystals in it scatter, 0 for a clear liquid, and the colour of their kind:
                      ``0.00 none``, ``0.71 blue``
====================  ================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Limits, Sensor
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.envelope import as_number
from sdl.problem import Measurement

KINDS = ("none", "blue", "red")
"""What the crystals look like between crossed polarisers; their place in this list is the class that is reported."""


class ElectrolyteCell:
    """Driver of the cell.

    Parameters
    ----------
    transport
        The line to its controller.
    temperatures
        Range of the thermostat, degC.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time for one sample.

    Attributes
    ----------
    sample
        Activity: ``set((vessel, degC))`` measures a sample; it takes a little of it.
    report
        Sensor: conductivity, turbidity, and the kind of crystals, 0 for none.
    """

    def __init__(
        self, transport: Transport, *, temperatures: Limits, name: str = "cell", timeout_s: float = 7200.0
    ) -> None:
        self.name = name
        self.parent = None
        self.temperatures = temperatures
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.sample: Activity[tuple[str, float]] = self._line.activity(
            "sample",
            lambda sample: f"MEASURE {sample[0]} {sample[1]:.6g}",
            check=self._check,
            action_class="cumulative",
            timeout_s=timeout_s,
            parent=self,
        )
        self.report = Sensor(
            f"{name}_report",
            self._results,
            units={f"{name}_conductivity": "mS/cm", f"{name}_turbidity": "", f"{name}_kind": ""},
            source=f"{transport.name} COND? TURBID?",
            parent=self,
        )

    def measure(self, vessel: str, *, temperature: float) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: measure a sample at *temperature* (degC), record the event, return what was found.

        ``conductivity``, and ``phase``: the number of the kind of crystals, 0 for a clear liquid. Empty where the plan
        is walked without a device.
        """
        yield from go(self.sample, (vessel, float(temperature)), timeout=self._timeout_s + 60)
        readings: Mapping[str, Any] = yield from record([self.report], self.name, timeout=60)
        if not readings:
            return {}
        conductivity, kind = (float(readings[f"{self.name}_{key}"]["value"]) for key in ("conductivity", "kind"))
        return {"conductivity": Measurement(conductivity, "mS/cm"), "phase": Measurement(kind, None)}

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the cell work again after a fault."""
        yield from self._line.reset()

    def _check(self, sample: tuple[str, float]) -> None:
        vessel, temperature = sample
        check_name(vessel, f"a vessel of {self.name}")
        number, limits = as_number(temperature), self.temperatures
        if number is None or not limits.low <= number <= limits.high:
            raise LimitError(
                f"{self.name} was told {temperature!r} degC, its limits are {limits.low:g} to {limits.high:g} degC"
            )

    async def _results(self) -> dict[str, float]:
        conductivity = await self._line.number("COND?")
        answer = await self._line.ask("TURBID?")
        turbidity, _, kind = answer.partition(" ")
        try:
            values = (conductivity, float(turbidity), float(KINDS.index(kind)))
        except ValueError:
            raise self._line.nonsense("TURBID?", answer, f"a number and one of {', '.join(KINDS)}") from None
        keys = ("conductivity", "turbidity", "kind")
        return {f"{self.name}_{key}": value for key, value in zip(keys, values, strict=True)}
