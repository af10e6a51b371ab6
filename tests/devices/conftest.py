"""Running coroutines in virtual time, and an instrument that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from sdl.lab.virtual import VirtualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def virtually() -> Iterator[Run]:
    """Run a coroutine in virtual time and return what it returns."""
    clock = VirtualClock()
    clock.release()  # nobody outside the loop takes part
    loop = clock.new_loop()
    asyncio.set_event_loop(loop)
    yield loop.run_until_complete
    asyncio.set_event_loop(None)
    clock.close_loop(loop)
