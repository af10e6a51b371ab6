"""A motor axis in the manner of the EPICS motor record: set-point, readback, done moving, limits, velocity, backlash.

The controller has several axes and talks in lines whose words are the fields of the record; see
:mod:`sdl.devices.driver` for ``OK`` and ``ERR``:

==================  ==================================================================================================
``VAL pitch 12.5``  go to 12.5; answered at once
``RBV? pitch``      where it is
``DMOV? pitch``     ``1`` when it is done moving, else ``0`` and the seconds left: ``0 1.35``
``STOP pitch``      stop
==================  ==================================================================================================

The record's ``BDST`` is done by the driver here: where *backlash* is given, a move downwards goes that much too far and
comes back, so that every position is reached from below.
"""

from __future__ import annotations

import asyncio

from sdl.devices.driver import Instrument, Knob, Limits, Pause
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, DeviceTimeout


class Motor(Knob):
    """Driver of one axis (Movable, Readable, Locatable, Checkable, Stoppable).

    Parameters
    ----------
    transport
        The line to the controller, which several axes may share.
    axis
        Its name there.
    name
        Of the device and its data key.
    unit
        Of positions.
    limits
        The soft limits ``LLM`` and ``HLM``.
    tolerance
        How far from the set-point the readback may be in the end: the retry dead-band.
    backlash
        By how much a move downwards goes too far first; 0 for none.
    settle_s
        How long the driver waits after a move, for vibrations to die.
    timeout_s
        After which a move has failed.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        axis: str,
        name: str,
        unit: str,
        limits: Limits,
        tolerance: float,
        backlash: float = 0.0,
        settle_s: float = 0.1,
        timeout_s: float = 120.0,
        safe_action: str = "stop_now",
        parent: object | None = None,
    ) -> None:
        line = Instrument(name, transport)
        super().__init__(
            name,
            instrument=line,
            question=f"RBV? {axis}",
            setter=f"VAL {axis} {{:.8g}}",
            stopper=f"STOP {axis}",
            unit=unit,
            limits=limits,
            tolerance=tolerance,
            timeout_s=timeout_s,
            safe_action=safe_action,
            parent=parent,
        )
        self.axis = axis
        self.backlash = backlash
        self.settle_s = settle_s

    async def _go(self, value: float, pause: Pause) -> None:
        target = float(value)
        if self.backlash and target < (self.setpoint if self.setpoint is not None else await self.value()):
            await self._move_to(target - self.backlash, pause)
        await self._move_to(target, pause)
        self.setpoint = target
        if self.settle_s and await pause.sleep(self.settle_s):
            raise DeviceError(f"{self.name} was stopped while it settled at {target:g} {self.unit}")
        readback = await self.value()
        if abs(readback - target) > self.tolerance:
            raise DeviceError(
                f"{self.name} is at {readback:g} {self.unit} after a move to {target:g}, "
                f"its dead-band is {self.tolerance:g} {self.unit}",
                hint="does it slip, or touch something?",
            )

    async def _move_to(self, target: float, pause: Pause) -> None:
        await self._instrument.command(self._setter.format(target))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while (left := await self._seconds_left()) is not None:
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name} still moves {self.timeout_s:g} s after it was told {target:g}")
            if await pause.sleep(left + 0.01):
                raise DeviceError(f"{self.name} was stopped on its way to {target:g} {self.unit}")

    async def _seconds_left(self) -> float | None:
        question = f"DMOV? {self.axis}"
        answer = await self._instrument.ask(question)
        done, _, rest = answer.partition(" ")
        if done == "1":
            return None
        try:
            if done == "0":
                return max(float(rest), 0.0)
        except ValueError:
            pass
        raise self._instrument.nonsense(question, answer, "1, or 0 and seconds")
