"""A laboratory that only takes time: the scheduler at work on trials whose steps last as long as they are said to."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sdl.errors import LabError
from sdl.lab.schedule.dispatching import dispatch, lasting
from sdl.lab.schedule.values import SLACK, Decision, Holder, Key, Start, StationState, Wait, Work, expected_end

Decide = Callable[[float, Sequence[Work], Sequence[StationState], Mapping[str, float]], Decision]
"""A scheduler: the time, the works, the stations, and what each campaign has used, in station seconds."""

MAX_IDLE_LOOKS = 10_000
"""Looks in a row at which nothing begins and nothing ends, before the rehearsal is given up."""


@dataclass(frozen=True)
class RehearsedRun:
    """What a station did: one run.

    Parameters
    ----------
    station, needs, works, setup
        See :class:`~sdl.lab.schedule.Start`.
    begin, end
        Seconds of the clock; the set-up is part of it.
    """

    station: str
    works: tuple[Key, ...]
    begin: float
    end: float
    needs: tuple[str, ...] = ()
    setup: float = 0.0

    @property
    def taken(self) -> tuple[str, ...]:
        """Every station that it took, its own first."""
        return self.station, *self.needs


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal.

    Parameters
    ----------
    begin, end
        When it began, and when the last run ended.
    runs
        In the order they began.
    waited
        Seconds that each work was ready before it began.
    late
        Works that began after their latest start.
    failed
        Works that were given up because they could not begin in time; only where late ones fail.
    n_decisions
        How often the scheduler was asked.
    kept
        Spans for which a trial kept a station between two steps: station, begin, end, campaign and trial.
    """

    begin: float
    end: float
    runs: tuple[RehearsedRun, ...]
    waited: Mapping[Key, float]
    late: tuple[Key, ...] = ()
    failed: tuple[Key, ...] = ()
    n_decisions: int = 0
    kept: tuple[tuple[str, float, float, Holder], ...] = ()

    @property
    def seconds(self) -> float:
        """From the begin to the end."""
        return self.end - self.begin

    def busy(self) -> dict[str, float]:
        """Return the seconds for which each station ran something."""
        found: dict[str, float] = {}
        for run in self.runs:
            for name in run.taken:
                found[name] = found.get(name, 0.0) + run.end - run.begin
        return found


def decide_by_rule(
    now: float, works: Sequence[Work], stations: Sequence[StationState], usage: Mapping[str, float]
) -> Decision:
    """Decide by the dispatching rule."""
    return dispatch(now, works, stations, usage=usage)


def rehearse(
    trials: Sequence[Sequence[Work]],
    stations: Sequence[StationState],
    *,
    begin: float = 0.0,
    in_flight: Mapping[str, int] | None = None,
    took: Mapping[Key, float] | None = None,
    fail_late: bool = False,
    decide: Decide = decide_by_rule,
) -> Rehearsed:
    """Run *trials* on *stations* that only take time.

    Parameters
    ----------
    trials
        The works of each trial, in the order of its steps; those of a campaign in the order in which they begin. Their
        ``release`` is when the trial may begin at the earliest. What comes ``after`` what, and when it is due, is found
        out on the way; for the first work of a trial both may tell of a step that runs, or has ended, at the begin.
    stations
        As they stand at the begin: what they run then ends when it is expected to.
    in_flight
        How many trials of each campaign run at the same time; left out: all.
    took
        What works really last, in seconds, where it is not what is expected of them.
    fail_late
        Whether a trial ends when a step cannot begin in time, instead of going on.
    decide
        The scheduler.

    Raises
    ------
    LabError
        It does not end: a work never gets what it needs.
    """
    return _Rehearsal(trials, stations, begin, in_flight or {}, took or {}, fail_late=fail_late).run(decide)


@dataclass
class _Trial:
    works: list[Work]
    ready: float = 0.0
    is_in: bool = False
    running: Work | None = None
    expected: float = 0.0
    ends: dict[str, float] = field(default_factory=dict[str, float])
    before: str = ""

    @property
    def holder(self) -> Holder:
        return self.works[0].holder


