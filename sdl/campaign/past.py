"""The history that planners learn from, kept up to date trial by trial."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar, cast

from sdl.campaign.planner import Comparison, History, HistoryEntry, TrialState
from sdl.campaign.standing import Standing
from sdl.campaign.trials import TrialRecord
from sdl.problem.value import Value

V = TypeVar("V", bound=Value)


class Past:
    """Seed data and trials as planners may know them; an entry is made anew only where its trial has changed.

    Parameters
    ----------
    records
        The trials of the fold by number; they count from 1 without gaps.
    standing
        Which of them may be learned from.
    """

    def __init__(self, records: Mapping[int, TrialRecord], standing: Standing) -> None:
        self._records = records
        self._standing = standing
        self._seeds: list[HistoryEntry] = []
        self._comparisons: list[Comparison] = []
        self._own: list[HistoryEntry | None] = []
        self._pending: dict[int, HistoryEntry] = {}
        self._n_hidden = 0
        self._changed: set[int] = set()
        self._known: History | None = None
        self._lock = threading.Lock()  # reports are written while the campaign goes on

    @property
    def n_seeds(self) -> int:
        """How many entries are prior data."""
        return len(self._seeds)

    def seed(self, entries: Iterable[HistoryEntry]) -> None:
        """Take in prior data."""
        with self._lock:
            self._seeds.extend(entries)
            self._known = None

    def compare(self, comparison: Comparison) -> None:
        """Take in what a person likes better."""
        with self._lock:
            self._comparisons.append(comparison)
            self._known = None

    def change(self, number: int) -> None:
        """Trial *number* is new, or another one than before."""
        with self._lock:
            self._changed.add(number)
            self._known = None

    @property
    def history(self) -> History:
        """Seed data first, then the trials in the order in which they were proposed."""
        with self._lock:
            if self._known is None:
                for number in sorted(self._changed):
                    self._renew(number)
                self._changed.clear()
                self._known = self._make()
            return self._known

    def _renew(self, number: int) -> None:
        record = self._records[number]
        entry = self._entry(record)
        while len(self._own) < number:
            self._own.append(None)
            self._n_hidden += 1
        self._n_hidden += (entry is None) - (self._own[number - 1] is None)
        self._own[number - 1] = entry
        if entry is None or entry.state.is_final:
            self._pending.pop(number, None)
        else:
            self._pending[number] = entry
        if record.state.is_final:
            record.forget()
            if entry is not None:
                self._own[number - 1] = _lean(entry)

    def _entry(self, record: TrialRecord) -> HistoryEntry | None:
        if not self._standing.is_for_planners(record):
            return None
        is_trusted = record.state is not TrialState.COMPLETED or self._standing.is_trusted(record)
        return record.to_entry(is_trusted=is_trusted)

    def _make(self) -> History:
        # Copying pointers is quick; what takes time is to make and to check entries, and these have been.
        shown = [entry for entry in self._own if entry is not None] if self._n_hidden else self._own
        pending = tuple(self._pending[number] for number in sorted(self._pending))
        return History.of(
            (*self._seeds, *cast("list[HistoryEntry]", shown)),
            comparisons=tuple(self._comparisons),
            pending=pending,
        )


def _lean(entry: HistoryEntry) -> HistoryEntry:
    """Return *entry* made again so that it takes less memory, for it stays as long as the campaign is open."""
    found = entry.observation
    if found is None:
        return _sharing(entry)
    measured = {name: _sharing(each) for name, each in found.outcomes.items()}
    return _sharing(entry, observation=_sharing(found, outcomes=MappingProxyType(measured)))


def _sharing(value: V, **changed: object) -> V:
    """Return *value* made again, with one set for all of its like in which pydantic keeps what was given.

    Each would have its own otherwise, of up to 728 bytes.
    """
    cls = type(value)
    given = frozenset(value.model_fields_set)
    values = {name: getattr(value, name) for name in cls.model_fields} | changed
    return cls.model_construct(_fields_set=_FIELDS.setdefault(given, set(given)), **values)


_FIELDS: dict[frozenset[str], set[str]] = {}
