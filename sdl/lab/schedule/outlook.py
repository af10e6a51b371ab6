"""Where runs to come are expected to lie, so that a step is not started whose successor could not start in time."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import heappop, heappush

from sdl.lab.schedule.calendar import Stretch
from sdl.lab.schedule.safety import kept_after, kept_by
from sdl.lab.schedule.values import SLACK, Holder, Key, Start, StationState, Work, expected_end

EVER = math.inf
_TRIES = 100
"""Moves of a run to a later time before it is taken to fit nowhere."""


@dataclass(frozen=True)
class Chain:
    """The works of one trial up to the last one that has to start in time.

    Parameters
    ----------
    works
        In the order of the trial's steps.
    release
        When the first of them could start.
    ends
        When steps before them end, by name; any other one that a window names ends at *release*.
    due
        A latest start of the first work, beside its own.
    """

    works: Sequence[Work]
    release: float
    ends: Mapping[str, float] = field(default_factory=dict[str, float])
    due: float = EVER

    @property
    def holder(self) -> Holder:
        """Campaign and trial."""
        return self.works[0].holder

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Every station that the works could take."""
        return frozenset(name for work in self.works for group in work.groups for name in group)

    @cached_property
    def likeness(self) -> tuple[object, ...]:
        """What chains have in common that are placed alike."""
        return tuple((work.campaign, work.step, work.duration, work.groups, work.batch_key) for work in self.works)

    @cached_property
    def urgency(self) -> float:
        """The latest start of the first work."""
        latest, offset, ends = self.due, 0.0, dict(self.ends)
        for work in self.works:
            latest = min(latest, due_of(work, ends, self.release) - offset)
            offset += work.duration
            ends[work.step] = EVER  # a window that it opens says nothing yet
        return latest


def due_of(work: Work, ends: Mapping[str, float], otherwise: float) -> float:
    """Return the latest start of *work*, when earlier steps end at *ends*, those it does not have at *otherwise*."""
    due = EVER if work.due is None else work.due
    for step, seconds in work.within.items():
        due = min(due, ends.get(step, otherwise) + seconds)
    return due


def chain_of(works: Sequence[Work], kept: Collection[str] = ()) -> Sequence[Work]:
    """Return the *works* of a trial up to the last one that has a window, and until nothing is *kept* any more."""
    last = max((place for place, work in enumerate(works) if work.has_window), default=-1)
    left = set(kept)
    for place, work in enumerate(works):
        if place > last and not left:
            break
        last = max(last, place)
        left = set(kept_after(work, left, works[place + 1 :]))
    return works[: last + 1]


@dataclass(frozen=True)
class Late:
    """A work that could not start in time.

    Parameters
    ----------
    key
        Which.
    seconds
        By how much it would be late.
    wait
        By how much later what comes first would have to begin, so that it were not; EVER: that changes nothing, for the
        step that opened its window has ended.
    """

    key: Key
    seconds: float
    wait: float = 0.0


@dataclass
class _Joint:
    """A run that has room for others."""

    work: Work
    taken: tuple[str, ...]
    begin: float
    end: float
    room: int
    due: float


@dataclass
class _Spot:
    taken: tuple[str, ...]
    begin: float
    setup: float
    end: float
    is_own: bool = True


@dataclass
class _Cursor:
    """How far a chain has been placed."""

    chain: Chain
    at: float
    ends: dict[str, float]
    place: int = 0
    due: float = EVER
    idle: float = 0.0
    idle_before: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def work(self) -> Work:
        return self.chain.works[self.place]

    def wait_for(self, begin: float) -> float:
        """Return by how much later the chain would have to begin for the work at *begin* to be in time.

        To begin later changes first how long the works wait between the steps, and only then when they begin.
        """
        if self.due_by_others < begin - SLACK:
            return EVER
        work, wait = self.work, 0.0
        for step, seconds in work.within.items():
            late = begin - self.ends.get(step, self.chain.release) - seconds
            if late > SLACK:
                wait = max(wait, late + self.idle_before.get(step, 0.0))
        return wait

    @property
    def due_by_others(self) -> float:
        """The latest start of the next work, as far as it hangs on nothing that is to come."""
        due = EVER if self.work.due is None else self.work.due
        return min(due, self.chain.due) if self.place == 0 else due


_Head = tuple[float, float, str, int, _Cursor]


