"""Is a store still what was written to it?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from sdl.errors import JournalCorrupt, ProblemError
from sdl.journal import schema, sqlite
from sdl.journal.artifacts import ArtifactFolder, file_digest
from sdl.journal.envelope import GENESIS, Head, is_unchanged
from sdl.journal.records import Artifact, Event
from sdl.journal.store import ARTIFACTS, DATABASE, open_journal
from sdl.problem.value import Tuple, Value

Check = Literal["database", "schema", "sequence", "hash", "chain", "body", "artifact", "head"]


class Finding(Value):
    """What one check found wrong.

    Parameters
    ----------
    check
        ``database``: SQLite's own check. ``schema``: a trigger that keeps the journal append-only, or a view,
        is gone or was changed.
        ``sequence``: an event is missing. ``hash``: an event was changed. ``chain``: an event does not follow the one
        before it. ``body``: it cannot be read. ``artifact``: a file is missing or changed. ``head``: the journal does
        not contain the head that was noted elsewhere.
    sequence
        The first event that is concerned; None where no event is.
    message
        What is wrong there.
    n
        How often this check failed.
    """

    check: Check
    sequence: int | None
    message: str
    n: int = 1

    def __str__(self) -> str:
        more = f" (and {self.n - 1} more like it)" if self.n > 1 else ""
        return f"{self.check}: {self.message}{more}"


class VerifyReport(Value):
    """What :func:`verify` found: how much it looked at, the head of the chain, and one finding a check that failed."""

    n_events: int
    n_artifacts: int
    head: tuple[int, str]
    problems: Tuple[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: str | Path, *, expected_head: Head | None = None) -> VerifyReport:
    """Check the store *path* from end to end, while it is in use or not.

    A chain of hashes shows every event that was changed, taken out, put in or moved, but not one cut off at its end
    nor one that was written anew from the start. For these, note the head elsewhere from time to time, and give it as
    *expected_head*.

    Raises
    ------
    JournalNotFound
        There is no store.
    JournalVersionError
        It was made by an older or newer version of the software.
    """
    folder = Path(path)
    audit = _Audit(folder)
    try:
        open_journal(folder, "read").close()
    except JournalCorrupt as error:
        audit.add("database", None, error.message)
        return audit.report()
    with sqlite.explained(folder), closing(sqlite.connect(folder / DATABASE, writable=False)) as connection:
        # Text that is no longer UTF-8 shall be found and named, not end the search.
        connection.text_factory = _decoded
        connection.execute("BEGIN")
        audit.run(connection, expected_head)
    return audit.report()


class _Audit:
    """Collects findings. Each of the methods that begin with ``_check`` looks at one thing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[Check, Finding] = {}
        self._artifacts: dict[str, tuple[int, Artifact]] = {}
        self._n_events = 0
        self._head: Head = GENESIS

    def add(self, check: Check, sequence: int | None, message: str) -> None:
        """Note a failure; the first of each check is told, the others are counted."""
        first = self._found.get(check)
        self._found[check] = (
            Finding(check=check, sequence=sequence, message=message) if first is None else first.replace(n=first.n + 1)
        )

    def report(self) -> VerifyReport:
        """Return what was found, the earliest event first."""
        problems = sorted(self._found.values(), key=lambda found: found.sequence or 0)
        return VerifyReport(
            n_events=self._n_events, n_artifacts=len(self._artifacts), head=self._head, problems=tuple(problems)
        )

    def run(self, connection: sqlite3.Connection, expected: Head | None) -> None:
        """Make all checks."""
        try:
            self._check_database(connection)
            self._check_schema(connection)
            for found in connection.execute(_ALL_EVENTS):
                self._check_event(Event(*found), expected)
        except sqlite3.DatabaseError as error:
            if not getattr(error, "sqlite_errorname", "").startswith(_DAMAGE):
                raise
            self.add("database", None, f"SQLite stopped after event {self._head[0]}: {error}")
        self._check_artifacts()
        if expected is not None and expected[0] > self._head[0]:
            self.add("head", self._head[0] + 1, f"the end was cut off: {expected[0]} events were noted before")

    def _check_database(self, connection: sqlite3.Connection) -> None:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                self.add("database", None, str(line))

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"))
        for name, statement in (schema.TRIGGERS | schema.VIEWS).items():
            if str(found.get(name)).split() != statement.split():
                self.add("schema", None, f"the {statement.split()[1].lower()} {name} is missing or was changed")

    def _check_event(self, event: Event, expected: Head | None) -> None:
        sequence, (last, last_hash) = event.sequence, self._head
        if sequence != last + 1:
            self.add("sequence", last + 1, f"event {last + 1} is missing: {sequence} follows {last}")
        if event.previous_hash != last_hash:
            self.add("chain", sequence, f"event {sequence} does not follow the one before it")
        if not is_unchanged(event):
            self.add("hash", sequence, f"event {sequence} was changed after it was recorded")
        if expected is not None and sequence == expected[0] and event.hash != expected[1]:
            self.add("head", sequence, f"event {sequence} is not the one that was noted before")
        self._check_body(event)
        self._n_events += 1
        self._head = (sequence, event.hash)

    def _check_body(self, event: Event) -> None:
        try:
            kind = event.body.kind
        except JournalCorrupt as error:
            self.add("body", event.sequence, error.message)
            return
        if kind != event.kind:
            self.add("body", event.sequence, f"event {event.sequence} is filed as {event.kind}, its body says {kind}")
        if '"sha256"' in event.text:
            for artifact in mentioned(json.loads(event.text)):
                self._artifacts.setdefault(artifact.sha256, (event.sequence, artifact))

    def _check_artifacts(self) -> None:
        folder = ArtifactFolder(self._folder / ARTIFACTS)
        for sequence, artifact in self._artifacts.values():
            path = folder.path(artifact.sha256)
            found = file_digest(path)
            if found != artifact.sha256:
                what = "is missing" if found is None else "was changed"
                self.add("artifact", sequence, f"the file {path} of event {sequence} ({artifact.name!r}) {what}")


_ALL_EVENTS = (
    "SELECT sequence, campaign, trial, kind, actor, time, monotonic, boot_id, version, body, previous_hash, hash"
    " FROM event NOT INDEXED ORDER BY sequence"
)
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")


def _decoded(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def mentioned(data: JsonValue) -> Iterator[Artifact]:
    """Yield every artifact in the JSON of a body, at any depth."""
    if isinstance(data, dict):
        if data.keys() == Artifact.model_fields.keys():
            with suppress(ProblemError):
                yield Artifact.from_data(data)
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from mentioned(item)
