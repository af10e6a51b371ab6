"""Connecting devices before they are used, and letting go of them afterwards."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdl.errors import LabError, SdlError
from sdl.lab.channels import is_networked
from sdl.lab.envelope import library_of, tree, verbs_of

CONNECT_TIMEOUT = 30.0
"""Clock seconds that a device may take to connect."""

LOOK = 0.1
"""Clock seconds between two looks at whether a device is connected again."""

_DEPTH = 4
"""How far below a device its lines are looked for."""


@dataclass(frozen=True)
class Link:
    """One thing to connect, and how."""

    name: str
    connect: Callable[[], Awaitable[object]] | None
    disconnect: Callable[[], Awaitable[object]] | None


async def connect_all(devices: Mapping[str, object]) -> None:
    """Connect everything below *devices*. Raises :class:`~sdl.errors.LabError` naming what does not answer."""
    await _connect_links(list(find_links(devices)))


@dataclass(frozen=True)
class Line:
    """A device of ophyd or ophyd-async, whose library connects it again by itself when its server is back."""

    name: str
    device: Any

    @property
    def is_lost(self) -> bool | None:
        """Whether it says that it is not connected; None where it does not say."""
        says = getattr(self.device, "connected", None)
        return None if says is None else says is not True

    async def until_connected(self) -> None:
        """Wait without holding up the loop, and without a thread that goes on waiting."""
        if self.is_lost is None:
            await self.device.connect(timeout=CONNECT_TIMEOUT, force_reconnect=True)
        while self.is_lost:  # noqa: ASYNC110 # it is told by threads of ophyd
            await asyncio.sleep(LOOK)


def find_lines(devices: Mapping[str, object]) -> tuple[Line, ...]:
    """Find the devices that may lose a server and get it again, the uppermost ones."""
    found: dict[str, Line] = {}
    for name, device in devices.items():
        for dotted, part in tree(name, device):
            is_line = library_of(part) == "ophyd" or is_networked(part)
            if is_line and not any(dotted.startswith(f"{above}.") for above in found):
                found[dotted] = Line(dotted, part)
    return tuple(found.values())


async def reconnect(lines: Sequence[Line], *, is_doubtful: bool) -> None:
    """Wait until those of *lines* are connected again that say they are not; where *is_doubtful*, the others too.

    Raises :class:`~sdl.errors.LabError` naming what does not answer.
    """
    lost = [line for line in lines if (is_doubtful if line.is_lost is None else line.is_lost)]
    await _connect_links([Link(line.name, line.until_connected, None) for line in lost])


async def _connect_links(links: Sequence[Link]) -> None:
    errors = await asyncio.gather(*(_connect(link) for link in links))
    failed = {link.name: error for link, error in zip(links, errors, strict=True) if error is not None}
    if failed:
        told = "; ".join(f"{name}: {_told(error)}" for name, error in failed.items())
        raise LabError(f"cannot connect {told}", hint="is it switched on, and is its address right?") from next(
            iter(failed.values())
        )


async def disconnect_all(devices: Mapping[str, object]) -> None:
    """Let go of everything below *devices*; what fails is left."""
    calls = [link.disconnect() for link in find_links(devices) if link.disconnect is not None]
    await asyncio.gather(*(asyncio.wait_for(call, CONNECT_TIMEOUT) for call in calls), return_exceptions=True)
    _close_channels()


def _close_channels() -> None:
    """Close the channels that ophyd-async's client of Channel Access keeps for the running loop.

    It would tell a closed loop of every server that goes later. What it offers in public closes those of all loops.
    """
    context: Any = getattr(sys.modules.get("aioca._catools"), "_Context", None)
    cache = getattr(context, "_channel_caches", {}).pop(asyncio.get_running_loop(), None)
    if cache is not None:
        cache.purge()


async def _connect(link: Link) -> Exception | None:
    if link.connect is None:
        return None
    try:
        await asyncio.wait_for(link.connect(), CONNECT_TIMEOUT)
    except Exception as error:  # noqa: BLE001 # gathered, so that all devices that fail are named at once
        return error
    return None


def _told(error: Exception) -> str:
    if isinstance(error, SdlError):
        return error.message
    return str(error) or f"{type(error).__name__} after {CONNECT_TIMEOUT:g} s"


def find_links(devices: Mapping[str, object]) -> Iterator[Link]:
    """Find what there is to connect.

    * ``async connect()``, as ophyd-async's devices have it; ``async disconnect()`` lets go;
    * ``wait_for_connection()``, as ophyd's devices have it;
    * a transport (``async open``, ``close`` and ``request``) anywhere below a driver.

    Each is found once, whatever path leads to it.
    """
    seen: set[int] = set()
    for name, device in devices.items():
        yield from _links(name, device, seen, _DEPTH)


def _links(name: str, device: object, seen: set[int], depth: int) -> Iterator[Link]:
    if id(device) in seen or isinstance(device, type):
        return
    seen.add(id(device))
    link = _link(name, device)
    if link is not None:
        yield link
        return
    if depth:
        for part, value in list(getattr(device, "__dict__", {}).items()):
            if part != "parent" and hasattr(value, "__dict__"):
                yield from _links(name if part.startswith("_") else f"{name}.{part}", value, seen, depth - 1)


def _link(name: str, device: object) -> Link | None:
    connect = _coroutine(device, "connect")
    if connect is not None:
        _name_it(device, name)
        return Link(name, connect, _coroutine(device, "disconnect"))
    wait = getattr(device, "wait_for_connection", None)
    if callable(wait) and verbs_of(device) and getattr(device, "connected", False) is not True:
        return Link(name, lambda: asyncio.to_thread(wait), None)
    opened, closed = _coroutine(device, "open"), _coroutine(device, "close")
    if opened is not None and closed is not None and _coroutine(device, "request") is not None:
        return Link(name, opened, closed)
    return None


def _coroutine(device: object, name: str) -> Callable[[], Awaitable[object]] | None:
    method = getattr(device, name, None)
    return method if inspect.iscoroutinefunction(method) else None


def _name_it(device: object, name: str) -> None:
    """ophyd-async's devices may be made without a name, and their data would have none."""
    set_name = getattr(device, "set_name", None)
    if callable(set_name) and getattr(device, "name", None) == "":
        set_name(name.replace(".", "-"))
