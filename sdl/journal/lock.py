"""One process writes: a lock that the kernel keeps, and takes back when the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import weakref
from pathlib import Path

from sdl.errors import JournalError, JournalLocked
from sdl.failpoints import fail_point


class WriteLock:
    """Holds the lock of a store from construction to :meth:`release`.

    The kernel frees it with the process, however that ends. A forked child has no part in it.

    Parameters
    ----------
    path
        The lock file. It is made where it is missing and stays when the lock is released: what counts is the lock on
        it. While the lock is held it says who holds it.

    Raises
    ------
    JournalLocked
        Somebody else holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(
                f"{path.parent} cannot be written: {error.strerror}",
                hint="open it with mode='read', or ask for the right to write to the folder",
            ) from error
        self._finalizer = weakref.finalize(self, os.close, self._fd)
        fail_point("lock.before")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message, hint = _refusal(path, error, os.pread(self._fd, 4096, 0))
            self._finalizer()
            raise (JournalLocked if isinstance(error, BlockingIOError) else JournalError)(message, hint=hint) from None
        fail_point("lock.taken")
        self._sign()
        fail_point("lock.signed")
        _HELD.add(self)

    def _sign(self) -> None:
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, holder.encode(), 0)

    def release(self) -> None:
        """Give the lock back. Does nothing the second time."""
        if self._finalizer.alive:
            fail_point("lock.before_release")
            os.ftruncate(self._fd, 0)
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close the file; what a forked child does with its copy, which leaves the lock to the parent."""
        self._finalizer()


def _refusal(path: Path, error: OSError, signature: bytes) -> tuple[str, str]:
    """Return message and hint for a lock that was not to be had."""
    if not isinstance(error, BlockingIOError):
        return f"{path} cannot be locked: {error.strerror}", "keep the store on a local disk"
    try:
        holder = json.loads(signature)
        pid, host = holder["pid"], holder["host"]
    except (ValueError, TypeError, KeyError):
        return f"{path.parent} is being written by another process", "wait until it ends, or open with mode='read'"
    if pid == os.getpid() and host == socket.gethostname():
        return f"{path.parent} is open for writing in this process already", "use that journal, or close it first"
    return (
        f"{path.parent} is being written by process {pid} on {host}",
        f"wait until it ends, or stop it (kill {pid}); to look at the store meanwhile, open it with mode='read'",
    )


_HELD: weakref.WeakSet[WriteLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_HELD):
        lock.forget()


# A lock of this sort belongs to every process that has a copy of the open file; without this, a forked worker that
# outlives a killed campaign would keep the store locked.
os.register_at_fork(after_in_child=_forget_all)
