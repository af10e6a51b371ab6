"""The disk below SQLite, for tests: what it was told, and what it does when told to fail.

A VFS is SQLite's own border to the operating system. The one made here hands every call on to the ordinary one, and
notes what a crash could undo: writes, truncations, syncs and deletions. It is registered, through ctypes, in the very
library that Python's ``sqlite3`` uses, so what is tested is the store as users run it, SQLite included. SQLite's
documentation: https://www.sqlite.org/vfs.html; the structures are those of ``sqlite3.h``, versions 2 and 3.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["create", "write", "truncate", "sync", "delete", "rename", "sync folder", "acknowledge"]

IOERR_WRITE, IOERR_FSYNC, FULL = 10 | 3 << 8, 10 | 4 << 8, 13
"""Result codes of SQLite: SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_FULL."""


class Operation(NamedTuple):
    """One thing that the disk was told.

    ``data`` are the bytes written (of a rename: those of the file, as far as they were synced before); ``offset`` is
    where they were written, the size of a truncation, or whether a deletion was durable.
    """

    kind: Kind
    path: str
    offset: int = 0
    data: bytes = b""
    note: Any = None


class Method(ctypes.Structure):
    """``sqlite3_io_methods`` as far as it is changed; the rest is copied as it is."""

    _fields_ = (
        ("version", ctypes.c_int),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "close",
                "read",
                "write",
                "truncate",
                "sync",
                "size",
                "lock",
                "unlock",
                "check_reserved",
                "control",
                "sector_size",
                "characteristics",
                "shm_map",
                "shm_lock",
                "shm_barrier",
                "shm_unmap",
                "fetch",
                "unfetch",
            )
        ),
    )


class File(ctypes.Structure):
    """``sqlite3_file``: the address of its methods, then what only its own VFS knows."""

    _fields_ = (("methods", ctypes.POINTER(Method)),)


class System(ctypes.Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "access",
                "full_path",
                "dl_open",
                "dl_error",
                "dl_sym",
                "dl_close",
                "randomness",
                "sleep",
                "time",
                "last_error",
                "time_64",
                "set_call",
                "get_call",
                "next_call",
            )
        ),
    )


_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(File), ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def never(kind: Kind, path: str) -> int:  # noqa: ARG001 # what every fail_on is asked
    """Fail nothing."""
    return 0


@dataclass
class Disk:
    """Notes what it is told, and fails when it is to.

    Parameters
    ----------
    fail_on
        Asked before each write, truncation and sync, of SQLite's files and of artifacts: the error to answer with, 0
        for none. The arguments are the kind and the path.
    """

    fail_on: Callable[[Kind, str], int] = never
    log: list[Operation] = field(default_factory=list[Operation])

    def told(self, operation: Operation) -> None:
        """Note *operation*, which has succeeded."""
        self.log.append(operation)

    def acknowledge(self, note: Any) -> None:
        """Note that somebody was told that *note* is recorded."""
        self.told(Operation("acknowledge", "", note=note))


class FailAt:
    """Fails the *n*-th operation among *kinds* with *code*, and every later one: a disk that broke stays broken."""

    def __init__(
        self, n: int, code: int = IOERR_WRITE, kinds: tuple[Kind, ...] = ("write", "truncate", "sync")
    ) -> None:
        self.n, self.code, self.kinds = n, code, kinds
        self.n_seen = 0

    def __call__(self, kind: Kind, _: str) -> int:
        if kind not in self.kinds:
            return 0
        self.n_seen += 1
        return self.code if self.n_seen >= self.n else 0

    @property
    def has_failed(self) -> bool:
        """Whether the operation came."""
        return self.n_seen >= self.n


class Recorder:
    """A VFS of SQLite, named :data:`NAME`, that hands on every call and tells :attr:`disk`."""

    NAME = b"sdl-recorder"

    def __init__(self) -> None:
        import _sqlite3  # noqa: PLC0415 # its dependencies are searched for the library's functions

        self.disk = Disk()
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(System)
        library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(System), ctypes.c_int]
        self._under = library.sqlite3_vfs_find(None)
        self._tables: dict[int, Method] = {}
        self._originals: dict[int, Method] = {}
        self._paths: dict[int, str] = {}
        self._real_open = _OPEN(self._under.contents.open)
        self._real_delete = _DELETE(self._under.contents.delete)
        # Whatever C may call must live as long as this object, which lives as long as the process.
        self._callbacks = (
            _OPEN(self._open),
            _DELETE(self._delete),
            _CLOSE(self._close),
            _WRITE(self._write),
            _TRUNCATE(self._truncate),
            _SYNC(self._sync),
        )
        self._system = System.from_buffer_copy(self._under.contents)
        self._system.name = self.NAME
        self._system.next = None
        self._system.open = ctypes.cast(self._callbacks[0], ctypes.c_void_p)
        self._system.delete = ctypes.cast(self._callbacks[1], ctypes.c_void_p)
        if library.sqlite3_vfs_register(ctypes.byref(self._system), 0):
            raise RuntimeError("SQLite did not take the VFS")

    def _open(self, _: int, name: int, file: Any, flags: int, flags_out: Any) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        is_new = not Path(path).exists()
        result = int(self._real_open(ctypes.addressof(self._under.contents), name, file, flags, flags_out))
        if result == 0 and path:
            address = ctypes.addressof(file.contents)
            self._paths[address] = path
            file.contents.methods = ctypes.pointer(self._methods(file.contents.methods.contents))
            if is_new and Path(path).exists():
                self.disk.told(Operation("create", path))
        return result

    def _methods(self, real: Method) -> Method:
        """Return the changed copy of a table of methods; there are few, and each is made once."""
        where = ctypes.addressof(real)
        if where not in self._tables:
            copy = Method.from_buffer_copy(real)
            _, _, close, write, truncate, sync = self._callbacks
            copy.close, copy.write, copy.truncate, copy.sync = (
                ctypes.cast(callback, ctypes.c_void_p) for callback in (close, write, truncate, sync)
            )
            self._tables[where] = copy
            self._originals[ctypes.addressof(copy)] = real
        return self._tables[where]

    def _real(self, file: int) -> Method:
        methods: Any = File.from_address(file).methods.contents
        return self._originals[ctypes.addressof(methods)]

    def _close(self, file: int) -> int:
        self._paths.pop(file, None)
        return int(_CLOSE(self._real(file).close)(file))

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        written = Operation("write", self._paths[file], offset, ctypes.string_at(data, size))
        return self._do(written, lambda: _WRITE(self._real(file).write)(file, data, size, offset))

    def _truncate(self, file: int, size: int) -> int:
        told = Operation("truncate", self._paths[file], size)
        return self._do(told, lambda: _TRUNCATE(self._real(file).truncate)(file, size))

    def _sync(self, file: int, flags: int) -> int:
        # The image is what matters: what was synced here is durable in it, whatever the real disk still does.
        return self._do(Operation("sync", self._paths[file]), lambda: _SYNC(self._real(file).sync)(file, flags))

    def _do(self, operation: Operation, call: Callable[[], int]) -> int:
        result = self.disk.fail_on(operation.kind, operation.path) or int(call())
        if result == 0:
            self.disk.told(operation)
        return result

    def _delete(self, _: int, name: bytes, is_durable: int) -> int:
        result = int(self._real_delete(ctypes.addressof(self._under.contents), name, is_durable))
        if result == 0:
            self.disk.told(Operation("delete", os.fsdecode(name), is_durable))
        return result


_RECORDER: list[Recorder] = []


@contextmanager
def recorded_disk(fail_on: Callable[[Kind, str], int] | None = None) -> Generator[Disk]:
    """Let every store that is opened inside this context tell the :class:`Disk` that is yielded.

    SQLite's files go through a VFS of its own library; other files through ``os.fsync`` and methods of ``Path``.
    Other threads take part. Not to be nested.
    """
    if not _RECORDER:
        _RECORDER.append(Recorder())
    recorder = _RECORDER[0]
    before, recorder.disk = recorder.disk, Disk() if fail_on is None else Disk(fail_on)
    changes: tuple[tuple[Any, str, Any], ...] = (
        (sqlite3, "connect", partial(_connect, sqlite3.connect)),
        (os, "fsync", partial(_fsync, recorder.disk, os.fsync)),
        (Path, "replace", _replacing(recorder.disk, Path.replace)),
        (Path, "touch", _touching(recorder.disk, Path.touch)),
    )
    real = [getattr(place, name) for place, name, _ in changes]
    for place, name, changed in changes:
        setattr(place, name, changed)
    try:
        yield recorder.disk
    finally:
        for (place, name, _), original in zip(changes, real, strict=True):
            setattr(place, name, original)
        recorder.disk = before


def _connect(real: Callable[..., sqlite3.Connection], database: str, **options: Any) -> sqlite3.Connection:
    """Open a database of a store, which is named by a URI with options, through the recorder."""
    through = f"{database}&vfs={Recorder.NAME.decode()}" if "?" in str(database) else database
    return real(through, **options)


def _fsync(disk: Disk, real: Callable[[int], None], number: int) -> None:
    path = Path(f"/proc/self/fd/{number}").readlink()
    kind: Kind = "sync folder" if path.is_dir() else "sync"
    if disk.fail_on(kind, str(path)):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    real(number)
    disk.told(Operation(kind, str(path), data=b"" if kind == "sync folder" else path.read_bytes()))


def _replacing(disk: Disk, real: Callable[[Path, Any], Path]) -> Callable[[Path, Any], Path]:
    def replace(source: Path, target: Any) -> Path:
        done = real(source, target)
        disk.told(Operation("rename", str(source), note=str(target)))
        return done

    return replace


def _touching(disk: Disk, real: Callable[[Path], None]) -> Callable[[Path], None]:
    def touch(path: Path) -> None:
        is_new = not path.exists()
        real(path)
        if is_new:
            disk.told(Operation("create", str(path)))

    return touch
