"""Detectors at a beam: a camera that fits the spot, and a counter.

Both take a time and then give numbers. The camera's controller does the fit, so only numbers come over the line:

==================  ==================================================================================================
``EXPOSE 0.5``      expose for 0.5 s; ``OK`` when it is done
``SPOT?``           ``x y width height flux``: centre and full widths at half maximum in um, counts per second;
                    ``NOBEAM flux`` where no spot stands out
``COUNT 1``         (a counter) count for 1 s; answers with the counts when it is done
==================  ==================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Instrument, Sensor
from sdl.devices.stubs import record
from sdl.devices.transport import Transport
from sdl.errors import DeviceError

SPOT = ("x", "y", "width", "height", "flux")
SPOT_UNITS = ("um", "um", "um", "um", "1/s")


class BeamCamera:
    """Driver of a camera at the place of the sample.

    Parameters
    ----------
    transport
        The line to its controller.
    exposure_s
        Of one picture.
    field_um
        The width of its field: what the spot's widths count as where there is no spot.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    spot
        Sensor: centre, widths and flux.
    """

    def __init__(
        self, transport: Transport, *, exposure_s: float = 0.5, field_um: float = 200.0, name: str = "camera"
    ) -> None:
        self.name = name
        self.parent = None
        self.field_um = field_um
        self._exposure_s = exposure_s
        self._line = Instrument(name, transport)
        self.spot = Sensor(
            f"{name}_spot",
            self._measure,
            units={f"{name}_{key}": unit for key, unit in zip(SPOT, SPOT_UNITS, strict=True)},
            source=f"{transport.name} SPOT?",
            parent=self,
        )

    def look(self) -> MsgGenerator[dict[str, float]]:
        """Plan stub: take a picture, record the event, return x, y, width, height and flux.

        Empty where the plan is walked without a device.
        """
        readings: Mapping[str, Any] = yield from record([self.spot], self.name, timeout=60 + self._exposure_s)
        return {key: float(readings[f"{self.name}_{key}"]["value"]) for key in SPOT if readings}

    async def _measure(self) -> dict[str, float]:
        await self._line.command(f"EXPOSE {self._exposure_s:.6g}")
        answer = await self._line.ask("SPOT?")
        numbers = self._numbers(answer)
        return {f"{self.name}_{key}": value for key, value in zip(SPOT, numbers, strict=True)}

    def _numbers(self, answer: str) -> list[float]:
        words = answer.split()
        if len(words) == 2 and words[0] == "NOBEAM":
            words = ["0", "0", str(self.field_um), str(self.field_um), words[1]]
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != len(SPOT) or not all(map(math.isfinite, numbers)):
            raise self._line.nonsense("SPOT?", answer, "x y width height flux")
        return numbers


class Counter:
    """Driver of a counter, such as a fluorescence detector with one window.

    Parameters
    ----------
    transport
        The line to it.
    seconds
        For how long it counts.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    counts
        Sensor: counts per second.
    """

    def __init__(self, transport: Transport, *, seconds: float = 1.0, name: str = "counter") -> None:
        self.name = name
        self.parent = None
        self.seconds = seconds
        self._line = Instrument(name, transport)
        self.counts = Sensor(
            f"{name}_counts",
            self._measure,
            units={f"{name}_counts": "1/s"},
            source=f"{transport.name} COUNT",
            parent=self,
        )

    def count(self) -> MsgGenerator[float | None]:
        """Plan stub: count, record the event, return counts per second; None where there is no device."""
        readings = yield from record([self.counts], self.name, timeout=60 + self.seconds)
        key = f"{self.name}_counts"
        return float(readings[key]["value"]) if key in readings else None

    async def _measure(self) -> dict[str, float]:
        counted = await self._line.number(f"COUNT {self.seconds:.6g}")
        if counted < 0:
            raise DeviceError(f"{self.name} counted {counted:g}", hint="does the counter overflow?")
        return {f"{self.name}_counts": counted / self.seconds}
