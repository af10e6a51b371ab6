"""A campaign as the journal tells it: the fold of its events."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from sdl.campaign.planner import History, HistoryEntry, TrialState
from sdl.campaign.trials import Trial, TrialRecord, seed_entry
from sdl.errors import CampaignError
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    CampaignChanged,
    CampaignOpened,
    Event,
    SeedAdded,
    SessionEnded,
    SessionStarted,
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
from sdl.problem import Problem
from sdl.problem.value import FrozenMap

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
    "trial.attempt_failed",
    "trial.completed",
    "trial.failed",
    "trial.abandoned",
    "trial.unknown",
    "trial.resolved",
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
        self.stations: dict[str, str] = {}
        self.counts: Counter[TrialState] = Counter()
        self.cost = 0.0
        self.failures_in_a_row = 0
        self.last_time: datetime | None = None
        self._records: dict[int, TrialRecord] = {}
        self._seeds: list[HistoryEntry] = []
        self._best: TrialRecord | None = None
        self._best_score = -float("inf")
        self._completed_since_best = 0
        self._seconds_before = 0.0
        self._session_began = 0.0
        self._session_latest = 0.0

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
        self.last_time = event.time
        fold = _FOLDS.get(event.body.kind)
        if fold is not None:
            fold(self, event, event.body)
        self._session_latest = event.monotonic

    # --- what is asked --------------------------------------------------------------------------------------------

    @property
    def problem(self) -> Problem:
        """The space, the objectives and the outcome constraints."""
        return self._opening.problem

    @property
    def seed(self) -> int:
        """The campaign's seed."""
        return self._opening.seed

    @property
    def units(self) -> FrozenMap[str | None]:
        """The unit of every parameter."""
        return {name: getattr(parameter, "unit", None) for name, parameter in self.problem.space.parameters.items()}

    @property
    def _opening(self) -> CampaignOpened:
        if self.opened is None:
            raise CampaignError(f"campaign {self.name!r} has not begun", hint="run it, or name another store")
        return self.opened

    # --- what happened --------------------------------------------------------------------------------------------

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, oldest first."""
        units = self.units
        return tuple(record.to_trial(units) for record in self._records.values())

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

    def in_state(self, *states: TrialState) -> tuple[Trial, ...]:
        """Return the trials in one of *states*, oldest first."""
        units = self.units
        return tuple(record.to_trial(units) for record in self._records.values() if record.state in states)

    @property
    def n_proposed(self) -> int:
        """How many trials were ever proposed."""
        return len(self._records)

    @property
    def n_counted(self) -> int:
        """How many trials count against a budget of trials: all but the abandoned."""
        return len(self._records) - self.counts[TrialState.ABANDONED]

    @property
    def history(self) -> History:
        """What a planner may know now: seed data first, then the trials in the order in which they were proposed."""
        own = (record.to_entry() for record in self._records.values() if record.state is not TrialState.ABANDONED)
        return History(entries=(*self._seeds, *own))

    @property
    def lab_seconds(self) -> float:
        """Laboratory seconds in which the campaign was being run, summed over its sessions."""
        return self._seconds_before + self._session_seconds

    @property
    def _session_seconds(self) -> float:
        return self._session_latest - self._session_began if self.session else 0.0

    @property
    def completed_since_best(self) -> int:
        """How many trials were completed after the best one."""
        return self._completed_since_best

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
        return None if self._best is None else self._best.to_trial(self.units)

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The completed, feasible trials that no other one beats in every objective, oldest first."""
        scored = [(record, self.problem.score(outcomes)) for record, outcomes in self._feasible()]
        front = [record for record, score in scored if not any(_dominates(other, score) for _, other in scored)]
        return tuple(record.to_trial(self.units) for record in front)

    def _feasible(self) -> Iterator[tuple[TrialRecord, Mapping[str, Any]]]:
        for record in self._records.values():
            if record.observation is not None and self.problem.is_feasible(record.observation.outcomes):
                yield record, record.observation.outcomes

    # --- the fold -------------------------------------------------------------------------------------------------

    def _move(self, record: TrialRecord, state: TrialState) -> None:
        self.counts[record.state] -= 1
        self.counts[state] += 1
        record.state = state
        record.entry = None

    def _on_opened(self, _: Event, body: CampaignOpened) -> None:
        self.opened = body
        self.planner, self.lab, self.settings = body.planner, body.lab, body.settings

    def _on_changed(self, _: Event, body: CampaignChanged) -> None:
        self.planner, self.lab, self.settings = body.planner, body.lab, body.settings

    def _on_seeded(self, _: Event, body: SeedAdded) -> None:
        first = len(self._seeds) + 1
        self._seeds.extend(seed_entry(number, row) for number, row in enumerate(body.rows, first))

    def _on_session_started(self, event: Event, body: SessionStarted) -> None:
        # Monotonic times of two sessions do not compare: each counts from its first event to its own last one.
        self._seconds_before += self._session_seconds
        self.session, self.is_session_open, self.ended = body.session, True, None
        self._session_began = event.monotonic
        self.failures_in_a_row = 0  # whoever runs it again has seen to the cause

    def _on_session_ended(self, _: Event, body: SessionEnded) -> None:
        self.is_session_open, self.ended = False, body

    def _on_planner_failed(self, _event: Event, _body: object) -> None:
        self.n_planner_failures += 1

    def _on_proposed(self, event: Event, body: TrialProposed) -> None:
        number = self._number(event)
        self._records[number] = TrialRecord(number, body.values, body.decision, event.time)
        self.counts[TrialState.PROPOSED] += 1

    def _on_started(self, event: Event, body: TrialStarted) -> None:
        record = self._records[self._number(event)]
        record.attempts, record.started_at, record.ended_at = body.attempt, event.time, None
        record.steps_done.clear()
        self._move(record, TrialState.RUNNING)

    def _on_step_started(self, event: Event, body: StepStarted) -> None:
        self.stations[body.station] = f"trial {event.trial}: {body.step}"

    def _on_step_ended(self, event: Event, body: StepEnded) -> None:
        self.stations.pop(body.station, None)
        if body.is_success:
            self._records[self._number(event)].steps_done[body.step] = body.returned

    def _on_completed(self, event: Event, body: TrialCompleted) -> None:
        record = self._end(event, TrialState.COMPLETED, body.cost)
        record.observation = body.observation
        self.failures_in_a_row = 0
        self._completed_since_best += 1
        self._compare(record, body)

    def _compare(self, record: TrialRecord, body: TrialCompleted) -> None:
        outcomes = body.observation.outcomes
        if not self.problem.is_feasible(outcomes):
            return
        score = self.problem.score(outcomes)[0]
        if score > self._best_score:
            self._best, self._best_score, self._completed_since_best = record, score, 0

    def _on_failed(self, event: Event, body: TrialFailed) -> None:
        record = self._end(event, TrialState.FAILED, body.cost)
        record.failure = body.failure
        self.failures_in_a_row += 1

    def _on_abandoned(self, event: Event, body: TrialAbandoned) -> None:
        self._end(event, TrialState.ABANDONED, 0.0).reason = body.reason

    def _on_unknown(self, event: Event, body: TrialUnknown) -> None:
        record = self._records[self._number(event)]
        record.reason = body.reason
        self.stations.clear()
        self._move(record, TrialState.UNKNOWN)

    def _end(self, event: Event, state: TrialState, cost: float) -> TrialRecord:
        record = self._records[self._number(event)]
        record.ended_at, record.cost = event.time, cost
        self.cost += cost
        self._move(record, state)
        return record

    def _number(self, event: Event) -> int:
        if event.trial is None:
            raise CampaignError(f"event {event.sequence} ({event.body.kind}) names no trial", hint="run sdl verify")
        return event.trial

    def _on_attempt_failed(self, event: Event, body: AttemptFailed) -> None:
        record = self._records[self._number(event)]
        record.reason = f"attempt {body.attempt} failed: {body.failure.reason}"
        self._move(record, TrialState.PROPOSED)

    def _on_resolved(self, event: Event, body: TrialResolved) -> None:
        record = self._records[self._number(event)]
        if body.answer == "redo":
            self._move(record, TrialState.PROPOSED)


_FOLDS: Mapping[str, Any] = {
    "campaign.opened": CampaignView._on_opened,
    "campaign.changed": CampaignView._on_changed,
    "campaign.seeded": CampaignView._on_seeded,
    "session.started": CampaignView._on_session_started,
    "session.ended": CampaignView._on_session_ended,
    "planner.failed": CampaignView._on_planner_failed,
    "trial.proposed": CampaignView._on_proposed,
    "trial.started": CampaignView._on_started,
    "step.started": CampaignView._on_step_started,
    "step.ended": CampaignView._on_step_ended,
    "trial.attempt_failed": CampaignView._on_attempt_failed,
    "trial.completed": CampaignView._on_completed,
    "trial.failed": CampaignView._on_failed,
    "trial.abandoned": CampaignView._on_abandoned,
    "trial.unknown": CampaignView._on_unknown,
    "trial.resolved": CampaignView._on_resolved,
}


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep Python's cycle collector out: all that a fold makes stays, and to walk it again and again takes half the time."""
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


def _dominates(a: Iterable[float], b: Iterable[float]) -> bool:
    pairs = list(zip(a, b, strict=True))
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)
