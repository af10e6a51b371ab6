"""Virtual time: a month of a laboratory in seconds, the same in every run.

All RunEngines of a virtual clock share one asyncio loop. Its time stands still while anything is left to do, and jumps
to the next timer when nothing is. Work outside the loop (a planner thinking, a worker between two jobs) *holds* time,
so that how fast it goes makes no difference.

Results of threads (``asyncio.to_thread``) come back when the loop has nothing else ready, in the order in which the
threads were started. When there are none to wait for, and nobody holds, the clock takes the first of these that there
is:

1. the earliest admitted job that waits to begin, one at a time: jobs that were handed over at one instant begin in the
   order in which they were handed over, each after the one before has come to rest;
2. the first waiting mailbox that has something: its reader wakes, and holds;
3. the next timer or the next reader's deadline, whichever comes first: time jumps there. What was asked for by
   :meth:`VirtualClock.call_aside` and is due before that moment comes first; by itself it makes no time pass.

Only these parts of asyncio are relied on beyond its documentation: the heap ``_scheduled``, its timer handles' flag
``_scheduled``, and ``_clock_resolution``.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
import queue
import selectors
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, TypeVarTuple

from sdl.errors import LabError
from sdl.lab.clock import SIGNAL_PERIOD, Mailbox, Passage, WallClock, stop_loop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

RESOLUTION = 1e-6
"""Seconds: timers closer together than this fire together. It must be above the spacing of floats at a century."""

PATIENCE = 1.0
"""Wall seconds of standstill after which something that ends in wall time is not waited for any longer, because it may
itself wait for virtual time, or for another thread."""


class _Timer(asyncio.TimerHandle):
    """A timer that knows when it was made: timers for the same moment fire in that order."""

    __slots__ = ("order",)

    order: int

    def put_in(self, order: int) -> None:
        """Note that it stands in its loop's heap, as the timer number *order*."""
        self.order = order
        self._scheduled = True

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _Timer):
            return (self.when(), self.order) < (other.when(), other.order)
        return NotImplemented


class _Selector(selectors.DefaultSelector):
    """Where an ordinary loop would sleep, ask what virtual time does."""

    rest: Callable[[], float | None]
    """Called when nothing is ready; returns how many wall seconds to wait for news, None for as long as it takes."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. asyncio passes zero when callbacks are ready, and something else when none is."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        return super().select(0) or super().select(self.rest())


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is that of a :class:`VirtualClock`."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: VirtualClock) -> None:
        selector = _Selector()
        selector.rest = self._rest
        super().__init__(selector)
        self._clock = clock
        self._clock_resolution = RESOLUTION
        self._orders = itertools.count()

    def time(self) -> float:
        """Return virtual seconds since the clock's start."""
        return self._clock.monotonic()

    def utc(self) -> float:
        """Return virtual UTC seconds."""
        return self._clock.time()

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call *callback* at the virtual second *when*."""
        timer = _Timer(when, callback, args, self, context)
        timer.put_in(next(self._orders))
        heapq.heappush(self._scheduled, timer)
        return timer

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run *func* in a thread. Time stands still until it is done, however long that takes."""
        call = _Call(super().run_in_executor(executor, func, *args), self.create_future())
        self._clock.wait_for_thread(call)
        return call.outer

    def _rest(self) -> float | None:
        next_timer = self._scheduled[0].when() if self._scheduled else math.inf
        return self._clock.rest(next_timer if next_timer < math.inf else None)  # what never comes is not waited for


@dataclass(eq=False)
class _Call(Generic[T]):
    """Work in a thread: its own future, and the one that is waited for."""

    inner: asyncio.Future[T]
    outer: asyncio.Future[T]

    def deliver(self) -> None:
        if self.outer.done():
            return
        if self.inner.cancelled():
            self.outer.cancel()
        elif (error := self.inner.exception()) is not None:
            self.outer.set_exception(error)
        else:
            self.outer.set_result(self.inner.result())


class _Patience:
    """Tells when nothing has changed for :data:`PATIENCE` wall seconds."""

    def __init__(self) -> None:
        self._state: object = None
        self._until = 0.0

    def is_over(self, state: object) -> bool:
        now = WallClock().monotonic()
        if state != self._state:
            self._state, self._until = state, now + PATIENCE
        return now >= self._until


@dataclass(eq=False)
class _Reader:
    """A thread that waits at a mailbox."""

    has_post: Callable[[], bool]
    deadline: float | None
    door: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue[None])

    def wait(self) -> None:
        while True:
            with suppress(queue.Empty):
                return self.door.get(timeout=SIGNAL_PERIOD)

    def is_late(self, now: float) -> bool:
        return self.deadline is not None and self.deadline <= now


class VirtualClock:
    """Time that passes only while everybody waits for it.

    The thread that makes the clock holds time from then on; it lets go while it waits at a mailbox. Another thread that
    wants to wait at a mailbox takes a hold of its own first.

    Parameters
    ----------
    start
        UTC seconds at which it starts: 2026-01-01T00:00Z unless told otherwise.
    """

    is_virtual = True

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._start = start
        self._now = 0.0
        self._lock = threading.RLock()
        # Appending to a deque and popping from it cannot be cut in two, so a signal handler may hold and release.
        self._holds: deque[None] = deque([None])
        self._loans: set[object] = set()
        self._calls: deque[_Call[Any]] = deque()
        self._patience = _Patience()
        self._readers: list[_Reader] = []
        self._gates: list[tuple[int, asyncio.Future[None]]] = []
        self._aside: list[tuple[float, int, Callable[[], None]]] = []
        self._admissions = itertools.count()
        self._places = itertools.count()
        self._delivered = 0
        self._delivery = threading.Condition()
        self._loop: VirtualLoop | None = None
        self._n_users = 0

    def __repr__(self) -> str:
        return f"VirtualClock(now={self.time():.3f}, holds={len(self._holds)})"

    def time(self) -> float:
        """Return virtual seconds since 1970-01-01 UTC."""
        return self._start + self._now

    def monotonic(self) -> float:
        """Return virtual seconds since the clock's start."""
        return self._now

    def advance_to(self, time: float) -> None:
        """Set the clock to *time*, UTC seconds, unless it is later already."""
        with self._lock:
            self._now = max(self._now, time - self._start)

    # --- the loop -------------------------------------------------------------------------------------------------

    def new_loop(self) -> VirtualLoop:
        """Return the one loop that all users of this clock share."""
        with self._lock:
            if self._loop is None:
                self._loop = VirtualLoop(self)
            self._n_users += 1
            return self._loop

    def close_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give *loop* back; after the last user, it is stopped and closed, and the next one gets a new one."""
        with self._lock:
            if loop is not self._loop:
                return
            self._n_users -= 1
            if self._n_users:
                return
            self._loop = None
        stop_loop(loop)
        self._gates.clear()
        self._calls.clear()
        self._aside.clear()

    # --- who holds ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keep time from passing until :meth:`release`. Holds add up."""
        self._holds.append(None)

    def release(self) -> None:
        """Take one hold back."""
        try:
            self._holds.pop()
        except IndexError:
            raise LabError("virtual time was released more often than held") from None
        if not self._holds:
            self.poke()

    def lend(self) -> Callable[[], None]:
        """Hold time for something that ends in wall time, and return what gives the hold back.

        Where it does not come back within :data:`PATIENCE` wall seconds of standstill, time goes on without it.
        """
        token = object()
        with self._lock:
            self._loans.add(token)

        def give_back() -> None:
            with self._lock:
                self._loans.discard(token)
            self.poke()

        return give_back

    def wait_for_thread(self, call: _Call[Any]) -> None:
        """Hold time until *call* is done, and deliver it in its turn. Called on the loop."""
        self._calls.append(call)
        call.outer.add_done_callback(lambda _: self._forget(call))

    def _forget(self, call: _Call[Any]) -> None:
        with self._lock:
            if call in self._calls:  # nobody waits for it any more
                self._calls.remove(call)
                call.inner.cancel()

    def poke(self) -> None:
        """Make the clock look again at what there is to do."""
        loop = self._loop
        if loop is not None and loop.is_running():
            with suppress(RuntimeError):  # it was closed a moment ago
                loop.call_soon_threadsafe(_nothing)
        else:
            self.rest(None)

    # --- what comes next ------------------------------------------------------------------------------------------

    def rest(self, next_timer: float | None) -> float | None:
        """Decide what happens now that nothing is ready; return how long, in wall seconds, to wait for news."""
        with self._lock:
            if self._calls:
                return self._serve_calls()
            if self._holds:
                return None
            if self._loans and not self._patience.is_over(frozenset(self._loans)):
                return PATIENCE
            self._loans.clear()
            if self._open_gate():
                return 0.0
            return self._wake_or_jump(next_timer)

    def _serve_calls(self) -> float | None:
        done = [call for call in self._calls if call.inner.done()]
        if not done:
            return None
        if done[0] is not self._calls[0] and not self._patience.is_over(tuple(self._calls)):
            return PATIENCE
        self._calls.remove(done[0])
        done[0].deliver()
        return 0.0

    def _open_gate(self) -> bool:
        while self._gates:
            _, gate = heapq.heappop(self._gates)
            if not gate.done():
                gate.set_result(None)
                return True
        return False

    def _wake_or_jump(self, next_timer: float | None) -> float | None:
        for reader in self._readers:
            if reader.has_post():
                self._wake(reader)
                return None
        moments = [reader.deadline for reader in self._readers if reader.deadline is not None]
        if next_timer is not None:
            moments.append(next_timer)
        if not moments:
            return None
        if self._call_due(min(moments)):
            return 0.0
        self._now = max(self._now, min(moments))
        if next_timer is not None and next_timer <= self._now:
            return 0.0
        self._wake(next(reader for reader in self._readers if reader.is_late(self._now)))
        return None

    def call_aside(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* on the loop in *seconds*, if time gets there for others' sake; return what cancels it."""
        entry = (self._now + max(seconds, RESOLUTION), next(self._admissions), callback)
        with self._lock:
            heapq.heappush(self._aside, entry)
        return lambda: self._drop_aside(entry)

    def _drop_aside(self, entry: tuple[float, int, Callable[[], None]]) -> None:
        with self._lock:
            if entry in self._aside:
                self._aside.remove(entry)
                heapq.heapify(self._aside)

    def _call_due(self, moment: float) -> bool:
        loop = self._loop
        if not self._aside or self._aside[0][0] > moment or loop is None or not loop.is_running():
            return False
        when, _, callback = heapq.heappop(self._aside)
        self._now = max(self._now, when)
        loop.call_soon(callback)
        return True

    def _wake(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        self.hold()
        reader.door.put(None)

    # --- mailboxes and jobs ---------------------------------------------------------------------------------------

    def mailbox(self) -> Mailbox[Any]:
        """Return a new mailbox. Its reader holds time, except while it waits."""
        return VirtualMailbox(self)

    def wait(self, has_post: Callable[[], bool], timeout: float | None) -> None:
        """Let time go on until *has_post* or until *timeout* clock seconds have passed. The caller holds time."""
        deadline = None if timeout is None else self._now + max(0.0, timeout)
        reader = _Reader(has_post, deadline)
        with self._lock:
            self._readers.append(reader)
        self.release()
        try:
            reader.wait()
        except BaseException:  # a signal handler raised: take the hold back, unless it was given a moment ago
            with self._lock:
                if reader in self._readers:
                    self._readers.remove(reader)
                    self.hold()
            raise

    def admit(self) -> Passage:
        """Hold time for a job that was handed to a station, and give it its place in the order of jobs."""
        self.hold()
        return _VirtualPassage(self, next(self._admissions))

    async def gate(self, order: int) -> None:
        """Give the job's hold back and wait, on the loop, until the job with this *order* may begin."""
        opened = asyncio.get_running_loop().create_future()
        heapq.heappush(self._gates, (order, opened))
        self.release()
        await opened

    def next_place(self) -> int:
        """Return the next place in the order of deliveries."""
        return next(self._places)

    @contextmanager
    def delivery(self, place: int) -> Generator[None]:
        """Wait until all earlier places have delivered; the next may after this context."""
        with self._delivery:
            self._delivery.wait_for(lambda: self._delivered == place)
        try:
            yield
        finally:
            with self._delivery:
                self._delivered += 1
                self._delivery.notify_all()


class VirtualMailbox(Mailbox[T], Generic[T]):
    """A mailbox in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._items: deque[T] = deque()

    def put(self, item: T) -> None:
        """Add *item*."""
        self._items.append(item)
        self._clock.poke()

    def get(self, timeout: float | None = None) -> T | None:
        """Return the oldest item; None when there is none within *timeout* clock seconds."""
        if not self._items:
            self._clock.wait(lambda: bool(self._items), timeout)
        return self._items.popleft() if self._items else None


class _VirtualPassage(Passage):
    """Holds time for its job whenever the job is outside the loop."""

    def __init__(self, clock: VirtualClock, order: int) -> None:
        self._clock = clock
        self._order = order
        self._is_holding = True
        self._place: int | None = None

    async def begin(self) -> None:
        """Let go, and wait until it is this job's turn."""
        if self._place is not None:  # it was aborted before it began
            return
        self._is_holding = False
        await self._clock.gate(self._order)

    def finish(self) -> None:
        """Hold again, and draw the place in the order of deliveries."""
        if self._place is None:
            if not self._is_holding:
                self._clock.hold()
                self._is_holding = True
            self._place = self._clock.next_place()

    @contextmanager
    def deliver(self) -> Generator[None]:
        """Wait for the place drawn, and let go of time afterwards."""
        self.finish()
        assert self._place is not None
        try:
            with self._clock.delivery(self._place):
                yield
        finally:
            self._clock.release()


def _nothing() -> None:
    pass
