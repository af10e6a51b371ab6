"""The dispatching rule: what begins now, and why the rest waits.

Works are looked at in order: those that have to start by some time, the earliest first; then by priority; those that
need no set-up before those that do; then the campaign that has had least of its share; then the oldest trial. Each
begins if all it needs is free, unless

* its batch should wait for others (:class:`~sdl.lab.schedule.BatchRule`);
* a later step of its own that has to start in time after it could not (look-ahead);
* a step of another trial, that has to start in time, could not any more;
* an earlier one in the order, that needs several stations together, would have to wait longer for them (the
  reservation of EASY backfilling: Lifka, "The ANL/IBM SP scheduling system", 1995);
* trials could come to keep stations that the others need (:mod:`sdl.lab.schedule.safety`).

Where nothing runs, works could wait for one another for ever. Then the first work in the order that spoils no window of
its own begins, whatever it does to others; and where nothing would ever change, the first of all that is safe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Literal

from sdl.lab.schedule.calendar import next_common_fit
from sdl.lab.schedule.outlook import EVER, Chain, Late, Outlook, chain_of
from sdl.lab.schedule.safety import kept_after, kept_by, stuck
from sdl.lab.schedule.values import SLACK, Because, Decision, Holder, Key, Start, StationState, Wait, Work, expected_end

SETUP_PATIENCE = 10.0
"""A work is passed over for the sake of a set-up for at most so many times what the set-up takes."""

COMBINATIONS = 16
"""Choices of stations that are looked at for one work."""

MAX_LOOKS_AHEAD = 8
"""Times at which something could change that are looked at, where nothing runs, before works are taken to be stuck."""

STEP = 2 * SLACK
"""Seconds after which to ask again, where that is as soon as time has passed at all."""

PACE = 0.005
"""A work that has waited is not looked at again before so much of that time has passed once more."""

Regard = Literal["all", "own", "none"]
"""Whose windows count: those of all trials, those of what begins, or nobody's."""


def dispatch(
    now: float,
    works: Sequence[Work],
    stations: Sequence[StationState],
    *,
    usage: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    expecting: Collection[str] = (),
    timezone: str = "UTC",
) -> Decision:
    """Decide what begins now.

    Parameters
    ----------
    now
        Seconds of the clock.
    works
        What could be started or is to come; the works of a trial in the order of its steps.
    stations
        Every station of the laboratory.
    usage
        Station seconds that each campaign has used so far; left out: none.
    shares
        The share of the laboratory that each campaign should get, in proportion to the others'; left out: 1.
    expecting
        Campaigns of which more trials may come at any time, because their planner thinks. A batch of theirs waits for
        its patience; one of another campaign does not, when nobody is left who could join it.
    timezone
        The zone in which reasons give times.
    """
    given = _Given(now, works, stations, usage or {}, shares or {}, frozenset(expecting), timezone)
    decision = _Round(given).decide()
    is_idle = all(state.busy_until is None for state in stations)
    return _go_on(given, decision) if is_idle and not decision.starts else decision


def _go_on(given: _Given, decision: Decision) -> Decision:
    """Return *decision*, if waiting leads anywhere while nothing runs; else one in which something begins."""
    if _leads_on(given, decision, "all"):
        return decision
    alone = _Round(given, regard="own").decide()
    if _leads_on(given, alone, "own"):
        return alone
    return _Round(given, regard="none").decide()


def _leads_on(given: _Given, decision: Decision, regard: Regard) -> bool:
    """Tell whether something begins by *decision*, or would when it is asked again, if nothing happens before."""
    for _ in range(MAX_LOOKS_AHEAD):
        if decision.starts or decision.wake_at is None:
            break
        decision = _Round(replace(given, now=decision.wake_at), regard=regard).decide()
    return bool(decision.starts)


