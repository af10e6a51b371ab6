"""Composition spreads: one film whose composition runs along a line, measured at several places.

The trials of one request are the places of one film: they lie evenly on a line in the space of the composition and have
all other parameters in common. Lines are drawn through promising compositions, and the film is chosen whose best place
is expected to improve most, over joint draws of the outcomes along it: the batch improvement of Ginsbourger, Le Riche
and Carraro, "Kriging is well-suited to parallelize optimization" (2010), for batches that lie on a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, model_validator

from sdl.campaign.planner import History, Situation, Suggestion
from sdl.errors import PlannerError
from sdl.planners.bayesian import BayesianPlanner
from sdl.planners.domain import Candidates, Domain, is_among
from sdl.planners.encoding import Array, Point
from sdl.planners.framing import Question
from sdl.planners.space_filling import tried_rows
from sdl.problem import AtMost, Continuous, Problem, Target
from sdl.problem.value import Tuple

if TYPE_CHECKING:
    from collections.abc import Callable

N_FILMS = 192
"""Films that are compared."""

N_NEAR = 96
"""Films near the best of them that are compared after that."""

NEAR = 0.15
"""How far the ends of those move, in units of the coordinates."""

SHORTEST = 0.05
"""A film is at least so long, in units of the coordinates."""


OF_POINTS = ("missed_by", "worst", "price", "thrift")
"""Options of :class:`BayesianPlanner` that have no meaning for a film."""


class SpreadPlanner(BayesianPlanner):
    """Proposes composition spreads: all suggestions of a request lie on one line of compositions.

    Ask for as many suggestions as the film has places (``in_flight`` of a campaign, or a batch of that size). Besides
    this the planner is a :class:`BayesianPlanner`, for one objective to minimise or maximise.

    Parameters
    ----------
    along
        The parameters of the composition, which run along the film: continuous ones. All others are the film's own.
    reach
        The greatest range that one of them can have on a film, as a part of its whole range.
    """

    along: Tuple[str]
    reach: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _has_no_options_of_points(self) -> SpreadPlanner:
        plain = BayesianPlanner()
        given = [name for name in OF_POINTS if getattr(self, name) != getattr(plain, name)]
        if given:
            raise PlannerError(
                f"a film is chosen as a whole; {', '.join(given)} concerns single points",
                hint="leave it away, or use BayesianPlanner with a batch that shares the parameters of the film",
            )
        return self

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "composition spread"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions, the places of one film; fewer where places were tried before.

        Raises
        ------
        PlannerError
            No film can be made in the space of *problem*.
        """
        if n > 1 and problem.space.targets:
            raise PlannerError(
                "a film is measured as what counts, and not by approximations", hint="leave target= away"
            )
        # A film has all else in common, whatever its batch shares; only what is settled already binds it.
        batch = situation.batch
        if batch is not None:
            situation = situation.replace(batch=batch.replace(shared=tuple(batch.fixed)))
        return super().suggest(problem, history, n, situation=situation, seed=seed)

    def _answer(self, question: Question) -> list[Suggestion]:
        if question.n < 2:
            return super()._answer(question)
        domain = question.domain
        self._check(question.problem, domain)
        seed = np.random.SeedSequence([self.seed, question.seed, len(question.history.entries)])
        films = Films(domain, self.along, question.n, self.reach, np.random.default_rng(seed))
        found = super()._answer(question.after([], 1))
        if not found:
            return []
        first = found[0]
        chosen = self._film(question, domain, films, first)
        if chosen is None:
            return super()._answer(question)
        decision = first.decision.replace(predicted={}, runners_up=())
        note = f"One of {question.n} places of a spread of {', '.join(self.along)}. {decision.note}"
        points = films.points(chosen, tried_rows(domain, question.history))
        return [Suggestion(values=point, decision=decision.replace(note=note)) for point in points]

    def _film(self, question: Question, domain: Domain, films: Films, first: Suggestion) -> Array | None:
        """Return the rows of the film to make, shape (places, columns); None where there is no legal line."""
        centre = domain.encoding.encode([first.values])[0]
        drawn = films.through(centre, N_FILMS)
        if not len(drawn):
            return None
        if not first.decision.models:  # there is no model yet: the longest of them
            return np.asarray(drawn[int(np.ptp(drawn, axis=1).sum(axis=1).argmax())])
        value = self._value(question, domain)
        best = drawn[int(value(drawn).argmax())]
        near = np.concatenate([best[None], films.near(best, N_NEAR)])
        return np.asarray(near[int(value(near).argmax())])

    def _value(self, question: Question, domain: Domain) -> Callable[[Array], Array]:
        from sdl.planners.films import improvement_of_films  # noqa: PLC0415 # an import that only a model pays for

        seed = int(np.random.SeedSequence([question.seed, 7]).generate_state(1)[0])
        return improvement_of_films(question.problem, question.history, domain, self._assumptions, seed)

    def _check(self, problem: Problem, domain: Domain) -> None:
        """Raise PlannerError where no spread can be made."""
        free = {code.name for code in domain.free_codes}
        wrong = [n for n in self.along if n not in free or not isinstance(problem.space.parameters[n], Continuous)]
        if wrong or not self.along:
            raise PlannerError(
                f"a spread runs along continuous parameters to be chosen, and not along {', '.join(wrong) or 'none'}",
                hint=f"name some of {', '.join(sorted(free))}",
            )
        if problem.space.pool is not None or any(isinstance(c, AtMost) for c in problem.space.constraints):
            raise PlannerError(
                "a pool, or a constraint on how many components there are, has no lines of compositions",
                hint="use BayesianPlanner with a batch that shares the parameters of the film",
            )
        if len(problem.objectives) > 1 or any(isinstance(objective, Target) for objective in problem.objectives):
            raise PlannerError("a spread is chosen for one objective to minimise or maximise", hint="state one")


