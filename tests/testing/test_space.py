"""A full disk, a disk on the network, an old SQLite: what is under way is recorded, and nothing new is begun."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dosing import campaign

from sdl.errors import JournalError
from sdl.journal import SqlJournal, open_journal, place, verify
from sdl.journal.place import Room
from sdl.testing import TruthJournal, check
from sdl.testing.journal import comment

LITTLE = Room(reserve=1_000_000, ballast=200_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, where it may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3000k", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Fill the disk up to *left* bytes with somebody else's file."""
    other = folder / "other"
    with other.open("ab") as file:
        free = shutil.disk_usage(folder).free - left
        try:
            os.posix_fallocate(file.fileno(), file.tell(), max(free, 1))
        except OSError:
            assert left == 0
    return other


def test_what_is_under_way_is_recorded_on_a_full_disk_and_the_campaign_pauses(small_disk: Path) -> None:
    store = small_disk / "store.sdl"

    class Filler:
        """Fills the disk while the first step of the second trial runs."""

        def notify(self, event: object, view: object) -> None:
            if getattr(event, "kind", "") == "act.intended" and getattr(event, "trial", 0) == 2:
                fill(small_disk)

        def close(self, view: object) -> None: ...

    with open_journal(store, room=LITTLE) as journal:
        ended = (made := campaign(small_disk, "failed", journal=journal, progress=Filler())).run(trials=3)
        made.lab.close()
        assert ended.status == "paused"
        assert "was full" in ended.reason
        assert len(TruthJournal(small_disk / "truth.jsonl").read()) == 2
        assert [trial.state.value for trial in made.trials] == ["completed", "running"]
        assert not (store / "ballast").exists()
    assert verify(store).ok

    with open_journal(store, room=LITTLE) as journal:  # no room yet: nothing is begun
        ended = (made := campaign(small_disk, "failed", journal=journal)).run(trials=3)
        made.lab.close()
        assert (ended.status, "kept in reserve" in ended.reason) == ("paused", True)
        assert len(TruthJournal(small_disk / "truth.jsonl").read()) == 2

    (small_disk / "other").unlink()
    with open_journal(store, room=LITTLE) as journal:
        ended = (made := campaign(small_disk, "failed", journal=journal)).run(trials=3)
        made.lab.close()
    assert ended.status == "finished"
    assert check(store, truth=TruthJournal(small_disk / "truth.jsonl"), are_runs_closed=True).ok


def append_until_refused(journal: SqlJournal, n: int) -> int:
    """Return the number of the last event that was recorded."""
    try:
        for _ in range(1000):
            n = journal.append(comment("x" * 5000))[-1].sequence
    except JournalError as error:
        assert "no space left" in str(error)  # noqa: PT017 # the number counts
        return n
    raise AssertionError("the disk is not full")


def test_without_ballast_a_full_disk_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    with open_journal(small_disk / "store.sdl", room=Room(reserve=0, ballast=0)) as journal:
        n = journal.append(comment("one"))[-1].sequence
        other = fill(small_disk)
        n = append_until_refused(journal, n)
        with pytest.raises(JournalError, match="takes no more events"):
            journal.append(comment("more"))
        assert len(list(journal.read())) == n
    other.unlink()
    with open_journal(small_disk / "store.sdl") as journal:
        assert journal.append(comment("goes on"))[0].sequence == n + 1
    assert verify(small_disk / "store.sdl").ok


def test_a_store_with_little_room_says_so(tmp_path: Path) -> None:
    with open_journal(tmp_path / "store.sdl", room=Room(reserve=1 << 60)) as journal:
        assert "kept in reserve" in journal.shortage
        assert not (tmp_path / "store.sdl" / "ballast").exists()
    with open_journal(tmp_path / "store.sdl") as journal:
        assert journal.shortage == ""
        assert (tmp_path / "store.sdl" / "ballast").stat().st_blocks * 512 >= Room().ballast


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:5 / {tmp_path}/far rw,relatime shared:1 - {kind} server:/x rw\n"
        f"3 1 0:6 / {tmp_path}/far\\040off rw - ext4 /dev/sdb rw\n"
    )
    monkeypatch.setattr(place, "MOUNTS", table)
    with pytest.raises(JournalError, match=f"network file system \\({kind}\\)"):
        open_journal(tmp_path / "far" / "store.sdl")
    for name in ("near", "far off"):
        open_journal(tmp_path / name / "store.sdl").close()


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(JournalError, match=r"a journal needs 3\.37\.0"):
        open_journal(tmp_path / "store.sdl")


def test_there_is_one_connection_that_writes_and_every_other_one_reads_only(tmp_path: Path) -> None:
    """What keeps the versions of SQLite safe that two writing connections could make damage a database."""
    opened: list[str] = []
    real = sqlite3.connect

    def connect(database: str, **options: object) -> sqlite3.Connection:
        opened.append(database.partition("?mode=")[2])
        return real(database, **options)  # type: ignore[call-overload,no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with open_journal(tmp_path / "store.sdl") as journal:
            journal.append(comment("one"))
            list(journal.read())
            verify(tmp_path / "store.sdl")
    assert opened.count("rwc") == 1
    assert set(opened) == {"rwc", "ro"}