class _Rehearsal:
    def __init__(
        self,
        trials: Sequence[Sequence[Work]],
        stations: Sequence[StationState],
        begin: float,
        in_flight: Mapping[str, int],
        took: Mapping[Key, float],
        *,
        fail_late: bool,
    ) -> None:
        self.now = self.begin = begin
        self.waiting = [_Trial(list(works), before=_running(works[0])) for works in trials if works]
        self.active: dict[Holder, _Trial] = {}
        by_holder = {works[0].holder: works for works in trials if works}
        self.states = {state.name: lasting(state, by_holder) for state in stations}
        self.kept: dict[str, dict[Holder, float]] = {
            name: dict.fromkeys(state.held_by, begin) for name, state in self.states.items() if state.held_by
        }
        self.in_flight = in_flight
        self.took = took
        self.fail_late = fail_late
        self.ending: list[tuple[float, int, Start]] = []
        self.usage: dict[str, float] = {}
        self.runs: list[RehearsedRun] = []
        self.waited: dict[Key, float] = {}
        self.late: list[Key] = []
        self.failed: list[Key] = []
        self.spans: list[tuple[str, float, float, Holder]] = []
        self.n_decisions = 0
        self._n_idle = 0
        for number, state in enumerate(self.states.values()):
            if state.busy_until is not None:
                heapq.heappush(self.ending, (expected_end(begin, state.busy_until), number, Start(state.name, ())))

    def run(self, decide: Decide) -> Rehearsed:
        while True:
            self._admit()
            if not self.active and not self.waiting:
                break
            if self.fail_late and self._fail():
                continue
            decision = decide(self.now, self._works(), list(self.states.values()), self.usage)
            self.n_decisions += 1
            for start in decision.starts:
                self._start(start)
            self._pass_time(decision)
        end = max((run.end for run in self.runs), default=self.begin)
        return Rehearsed(
            begin=self.begin,
            end=end,
            runs=tuple(self.runs),
            waited=self.waited,
            late=tuple(self.late),
            failed=tuple(self.failed),
            n_decisions=self.n_decisions,
            kept=tuple(self.spans),
        )

    def _admit(self) -> None:
        counts: dict[str, int] = {}
        for campaign, _ in self.active:
            counts[campaign] = counts.get(campaign, 0) + 1
        left: list[_Trial] = []
        for trial in self.waiting:
            campaign = trial.works[0].campaign
            if counts.get(campaign, 0) >= self.in_flight.get(campaign, len(self.waiting) + len(self.active)):
                left.append(trial)
                continue
            counts[campaign] = counts.get(campaign, 0) + 1
            release = trial.works[0].release
            trial.ready = expected_end(self.now, release) if trial.before else max(self.now, release)
            if trial.before:
                trial.ends[trial.before] = trial.ready
            self.active[trial.holder] = trial
        self.waiting = left

    def _works(self) -> list[Work]:
        return [work for trial in self.active.values() for work in _as_told(trial)]

    def _start(self, start: Start) -> None:
        works = [self.active[key[:2]].works[0] for key in start.works]
        seconds = max(self.took.get(work.key, work.duration) for work in works)
        end = self.now + start.setup + seconds
        heapq.heappush(self.ending, (end, len(self.states) + len(self.runs), start))
        self.runs.append(RehearsedRun(start.station, start.works, self.now, end, start.needs, start.setup))
        for work in works:
            trial = self.active[work.holder]
            if self.now + start.setup > _due(work, trial.ends) + 2 * SLACK:
                self.late.append(work.key)
            self.waited[work.key] = self.now - trial.ready
            trial.running, trial.expected = trial.works.pop(0), start.ends
        for name in start.keeps:
            self.kept.setdefault(name, {}).update({work.holder: end for work in works})
        for name in start.taken:
            key = works[0].setup_key if name == start.station else ""
            last = key or self.states[name].last_setup
            self._change(name, busy_until=start.ends, busy_with=start.works, last_setup=last)
        campaign = works[0].campaign
        self.usage[campaign] = self.usage.get(campaign, 0.0) + (end - self.now) * len(start.taken)

    def _change(self, name: str, **changes: object) -> None:
        holders = tuple(sorted(self.kept.get(name, {})))
        self.states[name] = self.states[name].replace(**changes, held_by=holders)

    def _fail(self) -> bool:
        """Give up the trials that are late; say whether there are any."""
        found = [trial for trial in self.active.values() if trial.running is None and self._is_late(trial)]
        for trial in found:
            self.failed.append(trial.works[0].key)
            self._leave(trial)
        return bool(found)

    def _is_late(self, trial: _Trial) -> bool:
        return self.now > _due(trial.works[0], trial.ends) + SLACK

    def _pass_time(self, decision: Decision) -> None:
        """Go on to the next end of a run, or to when the scheduler wants to look again."""
        wake = decision.wake_at
        if self.ending and (wake is None or self.ending[0][0] <= wake):
            self.now = self.ending[0][0]
            while self.ending and self.ending[0][0] <= self.now:
                self._end(heapq.heappop(self.ending)[2])
            self._n_idle = 0
            return
        self._n_idle += 1
        if wake is None or wake <= self.now or self._n_idle > MAX_IDLE_LOOKS:
            raise LabError(f"the rehearsal does not end: {_reasons(decision.waits)}")
        self.now = wake

    def _end(self, start: Start) -> None:
        for key in start.works:
            trial = self.active[key[:2]]
            work = trial.running
            assert work is not None  # it was started
            trial.running, trial.ready = None, self.now
            trial.ends[work.step] = self.now
            self._let_go(work, start)
            if not trial.works:
                self._leave(trial, work.holder)
        for name in start.taken:
            self._change(name, busy_until=None, busy_with=())

    def _let_go(self, work: Work, start: Start) -> None:
        """Let go of what the trial kept for this step, unless it keeps it on."""
        named = {name for group in work.groups for name in group}
        for name in named - set(start.keeps):
            self._free(name, work.holder)

    def _free(self, name: str, holder: Holder) -> None:
        since = self.kept.get(name, {}).pop(holder, None)
        if since is not None:
            self.spans.append((name, since, self.now, holder))
            self._change(name)

    def _leave(self, trial: _Trial, holder: Holder | None = None) -> None:
        holder = holder or trial.holder
        for name in list(self.kept):
            self._free(name, holder)
        del self.active[holder]


