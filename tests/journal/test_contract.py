"""Both journals keep the contract; what they record is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdl.journal import MemoryJournal, open_journal
from sdl.journal.protocol import Journal
from sdl.journal.records import Entry
from sdl.testing.journal import JournalContract, SteppingTime, bodies


class TestSqlJournal(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        with open_journal(tmp_path / "contract.sdl", time_source=SteppingTime()) as journal:
            yield journal


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Iterator[Journal]:
        with MemoryJournal(time_source=SteppingTime()) as journal:
            yield journal


def test_both_record_the_same_events(tmp_path: Path) -> None:
    entries = [Entry(body, "alpha", number) for number, body in enumerate(bodies())]
    with (
        open_journal(tmp_path / "a.sdl", time_source=SteppingTime(), boot_id="b", version="v") as kept,
        MemoryJournal(time_source=SteppingTime(), boot_id="b", version="v") as fleeting,
    ):
        for entry in entries:
            assert list(kept.append(entry)) == list(fleeting.append(entry))
        assert kept.head == fleeting.head
