"""Plan stubs of drivers: moves and readings, each wait with a time limit.

bluesky's own ``trigger_and_read`` waits for as long as it takes, and its stubs are not fully typed.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from bluesky.protocols import Movable, Readable, Reading, Triggerable
from bluesky.utils import Msg

from sdl.errors import LabError


def message(verb: str, device: object | None = None, *args: object, **keywords: object) -> Msg:
    """Return a message to the RunEngine."""
    return Msg(verb, device, *args, **keywords)  # type: ignore[no-untyped-call] # bluesky leaves its signature open


def go(part: Movable[Any], value: object, *, timeout: float) -> Generator[Msg, Any, None]:
    """Set one part, and wait until it is done, *timeout* seconds at most."""
    yield from go_together([(part, value)], timeout=timeout)


def go_together(moves: Iterable[tuple[Movable[Any], object]], *, timeout: float) -> Generator[Msg, Any, None]:
    """Set several parts at once, and wait until all are done, *timeout* seconds at most."""
    group = str(uuid.uuid4())
    for part, value in moves:
        yield message("set", part, value, group=group)
    yield message("wait", None, group=group, timeout=timeout)


def record(
    parts: Sequence[Readable[Any]], stream: str = "primary", *, timeout: float
) -> Generator[Msg, Any, Mapping[str, Reading[Any]]]:
    """Trigger what can be triggered, read all, record one event; return the readings by data key.

    They are empty where the plan is walked without devices. A run has to be open.
    """
    group = str(uuid.uuid4())
    for part in parts:
        if isinstance(part, Triggerable):
            yield message("trigger", part, group=group)
    yield message("wait", None, group=group, timeout=timeout)
    yield message("create", None, name=stream)
    try:
        readings = yield from _read(parts)
    except LabError:
        yield message("drop")
        raise
    yield message("save")
    return readings


def _read(parts: Sequence[Readable[Any]]) -> Generator[Msg, Any, dict[str, Reading[Any]]]:
    readings: dict[str, Reading[Any]] = {}
    for part in parts:
        reading: Mapping[str, Reading[Any]] | None = yield message("read", part)
        readings.update(reading or {})
    return readings


def pause(seconds: float) -> Generator[Msg, Any, None]:
    """Wait, on the laboratory's clock."""
    yield message("sleep", None, seconds)
