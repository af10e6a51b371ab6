"""The journal in a database. The statements are SQLAlchemy's, so that another database than SQLite can keep it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import ColumnClause, Connection, Engine, Select, column, insert, select, text

from sdl.errors import JournalCorrupt, JournalError, JournalNotFound
from sdl.failpoints import fail_point
from sdl.journal import schema, sqlite
from sdl.journal.artifacts import ArtifactFolder, is_about_room, sync_folder
from sdl.journal.envelope import GENESIS, Head, Stamp, is_unchanged
from sdl.journal.lock import WriteLock
from sdl.journal.place import BALLAST, Room, Space, check_library, check_place
from sdl.journal.protocol import TimeSource
from sdl.journal.records import Artifact, Entry, Event
from sdl.journal.schema import EVENT
from sdl.problem.value import listing

DATABASE, ARTIFACTS, LOCK = "journal.db", "artifacts", "lock"
"""What lies in the folder of a store."""

_PAGE = 1000
"""Rows that one query fetches: no reader holds a transaction open for longer than that takes."""


class SqlJournal:
    """A journal in the database behind *reader* and *writer*; :func:`open_journal` makes one of a folder.

    Appending is safe from any thread, and so is reading. After an error of the database or the disk nothing more is
    appended: whether the disk still keeps what it is given is not known then.

    Parameters
    ----------
    path
        Names the store in messages.
    reader
        Connections to read with.
    writer
        The connection to write with; None for a journal that is only read.
    artifacts
        Where the files are.
    stamp
        What is added to every entry.
    space
        The room on the disk; None where nobody looks after it.
    on_close
        Called once by :meth:`close`.
    """

    def __init__(
        self,
        path: Path,
        *,
        reader: Engine,
        writer: Engine | None,
        artifacts: ArtifactFolder,
        stamp: Stamp,
        space: Space | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._reader = reader
        self._dialect = reader.dialect.name
        self._writer = None if writer is None else _Writer(writer)
        self._artifacts = artifacts
        self._stamp = stamp
        self._space = space
        self._on_close = on_close
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._head: Head | None = None
        self._failure: JournalError | None = None
        self._is_closed = False

    @property
    def boot_id(self) -> str:
        """The id that events of this process carry."""
        return self._stamp.boot_id

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, *entries: Entry) -> Sequence[Event]:
        """Record *entries* together, durably, or none of them; return the events that they became.

        Raises
        ------
        JournalError
            Nothing was recorded. If the disk or the database was the cause, the journal stays shut for appending.
        """
        with self._mutex:
            writer = self._require_writer()
            events = self._stamp.events(entries, self._known_head())
            if events:
                self._write(writer, events)
        return events

    def hold(self) -> AbstractContextManager[object]:
        """Let no other thread append until the block ends; see :class:`~sdl.journal.Journal`."""
        return self._mutex

    def _write(self, writer: _Writer, events: Sequence[Event]) -> None:
        # Should anything interrupt this, a signal for one, the database knows what became of it; so its head is read
        # anew, unless the end is reached.
        self._head = None
        try:
            with sqlite.explained(self.path):
                self._write_in_room(writer, events)
        except JournalError as error:
            self._failure = error
            raise
        self._head = (events[-1].sequence, events[-1].hash)

    def _write_in_room(self, writer: _Writer, events: Sequence[Event]) -> None:
        """Write; once more without the ballast where the disk is full. No other error is worth a second try."""
        try:
            writer.write(events)
        except sqlite.FULL as error:
            if not sqlite.is_full(error) or self._space is None or not self._space.give_up_ballast():
                raise
            writer.write(events)

    @property
    def shortage(self) -> str:
        """Why nothing new should be begun, in words; empty where there is room on the disk."""
        return "" if self._space is None else self._space.shortage

    def _require_writer(self) -> _Writer:
        self._require_open()
        if self._writer is None:
            raise JournalError(f"{self.path} is open for reading only", hint="open it with mode='write'")
        if self._failure is not None:
            raise JournalError(
                f"{self.path} takes no more events after an error: {self._failure.message}",
                hint="remove the cause, then open the store again",
            ) from self._failure
        return self._writer

    def _require_open(self) -> None:
        if self._is_closed:
            raise JournalError(f"{self.path} is closed", hint="open it again")
        if os.getpid() != self._pid:
            raise JournalError(
                f"the journal of {self.path} belongs to the process that opened it",
                hint="in a forked child, open the store with mode='read'",
            )

    def keep_time(self, time_source: TimeSource) -> None:
        """Take the time of events from *time_source* from now on: a campaign goes by its laboratory's clock."""
        with self._mutex:
            self._stamp.time_source = time_source

    def put(self, data: bytes, *, name: str, media_type: str = "application/octet-stream") -> Artifact:
        """Keep *data* as a file named by its SHA-256, durably, before any event mentions it."""
        with self._mutex:
            self._require_writer()
        try:
            return self._put_in_room(data, name=name, media_type=media_type)
        except JournalError as error:
            if not is_about_room(error):
                self._failure = error
            raise

    def _put_in_room(self, data: bytes, *, name: str, media_type: str) -> Artifact:
        try:
            return self._artifacts.put(data, name=name, media_type=media_type)
        except JournalError as error:
            if not is_about_room(error) or self._space is None or not self._space.give_up_ballast():
                raise
        return self._artifacts.put(data, name=name, media_type=media_type)

    # --- reading ------------------------------------------------------------------------------------------------------

    def get(self, artifact: Artifact) -> bytes:
        """Return the bytes of *artifact*, verified against its hash."""
        self._require_open()
        return self._artifacts.get(artifact)

    def read(
        self,
        after: int = 0,
        *,
        campaign: str | None = None,
        trial: int | None = None,
        kinds: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield the events with a sequence number greater than *after*, oldest first, that match every filter given.

        The journal is read as it is when the first event is asked for; what is appended meanwhile is left out.
        """
        query = _filtered(self._dialect, campaign, trial, kinds)
        last = self.head[0]
        while True:
            page = self._fetch(query.where(_SEQUENCE.between(after + 1, last)))
            yield from map(Event._make, page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def _fetch(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        self._require_open()
        with sqlite.explained(self.path), self._reader.begin() as connection:
            # The driver's own rows are plain tuples, which unpack much faster than SQLAlchemy's; no column needs a
            # conversion.
            cursor = connection.execute(query).cursor
            return () if cursor is None else cursor.fetchall()

    @property
    def head(self) -> Head:
        """The sequence number and the hash of the last event, ``(0, "0" * 64)`` for an empty journal."""
        with self._mutex:
            return self._known_head() if self._writer is not None else self._stored_head()

    def _known_head(self) -> Head:
        if self._head is None:
            self._head = self._stored_head()
        return self._head

    def _stored_head(self) -> Head:
        found = self._fetch(select(EVENT.c.sequence, EVENT.c.hash).order_by(EVENT.c.sequence.desc()).limit(1))
        return (found[0][0], found[0][1]) if found else GENESIS

    @property
    def campaigns(self) -> Sequence[str]:
        """The names of the campaigns that were opened in this journal, oldest first."""
        opened = _filtered(self._dialect, None, None, ("campaign.opened",)).limit(None)
        found = self._fetch(opened.with_only_columns(_COLUMNS["campaign"], maintain_column_froms=True))
        return tuple(dict.fromkeys(name for (name,) in found))

    # --- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the lock and the files. Does nothing the second time."""
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed = True
            if os.getpid() != self._pid:
                return  # a forked child leaves the files alone: they are its parent's
            self._reader.dispose()
            if self._writer is not None:
                self._writer.close()
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Writer:
    """The one connection that writes.

    It speaks to the driver itself (PEP 249), with the statement written out once: that takes a third of the time, and
    nothing lies between that a signal could leave half done.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = engine.raw_connection()
        self._is_positional = engine.dialect.positional
        self._statement = str(insert(EVENT).compile(dialect=engine.dialect))

    def write(self, events: Sequence[Event]) -> None:
        """Add *events* and make them durable, or undo it all."""
        rows = events if self._is_positional else [dict(zip(_COLUMNS, event, strict=True)) for event in events]
        try:
            fail_point("journal.before_insert")
            self._connection.cursor().executemany(self._statement, rows)
            fail_point("journal.before_commit")
            self._connection.commit()
            fail_point("journal.after_commit")
        except BaseException:
            self._connection.rollback()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._engine.dispose()


_COLUMNS: dict[str, ColumnClause[Any]] = {item.name: column(item.name) for item in EVENT.columns}
_SEQUENCE = _COLUMNS["sequence"]


def _filtered(
    dialect: str, campaign: str | None, trial: int | None, kinds: Collection[str] | None
) -> Select[*tuple[Any, ...]]:
    """Return the query for a page of matching rows, in order."""
    query = select(*_COLUMNS.values()).order_by(_SEQUENCE).limit(_PAGE)
    query = query.select_from(text(EVENT.name + (_access(campaign, trial, kinds) if dialect == "sqlite" else "")))
    if campaign is not None:
        query = query.where(_COLUMNS["campaign"] == campaign)
    if trial is not None:
        query = query.where(_COLUMNS["trial"] == trial)
    if kinds is not None:
        query = query.where(_COLUMNS["kind"].in_(sorted(kinds)))
        if "document" not in kinds:
            query = query.where(schema.NOT_DOCUMENT)
    return query


def _access(campaign: str | None, trial: int | None, kinds: Collection[str] | None) -> str:
    """Return how SQLite is to find the rows.

    Left alone, it would look them up by campaign or kind and then sort all of them, again for every page; these ways
    give them in order. The rows of one trial are few.
    """
    if campaign is not None and trial is not None:
        return ""
    if kinds is None or "document" in kinds:
        return " NOT INDEXED"
    return f" INDEXED BY {schema.LIFECYCLE_INDEX}"


# --- a store is a folder ----------------------------------------------------------------------------------------------


def open_journal(
    path: str | Path,
    mode: Literal["write", "read"] = "write",
    *,
    time_source: TimeSource | None = None,
    boot_id: str | None = None,
    version: str | None = None,
    room: Room | None = None,
) -> SqlJournal:
    """Open the store in the folder *path*.

    Parameters
    ----------
    path
        The folder, by custom ``NAME.sdl``.
    mode
        ``"write"`` makes the store where there is none, and locks it against other writers. ``"read"`` neither makes
        nor locks; it works while another process writes.
    time_source
        Where the times of events come from: the laboratory's clock, or by default the machine's.
    boot_id, version
        What events of this process carry; a new id and the version of sdl by default.
    room
        How much space is kept free for it.

    Raises
    ------
    JournalNotFound
        There is no store to read.
    JournalLocked
        Another process writes to it.
    JournalVersionError
        An older or newer version of the software made it.
    JournalCorrupt
        The database, or the last event, is damaged.
    JournalError
        *path* is something else, lies on a network file system, or the disk refuses.
    """
    folder = Path(path)
    stamp = Stamp(time_source, boot_id=boot_id, version=version)
    if mode == "read":
        return _open_to_read(folder, stamp)
    if mode != "write":
        raise JournalError(f"a journal is opened with mode 'write' or 'read', got {mode!r}")
    _prepare(folder)
    fail_point("journal.folder_made")
    lock = WriteLock(folder / LOCK)
    try:
        return _open_to_write(folder, stamp, lock, Space(folder, room or Room()))
    except BaseException:
        lock.release()
        raise


def _open_to_read(folder: Path, stamp: Stamp) -> SqlJournal:
    database = require_store(folder)
    reader = sqlite.reader(database)
    try:
        with sqlite.explained(folder), reader.begin() as connection:
            schema.check(connection, folder)
    except BaseException:
        reader.dispose()
        raise
    return SqlJournal(folder, reader=reader, writer=None, artifacts=ArtifactFolder(folder / ARTIFACTS), stamp=stamp)


def _open_to_write(folder: Path, stamp: Stamp, lock: WriteLock, space: Space) -> SqlJournal:
    database = folder / DATABASE
    check_library()
    check_place(folder)
    _make_sure(database)
    writer = sqlite.writer(database)
    try:
        with sqlite.explained(folder), writer.begin() as connection:
            if schema.is_empty(connection):
                schema.create(connection, stamp.version)
            schema.check(connection, folder)
            _check_last(connection, folder)
            fail_point("journal.before_opened")
        fail_point("journal.opened")
        with sqlite.explained(folder):
            sync_folder(folder)
            sync_folder(folder.absolute().parent)
            space.fill()
    except BaseException:
        writer.dispose()
        raise
    return SqlJournal(
        folder,
        reader=sqlite.reader(database),
        writer=writer,
        artifacts=ArtifactFolder(folder / ARTIFACTS),
        stamp=stamp,
        space=space,
        on_close=lock.release,
    )


def _make_sure(database: Path) -> None:
    """Make the name of a new database durable before SQLite puts other files beside it.

    After a power loss those could be there without it, and the folder would not be known for a store.
    """
    with sqlite.explained(database.parent):
        if not database.exists():
            database.touch()
            sync_folder(database.parent)
            fail_point("journal.file_made")


def _check_last(connection: Connection, folder: Path) -> None:
    """Refuse to add to a journal whose end is damaged; ``verify`` looks at all of it."""
    for found in connection.execute(select(EVENT).order_by(EVENT.c.sequence.desc()).limit(1)):
        last = Event(*found)
        if not is_unchanged(last):
            raise JournalCorrupt(
                f"the last event of {folder}, number {last.sequence}, does not match its hash",
                hint="restore the store from a backup; sdl verify says what is wrong",
            )


def require_store(folder: Path) -> Path:
    """Return the database file of the store *folder*. Raises JournalNotFound, or JournalError for something else."""
    database = folder / DATABASE
    if folder.is_file():
        raise JournalError(f"{folder} is a file, a store is a folder", hint=f"name the folder that holds {DATABASE}")
    if not folder.exists():
        raise JournalNotFound(
            f"there is no store {folder}", hint="check the name; a campaign makes its store when it runs"
        )
    if not database.is_file():
        raise JournalNotFound(
            f"{folder} is a folder, but not a store: it holds no {DATABASE}", hint="name another folder"
        )
    return database


def _prepare(folder: Path) -> None:
    """Make the folder, unless something else is in its place."""
    if folder.is_file():
        raise JournalError(f"{folder} is a file, a store is a folder", hint="name another place for the store")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / DATABASE).exists():
            strangers = sorted(item.name for item in folder.iterdir() if item.name not in _OURS)
            if strangers:
                raise JournalError(
                    f"{folder} is a folder, but not a store: it holds {listing(strangers, 3)}",
                    hint="name a folder that is new or empty",
                )
        (folder / ARTIFACTS).mkdir(exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"{folder} cannot be made: {error.strerror}", hint="choose a place where you may write"
        ) from error


_OURS = {ARTIFACTS, LOCK, BALLAST}
