"""IKA hot plates with magnetic stirrer (RET, RCT 5 digital, C-MAG HS) by the NAMUR commands.

Commands are those of IKA, *Operating instructions RET control-visc* (20000004159) and *RCT 5 digital* (20000023466),
chapter "Interfaces and outputs". NOT verified on hardware.

===============  =====================================================================================================
``IN_NAME``      the name of the device: ``IKARET``, ``RCT digital``
``IN_PV_1``      temperature of the outer sensor, degC: ``24.8 1``; ``IN_PV_2`` that of the plate, ``IN_PV_4`` rpm
``IN_SP_1``      the set-points likewise: what follows the number names the quantity
``OUT_SP_1 80``  set-point; not answered
``START_1``      heater on; ``STOP_1`` off; ``START_4`` and ``STOP_4`` the stirrer; not answered
===============  =====================================================================================================

Since commands are not answered, the driver asks for the set-point after each.

The line: ``SerialTransport(port, 9600, frame="7E1", terminator=" \\r\\n")``: a blank stands before the end of a line.
By USB the frame does not matter.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from sdl.devices.driver import Identity, Instrument, Knob, Limits, Pause
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError

TEMPERATURES = Limits(20.0, 200.0)
SPEEDS = Limits(0.0, 1500.0)
SENSORS = {"outer": 1, "plate": 2}
_NUMBER = re.compile(r"(?P<value>-?\d+(?:\.\d+)?)(?: (?P<what>\d+))?")


class NamurLine(Instrument):
    """What the driver says to a plate."""

    async def number(self, question: str) -> float:
        """Return the number of the answer. Raises DeviceError where it belongs to another quantity."""
        answer = await self.ask(question)
        match = _NUMBER.fullmatch(answer.strip())
        if match is None or match["what"] not in {None, question.rpartition("_")[2]}:
            raise self.nonsense(question, answer, "a number, and the quantity's")
        return float(match["value"])

    async def set_point(self, what: int, value: float) -> None:
        """Set the quantity *what*, and see that it is set. Raises DeviceError where it is not."""
        await self.send(f"OUT_SP_{what} {value:g}")
        found = await self.number(f"IN_SP_{what}")
        if abs(found - value) > 0.5:
            raise DeviceError(
                f"{self.name} was told the set-point {value:g}, and has {found:g}", hint="is it too high?"
            )


class IkaPlate:
    """Driver of the plate.

    Parameters
    ----------
    transport
        The line; it has to be able to send without an answer.
    sensor
        Which one is controlled by: the ``outer`` one in the liquid, or that of the ``plate``.
    temperatures
        What may be set, degC. The safety circuit of the plate has to be set higher, by hand.
    speeds
        rpm; 0 stops the stirrer.
    timeout_s
        The longest time to reach a temperature.
    model
        A regular expression for the name that the device gives.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    temperature
        Knob, degC. At the lower end of its limits the heater is switched off.
    speed
        Knob, rpm.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.ika_plate:SimulatedIkaPlate"

    def __init__(
        self,
        transport: Transport,
        *,
        sensor: Literal["outer", "plate"] = "outer",
        temperatures: Limits = TEMPERATURES,
        speeds: Limits = SPEEDS,
        timeout_s: float = 14_400.0,
        model: str = "IKA|RET|RCT|C-MAG",
        name: str = "plate",
    ) -> None:
        if sensor not in SENSORS:
            raise LimitError(f"{name} has no sensor {sensor!r}", hint="outer or plate")
        self.name = name
        self.parent = None
        self._line = NamurLine(name, transport, identity=Identity("IN_NAME", model))
        what = SENSORS[sensor]
        self.temperature = _Driven(
            f"{name}_temperature",
            self._line,
            what=what,
            starter=1,
            unit="degC",
            limits=temperatures,
            tolerance=1.5,
            timeout_s=timeout_s,
            poll_s=5.0,
            parent=self,
        )
        self.speed = _Driven(
            f"{name}_speed",
            self._line,
            what=4,
            starter=4,
            unit="rpm",
            limits=speeds,
            tolerance=20.0,
            timeout_s=60.0,
            poll_s=0.5,
            parent=self,
        )

    async def self_test(self) -> str:
        """Ask who it is, and how warm. Raises DeviceError."""
        name = await self._line.ask("IN_NAME")
        return f"{name}, {await self.temperature.value():g} degC, {await self.speed.value():g} rpm"


class _Driven(Knob):
    """A quantity with a set-point and a switch of its own: heater, or stirrer."""

    def __init__(
        self,
        name: str,
        line: NamurLine,
        *,
        what: int,
        starter: int,
        unit: str,
        limits: Limits,
        tolerance: float,
        timeout_s: float,
        poll_s: float,
        parent: object,
    ) -> None:
        super().__init__(
            name,
            instrument=line,
            question=f"IN_PV_{what}",
            setter=f"OUT_SP_{what} {{:g}}",
            stopper=self._switch_off,
            unit=unit,
            limits=limits,
            tolerance=tolerance,
            timeout_s=timeout_s,
            poll_s=poll_s,
            safe_action=f"stop_now to {limits.low:g} {unit}",
            parent=parent,
        )
        self._line = line
        self._what = what
        self._starter = starter

    async def _go(self, value: float, pause: Pause) -> None:
        self.setpoint = target = float(value)
        await self._line.set_point(self._what, target)
        await self._line.send(f"{'START' if target > self._range.low else 'STOP'}_{self._starter}")
        await self.arrived(target, pause)

    async def _switch_off(self) -> None:
        await self._line.send(f"STOP_{self._starter}")
