"""SQLite below a journal: how connections are opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from sdl.errors import JournalCorrupt, JournalError, JournalNotFound

BUSY_SECONDS = 5.0
"""How long a statement waits for a lock. Only other programs hold one: sdl has one writer, and readers block nobody."""

_WRITER_PRAGMAS: Mapping[str, str | int] = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "mmap_size": 0}
_READER_PRAGMAS: Mapping[str, str | int] = {"query_only": 1, "mmap_size": 0}


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open the database file *path*, set the pragmas and check that they took.

    A reader opens it ``mode=ro``: it takes no lock that a writer would wait for, and never writes to the database. It
    shares the writer's ``-shm`` file, or makes one.
    """
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if writable else 'ro'}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False
    )
    try:
        for pragma, wanted in (_WRITER_PRAGMAS if writable else _READER_PRAGMAS).items():
            _set(connection, pragma, wanted, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set(connection: sqlite3.Connection, pragma: str, wanted: str | int, path: Path) -> None:
    connection.execute(f"PRAGMA {pragma} = {wanted}")
    (found,) = connection.execute(f"PRAGMA {pragma}").fetchone() or (None,)
    if found != wanted:
        raise JournalError(
            f"SQLite did not take PRAGMA {pragma} = {wanted} for {path}: it is {found}",
            hint="a journal needs a local disk with working file locks",
        )


def writer(path: Path) -> Engine:
    """Return an engine with the one connection that writes.

    A transaction begins with the right to write: the driver sees to it for INSERT, the listener for the rest.
    """
    engine = create_engine("sqlite://", creator=lambda: connect(path, writable=True), poolclass=StaticPool)
    event.listen(engine, "begin", _begin_to_write)
    return engine


def reader(path: Path) -> Engine:
    """Return an engine with as many connections as there are threads that read at once."""
    engine = create_engine(
        "sqlite://", creator=lambda: connect(path, writable=False), poolclass=QueuePool, pool_size=2, max_overflow=-1
    )
    event.listen(engine, "begin", _begin_to_read)
    return engine


def _begin_to_write(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_to_read(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn what SQLite raises about the store *path* into our errors."""
    try:
        yield
    except JournalError:
        raise
    except DBAPIError as error:
        raise explain(error.orig or error, path) from error
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


FULL = sqlite3.OperationalError
"""What SQLite raises, among other things, when the disk is full."""


def is_full(error: sqlite3.Error) -> bool:
    """Say whether *error* tells of a full disk: the transaction is undone, and the database is sound."""
    return error.sqlite_errorname == "SQLITE_FULL"


def explain(error: BaseException, path: Path) -> JournalError:
    """Return the journal error that says what *error* means for the store *path*."""
    name = str(getattr(error, "sqlite_errorname", ""))
    said = f"{str(error).partition(chr(10))[0]}{f' [{name}]' if name else ''}"
    for prefix, kind, meaning, hint in _MEANINGS:
        if name.startswith(prefix):
            return kind(f"{path} {meaning}: {said}", hint=hint)
    return JournalError(f"{path}: {said}", hint="sdl verify says whether the store is sound")


_MEANINGS = (
    ("SQLITE_NOTADB", JournalCorrupt, "holds a journal.db that is no database", "restore it from a backup"),
    ("SQLITE_CORRUPT", JournalCorrupt, "is damaged", "sdl verify says where; restore it from a backup"),
    ("SQLITE_FULL", JournalError, "has no space left on the disk", "free space, then open the store again"),
    ("SQLITE_IOERR", JournalError, "cannot be read or written", "check the disk, then open the store again"),
    ("SQLITE_BUSY", JournalError, "is locked by another program", "close the program that has the database open"),
    (
        "SQLITE_READONLY_ROLLBACK",  # before its first commit; from then on it has a log, and nothing to roll back
        JournalNotFound,
        "holds no journal yet: whoever made it was killed as it did",
        "open it for writing once, which makes one; running the campaign does",
    ),
    (
        "SQLITE_READONLY",
        JournalError,
        "lies in a folder that may not be written, which even reading a closed journal needs",
        "copy the folder to a place where you may write, and open the copy",
    ),
    ("SQLITE_CANTOPEN", JournalError, "cannot be opened", "check that you may read and write the folder"),
)
