"""Executing: from a trial that waits to its end on record."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from sdl.campaign.budget import Budget, FailurePolicy, StoppingRule, UnknownPolicy
from sdl.campaign.inspection import Check, Inspection
from sdl.campaign.open_runs import stops_of_open_runs
from sdl.campaign.planner import Suggestion, TrialState
from sdl.campaign.provisions import Grant, Provisions, Refusal
from sdl.campaign.quality import QualityControl
from sdl.campaign.recorder import Observer, Recorder
from sdl.campaign.recovery import Continuation, Questions, Recovery
from sdl.campaign.results import failure_of, keep_raw, observe
from sdl.campaign.returned import written
from sdl.campaign.view import CampaignView
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    Body,
    Failure,
    FailureCategory,
    StepEnded,
    StepStarted,
    TrialCompleted,
    TrialFailed,
    TrialStarted,
)
from sdl.lab import Experiment, Job, JobResult, Lab, Settings, Station, Step
from sdl.lab.clock import Mailbox

SETTLE_SECONDS = 60.0
"""Clock seconds that aborted steps get to end before an erroneous session closes its journal."""

Status = Literal["finished", "stopped", "aborted", "paused"]


@dataclass
class Rules:
    """What a session goes by."""

    budget: Budget
    stopping: Sequence[StoppingRule]
    on_failure: FailurePolicy
    on_unknown: UnknownPolicy
    in_flight: int
    seed: int
    questions: Questions
    quality: QualityControl | None = None
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class StepDone:
    """A station has ended a step."""

    trial: int
    step: Step
    station: str
    result: JobResult


@dataclass(frozen=True)
class Planned:
    """The planner has answered, or failed for good."""

    suggestions: list[Suggestion]
    error: BaseException | None = None


@dataclass(frozen=True)
class Wake:
    """Somebody changed the loop's mind: look again."""


@dataclass
class ActiveTrial:
    """A trial that is being executed: where it stands in its experiment."""

    settings: Settings
    attempt: int
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    runs: list[str] = field(default_factory=list[str])
    positions: dict[str, str] = field(default_factory=dict[str, str])
    next_step: int = 0
    is_begun: bool = False
    resumes: bool = False
    is_on_station: bool = False


