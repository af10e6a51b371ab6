"""The loop: propose, execute, record. One instance runs one session of a campaign."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from sdl.campaign.budget import Budget, FailurePolicy, StoppingRule, UnknownPolicy
from sdl.campaign.planner import Situation, Suggestion, TrialState
from sdl.campaign.planning import PlanningDesk, Request
from sdl.campaign.recorder import Observer, Recorder, session_started
from sdl.campaign.results import failure_of, keep_raw, observe, plain
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError, LabError, PlannerError, StepAborted
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    Body,
    Entry,
    Failure,
    FailureCategory,
    ParameterValue,
    PlannerFailed,
    SessionEnded,
    StepEnded,
    StepStarted,
    TrialAbandoned,
    TrialCompleted,
    TrialFailed,
    TrialProposed,
    TrialResolved,
    TrialStarted,
    TrialUnknown,
)
from sdl.lab import Experiment, Job, JobResult, Lab, Settings, Station, Step
from sdl.lab.clock import Mailbox
from sdl.problem import SearchSpace

SETTLE_SECONDS = 60.0
"""Clock seconds that aborted steps get to end before an erroneous session closes its journal."""

Status = Literal["finished", "stopped", "aborted", "paused"]
Answer = Literal["redo", "failed", "abandoned"]


@dataclass
class Rules:
    """What a session goes by."""

    budget: Budget
    stopping: Sequence[StoppingRule]
    on_failure: FailurePolicy
    on_unknown: UnknownPolicy
    in_flight: int
    seed: int
    ask: Callable[[Trial], Answer | None]


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
    next_step: int = 0
    is_on_station: bool = False


class Loop:
    """Runs one session. :meth:`run` blocks until there is no more to do; the other methods may come from any thread."""

    def __init__(
        self,
        *,
        view: CampaignView,
        journal: Journal,
        lab: Lab,
        experiment: Experiment,
        desk: Callable[[Callable[[int, PlannerError, Literal["retry", "fall back", "pause"]], None]], PlanningDesk],
        rules: Rules,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.view = view
        self._journal = journal
        self._lab = lab
        self._experiment = experiment
        self._planner_failures: list[PlannerFailed] = []
        self._desk = desk(self._note_failure)
        self._waiting: deque[int] = deque()
        self._full_reason = ""
        self._dry_at = -1
        self._asked_for = 0
        self._rules = rules
        self._recorder = Recorder(view, journal, observers)
        self._record = self._recorder.record
        self._mailbox: Mailbox[StepDone | Planned | Wake] = lab.clock.mailbox()
        self._active: dict[int, ActiveTrial] = {}
        self._busy: set[str] = set()
        self._is_planning = False
        self._is_paused = False
        self._ending: tuple[Status, str] | None = None
        self._abort_reason: str | None = None

    # --- from any thread ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Start nothing more until :meth:`resume`; what runs goes on to its end."""
        self._is_paused = True
        self._mailbox.put(Wake())

    def resume(self) -> None:
        """Go on after a pause."""
        self._is_paused = False
        self._mailbox.put(Wake())

    def stop(self, reason: str) -> None:
        """Finish the running steps, start nothing more, and end."""
        self._end("stopped", reason)
        self._mailbox.put(Wake())

    def abort(self, reason: str) -> None:
        """Abort the running steps in order, start nothing more, and end."""
        self._ending = ("aborted", reason)
        self._abort_reason = reason
        for station in self._lab.stations.values():
            station.abort(reason)
        self._mailbox.put(Wake())

    # --- the session ----------------------------------------------------------------------------------------------

    def run(self) -> tuple[Status, str]:
        """Run until the budget is used, a rule says stop, or somebody does; return the status and the reason."""
        self._record(session_started(self.view.session + 1, is_virtual=self._lab.clock.is_virtual))
        try:
            self._lab.connect()
            self._recover()
            self._turn()
        except BaseException as error:
            if isinstance(error, StepAborted) and self._ending is not None:  # aborted while it was being connected
                self._close(*self._ending)
                return self._ending
            self._settle()
            self._close("error", f"{type(error).__name__}: {error}")
            raise
        allowed = f"{self.view.n_counted} trials, as many as the budget allows"
        status, reason = self._ending or ("finished", self._full_reason or allowed)
        self._close(status, reason)
        return status, reason

    def _close(self, status: Status | Literal["error"], reason: str) -> None:
        try:
            self._record(SessionEnded(session=self.view.session, status=status, reason=reason))
        finally:
            self._recorder.close()

    def _turn(self) -> None:
        while True:
            self._start_trials()
            self._start_steps()
            is_thinking = self._is_planning and self._abort_reason is None
            if not self._active and not is_thinking and not (self._is_paused and self._ending is None):
                return
            match self._mailbox.get():
                case StepDone() as done:
                    self._step_done(done)
                case Planned() as answer:
                    self._planned(answer)
                case _:  # somebody changed the loop's mind: look again
                    continue

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

    def _note_failure(self, attempt: int, error: PlannerError, action: Literal["retry", "fall back", "pause"]) -> None:
        """Called wherever the planner is asked; the campaign's thread records it with the answer."""
        planner = str(self.view.planner.get("name", "planner"))
        self._planner_failures.append(PlannerFailed(planner=planner, attempt=attempt, error=str(error), action=action))

    # --- recovery -------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Decide what becomes of the trials that the last session left behind."""
        for trial in self.view.in_state(TrialState.RUNNING):
            reason = f"the process that ran session {self.view.session - 1} is gone"
            cost = self._experiment.cost_of(self._settings(trial.number, trial.attempts))
            self._record(TrialUnknown(attempt=trial.attempts, reason=reason, cost=cost), trial=trial.number)
        for trial in self.view.in_state(TrialState.UNKNOWN):
            self._resolve(trial)
        for trial in self.view.in_state(TrialState.PROPOSED):
            self._waiting.append(trial.number)

    def _resolve(self, trial: Trial) -> None:
        policy = self._rules.on_unknown
        answer = self._rules.ask(trial) if policy == "ask" else policy
        if answer is None:
            return
        actor = "operator" if policy == "ask" else "engine"
        reason = "answered by a person" if policy == "ask" else f"by the policy on_unknown={policy!r}"
        self._record(TrialResolved(answer=answer, reason=reason), trial=trial.number, actor=actor)
        match answer:
            case "redo":
                pass  # the trial is proposed again, and entered with the others
            case "failed":
                failure = Failure(category=FailureCategory.INTERRUPTED, reason=trial.reason)
                self._record(TrialFailed(failure=failure), trial=trial.number)
            case "abandoned":
                self._record(TrialAbandoned(reason=trial.reason), trial=trial.number)

    # --- proposing ------------------------------------------------------------------------------------------------

    def _start_trials(self) -> None:
        if self._is_planning or self._is_paused or self._ending is not None:
            return
        self._apply_rules()
        if self._ending is not None:
            return
        self._admit()
        n = self._n_wanted()
        if n > 0 and self._dry_at != self._n_ended:
            self._ask(n)
            self._admit()

    @property
    def _n_ended(self) -> int:
        return sum(self.view.counts[state] for state in TrialState if state.is_final)

    def _admit(self) -> None:
        """Take in the trials that wait, oldest first, as far as slots and budget go."""
        while self._waiting and len(self._active) < self._rules.in_flight and self._ending is None:
            number = self._waiting.popleft()
            reason = self._misfit(number)
            if reason is None:
                self._enter(number, self.view.record(number).attempts + 1)
                continue
            self._record(TrialAbandoned(reason=reason), trial=number)
            self._full_reason = f"trial {number} does not fit the budget: {reason}"

    def _misfit(self, number: int) -> str | None:
        """Return why the budget of cost does not allow trial *number*, beside what is spent and what runs."""
        limit = self._rules.budget.cost
        if limit is None:
            return None
        begun = sum(self._experiment.cost_of(active.settings) for active in self._active.values())
        left = limit - self.view.cost - begun
        cost = self._experiment.cost_of(self._settings(number))
        return None if cost <= left else f"it costs {cost:g}, and {left:g} of the budget of {limit:g} is left"

    def _apply_rules(self) -> None:
        view = self.view
        failed = self._rules.on_failure.reason(view)
        if failed is not None:
            self._end("stopped", failed)
        for rule in (*self._rules.stopping, self._rules.budget):
            reason = rule.reason(view)
            if reason is not None:
                self._end("finished", reason)

    def _n_wanted(self) -> int:
        left = self._rules.budget.trials_left(self.view)
        free = 0 if self._full_reason else self._rules.in_flight - len(self._active) - len(self._waiting)
        return free if left is None else min(free, left)

    def _ask(self, n: int) -> None:
        self._asked_for = n
        request = Request(
            problem=self.view.problem,
            history=self.view.history,
            n=n,
            situation=Situation(
                context=checked_context(self._lab, self.view.problem.space),
                n_free_slots=n,
                n_trials_left=self._rules.budget.trials_left(self.view),
            ),
            seed=request_seed(self._rules.seed, self.view.n_proposed),
        )
        if self._lab.clock.is_virtual:
            # No virtual time passes while the planner thinks, and the order of events does not depend on its pace.
            self._planned(self._answer(request))
            return
        self._is_planning = True
        threading.Thread(
            target=lambda: self._mailbox.put(self._answer(request)), name="sdl-planning", daemon=True
        ).start()

    def _answer(self, request: Request) -> Planned:
        try:
            return Planned(self._desk.ask(request))
        except Exception as error:  # noqa: BLE001 # carried to the campaign's thread, which decides
            return Planned([], error)

    def _planned(self, answer: Planned) -> None:
        self._is_planning = False
        failures, self._planner_failures = self._planner_failures, []
        self._record(*failures)
        if isinstance(answer.error, PlannerError):
            self._end("paused", f"the planner failed, and nothing may answer in its place: {answer.error}")
            return
        if answer.error is not None:
            raise answer.error
        if len(answer.suggestions) < self._asked_for:
            self._dry_at = self._n_ended  # asking again makes sense when there is something new to learn from
            if not answer.suggestions and not self._active and not self._waiting:
                self._end("finished", "the planner has nothing left to propose")
        self._propose(answer.suggestions)

    def _propose(self, suggestions: Sequence[Suggestion]) -> None:
        """Record the suggestions of one answer together: after a crash all of them are there, or none."""
        fail_point("loop.before_proposal")
        first = self.view.n_proposed + 1
        bodies = [TrialProposed(values=each.values, decision=each.decision) for each in suggestions]
        if bodies:
            self._recorder.append(*(Entry(body, self.view.name, number) for number, body in enumerate(bodies, first)))
        self._waiting.extend(range(first, first + len(bodies)))

    # --- executing ------------------------------------------------------------------------------------------------

    def _settings(self, number: int, attempt: int = 1, results: Mapping[str, Any] | None = None) -> Settings:
        record = self.view.record(number)
        return Settings(record.proposal.values, units=self.view.units, trial=number, attempt=attempt, results=results)

    def _enter(self, number: int, attempt: int) -> None:
        active = ActiveTrial(self._settings(number, attempt), attempt)
        active.settings = self._settings(number, attempt, active.results)
        self._active[number] = active

    def _start_steps(self) -> None:
        """Give every free station the oldest trial that waits for it."""
        if self._ending is not None:
            self._drop_waiting()
        for number in sorted(self._active):
            active = self._active[number]
            may_start = active.next_step > 0 or not self._is_paused
            if may_start and not active.is_on_station:
                self._start_step(number, active)

    def _start_step(self, number: int, active: ActiveTrial) -> None:
        step = self._experiment.steps[active.next_step]
        station = self._free_station(step)
        if station is None:
            return
        active.is_on_station = True
        self._busy.add(station.name)
        begun: tuple[Body, ...] = ()
        if active.next_step == 0:
            begun = (TrialStarted(attempt=active.attempt),)
            self._lab.prepare(number, active.attempt)
        started = StepStarted(step=step.name, station=station.name, attempt=active.attempt)
        self._record(*begun, started, trial=number)
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

        return Job(
            plan=partial(step.plan, self._lab, active.settings),
            md={"campaign": self.view.name, "trial": number, "attempt": active.attempt, "step": step.name},
            on_document=partial(self._recorder.record_document, number),
            on_done=done,
            timeout=step.timeout,
        )

    def _drop_waiting(self) -> None:
        """The session ends: trials that were not begun stay proposed; begun ones go on, unless they are aborted."""
        for number, active in list(self._active.items()):
            if active.is_on_station or (active.next_step and self._abort_reason is None):
                continue
            if active.next_step:
                failure = Failure(
                    category=FailureCategory.ABORTED, reason=str(self._abort_reason), runs=tuple(active.runs)
                )
                self._record(TrialFailed(failure=failure), trial=number)
            del self._active[number]

    # --- recording results ----------------------------------------------------------------------------------------

    def _step_done(self, done: StepDone) -> None:
        fail_point("loop.step_done")
        self._busy.discard(done.station)
        active = self._active[done.trial]
        active.is_on_station = False
        active.runs.extend(done.result.runs)
        ended = self._step_ended(done, active)
        if done.result.error is not None:
            self._fail(done, active, ended, done.result.error)
            return
        active.results[done.step.name] = done.result.value
        active.next_step += 1
        if active.next_step == len(self._experiment.steps):
            self._complete(done, active, ended)
        else:
            self._record(ended, trial=done.trial)

    def _step_ended(self, done: StepDone, active: ActiveTrial) -> StepEnded:
        name = f"trial-{done.trial}-{done.step.name}.json"
        return StepEnded(
            step=done.step.name,
            station=done.station,
            attempt=active.attempt,
            is_success=done.result.error is None,
            seconds=done.result.ended - done.result.started,
            runs=done.result.runs,
            returned=plain(done.result.value, self._journal, name=name),
        )

    def _complete(self, done: StepDone, active: ActiveTrial, ended: StepEnded) -> None:
        try:
            observation = observe(self.view.problem, self._experiment, active.settings, active.results, active.runs)
        except Exception as error:  # noqa: BLE001 # the border: a result that is no observation is a failed trial
            self._fail(done, active, ended, error, is_raw_kept=True)
            return
        cost = self._experiment.cost_of(active.settings)
        self._record(ended, TrialCompleted(observation=observation, cost=cost), trial=done.trial)
        del self._active[done.trial]

    def _fail(
        self, done: StepDone, active: ActiveTrial, ended: StepEnded, error: BaseException, *, is_raw_kept: bool = False
    ) -> None:
        failure = failure_of(
            error,
            problem=self.view.problem,
            step=done.step.name,
            results=active.results,
            runs=active.runs,
            raw=keep_raw(self._journal, done.trial, active.results) if is_raw_kept else None,
        )
        cost = self._experiment.cost_of(active.settings)
        if self._may_retry(active, failure):
            self._record(ended, AttemptFailed(attempt=active.attempt, failure=failure, cost=cost), trial=done.trial)
            del self._active[done.trial]
            self._waiting.appendleft(done.trial)
            return
        self._record(ended, TrialFailed(failure=failure, cost=cost), trial=done.trial)
        del self._active[done.trial]

    def _may_retry(self, active: ActiveTrial, failure: Failure) -> bool:
        policy = self._rules.on_failure
        return self._ending is None and active.attempt <= policy.retries and failure.category in policy.retry_on

    def _end(self, status: Status, reason: str) -> None:
        if self._ending is None:
            self._ending = (status, reason)


