"""The disk fails, and the power goes: what was acknowledged stays."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdl.errors import JournalError
from sdl.journal import open_journal, sqlite, verify
from sdl.journal.records import DocumentEmitted, Entry
from sdl.testing.checker import check
from sdl.testing.journal import comment
from sdl.testing.power import PowerLoss, power_losses
from sdl.testing.storage import Disk, FailAt, recorded_disk

N_IMAGES = 200


@pytest.fixture(autouse=True)
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite copies its log back into the database after 30 pages rather than 1000, so that short work sees it."""
    monkeypatch.setattr(sqlite, "_WRITER_PRAGMAS", {**sqlite._WRITER_PRAGMAS, "wal_autocheckpoint": 30})  # pyright: ignore[reportPrivateUsage]


def work(path: Path, disk: Disk, n: int) -> None:
    """Two sessions, with artifacts and more than SQLite lets its log grow to before it copies it back."""
    for session in range(2):
        with open_journal(path) as journal:
            for i in range(n):
                entries = [comment(f"{session} {i} {part}") for part in range(1 + i % 3)]
                if i % 7 == 0:
                    artifact = journal.put(b"%d %d" % (session, i) * 500, name="n").model_dump(mode="json")
                    entries.append(Entry(DocumentEmitted(name="event", document={"data": artifact}), "alpha", 1))
                for event in journal.append(*entries):
                    disk.acknowledge((event.sequence, event.hash))


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: the images are thrown away, and no disk need keep them."""
    place = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=place if os.access(place, os.W_OK) else tmp_path))
    yield folder
    shutil.rmtree(folder)


def images(folder: Path, n: int, seed: int = 5) -> Iterator[PowerLoss]:
    store = folder / "store.sdl"
    with recorded_disk() as disk:
        work(store, disk, 14)
    middle = disk.log[len(disk.log) // 5 : len(disk.log) // 3]
    assert any(told.kind == "write" and told.path.endswith("journal.db") for told in middle), "no copying back"
    yield from power_losses(disk.log, store, folder / "images", n=n, rng=np.random.default_rng(seed))


def fate(loss: PowerLoss) -> str:
    """Start the engine again on what is left."""
    try:
        with open_journal(loss.path) as journal:
            journal.append(comment("and on"))
            found = {(event.sequence, event.hash) for event in journal.read()}
    except JournalError:
        return "corrupt"
    if not verify(loss.path).ok:
        return "corrupt"
    return "sound" if set(loss.acknowledged) <= found else "lost"


def test_no_power_loss_takes_what_was_acknowledged(ram: Path) -> None:
    fates = [(loss.n_operations, fate(loss)) for loss in images(ram, N_IMAGES)]
    assert len(fates) == N_IMAGES
    assert [each for each in fates if each[1] != "sound"] == []


@pytest.mark.parametrize(("synchronous", "verdict"), [(1, "lost"), (0, "corrupt")])
def test_the_images_tell_a_journal_that_does_not_sync(
    ram: Path, monkeypatch: pytest.MonkeyPatch, synchronous: int, verdict: str
) -> None:
    """Without this, the test above could pass because the images are too kind."""
    pragmas = {"journal_mode": "wal", "synchronous": synchronous, "wal_autocheckpoint": 30}
    monkeypatch.setattr(sqlite, "_WRITER_PRAGMAS", pragmas)
    assert verdict in (fate(loss) for loss in images(ram, 100))


def test_the_images_tell_an_artifact_whose_name_is_not_synced(ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl.journal.artifacts.sync_folder", lambda folder: None)
    assert "corrupt" in (fate(loss) for loss in images(ram, 100))


def test_after_an_error_of_the_disk_nothing_more_is_tried(ram: Path) -> None:
    """At every write and sync that there is: what was acknowledged before is there, and the next start goes on."""
    n = 0
    for n in count(1):
        store = ram / f"{n}.sdl"
        failing = FailAt(n)
        acknowledged: list[Any] = []
        with recorded_disk(failing), suppress(JournalError), open_journal(store) as journal:
            try:
                for i in range(2):
                    acknowledged += [(event.sequence, event.hash) for event in journal.append(comment(str(i)))]
                    journal.put(b"%d" % i, name="n")
            except JournalError:
                n_tried = failing.n_seen
                for attempt in (lambda: journal.append(comment("more")), lambda: journal.put(b"more", name="n")):
                    with pytest.raises(JournalError, match="takes no more events"):
                        attempt()
                assert failing.n_seen == n_tried
        if not failing.has_failed:
            break
        with open_journal(store) as journal:
            journal.append(comment("and on"))
        assert check(store, acknowledged=acknowledged).ok
    assert n > 20
