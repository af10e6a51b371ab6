"""Our planners in ``bluesky_adaptive``'s plans: an object with its protocols around any planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdl.campaign.planner import History, Planner
from sdl.errors import PlannerError
from sdl.journal.records import ParameterValue
from sdl.planners.conversation import Conversation
from sdl.problem import Problem

ID = "_id"
"""The key by which ``bluesky_adaptive`` tells suggestions apart."""


class PlannerOptimizer:
    """An ``Optimizer`` of ``bluesky_adaptive`` 1.0 whose suggestions are those of a planner.

    It is ``TrialFaultAware`` and ``CanRegisterSuggestions`` too. Suggestions hold the parameters that are to be chosen,
    as bare numbers in their declared units; outcomes come back the same way.

    Parameters
    ----------
    problem
        What is asked. Its parameters have the names of the actuators.
    planner
        Any planner, :class:`~sdl.planners.BayesianPlanner` for example.
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
        self._talk = Conversation(problem, planner, seed=seed, context=context)

    @property
    def problem(self) -> Problem:
        """What is asked."""
        return self._talk.problem

    @property
    def history(self) -> History:
        """All that was suggested or told, oldest first."""
        return self._talk.history

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Return points to be measured, each with its number under ``_id``."""
        return [{ID: number, **self._chosen(number)} for number in self._talk.ask(num_points or 1)]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take in outcomes, of suggestions by their ``_id`` or of other points by their parameters.

        Raises :class:`~sdl.errors.PlannerError` for a point that has neither.
        """
        for point in points:
            self._talk.tell(self._number_of(point), point)

    def get_best_points(self) -> list[tuple[Any, Mapping[str, Any], Mapping[str, Any]]]:
        """Return ``_id``, parameters and outcomes of the best trial, or of all on the Pareto front."""
        return [(number, self._chosen(number), self._outcomes(number)) for number in self._talk.best]

    def register_suggestions(self, suggestions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take in points that somebody else wants measured; return them with an ``_id`` each."""
        return [{**point, ID: self._talk.add({**self._fixed(), **point})} for point in suggestions]

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        """Take in that suggestions gave no outcomes."""
        self._talk.fail(point[ID] for point in suggestions)

    def _number_of(self, point: Mapping[str, Any]) -> int:
        if point.get(ID) in self._talk:
            return int(point[ID])
        missing = [name for name in self.problem.space.free if name not in point]
        if missing:
            raise PlannerError(
                f"a point with the _id {point.get(ID)!r} was not suggested here, and lacks {', '.join(missing)}",
                hint="give its parameters beside its outcomes",
            )
        return self._talk.add({**self._fixed(), **point})

    def _fixed(self) -> dict[str, ParameterValue]:
        space = self.problem.space
        return {name: space.parameters[name].value for name in space.fixed}  # type: ignore[union-attr] # fixed ones have it

    def _chosen(self, number: int) -> dict[str, ParameterValue]:
        values = self._talk.values(number)
        return {name: values[name] for name in self.problem.space.free}

    def _outcomes(self, number: int) -> dict[str, float]:
        return {name: each.value for name, each in (self._talk.observation(number) or {}).items()}
