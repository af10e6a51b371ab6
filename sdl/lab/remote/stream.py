"""What happens in a step, on its way to the engine: in order, and kept until it is acknowledged."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from sdl.errors import LabError
from sdl.lab.remote.messages import Ack, Event, encode

WINDOW = 16
"""Documents that may be on their way before a plan waits."""

RESEND = 1.0
"""Seconds after which what was not acknowledged is sent again."""


class Stream:
    """The events of one step. Its methods may be called from any thread.

    Parameters
    ----------
    wake
        Has the station's main thread look what is to be sent.
    now
        Monotonic seconds.
    """

    def __init__(self, wake: Callable[[], None], now: Callable[[], float]) -> None:
        self._wake = wake
        self._now = now
        self._events: deque[Event] = deque()
        self._n_posted = self._n_sent = self._n_acked = 0
        self._sent_at = 0.0
        self._error = ""
        self._over = ""
        self._aborting = ""
        self._changed = threading.Condition()

    @property
    def n_posted(self) -> int:
        """How many events there were."""
        return self._n_posted

    @property
    def is_delivered(self) -> bool:
        """Whether the engine has all of them."""
        return self._n_acked == self._n_posted

    def post(self, make: Callable[[int], Event], *, window: int | None = WINDOW) -> int:
        """Send an event, and return its number.

        Waits while more than *window* are on their way, this one included; None: does not wait. Raises
        :class:`~sdl.errors.LabError` where this one cannot be sent, the engine could not record one of them or is gone,
        and in an abort where it was to wait for this very one.
        """
        with self._changed:
            if window is not None:
                self._check(window)
            if self._over:
                return self._n_posted
            number = self._n_posted + 1
            event = make(number)
            encode(event)  # what cannot be sent fails here, in the step, and is not an event
            self._n_posted = number
            self._events.append(event)
            self._wake()
            while window is not None and number - self._n_acked > window and not (window and self.is_aborting):
                self._changed.wait(0.05)
                self._check(window)
            if window == 0:
                self._check(window)
            return number

    @property
    def is_aborting(self) -> bool:
        """Whether nobody is to wait any more."""
        return bool(self._aborting)

    def _check(self, window: int) -> None:
        why = self._error or self._over or ("" if window else self._aborting)
        if why:
            raise LabError(why)

    def acknowledge(self, ack: Ack) -> bool:
        """Take an acknowledgement; say whether it was the one that is due."""
        with self._changed:
            if ack.number != self._n_acked + 1 or not self._events:
                return False
            self._events.popleft()
            self._n_acked += 1
            self._n_sent = max(self._n_sent, self._n_acked)
            self._error = self._error or ack.error
            self._changed.notify_all()
            return True

    def due(self) -> list[Event]:
        """Return what is to be sent now."""
        with self._changed:
            now = self._now()
            if self._n_sent > self._n_acked and now - self._sent_at > RESEND:
                self._n_sent = self._n_acked
            found = list(self._events)[self._n_sent - self._n_acked :][: WINDOW * 2]
            if found:
                self._n_sent += len(found)
                self._sent_at = now
            return found

    def abort(self, reason: str) -> None:
        """Let nobody wait for the engine any more: the step is aborted. What is under way goes on to it."""
        self._aborting = reason  # no lock: whoever waits looks every so often

    def end(self, reason: str) -> None:
        """The engine is gone: nobody waits for it, and nothing goes to it."""
        with self._changed:
            self._over = reason
            self._events.clear()
            self._n_acked = self._n_sent = self._n_posted
            self._changed.notify_all()
