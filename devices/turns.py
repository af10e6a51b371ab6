"""One at a time, on whichever event loop runs."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Turns:
    """An ``asyncio.Lock`` that outlives its event loop.

    A station whose loop hung or died goes on with a new one, and so do the drivers. An ``asyncio.Lock`` belongs to the
    loop on which somebody first had to wait for it: on the next one every wait is a RuntimeError, that of ``stop`` too.
    Here a new loop begins with a lock that nobody holds, since who held it ended with the old loop.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        """Wait for the turn."""
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop, self._lock = loop, asyncio.Lock()
        await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the turn to the next one."""
        self._lock.release()
