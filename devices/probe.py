"""A four-point probe that reads resistance as V/I.

Its meter talks in the manner of SCPI, each message a question or closed by ``;*OPC?``, which is answered when the
command is done:

=============================  =======================================================================================
``*IDN?``                      who it is
``ROUTE:TIPS DOWN;*OPC?``      put the tips on the film, on a fresh spot; ``1`` when done. ``UP`` likewise
``READ?``                      V/I in ohm, both polarities averaged; ``9.91E37``, SCPI's not-a-number, without contact
=============================  =======================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Instrument, Sensor
from sdl.devices.handling import BringSample, by_hand
from sdl.devices.stubs import record
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError
from sdl.problem import Measurement

NO_READING = 9.9e37
"""SCPI's infinity; everything from here on is no reading."""


class FourPointProbe:
    """Driver of the probe.

    Parameters
    ----------
    transport
        The line to the meter.
    name
        Prefix of the parts' names.
    bring_sample
        Run before a measurement, to have a film under the tips; see :data:`~sdl.devices.handling.BringSample`.
    n_spots
        At how many spots the tips touch the film; at least 2, so that there is a standard error.

    Attributes
    ----------
    resistance
        Sensor: the mean over the spots, ohm, with its standard error.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "probe",
        bring_sample: BringSample = by_hand,
        n_spots: int = 8,
    ) -> None:
        if n_spots < 2:
            raise LimitError(f"{name} needs at least 2 spots for a standard error, got {n_spots}")
        self.name = name
        self.parent = None
        self._line = Instrument(name, transport)
        self._bring_sample = bring_sample
        self._n_spots = n_spots
        self._mean = f"{name}_resistance"
        self._error = f"{name}_resistance_error"
        self.resistance = Sensor(
            self._mean,
            self._measure,
            units={self._mean: "ohm", self._error: "ohm"},
            source=f"{transport.name} READ?",
            parent=self,
        )

    def measure(self) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: have the film under the tips, measure it, record the event, return the resistance.

        Returns
        -------
        ``{"resistance": Measurement(mean, "ohm", standard_error=...)}``. The standard error is that of the mean over
        the spots of one film; how films made alike differ is not in it. Empty where the plan is walked without a
        device.
        """
        yield from self._bring_sample()
        readings = yield from record([self.resistance], timeout=60.0 * self._n_spots)
        return self._measurement(readings)

    def _measurement(self, readings: Mapping[str, Mapping[str, Any]]) -> dict[str, Measurement]:
        if self._mean not in readings:
            return {}
        mean, error = (float(readings[key]["value"]) for key in (self._mean, self._error))
        return {"resistance": Measurement(mean, "ohm", standard_error=error, n_replicates=self._n_spots)}

    async def _measure(self) -> dict[str, float]:
        values = [await self._spot() for _ in range(self._n_spots)]
        mean, error = mean_and_error(values)
        return {self._mean: mean, self._error: error}

    async def _spot(self) -> float:
        await self._tips("DOWN")
        try:
            value = await self._line.number("READ?")
        finally:
            await self._tips("UP")
        if not 0 < value < NO_READING:
            raise DeviceError(
                f"{self.name} has no contact to the film, it reads {value:g} ohm",
                hint="is there a film under the tips, and are they clean?",
            )
        return value

    async def _tips(self, where: str) -> None:
        question = f"ROUTE:TIPS {where};*OPC?"
        answer = await self._line.ask(question)
        if answer != "1":
            raise self._line.nonsense(question, answer, "1")


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of at least two values and its standard error."""
    n = len(values)
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
