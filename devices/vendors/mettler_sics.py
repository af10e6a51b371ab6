"""Mettler-Toledo balances with the MT-SICS command set, levels 0 and 1, which all of them share.

Commands and answers are those of Mettler-Toledo, *MT-SICS Interface Commands for Excellence balances* (11781363) and of
the *Reference Manual Standard Interface Command Set*. NOT verified on hardware.

============  ========================================================================================================
``I4``        serial number: ``I4 A "B021002593"``
``I2``        type and capacity: ``I2 A "XS205DU 220.0090 g"``
``S``         the stable weight: ``S S     100.0005 g``; waits for it
``SI``        the weight at once: ``S S …`` where it is stable, ``S D …`` where it is not
``Z``, ``T``  zero, tare, when stable: ``Z A``, ``T S     10.0000 g``
============  ========================================================================================================

``I`` in place of the state: not possible now, such as no stability in time; ``+`` and ``-``: overload and underload.
``ES``, ``ET`` and ``EL`` are errors of syntax, transmission and logic.

The line: ``SerialTransport(port, 9600, terminator="\\r\\n", timeout_s=45)``, or ``TcpTransport(host, 8001,
terminator="\\r\\n", timeout_s=45)``: a balance gives up waiting for a stable weight after 40 s.
"""

from __future__ import annotations

from typing import ClassVar

from sdl.devices.driver import Activity, Identity, Instrument, Pause, Sensor
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError
from sdl.problem import units

TROUBLE = {
    "I": "cannot do it now: is there a draught, or is the weighing pan touched?",
    "+": "is overloaded",
    "-": "is underloaded: is the weighing pan in its place?",
    "L": "was given a parameter that it does not allow",
}
ERRORS = {"ES": "does not know the command", "ET": "could not read it", "EL": "cannot execute it"}


class SicsInstrument(Instrument):
    """What a driver says to an instrument with MT-SICS."""

    async def state(self, command: str) -> tuple[str, str]:
        """Give *command*; return the state in its answer, and what follows. Raises DeviceError for trouble."""
        answer = await self.ask(command)
        word, state, rest = [*answer.split(None, 2), "", ""][:3]
        if word != command.rstrip("I" if command == "SI" else "") or not state:
            raise self.nonsense(command, answer, f"an answer to {command}")
        if state in TROUBLE:
            raise DeviceError(f"{self.name} {TROUBLE[state]} (answer {answer!r})")
        return state, rest

    def _understood(self, question: str, answer: str) -> str:
        if answer in ERRORS:
            raise DeviceError(f"{self.name} {ERRORS[answer]}: {question!r}")
        return answer


class MettlerSicsBalance:
    """Driver of a balance.

    Parameters
    ----------
    transport
        The line.
    unit
        Of its readings here, whatever its display shows: ``g``, ``mg``.
    serial_number
        Where it is given, another balance at this line is refused.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    mass
        Sensor: the stable weight.
    zero, tare
        Activities: ``set("now")`` takes what is on the pan as zero, or as tare.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.mettler_sics:SimulatedSicsBalance"

    def __init__(
        self, transport: Transport, *, unit: str = "g", serial_number: str = "", name: str = "balance"
    ) -> None:
        self.name = name
        self.parent = None
        self.unit = unit
        self._line = SicsInstrument(name, transport, identity=Identity("I4", f'^I4 A "{serial_number}'))
        self.mass = Sensor(
            f"{name}_mass", self._weigh, units={f"{name}_mass": unit}, source=f"{transport.name} S", parent=self
        )
        self.zero = self._command("zero", "Z")
        self.tare = self._command("tare", "T")

    async def self_test(self) -> str:
        """Ask what it is, and whether it can weigh. Raises DeviceError."""
        state, what = await self._line.state("I2")
        if state != "A":
            raise self._line.nonsense("I2", f"{state} {what}", "I2 A and a text")
        await self._line.state("SI")
        return what.strip('"')

    def _command(self, part: str, command: str) -> Activity[str]:
        async def work(_: str, __: Pause) -> None:
            await self._line.state(command)

        return Activity(
            f"{self.name}_{part}",
            work,
            halt=self._leave,
            check=self._check,
            action_class="set_absolute",
            parent=self,
        )

    async def _weigh(self) -> dict[str, float]:
        state, rest = await self._line.state("S")
        if state != "S":
            raise self._line.nonsense("S", f"S {state} {rest}", "a stable weight")
        try:
            value, unit = rest.split()
            number = float(value)
        except ValueError:
            raise self._line.nonsense("S", rest, "a number and a unit") from None
        return {f"{self.name}_mass": units.to_unit(f"{number!r} {unit}", self.unit, name=f"{self.name}_mass")}

    def _check(self, value: str) -> None:
        if value != "now":
            raise LimitError(f"{self.name} was told {value!r}", hint='it knows "now"')

    async def _leave(self) -> None:
        """Leave it: it ends by itself within a minute, and moves nothing."""