class Films:
    """Films in a space: straight lines in the columns of the composition, all else in common.

    Parameters
    ----------
    domain
        What may be chosen. Linear constraints bound a convex set, so a line between two legal ends is legal.
    along
        The parameters of the composition.
    n
        Places of a film.
    reach
        The greatest range of a parameter on a film, in coordinates.
    rng
        The source of chance.
    """

    def __init__(self, domain: Domain, along: Sequence[str], n: int, reach: float, rng: np.random.Generator) -> None:
        self._domain, self._n, self._reach, self._rng = domain, n, reach, rng
        self._columns = np.array([code.start for code in domain.encoding.codes if code.name in along], dtype=np.intp)

    def through(self, centre: Array, n: int) -> Array:
        """Return up to *n* films, half of them through *centre* with its process, shape (films, places, columns)."""
        ends, others = self._domain.draw(n, self._rng), self._domain.draw(n, self._rng)
        half = n // 2
        process = ends.copy()
        process[:half] = centre
        ends[:half] = np.where(self._mask, ends[:half], centre)
        first = np.where(self._mask, ends, process)
        second = np.where(self._mask, others, process)
        beyond = centre + self._rng.random((half, 1)) * (centre - first[:half])
        second[:half] = np.where(self._mask, beyond, centre)
        return self._legal(first, second)

    def near(self, film: Array, n: int) -> Array:
        """Return up to *n* films near *film*."""
        moves = NEAR * self._rng.standard_normal((2, n, film.shape[1])) * self._rng.random((1, n, 1))
        moves[:, :, ~self._domain.smooth] = 0.0
        moves[1] = np.where(self._mask, moves[1], moves[0])
        return self._legal(film[0] + moves[0], film[-1] + moves[1])

    @property
    def _mask(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        mask = np.zeros(self._domain.encoding.n_columns, dtype=bool)
        mask[self._columns] = True
        return mask

    def _legal(self, first: Array, second: Array) -> Array:
        """Return the films between ends, shortened to the reach; all places of them keep bounds and constraints."""
        first, second = self._repaired(first), self._repaired(second)
        widths = np.abs(second - first)[:, self._columns].max(axis=1)
        second = first + np.minimum(1.0, self._reach / np.maximum(widths, 1e-12))[:, None] * (second - first)
        fractions = np.linspace(0.0, 1.0, self._n)[None, :, None]
        films = first[:, None, :] + fractions * (second - first)[:, None, :]
        kept = self._domain.holds(films.reshape(-1, films.shape[2])).reshape(films.shape[:2]).all(axis=1)
        long_enough = np.abs(second - first)[:, self._columns].max(axis=1) >= min(SHORTEST, 0.5 * self._reach)
        return np.asarray(films[kept & long_enough])

    def _repaired(self, rows: Array) -> Array:
        """Return *rows* within the bounds, and on the equalities that the composition can keep."""
        rows = np.where(self._domain.smooth, np.clip(rows, 0.0, 1.0), rows)
        for form in self._domain.linear_forms():
            own = np.isin(form.columns, self._columns)
            if form.lower == form.upper and own.any():
                missing = form.lower - rows[:, form.columns] @ form.coefficients
                weights = form.coefficients[own]
                rows[:, form.columns[own]] += missing[:, None] * weights / (weights**2).sum()
        return np.where(self._domain.smooth, np.clip(rows, 0.0, 1.0), rows)

    def points(self, film: Array, tried: Array) -> list[Point]:
        """Return the legal new points of *film*."""
        candidates = Candidates(film)
        fresh = ~is_among(film, tried)
        points = [self._domain.point(candidates, number) for number in range(len(film)) if fresh[number]]
        return [point for point in points if point is not None]
