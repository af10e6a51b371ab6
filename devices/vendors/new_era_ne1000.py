"""New Era NE-1000 syringe pump, and those that share its protocol (NE-500, NE-1010, NE-4000, NE-8000).

Commands and answers are those of New Era Pump Systems, *NE-1000 Multi-Phaser User Manual* (publication 1200-01,
sections 10.2 and 10.4, basic mode). NOT verified on hardware.

A command is ``<address><command><CR>``, an answer ``<STX><address><state>[<data>]<ETX>``:

==================================  =================================================================================
``00VER``                           ``00SNE1000V3.923``
``00DIA20.00``, ``00VOLML``         the syringe's inner diameter, mm; volumes in mL
``00RAT1.500MM``, ``00RAT``         the rate, mL/min; the question for it: ``00S1.500MM``
``00VOL5.000``, ``00DIRINF``        how much, and which way: ``INF`` out of the syringe, ``WDR`` into it
``00CLDINF``, ``00DIS``             clear what was counted; how much it was: ``00SI5.000W0.000ML``
``00RUN``, ``00STP``                begin; pause, and the second time end
==================================  =================================================================================

States: ``I`` and ``W`` pumping, ``S`` stopped, ``P`` paused, ``T``, ``U`` and ``X`` other activities of its own;
``A?R`` and so on for an alarm, which is told once. ``?``, ``?NA``, ``?OOR``, ``?COM`` and ``?IGN`` in place of data are
refusals. Numbers have at most four digits, three of them behind the point.

The line: ``SerialTransport(port, 19200, terminator="\\r", ends=("\\x03",))``.
"""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Identity, Instrument, Knob, Limits, Pause
from sdl.devices.stubs import go
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, DeviceTimeout, LimitError, ReadbackError
from sdl.lab.envelope import as_number

ALARMS = {
    "R": "it was switched off meanwhile",
    "S": "it is stalled: is the line blocked?",
    "T": "it has not heard from this computer in time",
    "E": "its program has an error",
    "O": "its program has no such phase",
}
REFUSALS = {
    "?": "it does not know that",
    "?NA": "not now",
    "?OOR": "out of its range",
    "?COM": "it could not read it",
    "?IGN": "it was ignored",
}
PUMPING = frozenset("IW")
RATES = Limits(0.01, 10.0)
_ANSWER = re.compile(r"\x02?(?P<address>\d\d)(?:A\?(?P<alarm>.)|(?P<state>[IWSPTUX])(?P<data>.*))")
_COUNTED = re.compile(r"I(?P<infused>[\d.]+)W(?P<withdrawn>[\d.]+)(?P<unit>ML|UL)")
RATE = re.compile(r"(?P<rate>[\d.]+)MM")


class NewEraLine(Instrument):
    """What the driver says to a pump, which may share its line with others.

    Parameters
    ----------
    address
        Of the pump: 0 to 99.
    """

    def __init__(self, name: str, transport: Transport, *, address: int = 0) -> None:
        if not 0 <= address <= 99:
            raise LimitError(f"{name} has the address {address}, a pump's is 0 to 99")
        self._address = f"{address:02d}"
        super().__init__(name, transport, identity=Identity(f"{self._address}VER", r"^\x02?\d\d.?.?.?NE\d+"))

    async def told(self, command: str) -> tuple[str, str]:
        """Say *command*; return the pump's state and data. Raises DeviceError for an alarm and for a refusal."""
        answer = await self.ask(self._address + command)
        match = _ANSWER.fullmatch(answer)
        if match is None or match["address"] != self._address:
            raise self.nonsense(command, answer, f"an answer of the pump {self._address}")
        if match["alarm"] is not None:
            why = ALARMS.get(match["alarm"], "for a reason of its own")
            raise DeviceError(f"{self.name} has the alarm {match['alarm']}: {why}", hint="look at it, then try again")
        if match["data"].startswith("?"):
            why = REFUSALS.get(match["data"], match["data"])
            raise DeviceError(f"{self.name} refused {command!r}: {why}")
        return match["state"], match["data"]

    async def command(self, command: str) -> None:
        """Give a command. Raises DeviceError if the pump refuses it."""
        await self.told(command)

    async def number(self, question: str) -> float:
        """Return the rate. Raises DeviceError for any other answer."""
        _, data = await self.told(question)
        match = RATE.fullmatch(data)
        if match is None:
            raise self.nonsense(question, data, "a rate in mL/min")
        return float(match["rate"])


