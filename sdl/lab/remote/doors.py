"""The sockets of a station, and who is at each.

Near the instruments they are files in the station's folder. On a network they are two TCP ports behind keys, and one
file for whoever stands at the instrument.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import zmq

from sdl.lab.remote.access import EVERY_ROLE, Client, Doorkeeper, ServerKeys, key_of
from sdl.lab.remote.messages import encode
from sdl.lab.remote.sockets import Address, bound, point_of, port_of
from sdl.problem.value import Value

NOBODY = Client("nobody", frozenset(), b"")
HERE = Client("the owner of the folder", EVERY_ROLE, b"")


class Peer(NamedTuple):
    """Somebody at a socket: what libzmq calls the connection, and who it is."""

    socket: zmq.Socket[bytes]
    identity: bytes
    client: Client


class Letter(NamedTuple):
    """What came: from whom, under which number, and the bytes of a message."""

    peer: Peer
    number: bytes
    data: bytes


class Doors:
    """Binds the sockets of a station.

    Parameters
    ----------
    address
        Its socket files.
    listen
        The two TCP end points that take their place, where it is on a network.
    keys
        Its own, and who may come; a network needs them.

    Raises
    ------
    LabError
        A socket cannot be had, or would be open to a network.
    """

    def __init__(self, address: Address, listen: tuple[str, str] | None, keys: ServerKeys | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._keys = keys
        self._made: list[zmq.Socket[bytes]] = []
        self._keeper: Doorkeeper | None = None
        try:
            if keys is not None:
                self._keeper = Doorkeeper(self._context, keys.allowed)
            self.work, self.pulse = (self._open(point, keys) for point in listen or (address.work, address.pulse))
            self.panel = None if listen is None else self._open(address.work, None)
        except BaseException:
            self.close()
            raise
        self.is_networked = listen is not None

    def _open(self, point: str, keys: ServerKeys | None) -> zmq.Socket[bytes]:
        made = bound(self._context, point, keys)
        self._made.append(made)
        return made

    @property
    def asked(self) -> list[zmq.Socket[bytes]]:
        """The sockets at which somebody asks and waits for an answer."""
        return [self.work] if self.panel is None else [self.work, self.panel]

    @property
    def pulse_port(self) -> int:
        """The TCP port of the other channel; 0 where it is none."""
        return port_of(self.pulse)

    @property
    def points(self) -> tuple[str, str]:
        """Where it is reached: first what is asked and told, then what nothing blocks."""
        return point_of(self.work), point_of(self.pulse)

    def refresh(self) -> None:
        """Read the allow-list again, where it has changed."""
        if self._keys is not None:
            self._keys.allowed.refresh()

    def receive(self, socket: zmq.Socket[bytes]) -> Letter | None:
        """Take what is next at *socket*; None where it has not the form of a letter. Waits for nothing."""
        frames = socket.recv_multipart(zmq.DONTWAIT, copy=False)
        if len(frames) != 3:
            return None
        sender, number, data = (frame.bytes for frame in frames)
        return Letter(Peer(socket, sender, self._client(socket, frames[2])), number, data)

    def _client(self, socket: zmq.Socket[bytes], frame: zmq.Frame) -> Client:
        if self._keys is None or socket is self.panel:
            return HERE
        return self._keys.allowed.find(key_of(frame)) or NOBODY

    def close(self) -> None:
        """Close all of them."""
        for socket in self._made:
            socket.close()
        if self._keeper is not None:
            self._keeper.close()
        self._context.term()


def send(peer: Peer, number: bytes, boot: bytes, message: Value) -> None:
    """Send *message* in answer to *number*, with the station's *boot*. What cannot go now is sent, or asked, again."""
    with suppress(zmq.ZMQError):
        peer.socket.send_multipart([peer.identity, number, boot, encode(message)], zmq.DONTWAIT)
