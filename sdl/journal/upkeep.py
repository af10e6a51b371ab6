"""Backups of a store, and files in it that no event mentions."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sdl.errors import JournalError
from sdl.journal import sqlite
from sdl.journal.artifacts import ArtifactFolder, sync_folder
from sdl.journal.envelope import Head
from sdl.journal.lock import WriteLock
from sdl.journal.store import ARTIFACTS, DATABASE, LOCK, open_journal, require_store

_HASH = re.compile("[0-9a-f]{64}")


def backup(path: str | Path, target: str | Path) -> Head:
    """Copy the store *path* to the new folder *target*, while it is in use or not; return the head of the copy.

    The copy is a store like any other. It appears under its name when it is complete.

    Raises
    ------
    JournalNotFound
        There is no store.
    JournalError
        *target* exists, or cannot be written.
    """
    source, folder = Path(path), Path(target)
    open_journal(source, "read").close()
    if folder.exists():
        raise JournalError(f"{folder} exists already", hint="name a folder that does not exist yet")
    with sqlite.explained(folder):
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}-"))
        try:
            _copy_database(source / DATABASE, unfinished / DATABASE)
            # After the database, since a file is there before the first event that mentions it.
            _copy_artifacts(source / ARTIFACTS, unfinished / ARTIFACTS)
            unfinished.chmod(source.stat().st_mode)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(folder.absolute().parent)
    with open_journal(folder, "read") as copy:
        return copy.head


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite.connect(source, writable=False)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _copy_artifacts(source: Path, target: Path) -> None:
    target.mkdir()
    for file in ArtifactFolder(source).files():
        copied = target / file.relative_to(source)
        copied.parent.mkdir(exist_ok=True)
        shutil.copy2(file, copied)
        with copied.open("rb") as written:
            os.fsync(written.fileno())
        sync_folder(copied.parent)
    sync_folder(target)
    sync_folder(target.parent)


def orphans(path: str | Path) -> tuple[Path, ...]:
    """Return the files of the store *path* that no event mentions, and what is left of writes that never ended.

    While a campaign runs, the file of an event that is about to be recorded is among them.
    """
    folder = Path(path)
    database = require_store(folder)
    artifacts = ArtifactFolder(folder / ARTIFACTS)
    on_disk = [*artifacts.left_over(), *artifacts.files()]
    if not on_disk:
        return ()
    wanted: set[str] = set()
    with sqlite.explained(folder), closing(sqlite.connect(database, writable=False)) as connection:
        for (body,) in connection.execute("SELECT body FROM event"):
            # Any hash in any body counts, so that a file is kept when in doubt.
            wanted.update(_HASH.findall(body))
    return tuple(file for file in on_disk if file.name not in wanted)


def remove_orphans(path: str | Path) -> tuple[Path, ...]:
    """Remove the :func:`orphans` of a store that nobody writes to; return what was removed.

    Raises
    ------
    JournalLocked
        A campaign writes to it.
    """
    folder = Path(path)
    require_store(folder)
    lock = WriteLock(folder / LOCK)
    try:
        found = orphans(folder)
        for file in found:
            file.unlink()
    finally:
        lock.release()
    return found