class Execution:
    """Executes trials on stations, and records what comes of them. The loop is one."""

    def __init__(
        self,
        *,
        view: CampaignView,
        journal: Journal,
        lab: Lab,
        experiment: Experiment,
        rules: Rules,
        observers: Sequence[Observer],
    ) -> None:
        self.view = view
        self._journal = journal
        self._lab = lab
        self._experiment = experiment
        self._rules = rules
        self._recorder = Recorder(view, journal, observers)
        self._record = self._recorder.record
        self._provisions = Provisions(view=view, journal=journal, lab=lab, experiment=experiment, record=self._record)
        self._recovery = Recovery(
            view=view,
            journal=journal,
            lab=lab,
            experiment=experiment,
            policy=rules.on_unknown,
            questions=rules.questions,
            record=self._record,
        )
        self._inspection = Inspection(view, rules.quality, rules.checks)
        self._mailbox: Mailbox[StepDone | Planned | Wake] = lab.clock.mailbox()
        self._waiting: deque[int] = deque()
        self._active: dict[int, ActiveTrial] = {}
        self._busy: set[str] = set()
        self._is_planning = False
        self._is_paused = False
        self._ending: tuple[Status, str] | None = None
        self._abort_reason: str | None = None

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
        """Enter a trial that goes on where it was cut off."""
        if found is not None:
            self._provisions.vouch(found.trial)
            active = self._enter(found.trial, found.attempt)
            active.results.update(found.results)
            active.runs.extend(found.runs)
            active.next_step, active.is_begun, active.resumes = found.next_step, True, found.resumes
            self._lab.prepare(found.trial, found.attempt)

    # --- executing ----------------------------------------------------------------------------------------------------

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
            results=results,
            positions=positions,
            role=record.role.value,
        )

    def _enter(self, number: int, attempt: int) -> ActiveTrial:
        active = ActiveTrial(self._settings(number, attempt), attempt)
        active.settings = self._settings(number, attempt, active.results, active.positions)
        self._active[number] = active
        return active

    def _start_steps(self) -> bool:
        """Give every free station the oldest trial that waits for it; say whether fewer are active than before."""
        n_before = len(self._active)
        if self._ending is not None:
            self._drop_waiting()
        for number in sorted(self._active):
            active = self._active[number]
            may_start = active.is_begun or not self._is_paused
            if may_start and not active.is_on_station:
                self._start_step(number, active)
        if self._provisions.missing and not self._busy and not self._is_planning:
            self._end("paused", self._provisions.reason())  # nothing runs that could set free what is lacking
            self._drop_waiting()
        return len(self._active) < n_before

    def _start_step(self, number: int, active: ActiveTrial) -> None:
        step = self._experiment.steps[active.next_step]
        station = self._free_station(step)
        if station is None:
            return
        grant = self._provisions.grant(number, active.attempt, active.settings, active.next_step)
        if isinstance(grant, Refusal):
            self._refuse(number, active, step, grant.reason)
        if not isinstance(grant, Grant):
            return
        active.positions.update(grant.positions)
        active.is_on_station = True
        self._busy.add(station.name)
        begun: tuple[Body, ...] = ()
        if not active.is_begun:
            begun = (TrialStarted(attempt=active.attempt),)
            self._lab.prepare(number, active.attempt)
        active.is_begun = True
        started = StepStarted(step=step.name, station=station.name, attempt=active.attempt)
        self._record(*begun, *grant.bodies, started, trial=number)
        fail_point("loop.step_announced")
        station.submit(self._job(number, active, step, station))
        fail_point("loop.step_submitted")
        if self._abort_reason is not None:  # which came after the stations were told, and before this one had a job
            station.abort(self._abort_reason)

    def _free_station(self, step: Step) -> Station | None:
        for name in self._lab.stations_for(step):
            if name not in self._busy:
                return self._lab.stations[name]
        return None

    def _job(self, number: int, active: ActiveTrial, step: Step, station: Station) -> Job:
        def done(result: JobResult) -> None:
            self._mailbox.put(StepDone(number, step, station.name, result))

        acts = self.view.trace(number).of_step(step.name)
        plan = step.plan
        if active.resumes and step.resume is not None:
            plan = step.resume
            active.settings.acts = tuple(act for act in acts if act.has_happened)
        active.resumes = False
        return Job(
            plan=partial(plan, self._lab, active.settings),
            md={"campaign": self.view.name, "trial": number, "attempt": active.attempt, "step": step.name},
            on_document=partial(self._recorder.record_document, number),
            on_act=partial(self._recorder.record_act, number),
            on_done=done,
            timeout=step.timeout,
            n_acts_before=len(acts),
        )

    def _drop_waiting(self) -> None:
        """The session ends: trials that were not begun stay proposed; begun ones go on, unless they are aborted."""
        for number, active in list(self._active.items()):
            # The next session goes on with it.
            is_stuck = number in self._provisions.missing or bool(self._journal.shortage)
            if active.is_on_station or (active.is_begun and self._abort_reason is None and not is_stuck):
                continue
            if active.is_begun and self._abort_reason is not None:
                failure = Failure(
                    category=FailureCategory.ABORTED, reason=str(self._abort_reason), runs=tuple(active.runs)
                )
                self._record(*self._provisions.over(number), TrialFailed(failure=failure), trial=number)
            del self._active[number]

    def _refuse(self, number: int, active: ActiveTrial, step: Step, reason: str) -> None:
        """A step before this one left the sample in doubt: nothing more is done to it."""
        failure = Failure(category=FailureCategory.SAMPLE, reason=reason, step=step.name, runs=tuple(active.runs))
        cost = self._experiment.cost_of(active.settings)
        self._record(*self._provisions.over(number), TrialFailed(failure=failure, cost=cost), trial=number)
        del self._active[number]

    def _settle(self) -> None:
        """After an error of ours: abort what still runs and wait for it, so that no instrument is left to itself."""
        for name in self._busy:
            self._lab.stations[name].abort("the session ended with an error")
        while self._busy:
            message = self._mailbox.get(timeout=SETTLE_SECONDS)
            if message is None:
                return
            if isinstance(message, StepDone):
                self._busy.discard(message.station)

    # --- recording results --------------------------------------------------------------------------------------------

    def _step_done(self, done: StepDone) -> None:
        fail_point("loop.step_done")
        self._busy.discard(done.station)
        self._recorder.take_in(done.trial)
        active = self._active[done.trial]
        active.is_on_station = False
        active.runs.extend(done.result.runs)
        booked = self._provisions.ended(done.trial, active.attempt, done.step, done.result.error)
        ended = (self._step_ended(done, active), *booked)
        if done.result.error is not None:
            self._fail(done, active, ended, done.result.error)
            return
        active.results[done.step.name] = done.result.value
        active.next_step += 1
        if active.next_step == len(self._experiment.steps):
            self._complete(done, active, ended)
        else:
            self._record(*ended, trial=done.trial)

    def _step_ended(self, done: StepDone, active: ActiveTrial) -> StepEnded:
        name = f"trial-{done.trial}-{done.step.name}.json"
        returned, returned_as = written(done.result.value, self._journal, name=name)
        return StepEnded(
            step=done.step.name,
            station=done.station,
            attempt=active.attempt,
            is_success=done.result.error is None,
            seconds=done.result.ended - done.result.started,
            runs=done.result.runs,
            returned=returned,
            returned_as=returned_as,
        )

    def _complete(self, done: StepDone, active: ActiveTrial, ended: Sequence[Body]) -> None:
        try:
            observation = observe(self.view.problem, self._experiment, active.settings, active.results, active.runs)
        except Exception as error:  # noqa: BLE001 # the border: a result that is no observation is a failed trial
            self._fail(done, active, ended, error, is_raw_kept=True)
            return
        cost = self._experiment.cost_of(active.settings)
        judged = self._inspection.judge(done.trial, observation, active.settings)
        completed = TrialCompleted(observation=observation, cost=cost)
        self._record(*ended, *(() if judged is None else (judged,)), completed, trial=done.trial)
        fail_point("loop.before_review")
        self._review()
        del self._active[done.trial]

    def _review(self) -> None:
        """Record what the latest results say of earlier ones; after a crash in between, the next session does."""
        for number, judged in self._inspection.review():
            self._record(judged, trial=number)

    def _fail(
        self,
        done: StepDone,
        active: ActiveTrial,
        ended: Sequence[Body],
        error: BaseException,
        *,
        is_raw_kept: bool = False,
    ) -> None:
        if self.view.trace(done.trial).unknown:
            del self._active[done.trial]
            self._continue(self._recovery.interrupted(done.trial, str(error) or type(error).__name__, *ended))
            self._provisions.release(self._active)
            if self.view.record(done.trial).state is TrialState.PROPOSED:  # it is done again
                self._waiting.appendleft(done.trial)
            return
        failure = failure_of(
            error,
            problem=self.view.problem,
            step=done.step.name,
            results=active.results,
            runs=active.runs,
            raw=keep_raw(self._journal, done.trial, active.results) if is_raw_kept else None,
        )
        ended = (*ended, *self._provisions.over(done.trial, besides=done.step.name))
        cost = self._experiment.cost_of(active.settings)
        if self._may_retry(active, failure):
            self._record(*ended, AttemptFailed(attempt=active.attempt, failure=failure, cost=cost), trial=done.trial)
            del self._active[done.trial]
            self._waiting.appendleft(done.trial)
            return
        self._record(*ended, TrialFailed(failure=failure, cost=cost), trial=done.trial)
        del self._active[done.trial]

    def _may_retry(self, active: ActiveTrial, failure: Failure) -> bool:
        policy = self._rules.on_failure
        return self._ending is None and active.attempt <= policy.retries and failure.category in policy.retry_on

    def _end(self, status: Status, reason: str) -> None:
        if self._ending is None:
            self._ending = (status, reason)
