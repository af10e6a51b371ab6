"""One at a time, on whichever event loop runs."""

from __future__ import annotations

import asyncio
from types import TracebackType
from weakref import WeakKeyDictionary


class Turns:
    """An ``asyncio.Lock`` that outlives its event loop.

    A station whose loop hung or died goes on with a new one, and so do the drivers. An ``asyncio.Lock`` belongs to the
    loop on which somebody first had to wait for it: on the next one every wait is a RuntimeError, that of ``stop`` too.
    Here each loop has a lock of its own, and who held that of a loop that died keeps nobody waiting. Two loops that
    live have no turns among them: a line belongs to one station.
    """

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def __aenter__(self) -> None:
        """Wait for the turn."""
        await self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()).acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the turn to the next one."""
        self._locks[asyncio.get_running_loop()].release()
