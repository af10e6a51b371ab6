"""A small file whose room is taken beforehand: for the few words that must be kept when nothing else can be written."""

from __future__ import annotations

import logging
import os
from pathlib import Path

ROOM = 8192
"""Bytes that are written ahead. A longer text is tried as well, and needs a disk that is not full."""

_LOG = logging.getLogger("sdl.journal")


class Spare:
    """Keeps one text in the file *path*, or nothing.

    On a disk that is full its blocks are there already; on one that fails a write to another place may still succeed,
    or not: :meth:`keep` says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def lay_by(self) -> None:
        """Take the room. Does nothing where it is taken; a disk that does not give it is no reason to stop here."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.keep("")
            return
        if found.st_size < ROOM and not self.kept():
            self.keep("")

    def keep(self, text: str) -> bool:
        """Put *text* in the place of what was kept, synced to the disk; say whether that succeeded."""
        data = text.encode().ljust(ROOM)
        try:
            number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)  # as the journal beside it
            try:
                is_whole = os.pwrite(number, data, 0) == len(data)
                if is_whole:
                    os.ftruncate(number, len(data))
                os.fsync(number)
            finally:
                os.close(number)
        except OSError as error:
            _LOG.error("%s cannot be written either: %s", self.path, error)
            return False
        return is_whole

    def kept(self) -> str:
        """Return what was kept; empty where nothing was."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").replace("\0", "").strip()
        except FileNotFoundError:
            return ""
