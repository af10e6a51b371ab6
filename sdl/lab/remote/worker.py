"""The thread on which a station of another process is asked, one thing after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from sdl.errors import LabError
from sdl.lab.interlocks import Interlocks
from sdl.lab.job import Job

LOOK = 0.05
"""Seconds between two looks at whether a wait is to end."""


def wait_for(what: Callable[[], None], check: Callable[[], None]) -> None:
    """Do *what* on a thread of its own, and raise what it raises; nobody waits for it any more when *check* raises."""
    box: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 # it is raised where it is waited for
            box.put(error)
        else:
            box.put(None)

    threading.Thread(target=work, name="sdl-wait", daemon=True).start()
    while True:
        try:
            error = box.get(timeout=LOOK)
            break
        except queue.Empty:
            check()
    if error is not None:
        raise error


def take_hold(job: Job, interlocks: Interlocks, check: Callable[[], None]) -> None:
    """Hold the other stations that the step of *job* needs. Nobody waits for them any more when *check* raises.

    Raises
    ------
    InterlockError
        One of them is latched; it may have been while another one was asked, which takes its time.
    """
    check_needs(job, interlocks)
    if job.hold is not None:
        wait_for(job.hold, check)
        check_needs(job, interlocks)


def check_needs(job: Job, interlocks: Interlocks) -> None:
    """Raise :class:`~sdl.errors.InterlockError` where a station that the step of *job* holds is latched."""
    for name in job.needs:
        interlocks.check_station(name)


class Worker:
    """Does what it is told to, in order. Its thread begins with the first order.

    Parameters
    ----------
    station
        Names the thread.
    """

    def __init__(self, station: str) -> None:
        self._station = station
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_over = False
        self._ordering = threading.Lock()

    def order(self, what: Callable[[], None]) -> None:
        """Have *what* done. Returns at once. Raises :class:`~sdl.errors.LabError` after the end."""
        with self._ordering:  # what came after the last order would never be done, and be waited for
            if self._is_over:
                raise LabError(f"station {self._station} is closed", hint="make the laboratory anew")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"sdl-{self._station}-link", daemon=True)
                self._thread.start()
            self._orders.put(what)

    def do(self, what: Callable[[], Any]) -> Any:
        """Have *what* done, and return or raise what it does."""
        box: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def order() -> None:
            try:
                box.put((what(), None))
            except BaseException as error:  # noqa: BLE001 # it is raised where it was asked for
                box.put((None, error))

        self.order(order)
        value, error = box.get()
        if error is not None:
            raise error
        return value

    def end(self, last: Callable[[], None]) -> None:
        """Do *last* after all that was ordered, and end; where nothing was, there is nothing to do."""
        with self._ordering:
            self._is_over = True
            thread, self._thread = self._thread, None
            if thread is not None:
                self._orders.put(last)
                self._orders.put(None)
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()
