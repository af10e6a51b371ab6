"""The tables of a journal, the triggers that keep them append-only, and views for people who like SQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.types import REAL

from sdl.errors import JournalError, JournalNotFound, JournalVersionError

SCHEMA_VERSION = 1
"""Counts up with every change that older software could not read or write."""

metadata = MetaData()

# The 64-bit types by the names that SQLite's strict tables have for them.
_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
_DOUBLE = Double[float]().with_variant(REAL[float](), "sqlite")

EVENT = Table(
    "event",
    metadata,
    Column("sequence", _INTEGER, primary_key=True, autoincrement=False),
    Column("campaign", Text, nullable=False),
    Column("trial", _INTEGER),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("time", Text, nullable=False),
    Column("monotonic", _DOUBLE, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
)
"""One row an event; the columns stand in the order of the fields of :class:`~sdl.journal.records.Event`."""

META = Table(
    "meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False), sqlite_strict=True
)
"""What is known of the store itself: ``schema_version``, ``created_by``."""

# Documents are nine rows in ten, and are asked for by trial or all together. What is asked for by kind is the rest:
# this index gives it in the order of the journal. Every index costs each append a page to write.
NOT_DOCUMENT = text("kind <> 'document'")
LIFECYCLE_INDEX = "event_lifecycle"
Index(LIFECYCLE_INDEX, EVENT.c.sequence, EVENT.c.kind, sqlite_where=NOT_DOCUMENT, postgresql_where=NOT_DOCUMENT)
Index("event_trial", EVENT.c.campaign, EVENT.c.trial, EVENT.c.kind)

TRIGGERS = {
    "event_no_update": """
        CREATE TRIGGER event_no_update BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only: record a correction as a new event'); END""",
    "event_no_delete": """
        CREATE TRIGGER event_no_delete BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only: events are never deleted'); END""",
    "event_in_order": """
        CREATE TRIGGER event_in_order BEFORE INSERT ON event
        WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM event)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event goes to the end, with the next number'); END""",
}
"""SQLite's triggers by name. The last one also stops INSERT OR REPLACE, which no other trigger sees."""

VIEWS = {
    "trial_view": """
    CREATE VIEW trial_view AS
    WITH latest AS (
        SELECT campaign, trial, kind, body, time, max(sequence) AS sequence FROM event
        WHERE kind <> 'document' AND kind IN ('trial.proposed', 'trial.started', 'trial.attempt_failed',
            'trial.completed', 'trial.failed', 'trial.abandoned', 'trial.unknown', 'trial.resolved')
            OR (kind = 'step.recovered' AND json_extract(body, '$.action') = 'restart')
        GROUP BY campaign, trial)
    SELECT p.campaign, p.trial,
        CASE WHEN l.kind IN ('trial.started', 'trial.attempt_failed') THEN 'running'
            WHEN l.kind = 'step.recovered' THEN 'proposed'
            WHEN l.kind = 'trial.resolved' THEN CASE json_extract(l.body, '$.answer')
                WHEN 'continue' THEN 'running' WHEN 'redo' THEN 'proposed' ELSE json_extract(l.body, '$.answer') END
            ELSE substr(l.kind, 7) END AS state,
        json_extract(p.body, '$.values') AS parameters,
        json_extract(l.body, '$.observation.outcomes') AS outcomes,
        coalesce(json_extract(l.body, '$.failure.category') || ': ' || json_extract(l.body, '$.failure.reason'),
            json_extract(l.body, '$.reason')) AS reason,
        json_extract(l.body, '$.cost') AS cost,
        json_extract(p.body, '$.decision.planner') AS planner,
        p.time AS proposed_at,
        (SELECT max(time) FROM event s
            WHERE s.campaign = p.campaign AND s.trial = p.trial AND s.kind = 'trial.started') AS started_at,
        CASE WHEN l.kind IN ('trial.completed', 'trial.failed', 'trial.abandoned') THEN l.time END AS ended_at
    FROM event p JOIN latest l ON l.campaign = p.campaign AND l.trial = p.trial
    WHERE p.kind = 'trial.proposed' AND p.kind <> 'document'
    """,
    "document_view": """
    CREATE VIEW document_view AS
    SELECT sequence, campaign, trial, time,
        json_extract(body, '$.name') AS name,
        json_extract(body, '$.document.uid') AS uid,
        json_extract(body, '$.document.run_start') AS run,
        json_extract(body, '$.document.descriptor') AS descriptor,
        json_extract(body, '$.document') AS document
    FROM event WHERE kind = 'document'
    """,
    "run_view": """
    CREATE VIEW run_view AS
    SELECT b.campaign, b.trial, b.uid AS run,
        json_extract(b.document, '$.plan_name') AS plan,
        json_extract(b.document, '$.step') AS step,
        json_extract(b.document, '$.attempt') AS attempt,
        b.time AS started_at,
        e.time AS ended_at,
        json_extract(e.document, '$.exit_status') AS exit_status,
        json_extract(e.document, '$.reason') AS reason,
        json_extract(e.document, '$.num_events') AS num_events
    FROM document_view b
    LEFT JOIN document_view e ON e.campaign = b.campaign AND e.trial IS b.trial AND e.name = 'stop' AND e.run = b.uid
    WHERE b.name = 'start'
    """,
}
"""SQLite's views by name: one row a trial, a document, a run."""


def create(connection: Connection, software: str) -> None:
    """Make the tables in an empty database, inside the transaction of *connection*."""
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        for statement in (TRIGGERS | VIEWS).values():
            connection.exec_driver_sql(statement)
    rows = [{"key": "schema_version", "value": str(SCHEMA_VERSION)}, {"key": "created_by", "value": f"sdl {software}"}]
    connection.execute(insert(META), rows)


def is_empty(connection: Connection) -> bool:
    """Say whether the database has no tables yet: it is new, or its making was cut off."""
    return not inspect(connection).get_table_names()


def check(connection: Connection, path: Path) -> None:
    """Raise unless the database holds a journal of this version.

    Raises
    ------
    JournalNotFound
        It holds nothing yet.
    JournalError
        It holds something else.
    JournalVersionError
        It was made by an older or a newer version of the software.
    """
    if is_empty(connection):
        raise JournalNotFound(f"{path} holds no journal yet", hint="open it for writing once, which makes one")
    if not inspect(connection).has_table(META.name):
        raise JournalError(f"{path} is a database of another program", hint="name the folder that sdl made")
    found = dict(connection.execute(select(META.c.key, META.c.value)).all())
    version, software = found.get("schema_version", "none"), found.get("created_by", "an unknown version of sdl")
    if version != str(SCHEMA_VERSION):
        raise JournalVersionError(
            f"{path} has schema version {version} (made by {software}); this sdl reads and writes {SCHEMA_VERSION}",
            hint=_way_out(version),
        )


def _way_out(version: str) -> str:
    if version.isdecimal() and int(version) > SCHEMA_VERSION:
        return "install the newer sdl that made it"
    return "read it with the sdl that made it, or start a new store"
