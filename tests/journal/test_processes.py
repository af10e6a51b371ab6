"""One process writes, others read, and any of them may be killed."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from children import child, hold, write_on

from sdl.errors import JournalError, JournalLocked
from sdl.journal import open_journal, remove_orphans, verify
from sdl.testing.journal import chained, comment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sdl"


def test_a_killed_writer_loses_nothing_that_it_acknowledged(path: Path) -> None:
    rng = np.random.default_rng(7)
    acknowledged: dict[int, str] = {}
    stored: dict[int, str] = {}
    for _ in range(6):
        with child(write_on, path) as writer:
            acknowledged.update(writer.hear())
            time.sleep(rng.uniform(0.0, 0.15))
            writer.kill()
            for batch in writer.hear_out():
                acknowledged.update(batch)
        with open_journal(path, "read") as journal:  # what a person looks at before the next start
            assert journal.head[0] >= max(acknowledged)
        with open_journal(path) as journal:  # the lock is free
            journal.append(comment("next session"))
            stored = {event.sequence: event.hash for event in journal.read()}
        assert acknowledged.items() <= stored.items()
    report = verify(path, expected_head=max(acknowledged.items()))
    assert report.problems == ()
    assert report.n_events == max(stored)
    assert report.n_artifacts >= 1


def test_a_second_writer_is_told_who_holds_the_store(path: Path) -> None:
    with child(hold, path) as writer:
        assert writer.hear() == "ready"
        with pytest.raises(JournalLocked, match=f"by process {writer.pid} on {socket.gethostname()}") as caught:
            open_journal(path)
        assert "mode='read'" in caught.value.hint
        with pytest.raises(JournalLocked):
            remove_orphans(path)
        writer.line.send("go on")
        assert writer.hear() == "closed"
        with open_journal(path) as journal:
            assert journal.append(comment("mine"))[0].sequence == 2


def test_the_same_process_is_told_that_it_is_itself(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append(comment("one"))
        with pytest.raises(JournalLocked, match="in this process already"):
            open_journal(path)
        assert journal.append(comment("two"))[0].sequence == 2


def test_a_writer_that_is_forgotten_gives_the_lock_back(path: Path) -> None:
    forgotten = open_journal(path)
    forgotten.append(comment("one"))
    del forgotten
    with open_journal(path) as journal:
        assert journal.head[0] == 1


def test_a_reader_in_another_process_follows_the_writer(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append(comment("first"))
    with child(write_on, path), open_journal(path, "read") as journal:
        seen = list(journal.read())
        deadline = time.monotonic() + 30
        while len(seen) < 40 and time.monotonic() < deadline:
            seen.extend(journal.read(seen[-1].sequence))
        assert len(seen) >= 40
        assert chained(seen)
        assert any(event.kind == "document" for event in seen)
        assert verify(path).ok


def test_a_forked_child_neither_writes_nor_keeps_the_lock(path: Path) -> None:
    with open_journal(path) as journal:
        journal.append(comment("one"))

        def try_to_append(line: Connection) -> None:
            with pytest.raises(JournalError, match="belongs to the process that opened it"):
                journal.append(comment("from the child"))
            with pytest.raises(JournalError, match="mode='read'"):
                list(journal.read())
            journal.close()
            with open_journal(path, "read") as own:
                assert own.head[0] == 1
            line.send("refused")
            line.recv()

        with child(try_to_append) as worker:
            assert worker.hear() == "refused"
            journal.append(comment("two"))
            with pytest.raises(JournalLocked):
                open_journal(path)
            journal.close()
            with open_journal(path) as again:  # although the child is still there
                assert again.head[0] == 2


# --- who may only look ------------------------------------------------------------------------------------------------

NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for item in folder.rglob("*"):
        item.chmod(0o700 if item.is_dir() else 0o600)
    folder.chmod(0o700)
    shutil.rmtree(folder)


def look(line: Connection, path: Path) -> None:
    """Read a store as somebody who may not write to its folder, whenever asked."""
    if os.getuid() == 0:
        os.setuid(NOBODY)
    while True:
        try:
            with open_journal(path, "read") as journal:
                line.send([event.sequence for event in journal.read()])
        except JournalError as error:
            line.send(str(error))
        line.recv()


def forbid_writing(path: Path) -> None:
    for item in (*path.rglob("*"), path):
        item.chmod(stat.S_IMODE(item.stat().st_mode) & ~0o222)


def test_a_reader_without_the_right_to_write_reads_live_and_killed_stores(public: Path) -> None:
    path = public / "store.sdl"
    with child(hold, path) as writer:
        assert writer.hear() == "ready"
        if os.getuid() != 0:
            forbid_writing(path)
        with child(look, path) as reader:
            assert reader.hear() == [1]
            writer.kill()
            reader.line.send("again")
            assert reader.hear() == [1]


def test_a_reader_without_the_right_to_write_is_told_the_way_out_of_a_closed_store(public: Path) -> None:
    path = public / "store.sdl"
    with open_journal(path) as journal:
        journal.append(comment("one"))
    forbid_writing(path)
    with child(look, path) as reader:
        said = reader.hear()
        assert "may not be written" in said
        assert "copy the folder" in said
    copy = public / "copy.sdl"
    shutil.copytree(path, copy)
    copy.chmod(0o777)
    with child(look, copy) as reader:
        assert reader.hear() == [1]


# --- what it costs to import ------------------------------------------------------------------------------------------


def test_the_records_cost_no_database_and_no_pytest() -> None:
    code = "import sys, sdl.journal.records, sdl.testing; print(*(m in sys.modules for m in ('sqlalchemy', 'pytest')))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]
