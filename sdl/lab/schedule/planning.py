"""Planning ahead with CP-SAT of OR-tools: all works that are known, placed together, at a bounded effort.

The dispatching rule looks at one work after another. Where windows are tight, an order that no rule of thumb finds may
end sooner. The model: one interval a work and station it could take, of which one is chosen; no two overlap on a
station; what runs is an interval that stands fixed; a window is a distance between a start and an end. Works that
could share a run are put together beforehand, in the order of their trials. Lateness is never forbidden, only dear, so
that there is always a schedule.

The optional extra ``schedule`` installs OR-tools; without it, and where the effort did not suffice for any schedule,
the dispatching rule decides.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# OR-tools is typed in part.

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Literal

from sdl.lab.schedule.dispatching import dispatch, lasting
from sdl.lab.schedule.values import SLACK, Decision, Holder, Key, Start, StationState, Wait, Work, expected_end

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

LATE = 10_000
"""What a second of lateness costs, in seconds of the whole length."""

EARLY = 0.01
"""What a second costs by which one work ends later, in seconds of the whole length."""

MAX_WORKS = 120
"""With more works the rule decides: the effort would not suffice."""


@dataclass(frozen=True)
class Planned:
    """A run that is planned: where, when, and what it treats."""

    station: str
    needs: tuple[str, ...]
    works: tuple[Key, ...]
    begin: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """A schedule of all works that were known.

    Parameters
    ----------
    decision
        What begins now, and why the rest waits; as :func:`~sdl.lab.schedule.dispatch` returns it.
    planned
        All runs, in the order they begin; none where the rule decided.
    source
        Who made it: ``cp-sat``, or the ``rule``.
    is_optimal
        Whether it is proven that there is no better one.
    """

    decision: Decision
    planned: tuple[Planned, ...] = ()
    source: Literal["cp-sat", "rule"] = "rule"
    is_optimal: bool = False


def has_solver() -> bool:
    """Tell whether OR-tools is installed."""
    return importlib.util.find_spec("ortools") is not None


def plan_ahead(
    now: float,
    works: Sequence[Work],
    stations: Sequence[StationState],
    *,
    effort: float = 1.0,
    seed: int = 0,
    usage: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    expecting: Collection[str] = (),
) -> Schedule:
    """Place all *works* together, and decide what begins now.

    Ask again whenever something happens: the horizon rolls. The same question gives the same answer on every machine,
    because the effort is counted in steps of the solver, not in time.

    Parameters
    ----------
    now, works, stations, usage, shares, expecting
        See :func:`~sdl.lab.schedule.dispatch`. Shares and patience are the rule's: a plan knows neither.
    effort
        What the solver may spend, in its deterministic seconds: about that much time of one processor.
    seed
        Of the solver.
    """
    rule = dispatch(now, works, stations, usage=usage, shares=shares, expecting=expecting)
    if not works or len(works) > MAX_WORKS or not has_solver():
        return Schedule(rule)
    trials: dict[Holder, list[Work]] = {}
    for work in works:
        trials.setdefault(work.holder, []).append(work)
    model = _Model(now, trials, {state.name: lasting(state, trials) for state in stations})
    found = model.solve(effort, seed)
    if found is None:
        return Schedule(rule)
    planned, is_optimal = found
    decision = _decision(now, works, {state.name: state for state in stations}, planned, rule)
    return Schedule(decision, planned, "cp-sat", is_optimal)


def _decision(
    now: float,
    works: Sequence[Work],
    states: Mapping[str, StationState],
    planned: Sequence[Planned],
    rule: Decision,
) -> Decision:
    """Begin what is planned for now and can begin; everything else waits for its time in the plan."""
    by_key = {work.key: work for work in works}
    starts: list[Start] = []
    taken: set[str] = set()  # two short runs on one station may both be planned to begin within the next second
    waits: dict[Key, Wait] = {}
    wake: list[float] = []
    for run in planned:
        lead = by_key[run.works[0]]
        may_begin = all(not by_key[key].after and by_key[key].release <= now + SLACK for key in run.works)
        may_begin = may_begin and taken.isdisjoint((run.station, *run.needs))
        if may_begin and run.begin <= now + 1.0 and _is_free(run, lead, states, now):
            taken.update((run.station, *run.needs))
            keeps = tuple(name for name in (run.station, *run.needs) if name in lead.keeps)
            setup = states[run.station].setup_of(lead)
            ends = now + setup + max(by_key[key].duration for key in run.works)
            starts.append(Start(run.station, run.works, run.needs, keeps, setup, ends))
            continue
        for key in run.works:
            waits[key] = rule.waits.get(key) or Wait("turn", run.station, run.begin)
        if run.begin > now + 1.0:
            wake.append(run.begin)
    if not starts and not wake and rule.starts:
        return rule  # a plan that stands still is no plan
    return Decision(
        tuple(starts), min([*wake, *([rule.wake_at] if rule.wake_at else [])], default=None), waits, rule.late
    )


def _is_free(run: Planned, work: Work, states: Mapping[str, StationState], now: float) -> bool:
    for name in (run.station, *run.needs):
        state = states[name]
        if state.busy_until is not None or state.is_down:
            return False
        if state.held_by and work.holder not in state.held_by:
            return False
        if state.calendar is not None and not state.calendar.fits(now, run.end - run.begin):
            return False
    return True


# --- the model --------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A run to be placed: works that are treated together, and the solver's variables."""

    works: list[Work]
    seconds: int
    begin: cp_model.IntVar
    end: cp_model.LinearExpr
    chosen: list[dict[str, cp_model.IntVar]] = field(default_factory=list["dict[str, cp_model.IntVar]"])


