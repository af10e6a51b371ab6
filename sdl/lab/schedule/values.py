"""What the scheduler is told, and what it answers: works, stations, starts, and why the rest waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self, cast
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from sdl.errors import ProblemError
from sdl.lab.schedule.calendar import Calendar
from sdl.problem.value import FrozenMap, Tuple, Value, listing

Key = tuple[str, int, str]
"""What a work is known by: campaign, trial, step."""

Holder = tuple[str, int]
"""Who keeps a station between two steps: campaign, trial."""

SLACK = 1e-3
"""Seconds by which two times may differ and still be the same: sums of floats are not exact."""


def expected_end(now: float, end: float) -> float:
    """Return when something ends that runs, and should have ended at *end*: if that has passed, as much later again."""
    return end if end > now else now + max(1.0, now - end)


def _groups(given: object) -> object:
    """Let a need be written as one name, where there is no choice."""
    if not isinstance(given, (tuple, list)):
        return given
    return tuple((each,) if isinstance(each, str) else each for each in cast("Sequence[object]", given))


Groups = Annotated[Tuple[Tuple[str]], BeforeValidator(_groups)]


class BatchRule(Value):
    """How many works one run may treat together.

    Parameters
    ----------
    size
        At most so many.
    least
        With fewer the run waits, for as long as another one may still come.
    patience
        Seconds for which the first of them waits for others.
    """

    size: Annotated[int, Field(ge=1)]
    least: Annotated[int, Field(ge=1)] = 1
    patience: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least > self.size:
            raise ProblemError(f"a batch of {self.size} cannot have at least {self.least}")
        return self


class Work(Value):
    """One step of one trial that could be started, or is to come.

    Give the works of a trial in the order of its steps. Works that run, or have ended, are left out: what they hold is
    said by the stations, and when they are expected to end by the *release* of the trial's next work.

    Parameters
    ----------
    campaign, trial, step
        What it is known by.
    stations
        The stations that could run it. A station that the trial keeps is the only one that will do.
    duration
        How long it is expected to take, in seconds, without the set-up.
    release
        The earliest start, in seconds of the clock. For the next work of a trial whose step runs now: when that step is
        expected to end.
    after
        Steps of the trial that have to end first: those to come, and the one that runs. Only a work with none is
        started.
    needs
        Stations that are held as well while it runs. Each is a name, or several names of which one will do.
    keeps
        Of the stations that it takes, those that stay held for the trial afterwards.
    due
        The latest start, set by a step that has ended; None: no such limit.
    within
        The latest start, in seconds after the end of an earlier step of the trial that has not ended yet.
    batch, batch_key
        Works of one campaign and step with equal key may share a run. None: it runs alone.
    setup_key, setup
        A run on a station whose last key is another one takes *setup* seconds more, before it. Empty: no set-up, and
        the station's key stays.
    priority
        Higher goes first.
    is_guess, is_release_guess
        Whether nobody has said or seen how long it takes, or how long the step takes that runs before it. A batch gives
        nobody up for a guess: it waits for its patience.
    """

    campaign: str
    trial: int
    step: str
    stations: Annotated[Tuple[str], Field(min_length=1)]
    duration: Annotated[float, Field(ge=0)]
    release: float = 0.0
    after: Tuple[str] = ()
    needs: Groups = ()
    keeps: Tuple[str] = ()
    due: float | None = None
    within: FrozenMap[float] = Field(default_factory=dict[str, float])
    batch: BatchRule | None = None
    batch_key: str = ""
    setup_key: str = ""
    setup: Annotated[float, Field(ge=0)] = 0.0
    priority: int = 0
    is_guess: bool = False
    is_release_guess: bool = False

    @cached_property
    def key(self) -> Key:
        """Campaign, trial and step."""
        return self.campaign, self.trial, self.step

    @cached_property
    def holder(self) -> Holder:
        """Campaign and trial."""
        return self.campaign, self.trial

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """What it takes, its own station first: of each group one."""
        return (self.stations, *self.needs)

    @cached_property
    def has_window(self) -> bool:
        """Whether it has to start by some time."""
        return self.due is not None or bool(self.within)

    @cached_property
    def batch_id(self) -> tuple[str, str, str, str]:
        """What works have in common that may share a run."""
        return self.campaign, self.step, self.batch_key, self.setup_key

    def shares_run(self, other: Work) -> bool:
        """Tell whether one run may treat both."""
        return self.batch is not None and other.batch is not None and self.batch_id == other.batch_id


class StationState(Value):
    """How one station stands.

    Parameters
    ----------
    name
        What works call it.
    busy_until
        When what it runs is expected to end; None: it runs nothing. A station that is held by a step as one of its
        needs runs that step. A time that has passed means that it takes longer than expected.
    busy_with
        The works that it runs.
    held_by
        The trials that keep it: until they let go it takes their works only.
    last_setup
        The key of the last set-up on it; None: it never had one.
    calendar
        When it may be used; None: always.
    is_down
        Whether it is out of order.
    """

    name: str
    busy_until: float | None = None
    busy_with: Tuple[Key] = ()
    held_by: Tuple[Holder] = ()
    last_setup: str | None = None
    calendar: Calendar | None = None
    is_down: bool = False

    def setup_of(self, work: Work) -> float:
        """Return the seconds of set-up that *work* would need here."""
        return work.setup if work.setup_key and work.setup_key != self.last_setup else 0.0


@dataclass(frozen=True)
class Start:
    """A run that begins now.

    Parameters
    ----------
    station
        The station that runs it.
    works
        What it treats: one work, or the members of a batch, in the order of their trials.
    needs
        The stations that are held as well, one for each of the works' needs.
    keeps
        Of all these, those that stay held afterwards.
    setup
        Seconds of set-up before it; above zero where one has to be done.
    ends
        When it is expected to end.
    """

    station: str
    works: tuple[Key, ...]
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    setup: float = 0.0
    ends: float = 0.0

    @property
    def taken(self) -> tuple[str, ...]:
        """Every station that it takes, its own first."""
        return self.station, *self.needs


Because = Literal[
    "order",  # an earlier step of the trial has not ended
    "release",  # it may not begin yet
    "busy",  # all its stations are taken
    "held",  # another trial keeps the station
    "down",  # out of order
    "hours",  # outside the hours of the station
    "batch",  # for others to share the run
    "window",  # the next step could not begin in time after it
    "reserved",  # the station is wanted for a step that must begin in time
    "turn",  # what goes first, by priority, share or age, takes the station
    "safety",  # trials could come to hold what the other needs
    "ahead",  # its time in the schedule that was made ahead has not come
    "never",  # no station can ever run it
]


class Wait(NamedTuple):
    """Why a work does not start now. ``str(wait)`` says it in a sentence.

    Parameters
    ----------
    because
        What kind of reason it is.
    station
        The station that it is about; empty: none.
    until
        When that is expected to change, in seconds of the clock; None: nobody knows.
    about
        The works that stand in the way, or the step that it is about.
    missing
        How many others the batch has room for.
    timezone
        The zone in which the sentence gives times.
    """

    because: Because
    station: str = ""
    until: float | None = None
    about: tuple[Key, ...] = ()
    missing: int = 0
    timezone: str = "UTC"

    def told(self, campaign: str) -> str:
        """Write it for *campaign*: trials of others have no number there, for they may not be everybody's to see."""
        return str(self._replace(about=tuple(key for key in self.about if key[0] == campaign)))

    def __str__(self) -> str:
        return _SENTENCES[self.because].format(
            station=self.station,
            until="" if self.until is None else f", until {moment(self.until, self.timezone)}",
            by="" if self.until is None else f", until {moment(self.until, self.timezone)} at the latest",
            opens="" if self.until is None else f", which opens {moment(self.until, self.timezone)}",
            trials=_trials(self.about),
            step=self.about[0][2] if self.about else "a step",
            missing=self.missing,
        )


