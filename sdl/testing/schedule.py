"""Checks what a laboratory did against what it was allowed to do. It knows nothing of how the schedule was made."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from sdl.journal.protocol import Journal
from sdl.journal.records import StepEnded, StepStarted

TOLERANCE = 0.01
"""Seconds that do not matter: event times have microseconds, sums of floats less."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Interval:
    """That a station was taken, from *begin* to *end* (UTC seconds), for a step of a trial.

    Parameters
    ----------
    role
        ``run``: the step's own station; ``need``: held as well while it runs; ``keep``: held for the trial between two
        steps; ``setup``: made ready for the step.
    run
        Which run it is; members of one batch have the same. Empty: the step is a run of its own.
    has_failed
        Whether the step failed: one that hangs stays until its time limit, whatever the hour.
    """

    station: str
    begin: float
    end: float
    campaign: str
    trial: int
    step: str
    role: str = "run"
    run: str = ""
    has_failed: bool = False

    def __str__(self) -> str:
        return f"{self.step} of {self.campaign}/{self.trial} on {self.station}"

    @property
    def together(self) -> tuple[str, ...]:
        """What intervals have in common that may overlap on a station: those of one run."""
        return (self.campaign, self.step, self.run) if self.run else (self.campaign, self.step, str(self.trial))


@dataclass(frozen=True)
class StepRule:
    """What holds for every run of a step.

    Parameters
    ----------
    stations
        Where it may run.
    needs
        What it holds as well: of each group one.
    size
        How many trials one run may treat.
    within
        Seconds after the end of an earlier step by which it has begun.
    after
        Steps of the same trial that have ended before it begins.
    """

    stations: Sequence[str]
    needs: Sequence[Sequence[str]] = ()
    size: int = 1
    within: Mapping[str, float] = field(default_factory=dict[str, float])
    after: Sequence[str] = ()


@dataclass(frozen=True)
class Opening:
    """When a station may be used; ``hours`` as in ``("Mon-Fri 08:00-18:00",)``, local time in the zone.

    A run has to fit into the hours as long as it is expected to take; *overrun* are the seconds by which one may take
    longer than that, and so end after them. With *runs_on* it only has to begin in the hours.
    """

    hours: Sequence[str]
    timezone: str = "UTC"
    runs_on: bool = False
    overrun: float = 0.0

    def is_open(self, at: float) -> bool:
        """Tell whether the station may be used at *at*."""
        local = datetime.fromtimestamp(at, ZoneInfo(self.timezone))
        return any(_covers(text, local) or _covers(text, local, days_ago=1) for text in self.hours)


def _covers(text: str, local: datetime, days_ago: int = 0) -> bool:
    found = re.fullmatch(r"(?:(\w{3})(?:-(\w{3}))? )?(\d+):(\d+)-(\d+):(\d+)", text)
    assert found is not None, f"the checker cannot read the hours {text!r}"
    first, last = (found[1] or "mon").lower(), (found[2] or found[1] or "sun").lower()
    begin, end = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    if end <= begin:
        end += 24 * 60
    weekday = (local - timedelta(days=days_ago)).weekday()
    reach = (_DAYS.index(last) - _DAYS.index(first)) % 7
    minutes = local.hour * 60 + local.minute + local.second / 60 + days_ago * 24 * 60
    return (weekday - _DAYS.index(first)) % 7 <= reach and begin <= minutes < end


def intervals_of(journal: Journal) -> list[Interval]:
    """Read from *journal* what the stations of its laboratory did, and which trials kept some between two steps."""
    begun: dict[tuple[str, int, str, int], float] = {}
    kept: dict[tuple[str, int, str], float] = {}
    found: list[Interval] = []
    kinds = {"step.started", "step.ended", "trial.completed", "trial.failed", "trial.attempt_failed"}
    for event in journal.read(kinds=kinds):
        who, at = (event.campaign, event.trial or 0), event.time.timestamp()
        if isinstance(event.body, StepStarted):
            begun[*who, event.body.step, event.body.attempt] = at
            for name in (event.body.station, *event.body.needs):
                found += _let_go(kept, (*who, name), at)
        elif isinstance(event.body, StepEnded):
            begin = begun.pop((*who, event.body.step, event.body.attempt), at)
            found += _of_run(who, event.body, begin, at)
            for name in event.body.keeps:
                kept.setdefault((*who, name), at)
        else:
            for key in [key for key in kept if key[:2] == who]:
                found += _let_go(kept, key, at)
    return found