def _due(work: Work, ends: Mapping[str, float]) -> float:
    dues = [ends[step] + seconds for step, seconds in work.within.items() if step in ends]
    return min([*dues, *(() if work.due is None else (work.due,))], default=float("inf"))


def _running(work: Work) -> str:
    """Return the step of its trial that runs at the begin; empty: none does."""
    return work.after[0] if work.after else ""


def _as_told(trial: _Trial) -> list[Work]:
    """Write down a trial as the scheduler is told of it: what is ready, what has to come first, and what is due."""
    running = trial.running
    before: list[str] = [] if running is None else [running.step]
    release = trial.ready if running is None else trial.expected
    found: list[Work] = []
    for work in trial.works:
        due = _due(work, trial.ends)
        left = {step: seconds for step, seconds in work.within.items() if step not in trial.ends}
        changes = {
            "after": tuple(before),
            "release": release,
            "due": None if due == float("inf") else due,
            "is_release_guess": running is not None and running.is_guess,
        }
        found.append(work.replace(**changes, within=left))
        before.append(work.step)
    return found


def _reasons(waits: Mapping[Key, Wait]) -> str:
    heads = [f"{step} of trial {trial} {wait}" for (_, trial, step), wait in waits.items() if wait.because != "order"]
    return "; ".join(heads[:3]) or "nothing waits"
