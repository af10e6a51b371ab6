"""Scheduling ahead: all works of the near future placed together with CP-SAT, where windows are tight.

The dispatching rule looks at one work after another. Where windows are tight, an order that no rule of thumb finds may
keep them all, or end sooner. First the rule itself is let go on in thought, to the end of what is known (its works form
batches as it would); then the solver looks for something better, from there. What it finds is followed as long as
everything goes as expected; whatever is unexpected (a new trial, a step that took longer or less long) is an occasion
to look again: the horizon rolls.

The effort is counted in steps of the solver, with one thread and a seed: the same question has the same answer on every
machine. The optional extra ``schedule`` installs OR-tools; without it, and wherever nothing better was found, the rule
decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, get_args

from sdl.errors import LabError
from sdl.lab.schedule.dispatching import dispatch
from sdl.lab.schedule.outlook import due_of
from sdl.lab.schedule.rehearsal import rehearse
from sdl.lab.schedule.safety import kept_by, stuck
from sdl.lab.schedule.solving import EARLY, Placed, has_solver, is_kept_out, release_of, solve
from sdl.lab.schedule.values import SLACK, Decision, Holder, Key, Start, StationState, Wait, Work

EFFORT = 0.3
"""Deterministic seconds that the solver may spend at one event: up to about three times as many of a processor."""

MAX_WORKS = 60
"""Works that are placed together; those of further trials wait for the horizon to come to them."""

AS_EXPECTED = 1.0
"""Seconds by which something may differ from what was expected."""

NO_SOLVER = "OR-tools is not installed (pip install 'sdl[schedule]')"
KEPT_OUT = "OR-tools cannot be loaded beside the library for SiLA 2; an instrument with SiLA needs a process of its own"
NOTHING_BETTER = "the solver found nothing better in the effort that it may spend"
ENDLESS = "the rule does not come to an end with what is known"

When = Literal["never", "auto", "always"]
"""When to schedule ahead: never, where the rule holds something back for the sake of a window, or wherever possible."""

WHEN: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Schedule:
    """A schedule of the works of the near future.

    Parameters
    ----------
    decision
        What begins now, and why the rest waits; as :func:`~sdl.lab.schedule.dispatch` returns it.
    placed
        All runs of the horizon, in the order they begin; none where the rule could not be followed to its end.
    is_optimal
        Whether it is proven that there is no better one with the same batches.
    source
        Who made it: ``cp-sat``, or the ``rule``.
    why
        Why it was chosen, in words.
    n_late
        Windows that it breaks.
    """

    decision: Decision
    placed: tuple[Placed, ...] = ()
    is_optimal: bool = False
    source: Literal["cp-sat", "rule"] = "rule"
    why: str = ""
    n_late: int = 0


def schedule_ahead(
    now: float,
    works: Sequence[Work],
    stations: Sequence[StationState],
    *,
    effort: float = EFFORT,
    seed: int = 0,
    usage: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    expecting: Collection[str] = (),
    timezone: str = "UTC",
) -> Schedule:
    """Place the *works* of the near future together, and decide what begins now.

    Parameters
    ----------
    now, works, stations, usage, shares, expecting, timezone
        See :func:`~sdl.lab.schedule.dispatch`. Priorities and shares are minded by the rule; unless it saves windows,
        no campaign pays for another schedule, see :func:`~sdl.lab.schedule.solving.solve`.
    effort
        What the solver may spend, in its deterministic seconds.
    seed
        Of the solver.
    """
    rule = dispatch(now, works, stations, usage=usage, shares=shares, expecting=expecting, timezone=timezone)
    return _Question(now, works, stations, rule, usage or {}, shares or {}).answer(effort, seed)


def is_tight(decision: Decision) -> bool:
    """Tell whether the rule is late, or holds something back for the sake of a window."""
    return bool(decision.late) or any(wait.because in ("window", "reserved") for wait in decision.waits.values())


class Ahead:
    """Decides what begins, ahead where that is wanted; remembers the schedule that it follows.

    Parameters
    ----------
    when
        ``auto`` schedules ahead from where the rule holds something back for the sake of a window, until it does as
        well as the solver; ``always`` wherever it can be; ``never`` leaves everything to the rule.
    effort, seed
        See :func:`schedule_ahead`.

    Attributes
    ----------
    news
        What was decided last, where nobody has been told yet who decides, or why the rule does.
    """

    def __init__(self, when: When = "auto", *, effort: float = EFFORT, seed: int = 0) -> None:
        self.when: When = when
        self.effort = effort
        self.seed = seed
        self.schedule: Schedule | None = None
        self.news: Schedule | None = None
        self.n_solved = 0
        self._told: set[tuple[str, str]] = set()
        self._known: frozenset[Key] = frozenset()

    def decide(
        self,
        now: float,
        works: Sequence[Work],
        stations: Sequence[StationState],
        *,
        usage: Mapping[str, float] | None = None,
        shares: Mapping[str, float] | None = None,
        expecting: Collection[str] = (),
        timezone: str = "UTC",
    ) -> Decision:
        """Decide what begins now; see :func:`~sdl.lab.schedule.dispatch`."""
        self.news = None
        rule = dispatch(now, works, stations, usage=usage, shares=shares, expecting=expecting, timezone=timezone)
        if not self._is_wanted(rule, works):
            return rule
        question = _Question(now, works, stations, rule, usage or {}, shares or {})
        schedule = self.schedule
        if schedule is not None and self._known.issuperset(work.key for work in works):
            followed = question.follow(schedule)
            if followed is not None:
                return followed
        self.n_solved += 1
        self.schedule = question.answer(self.effort, self.seed)
        self._known = frozenset(work.key for work in works)
        self._note(self.schedule)
        return self.schedule.decision

    def _note(self, schedule: Schedule) -> None:
        told = (schedule.source, "" if schedule.source == "cp-sat" else schedule.why)
        if told not in self._told:
            self._told.add(told)
            self.news = schedule

    def _is_wanted(self, rule: Decision, works: Sequence[Work]) -> bool:
        if self.when != "auto" or not works:
            return self.when == "always" and bool(works)
        is_followed = self.schedule is not None and self.schedule.source == "cp-sat"
        return is_followed or is_tight(rule)


@dataclass
class _Question:
    """What is asked at one time, and what the rule says."""

    now: float
    works: Sequence[Work]
    stations: Sequence[StationState]
    rule: Decision
    usage: Mapping[str, float]
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        self.by_key = {work.key: work for work in self.works}
        self.states = {state.name: state for state in self.stations}
        self.trials: dict[Holder, list[Work]] = {}
        for work in self.works:
            self.trials.setdefault(work.holder, []).append(work)

    # --- looking for a schedule ---------------------------------------------------------------------------------------

    def answer(self, effort: float, seed: int) -> Schedule:
        """Return a better schedule than the rule's, or the rule's."""
        if not self.works:
            return Schedule(self.rule)
        if not has_solver():
            return Schedule(self.rule, why=NO_SOLVER)
        if is_kept_out():
            return Schedule(self.rule, why=KEPT_OUT)
        near = [_in_seconds(work) for work in self._near()]
        known = self._by_rule(near)
        if known is None:
            return Schedule(self.rule, why=ENDLESS)
        by_rule = _Worth.of(self.now, near, known)
        # The rule minds priorities and shares: only to save a window may somebody be much worse off than by the rule.
        is_fair = by_rule.n_late == 0
        found = solve(self.now, near, [*self.states.values()], known, effort=effort, seed=seed, is_fair=is_fair)
        worth = by_rule if found is None else _Worth.of(self.now, near, found[0])
        decision = self._begin(found[0]) if found is not None and worth < by_rule else None
        if found is None or decision is None:
            return Schedule(self.rule, known, why=NOTHING_BETTER, n_late=by_rule.n_late)
        return Schedule(decision, *found, source="cp-sat", why=worth.than(by_rule), n_late=worth.n_late)

    def _near(self) -> list[Work]:
        """Return the works of as many trials as the horizon has room for, those that have begun first."""
        begun = {holder for state in self.states.values() for holder in state.held_by}
        begun |= {holder for holder, works in self.trials.items() if works[0].after or works[0].due is not None}
        found: list[Work] = []
        for works in sorted(self.trials.values(), key=lambda works: works[0].holder not in begun):
            if not found or len(found) + len(works) <= MAX_WORKS:
                found += works
        return found

    def _by_rule(self, near: Sequence[Work]) -> tuple[Placed, ...] | None:
        """Let the rule go on in thought; None: it comes to no end."""
        trials: dict[Holder, list[Work]] = {}
        for work in near:
            trials.setdefault(work.holder, []).append(work)

        def decide(
            now: float, works: Sequence[Work], stations: Sequence[StationState], used: Mapping[str, float]
        ) -> Decision:
            usage = {name: self.usage.get(name, 0.0) + used.get(name, 0.0) for name in {*self.usage, *used}}
            return dispatch(now, works, stations, usage=usage, shares=self.shares)

        try:
            done = rehearse([*trials.values()], [*self.states.values()], begin=self.now, decide=decide)
        except LabError:
            return None
        return tuple(Placed(run.station, run.needs, run.works, run.begin, run.end, run.setup) for run in done.runs)

    # --- following one ------------------------------------------------------------------------------------------------

    def follow(self, schedule: Schedule) -> Decision | None:
        """Return what begins now by *schedule*; None: it cannot be followed, or something is not as expected."""
        if not schedule.placed or not all(map(self._is_as_expected, schedule.placed)):
            return None
        return self.rule if schedule.source == "rule" else self._begin(schedule.placed)

    def _is_as_expected(self, run: Placed) -> bool:
        left = [key in self.by_key for key in run.works]
        if all(left):
            return run.begin >= self.now - AS_EXPECTED or self._waits_for_others(run)
        runs = not set(run.works).isdisjoint(self.states[run.station].busy_with)
        if any(left) or run.begin > self.now + AS_EXPECTED:  # a trial is gone
            return False
        return run.end >= self.now - AS_EXPECTED if runs else run.end <= self.now + AS_EXPECTED

    def _waits_for_others(self, run: Placed) -> bool:
        """Tell whether the rule would have the batch wait for trials that nobody knows of yet."""
        return any(key in self.rule.waits and self.rule.waits[key].because == "batch" for key in run.works)

    def _begin(self, placed: Sequence[Placed]) -> Decision | None:
        """Begin what is placed now and can begin; None: that would lead nowhere."""
        starts: list[Start] = []
        taken: set[str] = set()
        waits: dict[Key, Wait] = {}
        coming = [run for run in placed if all(key in self.by_key for key in run.works)]
        for run in coming:
            if run.begin <= self.now + SLACK and taken.isdisjoint(run.taken) and self._can_begin(run):
                taken.update(run.taken)
                starts.append(self._start(run))
                continue
            for key in run.works:
                waits[key] = self.rule.waits.get(key) or Wait("ahead", run.station, max(self.now, run.begin))
        starts += self._far(coming, waits)
        wake = [run.begin for run in coming if run.begin > self.now + SLACK]
        wake += [] if self.rule.wake_at is None else [self.rule.wake_at]
        is_idle = all(state.busy_until is None for state in self.states.values())
        if (is_idle and not starts and not wake) or self._locks(starts):
            return None
        return Decision(tuple(starts), min(wake, default=None), waits, self.rule.late)

    def _can_begin(self, run: Placed) -> bool:
        works = [self.by_key[key] for key in run.works]
        if any(work.after or work.release > self.now + SLACK for work in works) or self._waits_for_others(run):
            return False
        return all(self._is_free(self.states[name], works, run.end - run.begin) for name in run.taken)

    def _is_free(self, state: StationState, works: Sequence[Work], seconds: float) -> bool:
        if state.busy_until is not None or state.is_down:
            return False
        if state.held_by and not all(work.holder in state.held_by for work in works):
            return False
        return state.calendar is None or state.calendar.fits(self.now, seconds)

    def _start(self, run: Placed) -> Start:
        works = [self.by_key[key] for key in run.works]
        lead = works[0]
        keeps = kept_by(lead, run.taken, self.trials[lead.holder][1:])
        setup = self.states[run.station].setup_of(lead)
        return Start(run.station, run.works, run.needs, keeps, setup, self.now + setup + max(w.duration for w in works))

    def _far(self, coming: Sequence[Placed], waits: dict[Key, Wait]) -> list[Start]:
        """Begin works beyond the horizon that the rule begins, where nothing that is placed wants their stations."""
        near = {key for run in coming for key in run.works}
        wanted = {name for run in coming for name in run.taken}
        found = [start for start in self.rule.starts if near.isdisjoint(start.works) and wanted.isdisjoint(start.taken)]
        begun = {key for start in found for key in start.works}
        for key, work in self.by_key.items():
            if key not in near and key not in begun:
                waits[key] = self.rule.waits.get(key) or Wait("ahead", work.stations[0])
        return found

    def _locks(self, starts: Sequence[Start]) -> bool:
        """Tell whether trials could come to keep what the others need; see :mod:`sdl.lab.schedule.safety`."""
        if not any(start.keeps for start in starts):
            return False
        held = {name: set(state.held_by) for name, state in self.states.items() if state.held_by}
        works: dict[Holder, Sequence[Work]] = dict(self.trials)
        for start in starts:
            for key in start.works:
                works[key[:2]] = self.trials[key[:2]][1:]
                for name in start.keeps:
                    held.setdefault(name, set()).add(key[:2])
        return bool(stuck(held, works))


@dataclass(frozen=True, order=True)
class _Worth:
    """How good a schedule is; less is better."""

    n_late: int
    late_seconds: float
    cost: float

    @classmethod
    def of(cls, now: float, works: Sequence[Work], placed: Sequence[Placed]) -> _Worth:
        """Measure *placed*, to the second."""
        heads: dict[Holder, Work] = {}
        for work in works:
            heads.setdefault(work.holder, work)
        run_of = {key: run for run in placed for key in run.works}
        ends: dict[Holder, dict[str, float]] = {}
        for (campaign, trial, step), run in run_of.items():
            ends.setdefault((campaign, trial), {})[step] = run.end
        late = [
            run_of[work.key].begin
            + run_of[work.key].setup
            - due_of(work, ends[work.holder], release_of(now, heads[work.holder]))
            for work in works
        ]
        found = [seconds for seconds in late if seconds > AS_EXPECTED]
        weights = {work.key: 1 + max(0, work.priority) for work in works}
        last = max(run.end for run in placed) - now
        cost = last + EARLY * sum(weights[run.works[0]] * (run.end - now) for run in placed)
        return cls(len(found), float(ceil(sum(found))), float(ceil(cost)))

    def than(self, other: _Worth) -> str:
        """Say what makes it better than *other*, the rule's."""
        if self.n_late < other.n_late:
            return f"of {other.n_late} windows that the rule would break it breaks {self.n_late}"
        if self.late_seconds < other.late_seconds:
            return "what is late is less late than by the rule"
        return "it ends sooner than by the rule"


def _in_seconds(work: Work) -> Work:
    """Return *work* with times in whole seconds, as the solver has them."""
    if work.duration == int(work.duration) and work.setup == int(work.setup):
        return work
    return work.replace(duration=float(ceil(work.duration)), setup=float(ceil(work.setup)))
