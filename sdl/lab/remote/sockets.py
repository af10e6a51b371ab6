"""Sockets that queue little, wait for nobody when they are closed, and take no message that is too long."""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from sdl.errors import LabError
from sdl.lab.remote.messages import MAX_MESSAGE

HIGH_WATER = 64
"""Messages that wait in a socket, at most."""

_PATH_LIMIT = 107


@dataclass(frozen=True)
class Address:
    """Where a station is reached: one end point for what is asked and told, and one that nothing blocks."""

    work: str
    pulse: str
    lock: Path | None = None

    @classmethod
    def under(cls, folder: Path, station: str) -> Address:
        """Return the address of *station* whose sockets are in *folder*."""
        base = folder.resolve() / station
        return cls(f"ipc://{base}.work", f"ipc://{base}.pulse", Path(f"{base}.lock")).checked()

    def checked(self) -> Address:
        """Return itself. Raises :class:`~sdl.errors.LabError` for what is not on this host."""
        for point in (self.work, self.pulse):
            check_point(point)
        return self


def check_point(point: str) -> None:
    """Raise :class:`~sdl.errors.LabError` unless *point* is a socket file, or a TCP port of the loopback interface."""
    scheme, _, rest = point.partition("://")
    if scheme == "ipc" and rest.startswith("/"):
        if len(os.fsencode(rest)) > _PATH_LIMIT:
            raise LabError(
                f"{rest} is longer than the {_PATH_LIMIT} bytes that a socket's name may have",
                hint="give the stations a folder with a shorter path",
            )
        return
    host = rest.rpartition(":")[0]
    if scheme == "tcp" and host in {"127.0.0.1", "[::1]"}:
        return
    raise LabError(f"a station cannot be at {point!r}", hint="ipc:///FOLDER/NAME or tcp://127.0.0.1:PORT, on this host")


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


def bound(context: zmq.Context[zmq.Socket[bytes]], point: str) -> zmq.Socket[bytes]:
    """Return a station's socket."""
    check_point(point)
    made = _socket(context, zmq.ROUTER)
    made.setsockopt(zmq.ROUTER_HANDOVER, 1)
    made.bind(point)
    return made


def connected(context: zmq.Context[zmq.Socket[bytes]], point: str) -> zmq.Socket[bytes]:
    """Return an engine's socket. What cannot be sent at once is not sent."""
    check_point(point)
    made = _socket(context, zmq.DEALER)
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.setsockopt(zmq.RECONNECT_IVL, 50)
    made.connect(point)
    return made


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, HIGH_WATER),
        (zmq.RCVHWM, HIGH_WATER),
        (zmq.MAXMSGSIZE, MAX_MESSAGE),
    ):
        made.setsockopt(option, value)
    return made


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
