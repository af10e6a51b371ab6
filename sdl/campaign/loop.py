"""The loop: propose, execute, record. One instance runs one session of a campaign."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from sdl.campaign.active import ActiveTrial, Planned, Run, Status, StepDone, Wake
from sdl.campaign.execution import Execution, Rules
from sdl.campaign.floor import Floor
from sdl.campaign.foresight import Foresight
from sdl.campaign.planner import Suggestion, TrialState
from sdl.campaign.planning import PlanningDesk, Request, checked_context, request_seed, wait_aside
from sdl.campaign.recorder import Observer, session_started
from sdl.campaign.safeguard import Safeguard
from sdl.campaign.stalls import Stalls
from sdl.campaign.together import drive
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError, PlannerError, StepAborted
from sdl.failpoints import fail_point
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    Body,
    Comment,
    Entry,
    PlannerFailed,
    SessionEnded,
    TrialAbandoned,
    TrialProposed,
)
from sdl.lab import Experiment, Lab
from sdl.problem import SearchSpace
from sdl.problem.value import listing


class Loop(Execution, Foresight, Stalls):
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
        floor: Floor | None = None,
    ) -> None:
        super().__init__(
            view=view,
            journal=journal,
            lab=lab,
            experiment=experiment,
            rules=rules,
            observers=observers,
            floor=floor or Floor(lab),
        )
        self._floor.join(view.name, rules.share, rules.schedule_ahead)
        self._planner_failures: list[PlannerFailed] = []
        self._desk = desk(self._note_failure)
        self._full_reason = ""
        self._dry_at = -1
        self._asked_for = 0
        self._room_since: float | None = None
        self._aborts_all = False
        self._safeguard = Safeguard(lab, journal, self._recorder, lambda: self._post(Wake()))

    # --- from any thread ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Start nothing more until :meth:`resume`; what runs goes on to its end."""
        self._is_paused = True
        self._post(Wake())

    def resume(self) -> None:
        """Go on after a pause."""
        self._is_paused = False
        self._post(Wake())

    def stop(self, reason: str, status: Status = "stopped") -> None:
        """Finish the running steps, start nothing more, and end."""
        self._end(status, reason)
        self._post(Wake())

    def abort(self, reason: str) -> None:
        """Stop every device at once, abort the running steps in order, start nothing more, and end."""
        self._aborts_all = True
        self._abort(reason, tuple(self._lab.stations))

    def abort_own(self, reason: str) -> None:
        """Abort the steps that run for this campaign, and end. Others on the laboratory go on."""
        self._abort(reason, self.stations_at_work)

    def _abort(self, reason: str, stations: Sequence[str]) -> None:
        self._ending = ("aborted", reason)
        self._abort_reason = reason
        for name in stations:
            self._lab.stations[name].abort(reason)
        self._post(Wake())

    # --- on the campaign's thread -------------------------------------------------------------------------------------

    def tell(self, said: Sequence[tuple[int, Sequence[Body]]], *, by: str) -> None:
        """Record what a person says of trials, and go on by it."""
        self._recorder.record_together(said, actor=by)
        for number, _ in said:
            if number not in self._active and self.view.record(number).state is TrialState.UNKNOWN:
                self._continue(self._recovery.answered(number))
            if self.view.record(number).state is TrialState.PROPOSED and number not in self._waiting:
                self._waiting.append(number)
        self._provisions.release(self._active)

    def note(self, entries: Sequence[Entry]) -> None:
        """Record *entries* of this campaign, and look again."""
        self._recorder.append(*entries)

    # --- the session ----------------------------------------------------------------------------------------------

    def run(self) -> tuple[Status, str]:
        """Run until the budget is used, a rule says stop, or somebody does; return the status and the reason."""
        return drive([self])[0]

    def begin(self) -> None:
        """Begin the session."""
        self._record(session_started(self.view.session + 1, is_virtual=self._lab.clock.is_virtual))

    def open(self) -> bool:
        """Decide what becomes of what the last session left; say whether there is anything to do."""
        self._provisions.open()
        latched = self._safeguard.open()
        if latched is not None:
            self._end("paused", latched)
            return False
        try:
            self._connect()
        except StepAborted:
            if self._ending is None:
                raise
            return False
        if not self.is_plain:
            self._floor.read(self._journal)
            self._queue.learn(self._journal, self._settings)
        self._recover()
        self._review()
        self._provisions.recover({number: active.resumes for number, active in self._active.items()})
        return True

    def close(self) -> tuple[Status, str]:
        """Close the session; return the status and the reason."""
        allowed = f"{self.view.n_counted} trials, as many as the budget allows"
        status, reason = self._ending or ("finished", self._full_reason or allowed)
        self._close(status, reason)
        return status, reason

    def fail(self, error: BaseException) -> None:
        """Close the session with an error of ours."""
        self._close("error", f"{type(error).__name__}: {error}")

    def _connect(self) -> None:
        """Connect the laboratory, as far as nobody aborts."""
        for station in self._lab.stations.values():
            if self._abort_reason is None:
                station.enter(self._journal)
                station.connect()

    def _take_trips(self) -> None:
        """Record what the watchers have found. Where something is latched, or the disk is full, nothing new starts."""
        self._safeguard.take()
        reason = self._safeguard.reason or self._journal.shortage or None
        if reason is not None:
            self._end("paused", reason)

    def _close(self, status: Status | Literal["error"], reason: str) -> None:
        try:
            self._safeguard.close()
            trouble = [Comment(text=text) for text in self._lab.subscribers.settle()]
            self._record(*trouble, SessionEnded(session=self.view.session, status=status, reason=reason))
        finally:
            self._recorder.close()

    # --- a turn -------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The campaign's."""
        return self.view.name

    @property
    def floor(self) -> Floor:
        """Where it runs, with others perhaps."""
        return self._floor

    @property
    def n_active(self) -> int:
        """How many trials are under way."""
        return len(self._active)

    @property
    def abort_of_all(self) -> str | None:
        """Why somebody has aborted it, and with it all that share the laboratory; None where nobody has."""
        return self._abort_reason if self._aborts_all else None

    def be_aborted(self, reason: str) -> None:
        """Another campaign on the same laboratory was aborted: every device has been told to stop."""
        if self._abort_reason is None:
            self._ending = ("aborted", reason)
            self._abort_reason = reason

    @property
    def is_expecting(self) -> bool:
        """Whether more trials may come before one of those that wait moves on by itself."""
        if self._is_planning:
            return True
        may_come = bool(self._waiting) or (self._may_ask and self._n_left != 0)
        return may_come and any(map(self._goes_on, self._active.values()))

    def _goes_on(self, active: ActiveTrial) -> bool:
        """Whether a trial moves on without others, and so gives its place to a new one some time."""
        return active.is_on_station or self._experiment.steps[active.next_step].batch is None

    def listen(self) -> None:
        """Hear what the watchers find from now on: another campaign that did has ended."""
        self._safeguard.listen()

    def propose(self) -> None:
        """Take in what is known, and propose what there is room for."""
        self._take_trips()
        self._tell_stalls()
        self._note_room()
        self._start_trials()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do, and every device that an interlock sends somewhere is there."""
        is_thinking = self._is_planning and self._abort_reason is None
        is_waiting = self._is_paused or (self._rules.is_hosted and bool(self._waiting))
        if self._active or is_thinking or (is_waiting and self._ending is None):
            return False
        return not self._lab.is_making_safe or self._abort_reason is not None

    def handle(self, message: object) -> None:
        """Take in what happened."""
        match message:
            case StepDone() as done:
                self._step_done(done)
            case Planned() as answer:
                self._planned(answer)
            case _:  # somebody changed the loop's mind: look again
                pass

    def forget(self, message: object) -> None:
        """Take in, while an erroneous session is wound up, that a station is free."""
        if isinstance(message, StepDone):
            self._runs.pop(message.run.station, None)

    @property
    def stations_at_work(self) -> tuple[str, ...]:
        """The stations that work for it."""
        return tuple(self._runs)

    def _note_failure(self, attempt: int, error: PlannerError, action: Literal["retry", "fall back", "pause"]) -> None:
        """Called wherever the planner is asked; the campaign's thread records it with the answer."""
        planner = str(self.view.planner.get("name", "planner"))
        self._planner_failures.append(PlannerFailed(planner=planner, attempt=attempt, error=str(error), action=action))

    # --- proposing ------------------------------------------------------------------------------------------------

    def _start_trials(self) -> None:
        if self._is_planning or self._is_paused or self._ending is not None:
            return
        self._apply_rules()
        if self._ending is not None:
            return
        self._admit()
        self._propose_to_judge()
        while self._may_ask and not self._is_planning and (n := self._n_wanted()) > 0:
            n_before = self.view.n_proposed
            self._ask(n)
            self._admit()
            if self.view.n_proposed == n_before:  # it thinks, or has nothing to propose
                return

    def _expected(self, run: Run) -> float | None:
        return self._queue.expected(run, self._active[run.lead].settings)

    @property
    def _may_ask(self) -> bool:
        """Whether the planner may be asked when there is room."""
        is_held_up = self._is_paused or self._ending is not None or self._inspection.is_holding
        return not is_held_up and not self._full_reason and self._dry_at != self._n_ended

    @property
    def _n_left(self) -> int | None:
        return self._rules.budget.trials_left(self.view)

    @property
    def _n_ended(self) -> int:
        return sum(self.view.counts[state] for state in TrialState if state.is_final)

    def _admit(self) -> None:
        """Take in the trials that wait, oldest first, as far as slots and budget go."""
        for proposed in [*self._waiting]:
            if self.view.record(proposed).state is not TrialState.PROPOSED:  # somebody has refused it
                self._waiting.remove(proposed)
        self._gate.ask(self._waiting)
        while len(self._active) < self._rules.in_flight and self._ending is None:
            number = self._gate.admit(self._waiting)
            if number is None:
                return
            self._waiting.remove(number)
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
        doubtful = self._inspection.reason()
        if doubtful is not None:
            self._end("paused", doubtful)

    @property
    def _n_free(self) -> int:
        return 0 if self._full_reason else self._n_places + self._rules.suggest_ahead

    @property
    def _n_places(self) -> int:
        """How many more trials could begin now."""
        return self._rules.in_flight - len(self._active) - len(self._waiting)

    def _note_room(self) -> None:
        """Note since when there has been room for a trial that the planner has not proposed yet."""
        if self._n_places <= 0 or not self._may_ask or self._n_left == 0:
            self._room_since = None
        elif self._room_since is None:
            self._room_since = self._lab.clock.monotonic()

    def _n_wanted(self) -> int:
        left = self._rules.budget.trials_left(self.view)
        return self._n_free if left is None else min(self._n_free, left)

    def _propose_to_judge(self) -> None:
        """Propose the control samples and the replicates that are due; they go before the planner's trials."""
        due = self._inspection.due(self._n_free, lambda: checked_context(self._lab, self.view.problem.space))
        if due:
            self._propose_each([(each.proposed, each.assigned) for each in due])
            self._admit()

    def _ask(self, n: int) -> None:
        batch = self._batch_to_fill()
        n = n if batch is None else min(n, batch.size)  # the next batch is asked for by itself
        self._asked_for = n
        request = Request(
            problem=self.view.problem,
            history=self.view.history,
            n=n,
            situation=self._situation(n, self._n_left, batch),
            seed=request_seed(self._rules.seed, self.view.n_proposed),
        )
        if self._lab.clock.is_virtual:
            # No virtual time passes while the planner thinks, and the order of events does not depend on its pace.
            answer = wait_aside(lambda: self._answer(request), until=lambda: self._abort_reason is not None)
            if answer is not None:
                self._planned(answer)
            return
        self._is_planning = True
        threading.Thread(target=lambda: self._post(self._answer(request)), name="sdl-planning", daemon=True).start()

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
        seed = request_seed(self._rules.seed, self.view.n_proposed)
        self._propose(self._makeable(answer.suggestions, seed))

    def _propose(self, suggestions: Sequence[Suggestion]) -> None:
        """Record the suggestions of one answer together: after a crash all of them are there, or none."""
        waited = 0.0 if self._room_since is None else self._lab.clock.monotonic() - self._room_since
        waits = [waited if place < self._n_places else 0.0 for place in range(len(suggestions))]
        self._room_since = None
        self._propose_each(
            [
                (TrialProposed(values=each.values, decision=each.decision, planner_wait=wait),)
                for each, wait in zip(suggestions, waits, strict=True)
            ]
        )

    def _propose_each(self, proposals: Sequence[Sequence[Body]]) -> None:
        fail_point("loop.before_proposal")
        first = self.view.n_proposed + 1
        entries = [
            Entry(body, self.view.name, number) for number, bodies in enumerate(proposals, first) for body in bodies
        ]
        if entries:
            self._recorder.append(*entries)
        self._waiting.extend(range(first, first + len(proposals)))


def check_stations(lab: Lab, experiment: Experiment) -> None:
    """Refuse an experiment whose steps name stations that the laboratory does not have."""
    for step in experiment.steps:
        missing = [name for name in (*lab.stations_for(step), *step.needs) if not _is_known(lab, name)]
        if missing or not lab.stations_for(step):
            raise CampaignError(
                f"step {step.name!r} asks for station {', '.join(missing) or 'none'}, which {lab.name} does not have",
                hint=f"it has {', '.join(lab.stations)}",
            )


def check_parameters(experiment: Experiment, space: SearchSpace) -> None:
    """Refuse an experiment whose batches or changeovers go by parameters that the space does not have."""
    for step in experiment.steps:
        shared = () if step.batch is None else step.batch.shared
        key = () if step.setup is None else step.setup.key
        for what, names in (("shares", shared), ("is made ready for", key)):
            missing = [name for name in names if name not in space.parameters]
            if missing:
                raise CampaignError(
                    f"step {step.name!r} {what} {listing(missing)}, which is no parameter",
                    hint=f"the parameters are {listing(space.names)}",
                )


def _is_known(lab: Lab, name: str) -> bool:
    return name in lab.stations or name in lab.kinds
