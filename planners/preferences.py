"""Several outcomes, and a person who says which trial they like better."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdl.campaign.planner import History, HistoryEntry
from sdl.errors import PlannerError
from sdl.planners.bayesian import BayesianPlanner
from sdl.problem import Problem

if TYPE_CHECKING:
    from sdl.planners.proposal import Request
    from sdl.planners.utility import Utility


class PreferencePlanner(BayesianPlanner):
    """Seeks what a person likes best, where several outcomes count and nobody can say how much each.

    The objectives of the problem name the outcomes, and which way is better. The person compares pairs of trials; the
    planner learns a utility of the outcomes from the answers, and proposes where it expects to improve. Without any
    answer it looks for the whole front, as :class:`BayesianPlanner` does.

    The answers are part of the history: :meth:`sdl.Campaign.compare` records them.
    """

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "preference"

    def pair(self, problem: Problem, history: History) -> tuple[int, int]:
        """Return the numbers of the two trials that a person should compare next.

        Raises
        ------
        PlannerError
            Fewer than two different trials are completed, or all were compared.
        """
        entries = _comparable(problem, history)
        from sdl.planners.utility import next_question  # noqa: PLC0415 # an import that only a model pays for

        rng = np.random.default_rng([self.seed, len(history.comparisons)])
        found = next_question(self._utility(problem, history), entries, _pairs(history), rng) if entries else None
        if found is None:
            raise PlannerError("there are no two trials left to compare", hint="run more trials")
        return found

    def preferred(self, problem: Problem, history: History) -> HistoryEntry:
        """Return the trial of the greatest expected utility. Raises PlannerError where none is completed."""
        entries = _comparable(problem, history)
        if not entries:
            raise PlannerError("no trial is completed", hint="run trials")
        from sdl.planners.utility import places_of  # noqa: PLC0415 # as above

        utility = self._utility(problem, history)
        return entries[int(utility.mean(places_of(utility, entries)).argmax())]

    def _utility(self, problem: Problem, history: History) -> Utility:
        from sdl.planners.utility import Utility  # noqa: PLC0415 # as above

        return Utility.of(problem, _comparable(problem, history), _pairs(history))

    def _prepared(self, request: Request) -> Request:
        is_asked = request.history.comparisons and len(request.problem.objectives) > 1
        if not is_asked or not _comparable(request.problem, request.history):
            return request
        return replace(request, utility=self._utility(request.problem, request.history))


def _pairs(history: History) -> list[tuple[int, int]]:
    return [(each.better, each.worse) for each in history.comparisons]


def _comparable(problem: Problem, history: History) -> list[HistoryEntry]:
    """Return the campaign's own trials that have all outcomes and keep the limits."""
    return [
        entry
        for entry in history.completed
        if entry.trial > 0
        and entry.observation
        and all(name in entry.observation.outcomes for name in problem.outcomes)
        and problem.is_feasible(entry.observation.outcomes)
    ]
