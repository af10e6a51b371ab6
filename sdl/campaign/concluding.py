"""Concluding: from what a station gives back to what the journal says of each trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sdl.campaign.active import ActiveTrial, Run, Status, StepDone
from sdl.campaign.autonomy import Gate
from sdl.campaign.budget import Budget, FailurePolicy, OnUnknown, StoppingRule, UnknownPolicy
from sdl.campaign.floor import Floor
from sdl.campaign.inspection import Check, Inspection
from sdl.campaign.planner import TrialState
from sdl.campaign.provisions import Provisions
from sdl.campaign.quality import QualityControl
from sdl.campaign.queueing import RATIO, declared_seconds
from sdl.campaign.recorder import Observer, Recorder
from sdl.campaign.recovery import Continuation, Questions, Recovery, choose
from sdl.campaign.results import failure_of, keep_raw, observe
from sdl.campaign.returned import written
from sdl.campaign.view import CampaignView
from sdl.errors import ObservationError
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    Body,
    Failure,
    FailureCategory,
    StepEnded,
    StepSkipped,
    TrialCompleted,
    TrialFailed,
    TrialStarted,
)
from sdl.lab import Experiment, Lab, Step
from sdl.lab.schedule.ahead import When
from sdl.lab.schedule.durations import CHANGEOVER


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
    priority: int = 0
    share: float = 1.0
    fit_to_stock: bool = False
    suggest_ahead: bool = False
    schedule_ahead: When = "auto"
    is_hosted: bool = False


class Concluding(ABC):
    """Records what comes of the steps of one campaign's trials."""

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
        self.view = view
        self._journal = journal
        self._lab = lab
        self._experiment = experiment
        self._rules = rules
        self._floor = floor
        self._recorder = Recorder(view, journal, observers)
        self._record = self._recorder.record
        self._provisions = Provisions(
            view=view, journal=journal, lab=lab, experiment=experiment, ledger=floor.ledger, record=self._record
        )
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
        self._gate = Gate(view, self._cost_of, self._record)
        self._waiting: deque[int] = deque()
        self._active: dict[int, ActiveTrial] = {}
        self._runs: dict[str, Run] = {}
        self._ending: tuple[Status, str] | None = None

    @abstractmethod
    def _cost_of(self, number: int) -> float:
        """Return what trial *number* costs."""

    @abstractmethod
    def _continue(self, found: Continuation | None) -> None:
        """Enter a trial that goes on where it was cut off; None: it does not."""

    # --- a step has ended ---------------------------------------------------------------------------------------------

    def _step_done(self, done: StepDone) -> None:
        fail_point("loop.step_done")
        run, result = done.run, done.result
        del self._runs[run.station]
        seconds = result.seconds
        self._note_durations(run, seconds, is_success=result.error is None)
        self._recorder.take_in(run.lead)
        returned = outcomes_of(run, result.value, result.error)
        ended: list[tuple[Body, ...]] = []
        for number, (value, error) in zip(run.members, returned, strict=True):
            active = self._active[number]
            active.run, active.works = None, None
            active.runs.extend(result.runs)
            booked = self._provisions.ended(number, active.attempt, run.step, error, is_begun=result.is_begun)
            ended.append((self._step_ended(number, done, value, error), *booked))
        if run.companions:  # all of them or none: a crash in between must not part them
            self._recorder.record_together(list(zip(run.members, ended, strict=True)))
            fail_point("loop.batch_ended")
            ended = [()] * len(run.members)
        for number, (value, error), bodies in zip(run.members, returned, ended, strict=True):
            self._conclude(number, done, value, error, bodies)

    def _conclude(
        self, number: int, done: StepDone, value: Any, error: BaseException | None, ended: Sequence[Body]
    ) -> None:
        active, name = self._active[number], done.run.step.name
        if error is not None:
            self._fail(number, name, ended, error)
            return
        active.results[name] = value
        active.ended_at[name] = active.since = self._floor.ended(done.result.ended)
        active.next_step += 1
        active.kept = self._kept(active.kept, done.run)
        self._advance(number, ended)

    def _note_durations(self, run: Run, seconds: float, *, is_success: bool) -> None:
        campaign = self.view.name
        self._floor.end(campaign, run, seconds, is_success=is_success)
        if is_success and run.setup_seconds:
            name = CHANGEOVER.format(run.step.name)
            self._floor.durations.add(campaign, name, run.station, run.setup_seconds)
        if is_success and callable(run.step.duration):
            declared = declared_seconds(run.step, self._active[run.lead].settings)
            if declared:
                ratio = (seconds - run.setup_seconds) / declared
                self._floor.durations.add(campaign, RATIO.format(run.step.name), run.station, ratio)

    def _step_ended(self, number: int, done: StepDone, value: Any, error: BaseException | None) -> StepEnded:
        run, active = done.run, self._active[number]
        returned, returned_as = written(value, self._journal, name=f"trial-{number}-{run.step.name}.json")
        return StepEnded(
            step=run.step.name,
            station=run.station,
            attempt=active.attempt,
            is_success=error is None,
            seconds=done.result.seconds,
            runs=done.result.runs,
            returned=returned,
            returned_as=returned_as,
            members=run.companions,
            needs=run.needs,
            keeps=self._kept(active.kept, run) if error is None else (),
            setup_key=run.setup_key,
            setup_seconds=run.setup_seconds,
        )

    # --- what comes next for the trial --------------------------------------------------------------------------------

    def _advance(self, number: int, bodies: Sequence[Body]) -> None:
        """Record *bodies*, skip the steps whose condition does not hold, and complete the trial after the last one."""
        active, found = self._active[number], [*bodies]
        active.is_looked_at = True
        active.works = None
        while active.next_step < len(self._experiment.steps):
            step = self._experiment.steps[active.next_step]
            try:
                is_wanted = active.resumes or step.is_wanted(active.settings)
            except Exception as error:  # noqa: BLE001 # the border: a condition that raises is a failed trial
                self._fail(number, step.name, found, error)
                return
            if is_wanted:
                self._keep(number)
                if found:
                    self._record(*found, trial=number)
                return
            if not active.is_begun:
                active.is_begun = True
                self._lab.prepare(number, active.attempt)
                found.append(TrialStarted(attempt=active.attempt))
            found.append(StepSkipped(step=step.name, attempt=active.attempt, reason=step.skipped_because))
            active.next_step += 1
        self._complete(number, found)

    def _keep(self, number: int) -> None:
        """Hold on to the stations that a later step lets go of; the others are free."""
        active = self._active[number]
        if not active.kept:
            self._floor.keep((self.view.name, number), ())
            return
        named = self._named(*self._experiment.steps[active.next_step :])
        active.kept = tuple(name for name in active.kept if name in named)
        self._floor.keep((self.view.name, number), active.kept)

    def _kept(self, before: Sequence[str], run: Run) -> tuple[str, ...]:
        """Return what a trial keeps after *run*: what it kept and the step does not name, and what the run keeps."""
        named = {*run.taken, *self._named(run.step)}
        return tuple(dict.fromkeys((*(name for name in before if name not in named), *run.keeps)))

    def _named(self, *steps: Step) -> set[str]:
        """Return every station that one of *steps* could take."""
        lab = self._lab
        return {each for step in steps for each in (*lab.stations_for(step), *_needs(lab, step.needs))}

    def _leave(self, number: int) -> None:
        """The trial is not active any more."""
        del self._active[number]
        self._floor.keep((self.view.name, number), ())

    def _complete(self, number: int, ended: Sequence[Body]) -> None:
        active = self._active[number]
        last = self._experiment.steps[-1].name
        try:
            observation = observe(self.view.problem, self._experiment, active.settings, active.results, active.runs)
        except Exception as error:  # noqa: BLE001 # the border: a result that is no observation is a failed trial
            self._fail(number, last, ended, error, is_raw_kept=True)
            return
        cost = self._experiment.cost_of(active.settings)
        judged = self._inspection.judge(number, observation, active.settings)
        completed = TrialCompleted(observation=observation, cost=cost)
        self._record(*ended, *(() if judged is None else (judged,)), completed, trial=number)
        fail_point("loop.before_review")
        self._review()
        self._leave(number)

    def _review(self) -> None:
        """Record what the latest results say of earlier ones; after a crash in between, the next session does."""
        for number, judged in self._inspection.review():
            self._record(judged, trial=number)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _fail(
        self, number: int, step: str, ended: Sequence[Body], error: BaseException, *, is_raw_kept: bool = False
    ) -> None:
        active = self._active[number]
        if self.view.trace(number).unknown:
            self._park(number, str(error) or type(error).__name__, ended)
            return
        failure = failure_of(
            error,
            problem=self.view.problem,
            step=step,
            results=active.results,
            runs=active.runs,
            raw=keep_raw(self._journal, number, active.results) if is_raw_kept else None,
        )
        self._give_up(number, failure, ended, besides=step)

    def _park(self, number: int, reason: str, ended: Sequence[Body]) -> None:
        """An act of the trial did not say how it ended."""
        self._leave(number)
        self._continue(self._recovery.interrupted(number, reason, *ended))
        self._provisions.release(self._active)
        if self.view.record(number).state is TrialState.PROPOSED:  # it is done again
            self._waiting.appendleft(number)

    def _give_up(
        self, number: int, failure: Failure, ended: Sequence[Body] = (), *, besides: str | None = None
    ) -> None:
        """Record that an attempt failed, and whether there is to be another one."""
        active = self._active[number]
        cost = self._experiment.cost_of(active.settings)
        bodies = (*ended, *self._provisions.over(number, besides=besides))
        may_retry = self._may_retry(active, failure)
        objection = self._objection(number) if may_retry else ""
        if may_retry and not objection:
            self._record(*bodies, AttemptFailed(attempt=active.attempt, failure=failure, cost=cost), trial=number)
            self._waiting.appendleft(number)
        else:
            if objection:
                failure = failure.replace(reason=f"{failure.reason}; not tried again: {objection}")
            self._record(*bodies, TrialFailed(failure=failure, cost=cost), trial=number)
        self._leave(number)

    def _refuse(self, number: int, step: str, category: FailureCategory, reason: str) -> None:
        """The next step of a trial may never begin: nothing more is done to it."""
        active = self._active[number]
        failure = Failure(category=category, reason=reason, step=step, runs=tuple(active.runs))
        cost = self._experiment.cost_of(active.settings)
        self._record(*self._provisions.over(number), TrialFailed(failure=failure, cost=cost), trial=number)
        self._leave(number)

    def _may_retry(self, active: ActiveTrial, failure: Failure) -> bool:
        policy = self._rules.on_failure
        return self._ending is None and active.attempt <= policy.retries and failure.category in policy.retry_on

    def _objection(self, number: int) -> str:
        """Return why nobody has agreed that a trial is done again from its first step; empty where it may be."""
        trace = self.view.trace(number)
        if not trace.begun:
            return ""
        chosen, reason = choose(OnUnknown.of(self._rules.on_unknown), OnUnknown.recorded(trace.policy), trace)
        if chosen == "redo":
            return ""
        why = "nobody has agreed to another attempt" if chosen == "ask" else reason
        return f"{trace.begun[0]} may not be repeated, and on_unknown says {chosen!r}: {why}"

    def _end(self, status: Status, reason: str) -> None:
        if self._ending is None:
            self._ending = (status, reason)


def _needs(lab: Lab, names: Sequence[str]) -> list[str]:
    return [station for name in names for station in lab.stations_called(name)]


def outcomes_of(run: Run, value: Any, error: BaseException | None) -> list[tuple[Any, BaseException | None]]:
    """Return, for each trial of *run*, what its plan returned for it, or why there is nothing."""
    if error is not None:
        return [(None, error)] * len(run.members)
    if not run.is_batch:
        return [(value, None)]
    given: object = value
    n = len(run.members)
    if not isinstance(given, list | tuple) or len(cast("Sequence[Any]", given)) != n:
        wrong = ObservationError(
            f"the plan of step {run.step.name!r} returned {value!r:.200} for {n} trials",
            hint="a plan of a batch returns a sequence of results, one for each of its settings, in that order",
        )
        return [(None, wrong)] * n
    return [(None, each) if isinstance(each, Exception) else (each, None) for each in cast("Sequence[Any]", given)]
