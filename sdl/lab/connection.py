"""Connecting devices before they are used, and letting go of them afterwards."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from sdl.errors import LabError, SdlError
from sdl.lab.envelope import verbs_of

CONNECT_TIMEOUT = 30.0
"""Clock seconds that a device may take to connect."""

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
    links = list(find_links(devices))
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
