"""Where a store lies: on a disk that keeps its promises, and with room for what is under way."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdl.errors import JournalError
from sdl.failpoints import fail_point
from sdl.problem.value import Value

MOUNTS = Path("/proc/self/mountinfo")
"""What Linux says of the file systems; elsewhere there is no such file, and nothing is known of them."""

NETWORKED = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "fuse.ceph",
        "fuse.davfs2",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
    ]
)
"""File systems on which SQLite's log and file locks are not safe: https://www.sqlite.org/wal.html."""

OLDEST_SQLITE = (3, 37, 0)
"""The first version with strict tables.

Versions from 3.7.0 to 3.51.2 can damage a database that two connections write or copy back at the same moment. A store
has one connection that writes, under a lock of the kernel, and opens every other one to read only.
"""

BALLAST = "ballast"


class Room(Value):
    """How much space a store wants, in bytes.

    Parameters
    ----------
    reserve
        With less than this free on the disk nothing new is begun.
    ballast
        The size of a file that is given up when the disk is full all the same, so that what is under way can still be
        recorded.
    """

    reserve: int = Field(default=64 << 20, ge=0, kw_only=False)
    ballast: int = Field(default=4 << 20, ge=0, kw_only=False)
    positional: ClassVar[tuple[str, ...]] = ("reserve", "ballast")


class Space:
    """The space around the store *folder*."""

    def __init__(self, folder: Path, room: Room) -> None:
        self._folder = folder
        self._room = room
        self._file = folder / BALLAST
        self._was_full = False

    def fill(self) -> None:
        """Lay the ballast by, where there is room for it beside the reserve."""
        size = self._file.stat().st_size if self._file.exists() else 0
        if size == self._room.ballast or self._free() + size < self._room.reserve + self._room.ballast:
            return
        number = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(number, self._room.ballast)
            if self._room.ballast:
                os.posix_fallocate(number, 0, self._room.ballast)
        finally:
            os.close(number)

    def give_up_ballast(self) -> bool:
        """Make room after the disk was found full; return whether there was any ballast left."""
        self._was_full = True
        try:
            fail_point("journal.before_ballast_is_given_up")
            self._file.unlink()
        except OSError:
            return False
        return True

    @property
    def shortage(self) -> str:
        """Why nothing new should be begun; empty where there is room."""
        free = self._free()
        if self._was_full:
            return f"the disk of {self._folder} was full, {_megabytes(free)} are free now"
        if free < self._room.reserve:
            return (
                f"{_megabytes(free)} are free on the disk of {self._folder}, and {_megabytes(self._room.reserve)} are "
                "kept in reserve"
            )
        return ""

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free


def _megabytes(n: int) -> str:
    return f"{n / 1e6:.3g} MB"


def check_library() -> None:
    """Raise JournalError where Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise JournalError(
            f"Python comes with SQLite {sqlite3.sqlite_version}, a journal needs {'.'.join(map(str, OLDEST_SQLITE))}",
            hint="install a newer Python",
        )


def check_place(folder: Path) -> None:
    """Raise JournalError where *folder* lies on a file system of the network."""
    kind = kind_of_file_system(folder)
    if kind in NETWORKED:
        raise JournalError(
            f"{folder} lies on a network file system ({kind}), where no lock and no sync can be relied on",
            hint="keep the store on a local disk, and its backups on the network",
        )


def kind_of_file_system(folder: Path) -> str:
    """Return the kind of file system that *folder* lies on, as the kernel calls it; empty where nobody says."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = folder.resolve(), -1, ""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = Path(mount.split()[4].encode().decode("unicode_escape"))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind
