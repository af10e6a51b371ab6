"""The stations' timeline: what is drawn is what the journal says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sdl.export.bars import Bar, bars_of
from sdl.export.timeline import FEW, timeline, without_pauses
from sdl.journal import MemoryJournal
from sdl.journal.records import Body, Entry, StepEnded, StepStarted


class Hands:
    """A clock that is set by hand."""

    now = 1_767_225_600.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


def recorded(hands: Hands, *events: tuple[float, int, Body]) -> MemoryJournal:
    journal = MemoryJournal(time_source=hands)
    begin = hands.now
    for seconds, trial, body in events:
        hands.now = begin + seconds
        journal.append(Entry(body, "c", trial))
    return journal


def ended(step: str, station: str, seconds: float, **more: object) -> StepEnded:
    data = {"step": step, "station": station, "attempt": 1, "is_success": True, "seconds": seconds, **more}
    return StepEnded.model_validate(data)


def test_a_batch_is_one_bar_and_a_need_a_bar_on_its_station(hands: Hands) -> None:
    begins = [StepStarted(step="anneal", station="furnace", attempt=1, members=(1, 2), needs=("robot",))] * 2
    ends = [ended("anneal", "furnace", 60.0, members=(1, 2), needs=("robot",), setup_seconds=5.0)] * 2
    journal = recorded(hands, (0, 1, begins[0]), (0, 2, begins[1]), (60, 1, ends[0]), (60, 2, ends[1]))
    zero = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert bars_of(journal, "c") == [
        Bar("furnace", zero, zero + 60, "anneal", (1, 2), "furnace", setup=5.0),
        Bar("robot", zero, zero + 60, "anneal", (1, 2), "furnace"),
    ]


def test_what_failed_is_told_and_what_never_ended_is_left_out(hands: Hands) -> None:
    start = StepStarted(step="x", station="s", attempt=1)
    journal = recorded(hands, (0, 1, start), (9, 1, ended("x", "s", 9.0, is_success=False)), (10, 2, start))
    assert [bar.is_success for bar in bars_of(journal, "c")] == [False]


def test_the_time_between_sessions_is_left_out() -> None:
    bars = [Bar("s", 100.0, 160.0, "x", (1,), "s"), Bar("s", 9000.0, 9060.0, "x", (2,), "s")]
    moved, seams = without_pauses(bars, [(90.0, 170.0), (8990.0, 9070.0)])
    assert [(bar.begin, bar.end) for bar in moved] == [(10.0, 70.0), (90.0, 150.0)]
    assert seams == [80.0]


def test_many_runs_are_shown_twice_and_few_once() -> None:
    def pictures(n: int) -> list[str]:
        bars = [Bar("s", 10.0 * i, 10.0 * i + 9, "x", (i,), "s", is_success=i != 3) for i in range(n)]
        return [picture.key for picture in timeline(bars, ["s", "idle"])]

    assert pictures(10) == ["timeline"]
    assert pictures(FEW + 1) == ["timeline", "timeline-end"]
    assert timeline([], ["s"]) == []
