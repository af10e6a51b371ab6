"""What a planner is told of the laboratory: the batch to fill, what is left of stock, money and time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sdl.campaign.active import ActiveTrial, Run
from sdl.campaign.concluding import Concluding
from sdl.campaign.forecast import Coming
from sdl.campaign.planner import BatchShape, Situation, Suggestion
from sdl.campaign.planning import checked_context
from sdl.campaign.queueing import declared_seconds
from sdl.errors import ProblemError
from sdl.journal.records import ParameterValue
from sdl.lab import Settings, Step
from sdl.lab.schedule import Work

N_TRIED = 256
"""Points that are tried for one in the place of a suggestion that the stock cannot make."""


class Foresight(Concluding):
    """The part of the loop that looks at the laboratory for the planner."""

    @abstractmethod
    def _settings(self, number: int) -> Settings:
        """Return what the plans of trial *number* get."""

    @abstractmethod
    def _works_of(self, number: int, active: ActiveTrial) -> tuple[Work, ...]:
        """Return what is to come of a trial."""

    @abstractmethod
    def _seconds_of(self, run: Run, settings: Settings) -> float:
        """Return what *run* is expected to take."""

    def _situation(self, n: int, n_trials_left: int | None, batch: BatchShape | None) -> Situation:
        """Return what the laboratory knows now, for a planner that is asked for *n* suggestions."""
        budget = self._rules.budget
        cost_left = None if budget.cost is None else max(0.0, budget.cost - self.view.cost - self._cost_under_way())
        seconds_left = None if budget.lab_time is None else max(0.0, budget.lab_time - self.view.lab_seconds)
        return Situation(
            context=checked_context(self._lab, self.view.problem.space),
            n_free_slots=n,
            n_trials_left=n_trials_left,
            price=self._experiment.price,
            cost_left=cost_left,
            cost_budget=budget.cost,
            batch=batch,
            batches=tuple(self._open_batches()),
            stock=self._provisions.left(),
            seconds_left=seconds_left,
            durations={} if self._experiment.is_plain else self._durations(),
        )

    def _cost_under_way(self) -> float:
        under_way = [*(active.settings for active in self._active.values()), *map(self._settings, self._waiting)]
        return sum(map(self._experiment.cost_of, under_way))

    def _durations(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for step in self._experiment.steps:
            declared = None if callable(step.duration) else declared_seconds(step, Settings({}))
            estimate = self._floor.durations.estimate(self.view.name, step.name, declared=declared)
            if estimate.n_seen or declared is not None:
                found[step.name] = estimate.median
        return found

    # --- what is to come ----------------------------------------------------------------------------------------------

    def coming(self) -> Coming:
        """Return what is to come of this campaign, as far as it can be told."""
        ends = self._ends_of_runs()
        trials: list[tuple[Work, ...]] = []
        over: list[float] = []  # when the last steps end of trials that give their place to others
        for number in sorted(self._active):
            active = self._active[number]
            works = self._works_of(number, active)
            end = None if active.run is None else ends[active.run.station]
            if works:
                trials.append(works if end is None else (works[0].replace(release=end), *works[1:]))
            elif end is not None:
                over.append(end)
        limit = self._rules.in_flight
        releases = [*[0.0] * max(0, limit - len(self._active)), *sorted(over)]
        for place, (number, settings) in enumerate(self._to_begin(limit)):
            since = releases[place] if place < len(releases) else 0.0
            trials.append(self._works_of(number, ActiveTrial(settings, 1, since=since)))
        return Coming(tuple(trials), limit, ends)

    def _ends_of_runs(self) -> Mapping[str, float]:
        """Return when the runs are expected to end that stations work on, by station."""
        began = {event.trial: event.time.timestamp() for event in self.view.whereabouts.runs_now}
        found: dict[str, float] = {}
        for active in self._active.values():
            if active.run is not None:
                since = began.get(active.run.lead, active.since)
                end = active.expected_end or since + self._seconds_of(active.run, active.settings)
                found.update(dict.fromkeys(active.run.taken, end))
        return found

    def _to_begin(self, limit: int) -> list[tuple[int, Settings]]:
        """Return the trials that wait for their turn, and some to be proposed: they are taken to be like the last."""
        if self._ending is not None or not self.view.n_proposed:
            return []
        asked = self.view.approvals.waiting(lambda _: True)  # nobody knows when they are answered
        found = [(number, self._settings(number)) for number in self._waiting if number not in asked][:limit]
        left = self._rules.budget.trials_left(self.view)
        n_new = limit - len(found) - sum(number in asked for number in self._waiting)
        n_new = max(0, n_new if left is None else min(n_new, left))
        last = self.view.n_proposed
        return [*found, *((last + place, self._settings(last)) for place in range(1, n_new + 1))]

    # --- batches ------------------------------------------------------------------------------------------------------

    @property
    def _batch_step(self) -> Step | None:
        """The first step that treats several trials: that is what suggestions fill."""
        return next((step for step in self._experiment.steps if step.batch is not None), None)

    def _open_batches(self) -> list[BatchShape]:
        """Return the batches that have begun to fill, the fullest first."""
        step = self._batch_step
        if step is None or step.batch is None:
            return []
        place = self._experiment.steps.index(step)
        coming = [
            active.settings
            for active in self._active.values()
            if active.next_step < place or (active.next_step == place and not active.is_on_station)
        ]
        names = tuple(dict.fromkeys((*step.batch.shared, *(() if step.setup is None else step.setup.key))))
        counts = Counter(
            tuple(settings[name] for name in names) for settings in (*coming, *map(self._settings, self._waiting))
        )
        size = step.batch.size
        shapes = [
            BatchShape(size=size - count % size, shared=names, fixed=dict(zip(names, values, strict=True)))
            for values, count in counts.items()
            if count % size
        ]
        return sorted(shapes, key=lambda shape: shape.size)

    def _batch_to_fill(self) -> BatchShape | None:
        """Return the batch that the next suggestions go into; None where every trial is on its own."""
        step = self._batch_step
        if step is None or step.batch is None:
            return None
        fresh = BatchShape(size=step.batch.size, shared=step.batch.shared)
        return next(iter(self._open_batches()), fresh)

    # --- stock --------------------------------------------------------------------------------------------------------

    def _makeable(self, suggestions: Sequence[Suggestion], seed: int) -> list[Suggestion]:
        """Return *suggestions*; in the place of each that the stock cannot make the nearest point found that it can.

        Where none is found the suggestion stays: it waits for what it lacks, and the campaign says so.
        """
        if not self._rules.fit_to_stock:
            return list(suggestions)
        pending = [each.settings for each in self._active.values() if not each.is_begun]
        pending += map(self._settings, self._waiting)
        rng = np.random.default_rng([seed, len(pending)])
        made: list[Suggestion] = []
        for suggestion in suggestions:
            missing = self._missing(pending, suggestion.values)
            chosen = self._instead(suggestion, missing, pending, rng) if missing else suggestion
            pending.append(self._as_settings(chosen.values))
            made.append(chosen)
        return made

    def _as_settings(self, values: Mapping[str, ParameterValue]) -> Settings:
        return Settings(values, units=self.view.units, trial=self.view.n_proposed + 1)

    def _missing(self, pending: Sequence[Settings], values: Mapping[str, ParameterValue]) -> tuple[str, ...]:
        return self._provisions.missing_for(pending, self._as_settings(values))

    def _instead(
        self,
        suggestion: Suggestion,
        missing: Iterable[str],
        pending: Sequence[Settings],
        rng: np.random.Generator,
    ) -> Suggestion:
        space = self.view.problem.space
        context = {name: suggestion.values[name] for name in space.contextual}
        taken = [dict(entry.values) for entry in self.view.history.pending] + [dict(each) for each in pending]
        try:
            points = space.sample(N_TRIED, rng, context=context)
        except ProblemError:
            return suggestion
        points.sort(key=lambda point: self._distance(point, suggestion.values))
        found = next((point for point in points if point not in taken and not self._missing(pending, point)), None)
        if found is None:
            return suggestion
        before = ", ".join(f"{name} = {value}" for name, value in suggestion.values.items())
        decision = suggestion.decision.replace(
            predicted={},
            acquisition=None,
            expected_improvement=None,
            exploration=None,
            influences=(),
            runners_up=(),
            note=f"In the place of {before}, which the stock cannot make ({'; '.join(missing)}).",
        )
        return Suggestion(values=found, decision=decision)

    def _distance(self, point: Mapping[str, ParameterValue], other: Mapping[str, ParameterValue]) -> float:
        """Return how far apart two points are, every parameter measured by its range."""
        total = 0.0
        for name, parameter in self.view.problem.space.parameters.items():
            a, b = point[name], other[name]
            if isinstance(a, str) or isinstance(b, str):
                total += a != b
                continue
            ends: Sequence[float] = getattr(parameter, "values", ()) or (
                getattr(parameter, "low", a),
                getattr(parameter, "high", a),
            )
            span = max(ends) - min(ends)
            total += ((a - b) / span) ** 2 if span > 0 else 0.0
        return math.sqrt(total)
