"""Bluesky's messages, with the types that bluesky does not declare."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
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
