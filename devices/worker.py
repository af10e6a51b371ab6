"""A thread for libraries that block, so that the event loop never does."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

Job = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """Runs blocking calls one after the other, in a thread of its own.

    A call that never returns cannot be ended from outside. Its thread is then left behind as a daemon, which neither
    keeps the next connection waiting nor the interpreter from ending.

    Parameters
    ----------
    name
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run *call* in the thread, return what it returns, raise what it raises."""
        future: Future[T] = Future()
        self._jobs.put((future, call))
        return await asyncio.wrap_future(future)

    async def close(self, last: Callable[[], None], *, grace_s: float) -> None:
        """Run *last* and end the thread. After *grace_s* nobody waits for it any more; errors of *last* are dropped."""

        def quietly() -> None:
            with contextlib.suppress(Exception):
                last()

        future: Future[None] = Future()
        self._jobs.put((future, quietly))
        self._jobs.put(None)
        await asyncio.wait([asyncio.wrap_future(future)], timeout=grace_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the call
                future.set_exception(error)
            else:
                future.set_result(result)
