"""What the stations did, do and are expected to do, and what waits; each for whoever asks."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from sdl.export.bars import STEP_KINDS, Bar, Course
from sdl.journal.protocol import Journal
from sdl.lab.schedule.rehearsal import RehearsedRun
from sdl.server import models
from sdl.server.foretelling import Forecast
from sdl.server.house import House
from sdl.server.identities import Identity
from sdl.server.premises import Seen, doing_now, named, seen

MAX_BARS = 2000
"""Bars of the past that are told, the newest: more can be seen by nobody."""

MAX_SEEN = 50_000
"""Bars of the past that are looked at."""

MAX_WAITING = 50
"""Trials of one campaign that are told to wait."""


class Past:
    """What the stations did: read once, and then what is new."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._mutex = threading.Lock()
        self._last = 0
        self._courses: dict[str, Course] = {}

    def since(self, since: float, until: float) -> list[tuple[str, Bar]]:
        """Return the bars, each with its campaign, that lie between these UTC seconds or reach into them."""
        with self._mutex:
            head = self._journal.head[0]
            for event in self._journal.read(self._last, kinds=STEP_KINDS):
                self._courses.setdefault(event.campaign, Course()).take(event)
                self._last = event.sequence
            self._last = max(self._last, head)
            found = ((name, bar) for name, each in self._courses.items() for bar in _part(each, since, until))
            return sorted(islice(found, MAX_SEEN), key=lambda each: each[1].end)[-MAX_BARS:]


def _part(course: Course, since: float, until: float) -> Iterator[Bar]:
    """Yield the bars of a time, the latest first: they stand in the order they ended."""
    for bar in reversed(course.bars):
        if bar.end < since:
            return
        if bar.begin <= until:
            yield bar


Timeline = Callable[[Identity, dt.datetime | None, dt.datetime | None, str | None], models.Timeline]
"""Who asks, since when, until when, and of which campaign: the timeline."""


def timeline_of(house: House) -> Timeline:
    """Return what makes the timeline of *house*."""
    past = Past(house.journal)

    def timeline(
        who: Identity, since: dt.datetime | None, until: dt.datetime | None, campaign: str | None
    ) -> models.Timeline:
        """Return what the stations did, do and will do; campaigns that *who* may not see have no name there."""
        known = seen(house, who)
        begin = float("-inf") if since is None else since.timestamp()
        end = float("inf") if until is None else until.timestamp()
        forecast = house.foreteller.forecast()
        bars = [
            *(_past(known, name, bar) for name, bar in past.since(begin, end)),
            *_present(house, known, forecast.ends),
            *(bar for run in forecast.runs if run.begin <= end for bar in _planned(known, run)),
        ]
        chosen = bars if campaign is None else [bar for bar in bars if bar.campaign == campaign]
        return models.Timeline(
            now=house.now,
            bars=tuple(sorted(chosen, key=lambda bar: bar.begin)),
            waiting=tuple(each for each in _waiting(house, known, forecast) if campaign in {None, each.campaign}),
        )

    return timeline


def _past(known: Seen, campaign: str, bar: Bar) -> models.TimelineBar:
    id_, name = named(known, campaign)
    return models.TimelineBar(
        station=bar.station,
        campaign=id_,
        campaign_name=name,
        trials=bar.trials if id_ else (),
        step=bar.step if id_ else "",
        begin=_moment(bar.begin),
        end=_moment(bar.end),
        kind="past",
        is_success=bar.is_success,
        setup_seconds=bar.setup,
    )


def _present(house: House, known: Seen, ends: Mapping[str, float]) -> Iterator[models.TimelineBar]:
    for station, doing in doing_now(house, known).items():
        yield models.TimelineBar(
            station=station,
            campaign=doing.campaign,
            campaign_name=doing.campaign_name,
            trials=doing.trials,
            step=doing.step,
            begin=doing.since,
            end=None,
            expected_end=_moment(ends[station]) if station in ends else None,
            kind="now",
            is_success=True,
            setup_seconds=0.0,
        )


def _planned(known: Seen, run: RehearsedRun) -> Iterator[models.TimelineBar]:
    campaign, _, step = run.works[0]
    id_, name = named(known, campaign)
    for station in run.taken:
        yield models.TimelineBar(
            station=station,
            campaign=id_,
            campaign_name=name,
            trials=tuple(trial for _, trial, _ in run.works) if id_ else (),
            step=step if id_ else "",
            begin=_moment(run.begin),
            end=_moment(run.end),
            kind="planned",
            is_success=True,
            setup_seconds=run.setup if station == run.station else 0.0,
        )


def _waiting(house: House, known: Seen, forecast: Forecast) -> Iterator[models.WaitInfo]:
    """Yield what waits, and why, of the campaigns that run."""
    first: dict[tuple[str, int], tuple[str, float]] = {}
    for run in forecast.runs:
        for campaign, trial, step in run.works:
            first.setdefault((campaign, trial), (step, run.begin))
    for name in sorted(house.running & set(known)):
        waits = house.look(known[name], lambda view: dict(view.waiting))
        for trial, why in [*waits.items()][:MAX_WAITING]:
            step, begin = first.get((name, trial), ("", None))
            yield models.WaitInfo(
                campaign=known[name].id,
                campaign_name=name,
                trial=trial,
                why=why,
                step=step,
                expected=None if begin is None else _moment(begin),
            )


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
