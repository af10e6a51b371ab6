"""Time is a seam: whatever waits, or wants to know the time, asks a clock that it was given.

:class:`WallClock` is the bench. :class:`~sdl.lab.virtual.VirtualClock` is simulation: its time jumps to the next timer
when nobody has anything left to do.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

CLOCK: ContextVar[Clock | None] = ContextVar("sdl_clock", default=None)
"""The clock of the step that is being executed; threads started by ``asyncio.to_thread`` inherit it."""


class Mailbox(Protocol[T]):
    """A queue from many threads to one. Putting is safe everywhere, inside the loop and in a signal handler too."""

    def put(self, item: T) -> None:
        """Add *item*."""
        ...

    def get(self, timeout: float | None = None) -> T | None:
        """Return the oldest item; None when there is none within *timeout* seconds of the clock."""
        ...


class Passage(Protocol):
    """The way of one job through the clock: admitted, begun, finished, delivered.

    A virtual clock needs all four to keep the order of things the same in every run; on the wall they do nothing.
    """

    async def begin(self) -> None:
        """Wait on the loop until it is this job's turn to begin."""
        ...

    def finish(self) -> None:
        """Note on the loop that the job has ended. Calling it again does nothing."""
        ...

    @contextmanager
    def deliver(self) -> Generator[None]:
        """Hand over the result inside this context: jobs deliver in the order in which they ended."""
        ...


class Clock(Protocol):
    """Where a laboratory's time comes from."""

    @property
    def is_virtual(self) -> bool:
        """Whether time is simulated."""
        ...

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop for one RunEngine, which starts it unless it runs already."""
        ...

    def close_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back a loop of :meth:`new_loop`: it is stopped when nobody else uses it, and its thread joined."""
        ...

    def mailbox(self) -> Mailbox[Any]:
        """Return a new mailbox. Time goes on while its :meth:`~Mailbox.get` waits."""
        ...

    def hold(self) -> None:
        """Keep virtual time from passing until :meth:`release`. Holds add up."""
        ...

    def release(self) -> None:
        """Take one hold back."""
        ...

    def lend(self) -> Callable[[], None]:
        """Hold time for something that ends in wall time, and return what gives the hold back."""
        ...

    def call_aside(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* in *seconds* on the running loop, for something that only looks on; return what cancels it.

        Virtual time does not pass for its sake: it is called when time gets there for somebody else's.
        """
        ...

    def admit(self) -> Passage:
        """Hold time for a job that was handed to a station, and give it its place in the order of jobs."""
        ...

    def advance_to(self, time: float) -> None:
        """Set a virtual clock to *time*, UTC seconds, unless it is later already. Nothing happens on the wall."""
        ...


def current_time() -> float:
    """Return UTC seconds by the clock of whoever asks.

    That is the running loop's clock; in a thread of ``asyncio.to_thread`` that of the step it belongs to; wall time
    everywhere else. Drivers take the timestamps of their readings from here.
    """
    try:
        utc = getattr(asyncio.get_running_loop(), "utc", None)
    except RuntimeError:
        clock = CLOCK.get()
        return time.time() if clock is None else clock.time()
    return time.time() if utc is None else float(utc())


def _nothing() -> None:
    pass


SIGNAL_PERIOD = 0.2
"""Wall seconds after which a waiting thread looks up: a signal that arrives just before a wait is handled only then."""


class WallMailbox(Mailbox[T]):
    """A mailbox in wall time."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()  # its put may interrupt itself: signal handlers use it

    def put(self, item: T) -> None:
        """Add *item*."""
        self._items.put(item)

    def get(self, timeout: float | None = None) -> T | None:
        """Return the oldest item; None when there is none within *timeout* seconds."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                return self._items.get(timeout=min(left, SIGNAL_PERIOD))
            except queue.Empty:
                if left <= SIGNAL_PERIOD:
                    return None


class WallPassage(Passage):
    """On the wall, jobs begin and end as they come."""

    async def begin(self) -> None:
        """Begin at once."""

    def finish(self) -> None:
        """Nothing to note."""

    @contextmanager
    def deliver(self) -> Generator[None]:
        """Deliver at once."""
        yield


class WallClock:
    """The time of the bench. Every RunEngine has a loop of its own."""

    is_virtual = False

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new ordinary loop."""
        return asyncio.new_event_loop()

    def close_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop *loop*, join its thread and close it."""
        stop_loop(loop)

    def mailbox(self) -> Mailbox[Any]:
        """Return a new mailbox."""
        return WallMailbox()

    def hold(self) -> None:
        """Nothing to hold."""

    def release(self) -> None:
        """Nothing to release."""

    def lend(self) -> Callable[[], None]:
        """Nothing to lend."""
        return _nothing

    def call_aside(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* in *seconds* on the running loop; return what cancels it."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel

    def admit(self) -> Passage:
        """Return a passage that stops nobody."""
        return WallPassage()

    def advance_to(self, time: float) -> None:
        """Wall time goes by itself."""


def thread_of(loop: asyncio.AbstractEventLoop, patience: float = 5.0) -> threading.Thread:
    """Return the thread that runs *loop*, which must be running.

    Raises ``queue.Empty`` when it does not answer within *patience* wall seconds: something blocks it.
    """
    found: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    loop.call_soon_threadsafe(lambda: found.put(threading.current_thread()))
    return found.get(timeout=patience)


def stop_loop(loop: asyncio.AbstractEventLoop, patience: float = 5.0) -> None:
    """Cancel what still runs on *loop*, stop it, join its thread and close it; *patience* in wall seconds."""
    if loop.is_running():
        _halt(loop, patience)
    if not loop.is_running() and not loop.is_closed():
        _bury(loop)
        loop.close()


def _bury(loop: asyncio.AbstractEventLoop) -> None:
    """Let the tasks of a loop that stopped by itself end; a few rounds are enough for those that do not wait."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    for _ in range(100):
        if not asyncio.all_tasks(loop):
            return
        loop.call_soon(loop.stop)
        loop.run_forever()


def _halt(loop: asyncio.AbstractEventLoop, patience: float) -> None:
    try:
        thread = thread_of(loop, patience)
    except queue.Empty:  # something blocks the loop's thread, which nobody can end
        return
    with suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(_wind_up(loop), loop).result(patience)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(patience)


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
