"""A trial: the life of one suggestion, folded from the journal."""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from datetime import datetime

from sdl.campaign.planner import NOT_JUDGED, HistoryEntry, TrialState
from sdl.journal.records import (
    Body,
    Decision,
    Event,
    Failure,
    Observation,
    ParameterValue,
    SeedRow,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
    read_body,
)
from sdl.journal.trust import Quality, Role, TrialAssigned, Verdict
from sdl.problem.value import FrozenMap, Value
from sdl.problem.writing import in_unit, number


class Trial(Value):
    """One suggestion and what became of it.

    Parameters
    ----------
    number
        Counts from 1 within the campaign.
    values, units
        The parameters in their declared units.
    state
        See :class:`~sdl.campaign.TrialState`.
    decision
        Why it was proposed.
    attempts
        How many times it was begun.
    observation, failure
        What was measured, or why nothing was.
    reason
        Why it is unknown or was abandoned.
    cost
        What it cost, in the campaign's unit of cost.
    proposed_at, started_at, ended_at
        UTC, from the laboratory's clock; None for what has not happened.
    role
        What it was made for: the search, or to judge others.
    series, of
        The control sample that it is one of, or the trial that it repeats.
    verdict
        Whether its observation can be trusted, and why.
    """

    number: int
    values: FrozenMap[ParameterValue]
    units: FrozenMap[str | None]
    state: TrialState
    decision: Decision
    attempts: int = 0
    observation: Observation | None = None
    failure: Failure | None = None
    reason: str = ""
    cost: float = 0.0
    proposed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    role: Role = Role.SEARCH
    series: str = ""
    of: int | None = None
    verdict: Verdict = NOT_JUDGED

    @property
    def kind(self) -> str:
        """What it was made for, in a few words; empty for a trial of the search."""
        return kind_of(self.role, self.series, self.of)

    @property
    def seconds(self) -> float | None:
        """Laboratory seconds from the start of the last attempt to its end; None while it runs."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {written(value, self.units[name])}" for name, value in self.values.items())
        made_for = f", {self.kind}" if self.kind else ""
        doubt = "" if self.verdict.quality is Quality.VALID else f" [{self.verdict.quality}]"
        return f"trial {self.number} ({self.state}{made_for}): {self.outcome}{doubt} at {where}"

    @property
    def outcome(self) -> str:
        """What came out, in a few words."""
        if self.observation is not None:
            return ", ".join(f"{name} = {measured}" for name, measured in self.observation.outcomes.items())
        if self.failure is not None:
            return f"{self.failure.category}: {self.failure.reason}"
        return self.reason or "no result yet"


def kind_of(role: Role, series: str, of: int | None) -> str:
    """Say what a trial that is no part of the search was made for."""
    match role:
        case Role.SEARCH:
            return ""
        case Role.REPLICATE:
            return f"replicate of trial {of}"
        case _:
            return series if series == role.value else f"{role} {series}"


def written(value: ParameterValue, unit: str | None) -> str:
    """Write a parameter value for a person: four digits and the unit."""
    return value if isinstance(value, str) else in_unit(number(value), unit)


class Packing:
    """Packs texts of events that are much like the first of their kind, which says what they have in common."""

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    def pack(self, kind: str, text: str) -> bytes:
        """Return *text* packed: a fraction of its size after the first one of its *kind*."""
        packer = zlib.compressobj(1, zdict=self._first.setdefault(kind, text.encode()))
        return packer.compress(text.encode()) + packer.flush()

    def unpack(self, kind: str, packed: bytes) -> str:
        """Return the text again."""
        return zlib.decompressobj(zdict=self._first[kind]).decompress(packed).decode()


class Told:
    """What the fold keeps of an event: when it was, and its text, of which the body is read when it is asked for."""

    __slots__ = ("_body", "_kind", "_packing", "_sequence", "_text", "_timestamp")

    def __init__(self, event: Event, packing: Packing) -> None:
        self._sequence, self._kind = event.sequence, event.kind
        self._timestamp = event.timestamp
        self._text: str | bytes = event.text
        self._body: Body | None = event.known_body
        self._packing = packing

    @property
    def time(self) -> datetime:
        """When it was recorded, in UTC."""
        return datetime.fromisoformat(self._timestamp or self._unpacked()[0])

    @property
    def body(self) -> Body:
        """What happened. Raises :class:`~sdl.errors.JournalCorrupt` where the text is no body of an event."""
        if self._body is None:
            self._body = read_body(self._unpacked()[1], self._sequence, self._kind)
        return self._body

    def _unpacked(self) -> tuple[str, str]:
        """Return its timestamp and its text."""
        if isinstance(self._text, str):
            return self._timestamp, self._text
        timestamp, _, text = self._packing.unpack(self._kind, self._text).partition(" ")
        return timestamp, text

    def forget(self) -> None:
        """Keep the text only, and that packed: the body is read again when somebody asks for it."""
        self._body = None
        if isinstance(self._text, str):
            self._text = self._packing.pack(self._kind, f"{self._timestamp} {self._text}")
            self._timestamp = ""


@dataclass(slots=True)
class TrialRecord:
    """What the fold keeps of a trial: the events that made it what it is, read only when somebody asks.

    It changes as events come; a :class:`Trial` is made of it when one is asked for.
    """

    number: int
    proposed: Told
    state: TrialState = TrialState.PROPOSED
    attempts: int = 0
    started: str | None = None
    """When the last attempt began: the event's timestamp."""
    ended: Told | None = None
    reason: str = ""
    cost: float = 0.0
    assigned: TrialAssigned | None = None
    """What it is made for; None for a trial of the search."""
    verdict: Verdict = NOT_JUDGED
    judged_by: str = ""
    """Who gave the verdict; empty where there is none."""
    was_doubted: bool = False
    """Whether its first verdict was not valid."""

    @property
    def role(self) -> Role:
        """What the trial is made for."""
        return Role.SEARCH if self.assigned is None else self.assigned.role

    @property
    def proposal(self) -> TrialProposed:
        """The values and the decision."""
        assert isinstance(self.proposed.body, TrialProposed)
        return self.proposed.body

    @property
    def observation(self) -> Observation | None:
        """What was measured, where the trial is completed."""
        body = None if self.ended is None else self.ended.body
        return body.observation if isinstance(body, TrialCompleted) else None

    @property
    def failure(self) -> Failure | None:
        """Why nothing was, where it failed."""
        body = None if self.ended is None else self.ended.body
        return body.failure if isinstance(body, TrialFailed) else None

    def to_trial(self, units: FrozenMap[str | None]) -> Trial:
        """Return the frozen view of this moment."""
        return Trial(
            number=self.number,
            values=self.proposal.values,
            units=units,
            state=self.state,
            decision=self.proposal.decision,
            attempts=self.attempts,
            observation=self.observation,
            failure=self.failure,
            reason=self.reason,
            cost=self.cost,
            proposed_at=self.proposed.time,
            role=self.role,
            series="" if self.assigned is None else self.assigned.series,
            of=None if self.assigned is None else self.assigned.of,
            verdict=self.verdict,
            started_at=None if self.started is None else datetime.fromisoformat(self.started),
            ended_at=None if self.ended is None else self.ended.time,
        )

    def to_entry(self, *, is_trusted: bool = True) -> HistoryEntry:
        """Return what a planner may know of the trial; of one that is not trusted, that nobody knows its outcome."""
        failure = self.failure
        return HistoryEntry(
            trial=self.number,
            values=self.proposal.values,
            state=self.state if is_trusted else TrialState.UNKNOWN,
            observation=self.observation if is_trusted else None,
            failure=None if failure is None else f"{failure.category}: {failure.reason}",
            role=self.role,
            verdict=self.verdict,
            cost=self.cost,
            planner=sys.intern(self.proposal.decision.planner),
        )

    def forget(self) -> None:
        """Let go of what is read from the events: ten thousand trials take memory, and few are asked for again."""
        self.proposed.forget()
        if self.ended is not None:
            self.ended.forget()


def seed_entry(number: int, row: SeedRow, origin: str = "") -> HistoryEntry:
    """Return prior data as history; their numbers count down from -1."""
    return HistoryEntry(
        trial=-number,
        values=row.values,
        state=TrialState.COMPLETED,
        observation=Observation(outcomes=row.outcomes),
        origin=origin,
    )
