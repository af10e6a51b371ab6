"""A station on a network of this host, on a thread, and guests with keys of their own."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hosted
import zmq

import sdl
from sdl.lab.remote.access import AllowList, Client, Role, ServerKeys
from sdl.lab.remote.keys import ClientKeys, KeyPair, make_keys, public_key
from sdl.lab.remote.link import Link, Session
from sdl.lab.remote.messages import decode, encode
from sdl.lab.remote.server import StationServer
from sdl.lab.remote.sockets import Address, connected
from sdl.lab.remote.station import RemoteStation
from sdl.problem.value import Value

ENGINE = "engine"
GUESTS = {
    ENGINE: ("read", "operate", "approve"),
    "reader": ("read",),
    "operator": ("operate",),
    "approver": ("approve",),
    "administrator": ("admin",),
}


class Inn:
    """Hosts station ``cell`` at two ports that the system chooses, for the :data:`GUESTS`; there is a stranger too."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options = folder, options
        self.keys = folder / "keys"
        self.pairs: dict[str, KeyPair] = {name: make_keys(self.keys, name) for name in ("cell", "stranger", *GUESTS)}
        self.allow(GUESTS)
        self.clock: Any = options.pop("clock", None)
        self.open()

    def open(self) -> None:
        lab = hosted.HostedLab(str(self.folder), clock=self.clock, **self.options)
        keys = ServerKeys.of(self.keys, "cell")
        self.server = StationServer(lab, "cell", self.folder / "stations", listen="tcp://127.0.0.1:0", keys=keys)
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def close(self) -> None:
        self.server.end()
        self._thread.join()

    def allow(self, guests: Any) -> None:
        AllowList(self.keys).write(
            Client(name, frozenset(map(Role, roles)), self.pairs[name].public) for name, roles in guests.items()
        )

    @property
    def ports(self) -> tuple[int, int]:
        work, pulse = (int(point.rpartition(":")[2]) for point in self.server.points)
        return work, pulse

    def address(self, name: str = ENGINE, *, work: int = 0, pulse: int = 0) -> Address:
        """Return the address as *name* has it, through other ports where they are given."""
        keys = ClientKeys(self.pairs[name], public_key(self.keys, "cell"))
        first, second = (f"tcp://127.0.0.1:{port}" for port in (work or self.ports[0], pulse or self.ports[1]))
        return Address(first, second, keys=keys).checked()

    def link(self, name: str = ENGINE, *, epoch: int = 1, lease: float = 30.0, address: Address | None = None) -> Link:
        made = Link("cell", address or self.address(name), Session("s", epoch, lease), lambda: True, time.monotonic)
        try:
            made.open(20.0)
        except BaseException:
            made.close()
            raise
        return made

    def lab(self, address: Address | None = None, *, lease: float = 5.0) -> sdl.Lab:
        """Return an engine's laboratory whose station is this one."""
        lab = hosted.HostedLab(str(self.folder), **self.options)
        made = RemoteStation(lab.stations["cell"], lab, address or self.address(), child=None, lease=lease)
        lab.stations = MappingProxyType({"cell": made})
        return lab

    def say(self, name: str, message: Value, *, seconds: float = 20.0) -> Any:
        """Have *name* say one message, and return the answer; None where there is none."""
        return say(self.address(name).work, message, self.address(name).keys, seconds=seconds)


def say(point: str, message: Value | bytes, keys: ClientKeys | None, *, seconds: float = 20.0) -> Any:
    """Say one message at *point*, and return the answer; None where there is none."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with closing(connected(context, point, keys)) as socket:
            if not socket.poll(int(seconds * 1000), zmq.POLLOUT):
                return None
            socket.send_multipart([b"1", message if isinstance(message, bytes) else encode(message)])
            return decode(socket.recv_multipart()[-1]) if socket.poll(int(seconds * 1000)) else None
    finally:
        context.term()