class _Model:
    """All works as a model of CP-SAT, in whole seconds from now."""

    def __init__(self, now: float, trials: Mapping[Holder, Sequence[Work]], states: Mapping[str, StationState]) -> None:
        from ortools.sat.python import cp_model  # noqa: PLC0415 # two seconds, and an optional extra

        self.cp = cp_model
        works = [work for steps in trials.values() for work in steps]
        self.now = now
        self.states = states
        self.model = cp_model.CpModel()
        self.horizon = self._horizon(works)
        self.intervals: dict[str, list[cp_model.IntervalVar]] = {name: [] for name in states}
        self.runs: list[_Run] = []
        self.run_of: dict[Key, _Run] = {}
        self.lateness: list[cp_model.IntVar] = []
        for group in _together(works):
            self._add_run(group)
        self._add_order(trials)
        self._add_fixed()
        self._add_kept(trials)
        for line in self.intervals.values():
            self.model.add_no_overlap(line)
        self._add_goal()

    def _horizon(self, works: Sequence[Work]) -> int:
        total = sum(ceil(work.duration + work.setup) for work in works)
        last = max(work.release for work in works)
        ends = [expected_end(self.now, s.busy_until) for s in self.states.values() if s.busy_until is not None]
        closed = 21 * 86400 if any(state.calendar is not None for state in self.states.values()) else 0
        return total + ceil(max(0.0, last - self.now, *(end - self.now for end in ends))) + closed + 1

    def _seconds(self, at: float) -> int:
        return max(0, ceil(at - self.now - SLACK))

    def _add_run(self, group: Sequence[Work]) -> None:
        lead = group[0]
        setup = max((self.states[name].setup_of(lead) for name in lead.stations if name in self.states), default=0.0)
        seconds = ceil(max(work.duration for work in group) + setup)
        first = max(self._seconds(work.release) for work in group)
        name = f"{lead.campaign}/{lead.trial}/{lead.step}"
        begin = self.model.new_int_var(min(first, self.horizon), self.horizon, name)
        run = _Run(list(group), seconds, begin, begin + seconds)
        for names in lead.groups:
            kept = [each for each in names if lead.holder in self._holders(each)]
            run.chosen.append(self._add_choice(run, kept or names, name))
        self.runs.append(run)
        self.run_of |= {work.key: run for work in group}

    def _holders(self, name: str) -> Collection[Holder]:
        return self.states[name].held_by if name in self.states else ()

    def _add_choice(self, run: _Run, names: Sequence[str], label: str) -> dict[str, cp_model.IntVar]:
        """Let the run take one of the stations *names*."""
        choices: dict[str, cp_model.IntVar] = {}
        for name in names:
            if name not in self.states or self.states[name].is_down:
                continue
            chosen = self.model.new_bool_var(f"{label} on {name}")
            interval = self.model.new_optional_interval_var(run.begin, run.seconds, run.end, chosen, f"{label}@{name}")
            self.intervals[name].append(interval)
            self._add_hours(run, name, chosen)
            choices[name] = chosen
        self.model.add_exactly_one(choices.values())  # no choice at all: there is no plan, and the rule decides
        return choices

    def _add_hours(self, run: _Run, name: str, chosen: cp_model.IntVar) -> None:
        """Let the run begin on station *name* only where it fits into the hours."""
        calendar = self.states[name].calendar
        if calendar is None:
            return
        allowed: list[list[int]] = []
        at = self.now
        while len(allowed) < 40 and at < self.now + self.horizon:
            opens, closes = calendar.next_fit(at, run.seconds), calendar.next_close(at)
            if opens is None:
                break
            closes = calendar.next_close(opens) or opens
            last = closes - (0 if calendar.runs_on else run.seconds)
            if last >= opens:
                allowed.append([self._seconds(opens), int(last - self.now)])
            at = closes
        domain = self.cp.Domain.from_intervals([pair for pair in allowed if pair[0] <= pair[1]])
        self.model.add_linear_expression_in_domain(run.begin, domain).only_enforce_if(chosen)

    def _add_order(self, trials: Mapping[Holder, Sequence[Work]]) -> None:
        """Let the steps of a trial follow one another, within their windows."""
        for steps in trials.values():
            for place, work in enumerate(steps):
                run = self.run_of[work.key]
                if place:
                    self.model.add(run.begin >= self.run_of[steps[place - 1].key].end)
                self._add_windows(run, work, {each.step: self.run_of[each.key] for each in steps[:place]}, steps[0])

    def _add_windows(self, run: _Run, work: Work, before: Mapping[str, _Run], head: Work) -> None:
        setup = run.seconds - ceil(max(each.duration for each in run.works))
        dues: list[cp_model.LinearExpr | int] = []
        if work.due is not None:
            dues.append(int(work.due - self.now))
        for step, seconds in work.within.items():
            dues.append(before[step].end + int(seconds) if step in before else int(head.release + seconds - self.now))
        for due in dues:
            late = self.model.new_int_var(0, 10 * self.horizon, "late")
            self.model.add(late >= run.begin + setup - due)
            self.lateness.append(late)

    def _add_fixed(self) -> None:
        for name, state in self.states.items():
            if state.busy_until is not None:
                end = self._seconds(expected_end(self.now, state.busy_until))
                self.intervals[name].append(self.model.new_fixed_size_interval_var(0, end, f"{name} runs"))

    def _add_kept(self, trials: Mapping[Holder, Sequence[Work]]) -> None:
        """Keep stations for a trial between the step that keeps them and the one that lets go of them."""
        for holder, steps in trials.items():
            held = [name for name in self.states if holder in self._holders(name)]
            for name in held if held and all(len(self._holders(each)) == 1 for each in held) else ():
                start = expected_end(self.now, steps[0].release) if steps[0].after else self.now
                self._add_keeping(name, steps, None, self._seconds(start))
            for place, work in enumerate(steps):
                for name in work.keeps:
                    self._add_keeping(name, steps[place + 1 :], self.run_of[work.key], 0)

    def _add_keeping(self, name: str, later: Sequence[Work], run: _Run | None, since: int) -> None:
        last = next((each for each in later if any(name in group for group in each.groups)), None)
        chosen = None if run is None else next((c[name] for c in run.chosen if name in c), None)
        if name not in self.states or not later or (run is not None and chosen is None):
            return
        begin: cp_model.LinearExpr | int = since if run is None else run.end
        end: cp_model.LinearExpr = self.run_of[later[-1].key].end if last is None else self.run_of[last.key].begin
        length = self.model.new_int_var(0, self.horizon, f"{name} kept")
        if chosen is None:
            self.intervals[name].append(self.model.new_interval_var(begin, length, end, f"{name} kept"))
            return
        self.intervals[name].append(self.model.new_optional_interval_var(begin, length, end, chosen, f"{name} kept"))
        for choices in self.run_of[last.key].chosen if last is not None else ():
            if name in choices:
                self.model.add_implication(chosen, choices[name])

    def _add_goal(self) -> None:
        whole = self.model.new_int_var(0, 2 * self.horizon, "whole")
        self.model.add_max_equality(whole, [run.end for run in self.runs])
        weight = round(1 / EARLY)
        weights = [1 + max(0, run.works[0].priority) for run in self.runs]
        ends = self.cp.LinearExpr.weighted_sum([run.end for run in self.runs], weights)
        late = self.cp.LinearExpr.sum(self.lateness)
        self.model.minimize(weight * whole + (weight * LATE) * late + ends)

    # --- solving ------------------------------------------------------------------------------------------------------

    def solve(self, effort: float, seed: int) -> tuple[tuple[Planned, ...], bool] | None:
        """Return the runs in the order they begin, and whether that is proven to be best; None: none was found."""
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed
        solver.parameters.max_deterministic_time = effort
        status = solver.solve(self.model)
        if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return None
        is_late = any(solver.value(late) > 0 for late in self.lateness)
        if is_late and status != self.cp.OPTIMAL:
            return None  # a plan that was not finished: the rule minds windows better
        planned = [self._planned(run, solver) for run in self.runs]
        return tuple(sorted(planned, key=lambda run: (run.begin, run.works))), status == self.cp.OPTIMAL

    def _planned(self, run: _Run, solver: cp_model.CpSolver) -> Planned:
        taken = [next(n for n, chosen in choices.items() if solver.boolean_value(chosen)) for choices in run.chosen]
        begin = self.now + solver.value(run.begin)
        keys = tuple(work.key for work in run.works)
        return Planned(taken[0], tuple(taken[1:]), keys, begin, begin + run.seconds)


def _together(works: Sequence[Work]) -> list[list[Work]]:
    """Put works together that share a run, as far as it has room, in their order; every other one is alone."""
    groups: list[list[Work]] = []
    open_groups: dict[tuple[str, ...], list[Work]] = {}
    for work in works:
        group = open_groups.get(work.batch_id) if work.batch is not None else None
        if group is not None and work.batch is not None and len(group) < work.batch.size:
            group.append(work)
            continue
        groups.append([work])
        if work.batch is not None:
            open_groups[work.batch_id] = groups[-1]
    return groups