def _of_run(who: tuple[str, int], body: StepEnded, begin: float, end: float) -> Iterator[Interval]:
    run = f"{body.station} at {begin:.3f}" if body.members else ""
    ready = begin + body.setup_seconds
    if ready > begin:
        yield Interval(body.station, begin, ready, *who, body.step, "setup", run)
    yield Interval(body.station, ready, end, *who, body.step, "run", run, not body.is_success)
    for name in body.needs:
        yield Interval(name, begin, end, *who, body.step, "need", run, not body.is_success)


def _let_go(kept: dict[tuple[str, int, str], float], key: tuple[str, int, str], at: float) -> list[Interval]:
    since = kept.pop(key, None)
    return [] if since is None else [Interval(key[2], since, at, key[0], key[1], "", "keep")]


def check_schedule(
    intervals: Iterable[Interval],
    rules: Mapping[str, StepRule] | None = None,
    *,
    opening: Mapping[str, Opening] | None = None,
    stock: Mapping[str, float] | None = None,
    uses: Iterable[tuple[float, str, float]] = (),
) -> list[str]:
    """Return what is wrong with a schedule, a sentence each; nothing is wrong with an empty list.

    Parameters
    ----------
    intervals
        What the stations did, in any order.
    rules
        What holds for each step, by ``step``, or ``campaign/step`` where campaigns have steps of one name.
    opening
        The hours of stations that have some.
    stock, uses
        What there was of each material, and what was taken from it: time, material, amount.
    """
    done = sorted(intervals, key=lambda each: (each.begin, each.end, each.station))
    known = rules or {}
    return [
        *_backwards(done),
        *_overlaps(done),
        *_broken_rules(done, known),
        *_broken_order(done, known),
        *_outside_hours(done, opening or {}),
        *_overdrawn(stock or {}, uses),
    ]


def _rule(rules: Mapping[str, StepRule], each: Interval) -> StepRule | None:
    return rules.get(f"{each.campaign}/{each.step}") or rules.get(each.step)


def _backwards(done: Sequence[Interval]) -> list[str]:
    return [f"{each} ends before it begins" for each in done if each.end < each.begin - TOLERANCE]


def _overlaps(done: Sequence[Interval]) -> list[str]:
    """Two things on one station at one time, that are not one run and not one trial's."""
    found: list[str] = []
    by_station: defaultdict[str, list[Interval]] = defaultdict(list)
    for each in done:
        open_ones = [other for other in by_station[each.station] if other.end > each.begin + TOLERANCE]
        found += [f"{each} begins while {other} has the station" for other in open_ones if not _may_share(each, other)]
        by_station[each.station] = [*open_ones, each]
    return found


def _may_share(one: Interval, other: Interval) -> bool:
    if one.together == other.together:
        return True
    # Several trials may keep a station that one run of theirs has left them in; each may use it then.
    return "keep" in (one.role, other.role) and (
        (one.campaign, one.trial) == (other.campaign, other.trial) or one.role == other.role
    )


def _broken_rules(done: Sequence[Interval], rules: Mapping[str, StepRule]) -> list[str]:
    """A run on a station where it may not be, of too many trials, or without what it needs."""
    found: list[str] = []
    runs: defaultdict[tuple[str, ...], list[Interval]] = defaultdict(list)
    needs: defaultdict[tuple[str, int, str], list[Interval]] = defaultdict(list)
    for each in done:
        if each.role == "need":
            needs[each.campaign, each.trial, each.step].append(each)
        elif each.role == "run":
            runs[(each.station, *each.together)].append(each)
    for members in runs.values():
        rule = _rule(rules, members[0])
        if rule is None:
            continue
        for group in _at_once(members):
            found += _wrong_run(group, rule)
        found += [text for each in members for text in _missing_needs(each, needs, rule)]
    return found


