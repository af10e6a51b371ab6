"""A thread that does, in order, what takes as long as a disk takes: recording what a plan does.

The loop of a station never waits for a disk: an abort needs it. Documents are handed over and not waited for, several
at a time; the plan waits only when too many are under way. An act that may not be repeated waits until it is recorded,
but on the plan's side, with the loop free after two milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

LINGER = 0.01
"""Wall seconds for which documents are gathered before they are recorded, while nobody waits for them."""

BATCH = 64
"""So many are recorded at once without lingering."""

BACKLOG = 256
"""Documents that may be under way before a plan waits for them."""

_LOG = logging.getLogger("sdl.lab")

Call = Callable[[], None]


class Scribe:
    """Calls what it is given, one after the other, on a thread that it starts with the first call.

    Parameters
    ----------
    name
        Names the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._calls: list[tuple[Call, Future[None] | None]] = []
        self._n_working = 0
        self._is_urgent = False
        self._is_resting = True
        self._is_over = False
        self._has_left = False
        self._thread: threading.Thread | None = None

    def note(self, call: Call) -> None:
        """Have *call* made soon. It must not raise: nobody would hear of it."""
        with self._changed:
            if not self._has_left:
                self._calls.append((call, None))
                if self._is_resting or len(self._calls) == BATCH:
                    self._rouse()
                return
        _make(call, None)

    def submit(self, call: Call) -> Future[None]:
        """Have *call* made at once, after what was noted before; the future says when, and what it raised.

        When the thread has ended, the caller makes it: a plan that outlives its station still says what it did.
        """
        answer: Future[None] = Future()
        with self._changed:
            if not self._has_left:
                self._calls.append((call, answer))
                self._is_urgent = True
                self._rouse()
                return answer
        _make(call, answer)
        return answer

    async def keep_up(self) -> None:
        """Wait where so much is under way that a plan should not say more."""
        if len(self._calls) + self._n_working > BACKLOG:
            await ended(self.submit(_nothing))

    def drain(self) -> None:
        """Wait until everything is done that was given so far. Not from the loop."""
        with self._changed:
            is_idle = not self._calls and not self._n_working
        if not is_idle:
            self.submit(_nothing).result()

    def end(self, patience: float) -> None:
        """End the thread when it has done what it was given; one that hangs is left after *patience* wall seconds."""
        with self._changed:
            self._is_over = True
            self._rouse()
        if self._thread is not None:
            self._thread.join(patience)

    def _rouse(self) -> None:
        """Wake the thread; start it where there is none. Called with the lock."""
        self._is_resting = False
        if self._thread is None and self._calls:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            calls = self._next()
            if not calls:
                return
            for call, answer in calls:
                _make(call, answer)
                self._n_working -= 1

    def _next(self) -> list[tuple[Call, Future[None] | None]]:
        """Return what is to be done next; nothing when it is over."""
        with self._changed:
            self._is_resting = not self._calls
            self._changed.wait_for(lambda: self._calls or self._is_over)
            self._is_resting = False
            if not self._is_urgent:
                self._changed.wait_for(lambda: self._is_urgent or self._is_over or len(self._calls) >= BATCH, LINGER)
            calls, self._calls, self._is_urgent = self._calls, [], False
            self._n_working = len(calls)
            self._has_left = not calls
            return calls


def _nothing() -> None:
    pass


async def ended(future: Future[None]) -> None:
    """Wait until *future* is done, and leave it alone when the waiting is cancelled."""
    loop, is_done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop was closed a moment ago
            loop.call_soon_threadsafe(is_done.set)

    future.add_done_callback(tell)
    await is_done.wait()


def _make(call: Call, answer: Future[None] | None) -> None:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 # the border: who waits for the answer gets it, and the thread goes on
        if answer is None:
            _LOG.exception("what a station was to record in passing raised")
        else:
            answer.set_exception(error)
    else:
        if answer is not None:
            answer.set_result(None)
