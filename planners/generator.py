"""Our planners as generators of gest-api, for Xopt, libEnsemble, Optimas and whoever else asks such."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sdl.campaign.planner import History, Planner
from sdl.errors import PlannerError
from sdl.planners.conversation import Conversation
from sdl.planners.vocs import gest_vocs, problem_of

if TYPE_CHECKING:
    _Base = object
else:
    gest_vocs()
    from gest_api.generator import Generator as _Base

ID = "_id"


class PlannerGenerator(_Base):
    """A generator whose points are the suggestions of a planner: ``PlannerGenerator(vocs, BayesianPlanner())``.

    Parameters
    ----------
    vocs
        Variables, objectives, constraints and constants; contextual variables and objectives to explore are refused.
    planner
        Any planner.
    seed
        The source of all chance.
    """

    returns_id: ClassVar[bool] = True

    def __init__(self, vocs: Any, planner: Planner, *, seed: int = 0) -> None:
        self._validate_vocs(vocs)
        self._talk = Conversation(problem_of(vocs), planner, seed=seed)

    def _validate_vocs(self, vocs: Any) -> None:
        """Raise :class:`~sdl.errors.ProblemError`, a ValueError, for a VOCS that is no problem of ours."""
        problem_of(vocs)

    @property
    def history(self) -> History:
        """All that was suggested or told, oldest first."""
        return self._talk.history

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Return points with all variables and constants, each with its number under ``_id``.

        Raises ValueError where the planner has fewer.
        """
        try:
            numbers = self._talk.ask(1 if num_points is None else num_points)
        except PlannerError as error:
            raise ValueError(str(error)) from error
        return [{**self._talk.values(number), ID: number} for number in numbers]

    def ingest(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Take in outcomes: of suggestions by their ``_id``, of other points without one.

        A trial whose objective is NaN has failed. Raises ValueError for an ``_id`` that is not known here.
        """
        for result in results:
            number = self._number_of(result)
            if all(_is_number(result.get(name)) for name in self._talk.problem.outcomes):
                self._talk.tell(number, result)
            else:
                self._talk.fail([number])

    def finalize(self) -> None:
        """Nothing is left to be done."""

    def _number_of(self, result: Mapping[str, Any]) -> int:
        if ID not in result:
            return self._talk.add(result)
        if result[ID] not in self._talk:
            raise ValueError(f"{ID} = {result[ID]!r} was not suggested here; leave it out for points from elsewhere")
        return int(result[ID])


def _is_number(value: Any) -> bool:
    return value is not None and not math.isnan(float(value))
