"""Instruments that are given one task at a time, and say how it goes.

Most machines of a laboratory are of this kind: a dispenser, a robot, a mill, a chromatograph. Beside its own commands,
each of which begins a task and is answered ``OK`` at once, such an instrument knows:

==========  ==========================================================================================================
``STATE?``  ``IDLE``, ``BUSY 42`` (seconds left, as far as it knows), ``STOPPED text`` or ``FAULT 31 text``
``STOP``    end the task where it is
``RESET``   leave the states STOPPED and FAULT, after somebody has looked
==========  ==========================================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Instrument, Pause
from sdl.devices.stubs import message
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.lab.actions import ActionClass

T = TypeVar("T")

LONGEST_POLL_S = 600.0
"""How long a driver waits between two questions, however long the task takes."""


class TaskInstrument(Instrument):
    """What a driver says to an instrument of this kind."""

    async def perform(self, command: str, pause: Pause, *, timeout_s: float) -> None:
        """Give *command*, wait until the task is done.

        Raises
        ------
        DeviceError
            The instrument refuses, has a fault, or was stopped.
        DeviceTimeout
            The task is not done after *timeout_s*.
        """
        await self.command(command)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (left := await self.seconds_left()) is not None:
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name}: {command!r} is not done after {timeout_s:g} s")
            if await pause.sleep(min(left + 0.1, LONGEST_POLL_S)):
                raise DeviceError(f"{self.name} was stopped during {command!r}")

    async def seconds_left(self) -> float | None:
        """Return how long the task will take, None when there is none. Raises DeviceError for a fault."""
        answer = await self.ask("STATE?")
        state, _, rest = answer.partition(" ")
        if state == "IDLE":
            return None
        if state in {"FAULT", "STOPPED"}:
            raise DeviceError(f"{self.name} stands still: {rest}", hint=f"look at it, then run {self.name}.reset()")
        try:
            if state == "BUSY":
                return max(float(rest), 0.0)
        except ValueError:
            pass
        raise self.nonsense("STATE?", answer, "IDLE, BUSY, STOPPED or FAULT")

    async def halt(self) -> None:
        """Stop the task."""
        await self.command("STOP")

    def activity(
        self,
        name: str,
        command: Callable[[T], str],
        *,
        check: Callable[[T], None],
        action_class: ActionClass | str,
        timeout_s: float,
        safe_action: str = "stop_now",
        parent: object | None = None,
    ) -> Activity[T]:
        """Return the activity that gives the *command* made of its value, and waits for its end."""

        async def work(value: T, pause: Pause) -> None:
            await self.perform(command(value), pause, timeout_s=timeout_s)

        return Activity(
            f"{self.name}_{name}",
            work,
            halt=self.halt,
            check=check,
            action_class=action_class,
            safe_action=safe_action,
            parent=parent,
        )

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the instrument work again after a fault. Look at it first."""
        yield message("wait_for", None, [lambda: self.command("RESET")], timeout=60)


def check_name(name: object, what: str) -> None:
    """Raise LimitError unless *name* is one word that a line can carry."""
    if not isinstance(name, str) or not name or not name.isascii() or any(letter in " =,\r\n" for letter in name):
        raise LimitError(f"{what} has one word for a name, got {name!r}", hint='without spaces, "=" and ","')
