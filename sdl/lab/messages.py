"""Bluesky's messages, with the types that bluesky does not declare."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar, cast

from bluesky.utils import Msg

T = TypeVar("T")


class Message(Protocol):
    """A ``bluesky.utils.Msg``."""

    @property
    def command(self) -> str:
        """What is to be done."""
        ...

    @property
    def obj(self) -> Any:
        """The device it is to be done with; None where there is none."""
        ...

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""
        ...

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments."""
        ...

    @property
    def run(self) -> Hashable:
        """The key of the run that it belongs to; None for the one that has no key."""
        ...


message = cast("Callable[..., Message]", Msg)
"""Makes a message: ``message(command, device, *args, run=None, **kwargs)``."""

Steps = Generator[Any, Any, T]
"""A part of a plan that returns a ``T``."""


def with_timeout(given: Message, seconds: float) -> Message:
    """Return *given* with a timeout, unless it has one."""
    if given.kwargs.get("timeout") is not None:
        return given
    return message(given.command, given.obj, *given.args, run=given.run, **{**given.kwargs, "timeout": seconds})


def group_of(waiting: Message) -> Hashable:
    """Return the group that a ``wait`` message waits for."""
    group: Hashable = waiting.args[0] if waiting.args else waiting.kwargs.get("group")
    return group


async def aside(what: Callable[[], None]) -> None:
    """Do *what* on a thread of its own, and raise what it raises. Who ends does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def work() -> None:
        error: Exception | None = None
        try:
            what()
        except Exception as raised:  # noqa: BLE001 # it is raised where it is waited for
            error = raised
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="sdl-aside", daemon=True).start()
    await done


def awaited(coroutine: Callable[[], Awaitable[None]]) -> Steps[None]:
    """Run *coroutine* on the loop, and wait for it."""
    running: list[asyncio.Task[Any] | None] = []

    async def run() -> None:
        running.append(asyncio.current_task())
        await coroutine()

    try:
        done = yield message("wait_for", None, [run])
    except BaseException:  # an abort: the RunEngine leaves what it waited for as it is
        for task in filter(None, running):
            task.cancel()
        raise
    for future in done:
        future.result()
