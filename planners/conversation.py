"""Our planners for those who ask and tell: the history that a planner wants, kept for callers that keep none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from sdl.campaign.planner import History, HistoryEntry, Planner, Situation, TrialState
from sdl.errors import ObservationError, PlannerError
from sdl.journal.records import Observation, ParameterValue
from sdl.problem import Measurement, Problem


class Conversation:
    """Asks *planner* about *problem*, and keeps what it has been told.

    Parameters
    ----------
    problem, planner
        What is asked, and who.
    seed
        The source of all chance.
    context
        The values of contextual parameters.
    """

    def __init__(
        self,
        problem: Problem,
        planner: Planner,
        *,
        seed: int = 0,
        context: Mapping[str, ParameterValue] | None = None,
    ) -> None:
        self.problem = problem
        self.planner = planner
        self._seed = seed
        self._context = dict(context or {})
        self._entries: dict[int, HistoryEntry] = {}

    @property
    def history(self) -> History:
        """All that was proposed or told, oldest first."""
        return History(tuple(self._entries.values()))

    def ask(self, n: int) -> list[int]:
        """Have the planner propose *n* trials, and return their numbers.

        Raises :class:`~sdl.errors.PlannerError` where it proposes fewer.
        """
        seed = int(np.random.SeedSequence([self._seed, len(self._entries)]).generate_state(1)[0])
        situation = Situation(context=self._context, n_free_slots=n)
        suggestions = self.planner.suggest(self.problem, self.history, n, situation=situation, seed=seed)
        if len(suggestions) < n:
            raise PlannerError(f"{self.planner.name} proposes {len(suggestions)} trials, {n} are wanted")
        return [self._add(suggestion.values, TrialState.PROPOSED) for suggestion in suggestions]

    def values(self, number: int) -> Mapping[str, ParameterValue]:
        """Return the parameter values of a trial. Raises KeyError for a number that none has."""
        return self._entries[number].values

    def observation(self, number: int) -> Mapping[str, Measurement] | None:
        """Return the outcomes of a trial; None where it has none."""
        found = self._entries[number].observation
        return None if found is None else found.outcomes

    def __contains__(self, number: object) -> bool:
        return number in self._entries

    def add(self, values: Mapping[str, ParameterValue]) -> int:
        """Take in a trial that was not proposed here, and return its number. Raises PointError for what is no point."""
        return self._add(self.problem.space.point(self._with_units(values)), TrialState.PROPOSED)

    def tell(self, number: int, outcomes: Mapping[str, object]) -> None:
        """Take in the outcomes of a trial.

        A bare number is in the declared unit; a pair is a number and its standard error. Raises
        :class:`~sdl.errors.ObservationError` where an outcome lacks or is no number.
        """
        units = self.problem.outcomes
        given = {name: _measured(name, value, units.get(name)) for name, value in outcomes.items() if name in units}
        observed = self.problem.observe(given)
        entry = self._entries[number].replace(state=TrialState.COMPLETED, observation=Observation(outcomes=observed))
        self._entries[number] = entry

    def fail(self, numbers: Iterable[int]) -> None:
        """Take in that trials gave no outcomes."""
        for number in numbers:
            self._entries[number] = self._entries[number].replace(state=TrialState.FAILED, failure="no outcome")

    @property
    def best(self) -> Sequence[int]:
        """The best completed trial that keeps the limits; with several objectives all that no other one beats."""
        known = [
            (number, self.problem.score(outcomes))
            for number in self._entries
            if (outcomes := self.observation(number)) is not None and self.problem.is_feasible(outcomes)
        ]
        if len(self.problem.objectives) == 1:
            return [max(known, key=lambda pair: pair[1])[0]] if known else []
        return [number for number, score in known if not any(_beats(other, score) for _, other in known)]

    def _add(self, values: Mapping[str, ParameterValue], state: TrialState) -> int:
        number = len(self._entries) + 1
        self._entries[number] = HistoryEntry(trial=number, values=values, state=state)
        return number

    def _with_units(self, values: Mapping[str, ParameterValue]) -> dict[str, object]:
        units = {name: getattr(each, "unit", None) for name, each in self.problem.space.parameters.items()}
        known = {name: value for name, value in values.items() if name in units}
        return {
            name: f"{float(value)!r} {units[name]}" if units[name] and not isinstance(value, str) else value
            for name, value in known.items()
        }


def _measured(name: str, value: object, unit: str | None) -> object:
    match value:
        case Measurement():
            return value
        case tuple():
            mean, error = cast("tuple[object, object]", value)
            return Measurement(_number(name, mean), unit, standard_error=_number(name, error))
        case str():
            return value
        case _ if hasattr(value, "magnitude"):  # a pint quantity has its own unit
            return value
        case _:
            return Measurement(_number(name, value), unit)


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type] # whatever is a number, numpy's too
    except (TypeError, ValueError):
        raise ObservationError(f"{name} = {value!r} is no number") from None


def _beats(other: Sequence[float], score: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(other, score, strict=True)) and tuple(other) != tuple(score)
