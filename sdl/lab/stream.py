"""Documents over 0MQ, for viewers in other processes: in the form of ``bluesky.callbacks.zmq``, in msgpack."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import msgpack  # type: ignore[import-untyped] # it has no types
import zmq

from sdl.errors import LabError

HIGH_WATER = 10_000
"""Documents that wait for a slow viewer, at most; it misses the next ones."""

LINGER_MS = 1000
"""Milliseconds that the last documents have to get out when the stream is closed."""

LOOPBACK = frozenset(("127.0.0.1", "localhost", "[::1]"))


_packb: Callable[[object], bytes] = cast("Any", msgpack).packb


class DocumentStream:
    """A callback that publishes what it is told: ``lab.subscribe(DocumentStream("tcp://127.0.0.1:5578"))``.

    A viewer is ``bluesky.callbacks.zmq.RemoteDispatcher(("127.0.0.1", 5578), deserializer=msgpack.unpackb)``. Whoever
    connects late or reads slowly misses documents, and nobody is told: this is for looking on, never for the record.

    Parameters
    ----------
    address
        Where viewers connect to: ``tcp://127.0.0.1:PORT`` (port 0: the system chooses) or ``ipc:///FOLDER/NAME``.
    proxy
        Whether *address* is the in-port of a running ``bluesky.callbacks.zmq.Proxy`` instead, to connect to.
    prefix
        Tells several streams through one proxy apart; without spaces.
    is_open
        Whether *address* may be beyond this host. Nothing is encrypted, and everybody who reaches it may read along.

    Raises
    ------
    LabError
        The address is none, is taken, or is beyond this host without *is_open*.
    """

    def __init__(
        self, address: str = "tcp://127.0.0.1:0", *, proxy: bool = False, prefix: bytes = b"", is_open: bool = False
    ) -> None:
        check_address(address, is_open=is_open)
        if b" " in prefix:
            raise LabError(f"the prefix {prefix!r} has a space", hint="the space ends it on the wire")
        self._prefix = prefix
        self._using = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        try:
            (self._socket.connect if proxy else self._socket.bind)(address)
        except zmq.ZMQError as error:
            self.close()
            raise LabError(f"documents cannot be published at {address}: {error}") from None
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        """Publish *document*."""
        packed = _packb(document)
        with self._using:
            if not self._socket.closed:
                self._socket.send(b" ".join((self._prefix, name.encode(), packed)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the last documents out, and close the socket."""
        with self._using:
            self._socket.close()
        with suppress(Exception):
            self._context.term()


def check_address(address: str, *, is_open: bool) -> None:
    """Raise :class:`~sdl.errors.LabError` for what is no address, or beyond this host without *is_open*."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "ipc" and rest.startswith("/"):
        return
    if scheme != "tcp" or not host or not (port.isdigit() and int(port) < 65_536):
        raise LabError(f"{address!r} is no address for documents", hint="tcp://127.0.0.1:PORT or ipc:///FOLDER/NAME")
    if host not in LOOPBACK and not is_open:
        raise LabError(
            f"{address} is beyond this host, where everybody who reaches it could read along",
            hint="publish on 127.0.0.1 and tunnel, or say is_open=True",
        )
