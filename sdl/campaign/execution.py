"""Executing: from a trial that waits to a station that works on it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import JsonValue

from sdl.campaign.active import ActiveTrial, Run, StepDone
from sdl.campaign.concluding import Concluding, Rules
from sdl.campaign.floor import Floor
from sdl.campaign.open_runs import stops_of_open_runs
from sdl.campaign.planner import TrialState
from sdl.campaign.provisions import Grant, Refusal
from sdl.campaign.queueing import Queue
from sdl.campaign.recorder import Observer
from sdl.campaign.recovery import Continuation
from sdl.campaign.view import CampaignView
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    Body,
    Failure,
    FailureCategory,
    ScheduleChosen,
    StepQueued,
    StepStarted,
    TrialFailed,
    TrialStarted,
)
from sdl.journal.trust import Quality
from sdl.lab import Experiment, Job, JobResult, Lab, Settings, Station, Step
from sdl.lab.batch import Prepared
from sdl.lab.elsewhere import Held
from sdl.lab.schedule import Decision, Schedule, Start, Wait, Work
from sdl.lab.schedule.values import SLACK, moment

__all__ = ["Execution", "Rules"]

AnyPlan = Callable[[Any, Any], Generator[Any, Any, Any]]

NO_NEWS = frozenset(("order", "release"))
"""Reasons to wait that are plain: the step before has not ended."""

TAKEN = frozenset(("busy", "turn", "reserved", "held"))
"""Reasons to wait that are one: others have the stations. Which others changes often, and is not recorded again."""


class Execution(Concluding):
    """Executes trials on stations. The loop is one."""

    def __init__(
        self,
        *,
        view: CampaignView,
        journal: Journal,
        lab: Lab,
        experiment: Experiment,
        rules: Rules,
        observers: Sequence[Observer],
        floor: Floor,
    ) -> None:
        super().__init__(
            view=view,
            journal=journal,
            lab=lab,
            experiment=experiment,
            rules=rules,
            observers=observers,
            floor=floor,
        )
        self._queue = Queue(view.name, experiment, floor, priority=rules.priority)
        self._queued: dict[int, tuple[str, str]] = {}
        self._is_planning = False
        self._is_paused = False
        self._abort_reason: str | None = None

    def _post(self, message: object) -> None:
        """Have the campaign's thread look at *message*. From any thread."""
        self._floor.mailbox.put((self, message))

    # --- recovery -----------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Decide what becomes of the trials that the last session left behind."""
        for trial in self.view.in_state(TrialState.RUNNING, TrialState.UNKNOWN):
            now = self._lab.clock.time()
            self._record(
                *stops_of_open_runs(self._journal, self.view.name, trial.number, now),
                trial=trial.number,
                actor="engine",
            )
            self._continue(self._recovery.recover(trial.number))
        for trial in self.view.in_state(TrialState.PROPOSED):
            self._waiting.append(trial.number)

    def _continue(self, found: Continuation | None) -> None:
        if found is None:
            return
        self._provisions.vouch(found.trial)
        active = self._enter(found.trial, found.attempt)
        active.results.update(found.results)
        active.runs.extend(found.runs)
        active.ended_at.update(found.ended_at)
        active.next_step, active.is_begun, active.resumes = found.next_step, True, found.resumes
        active.was_down = True
        active.cut_off = (found.station, tuple(found.members))
        active.kept = tuple(name for name in found.keeps if name in self._lab.stations)
        self._keep(found.trial)
        self._lab.prepare(found.trial, found.attempt)

    # --- entering -----------------------------------------------------------------------------------------------------

    def _settings(
        self,
        number: int,
        attempt: int = 1,
        results: Mapping[str, Any] | None = None,
        positions: Mapping[str, str] | None = None,
    ) -> Settings:
        record = self.view.record(number)
        return Settings(
            record.proposal.values,
            units=self.view.units,
            trial=number,
            attempt=attempt,
            campaign=self.view.name,
            results=results,
            positions=positions,
            role=record.role.value,
            judge=partial(self._judge_step, number),
        )

    def _cost_of(self, number: int) -> float:
        return self._experiment.cost_of(self._settings(number))

    def _judge_step(self, number: int, step: str) -> Quality:
        active = self._active.get(number)
        if active is None:
            return Quality.VALID
        return self._inspection.judge_step(active.results[step], active.settings)

    def _enter(self, number: int, attempt: int) -> ActiveTrial:
        active = ActiveTrial(self._settings(number, attempt), attempt, since=self._floor.now())
        active.settings = self._settings(number, attempt, active.results, active.positions)
        self._active[number] = active
        return active

    # --- what may begin -----------------------------------------------------------------------------------------------

    @property
    def is_plain(self) -> bool:
        """Whether the oldest trial takes the first station that is free, and nothing else is to be minded."""
        is_bound = any(active.resumes and active.cut_off[0] for active in self._active.values())  # to where it was
        is_alone = len(self._floor.shares) < 2 and self._floor.ahead.when != "always"
        return self._experiment.is_plain and not self._lab.calendars and is_alone and not is_bound

    def prepare_steps(self) -> None:
        """Let go of what is not to begin any more, skip and complete what is to be, fail what is too late."""
        if self._ending is not None:
            self._drop_waiting()
        for number in sorted(self._active):
            active = self._active[number]
            if active.is_on_station:
                continue
            if not active.is_looked_at and (not self._experiment.is_plain or self._is_over(active)):
                self._advance(number, ())
            if number in self._active and not active.is_on_station:
                self._fail_if_late(number, active)

    def _is_over(self, active: ActiveTrial) -> bool:
        return active.next_step == len(self._experiment.steps)

    def _fail_if_late(self, number: int, active: ActiveTrial) -> None:
        step = self._experiment.steps[active.next_step]
        due = active.due(step.within)
        now = self._floor.now()
        if due is None or step.on_late == "go on" or now <= due + SLACK or self._abort_reason is not None:
            return
        by = moment(due + self._floor.shift, self._floor.timezone)
        why = "the laboratory was down meanwhile" if active.was_down else self._why(number)
        self._refuse(
            number,
            step.name,
            FailureCategory.LATE,
            f"step {step.name!r} was to begin by {by}, {_windows(step, active)}, and had not: {why}",
        )

    def _why(self, number: int) -> str:
        for key, wait in self._floor.decision.waits.items():
            if key[:2] == (self.view.name, number) and wait.because not in NO_NEWS:
                return wait.told(self.view.name)
        return "nothing was free"

    def works(self) -> list[Work]:
        """Return what could begin and what is to come, oldest trial first."""
        return [
            work
            for number in sorted(self._active)
            if (active := self._active[number]).is_begun or not self._is_paused
            for work in self._queue.works_of(number, active)
        ]

    def _works_of(self, number: int, active: ActiveTrial) -> tuple[Work, ...]:
        return self._queue.works_of(number, active)

    def _seconds_of(self, run: Run, settings: Settings) -> float:
        return self._queue.duration(run.step, settings, (run.station,))

    def start_plain(self) -> None:
        """Give every free station the oldest trial that waits for it."""
        for number in sorted(self._active):
            active = self._active[number]
            may_start = active.is_begun or not self._is_paused
            if may_start and not active.is_on_station:
                step = self._experiment.steps[active.next_step]
                station = self._free_station(step)
                if station is not None:
                    self._start(Run(step, station, (number,), resumes=active.resumes))

    def _free_station(self, step: Step) -> str | None:
        for name in self._lab.stations_for(step):
            if name not in self._floor.busy:
                return name
        return None

    def start(self, start: Start) -> bool:
        """Begin a run that was decided; say whether it has begun."""
        members = tuple(number for _, number, _ in start.works)
        lead = self._active[members[0]]
        step = self._experiment.steps[lead.next_step]
        key = "" if step.setup is None or lead.resumes else step.setup.key_of(lead.settings)
        run = Run(step, start.station, members, start.needs, start.keeps, key, resumes=lead.resumes)
        return self._start(run, start.ends)

    # --- beginning ----------------------------------------------------------------------------------------------------

    def _start(self, run: Run, ends: float = 0.0) -> bool:
        station = self._lab.stations[run.station]
        with self._journal.hold():  # no other campaign of this store may be granted the same
            grants = self._grants(run)
            if grants is None:
                return False
            is_ready = self._floor.is_ready(run)
            self._announce(run, grants, ends)
        fail_point("loop.step_announced")
        station.submit(self._job(run, is_ready=is_ready))
        fail_point("loop.step_submitted")
        if self._abort_reason is not None:  # which came after the stations were told, and before this one had a job
            station.abort(self._abort_reason)
        return True

    def _grants(self, run: Run) -> list[Grant] | None:
        """Return what each trial of *run* is granted; None where one of them may not begin now."""
        grants: list[Grant] = []
        for number in run.members:
            active = self._active[number]
            grant = self._provisions.grant(number, active.attempt, active.settings, active.next_step)
            if isinstance(grant, Refusal):
                self._refuse(number, run.step.name, FailureCategory.SAMPLE, grant.reason)
            if not isinstance(grant, Grant):
                return None
            if run.companions and grant.bodies:  # the next of them must see what is left
                self._record(*grant.bodies, trial=number)
                active.positions.update(grant.positions)
                grant = Grant(positions=grant.positions)
            grants.append(grant)
        return grants

    def _announce(self, run: Run, grants: Sequence[Grant], ends: float) -> None:
        """Record that the step starts for each of its trials, together with what is set aside for it."""
        self._runs[run.station] = run
        self._floor.begin(self.view.name, run, ends)
        starting: list[tuple[int, Sequence[Body]]] = []
        for number, grant in zip(run.members, grants, strict=True):
            active = self._active[number]
            active.positions.update(grant.positions)
            active.run, active.expected_end, active.works = run, ends, None
            active.settings.station = run.station
            self._queued.pop(number, None)
            begun: tuple[Body, ...] = ()
            if not active.is_begun:
                begun = (TrialStarted(attempt=active.attempt),)
                self._lab.prepare(number, active.attempt)
            active.is_begun = True
            starting.append((number, (*begun, *grant.bodies, self._started(run, active))))
        self._recorder.record_together(starting)

    def _started(self, run: Run, active: ActiveTrial) -> StepStarted:
        due = active.due(run.step.within)
        late = 0.0 if due is None else self._floor.now() - due
        return StepStarted(
            step=run.step.name,
            station=run.station,
            attempt=active.attempt,
            members=run.companions,
            needs=run.needs,
            setup_key=run.setup_key,
            late_seconds=late if late > SLACK else 0.0,
        )

    def _job(self, run: Run, *, is_ready: bool) -> Job:
        def done(result: JobResult) -> None:
            self._post(StepDone(run, result))

        acts = self.view.trace(run.lead).of_step(run.step.name)
        plan: AnyPlan = run.step.plan
        members = [self._active[number] for number in run.members]
        if run.resumes and run.step.resume is not None:
            plan = run.step.resume
            for active in members:
                active.settings.acts = tuple(act for act in acts if act.has_happened)
        elif run.step.setup is not None and not (is_ready and not self._lab.stations[run.station].is_elsewhere):
            plan = Prepared(
                run.step.setup.plan,
                plan,
                self._lab.clock.monotonic,
                run.note_setup,
                ready_for=run.setup_key,
                is_ready=is_ready,
            )
        for active in members:
            active.resumes, active.was_down, active.cut_off = False, False, ("", ())
        lead = members[0]
        given: Any = tuple(active.settings for active in members) if run.is_batch else lead.settings
        more: dict[str, JsonValue] = {"trials": list(run.members)} if run.companions else {}
        return Job(
            plan=partial(plan, self._lab, given),
            md={
                "campaign": self.view.name,
                "trial": run.lead,
                "attempt": lead.attempt,
                "step": run.step.name,
                **more,
            },
            on_document=partial(self._take_document, run.lead),
            on_act=partial(self._recorder.record_act, run.lead),
            on_done=done,
            timeout=run.step.timeout,
            n_acts_before=len(acts),
            needs=run.needs,
            hold=self._hold(run, members, goes_on=bool(acts)),
        )

    def _hold(self, run: Run, members: Sequence[ActiveTrial], *, goes_on: bool) -> Callable[[], None] | None:
        """Return what makes sure of the stations in other processes that are held for *run*."""
        far = [station for name in run.needs if (station := self._lab.stations[name]).is_elsewhere]
        trials = tuple((number, active.attempt) for number, active in zip(run.members, members, strict=True))
        held = Held(self.view.name, run.step.name, trials, goes_on)
        return partial(_hold_all, far, held) if far else None

    def _take_document(self, trial: int, name: str, document: dict[str, Any]) -> None:
        self._recorder.record_document(trial, name, document)
        self._lab.subscribers.publish(name, document)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def note_schedule(self, schedule: Schedule) -> None:
        """Record who decides what begins, and why."""
        self._record(ScheduleChosen(by=schedule.source, reason=schedule.why))

    def note_waits(self, decision: Decision) -> None:
        """Record why steps wait, where that was not known before."""
        news: list[tuple[int, Sequence[Body]]] = []
        for (campaign, number, step), wait in decision.waits.items():
            if campaign != self.view.name or wait.because in NO_NEWS:
                continue
            known = (step, "taken" if wait.because in TAKEN else wait.because)
            if self._queued.get(number) != known and self._is_next(number, step):
                self._queued[number] = known
                news.append((number, (StepQueued(step=step, because=wait.because, reason=wait.told(campaign)),)))
        if news:
            self._recorder.record_together(news)

    def _is_next(self, number: int, step: str) -> bool:
        active = self._active.get(number)
        return active is not None and not active.is_on_station and self._experiment.steps[active.next_step].name == step

    @property
    def next_due(self) -> float | None:
        """When the next window closes for a trial that waits, in UTC seconds; None: none does."""
        dues = [
            due
            for active in self._active.values()
            if not active.is_on_station and not self._is_over(active)
            for step in (self._experiment.steps[active.next_step],)
            if step.on_late == "fail" and (due := active.due(step.within)) is not None
        ]
        return min(dues, default=None)

    def stick(self, waits: Mapping[tuple[str, int, str], Wait]) -> None:
        """Nothing will ever let the waiting trials begin: pause, and say why."""
        may_be_approved = self._rules.is_hosted and bool(self._waiting)
        if not self._active or self._is_planning or self._is_paused or may_be_approved:
            return
        reasons = [
            f"step {step} of trial {number} {wait}"
            for (campaign, number, step), wait in waits.items()
            if campaign == self.view.name and wait.because not in NO_NEWS
        ]
        self._end("paused", "; ".join(reasons[:3]) or "nothing can begin")
        self._drop_waiting(is_stuck=True)

    def look_for_want(self) -> None:
        """Pause where steps lack material, and nothing runs that could set free what is lacking."""
        if self._provisions.missing and not self._floor.busy and not self._is_planning:
            self._end("paused", self._provisions.reason())
            self._drop_waiting()

    def look_for_approval(self) -> None:
        """Pause where trials wait for an approval that nobody can give while this process waits for it."""
        is_busy = self._active or self._is_planning or self._is_paused or self._ending is not None
        if is_busy or not self._waiting or self._gate.admit(self._waiting) is not None:
            return
        if not self._rules.is_hosted or self._gate.autonomy.level == 0:
            self._end("paused", self._gate.reason([*self._waiting]))

    def _drop_waiting(self, *, is_stuck: bool = False) -> None:
        """The session ends: trials that were not begun stay proposed; begun ones go on, unless they are aborted."""
        for number, active in list(self._active.items()):
            # The next session goes on with it.
            is_held_up = is_stuck or number in self._provisions.missing or bool(self._journal.shortage)
            if active.is_on_station or (active.is_begun and self._abort_reason is None and not is_held_up):
                continue
            if active.is_begun and self._abort_reason is not None:
                failure = Failure(
                    category=FailureCategory.ABORTED, reason=str(self._abort_reason), runs=tuple(active.runs)
                )
                cost = self._experiment.cost_of(active.settings)
                self._record(*self._provisions.over(number), TrialFailed(failure=failure, cost=cost), trial=number)
            self._leave(number)


def _hold_all(stations: Sequence[Station], held: Held) -> None:
    for station in stations:
        station.hold(held)


def _windows(step: Step, active: ActiveTrial) -> str:
    named = [
        f"{seconds:g} s after the end of {name}" for name, seconds in step.within.items() if name in active.ended_at
    ]
    return " and ".join(named)
