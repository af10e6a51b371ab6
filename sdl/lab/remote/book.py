"""The station's own book: what it was told to do, and how that ended, on its own disk.

A file that is only appended to. Every line is synced before what it says is done, and carries its own checksum. A line
that a crash cut off is the last one: it was not synced, so what it says was not begun, and it is dropped. A latch that
the book cannot take, because its disk is full or fails, is kept in a small file beside it, and comes into the book when
that is opened next.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from sdl.errors import LabError
from sdl.journal.spare import Spare

Record = Mapping[str, Any]


class Keeper(Protocol):
    """Keeps records."""

    def append(self, record: Record) -> None:
        """Keep *record*; it is on the disk when this returns."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield what was kept, oldest first."""
        ...


class Book:
    """A book in the file *path*, which one process has open at a time.

    Raises
    ------
    LabError
        A line before the last one is not what was written, or a latch beside the book is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._failed = ""
        self._records = list(self._read())
        self._spare = Spare(path.with_suffix(".latch"))
        self._take_up_latch()
        self._spare.lay_by()
        _sync_folder(path.parent)

    def records(self) -> Iterator[Record]:
        """Yield what was in the book when it was opened, oldest first."""
        yield from self._records

    def append(self, record: Record) -> None:
        """Write a line and sync it. After an error of the disk nothing more is written: what it has is not known."""
        if self._failed:
            self._keep_latch(record)
            raise LabError(f"{self.path} could not be written: {self._failed}", hint="start the station anew")
        try:
            line = _line(record)
            if os.write(self._number, line) != len(line):
                raise OSError("the disk is full")  # noqa: TRY301 # handled as the disk's own errors are
            os.fsync(self._number)
        except OSError as error:
            self._failed = str(error)
            self._keep_latch(record)
            raise LabError(f"{self.path} cannot be written: {error}", hint="start the station anew") from error

    def _keep_latch(self, record: Record) -> None:
        if record["kind"] == "latch":
            self._spare.keep(_line(record).decode())

    def _take_up_latch(self) -> None:
        """Write what was kept beside the book into it."""
        kept = self._spare.kept()
        if not kept:
            return
        record = _record(kept.encode())
        if record is None:
            raise LabError(
                f"{self._spare.path} keeps a latch that cannot be read",
                hint="the station was latched while its disk failed: look at it, then delete that file",
            )
        self.append(record)
        self._records.append(record)
        self._spare.keep("")

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)

    def _read(self) -> Iterator[Record]:
        data = self.path.read_bytes()
        lines = data.split(b"\n")
        good = 0
        for index, line in enumerate(lines[:-1]):
            record = _record(line)
            if record is None:
                if index < len(lines) - 2 or lines[-1]:
                    raise LabError(
                        f"{self.path}, line {index + 1}, is not what was written",
                        hint="nobody knows what this station has done: look, and begin a new book",
                    )
                break
            good += len(line) + 1
            yield record
        if good < len(data):
            os.ftruncate(self._number, good)
            os.fsync(self._number)


def _line(record: Record) -> bytes:
    text = json.dumps(dict(record), ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> Record | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    return cast("Record", json.loads(text))


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
