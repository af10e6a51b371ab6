"""Stopping devices: at once, side by side, and whatever else hangs.

An abort needs no planner, no journal and no lock. It tells the devices themselves, before the plan is even cancelled: a
``stop`` that is a coroutine as a task of its own on the loop; a plain ``stop`` on the wall from a thread of its own, so
that one that hangs keeps nobody waiting, and a loop that hangs does not either. (In virtual time, where nothing may
depend on the pace of threads, on the loop.)
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from sdl.lab.clock import Clock
from sdl.lab.envelope import tree
from sdl.lab.interlocks import Reaction
from sdl.lab.signals import whereabouts

STOP_TIMEOUT = 10.0
"""Clock seconds that a device may take to stop before a plan's end goes on without it."""

RAMP_PERIOD = 10.0
"""Clock seconds between two set-points of a ramp, at most."""

RAMP_PATIENCE = 600.0
"""Clock seconds for which a device that is to ramp, and does not say where it is, is asked again."""

BREATH = 0.05
"""Clock seconds that a stopped move gets to end."""

_LOG = logging.getLogger("sdl.lab")


def stoppable(devices: Mapping[str, object]) -> tuple[tuple[str, Any], ...]:
    """Return everything below *devices* that has a ``stop``, with its dotted name."""
    found = {id(device): (dotted, device) for name, top in devices.items() for dotted, device in tree(name, top)}
    return tuple(pair for pair in found.values() if callable(getattr(pair[1], "stop", None)))


def is_slow(device: Any) -> bool:
    """Tell whether the device's ``stop`` is a coroutine, which only its loop can run."""
    return inspect.iscoroutinefunction(device.stop)


def stop_plainly(name: str, device: Any) -> None:
    """Stop a device whose ``stop`` is a plain function."""
    try:
        device.stop(success=False)
    except Exception:  # noqa: BLE001 # the others are to be stopped all the same
        _LOG.exception("%s did not stop", name)


async def stop_slowly(name: str, device: Any) -> None:
    """Stop a device whose ``stop`` is a coroutine, or returns something to wait for."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            answer: object = device.stop(success=False)
            if inspect.isawaitable(answer):
                await cast("Awaitable[object]", answer)
    except Exception:  # noqa: BLE001 # the others are to be stopped all the same
        _LOG.exception("%s did not stop", name)


async def stop_touched(devices: Iterable[object], *, is_virtual: bool) -> None:
    """Stop what an aborted plan has moved, side by side; what has not stopped in time is left."""
    waits: list[Awaitable[None]] = []
    for device in devices:
        if not callable(getattr(device, "stop", None)):
            continue
        name = str(getattr(device, "name", "")) or type(device).__name__
        if is_slow(device) or is_virtual:
            waits.append(stop_slowly(name, device))
        else:
            waits.append(_stopped_by_thread(name, device))
    await asyncio.gather(*waits)


async def _stopped_by_thread(name: str, device: Any) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def stop() -> None:
        stop_plainly(name, device)
        with suppress(RuntimeError):  # it was closed a moment ago
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=stop, name=f"sdl-stop-{name}", daemon=True).start()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await done.wait()
    except TimeoutError:
        _LOG.error("%s has not stopped within %g s, and is not waited for", name, STOP_TIMEOUT)


class Stopper:
    """A thread that has nothing to do but to stop devices, for one station on the wall.

    Parameters
    ----------
    station
        Names the threads.
    look
        Called about every *period* wall seconds, when nothing else is to do: it sees a loop that hangs.
    """

    def __init__(self, station: str, look: Callable[[], None], period: Callable[[], float | None]) -> None:
        self._station = station
        self._look = look
        self._period = period
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"sdl-{station}-stop", daemon=True)
        self._thread.start()

    def order(self, what: Callable[[], None]) -> None:
        """Have *what* done at once. Takes no lock: a signal handler may call it."""
        self._orders.put(what)

    def stop_plainly(self, targets: Iterable[tuple[str, Any]]) -> None:
        """Stop each of *targets* from a thread of its own. Called on the stopper's thread."""
        for name, device in targets:
            threading.Thread(
                target=stop_plainly, args=(name, device), name=f"sdl-{self._station}-stop-{name}", daemon=True
            ).start()

    def end(self) -> None:
        """End the thread, after what it was told before."""
        self._orders.put(None)
        self._thread.join(STOP_TIMEOUT)

    def _work(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=self._period())
            except queue.Empty:
                order = self._look
            if order is None:
                return
            try:
                order()
            except Exception:  # noqa: BLE001 # the next order is to be heard
                _LOG.exception("station %s was to be made safe", self._station)


class SafeActions:
    """Does what devices declare as safe, on their loop. Aborts do not end it."""

    def __init__(self, clock: Clock, on_settled: Callable[[], None]) -> None:
        self._clock = clock
        self._on_settled = on_settled
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a device is still on its way to be safe."""
        return bool(self._tasks)

    def begin(self, reaction: Reaction, start: Callable[[], float | None], *, is_moving: bool) -> None:
        """Have one device act. *start* gives the set-point that a ramp begins at; None: the device is asked."""
        task = asyncio.get_running_loop().create_task(
            self._act(reaction, start, is_moving=is_moving), name=f"{reaction.name} {reaction.action.kind}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def end(self) -> None:
        """Leave everything as it is. Called on the loop."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("%s failed", task.get_name(), exc_info=error)
        if not self._tasks:
            self._on_settled()

    async def _act(self, reaction: Reaction, start: Callable[[], float | None], *, is_moving: bool) -> None:
        action, device = reaction.action, reaction.device
        if (action.kind == "stop_now" or is_moving) and callable(getattr(device, "stop", None)):
            await stop_slowly(reaction.name, device)
        if action.value is None:
            return
        if action.rate is not None:
            begin = await self._beginning(reaction, start)
            if begin is None:
                return
            await self._ramp(reaction, begin, action.value, action.rate)
        await self._send(reaction, action.value, 0.0)

    async def _beginning(self, reaction: Reaction, start: Callable[[], float | None]) -> float | None:
        """Return where a ramp begins. A device that does not say is asked again: it is never sent on faster."""
        deadline = self._clock.monotonic() + RAMP_PATIENCE
        while (known := start()) is None and (known := await whereabouts(reaction.name, reaction.device)) is None:
            if self._clock.monotonic() >= deadline:
                _LOG.error(
                    "%s is left as it is: it has not said for %g s from where to ramp down",
                    reaction.name,
                    RAMP_PATIENCE,
                )
                return None
            await asyncio.sleep(RAMP_PERIOD)
        return known

    async def _ramp(self, reaction: Reaction, begin: float, end: float, rate: float) -> None:
        """Send set-points from *begin* to *end*, by time and not by arrival: a broken readback must not stall it."""
        seconds = abs(begin - end) / rate
        n = max(1, int(seconds / RAMP_PERIOD) + 1)
        for k in range(1, n):
            await self._send(reaction, begin + (end - begin) * k / n, seconds / n)

    async def _send(self, reaction: Reaction, value: float, seconds: float) -> None:
        """Send the device to *value* and wait *seconds*; where it is busy with the last set-point, stop that first."""
        try:
            try:
                reaction.device.set(value)
            except Exception:  # noqa: BLE001 # most refuse while they are busy; the second try says what is wrong
                await stop_slowly(reaction.name, reaction.device)
                await asyncio.sleep(BREATH)
                reaction.device.set(value)
        except Exception:  # noqa: BLE001 # the next set-point may be taken
            _LOG.exception("%s cannot be sent to %g, where it is safe", reaction.name, value)
        await asyncio.sleep(seconds)
