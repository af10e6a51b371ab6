"""Threads for what stops something: it waits for none of those that look, rehearse or draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from sdl.errors import LabError

T = TypeVar("T")

THREADS = 4


class Busy(LabError):
    """Somebody else has it done just now."""

    retry_after = 5
    """Seconds after which to ask again."""


class Urgent:
    """Has something done at once. Who may stop everything has one, who may abort a campaign of their own another."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(THREADS)

    async def do(self, call: Callable[[], T]) -> T:
        """Return what *call* returns, or raise what it raises."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)
