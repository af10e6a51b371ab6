"""A robot that carries samples between a cassette, a stage and a probe, through a load-lock.

The controller talks in lines, see :mod:`sdl.devices.driver` for ``OK`` and ``ERR``:

=====================  ===============================================================================================
``*IDN?``              who it is
``PLACES?``            what lies where: ``stage=S12:new probe=S11:used``, or ``stage=empty``. The controller follows
                       each substrate; it is ``new`` until the source's shutter has opened over it
``MOVE stage probe``   carry a sample; answered at once. From ``cassette`` comes a new substrate, to ``cassette`` goes
                       anything
``STATE?``             ``IDLE``, ``MOVING 42`` (seconds left), ``STOPPED text`` or ``FAULT 31 text``
``STOP``               halt the arm
``RESET``              leave the states STOPPED and FAULT, after somebody has looked
=====================  ===============================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Instrument, Pause
from sdl.devices.stubs import go, message
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, DeviceTimeout, LimitError

CASSETTE = "cassette"


class TransferRobot:
    """Driver of the robot.

    Parameters
    ----------
    transport
        The line to the controller.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time that one transfer may take, pumping and cooling included.

    Attributes
    ----------
    arm
        Activity: ``set((source, target))`` carries a sample.
    seat
        Activity: ``set("stage")`` and ``set("probe")`` say what is wanted there and do only what is missing for it: a
        new substrate on the stage, a film at the probe. What lies in the way goes back to the cassette.
    """

    def __init__(self, transport: Transport, *, name: str = "robot", timeout_s: float = 10_800.0) -> None:
        self.name = name
        self.parent = None
        self._line = Instrument(name, transport)
        self._timeout_s = timeout_s
        self.arm: Activity[tuple[str, str]] = Activity(
            f"{name}_arm",
            self._transfer,
            halt=self._halt,
            check=self._check_transfer,
            action_class="transfer",
            parent=self,
        )
        self.seat: Activity[str] = Activity(
            f"{name}_seat", self._provide, halt=self._halt, check=self._check_seat, action_class="transfer", parent=self
        )

    def load_substrate(self) -> MsgGenerator[None]:
        """Plan stub: bring a new substrate from the cassette to the stage, whatever lies there now."""
        yield from self.transfer(CASSETTE, "stage")

    def transfer(self, source: str, target: str) -> MsgGenerator[None]:
        """Plan stub: carry what lies at *source* to *target*. DeviceError if there is nothing, or no place for it."""
        yield from go(self.arm, (source, target), timeout=self._timeout_s + 60)

    def supply(self) -> MsgGenerator[None]:
        """Plan stub: see that a new substrate lies on the stage."""
        yield from go(self.seat, "stage", timeout=2 * self._timeout_s + 60)

    def fetch(self) -> MsgGenerator[None]:
        """Plan stub: see that the latest film lies at the probe."""
        yield from go(self.seat, "probe", timeout=2 * self._timeout_s + 60)

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the controller work again after a fault. Look at the arm first."""
        yield message("wait_for", None, [self._reset], timeout=60)

    async def places(self) -> dict[str, str]:
        """Return what lies where: ``S12:new``, ``S12:used``, or nothing."""
        answer = await self._line.ask("PLACES?")
        places = dict(part.split("=", 1) for part in answer.split() if "=" in part)
        if not {"stage", "probe"} <= places.keys():
            raise self._line.nonsense("PLACES?", answer, "stage=... probe=...")
        return {place: "" if sample == "empty" else sample for place, sample in places.items()}

    @staticmethod
    def _check_transfer(transfer: tuple[str, str]) -> None:
        source, target = transfer
        if source == target:
            raise LimitError(f"a transfer needs two places, got {source!r} twice")

    @staticmethod
    def _check_seat(seat: str) -> None:
        if seat not in {"stage", "probe"}:
            raise LimitError(f"the robot sees to the seats 'stage' and 'probe', got {seat!r}")

    def _provide(self, seat: str, pause: Pause) -> Coroutine[Any, Any, None]:
        return self._provide_substrate(pause) if seat == "stage" else self._provide_film(pause)

    async def _provide_substrate(self, pause: Pause) -> None:
        present = (await self.places())["stage"]
        if present.endswith(":new"):
            return
        if present:
            await self._transfer(("stage", CASSETTE), pause)
        await self._transfer((CASSETTE, "stage"), pause)

    async def _provide_film(self, pause: Pause) -> None:
        places = await self.places()
        if places["stage"].endswith(":used"):
            if places["probe"]:
                await self._transfer(("probe", CASSETTE), pause)
            await self._transfer(("stage", "probe"), pause)
        elif not places["probe"]:
            raise DeviceError(
                f"{self.name}: there is no film to measure, neither at the probe nor on the stage",
                hint="deposit one first",
            )

    async def _halt(self) -> None:
        await self._line.command("STOP")

    async def _reset(self) -> None:
        await self._line.command("RESET")

    async def _transfer(self, transfer: tuple[str, str], pause: Pause) -> None:
        source, target = transfer
        await self._line.command(f"MOVE {source} {target}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while (left := await self._seconds_left()) is not None:
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name}: no end of the transfer from {source} to {target}")
            if await pause.sleep(min(left + 0.5, 300.0)):
                raise DeviceError(f"{self.name} was stopped on the way from {source} to {target}")

    async def _seconds_left(self) -> float | None:
        """Return how long the arm will still move, None when it is idle. Raises DeviceError for a fault."""
        answer = await self._line.ask("STATE?")
        state, _, rest = answer.partition(" ")
        if state == "IDLE":
            return None
        if state in {"FAULT", "STOPPED"}:
            raise DeviceError(f"{self.name} stands still: {rest}", hint="look at the arm, then run robot.reset()")
        try:
            if state == "MOVING":
                return max(float(rest), 0.0)
        except ValueError:
            pass
        raise self._line.nonsense("STATE?", answer, "the state of the arm")
