"""When a station may be used: opening hours in a time zone, and times when it is closed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, model_validator

from sdl.errors import ProblemError
from sdl.problem.value import Tuple, Value

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HORIZON_DAYS = 400
"""A station that does not open within so many days is taken to be closed for good."""

Stretch = tuple[float, float]
"""From and to, in UTC seconds; the end is not part of it."""

_HOURS = re.compile(r"(?:(?P<days>[A-Za-z]{3}(?:-[A-Za-z]{3})?)\s+)?(?P<start>\d{1,2}:\d\d)-(?P<end>\d{1,2}:\d\d)")
_HINT = 'write "Mon-Fri 08:00-18:00", "Sat 09:00-12:00", or "22:00-06:00" for every night'


def _separate(given: object) -> object:
    """Let one text name several, with commas between them."""
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


if TYPE_CHECKING:
    Texts = Sequence[str]
else:
    Texts = Annotated[Tuple[str], BeforeValidator(_separate)]
"""Several texts, which may be written as one with commas."""


class _Hours(Value):
    """Opening hours on some days of the week: minutes after midnight; an end past 24 h lies on the next day."""

    days: Tuple[int]
    start: int
    end: int

    @classmethod
    def of(cls, text: str) -> _Hours:
        found = _HOURS.fullmatch(text)
        if found is None:
            raise ProblemError(f"{text!r} is not understood as opening hours", hint=_HINT)
        start, end = _minutes(found["start"], text), _minutes(found["end"], text)
        return cls(days=_days(found["days"], text), start=start, end=end if end > start else end + 24 * 60)


def _minutes(text: str, whole: str) -> int:
    hours, _, minutes = text.partition(":")
    found = 60 * int(hours) + int(minutes)
    if int(minutes) > 59 or found > 24 * 60:
        raise ProblemError(f"{text} in {whole!r} is no time of the day", hint="from 00:00 to 24:00")
    return found


def _days(text: str | None, whole: str) -> tuple[int, ...]:
    if text is None:
        return tuple(range(7))
    names = [name.capitalize() for name in text.split("-")]
    if any(name not in DAYS for name in names):
        raise ProblemError(f"{text} in {whole!r} names no days of the week", hint=_HINT)
    first, last = DAYS.index(names[0]), DAYS.index(names[-1])
    return tuple((first + n) % 7 for n in range((last - first) % 7 + 1))


class Calendar(Value):
    """The hours in which a station may be used.

    Parameters
    ----------
    hours
        ``"Mon-Fri 08:00-18:00"``, or several such texts, also with commas between them. An end that is not after the
        start lies on the next day. None given: always.
    timezone
        The IANA name of the zone that *hours* and *closed* are in, such as ``"Europe/Paris"``.
    closed
        Days and spans without use: ``"2026-12-25"``, ``"2026-12-24/2026-12-27"`` (the last day is closed as well), or
        ``"2026-12-24T12:00/2026-12-27T08:00"``.
    runs_on
        Whether a run may go on when the hours are over, as a furnace does that is only filled by day. Otherwise it has
        to end within them.
    """

    hours: Texts = ()
    timezone: str = "UTC"
    closed: Texts = ()
    runs_on: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            _ = self._zone
        except (ValueError, OSError, LookupError):
            raise ProblemError(
                f"there is no time zone {self.timezone!r}", hint="write an IANA name such as Europe/Paris, or UTC"
            ) from None
        _ = self._hours, self._closed
        return self

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _hours(self) -> tuple[_Hours, ...]:
        return tuple(_Hours.of(text) for text in self.hours or ("00:00-24:00",))

    @cached_property
    def _closed(self) -> tuple[Stretch, ...]:
        return tuple(self._closed_stretch(text) for text in self.closed)

    def _closed_stretch(self, text: str) -> Stretch:
        first, _, last = text.partition("/")
        try:
            start, end = datetime.fromisoformat(first), datetime.fromisoformat(last or first)
        except ValueError:
            raise ProblemError(
                f"closed: {text!r} is no span of time", hint="2026-12-25, 2026-12-24/2026-12-27, with T12:00 for hours"
            ) from None
        if len(last or first) == len("2026-12-25"):
            end += timedelta(days=1)
        stretch = self._seconds(start), self._seconds(end)
        if stretch[0] >= stretch[1]:
            raise ProblemError(f"closed: {text!r} ends before it begins")
        return stretch

    def _seconds(self, local: datetime, *, is_end: bool = False) -> float:
        # An hour that the clock shows twice in autumn: it opens at the first, and closes at the second.
        return local.replace(tzinfo=self._zone, fold=int(is_end)).timestamp()

    # --- asking -------------------------------------------------------------------------------------------------------

    def is_open(self, at: float) -> bool:
        """Tell whether *at*, in UTC seconds, lies within the hours."""
        start, end = self._stretch(at) or (at + 1, at)
        return start <= at < end

    def next_open(self, at: float) -> float | None:
        """Return the first time from *at* on that lies within the hours; None: not within 400 days."""
        found = self._stretch(at)
        return None if found is None else max(at, found[0])

    def next_close(self, at: float) -> float | None:
        """Return when the hours end that *at* lies in, or that come next; None: there are none in 400 days."""
        found = self._stretch(at)
        return None if found is None else found[1]

    def fits(self, at: float, seconds: float) -> bool:
        """Tell whether a run of *seconds* may begin at *at*."""
        start, end = self._stretch(at) or (at + 1, at)
        return start <= at < end and (self.runs_on or at + seconds <= end)

    def next_fit(self, at: float, seconds: float) -> float | None:
        """Return the first time from *at* on at which a run of *seconds* may begin; None: not within 400 days."""
        for start, end in self._stretches(at):
            begin = max(at, start)
            if self.runs_on or begin + seconds <= end:
                return begin
        return None

    # --- the hours as spans of time -----------------------------------------------------------------------------------

    def _stretch(self, at: float) -> Stretch | None:
        """Return the open stretch that *at* lies in, else the next one."""
        memo = self._memo
        if memo and memo[0][0] <= at < memo[0][1]:
            return memo[0]
        found = next(self._stretches(at), None)
        if found is not None and found[0] <= at:
            memo[:] = [found]
        return found

    @cached_property
    def _memo(self) -> list[Stretch]:
        """The stretch that was asked for last: most questions are about the same day."""
        return []

    def _stretches(self, at: float) -> Iterator[Stretch]:
        """Yield the open stretches that end after *at*, in order, those that touch put together."""
        begun: Stretch | None = None
        for start, end in self._pieces(at):
            if begun is None or start > begun[1]:
                if begun is not None and begun[1] > at:
                    yield begun
                begun = start, end
            else:
                begun = begun[0], max(begun[1], end)
        if begun is not None and begun[1] > at:
            yield begun

    def _pieces(self, at: float) -> Iterator[Stretch]:
        first = datetime.fromtimestamp(at, self._zone).date() - timedelta(days=1)
        for n in range(HORIZON_DAYS):
            yield from self._day(first + timedelta(days=n))

    def _day(self, day: date) -> tuple[Stretch, ...]:
        known = self._days.get(day)
        if known is None:
            spans = sorted(self._span(day, hours) for hours in self._hours if day.weekday() in hours.days)
            known = self._days[day] = tuple(piece for span in spans for piece in without(span, self._closed))
        return known

    @cached_property
    def _days(self) -> dict[date, tuple[Stretch, ...]]:
        return {}

    def _span(self, day: date, hours: _Hours) -> Stretch:
        midnight = datetime.combine(day, time())
        start, end = (midnight + timedelta(minutes=minutes) for minutes in (hours.start, hours.end))
        return self._seconds(start), self._seconds(end, is_end=True)


def next_common_fit(calendars: Sequence[Calendar], at: float, seconds: float) -> float | None:
    """Return the first time from *at* on at which a run of *seconds* may begin by all *calendars*; None: never."""
    last = at + HORIZON_DAYS * 86400
    while at <= last:
        found = [calendar.next_fit(at, seconds) for calendar in calendars]
        if None in found:
            return None
        begin = max([at, *(each for each in found if each is not None)])
        if begin == at:
            return at
        at = begin
    return None


def without(span: Stretch, closed: tuple[Stretch, ...]) -> list[Stretch]:
    """Return what is left of *span* when the *closed* stretches are taken out."""
    left = [span]
    for start, end in closed:
        left = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, end), b)) if piece[0] < piece[1]]
    return left