class Outlook:
    """The expected use of the stations: what runs, what begins now, and what has been placed after it.

    Parameters
    ----------
    now
        Seconds of the clock.
    states
        Every station by name.
    is_empty
        Whether to look at a laboratory in which nothing goes on, and which is always open.
    """

    def __init__(self, now: float, states: Mapping[str, StationState], *, is_empty: bool = False) -> None:
        self.now = now
        self._states = states
        self._has_hours = not is_empty
        self._holds: dict[str, dict[Holder, float]] = {}
        self._lines: dict[str, list[Stretch]] = {name: [] for name in states}
        self._joints: list[_Joint] = []
        for name, state in () if is_empty else states.items():
            if state.busy_until is not None:
                self._lines[name].append((-EVER, expected_end(now, state.busy_until)))
            if state.held_by:
                begin = now if state.busy_until is None else expected_end(now, state.busy_until)
                self._holds[name] = dict.fromkeys(state.held_by, begin)

    def copy(self) -> Outlook:
        """Return a copy that can be filled on its own."""
        other = Outlook.__new__(Outlook)
        other.now, other._states, other._has_hours = self.now, self._states, self._has_hours
        other._holds = {name: dict(holders) for name, holders in self._holds.items()}
        other._lines = {name: list(line) for name, line in self._lines.items()}
        other._joints = [replace(joint) for joint in self._joints]
        return other

    def take(self, names: Sequence[str], begin: float, end: float) -> None:
        """Note that a run has the stations from *begin* to *end*."""
        for name in names:
            insort(self._lines[name], (begin, end))

    def begin(self, start: Start, holders: Collection[Holder]) -> None:
        """Note a run that begins now, of the trials *holders*, and what they keep after it."""
        self.take(start.taken, self.now, start.ends)
        for name in start.taken:
            for holder in holders:
                self._holds.get(name, {}).pop(holder, None)
                if name in start.keeps:
                    self._holds.setdefault(name, {})[holder] = start.ends

    def place(self, chains: Iterable[Chain]) -> dict[Holder, Late]:
        """Place all works of *chains* as the rule would start them, and return the first of each trial that is late.

        The one that can begin first goes first; of those that can begin at the same time, the one that is due first.
        """
        found: dict[Holder, Late] = {}
        heads: list[_Head] = []
        blocked: list[_Cursor] = []
        for chain in chains:
            self._queue(heads, blocked, _Cursor(chain, at=max(self.now, chain.release), ends=dict(chain.ends)))
        while heads:
            begin, _, _, _, cursor = heappop(heads)
            spot = self._joined(cursor.work, cursor.at, cursor.due) or self._first(cursor)
            if spot is None:
                blocked.append(cursor)
            elif spot.begin > begin + SLACK and spot.is_own:
                heappush(heads, (spot.begin, cursor.due, *cursor.chain.holder, cursor))  # others have taken its place
            else:
                if self._settle(cursor, spot, found):
                    freed, blocked = blocked, []
                    for each in freed:
                        self._queue(heads, blocked, each)
                self._queue(heads, blocked, cursor)
        for cursor in blocked:
            found.setdefault(cursor.chain.holder, Late(cursor.work.key, EVER))
        return found

    def _queue(self, heads: list[_Head], blocked: list[_Cursor], cursor: _Cursor) -> None:
        """Put the next work of a chain among those to be placed; what others keep a station from waits for them."""
        if cursor.place == len(cursor.chain.works):
            return
        cursor.due = due_of(cursor.work, cursor.ends, cursor.chain.release)
        if cursor.place == 0:
            cursor.due = min(cursor.due, cursor.chain.due)
        spot = self._first(cursor)
        if spot is None:
            blocked.append(cursor)
        else:
            heappush(heads, (spot.begin, cursor.due, *cursor.chain.holder, cursor))

    def _settle(self, cursor: _Cursor, spot: _Spot, found: dict[Holder, Late]) -> bool:
        """Note the place of a work, and whether it is late there; say whether it lets go of a station."""
        work = cursor.work
        if spot.is_own:
            self.take(spot.taken, spot.begin, spot.end)
            if work.batch is not None:
                room = work.batch.size - 1
                self._joints.append(_Joint(work, spot.taken, spot.begin, spot.end, room, cursor.due))
        begin = spot.begin + spot.setup
        if begin > cursor.due + SLACK:
            found.setdefault(cursor.chain.holder, Late(work.key, begin - cursor.due, cursor.wait_for(begin)))
        cursor.idle += max(0.0, spot.begin - cursor.at)
        cursor.idle_before[work.step] = cursor.idle
        cursor.ends[work.step] = cursor.at = spot.end
        cursor.place += 1
        return self._keep(work, spot, cursor.chain.works[cursor.place :])

    def _keep(self, work: Work, spot: _Spot, later: Sequence[Work]) -> bool:
        """Note what a trial keeps after *work*, and what it lets go of; say whether there is any of that."""
        lets_go = False
        for name in spot.taken if self._holds or work.keeps else ():
            since = self._holds.get(name, {}).pop(work.holder, None)
            if since is not None:
                lets_go = True
                if since < spot.begin:
                    self.take((name,), since, spot.begin)
        for name in kept_by(work, spot.taken, later):
            self._holds.setdefault(name, {})[work.holder] = spot.end
        return lets_go

    # --- one run ------------------------------------------------------------------------------------------------------

    def _joined(self, work: Work, at: float, due: float) -> _Spot | None:
        """Find a run with room for *work* that it can wait for, or that can wait for it."""
        for joint in self._joints if work.batch is not None else ():
            if joint.room == 0 or not joint.work.shares_run(work) or joint.begin > due + SLACK:
                continue
            wait = at - joint.begin
            if wait > 0 and not self._delay(joint, wait):
                continue
            joint.room -= 1
            joint.due = min(joint.due, due)
            return _Spot(joint.taken, joint.begin, 0.0, joint.end, is_own=False)
        return None

    def _delay(self, joint: _Joint, seconds: float) -> bool:
        """Move a run to *seconds* later, if nothing is in its way and nobody in it would be late."""
        begin, end = joint.begin + seconds, joint.end + seconds
        if begin > joint.due + SLACK:
            return False
        before = (joint.begin, joint.end)
        others = [[span for span in self._lines[name] if span != before] for name in joint.taken]
        if any(span[0] < end - SLACK and span[1] > begin + SLACK for line in others for span in line):
            return False
        for name, line in zip(joint.taken, others, strict=True):
            self._lines[name] = line
        self.take(joint.taken, begin, end)
        joint.begin, joint.end = begin, end
        return True

    def _first(self, cursor: _Cursor) -> _Spot | None:
        return self.earliest(cursor.work, cursor.at)

    def earliest(self, work: Work, at: float) -> _Spot | None:
        """Find the earliest place for *work* from *at* on; None: it fits nowhere."""
        for _ in range(_TRIES):
            spot, later = self._spot(work, at)
            if spot is not None or later == EVER:
                return spot
            at = later
        return None

    def _spot(self, work: Work, at: float) -> tuple[_Spot | None, float]:
        """Return where *work* fits at *at*, or else the next time at which it may."""
        taken: list[str] = []
        later, length, setup = at, work.duration, 0.0
        for place, group in enumerate(work.groups):
            best, free_at = "", EVER
            for name in self._own(group, work.holder) or group:
                if name in taken or name not in self._states:
                    continue
                state = self._states[name]
                longer = state.setup_of(work) if place == 0 else setup
                found = self._next_free(name, state, work.holder, at, longer + work.duration)
                if found < free_at:
                    best, free_at, length = name, found, longer + work.duration
                    setup = longer
            later = max(later, free_at)
            taken.append(best)
        if later > at:
            return None, later
        return _Spot(tuple(taken), at, setup, at + length), at

    def _own(self, group: tuple[str, ...], holder: Holder) -> list[str]:
        return [name for name in group if holder in self._holds.get(name, ())] if self._holds else []

    def _next_free(self, name: str, state: StationState, holder: Holder, at: float, seconds: float) -> float:
        if state.is_down:
            return EVER
        holds = self._holds.get(name)
        kept_from = EVER if not holds or holder in holds else min(holds.values())
        while at + seconds <= kept_from + SLACK:
            for begin, end in self._lines[name]:
                if begin < at + seconds - SLACK and end > at:
                    at = end
            fit = at if state.calendar is None or not self._has_hours else state.calendar.next_fit(at, seconds)
            if fit is None or fit == at:
                return EVER if fit is None or at + seconds > kept_from + SLACK else at
            at = fit
        return EVER