class NewEraNE1000:
    """Driver of the pump.

    Parameters
    ----------
    transport
        The line; several pumps may share it.
    diameter_mm
        Of the syringe, inside. It says how much a turn of the pump is: measure it, or take it from the syringe's maker.
    volume_ml
        Of the syringe: the largest volume of one stroke.
    rates
        Allowed rates, mL/min. What the pump can do follows from the diameter.
    address
        Of the pump on its line.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    rate
        Knob, mL/min.
    infuse, withdraw
        Activities: ``set(mL)`` moves that volume, once for each call. Afterwards the pump is asked how much it was.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.new_era_ne1000:SimulatedNE1000"

    def __init__(
        self,
        transport: Transport,
        *,
        diameter_mm: float,
        volume_ml: float,
        rates: Limits = RATES,
        address: int = 0,
        name: str = "pump",
    ) -> None:
        if not 0.1 <= diameter_mm <= 80.0:
            raise LimitError(f"{name}: a syringe of {diameter_mm!r} mm, the pump takes 0.1 to 80 mm")
        self.name = name
        self.parent = None
        self.volumes = Limits(0.001, volume_ml)
        self._diameter = diameter_mm
        self._slowest = rates.low
        self._line = NewEraLine(name, transport, address=address)
        self.rate = Knob(
            f"{name}_rate",
            instrument=self._line,
            question="RAT",
            setter="RAT{:.3f}MM",
            stopper=self._halt,
            unit="mL/min",
            limits=rates,
            tolerance=0.002,
            timeout_s=10,
            poll_s=0.2,
            safe_action="hold_setpoint",
            parent=self,
        )
        self.infuse = self._stroke("infuse", "INF")
        self.withdraw = self._stroke("withdraw", "WDR")

    def dispense(self, volume_ml: float) -> MsgGenerator[None]:
        """Plan stub: infuse *volume_ml*, wait for it."""
        yield from go(self.infuse, volume_ml, timeout=60.0 * volume_ml / self._slowest + 120)

    async def self_test(self) -> str:
        """Ask what it is, and whether it stands still. Raises DeviceError."""
        state, version = await self._line.told("VER")
        return f"{version}, {'pumping' if state in PUMPING else 'standing still'}"

    def _stroke(self, part: str, direction: str) -> Activity[float]:
        async def work(volume: float, pause: Pause) -> None:
            await self._pump(float(volume), direction, pause)

        return Activity(
            f"{self.name}_{part}",
            work,
            halt=self._halt,
            check=self._check,
            action_class="cumulative",
            unit="mL",
            limits=self.volumes,
            parent=self,
        )

    async def _pump(self, volume: float, direction: str, pause: Pause) -> None:
        state, _ = await self._line.told("")
        if state in PUMPING:
            raise DeviceError(f"{self.name} is pumping already", hint="was it started at its keys?")
        if state == "P":
            await self._line.command("STP")
        rate = await self.rate.value()
        settings = (f"DIA{four(self._diameter)}", "VOLML", f"VOL{four(volume)}", f"DIR{direction}", f"CLD{direction}")
        for command in settings:
            await self._line.command(command)
        await self._line.command("RUN")
        stopped = await self._wait(60.0 * volume / rate, pause)
        await self._compare(volume, direction, stopped)

    async def _wait(self, seconds: float, pause: Pause) -> bool:
        """Wait until the pump stands still; return whether it was told to."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 1.2 * seconds + 10.0
        while (await self._line.told(""))[0] in PUMPING:
            if loop.time() >= deadline:
                await self._halt()
                raise DeviceTimeout(f"{self.name} still pumps, and should have needed {seconds:g} s; it was stopped")
            if await pause.sleep(min(max(0.1 * seconds, 0.2), 30.0)):
                return True
        return pause.is_stopped

    async def _compare(self, volume: float, direction: str, stopped: bool) -> None:
        moved = await self.moved(direction)
        if stopped:
            raise DeviceError(f"{self.name} was stopped after {moved:g} of {volume:g} mL")
        if abs(moved - volume) > max(0.002, 0.01 * volume):
            raise ReadbackError(f"{self.name} has moved {moved:g} mL, and was told {volume:g} mL")

    async def moved(self, direction: str) -> float:
        """Return the mL that were counted since the last stroke began: ``INF`` or ``WDR``."""
        _, data = await self._line.told("DIS")
        match = _COUNTED.fullmatch(data)
        if match is None:
            raise self._line.nonsense("DIS", data, "the volumes that were counted")
        value = float(match["infused" if direction == "INF" else "withdrawn"])
        return value / 1000.0 if match["unit"] == "UL" else value

    async def _halt(self) -> None:
        state, _ = await self._line.told("")
        if state in PUMPING:
            await self._line.command("STP")

    def _check(self, value: float) -> None:
        number = as_number(value)
        if number is None or not self.volumes.low <= number <= self.volumes.high:
            raise LimitError(
                f"{self.name} was told {value!r} mL, its limits are {self.volumes.low:g} to {self.volumes.high:g} mL"
            )


def four(value: float) -> str:
    """Write *value* with four digits, at most three of them behind the point, as the pump takes it."""
    digits = next(n for n in (3, 2, 1, 0) if round(value, n) < 10 ** (4 - n) or n == 0)
    return f"{value:.{digits}f}"
