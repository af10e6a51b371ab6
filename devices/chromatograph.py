"""A chromatograph, for gases or liquids, that injects from vessels and reports amounts of analytes.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

====================  ================================================================================================
``INJECT V7``         run the method on a sample from V7
``RESULT? hydrogen``  the calibrated amount of an analyte in the last run; ``NAN`` where its peak was not found
====================  ================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Sensor
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import DeviceError
from sdl.problem import Measurement


class Chromatograph:
    """Driver of a chromatograph.

    Parameters
    ----------
    transport
        The line to its workstation.
    analytes
        What the method reports, with the unit: ``{"hydrogen": "umol"}``.
    repeatability
        Standard deviation of one injection, as a share of the amount; it becomes the standard error.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time of one run.

    Attributes
    ----------
    injection
        Activity: ``set(vessel)`` runs the method; it takes a little of the sample.
    report
        Sensor: the amounts of the last run.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        analytes: Mapping[str, str],
        repeatability: float = 0.01,
        name: str = "chromatograph",
        timeout_s: float = 7200.0,
    ) -> None:
        self.name = name
        self.parent = None
        self.analytes: Mapping[str, str] = MappingProxyType(dict(analytes))
        self.repeatability = repeatability
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.injection: Activity[str] = self._line.activity(
            "injection",
            lambda vessel: f"INJECT {vessel}",
            check=lambda vessel: check_name(vessel, f"a vessel of {name}"),
            action_class="cumulative",
            timeout_s=timeout_s,
            parent=self,
        )
        self.report = Sensor(
            f"{name}_report",
            self._results,
            units={f"{name}_{analyte}": unit for analyte, unit in self.analytes.items()},
            source=f"{transport.name} RESULT?",
            parent=self,
        )

    def measure(self, vessel: str) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: run the method on *vessel*, record the event, return the amounts by analyte.

        Empty where the plan is walked without a device.
        """
        yield from go(self.injection, vessel, timeout=self._timeout_s + 60)
        readings = yield from record([self.report], self.name, timeout=60)
        return {analyte: m for analyte in self.analytes for m in self._measurement(analyte, readings)}

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the instrument work again after a fault."""
        yield from self._line.reset()

    def _measurement(self, analyte: str, readings: Mapping[str, Mapping[str, Any]]) -> list[Measurement]:
        key = f"{self.name}_{analyte}"
        if key not in readings:
            return []
        amount = float(readings[key]["value"])
        error = self.repeatability * abs(amount)
        return [Measurement(amount, self.analytes[analyte], standard_error=error or None)]

    async def _results(self) -> dict[str, float]:
        return {f"{self.name}_{analyte}": await self._result(analyte) for analyte in self.analytes}

    async def _result(self, analyte: str) -> float:
        question = f"RESULT? {analyte}"
        answer = await self._line.ask(question)
        if answer == "NAN":
            raise DeviceError(
                f"{self.name} found no peak of {analyte}", hint="was the vessel tight, and did the injection work?"
            )
        try:
            return float(answer)
        except ValueError:
            raise self._line.nonsense(question, answer, "a number or NAN") from None
