"""The model of CP-SAT (OR-tools): works placed together, so that as few windows as possible break and all ends soon.

One interval a run and station it could take, of which one is chosen; no two overlap on a station; what runs is an
interval that stands fixed; a window is a distance between a start and an end. Which works share a run is given.
Lateness is never forbidden, only dear, so that there is always a schedule.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# OR-tools is typed in part.

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from sdl.lab.schedule.dispatching import lasting
from sdl.lab.schedule.values import SLACK, Holder, Key, StationState, Work, expected_end

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

LATE = 10_000
"""What a second of lateness costs, in seconds of the whole length."""

EARLY = 0.01
"""What a second costs by which one work ends later, in seconds of the whole length."""

GIVE = 0.1
"""By how much of the whole length a campaign's runs may end later, in the mean, for the sake of another one's.

It does not add up: what is compared is the rule's schedule, which puts first who has had less than its share.
"""

SOLVER = "ortools.sat.python.cp_model_helper"
RIVAL = "grpc_tools._protoc_compiler"
"""Two modules of C++ that no process bears together; see :func:`is_kept_out`."""


@dataclass(frozen=True)
class Placed:
    """A run that is to come: where, when, and what it treats.

    Parameters
    ----------
    station, needs
        The stations that it takes.
    works
        What it treats.
    begin, end
        Seconds of the clock; the set-up is part of it.
    setup
        Seconds of set-up before it.
    """

    station: str
    needs: tuple[str, ...]
    works: tuple[Key, ...]
    begin: float
    end: float
    setup: float = 0.0

    @property
    def taken(self) -> tuple[str, ...]:
        """Every station that it takes, its own first."""
        return self.station, *self.needs


def has_solver() -> bool:
    """Tell whether OR-tools is installed."""
    return importlib.util.find_spec("ortools") is not None


def is_kept_out() -> bool:
    """Tell whether something in this process would make it abort if OR-tools were loaded.

    That is the compiler of Protocol Buffers in ``grpcio-tools``, which the library for SiLA 2 loads: both bring the
    descriptors of Protocol Buffers, whose C++ code ends a process that has them twice.
    """
    return RIVAL in sys.modules and SOLVER not in sys.modules


def solve(
    now: float,
    works: Sequence[Work],
    stations: Sequence[StationState],
    known: Sequence[Placed],
    *,
    effort: float,
    seed: int,
    is_fair: bool = True,
) -> tuple[tuple[Placed, ...], bool] | None:
    """Look for a better schedule than a *known* one, with the same works in the same runs.

    Where *is_fair*, no campaign pays for it: the runs of one with a higher priority than another may not end later in
    the mean than in the known one, those of the others not later by more than :data:`GIVE` of its length.

    Returns
    -------
    The runs in the order in which they begin, and whether that is proven to be best; None: none was found with so much
    effort.
    """
    trials: dict[Holder, list[Work]] = {}
    for work in works:
        trials.setdefault(work.holder, []).append(work)
    states = {state.name: lasting(state, trials) for state in stations}
    model = _Model(now, trials, states, known)
    if is_fair:
        model.protect(known)
    return model.solve(effort, seed)


def release_of(now: float, work: Work) -> float:
    """Return when *work* can begin at the earliest: when the step that runs ends, if one does."""
    return expected_end(now, work.release) if work.after else max(now, work.release)


@dataclass
class _Run:
    """A run to be placed: works that are treated together, and the solver's variables. *setup* are its seconds."""

    works: list[Work]
    seconds: int
    begin: cp_model.IntVar
    end: cp_model.IntVar
    has_setup: cp_model.IntVar
    setup: int
    chosen: list[dict[str, cp_model.IntVar]] = field(default_factory=list["dict[str, cp_model.IntVar]"])


