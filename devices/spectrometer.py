"""An array spectrometer with a lamp, as it stands beside a cuvette or a flow cell.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

==================  ==================================================================================================
``INT 50``          integrate for 50 ms
``INT?``            ms
``LAMP ON``         or ``OFF``
``LAMP?``           ``ON`` or ``OFF``
``ACQUIRE``         take a spectrum: a task
``COUNTS?``         the counts of the last spectrum, one number for each wavelength
==================  ==================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from bluesky import preprocessors
from bluesky.utils import MsgGenerator

from sdl.devices.curves import Curves, numbers
from sdl.devices.driver import Knob, Limits, Pause
from sdl.devices.selector import Selector
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument
from sdl.devices.transport import Transport
from sdl.errors import DeviceError

INTEGRATION = Limits(1.0, 10_000.0)
WAVELENGTHS = tuple(float(wavelength) for wavelength in range(400, 701, 5))
FULL_SCALE = 65_535.0
"""Counts of a 16 bit converter."""


class Spectrometer:
    """Driver of the spectrometer.

    Parameters
    ----------
    transport
        The line to it.
    wavelengths
        Those of its pixels, nm: its certificate has them. 400 to 700 nm in steps of 5 are those of the simulated one.
    integration
        The range of the integration time, ms.
    full_scale
        Counts at which a pixel is saturated. A spectrum that gets there is refused.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    integration
        Knob, ms.
    lamp
        Selector: ``on`` or ``off``. Its safe action is to leave it: lamps are killed by being switched.
    spectrum
        Curves: counts by pixel.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.solution_instruments:SpectrometerTwin"

    def __init__(
        self,
        transport: Transport,
        *,
        wavelengths: Sequence[float] = WAVELENGTHS,
        integration: Limits = INTEGRATION,
        full_scale: float = FULL_SCALE,
        name: str = "spectrometer",
    ) -> None:
        self.name = name
        self.parent = None
        self.wavelengths = tuple(float(wavelength) for wavelength in wavelengths)
        self.full_scale = full_scale
        self._longest_s = integration.high / 1000
        self._line = TaskInstrument(name, transport)
        self.integration = Knob(
            f"{name}_integration",
            instrument=self._line,
            question="INT?",
            setter="INT {:.6g}",
            stopper="STOP",
            unit="ms",
            limits=integration,
            tolerance=0.01,
            timeout_s=10.0,
            parent=self,
        )
        self.lamp = Selector(
            f"{name}_lamp",
            choices=("on", "off"),
            get=self._lit,
            put=self._light,
            source=f"{transport.name} LAMP?",
            safe_action="finish_step_then_hold",
            parent=self,
        )
        self.spectrum = Curves(
            f"{name}_spectrum",
            self._acquire,
            units={f"{name}_spectrum": "counts"},
            n_points=len(self.wavelengths),
            source=f"{transport.name} COUNTS?",
            parent=self,
        )

    def measure(self) -> MsgGenerator[list[float]]:
        """Plan stub: take a spectrum, record the event, return the counts; empty without a device."""
        readings: Mapping[str, Any] = yield from record([self.spectrum], self.name, timeout=120 + self._longest_s)
        return list(readings[self.spectrum.name]["value"]) if readings else []

    def dark(self) -> MsgGenerator[list[float]]:
        """Plan stub: switch the lamp off, take a spectrum, and switch it on again, also where there is no spectrum."""

        def taken() -> MsgGenerator[list[float]]:
            yield from go(self.lamp, "off", timeout=30)
            return (yield from self.measure())

        finalized = cast("Any", preprocessors).finalize_wrapper  # bluesky has no types for it
        plan: MsgGenerator[list[float]] = finalized(taken(), lambda: go(self.lamp, "on", timeout=30))
        return (yield from plan)

    async def self_test(self) -> str:
        """Ask who it is, and whether it complains. Raises DeviceError."""
        await self._line.seconds_left()
        return await self._line.ask("*IDN?")

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the spectrometer work again after a fault."""
        yield from self._line.reset()

    async def _lit(self) -> str:
        return (await self._line.ask("LAMP?")).lower()

    async def _light(self, to: str) -> None:
        await self._line.command(f"LAMP {to.upper()}")

    async def _acquire(self) -> dict[str, list[float]]:
        await self._line.perform("ACQUIRE", Pause(), timeout_s=60 + self._longest_s)
        counts = await numbers(self._line, "COUNTS?", len(self.wavelengths))
        if max(counts) >= self.full_scale:
            place = self.wavelengths[counts.index(max(counts))]
            raise DeviceError(f"{self.name} is saturated at {place:g} nm", hint="integrate for a shorter time")
        return {self.spectrum.name: counts}


def absorbances(sample: Sequence[float], reference: Sequence[float], dark: Sequence[float]) -> list[float]:
    """Return the decadic absorbance for each pixel; not a number where the reference has no light."""
    return [
        -math.log10((light - black) / (through - black)) if light > black and through > black else math.nan
        for light, through, black in zip(sample, reference, dark, strict=True)
    ]