_SENTENCES: Mapping[Because, str] = MappingProxyType(
    {
        "order": "waits for step {step} of its own trial",
        "release": "waits{until}",
        "busy": "waits for {station}, busy with {trials}{until}",
        "held": "waits for {station}, which {trials} keeps",
        "down": "waits for {station}, which is out of order",
        "hours": "waits for the hours of {station}{opens}",
        "batch": "waits for {missing} more to share the run on {station}{by}",
        "window": "waits, or {step} could not begin in time after it{until}",
        "reserved": "waits for {station}, which is kept free for {step} of {trials}{until}",
        "turn": "waits for {station}, which {trials} takes first",
        "safety": "waits, or it and {trials} could come to hold what the other needs",
        "ahead": "waits for its time in the schedule made ahead{until}",
        "never": "no station can ever run it: it is longer than {station} is ever open",
    }
)


def moment(time: float, timezone: str = "UTC") -> str:
    """Write a time of the clock for a person: ``Mon 5 Jan 14:05 UTC``."""
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    at = datetime.fromtimestamp(time, zone)
    return f"{at:%a} {at.day} {at:%b %H:%M} {at:%Z}"


def _trials(keys: Sequence[Key]) -> str:
    numbers = sorted({trial for _, trial, _ in keys})
    return f"trial{'s' if len(numbers) > 1 else ''} {listing(numbers)}" if numbers else "something else"


@dataclass(frozen=True)
class Decision:
    """What begins now, and why the rest waits.

    Parameters
    ----------
    starts
        The runs that begin now. They fit together.
    wake_at
        When to ask again, if nothing happens before; None: only something that happens can change the answer.
    waits
        Why each of the other works does not start.
    late
        Works whose latest start has passed. They are started nevertheless when their turn comes; who wants them to fail
        takes them out.
    """

    starts: tuple[Start, ...] = ()
    wake_at: float | None = None
    waits: Mapping[Key, Wait] = field(default_factory=dict[Key, Wait])
    late: tuple[Key, ...] = ()
