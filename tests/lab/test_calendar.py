"""Hours of stations, where clocks are changed too, and durations that are learned."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.errors import ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.records import Entry, StepEnded
from sdl.lab.schedule import Calendar, Durations
from sdl.testing.schedule import Opening

PARIS = ZoneInfo("Europe/Paris")
HOUR = 3600.0


def at(text: str, zone: ZoneInfo = PARIS) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_the_hours_are_those_of_the_clock_on_the_wall() -> None:
    """On 29 March 2026 clocks in Paris go from 2 to 3: from Saturday 8:00 to Sunday 8:00 are 23 hours."""
    calendar = Calendar(hours=("08:00-18:00",), timezone="Europe/Paris")
    saturday, sunday = calendar.next_open(at("2026-03-28T07:00")), calendar.next_open(at("2026-03-28T19:00"))
    assert (saturday, sunday) == (at("2026-03-28T08:00"), at("2026-03-29T08:00"))
    assert at("2026-03-29T08:00") - at("2026-03-28T08:00") == 23 * HOUR


@pytest.mark.parametrize(("night", "hours"), [("2026-03-28", 7), ("2026-10-24", 9), ("2026-06-01", 8)])
def test_a_night_with_a_change_is_shorter_or_longer(night: str, hours: int) -> None:
    calendar = Calendar(hours=("22:00-06:00",), timezone="Europe/Paris")
    begin = at(f"{night}T22:00")
    assert calendar.next_close(begin) == begin + hours * HOUR
    assert calendar.fits(begin, hours * HOUR)
    assert not calendar.fits(begin, hours * HOUR + 1)


@pytest.mark.parametrize(("hours", "length"), [("02:30-12:00", 10.5), ("00:00-02:30", 3.5)])
def test_the_hour_that_comes_twice_belongs_to_the_hours(hours: str, length: float) -> None:
    """On 25 October 2026 clocks show 2:30 twice: it opens at the first, and closes at the second."""
    calendar = Calendar(hours=(hours,), timezone="Europe/Paris")
    begin = calendar.next_open(at("2026-10-25T00:00"))
    assert begin is not None
    assert calendar.next_close(begin) == begin + length * HOUR


def test_closed_days_are_left_out_and_a_run_fits_in_one_piece() -> None:
    calendar = Calendar(
        hours=("Mon-Fri 08:00-18:00",), timezone="Europe/Paris", closed=("2026-12-24T12:00/2027-01-03",)
    )
    assert calendar.next_fit(at("2026-12-23T17:00"), 3 * HOUR) == at("2026-12-24T08:00")
    assert calendar.next_fit(at("2026-12-24T10:00"), 3 * HOUR) == at("2027-01-04T08:00")
    assert calendar.next_fit(at("2026-12-24T10:00"), 11 * HOUR) is None
    assert calendar.replace(runs_on=True).fits(at("2026-12-24T10:00"), 11 * HOUR)


def test_hours_that_touch_are_one_stretch() -> None:
    calendar = Calendar(hours="Mon-Sat 00:00-24:00, Sun 00:00-12:00")
    monday = at("2026-06-01T00:00", ZoneInfo("UTC"))
    assert calendar.fits(monday, (6 * 24 + 12) * HOUR)
    assert not calendar.fits(monday, (6 * 24 + 12) * HOUR + 1)


@given(
    st.integers(0, 366 * 24 * 60),
    st.sampled_from(["Mon-Fri 08:00-18:00", "22:00-06:00", "Sat-Mon 01:30-02:30", "Fri 12:00-11:00"]),
    st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
@settings(max_examples=150, deadline=None)
def test_it_is_open_when_the_clock_on_the_wall_says_so(minutes: int, hours: str, zone: str) -> None:
    moment = at("2026-01-01T00:00", ZoneInfo("UTC")) + 60.0 * minutes
    local = datetime.fromtimestamp(moment, ZoneInfo(zone))
    if any((local + timedelta(hours=h)).utcoffset() != local.utcoffset() for h in (-24, -3, 3, 24)):
        return  # days with a change have tests of their own
    calendar = Calendar(hours=(hours,), timezone=zone)
    assert calendar.is_open(moment) == Opening((hours,), zone).is_open(moment)
    opens = calendar.next_open(moment)
    assert opens is not None
    assert calendar.is_open(opens)
    assert calendar.fits(opens, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": ("Mon-Fry 08:00-18:00",)},
        {"hours": ("8 to 6",)},
        {"hours": ("08:00-25:00",)},
        {"timezone": "Europe/Nowhere"},
        {"timezone": "../etc/passwd"},
        {"closed": ("2026-13-01",)},
        {"closed": ("2026-12-27/2026-12-24",)},
    ],
)
def test_what_is_no_calendar_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProblemError):
        Calendar(**wrong)


def test_what_steps_took_replaces_what_was_said_after_three_of_them() -> None:
    durations = Durations()
    for seconds in (100.0, 120.0):
        durations.add("c", "anneal", "furnace1", seconds)
    assert durations.estimate("c", "anneal", "furnace1", declared=60.0).median == 60.0
    durations.add("c", "anneal", "furnace2", 500.0)
    assert durations.estimate("c", "anneal", "furnace1", declared=60.0).median == 120.0  # on all stations
    durations.add("c", "anneal", "furnace1", 140.0)
    found = durations.estimate("c", "anneal", "furnace1")
    assert (found.median, found.n_seen) == (120.0, 3)
    assert found.p90 == pytest.approx(136.0)


def test_an_instrument_that_has_become_slower_is_believed() -> None:
    durations = Durations()
    for seconds in [100.0] * 500 + [200.0] * 60:
        durations.add("c", "x", "s", seconds)
    assert durations.estimate("c", "x", "s").median == 200.0


def test_a_run_of_several_samples_is_one_run() -> None:
    body = StepEnded(
        step="anneal", station="furnace1", attempt=1, is_success=True, seconds=7200.0, returned={}, members=(1, 2, 3)
    )
    journal = MemoryJournal()
    journal.append(*[Entry(body, "c", number) for number in body.members])
    durations = Durations()
    durations.catch_up(journal)
    assert durations.estimate("c", "anneal", "furnace1", declared=60.0).median == 60.0
    for seconds in (7300.0, 7400.0):
        again = body.replace(seconds=seconds)
        journal.append(*[Entry(again, "c", number) for number in body.members])
    durations.catch_up(journal)
    assert (found := durations.estimate("c", "anneal", "furnace1")).n_seen == 3
    assert found.median == 7300.0