def _at_once(members: Sequence[Interval]) -> list[list[Interval]]:
    """Put the intervals together that overlap: attempts at one step follow one another."""
    groups: list[list[Interval]] = []
    for each in members:
        if groups and each.begin < max(other.end for other in groups[-1]) - TOLERANCE:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _wrong_run(members: Sequence[Interval], rule: StepRule) -> list[str]:
    found: list[str] = []
    first = members[0]
    if first.station not in rule.stations:
        found.append(f"{first} is not one of its stations: {', '.join(rule.stations)}")
    if len({each.trial for each in members}) > rule.size:
        found.append(f"{first} treats {len(members)} at a time, and may treat {rule.size}")
    if any(abs(each.begin - first.begin) > TOLERANCE or abs(each.end - first.end) > TOLERANCE for each in members):
        found.append(f"{first} and others of its run begin or end at different times")
    return found


def _missing_needs(
    each: Interval, needs: Mapping[tuple[str, int, str], Sequence[Interval]], rule: StepRule
) -> list[str]:
    """Every need has a station of its own for the whole length of the run."""
    held = {
        other.station
        for other in needs.get((each.campaign, each.trial, each.step), ())
        if other.begin <= each.begin + TOLERANCE and other.end >= each.end - TOLERANCE
    }
    found: list[str] = []
    for group in rule.needs:
        usable = held.intersection(group)
        if not usable:
            found.append(f"{each} runs without {' or '.join(group)}")
        held -= {min(usable)} if usable else set()
    return found


def _broken_order(done: Sequence[Interval], rules: Mapping[str, StepRule]) -> list[str]:
    """A step that begins before an earlier one of its trial has ended, or too long after it."""
    found: list[str] = []
    of_trial: defaultdict[tuple[str, int], list[Interval]] = defaultdict(list)
    for each in done:
        if each.role == "run":
            of_trial[each.campaign, each.trial].append(each)
    for runs in of_trial.values():
        found += [
            f"{two} begins before {one.step} has ended"
            for one, two in pairwise(runs)
            if two.begin < one.end - TOLERANCE
        ]
        ends: dict[str, float] = {}  # of what has begun so far: another attempt at the trial begins again
        for each in runs:
            rule = _rule(rules, each)
            found += [] if rule is None else _untimely(each, rule, ends)
            ends[each.step] = each.end
    return found


def _untimely(each: Interval, rule: StepRule, ends: Mapping[str, float]) -> list[str]:
    found: list[str] = []
    for step in rule.after:
        end = ends.get(step)
        if end is None or end > each.begin + TOLERANCE:
            found.append(f"{each} begins before {step} has ended")
    for step, seconds in rule.within.items():
        end = ends.get(step)
        if end is not None and each.begin > end + seconds + TOLERANCE:
            found.append(f"{each} begins {each.begin - end:.0f} s after {step}, and {seconds:.0f} s are allowed")
    return found


def _outside_hours(done: Sequence[Interval], opening: Mapping[str, Opening]) -> list[str]:
    """A run at a minute at which its station is closed."""
    found: list[str] = []
    for each in done:
        hours = opening.get(each.station)
        if hours is None or each.role == "keep":
            continue
        may_last = hours.runs_on or each.has_failed
        last = each.begin if may_last else max(each.begin, each.end - TOLERANCE - hours.overrun)
        times = [each.begin, *(each.begin + 60 * n for n in range(int((last - each.begin) // 60) + 1)), last]
        if not all(hours.is_open(at) for at in times):
            found.append(f"{each} is outside the hours of the station")
    return found


def _overdrawn(stock: Mapping[str, float], uses: Iterable[tuple[float, str, float]]) -> list[str]:
    """A material of which more was taken than there was."""
    left = dict(stock)
    found: list[str] = []
    for at, material, amount in sorted(uses):
        left[material] = left.get(material, 0.0) - amount
        if left[material] < -1e-9:
            found.append(f"at {at:.0f} s there were {-left[material]:g} too little of {material}")
    return found
