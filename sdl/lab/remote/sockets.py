"""Sockets that queue little, wait for nobody when they are closed, and take no message that is too long."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

from sdl.errors import LabError
from sdl.lab.remote.access import DOMAIN, ServerKeys
from sdl.lab.remote.keys import ClientKeys
from sdl.lab.remote.messages import MAX_MESSAGE

HIGH_WATER = 64
"""Messages that wait in a socket, at most."""

HANDSHAKE_MS = 5_000
"""Milliseconds for which somebody may be connected without having said who they are."""

HEARTBEAT_MS = 1_000
"""Milliseconds between two signs of life of a TCP connection; after three without one it is made anew."""

LOOPBACK = ("127.0.0.1", "[::1]")

_PATH_LIMIT = 107
_LAST_PORT = 65_535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Address:
    """Where a station is reached: one end point for what is asked and told, and one that nothing blocks.

    ``pulse`` is empty where the station says which port that is; ``keys`` are needed on a network.
    """

    work: str
    pulse: str
    lock: Path | None = None
    keys: ClientKeys | None = None

    @classmethod
    def under(cls, folder: Path, station: str) -> Address:
        """Return the address of *station* whose sockets are in *folder*."""
        base = folder.resolve() / station
        return cls(f"ipc://{base}.work", f"ipc://{base}.pulse", Path(f"{base}.lock")).checked()

    def checked(self) -> Address:
        """Return itself. Raises :class:`~sdl.errors.LabError` for what is not on this host, where it has no keys."""
        for point in filter(None, (self.work, self.pulse)):
            check_point(point, is_keyed=self.keys is not None)
        return self

    def pulse_at(self, port: int) -> str:
        """Return the end point of the other channel, where the station says that it has *port*."""
        return self.pulse or f"{self.work.rpartition(':')[0]}:{port}"


def check_point(point: str, *, is_keyed: bool = False, is_bound: bool = False) -> None:
    """Raise :class:`~sdl.errors.LabError` unless *point* may be a station's.

    That is a socket file, or a TCP port of the loopback interface; where there are keys, of any.
    """
    scheme, _, rest = point.partition("://")
    if scheme == "ipc" and rest.startswith("/"):
        if len(os.fsencode(rest)) > _PATH_LIMIT:
            raise LabError(
                f"{rest} is longer than the {_PATH_LIMIT} bytes that a socket's name may have",
                hint="give the stations a folder with a shorter path",
            )
        return
    host, colon, port = rest.rpartition(":")
    is_tcp = scheme == "tcp" and bool(colon) and (port.isdecimal() or (is_bound and port == "*"))
    if is_tcp and host in LOOPBACK:
        return
    if is_tcp and is_keyed and (_HOST.fullmatch(host) or (is_bound and host == "*")):
        return
    if is_tcp and not is_keyed:
        raise LabError(
            f"a station cannot be at {point!r} without keys: who reaches it would command it",
            hint="make keys: sdl keys make NAME",
        )
    raise LabError(f"a station cannot be at {point!r}", hint="ipc:///FOLDER/NAME or tcp://HOST:PORT")


def two_ports(point: str) -> tuple[str, str]:
    """Return the end points of a station that listens at ``tcp://HOST:PORT``: that port, and the next one.

    With the port 0 the system chooses both.
    """
    check_point(point, is_keyed=True, is_bound=True)
    host, _, port = point.rpartition(":")
    if port in {"0", "*"}:
        return f"{host}:0", f"{host}:0"
    if not point.startswith("tcp://") or not 0 < int(port) < _LAST_PORT:
        raise LabError(f"a station cannot listen at {point!r}", hint="tcp://HOST:PORT; it takes PORT and the next one")
    return point, f"{host}:{int(port) + 1}"


def is_locked(path: Path | None) -> bool:
    """Tell whether a process holds the lock *path*."""
    if path is None or not path.exists():
        return False
    number = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


def prepare_folder(folder: Path) -> Path:
    """Make *folder*, for its owner only. Raises :class:`~sdl.errors.LabError` where others may write in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise LabError(f"{folder} can be written by others", hint=f"chmod 700 {folder}: who writes there commands it")
    return folder


