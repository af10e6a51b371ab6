"""Who looks on: bluesky callbacks, each on a thread of its own, so that none can hold up or fail an experiment."""

from __future__ import annotations

import copy
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sdl.errors import LabError
from sdl.lab.documents import NotFinite
from sdl.problem.value import listing

NAMES = (
    "all",
    "start",
    "descriptor",
    "event",
    "stop",
    "event_page",
    "resource",
    "datum",
    "datum_page",
    "stream_resource",
    "stream_datum",
    "bulk_events",
)
"""What a callback can ask for."""

BACKLOG = 10_000
"""Documents that may wait for a callback."""

PATIENCE = 10.0
"""Wall seconds that a callback has, at the end of a session, for what it was told."""

PAUSE = 60.0
"""Wall seconds for which virtual time waits for a callback with a full backlog."""

_LOG = logging.getLogger("sdl.lab")

Callback = Callable[[str, dict[str, Any]], object]


class Subscribers:
    """The callbacks that are told of the documents of a laboratory. Its methods may be called from any thread.

    Parameters
    ----------
    is_virtual
        Whether time is: then a callback that is slower than the simulation is waited for. On a real laboratory nobody
        waits for one, and one that falls behind by :data:`BACKLOG` documents is told nothing more.
    """

    def __init__(self, *, is_virtual: bool) -> None:
        self._is_virtual = is_virtual
        self._numbers = itertools.count(1)
        self._subscriptions: dict[int, _Subscription] = {}
        self._not_finite = NotFinite()

    def add(self, callback: Callback, name: str) -> int:
        """Tell *callback* of the documents called *name*, from the next run on; return the number that ends it."""
        if not callable(callback):
            raise LabError(f"{callback!r} is no callback", hint="it is called with a name and a document")
        if name not in NAMES:
            raise LabError(f"there are no documents called {name!r}", hint=f"they are {listing(NAMES, len(NAMES))}")
        number = next(self._numbers)
        self._subscriptions[number] = _Subscription(callback, name, PAUSE if self._is_virtual else 0.0)
        return number

    def remove(self, number: int) -> None:
        """Tell that callback nothing more. Raises :class:`~sdl.errors.LabError` for a number that none has."""
        found = self._subscriptions.pop(number, None)
        if found is None:
            raise LabError(f"no callback has the number {number}", hint="subscribe returned it, and it ends once")
        found.end()

    def publish(self, name: str, document: dict[str, Any]) -> None:
        """Tell everybody of a document that was recorded. Never raises, and on a real laboratory never waits."""
        if not self._subscriptions:
            return
        told = self._not_finite(name, document)
        for each in list(self._subscriptions.values()):
            each.tell(name, told)

    def settle(self) -> list[str]:
        """Wait, not for long, until all have taken in what they were told; return what went wrong since the last time.

        Each text names a callback, how much it did not take, and the first reason.
        """
        found = [each.settle() for each in list(self._subscriptions.values())]
        return [text for text in found if text]

    def close(self) -> None:
        """End all."""
        for number in list(self._subscriptions):
            self.remove(number)


class _Subscription:
    """One callback, its thread, and what waits for it."""

    def __init__(self, callback: Callback, wanted: str, patience: float) -> None:
        self._callback = callback
        self._wanted = wanted
        self._patience = patience
        self._waiting: queue.Queue[tuple[str, dict[str, Any]] | threading.Event | None] = queue.Queue(BACKLOG)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._telling = threading.Lock()
        self._runs: dict[str, set[str]] = {}
        self._is_over = False
        self._n_failed = 0
        self._first = ""

    @property
    def _name(self) -> str:
        return str(getattr(self._callback, "__name__", type(self._callback).__name__))

    def tell(self, name: str, document: dict[str, Any]) -> None:
        """Have the callback's thread call it. It hears whole runs: nothing of one that began before it was there."""
        with self._telling:  # stations tell side by side
            is_whole = self._is_of_its_run(name, document)
        if self._is_over or not is_whole or self._wanted not in {"all", name}:
            return
        self._start()
        try:
            self._waiting.put((name, document), block=self._patience > 0, timeout=self._patience or None)
        except queue.Full:
            self._is_over = True
            self._note(f"it is {BACKLOG} documents behind, and is told nothing more")

    def _is_of_its_run(self, name: str, document: dict[str, Any]) -> bool:
        """Tell whether it has heard the beginning; what names no run is let through while any is open."""
        uid = str(document.get("uid", ""))
        match name:
            case "start":
                self._runs[uid] = set()
            case "stop":
                return self._runs.pop(str(document.get("run_start", "")), None) is not None
            case "descriptor":
                names = self._runs.get(str(document.get("run_start", "")))
                if names is not None:
                    names.add(uid)
                return names is not None
            case _ if "descriptor" in document:
                return any(document["descriptor"] in names for names in self._runs.values())
            case _ if "run_start" in document:
                return document["run_start"] in self._runs
            case _:
                return bool(self._runs)
        return True

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"sdl-callback-{self._name}", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            name, document = item
            try:
                self._callback(name, copy.deepcopy(document))
            except Exception as error:  # noqa: BLE001 # the border: whoever looks on does not decide what happens
                self._note(f"{type(error).__name__} at a document {name!r}: {error}", error)

    def _note(self, what: str, error: Exception | None = None) -> None:
        self._n_failed += 1
        if self._n_failed == 1:
            self._first = what
            _LOG.error("callback %s: %s", self._name, what, exc_info=error)

    def settle(self) -> str:
        """Wait until it has taken in what it was told; say what went wrong since the last time."""
        is_done = threading.Event()
        if self._thread is not None:
            with suppress(queue.Full):
                self._waiting.put(is_done, timeout=PATIENCE)
                is_done.wait(PATIENCE)
            if not is_done.is_set():
                self._note(f"it has not taken in within {PATIENCE:g} s what it was told")
        n_failed, first, self._n_failed, self._first = self._n_failed, self._first, 0, ""
        return f"callback {self._name} failed {n_failed} times, first: {first}" if n_failed else ""

    def end(self) -> None:
        """Tell it nothing more, and end its thread; one that hangs is left alone."""
        self._is_over = True
        if self._thread is None or self._thread is threading.current_thread():
            return
        with suppress(queue.Full):
            self._waiting.put(None, timeout=PATIENCE)
            self._thread.join(PATIENCE)
