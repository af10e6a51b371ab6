"""Artifacts, files that nobody mentions, and backups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from children import child, write_on

from sdl.errors import JournalCorrupt, JournalError, JournalNotFound
from sdl.journal import backup, open_journal, orphans, remove_orphans, verify
from sdl.journal.records import DocumentEmitted, Entry, Failure, FailureCategory, TrialFailed
from sdl.testing.journal import comment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sdl"


def files(path: Path) -> list[Path]:
    return sorted(item for item in (path / "artifacts").rglob("*") if item.is_file())


def test_an_artifact_is_a_file_named_by_its_hash(path: Path) -> None:
    with open_journal(path) as journal:
        artifact = journal.put(b"data", name="../evil", media_type="text/plain")
        assert journal.put(b"data", name="again").sha256 == artifact.sha256
    assert files(path) == [path / "artifacts" / artifact.sha256[:2] / artifact.sha256]
    with open_journal(path, "read") as journal:
        assert journal.get(artifact) == b"data"


def test_every_step_of_keeping_a_file_is_made_durable_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        target = Path(f"/proc/self/fd/{number}").readlink()
        done.append(f"fsync {'folder' if target.is_dir() else 'file'}")
        fsync(number)

    def noted_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    with open_journal(path) as journal:
        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(Path, "replace", noted_replace)
        journal.put(b"data", name="x")
    assert done == ["fsync folder", "fsync file", "rename", "fsync folder"]


def test_a_damaged_file_is_told_and_mended_by_the_same_bytes(path: Path) -> None:
    with open_journal(path) as journal:
        artifact = journal.put(b"data", name="spectrum")
        (file,) = files(path)
        file.chmod(0o600)
        file.write_bytes(b"dat0")
        with pytest.raises(JournalCorrupt, match="'spectrum' does not match its hash"):
            journal.get(artifact)
        file.unlink()
        with pytest.raises(JournalCorrupt, match="'spectrum' is missing"):
            journal.get(artifact)
        journal.put(b"data", name="spectrum")
        file.chmod(0o600)
        file.write_bytes(b"dat0")
        journal.put(b"data", name="spectrum")
        assert journal.get(artifact) == b"data"


def test_orphans_are_what_no_event_mentions(path: Path) -> None:
    with open_journal(path) as journal:
        raw, image, lost = (journal.put(data, name="n") for data in (b"raw", b"image", b"lost"))
        failure = Failure(category=FailureCategory.PLAN, reason="raised", raw=raw)
        journal.append(Entry(TrialFailed(failure=failure), "a", 1))
        journal.append(Entry(DocumentEmitted(name="event", document={"path": f"artifacts/{image.sha256}"}), "a", 1))
        (path / "artifacts" / "incoming-x").write_bytes(b"half")
        assert [file.name for file in orphans(path)] == ["incoming-x", lost.sha256]
        with pytest.raises(JournalError, match="this process already"):
            remove_orphans(path)
    assert [file.name for file in remove_orphans(path)] == ["incoming-x", lost.sha256]
    assert orphans(path) == ()
    assert {file.name for file in files(path)} == {raw.sha256, image.sha256}
    assert verify(path).ok


def test_a_store_without_artifacts_has_no_orphans(path: Path) -> None:
    open_journal(path).close()
    assert orphans(path) == remove_orphans(path) == ()


def test_a_backup_is_a_store_like_any_other(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "copy.sdl"
    with open_journal(path) as journal:
        artifact = journal.put(b"data", name="x")
        journal.append(comment(artifact.to_json()), comment("two"))
        head = backup(path, target)  # while the journal is open
        assert head == journal.head
        journal.append(comment("three"))
    assert verify(target, expected_head=head).ok
    assert [item.name for item in target.parent.iterdir()] == ["copy.sdl"]
    with open_journal(target) as copy:
        assert copy.get(artifact) == b"data"
        assert copy.append(comment("goes its own way"))[0].sequence == 3
    assert verify(path).n_events == 3


def test_a_backup_under_load_is_sound(path: Path, tmp_path: Path) -> None:
    with child(write_on, path) as writer:
        heads = []
        for number in range(3):
            for _ in range(10):
                writer.hear()
            heads.append(backup(path, tmp_path / f"copy{number}.sdl"))
    for number, head in enumerate(heads):
        report = verify(tmp_path / f"copy{number}.sdl", expected_head=head)
        assert report.problems == ()
        assert report.n_events >= 10 * (number + 1)
        assert report.n_artifacts >= 1
    assert verify(path, expected_head=heads[-1]).ok


def test_a_backup_replaces_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.sdl"
    with pytest.raises(JournalNotFound):
        backup(path, target)
    with open_journal(path) as journal:
        journal.append(comment("one"))
    target.mkdir()
    with pytest.raises(JournalError, match="exists already"):
        backup(path, target)
    assert list(target.iterdir()) == []


def test_a_backup_that_fails_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_journal(path) as journal:
        journal.put(b"data", name="x")

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(JournalError, match="Input/output error"):
        backup(path, tmp_path / "copies" / "copy.sdl")
    assert list((tmp_path / "copies").iterdir()) == []
