"""The restore drill: back up while a campaign writes, restore, check, and go on from there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dosing import N_TRIALS, Started, campaign

from sdl.journal import backup
from sdl.testing import Acknowledgements, TruthJournal, check

EVERY = 17


class BackingUp(Started):
    """Makes a backup with every so many events, in the middle of whatever is being recorded."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "acknowledged.jsonl")
        self.folder = folder
        self.copies: list[Path] = []

    def notify(self, event: Any, view: Any) -> None:
        super().notify(event, view)
        if event.sequence % EVERY == 0:
            copy = self.folder / f"copy-{event.sequence}"
            head = backup(self.folder / "store.sdl", copy / "store.sdl")
            assert head[0] >= event.sequence
            for name in ("truth.jsonl", "acknowledged.jsonl"):
                if (self.folder / name).exists():
                    shutil.copy(self.folder / name, copy / name)
            self.copies.append(copy)


def judged(folder: Path, *, is_over: bool) -> str:
    truth, seen = TruthJournal(folder / "truth.jsonl"), Acknowledgements(folder / "acknowledged.jsonl")
    report = check(folder / "store.sdl", truth=truth, acknowledged=seen, are_runs_closed=is_over)
    return "" if report.ok else f"{folder.name}: {report}"


def test_a_backup_made_in_the_middle_is_sound_and_goes_on_when_it_is_restored(tmp_path: Path) -> None:
    """More, from another process and at random moments, in tests/soak/restore.py."""
    watcher = BackingUp(tmp_path)
    whole = campaign(tmp_path, "failed", progress=watcher)
    whole.run(trials=N_TRIALS)
    whole.lab.close()
    assert len(watcher.copies) >= 2
    assert [found for copy in watcher.copies if (found := judged(copy, is_over=False))] == []
    for copy in watcher.copies[::2]:
        restored = campaign(copy, "failed")
        ended = restored.run(trials=N_TRIALS)
        restored.lab.close()
        assert ended.status == "finished"
        assert judged(copy, is_over=True) == ""
        assert [dict(t.values) for t in restored.trials] == [dict(t.values) for t in whole.trials]
