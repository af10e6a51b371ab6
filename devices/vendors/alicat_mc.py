"""Alicat MC-series mass-flow controllers with their ASCII protocol.

Commands and data frame are those of Alicat Scientific, *Operating Manual MC-Series Mass Flow Controllers*
(DOC-MANUAL-MC), chapter "RS-232 / RS-485 communication". NOT verified on hardware.

===========  =========================================================================================================
``A``        the data frame of the unit A: ``A +014.70 +025.00 +02.004 +02.004 02.004 Air``
``AS2.5``    set-point in the units of the display; answered by the frame
===========  =========================================================================================================

The frame: unit, absolute pressure, temperature, volumetric flow, mass flow, set-point, perhaps a total, the gas, and
perhaps states: ``HLD`` (valve held) and ``LCK`` (keys locked) do no harm; ``ADC``, ``MOV``, ``VOV``, ``POV``, ``TOV``,
``OPL`` and ``EXH`` mean that a reading is none or that the valve does not control. Anything else, and ``?``, is a
refusal.

The line: ``SerialTransport(port, 19200, terminator="\\r")``. Set-points by the serial line have to be enabled at the
instrument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from sdl.devices.driver import Gauge, Instrument, Knob, Limits, Pause
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError

HARMLESS = frozenset({"HLD", "LCK"})
TROUBLE = {
    "ADC": "an error of its converter",
    "MOV": "mass flow beyond its range",
    "VOV": "volumetric flow beyond its range",
    "POV": "pressure beyond its range",
    "TOV": "temperature beyond its range",
    "OPL": "over-pressure: the valve is closed",
    "EXH": "its exhaust valve is open",
}
_FRAME = re.compile(
    r"(?P<unit>[A-Z])\s+(?P<pressure>[-+\d.]+)\s+(?P<temperature>[-+\d.]+)\s+(?P<volumetric>[-+\d.]+)"
    r"\s+(?P<mass>[-+\d.]+)\s+(?P<setpoint>[-+\d.]+)(?:\s+[-+]?\d[\d.]*)?\s+(?P<gas>[A-Za-z][\w-]*)(?P<states>(?:\s+\w+)*)"
)


@dataclass(frozen=True)
class AlicatFrame:
    """What a controller says of itself, in the units of its display.

    Parameters
    ----------
    pressure, temperature, volumetric, mass, setpoint
        Absolute pressure, temperature, the two flows, and what it is set to.
    gas
        Whose properties it reckons with.
    """

    pressure: float
    temperature: float
    volumetric: float
    mass: float
    setpoint: float
    gas: str


class AlicatLine(Instrument):
    """What the driver says to one unit of a line.

    Parameters
    ----------
    unit_id
        One letter, A to Z.
    gas
        What it has to be set to.
    """

    def __init__(self, name: str, transport: Transport, *, unit_id: str, gas: str) -> None:
        super().__init__(name, transport)
        self.unit_id = unit_id
        self.gas = gas

    async def frame(self, command: str = "") -> AlicatFrame:
        """Say *command*, or nothing; return the frame. Raises DeviceError for trouble, another unit or another gas."""
        answer = await self.ask(self.unit_id + command)
        match = _FRAME.fullmatch(answer)
        if match is None or match["unit"] != self.unit_id:
            raise self.nonsense(self.unit_id + command, answer, f"the data frame of the unit {self.unit_id}")
        for state in match["states"].split():
            if state not in HARMLESS:
                raise DeviceError(
                    f"{self.name} reports {state}: {TROUBLE.get(state, 'a state that is not known here')}"
                )
        if match["gas"] != self.gas:
            raise DeviceError(
                f"{self.name} reckons with {match['gas']}, not with {self.gas}", hint="choose the gas there"
            )
        try:
            numbers = {key: float(match[key]) for key in ("pressure", "temperature", "volumetric", "mass", "setpoint")}
        except ValueError:
            raise self.nonsense(self.unit_id + command, answer, "numbers") from None
        return AlicatFrame(**numbers, gas=match["gas"])

    async def _set_up(self) -> None:
        answer = await self._request(self.unit_id)
        if _FRAME.fullmatch(answer) is None:
            raise self.nonsense(self.unit_id, answer, "the data frame of a flow controller")


class AlicatMC:
    """Driver of the controller.

    Parameters
    ----------
    transport
        The line; several units may share it.
    full_scale
        The largest flow, in *unit*.
    unit
        Of flows, as the display is set: ``mL/min``. Standard conditions are those of the instrument.
    gas
        As the instrument writes it: ``Air``, ``N2``, ``Ar``. Another one there is refused: readings would be
        wrong.
    unit_id
        One letter, A to Z.
    safe_action
        Of the flow, when an interlock trips; to close the valve is not safe for every process.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    flow
        Knob: the mass flow.
    pressure, temperature
        Gauges: absolute pressure (psi) and gas temperature (degC), where the display is set to these.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.alicat_mc:SimulatedAlicatMC"

    def __init__(
        self,
        transport: Transport,
        *,
        full_scale: float = 100.0,
        unit: str = "mL/min",
        gas: str = "N2",
        unit_id: str = "A",
        safe_action: str = "",
        name: str = "gas",
    ) -> None:
        if not re.fullmatch("[A-Z]", unit_id):
            raise LimitError(f"{name} has the unit {unit_id!r}", hint="it is one letter, A to Z")
        self.name = name
        self.parent = None
        self._line = AlicatLine(name, transport, unit_id=unit_id, gas=gas)
        self.flow = _Flow(
            f"{name}_flow",
            instrument=self._line,
            question=unit_id,
            setter="S{:.5g}",
            stopper=self._stay,
            unit=unit,
            limits=Limits(0.0, full_scale),
            tolerance=0.005 * full_scale,
            timeout_s=60.0,
            poll_s=0.5,
            safe_action=safe_action or f"stop_now to 0 {unit}",
            parent=self,
        )
        self.flow.line = self._line
        self.pressure = _FrameGauge(self._line, "pressure", unit="psi", parent=self)
        self.temperature = _FrameGauge(self._line, "temperature", unit="degC", parent=self)

    async def self_test(self) -> str:
        """Ask for its frame. Raises DeviceError for trouble."""
        frame = await self._line.frame()
        return f"unit {self._line.unit_id}, {frame.gas}, {frame.mass:g} {self.flow.unit}"

    async def _stay(self) -> None:
        await self._line.frame(f"S{(await self._line.frame()).mass:.5g}")


class _Flow(Knob):
    line: AlicatLine

    async def value(self) -> float:
        return (await self.line.frame()).mass

    async def _go(self, value: float, pause: Pause) -> None:
        self.setpoint = float(value)
        frame = await self.line.frame(self._setter.format(value))
        if abs(frame.setpoint - value) > self.margin(value):
            raise DeviceError(
                f"{self.name} was told {value:g} {self.unit}, and is set to {frame.setpoint:g}",
                hint="is its set-point source the serial line?",
            )
        await self.arrived(value, pause)


class _FrameGauge(Gauge):
    def __init__(self, line: AlicatLine, key: str, *, unit: str, parent: object) -> None:
        super().__init__(f"{line.name}_{key}", instrument=line, question=line.unit_id, unit=unit, parent=parent)
        self._line = line
        self._key = key

    async def value(self) -> float:
        return float(getattr(await self._line.frame(), self._key))
