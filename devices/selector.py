"""What stands at one of a few named places: a valve, a switch, a gas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from bluesky.protocols import Reading, Status
from event_model.documents.event_descriptor import DataKey

from sdl.devices.driver import Activity, Pause
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.lab.actions import ActionClass
from sdl.lab.clock import current_time
from sdl.problem.value import listing


class Selector:
    """Something that is set to a name and read back (Movable, Readable, Checkable, Stoppable).

    Parameters
    ----------
    name
        Of the device, and of its one data key.
    choices
        The names.
    get
        Asks the instrument where it is.
    put
        Tells it where to go.
    source
        For the description.
    halt
        Stops it on its way, where the instrument can do that.
    timeout_s
        After which it has failed.
    poll_s
        Time between two questions.
    safe_action
        What it does when an interlock trips: see :mod:`sdl.lab.safe_actions`.
    """

    action_classes: ClassVar[Mapping[str, ActionClass]] = {"set": ActionClass.SET_ABSOLUTE}

    def __init__(
        self,
        name: str,
        *,
        choices: Sequence[str],
        get: Callable[[], Awaitable[str]],
        put: Callable[[str], Awaitable[None]],
        source: str,
        halt: Callable[[], Awaitable[None]] | None = None,
        timeout_s: float = 10.0,
        poll_s: float = 0.1,
        safe_action: str = "stop_now",
        parent: object | None = None,
    ) -> None:
        self.name = name
        self.choices = tuple(choices)
        self.timeout_s = timeout_s
        self.poll_s = poll_s
        self.safe_action = safe_action
        self.parent = parent
        self._get = get
        self._put = put
        self._source = source
        self._move: Activity[str] = Activity(
            name,
            self._go,
            halt=halt or _nothing,
            check=self.check_value,
            action_class=ActionClass.SET_ABSOLUTE,
            parent=parent,
        )

    def check_value(self, value: str) -> None:
        """Raise LimitError unless *value* is one of the choices."""
        if value not in self.choices:
            raise LimitError(f"{self.name} was told {value!r}", hint=f"it knows {listing(self.choices)}")

    def set(self, value: str) -> Status:
        """Begin to go to *value*. Raises LimitError, and DeviceError while it is still on its way."""
        return self._move.set(value)

    async def stop(self, success: bool = True) -> None:
        """End the wait, and stop the instrument where it can be stopped."""
        await self._move.stop(success)

    async def value(self) -> str:
        """Ask the instrument. Raises DeviceError for a place that is none of the choices."""
        found = await self._get()
        if found not in self.choices:
            raise DeviceError(f"{self.name} is at {found!r}", hint=f"it knows {listing(self.choices)}")
        return found

    async def read(self) -> dict[str, Reading[str]]:
        """Return a fresh reading."""
        return {self.name: {"value": await self.value(), "timestamp": current_time()}}

    def describe(self) -> dict[str, DataKey]:
        """Return the data key: dtype, shape, source, choices."""
        return {self.name: {"dtype": "string", "shape": [], "source": self._source, "choices": list(self.choices)}}

    async def _go(self, value: str, pause: Pause) -> None:
        await self._put(value)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while (now := await self._get()) != value:
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name} is at {now!r}, {self.timeout_s:g} s after it was told {value!r}")
            if await pause.sleep(self.poll_s):
                raise DeviceError(f"{self.name} was stopped at {now!r}, on its way to {value!r}")


async def _nothing() -> None:
    """Leave it: it cannot be stopped on its way."""
