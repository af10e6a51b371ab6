"""A plate reader: it takes a microplate in, and measures the absorbance of every well at one wavelength.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

==============  ======================================================================================================
``TRAY OUT``    or ``IN``
``TRAY?``       ``OUT``, ``IN``, or ``MOVING``
``WAVE 520``    the filter or the monochromator, nm
``WAVE?``       nm
``READ``        measure all wells: a task, refused with the tray out
``OD?``         the absorbances of the last plate, row by row from A1; ``OVER`` for a well with too little light
==============  ======================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from bluesky.utils import MsgGenerator

from sdl.devices.curves import Curves
from sdl.devices.driver import Knob, Limits, Pause
from sdl.devices.selector import Selector
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument
from sdl.devices.transport import Transport
from sdl.problem import Measurement

WAVELENGTHS = Limits(230.0, 1000.0)
CEILING = 4.0
"""What an absorbance that is over its range is recorded as; beside it stands that it is over."""


class PlateReader:
    """Driver of the plate reader.

    Parameters
    ----------
    transport
        The line to it.
    rows, columns
        Of the plate.
    wavelengths
        Its range, nm.
    repeatability
        Standard deviation of one well; it becomes the standard error.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    tray
        Selector: ``in`` or ``out``.
    wavelength
        Knob, nm.
    absorbance
        Curves: absorbance by well, and 1 for each well that is over its range.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.solution_instruments:PlateReaderTwin"

    def __init__(
        self,
        transport: Transport,
        *,
        rows: int = 8,
        columns: int = 12,
        wavelengths: Limits = WAVELENGTHS,
        repeatability: float = 0.005,
        name: str = "reader",
    ) -> None:
        self.name = name
        self.parent = None
        self.wells = tuple(well(row, column) for row in range(rows) for column in range(columns))
        self.repeatability = repeatability
        self._timeout_s = 120.0 + 2.0 * len(self.wells)
        self._line = TaskInstrument(name, transport)
        self.tray = Selector(
            f"{name}_tray",
            choices=("in", "out"),
            get=self._where,
            put=self._move,
            source=f"{transport.name} TRAY?",
            timeout_s=30.0,
            safe_action="finish_step_then_hold",
            parent=self,
        )
        self.wavelength = Knob(
            f"{name}_wavelength",
            instrument=self._line,
            question="WAVE?",
            setter="WAVE {:.6g}",
            stopper="STOP",
            unit="nm",
            limits=wavelengths,
            tolerance=1.0,
            timeout_s=30.0,
            parent=self,
        )
        self.absorbance = Curves(
            f"{name}_absorbance",
            self._read,
            units={f"{name}_absorbance": "", f"{name}_over": ""},
            n_points=len(self.wells),
            source=f"{transport.name} OD?",
            parent=self,
        )

    def measure(self, *, wavelength: float) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: take the tray in, measure at *wavelength* (nm), record the event, return absorbances by well.

        Wells that are over the range are left out. Empty where the plan is walked without a device.
        """
        yield from go(self.tray, "in", timeout=60)
        yield from go(self.wavelength, float(wavelength), timeout=60)
        readings: Mapping[str, Any] = yield from record([self.absorbance], self.name, timeout=self._timeout_s + 60)
        if not readings:
            return {}
        values, over = (readings[f"{self.name}_{key}"]["value"] for key in ("absorbance", "over"))
        return {
            name: Measurement(value, None, standard_error=self.repeatability)
            for name, value, is_over in zip(self.wells, values, over, strict=True)
            if not is_over
        }

    async def self_test(self) -> str:
        """Ask who it is, and whether it complains. Raises DeviceError."""
        await self._line.seconds_left()
        return await self._line.ask("*IDN?")

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the plate reader work again after a fault."""
        yield from self._line.reset()

    async def _where(self) -> str:
        return (await self._line.ask("TRAY?")).lower()

    async def _move(self, to: str) -> None:
        await self._line.command(f"TRAY {to.upper()}")

    async def _read(self) -> dict[str, list[float]]:
        await self._line.perform("READ", Pause(), timeout_s=self._timeout_s)
        answer = await self._line.ask("OD?")
        words = answer.split()
        try:
            values = [CEILING if word == "OVER" else float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != len(self.wells) or not all(map(math.isfinite, values)):
            raise self._line.nonsense("OD?", answer, f"{len(self.wells)} numbers, or OVER")
        over = [float(word == "OVER") for word in words]
        return {f"{self.name}_absorbance": values, f"{self.name}_over": over}


def well(row: int, column: int) -> str:
    """Return the name of a well, counted from 0: ``A1``, ``H12``, and ``AA1`` after ``Z1``."""
    letters = chr(ord("A") + row % 26)
    return f"{'A' * (row // 26)}{letters}{column + 1}"
