"""The trials of a campaign as columns, for plots: made once, and then what is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdl.campaign.trials import TrialRecord
from sdl.campaign.view import CampaignView
from sdl.journal.records import ParameterValue
from sdl.problem import Measurement
from sdl.server import models
from sdl.server.looking import best_numbers


@dataclass
class Columns:
    """What plots are made of, a value for each trial.

    Trials that are over stay as they are, and are looked at once; a verdict, which may come later, begins it all anew.
    """

    version: tuple[object, ...] = ()
    n_over: int = 0
    state: list[str] = field(default_factory=list[str])
    role: list[str] = field(default_factory=list[str])
    ended_at: list[float | None] = field(default_factory=list[float | None])
    outcomes: dict[str, list[float | None]] = field(default_factory=dict[str, list[float | None]])
    parameters: dict[str, list[ParameterValue]] = field(default_factory=dict[str, list[ParameterValue]])
    best: list[float | None] = field(default_factory=list[float | None])
    feasible: list[bool | None] = field(default_factory=list[bool | None])

    def catch_up(self, view: CampaignView) -> None:
        """Take in what *view* has had since the last time."""
        version = (view.standing.n_judged, view.standing.quality)
        if version != self.version:
            self.version, self.n_over = version, 0
        self.outcomes = {name: self.outcomes.get(name, []) for name in view.problem.outcomes}
        self.parameters = {name: self.parameters.get(name, []) for name in view.problem.space.parameters}
        columns: tuple[list[Any], ...] = (self.state, self.role, self.ended_at, self.best, self.feasible)
        for column in (*columns, *self.outcomes.values(), *self.parameters.values()):
            del column[self.n_over :]
        for number in range(self.n_over + 1, view.n_proposed + 1):
            record = view.record(number)
            self._add(view, record)
            if record.state.is_final and self.n_over == number - 1:
                self.n_over = number

    def _add(self, view: CampaignView, record: TrialRecord) -> None:
        observation = record.observation
        observed: Mapping[str, Measurement] = {} if observation is None else observation.outcomes
        is_feasible = view.problem.is_feasible(observed) if observed else None
        values = record.proposal.values
        self.state.append(record.state.value)
        self.role.append(record.role.value)
        self.ended_at.append(None if record.ended is None else record.ended.time.timestamp())
        for name, column in self.outcomes.items():
            column.append(observed[name].value if name in observed else None)
        for name, settings in self.parameters.items():
            settings.append(values[name])
        self.feasible.append(is_feasible)
        self.best.append(self._best_after(view, record, observed if is_feasible else {}))

    def _best_after(self, view: CampaignView, record: TrialRecord, observed: Mapping[str, Measurement]) -> float | None:
        """Return the best of the first objective after this trial, in the order of the numbers."""
        before, objective = self.best[-1] if self.best else None, view.problem.objectives[0]
        if not observed or not view.standing.is_ranked(record):
            return before
        value = observed[objective.outcome].value
        return value if before is None or objective.score(value) > objective.score(before) else before

    def after(self, view: CampaignView, after: int) -> models.Progress:
        """Return the trials after number *after*."""
        self.catch_up(view)
        first, front = min(max(0, after), view.n_proposed), best_numbers(view)
        numbers = range(first + 1, view.n_proposed + 1)
        return models.Progress(
            trial=tuple(numbers),
            state=tuple(self.state[first:]),
            role=tuple(self.role[first:]),
            ended_at=tuple(self.ended_at[first:]),
            outcomes={name: tuple(column[first:]) for name, column in self.outcomes.items()},
            parameters={name: tuple(column[first:]) for name, column in self.parameters.items()},
            best=tuple(self.best[first:]),
            is_front=tuple(number in front for number in numbers),
            front=tuple(sorted(front)),
            feasible=tuple(self.feasible[first:]),
            next=view.n_proposed,
            version=view.standing.n_judged,
        )