class _Model:
    """All works as a model of CP-SAT, in whole seconds from now."""

    def __init__(
        self,
        now: float,
        trials: Mapping[Holder, Sequence[Work]],
        states: Mapping[str, StationState],
        known: Sequence[Placed],
    ) -> None:
        from ortools.sat.python import cp_model  # noqa: PLC0415 # two seconds, and an optional extra

        self.cp = cp_model
        works = {work.key: work for steps in trials.values() for work in steps}
        self.now = now
        self.states = states
        self.model = cp_model.CpModel()
        self.horizon = self._horizon([*works.values()])
        self.intervals: dict[str, list[cp_model.IntervalVar]] = {name: [] for name in states}
        self.runs: list[_Run] = []
        self.run_of: dict[Key, _Run] = {}
        self.lateness: list[cp_model.IntVar] = []
        for run in known:
            self._add_run([works[key] for key in run.works], run)
        self._add_order(trials)
        self._add_fixed()
        self._add_kept(trials)
        self._add_setups()
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

    def _add_run(self, group: Sequence[Work], known: Placed) -> None:
        lead = group[0]
        name = f"{lead.campaign}/{lead.trial}/{lead.step}"
        seconds = ceil(max(work.duration for work in group))
        setup = ceil(lead.setup) if lead.setup_key else 0
        first = max(self._seconds(release_of(self.now, work)) for work in group)
        begin = self.model.new_int_var(min(first, self.horizon), self.horizon, name)
        end = self.model.new_int_var(0, 2 * self.horizon, f"{name} ends")
        has_setup = self.model.new_bool_var(f"{name} set up") if setup else self.model.new_constant(0)
        self.model.add(end == begin + seconds + setup * has_setup)
        self.model.add_hint(begin, self._seconds(known.begin))
        run = _Run(list(group), seconds, begin, end, has_setup, setup)
        for names, hinted in zip(lead.groups, known.taken, strict=True):
            kept = [each for each in names if lead.holder in self._holders(each)]
            run.chosen.append(self._add_choice(run, kept or names, name))
            for each, chosen in run.chosen[-1].items():
                self.model.add_hint(chosen, each == hinted)
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
            size = run.seconds + run.setup * run.has_setup
            interval = self.model.new_optional_interval_var(run.begin, size, run.end, chosen, f"{label}@{name}")
            self.intervals[name].append(interval)
            self._add_hours(run, name, chosen)
            choices[name] = chosen
        self.model.add_exactly_one(choices.values())  # no choice at all: there is no schedule, and the rule decides
        return choices

    def _add_hours(self, run: _Run, name: str, chosen: cp_model.IntVar) -> None:
        """Let the run begin on station *name* only where it fits into the hours."""
        calendar = self.states[name].calendar
        if calendar is None:
            return
        allowed: list[list[int]] = []
        seconds = run.seconds + run.setup
        at = self.now
        while len(allowed) < 40 and at < self.now + self.horizon:
            opens, closes = calendar.next_fit(at, seconds), calendar.next_close(at)
            if opens is None:
                break
            closes = calendar.next_close(opens) or opens
            last = closes - (0 if calendar.runs_on else seconds)
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
        dues: list[cp_model.LinearExpr | int] = []
        if work.due is not None:
            dues.append(int(work.due - self.now))
        for step, seconds in work.within.items():
            otherwise = int(release_of(self.now, head) + seconds - self.now)
            dues.append(before[step].end + int(seconds) if step in before else otherwise)
        for due in dues:
            late = self.model.new_int_var(0, 10 * self.horizon, "late")
            self.model.add(late >= run.begin + run.setup * run.has_setup - due)
            self.lateness.append(late)

    def _add_fixed(self) -> None:
        for name, state in self.states.items():
            if state.busy_until is not None:
                end = self._seconds(expected_end(self.now, state.busy_until))
                self.intervals[name].append(self.model.new_fixed_size_interval_var(0, end, f"{name} runs"))

    def _add_setups(self) -> None:
        """Tell from the run before it on its station whether a run needs a set-up."""
        for name, state in self.states.items():
            keyed = [(run, run.chosen[0][name]) for run in self.runs if name in run.chosen[0] and _key(run)]
            arcs: list[cp_model.ArcT] = [(0, 0, self.model.new_bool_var("idle"))]
            for place, (run, chosen) in enumerate(keyed, 1):
                first, last = self.model.new_bool_var("first"), self.model.new_bool_var("last")
                arcs += [(0, place, first), (place, 0, last), (place, place, ~chosen)]
                self._set_up(run, first, is_other=_key(run) != state.last_setup)
                for number, (before, _) in enumerate(keyed, 1):
                    if number != place:
                        follows = self.model.new_bool_var("follows")
                        arcs.append((number, place, follows))
                        self.model.add(run.begin >= before.end).only_enforce_if(follows)
                        self._set_up(run, follows, is_other=_key(run) != _key(before))
            if keyed:
                self.model.add_circuit(arcs)

    def _set_up(self, run: _Run, when: cp_model.IntVar, *, is_other: bool) -> None:
        if run.setup:
            self.model.add_implication(when, run.has_setup if is_other else ~run.has_setup)

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
        if name not in self.states or last is None or (run is not None and chosen is None):
            return
        begin: cp_model.LinearExpr | int = since if run is None else run.end
        end: cp_model.LinearExpr = self.run_of[last.key].begin
        length = self.model.new_int_var(0, self.horizon, f"{name} kept")
        if chosen is None:
            self.intervals[name].append(self.model.new_interval_var(begin, length, end, f"{name} kept"))
            return
        self.intervals[name].append(self.model.new_optional_interval_var(begin, length, end, chosen, f"{name} kept"))
        for choices in self.run_of[last.key].chosen:
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

    def protect(self, known: Sequence[Placed]) -> None:
        """Let no campaign pay for what the others gain on the *known* schedule."""
        priorities: dict[str, int] = {}
        for run in self.runs:
            priorities[run.works[0].campaign] = run.works[0].priority
        give = int(GIVE * max(self._seconds(run.end) for run in known))
        for campaign, priority in sorted(priorities.items()) if len(priorities) > 1 else ():
            ends = [run.end for run in self.runs if run.works[0].campaign == campaign]
            before = sum(self._seconds(run.end) for run in known if run.works[0][0] == campaign)
            more = 0 if priority > min(priorities.values()) else give * len(ends)
            self.model.add(self.cp.LinearExpr.sum(ends) <= before + more)

    # --- solving ------------------------------------------------------------------------------------------------------

    def solve(self, effort: float, seed: int) -> tuple[tuple[Placed, ...], bool] | None:
        """Return the runs in the order they begin, and whether that is proven to be best; None: none was found."""
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed
        solver.parameters.max_deterministic_time = effort
        solver.parameters.catch_sigint_signal = False  # an interrupt is the campaign's
        status = solver.solve(self.model)
        if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return None
        placed = [self._placed(run, solver) for run in self.runs]
        return tuple(sorted(placed, key=lambda run: (run.begin, run.works))), status == self.cp.OPTIMAL

    def _placed(self, run: _Run, solver: cp_model.CpSolver) -> Placed:
        taken = [next(n for n, chosen in choices.items() if solver.boolean_value(chosen)) for choices in run.chosen]
        begin = self.now + solver.value(run.begin)
        keys = tuple(work.key for work in run.works)
        setup = run.setup * solver.value(run.has_setup)
        return Placed(taken[0], tuple(taken[1:]), keys, begin, begin + run.seconds + setup, setup)


def _key(run: _Run) -> str:
    """Return what a station is made ready for; empty: the run asks for nothing, and changes nothing."""
    return run.works[0].setup_key
