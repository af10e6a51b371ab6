"""Whatever is changed in a store, verify finds it and says where it begins."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sdl.errors import JournalError, JournalNotFound
from sdl.journal import VerifyReport, open_journal, verify
from sdl.journal.envelope import GENESIS, chain_hash
from sdl.journal.records import Artifact, DocumentEmitted, Entry, Event, Failure, FailureCategory, TrialFailed
from sdl.testing.journal import SteppingTime, comment, proposed

N = 30
COLUMNS = "sequence, campaign, trial, kind, actor, time, monotonic, boot_id, version, body, previous_hash, hash"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "store.sdl"
    with open_journal(path, time_source=SteppingTime()) as journal:
        raw = journal.put(b"counts\n1\n2\n", name="counts.csv")
        image = journal.put(b"\x00\x01", name="image.raw")
        failure = Failure(category=FailureCategory.DEVICE, reason="no answer", raw=raw)
        journal.append(Entry(TrialFailed(failure=failure), "a", 1))
        data = {"data": {"image": image.model_dump(mode="json")}, "firmware": {"sha256": "ff" * 32}}
        journal.append(Entry(DocumentEmitted.from_data({"name": "event", "document": data}), "a", 1))
        journal.append(*(Entry(proposed(i / N), "a", i) for i in range(2, 10)))
        for i in range(11, N + 1):
            journal.append(comment(f"number {i}"))
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy.sdl")


def change(path: Path, *statements: str) -> None:
    """Do to the database what somebody does who knows how to drop a trigger, and to put it back."""
    with closing(sqlite3.connect(path / "journal.db")) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()


def found(report: VerifyReport) -> dict[str, int | None]:
    """What each check named first."""
    assert report.ok == (not report.problems)
    return {problem.check: problem.sequence for problem in report.problems}


def test_a_sound_store_verifies(original: Path) -> None:
    report = verify(original)
    assert report.ok
    assert (report.n_events, report.n_artifacts, report.problems) == (N, 2, ())
    with open_journal(original, "read") as journal:
        assert report.head == journal.head
    assert verify(original, expected_head=report.head).ok
    assert VerifyReport.from_json(report.to_json()) == report


def test_an_empty_store_verifies_and_a_missing_one_is_named(tmp_path: Path) -> None:
    open_journal(tmp_path / "new.sdl").close()
    report = verify(tmp_path / "new.sdl")
    assert (report.ok, report.n_events, report.head) == (True, 0, GENESIS)
    with pytest.raises(JournalNotFound):
        verify(tmp_path / "nothing.sdl")


@pytest.mark.parametrize(
    "assignment",
    [
        "campaign = 'b'",
        "trial = 8",
        "trial = NULL",
        "actor = 'somebody else'",
        "time = '2026-01-01T00:00:00.000000+00:00'",
        "monotonic = monotonic + 1e-6",
        "boot_id = 'x'",
        "version = '9.9'",
        "body = replace(body, '0.25', '0.26')",
        "body = body || ' '",
        "hash = upper(hash)",
    ],
)
def test_a_changed_event_is_found(copy: Path, assignment: str) -> None:
    change(copy, f"UPDATE event SET {assignment} WHERE sequence = 5")
    assert found(verify(copy))["hash"] == 5


def test_a_body_that_is_filed_under_another_kind_is_found(copy: Path) -> None:
    change(copy, "UPDATE event SET kind = 'comment' WHERE sequence = 5")
    report = verify(copy)
    assert found(report) == {"hash": 5, "body": 5}
    assert any("filed as comment" in str(problem) for problem in report.problems)


@pytest.mark.parametrize("body", ["{}", "", "null", """{"kind":"comment","text":5}""", """{"kind":"unheard of"}"""])
def test_a_body_that_cannot_be_read_is_found(copy: Path, body: str) -> None:
    change(copy, f"UPDATE event SET body = '{body}' WHERE sequence = 12")
    assert found(verify(copy)) == {"hash": 12, "body": 12}


def test_text_that_is_no_text_is_found(copy: Path) -> None:
    change(copy, "UPDATE event SET actor = CAST(x'ff41' AS TEXT) WHERE sequence = 12")
    assert found(verify(copy))["hash"] == 12


@pytest.mark.parametrize("number", [1, 2, 17, N - 1])
def test_a_deleted_event_is_found(copy: Path, number: int) -> None:
    change(copy, f"DELETE FROM event WHERE sequence = {number}")
    report = verify(copy)
    assert found(report) == {"sequence": number, "chain": number + 1}
    assert report.n_events == N - 1


def test_a_deletion_that_renumbers_the_rest_is_found(copy: Path) -> None:
    change(
        copy, "DELETE FROM event WHERE sequence = 17", "UPDATE event SET sequence = sequence - 1 WHERE sequence > 17"
    )
    assert found(verify(copy)) == {"chain": 17, "hash": 17}


def test_an_inserted_event_is_found(copy: Path) -> None:
    change(
        copy,
        *(f"UPDATE event SET sequence = {i + 1} WHERE sequence = {i}" for i in range(N, 19, -1)),
        f"INSERT INTO event SELECT {COLUMNS.replace('sequence', '20', 1)} FROM event WHERE sequence = 19",
    )
    report = verify(copy)
    assert found(report) == {"chain": 20, "hash": 20}
    assert report.n_events == N + 1


def test_two_events_that_changed_places_are_found(copy: Path) -> None:
    change(
        copy,
        "UPDATE event SET sequence = 99 WHERE sequence = 14",
        "UPDATE event SET sequence = 14 WHERE sequence = 15",
        "UPDATE event SET sequence = 15 WHERE sequence = 99",
    )
    report = verify(copy)
    assert found(report) == {"chain": 14, "hash": 14}
    assert {problem.n for problem in report.problems} == {2, 3}


def test_a_cut_tail_is_found_against_a_head_that_was_noted(copy: Path) -> None:
    noted = verify(copy).head
    change(copy, f"DELETE FROM event WHERE sequence > {N - 3}")
    assert verify(copy).ok
    report = verify(copy, expected_head=noted)
    assert found(report) == {"head": N - 2}
    assert f"{N} events were noted" in str(report.problems[0])


def test_a_journal_written_anew_is_found_against_a_head_that_was_noted(copy: Path) -> None:
    noted = verify(copy).head
    with open_journal(copy, "read") as journal:
        events = list(journal.read())
    events[9] = events[9]._replace(actor="somebody else")
    rows: list[Event] = []
    for event in events:
        event = event._replace(previous_hash=rows[-1].hash if rows else GENESIS[1])
        rows.append(event._replace(hash=chain_hash(event)))
    change(
        copy,
        *(
            f"UPDATE event SET actor = '{row.actor}', previous_hash = '{row.previous_hash}', hash = '{row.hash}' "
            f"WHERE sequence = {row.sequence}"
            for row in rows
        ),
    )
    assert verify(copy).ok
    assert found(verify(copy, expected_head=noted)) == {"head": N}


def test_a_head_noted_earlier_holds_for_a_longer_journal(copy: Path) -> None:
    noted = verify(copy).head
    with open_journal(copy) as journal:
        journal.append(comment("more"))
    assert verify(copy, expected_head=noted).ok
    assert found(verify(copy, expected_head=(noted[0], "0" * 64))) == {"head": N}


@pytest.mark.parametrize("name", ["event_no_update", "event_no_delete", "event_in_order"])
def test_a_missing_trigger_is_found(copy: Path, name: str) -> None:
    with closing(sqlite3.connect(copy / "journal.db")) as connection:
        connection.execute(f"DROP TRIGGER {name}")
        connection.commit()
    report = verify(copy)
    assert found(report) == {"schema": None}
    assert name in str(report.problems[0])


def test_a_view_that_tells_something_else_is_found(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "journal.db")) as connection:
        connection.execute("DROP VIEW trial_view")
        connection.execute("CREATE VIEW trial_view AS SELECT 1 AS trial, 'completed' AS state")
        connection.commit()
    report = verify(copy)
    assert found(report) == {"schema": None}
    assert "the view trial_view" in str(report.problems[0])


def test_a_trigger_that_does_nothing_is_found(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "journal.db")) as connection:
        connection.execute("DROP TRIGGER event_no_delete")
        connection.execute("CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT 1; END")
        connection.commit()
    assert found(verify(copy)) == {"schema": None}


@pytest.mark.parametrize(("data", "sequence"), [(b"counts\n1\n2\n", 1), (b"\x00\x01", 2)])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_missing_or_changed_artifact_is_found(
    copy: Path, data: bytes, sequence: int, damage: Callable[[Path], object]
) -> None:
    with open_journal(copy, "read") as journal:
        artifacts = [Artifact.from_data(value) for value in _dictionaries(journal.read()) if "media_type" in value]
        artifact = next(artifact for artifact in artifacts if journal.get(artifact) == data)
    file = copy / "artifacts" / artifact.sha256[:2] / artifact.sha256
    file.chmod(0o600)
    damage(file)
    report = verify(copy)
    assert found(report) == {"artifact": sequence}
    assert artifact.name in str(report.problems[0])
    with open_journal(copy, "read") as journal, pytest.raises(JournalError, match=artifact.name):
        journal.get(artifact)


def _dictionaries(events: Iterable[Event]) -> list[dict[str, object]]:
    """Every object in the bodies, at any depth."""
    kept: list[dict[str, object]] = []

    def keep(value: dict[str, object]) -> dict[str, object]:
        kept.append(value)
        return value

    for event in events:
        json.loads(event.text, object_hook=keep)
    return kept


def test_a_flipped_bit_is_never_accepted_silently(original: Path, copy: Path) -> None:
    with open_journal(original, "read") as journal:
        true = list(journal.read())
    database = copy / "journal.db"
    whole = database.read_bytes()
    rng = np.random.default_rng(11)
    n_found = 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        database.write_bytes(damaged)
        for left in ("-wal", "-shm"):
            (copy / f"journal.db{left}").unlink(missing_ok=True)
        try:
            accepted = verify(copy).ok
        except JournalError:
            accepted = False
        n_found += not accepted
        if accepted:  # the bit lay in space that is not used
            with open_journal(copy, "read") as journal:
                assert list(journal.read()) == true
    assert n_found > 20


def test_a_truncated_database_is_found(copy: Path) -> None:
    database = copy / "journal.db"
    database.write_bytes(database.read_bytes()[:-4096])
    report = verify(copy)
    assert "database" in found(report)
    assert not report.ok