def lasting(state: StationState, trials: Mapping[Holder, Sequence[Work]]) -> StationState:
    """Return *state* without the trials that let go of it before it is free: none of their works to come names it.

    What a trial has let go of when its step ends, that runs on another station, it keeps until then.
    """
    if not state.held_by:
        return state
    running = {key[:2] for key in state.busy_with}
    left = tuple(
        holder
        for holder in state.held_by
        if any(state.name in group for work in trials.get(holder, ()) for group in work.groups)
        or not (holder in running or _runs_nothing(trials.get(holder, ())))
    )
    return state if len(left) == len(state.held_by) else state.replace(held_by=left)


def _runs_nothing(works: Sequence[Work]) -> bool:
    """Tell whether none of a trial's steps runs; of one without *works* that are to come nobody knows."""
    return bool(works) and not works[0].after


@dataclass
class _Given:
    """What was asked, and what follows from it whatever is decided."""

    now: float
    works: Sequence[Work]
    stations: Sequence[StationState]
    usage: Mapping[str, float]
    shares: Mapping[str, float]
    expecting: frozenset[str]
    timezone: str

    def __post_init__(self) -> None:
        self.trials: dict[Holder, list[Work]] = {}
        for work in self.works:
            self.trials.setdefault(work.holder, []).append(work)
        self.states = {state.name: lasting(state, self.trials) for state in self.stations}
        self.kept: dict[Holder, set[str]] = {}
        for state in self.states.values():
            for holder in state.held_by:
                self.kept.setdefault(holder, set()).add(state.name)
        self._chains: dict[Key, Sequence[Work]] = {}
        self.has_windows = any(work.has_window for work in self.works)

    def later(self, work: Work) -> Sequence[Work]:
        """Return the works of the same trial that come after *work*."""
        trial = self.trials[work.holder]
        place = next(place for place, each in enumerate(trial) if each is work)
        return trial[place + 1 :]

    def chain_after(self, work: Work) -> Sequence[Work]:
        """Return what comes after *work* up to the last one that has a window."""
        known = self._chains.get(work.key)
        if known is None:
            known = self._chains[work.key] = chain_of(self.later(work))
        return known

    def release_of(self, work: Work) -> float:
        """Return when the next work of a trial can begin: when the step that runs ends, if one does."""
        return expected_end(self.now, work.release) if work.after else max(self.now, work.release)

    def chains(self) -> dict[Holder, Chain]:
        """Return the chains of the trials in which a window is open, or that keep a station: what has been begun."""
        found: dict[Holder, Chain] = {}
        for holder, works in self.trials.items() if self.has_windows else ():
            kept = self.kept.get(holder, ())
            chain = Chain(chain_of(works, kept), self.release_of(works[0]))
            if chain.works and (kept or chain.urgency < EVER):
                found[holder] = chain
        return found


@dataclass(frozen=True)
class _Objection:
    """What speaks against a run, and whether one with fewer works may begin."""

    wait: Wait
    may_go_with_fewer: bool = False