def bound(context: zmq.Context[zmq.Socket[bytes]], point: str, keys: ServerKeys | None = None) -> zmq.Socket[bytes]:
    """Return a station's socket. With *keys* it takes only those who are on their list.

    Raises :class:`~sdl.errors.LabError` where it cannot be had, or would be open to a network.
    """
    check_point(point, is_keyed=keys is not None, is_bound=True)
    made = _socket(context, zmq.ROUTER, point)
    made.setsockopt(zmq.ROUTER_HANDOVER, 1)
    try:
        if keys is not None:
            made.setsockopt(zmq.CURVE_SERVER, 1)
            made.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
            made.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
            made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody gets in where nobody answers at the door
        _check_closed(made, point)
        made.bind(point)
    except (LabError, zmq.ZMQError) as error:
        made.close()
        if isinstance(error, LabError):
            raise
        raise LabError(f"a station cannot be at {point}: {error}", hint="is another one there?") from None
    return made


def _check_closed(socket: zmq.Socket[bytes], point: str) -> None:
    """Look at the socket itself, not at what was meant: off this host it has CURVE, and asks who comes."""
    is_here = point.startswith("ipc://") or point.rpartition(":")[0].removeprefix("tcp://") in LOOPBACK
    is_closed = socket.getsockopt(zmq.MECHANISM) == zmq.CURVE and socket.getsockopt(zmq.ZAP_DOMAIN) == DOMAIN
    if not (is_here or is_closed):
        raise LabError(f"a socket without keys would be open at {point}", hint="give the station keys")


def point_of(socket: zmq.Socket[bytes]) -> str:
    """Return where *socket* is bound."""
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def port_of(socket: zmq.Socket[bytes]) -> int:
    """Return the TCP port that *socket* is bound to; 0 where it is none."""
    scheme, _, rest = point_of(socket).partition("://")
    return int(rest.rpartition(":")[2]) if scheme == "tcp" else 0


def connected(context: zmq.Context[zmq.Socket[bytes]], point: str, keys: ClientKeys | None = None) -> zmq.Socket[bytes]:
    """Return an engine's socket. What cannot be sent at once is not sent.

    It keeps its name when the line breaks and is mended, so that what the station tells it still finds it. The name is
    drawn by the system, and cannot be guessed.
    """
    check_point(point, is_keyed=keys is not None)
    made = _socket(context, zmq.DEALER, point)
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.setsockopt(zmq.ROUTING_ID, b"e" + os.urandom(16))
    made.setsockopt(zmq.RECONNECT_IVL, 50)
    made.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    if keys is not None:
        made.setsockopt(zmq.CURVE_SERVERKEY, keys.server)
        made.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
        made.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
    made.connect(point)
    return made


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, point: str) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, HIGH_WATER),
        (zmq.RCVHWM, HIGH_WATER),
        (zmq.MAXMSGSIZE, MAX_MESSAGE),
        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
    ):
        made.setsockopt(option, value)
    if point.startswith("tcp://"):
        made.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        made.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
        made.setsockopt(zmq.IPV6, int("[" in point))
    return made


class Doubt:
    """Why a socket of :func:`connected` does not come to speak with its station, as far as libzmq can tell."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        failed = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        self._socket = socket
        self._monitor = socket.get_monitor_socket(failed | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        self._is_unwelcome = self._is_strange = False

    def words(self) -> str:
        """Say what has failed so far; empty where nobody answered at all."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self._is_unwelcome |= event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            self._is_strange |= event != zmq.EVENT_HANDSHAKE_FAILED_AUTH
        if self._is_unwelcome:
            return "it does not let in this key"
        return "who answers there has not the key that the station must have, or none" if self._is_strange else ""

    def close(self) -> None:
        """Watch no more."""
        self._socket.disable_monitor()
        self._monitor.close()


class Waker:
    """Wakes a thread that polls sockets; :meth:`wake` may be called from any thread and in a signal handler."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        for number in (self.reader, self._writer):
            os.set_blocking(number, False)

    def wake(self) -> None:
        """Wake it."""
        try:
            os.write(self._writer, b"\0")
        except (BlockingIOError, OSError):  # it is awake, or gone
            return

    def clear(self) -> None:
        """Forget what it was woken for."""
        try:
            os.read(self.reader, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.reader)
        os.close(self._writer)
