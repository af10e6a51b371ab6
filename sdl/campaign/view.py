"""A campaign as the journal tells it: the fold of its events."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime

from pydantic import JsonValue

from sdl.campaign.approvals import Approvals
from sdl.campaign.past import Past
from sdl.campaign.planner import Comparison, History, TrialState
from sdl.campaign.quality import QualityControl
from sdl.campaign.ranking import Ranking
from sdl.campaign.standing import Standing
from sdl.campaign.trace import Trace, policy_of
from sdl.campaign.trials import Packing, Told, Trial, TrialRecord, seed_entry
from sdl.campaign.whereabouts import Whereabouts
from sdl.errors import CampaignError
from sdl.journal.acts import StepRecovered
from sdl.journal.orders import APPROVAL_KINDS
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    CampaignChanged,
    CampaignOpened,
    Event,
    SeedAdded,
    SessionEnded,
    SessionStarted,
    TrialAbandoned,
    TrialCompleted,
    TrialFailed,
    TrialResolved,
    TrialsCompared,
    TrialUnknown,
)
from sdl.journal.trust import TRUST_KINDS, TrialAssigned
from sdl.problem import Problem
from sdl.problem.value import FrozenMap

ACT_KINDS = ("act.intended", "act.ended", "act.resolved")

FOLDED = (
    "campaign.opened",
    "campaign.changed",
    "campaign.seeded",
    "session.started",
    "session.ended",
    "planner.failed",
    "trial.proposed",
    "trial.started",
    "step.started",
    "step.ended",
    "step.skipped",
    "step.queued",
    "trial.attempt_failed",
    "trial.completed",
    "trial.failed",
    "trial.abandoned",
    "trial.unknown",
    "trial.resolved",
    *ACT_KINDS,
    "step.recovered",
    "trials.compared",
    *APPROVAL_KINDS,
    *TRUST_KINDS,
)
"""The kinds of events that the fold reads; documents and comments it leaves where they are."""


class CampaignView:
    """What is known of one campaign. Feed it events in order; it never writes.

    Parameters
    ----------
    name
        The campaign. Events of other campaigns in the same journal are passed over.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = 0
        self.opened: CampaignOpened | None = None
        self.planner: Mapping[str, JsonValue] = {}
        self.lab: Mapping[str, JsonValue] = {}
        self.settings: Mapping[str, JsonValue] = {}
        self.session = 0
        self.is_session_open = False
        self.ended: SessionEnded | None = None
        self.n_planner_failures = 0
        self.counts: Counter[TrialState] = Counter()
        self.cost = 0.0
        self.failures_in_a_row = 0
        self._last: Event | None = None
        self.whereabouts = Whereabouts()
        self._traces: dict[int, Trace] = {}
        self._packing = Packing()
        self._records: dict[int, TrialRecord] = {}
        self.standing = Standing()
        self._past = Past(self._records, self.standing)
        self.approvals = Approvals()
        self._ranking: Ranking | None = None
        self._seconds_before = 0.0
        self._session_began = 0.0
        self._session_latest = 0.0
        self._session_boot = ""
        self.seed_names: set[str] = set()
        self._folds: Mapping[str, Callable[[Event], None]] = {
            "campaign.opened": self._on_opened,
            "campaign.changed": self._on_changed,
            "campaign.seeded": self._on_seeded,
            "session.started": self._on_session_started,
            "session.ended": self._on_session_ended,
            "planner.failed": self._on_planner_failed,
            "trial.proposed": self._on_proposed,
            "trial.started": self._on_started,
            "step.started": self._on_step_started,
            "step.ended": self._on_step_ended,
            "step.skipped": self._trace_step,
            "step.queued": self._on_step_queued,
            "trial.attempt_failed": self._on_attempt_failed,
            "trial.completed": self._on_completed,
            "trial.failed": self._on_failed,
            "trial.abandoned": self._on_abandoned,
            "trial.unknown": self._on_unknown,
            "trial.resolved": self._on_resolved,
            "step.recovered": self._on_recovered,
            "trial.assigned": self._on_assigned,
            "trial.judged": self._on_judged,
            "trials.compared": self._on_compared,
            **dict.fromkeys(ACT_KINDS, self.take_act),
            **dict.fromkeys(APPROVAL_KINDS, self.approvals.take),
        }

    @classmethod
    def of(cls, journal: Journal, name: str | None = None) -> CampaignView:
        """Fold the campaign *name* of *journal*, or its only one."""
        view = cls(name if name is not None else only_campaign(journal))
        view.catch_up(journal)
        if view.opened is None:
            raise CampaignError(
                f"the journal holds no campaign {view.name!r}",
                hint=f"it holds {', '.join(journal.campaigns) or 'none'}",
            )
        return view

    def catch_up(self, journal: Journal) -> None:
        """Apply what has been recorded since the last event that this view has seen."""
        with _no_collector():
            for event in journal.read(self.sequence, campaign=self.name, kinds=FOLDED):
                self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one event."""
        if event.campaign != self.name or event.sequence <= self.sequence:
            return
        self.sequence = event.sequence
        self._last = event
        fold = self._folds.get(event.kind)
        if fold is not None:
            fold(event)
        # Between two sessions no laboratory time passes, and the clocks of two processes do not compare.
        if event.boot_id == self._session_boot and (self.is_session_open or event.kind == "session.ended"):
            self._session_latest = event.monotonic

    # --- what is asked --------------------------------------------------------------------------------------------

    @property
    def problem(self) -> Problem:
        """The space, the objectives and the outcome constraints."""
        return _opening(self).problem

    @property
    def seed(self) -> int:
        """The campaign's seed."""
        return _opening(self).seed

    @property
    def units(self) -> FrozenMap[str | None]:
        """The unit of every parameter."""
        return {name: getattr(parameter, "unit", None) for name, parameter in self.problem.space.parameters.items()}

    # --- what happened --------------------------------------------------------------------------------------------

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, oldest first."""
        return self.in_state(*TrialState)

    def trial(self, number: int) -> Trial:
        """Return trial *number*; CampaignError where there is none."""
        return self.record(number).to_trial(self.units)

    def record(self, number: int) -> TrialRecord:
        """Return the fold's own record of trial *number*."""
        if number not in self._records:
            raise CampaignError(
                f"campaign {self.name!r} has no trial {number}", hint=f"it has trials 1 to {len(self._records)}"
            )
        return self._records[number]

    def trace(self, number: int) -> Trace:
        """Return what is known of the attempt at trial *number* that has no end yet."""
        return self._traces.get(number) or Trace()

    def in_state(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the trials in one of *states*, oldest first."""
        units = self.units
        return tuple(record.to_trial(units) for record in self._records.values() if record.state in states)

    @property
    def last_time(self) -> datetime | None:
        """When the last event was recorded, in UTC; None before the first."""
        return None if self._last is None else self._last.time

    @property
    def stations(self) -> Mapping[str, str]:
        """What each working station does now: station to ``trial 3: deposit``; idle ones are left out."""
        return self.whereabouts.stations

    @property
    def waiting(self) -> Mapping[int, str]:
        """Why each trial waits that was begun or proposed and is on no station: trial to a sentence."""
        running = {n: each for n, each in self._traces.items() if self._records[n].state is TrialState.RUNNING}
        asked = self.approvals.waiting(lambda number: self._records[number].state is TrialState.PROPOSED)
        return {**asked, **self.whereabouts.waiting(running, self.settings)}

    @property
    def n_proposed(self) -> int:
        """How many trials were ever proposed."""
        return len(self._records)

    @property
    def n_counted(self) -> int:
        """How many trials count against a budget of trials: those of the planner that were not abandoned."""
        return len(self._records) - self.counts[TrialState.ABANDONED] - self.standing.n_extra

    @property
    def history(self) -> History:
        """What a planner may know now: seed data first, then the trials in the order in which they were proposed."""
        return self._past.history

    @property
    def lab_seconds(self) -> float:
        """Laboratory seconds in which the campaign was being run, summed over its sessions."""
        return self._seconds_before + self._session_seconds

    @property
    def _session_seconds(self) -> float:
        return self._session_latest - self._session_began if self.session else 0.0

    @property
    def completed_since_best(self) -> int:
        """How many trials were completed after the best one, or after the last that joined the Pareto front."""
        return 0 if self._ranking is None else self._ranking.completed_since_best

    # --- what came out --------------------------------------------------------------------------------------------

    @property
    def best(self) -> Trial | None:
        """The completed trial with the best objective that meets the outcome constraints; None where there is none.

        With several objectives there is no single best: CampaignError says to ask for :attr:`pareto`.
        """
        if len(self.problem.objectives) > 1:
            raise CampaignError(
                f"campaign {self.name!r} has {len(self.problem.objectives)} objectives and no single best trial",
                hint="ask for pareto",
            )
        best = None if self._ranking is None else self._ranking.best
        return None if best is None else best.to_trial(self.units)

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The completed, feasible trials that no other one beats in every objective, oldest first."""
        if len(self.problem.objectives) == 1:
            return () if self.best is None else (self.best,)
        front = [] if self._ranking is None else [record for record, _ in self._ranking.undominated]
        return tuple(record.to_trial(self.units) for record in sorted(front, key=lambda each: each.number))

    # --- the fold -------------------------------------------------------------------------------------------------

    def take_act(self, event: Event) -> None:
        """Take in what happened to an act; in its trial's order, whatever else has been applied meanwhile.

        An act of a run that treats several trials is recorded under the first of them, and happened to all.
        """
        number = _trial_of(event)
        # How it ended concerns the other trials also where the first of them has been decided meanwhile.
        is_new = event.kind == "act.intended"
        for each in self.whereabouts.companions(number) if is_new else [*self._traces]:
            if each in self._traces:
                self._traces[each].fold_act(event)

    def _move(self, record: TrialRecord, state: TrialState) -> None:
        if state not in {TrialState.RUNNING, TrialState.UNKNOWN}:
            self._traces.pop(record.number, None)
        if state is not TrialState.RUNNING:
            self.whereabouts.go(record.number)
        self.counts[record.state] -= 1
        self.counts[state] += 1
        record.state = state
        self._past.change(record.number)

    def _on_opened(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, CampaignOpened)
        self.opened = body
        self._ranking = Ranking(body.problem)
        self._set(body.planner, body.lab, body.settings)

    def _on_changed(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, CampaignChanged)
        self._set(body.planner, body.lab, body.settings)

    def _set(
        self, planner: Mapping[str, JsonValue], lab: Mapping[str, JsonValue], settings: Mapping[str, JsonValue]
    ) -> None:
        self.approvals.settle(self.settings, settings)
        self.planner, self.lab, self.settings = planner, lab, settings
        before, self.standing.quality = self.standing.quality, QualityControl.recorded(settings)
        if self.standing.quality != before:
            self._rank_again()

    def _on_seeded(self, event: Event) -> None:
        assert isinstance(event.body, SeedAdded)
        self.seed_names.add(event.body.name)
        first = self._past.n_seeds + 1
        rows = enumerate(event.body.rows, first)
        self._past.seed([seed_entry(number, row, event.body.name) for number, row in rows])

    def _on_compared(self, event: Event) -> None:
        assert isinstance(event.body, TrialsCompared)
        self._past.compare(Comparison(better=event.body.better, worse=event.body.worse))

    def _on_session_started(self, event: Event) -> None:
        assert isinstance(event.body, SessionStarted)
        # Monotonic times of two sessions do not compare: each counts from its first event to its own last one.
        self._seconds_before += self._session_seconds
        if self.ended is not None and self.ended.status in {"stopped", "paused"}:
            self.standing.restart()
        if self.ended is not None and self.ended.status == "stopped":
            self.failures_in_a_row = 0  # somebody was told, and runs it again
        self.session, self.is_session_open, self.ended = event.body.session, True, None
        self._session_began = self._session_latest = event.monotonic
        self._session_boot = event.boot_id
        self.whereabouts.clear()

    def _on_session_ended(self, event: Event) -> None:
        assert isinstance(event.body, SessionEnded)
        self.is_session_open, self.ended = False, event.body

    def _on_planner_failed(self, _: Event) -> None:
        self.n_planner_failures += 1

    def _on_proposed(self, event: Event) -> None:
        number = _trial_of(event)
        self._records[number] = TrialRecord(number, Told(event, self._packing))
        self._past.change(number)
        self.counts[TrialState.PROPOSED] += 1

    def _on_started(self, event: Event) -> None:
        record = self._records[_trial_of(event)]
        record.attempts += 1
        self._traces[record.number] = Trace(record.attempts, policy_of(self.settings))
        record.started, record.ended = event.timestamp, None
        self._move(record, TrialState.RUNNING)

    def _on_step_started(self, event: Event) -> None:
        self.whereabouts.begin(_trial_of(event), event)
        self._trace_step(event)

    def _on_step_ended(self, event: Event) -> None:
        self.whereabouts.end(_trial_of(event))
        self._trace_step(event)

    def _on_step_queued(self, event: Event) -> None:
        self.whereabouts.queue(_trial_of(event), event)

    def _trace_step(self, event: Event) -> None:
        trace = self._traces.get(_trial_of(event))
        if trace is not None:
            trace.fold_step(event)

    def _on_recovered(self, event: Event) -> None:
        assert isinstance(event.body, StepRecovered)
        record = self._records[_trial_of(event)]
        if event.body.action == "restart" and record.state is TrialState.RUNNING:
            self._move(record, TrialState.PROPOSED)

    def _on_completed(self, event: Event) -> None:
        assert isinstance(event.body, TrialCompleted)
        record = self._end(event, TrialState.COMPLETED)
        self._spend(record, event.body.cost)
        self.failures_in_a_row = 0
        self.standing.complete(record)
        self._rank(record)

    def _rank(self, record: TrialRecord) -> None:
        observation = record.observation
        if self._ranking is not None and observation is not None and self.standing.is_ranked(record):
            self._ranking.take(record, observation.outcomes)

    def _rank_again(self) -> None:
        self._ranking = Ranking(self.problem)
        for record in self.standing.completed:
            self._past.change(record.number)
            self._rank(record)

    def _on_assigned(self, event: Event) -> None:
        assert isinstance(event.body, TrialAssigned)
        self.standing.assign(self._records[_trial_of(event)], event.body)
        self._past.change(_trial_of(event))

    def _on_judged(self, event: Event) -> None:
        is_ranked_anew = self.standing.judge(self._records[_trial_of(event)], event)
        self._past.change(_trial_of(event))
        if is_ranked_anew:
            self._rank_again()

    def _on_failed(self, event: Event) -> None:
        assert isinstance(event.body, TrialFailed)
        self._spend(self._end(event, TrialState.FAILED), event.body.cost)
        self.failures_in_a_row += 1

    def _on_abandoned(self, event: Event) -> None:
        assert isinstance(event.body, TrialAbandoned)
        self._end(event, TrialState.ABANDONED).reason = event.body.reason

    def _on_unknown(self, event: Event) -> None:
        assert isinstance(event.body, TrialUnknown)
        record = self._records[_trial_of(event)]
        record.reason = event.body.reason
        self._spend(record, event.body.cost)
        self.trace(record.number).unknown_cost = event.body.cost
        self.whereabouts.end(record.number)
        self._move(record, TrialState.UNKNOWN)

    def _on_attempt_failed(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, AttemptFailed)
        record = self._records[_trial_of(event)]
        record.reason = f"attempt {body.attempt} failed: {body.failure.reason}"
        self._spend(record, body.cost)
        self._move(record, TrialState.PROPOSED)

    def _on_resolved(self, event: Event) -> None:
        assert isinstance(event.body, TrialResolved)
        record = self._records[_trial_of(event)]
        if event.body.answer == "redo":
            self._move(record, TrialState.PROPOSED)
        elif event.body.answer == "continue":
            self._spend(record, -self.trace(record.number).unknown_cost)  # it is spent when it ends
            self._move(record, TrialState.RUNNING)

    def _spend(self, record: TrialRecord, cost: float) -> None:
        record.cost += cost
        self.cost += cost

    def _end(self, event: Event, state: TrialState) -> TrialRecord:
        record = self._records[_trial_of(event)]
        record.ended = Told(event, self._packing)
        self._move(record, state)
        return record


def _opening(view: CampaignView) -> CampaignOpened:
    if view.opened is None:
        raise CampaignError(f"campaign {view.name!r} has not begun", hint="run it, or name another store")
    return view.opened


def _trial_of(event: Event) -> int:
    if event.trial is None:
        raise CampaignError(f"event {event.sequence} ({event.kind}) names no trial", hint="run sdl verify")
    return event.trial


@contextmanager
def _no_collector() -> Generator[None]:
    """Keep Python's cycle collector out: what a fold makes stays, and walking it over and over takes half the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def only_campaign(journal: Journal) -> str:
    """Return the name of the journal's one campaign; CampaignError where it holds none or several."""
    names = journal.campaigns
    if len(names) != 1:
        raise CampaignError(
            f"the journal holds {len(names)} campaigns", hint=f"name one of {', '.join(names)}" if names else "run one"
        )
    return names[0]