def request_seed(seed: int, n_proposed: int) -> int:
    """Return the seed of one request to the planner: a function of the campaign's seed and of how far it has come.

    So a campaign that is resumed asks with the seed that it would have asked with.
    """
    return int(np.random.SeedSequence([seed, n_proposed]).generate_state(1)[0])


def checked_context(lab: Lab, space: SearchSpace) -> Mapping[str, ParameterValue]:
    """Return the laboratory's values of the contextual parameters. LabError where they are not those of the space."""
    context = lab.context()
    if set(context) != set(space.contextual):
        raise LabError(
            f"laboratory {lab.name} gives context for {', '.join(context) or 'nothing'}, "
            f"and the space asks for {', '.join(space.contextual) or 'nothing'}",
            hint="let context() return exactly the contextual parameters of the space",
        )
    for name, value in context.items():
        space.parameters[name].check(name, value)
    return context


def no_answer(_: Trial) -> Answer | None:
    """Leave an unknown trial as it is; it stays pending until somebody resolves it."""
    return None


def check_stations(lab: Lab, experiment: Experiment) -> None:
    """Refuse an experiment whose steps name stations that the laboratory does not have."""
    for step in experiment.steps:
        missing = [name for name in lab.stations_for(step) if name not in lab.stations]
        if missing or not lab.stations_for(step):
            raise CampaignError(
                f"step {step.name!r} asks for station {', '.join(missing) or 'none'}, which {lab.name} does not have",
                hint=f"it has {', '.join(lab.stations)}",
            )