class _Round:
    """One decision in the making.

    Parameters
    ----------
    regard
        Whose windows count: of ``all`` trials, the ``own`` of what begins, or of ``none``. With ``own``, only the first
        that could begin does.
    """

    def __init__(self, given: _Given, *, regard: Regard = "all") -> None:
        self.given = given
        self.now = given.now
        self.regard = regard
        self.is_strict = regard != "none"
        self.free = {n: s for n, s in given.states.items() if s.busy_until is None and not s.is_down}
        self.starts: list[Start] = []
        self.taken: dict[str, Start] = {}
        self.started: set[Key] = set()
        self.waits: dict[Key, Wait] = {}
        self.wake: list[float] = []
        self.usage = dict(given.usage)
        self.held: dict[str, set[Holder]] = {
            name: set(state.held_by) for name, state in given.states.items() if state.held_by
        }
        chains = given.chains()
        self.urgency = {holder: chain.urgency for holder, chain in chains.items()}
        self.chains = chains if regard == "all" else {}
        self._outlook: Outlook | None = None
        self.refused: dict[tuple[object, ...], _Objection] = {}
        self.ready: list[Work] = []
        self.batches: dict[tuple[str, ...], list[Work]] = {}

    def decide(self) -> Decision:
        self._sort_out()
        queue = sorted(self.ready, key=self._rank, reverse=True)
        ranks_change = len(self.given.trials) > 0 and (
            len({work.campaign for work in queue}) > 1 or any(work.setup_key for work in queue)
        )
        while queue:
            work = queue.pop()
            if work.key in self.started:
                continue
            found = self._try(work)
            if isinstance(found, Wait):
                self.waits[work.key] = found
                continue
            self._accept(work, *found)
            if self.regard == "own":
                break
            if ranks_change:
                queue.sort(key=self._rank, reverse=True)
        later = [at for at in self.wake if at > self.now]
        return Decision(tuple(self.starts), min(later, default=None), self.waits, self._late())

    def _sort_out(self) -> None:
        """Separate what is ready from what is to come."""
        for work in self.given.works:
            if work.after:
                self.waits[work.key] = self._wait("order", about=((work.campaign, work.trial, work.after[0]),))
            elif work.release > self.now + SLACK:
                self.waits[work.key] = self._wait("release", until=work.release)
                self.wake.append(work.release)
            else:
                self.ready.append(work)
                if work.batch is not None:
                    self.batches.setdefault(work.batch_id, []).append(work)
                if work.due is not None and work.due > self.now - SLACK:
                    self.wake.append(work.due + STEP)  # to tell that it is late

    def _late(self) -> tuple[Key, ...]:
        if not self.given.has_windows:
            return ()
        now = self.now - SLACK
        return tuple(w.key for w in self.ready if w.due is not None and w.due < now and w.key not in self.started)

    # --- the order ----------------------------------------------------------------------------------------------------

    def _rank(self, work: Work) -> tuple[float, ...]:
        return (
            self.urgency.get(work.holder, EVER),
            -work.priority,
            self._wants_setup(work),
            self.usage.get(work.campaign, 0.0) / self.given.shares.get(work.campaign, 1.0),
            work.trial,
            work.release,
        )

    def _wants_setup(self, work: Work) -> bool:
        """Tell whether it would need a set-up now, and has not waited long enough for that not to matter."""
        if not work.setup_key or self.now - work.release >= SETUP_PATIENCE * work.setup:
            return False
        return all(self.free[name].setup_of(work) > 0 for name in work.stations if name in self.free)

    # --- one work -----------------------------------------------------------------------------------------------------

    def _try(self, work: Work) -> tuple[Start, Sequence[Work]] | Wait:
        """Return the run that *work* begins with now, and what it treats, or why there is none."""
        blocked = self._blocked(work)
        if blocked is not None:
            self._reserve(work)
            return blocked
        mates = self._mates(work)
        patience = self._patience(work, mates) if work.batch is not None and self.is_strict else None
        if patience is not None:
            return patience
        reason: Wait | None = None
        for taken in islice(self._choices(work), COMBINATIONS):
            found = self._check(taken, mates)
            if not isinstance(found, Wait):
                return found
            reason = reason or found
        return reason or self._wait("busy", work.stations[0])

    def _check(self, taken: tuple[str, ...], mates: Sequence[Work]) -> tuple[Start, Sequence[Work]] | Wait:
        """Return the run on the stations *taken*, with as many mates as go, or what speaks against it."""
        reason: Wait | None = None
        for n in range(len(mates), 0, -1):
            start = self._start(taken, mates[:n])
            found = self._hours(start) or self._safety(start, mates[:n])
            objection = _Objection(found) if found else self._windows(start, mates[:n])
            if objection is None:
                return start, mates[:n]
            reason = reason or objection.wait
            if not objection.may_go_with_fewer:
                break
        assert reason is not None  # a batch has a member
        return reason

    def _start(self, taken: tuple[str, ...], mates: Sequence[Work]) -> Start:
        setup = self.free[taken[0]].setup_of(mates[0])
        keeps = kept_by(mates[0], taken, self.given.later(mates[0])) if mates[0].keeps else ()
        ends = self.now + setup + max(work.duration for work in mates)
        keys = tuple(work.key for work in sorted(mates, key=lambda each: each.trial))
        return Start(taken[0], keys, taken[1:], keeps, setup, ends)

    def _accept(self, work: Work, start: Start, mates: Sequence[Work]) -> None:
        self.starts.append(start)
        self.refused.clear()
        for each in mates:
            self.started.add(each.key)
            self.waits.pop(each.key, None)
            self.chains.pop(each.holder, None)
            chain = self._chain_after(each, start.ends, start.keeps)
            if chain is not None:
                self.chains[each.holder] = chain
        for name in start.taken:
            del self.free[name]
            self.taken[name] = start
        for name in start.keeps:
            self.held.setdefault(name, set()).update(each.holder for each in mates)
        if self._outlook is not None:
            self._outlook.begin(start, [each.holder for each in mates])
        seconds = (start.ends - self.now) * len(start.taken)
        self.usage[work.campaign] = self.usage.get(work.campaign, 0.0) + seconds

    # --- stations -----------------------------------------------------------------------------------------------------

    def _usable(self, name: str, holder: Holder) -> bool:
        if name not in self.free:
            return False
        holders = self.held.get(name)
        return not holders or holder in holders

    def _alternatives(self, group: tuple[str, ...], holder: Holder) -> Sequence[str]:
        """Return the stations of *group* that would do: one that the trial keeps is the only one."""
        kept = self.given.kept.get(holder)
        own = [name for name in group if name in kept] if kept else []
        return own or group

    def _blocked(self, work: Work) -> Wait | None:
        """Return why no choice of stations is free; None: there is one."""
        for group in work.groups:
            names = self._alternatives(group, work.holder)
            if not any(self._usable(name, work.holder) for name in names):
                return self._unusable(names)
        return None

    def _unusable(self, names: Sequence[str]) -> Wait:
        """Say why none of the stations *names* can be had: of the one that is expected first."""
        reasons = [self._unusable_station(name) for name in names if name in self.given.states]
        if not reasons:
            return self._wait("never", names[0])
        order = {"turn": 0, "busy": 1, "held": 2, "down": 3}
        return min(reasons, key=lambda wait: (order[wait.because], wait.until or EVER))

    def _unusable_station(self, name: str) -> Wait:
        state = self.given.states[name]
        if name in self.taken:
            return self._wait("turn", name, self.taken[name].ends, self.taken[name].works)
        if state.is_down:
            return self._wait("down", name)
        if state.busy_until is not None:
            return self._wait("busy", name, expected_end(self.now, state.busy_until), tuple(state.busy_with))
        return self._wait("held", name, about=tuple((*holder, "") for holder in sorted(self.held.get(name, ()))))

    def _choices(self, work: Work) -> Iterator[tuple[str, ...]]:
        """Yield the choices of free stations, those without a set-up first, then in the order they were named."""
        usable = [
            [name for name in self._alternatives(group, work.holder) if self._usable(name, work.holder)]
            for group in work.groups
        ]
        if work.setup_key:
            usable[0].sort(key=lambda name: self.free[name].setup_of(work))
        for taken in product(*usable):
            if len(set(taken)) == len(taken):
                yield taken

    def _hours(self, start: Start) -> Wait | None:
        """Return which station is not open for as long as the run takes, and when all are."""
        seconds = start.ends - self.now
        calendars = {name: c for name in start.taken if (c := self.given.states[name].calendar) is not None}
        closed = next((name for name, calendar in calendars.items() if not calendar.fits(self.now, seconds)), None)
        if closed is None:
            return None
        opens = next_common_fit([*calendars.values()], self.now, seconds)
        if opens is None:
            return self._wait("never", closed)
        self.wake.append(opens)
        return self._wait("hours", closed, opens)

    # --- batches ------------------------------------------------------------------------------------------------------

    def _mates(self, work: Work) -> Sequence[Work]:
        """Return what would share the run: *work* first, then others that are ready, in their order."""
        if work.batch is None:
            return (work,)
        kept = self.given.kept
        names = {name for group in work.groups for name in group}
        own = kept.get(work.holder, set()) & names
        ready = [
            each
            for each in self.batches[work.batch_id]
            if each is not work and each.key not in self.started and kept.get(each.holder, set()) & names == own
        ]
        return (work, *sorted(ready, key=self._rank)[: work.batch.size - 1])

    def _patience(self, work: Work, mates: Sequence[Work]) -> Wait | None:
        """Return that the run should wait for others; None: it goes."""
        rule = work.batch
        if rule is None or len(mates) >= rule.size:
            return None
        due = min(self.urgency.get(each.holder, EVER) for each in mates)
        patience = min(each.release for each in mates) + rule.patience
        until = min(patience, due - work.setup)
        if until <= self.now + SLACK and (len(mates) >= rule.least or due - work.setup <= self.now + SLACK):
            return None
        arrivals = self._arrivals(work, mates)
        if len(mates) >= rule.least:
            arrivals = [at for at in arrivals if at <= until]
        if not arrivals and (work.campaign not in self.given.expecting or until <= self.now + SLACK):
            return None
        if until > self.now:
            self.wake.append(until)
        by = until if until > self.now else None
        return self._wait("batch", work.stations[0], by, missing=rule.size - len(mates))

    def _arrivals(self, work: Work, mates: Sequence[Work]) -> list[float]:
        """Return when others that could share the run may come, if nothing that the mates keep is in their way.

        Whoever is treated for longer than expected may come at any time.
        """
        kept = {name for mate in mates for name in self.given.kept.get(mate.holder, ())}
        found: list[float] = []
        for works in self.given.trials.values():
            at = self.now if works[0].is_release_guess else max(self.now, works[0].release)
            for each in works:
                if each.shares_run(work):
                    if each.after or each.release > self.now + SLACK:
                        found.append(at)
                    break
                if kept and any(kept.issuperset(group) for group in each.groups):
                    break
                at += 0.0 if each.is_guess else each.duration
        return found

    # --- what may be kept, and in time --------------------------------------------------------------------------------

    def _safety(self, start: Start, mates: Sequence[Work]) -> Wait | None:
        """Return which trials could not go on any more if what *start* keeps were kept."""
        if not start.keeps:
            return None
        held = {name: set(holders) for name, holders in self.held.items()}
        for name in start.keeps:
            held.setdefault(name, set()).update(mate.holder for mate in mates)
        works: dict[Holder, Sequence[Work]] = dict(self.given.trials)
        for mate in mates:
            works[mate.holder] = self.given.later(mate)
        for key in self.started:
            works[key[:2]] = [each for each in self.given.trials[key[:2]] if each.key != key]
        locked = stuck(held, works)
        if not locked:
            return None
        return self._wait("safety", start.station, about=tuple((*holder, "") for holder in sorted(locked)))

    def _windows(self, start: Start, mates: Sequence[Work]) -> _Objection | None:
        """Return what could not start in time any more: a later step of the same trials, or one of others."""
        if not self.is_strict or not (self.given.has_windows or self.chains):
            return None
        own = [chain for mate in mates if (chain := self._chain_after(mate, start.ends, start.keeps))]
        holders = {mate.holder for mate in mates}
        others = [chain for holder, chain in self.chains.items() if holder not in holders]
        if not own and not any(chain.wanted & set(start.taken) for chain in others):
            return None
        like = (start.taken, start.ends, *(chain.likeness for chain in own))
        known = self.refused.get(like)
        if known is None:
            known = self._late_after(start, mates, own, others)
            if known is not None and not any(work.due is not None for chain in own for work in chain.works):
                self.refused[like] = known
        return known

    def _late_after(
        self, start: Start, mates: Sequence[Work], own: Sequence[Chain], others: Sequence[Chain]
    ) -> _Objection | None:
        after = self._lateness([*own, *others], start)
        late = [after[chain.holder] for chain in own if chain.holder in after]
        is_worth_waiting = bool(late) and all(each.wait < EVER for each in late) and self._could_be_kept(mates)
        if late and not is_worth_waiting and len(mates) > 1:
            return _Objection(self._wait("window", start.station, about=(late[0].key,)), may_go_with_fewer=True)
        if is_worth_waiting:
            retry = self._retry(late[0], mates)
            return _Objection(self._wait("window", start.station, retry, (late[0].key,)))
        lost = [holder for holder in after if all(chain.holder != holder for chain in own)]
        own_now = [self.chains[mate.holder] for mate in mates if mate.holder in self.chains]
        before = self._lateness([*own_now, *others], None) if lost else {}
        new = [after[holder].key for holder in lost if holder not in before]
        return _Objection(self._wait("reserved", start.station, about=tuple(new[:1]))) if new else None

    def _retry(self, late: Late, mates: Sequence[Work]) -> float | None:
        """Return when to ask again; None: when something has happened."""
        if late.seconds == EVER:
            return None
        waited = self.now - min(work.release for work in mates)
        retry = self.now + max(late.wait, STEP, PACE * waited)
        self.wake.append(retry)
        return retry

    def _lateness(self, chains: Iterable[Chain], start: Start | None) -> dict[Holder, Late]:
        """Place *chains* after *start*, and return what is late."""
        outlook = self._base().copy()
        if start is not None:
            outlook.begin(start, [key[:2] for key in start.works])
        return outlook.place(chains)

    def _base(self) -> Outlook:
        if self._outlook is None:
            self._outlook = Outlook(self.now, self.given.states)
            for start in self.starts:
                self._outlook.begin(start, [key[:2] for key in start.works])
        return self._outlook

    def _chain_after(self, work: Work, end: float, keeps: Collection[str] = ()) -> Chain | None:
        """Return what has to be in time after *work*, which ends at *end*, and what lets go of what the trial keeps."""
        if not self.given.has_windows:
            return None
        later = self.given.later(work)
        before = self.given.kept.get(work.holder)
        kept = {*keeps, *(kept_after(work, before, later) if before else ())}
        works = chain_of(later, kept) if kept else self.given.chain_after(work)
        return Chain(works, end, {work.step: end}) if works else None

    def _could_be_kept(self, mates: Sequence[Work]) -> bool:
        """Tell whether the windows after *mates* could be kept in a laboratory in which nothing else goes on."""
        chains = [self._chain_after(mate, self.now + mate.duration) for mate in mates]
        found = [chain for chain in chains if chain is not None]
        late = Outlook(self.now, self.given.states, is_empty=True).place(found)
        return all(each.seconds == EVER for each in late.values())

    def _reserve(self, work: Work) -> None:
        """Keep the first work that waits for several stations together from being put off by those behind it."""
        if self.regard != "all" or len(work.groups) < 2 or any(chain.due < EVER for chain in self.chains.values()):
            return
        if work.holder in self.chains:
            return
        outlook = self._base().copy()
        outlook.place(self.chains.values())
        spot = outlook.earliest(work, self.now)
        if spot is not None:
            self.chains[work.holder] = Chain((work,), self.now, due=spot.begin)

    def _wait(
        self,
        because: Because,
        station: str = "",
        until: float | None = None,
        about: tuple[Key, ...] = (),
        missing: int = 0,
    ) -> Wait:
        return Wait(because, station, until, about, missing, self.given.timezone)
