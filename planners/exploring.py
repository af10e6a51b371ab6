"""Planners for exploration without an optimum: whole functions, sets, maps of classes, and what outcomes there are.

They share with the Bayesian planner the models and the search for the best point. What is declared in the problem stays
what it is: an objective names the outcome to be measured, and says what reports call good; these planners look at the
outcome alone. Where no value is better than another, a ``Target`` range that holds them all says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sdl.campaign.planner import History, Situation, Suggestion
from sdl.errors import PlannerError
from sdl.journal.records import Decision, ParameterValue, Prediction
from sdl.planners.bayesian import BayesianPlanner
from sdl.planners.domain import Domain
from sdl.planners.encoding import Encoding
from sdl.planners.framing import Question, framed, with_pending
from sdl.planners.space_filling import blank_decision, placed, sobol_points, spread_points, tried_rows
from sdl.problem import Problem, Target
from sdl.problem.value import Value

if TYPE_CHECKING:
    from sdl.planners.learned import Learn, Limits
    from sdl.planners.proposal import Request

Points = Sequence[Mapping[str, ParameterValue]]

Label = Literal["inside", "outside", "open"]


class ExploringPlanner(Value, ABC):
    """What planners for exploration share: a Sobol sequence first, then a model, asked for what would teach most.

    Parameters
    ----------
    seed
        Makes two planners in one campaign differ.
    n_initial
        How many trials are completed or under way before the model decides; seed data count. None: between 4 and
        twice the number of free parameters.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    n_initial: Annotated[int, Field(ge=2)] | None = None
    version: ClassVar[str] = "1"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that decision records carry."""

    @abstractmethod
    def _learn(self, problem: Problem) -> Learn:
        """Return what makes of a history what the planner has to know; raises PlannerError for a problem unfit."""

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        self._check(problem)
        return framed(Question(problem, history, n, situation, seed), self._answer)

    def _answer(self, question: Question) -> list[Suggestion]:
        problem, history, n, domain = question.problem, question.history, question.n, question.domain
        decision = blank_decision(self.name, self.version, history, question.seed, "")
        n_filling = self._n_filling(problem, history, n, domain)
        suggestions = self._fill(domain, history, n_filling, decision)
        if n_filling < n:
            history = with_pending(history, suggestions)
            suggestions += self._propose(problem, history, n - n_filling, domain, decision)
        return suggestions

    def _check(self, problem: Problem) -> None:
        """Raise PlannerError where the planner cannot serve *problem*."""

    def _n_filling(self, problem: Problem, history: History, n: int, domain: Domain) -> int:
        """Return how many of *n* points are still to fill the space."""
        wanted = self.n_initial or max(4, min(2 * domain.n_free, domain.n_free + 4))
        known = [entry for entry in placed(domain, history.completed) if entry.measures(problem.outcomes)]
        n_different = len(np.unique(domain.encoding.encode([entry.values for entry in known]), axis=0))
        if n_different < 2 or len(known) < wanted / 2:
            return n
        return min(n, max(0, wanted - len(known) - len(history.pending)))

    def _fill(self, domain: Domain, history: History, n: int, decision: Decision) -> list[Suggestion]:
        if not n:
            return []
        points, note = sobol_points(domain, history, n, own_seed=self.seed, seed=decision.seed)
        filled = decision.replace(note=f"Before there is a model. {note}")
        return [Suggestion(values=point, decision=filled) for point in points]

    def _propose(
        self, problem: Problem, history: History, n: int, domain: Domain, decision: Decision
    ) -> list[Suggestion]:
        from sdl.planners import learned  # noqa: PLC0415 # an import that only a model pays for

        return learned.propose(
            _request(self.seed, problem, history, domain, decision.seed), n, decision, self._learn(problem)
        )


class _Predicting(ExploringPlanner):
    """A planner whose models predict outcomes as numbers."""

    def predict(self, problem: Problem, history: History, points: Points) -> list[dict[str, Prediction]]:
        """Return what a measurement at each of *points* is expected to give; deviations include the noise.

        Raises
        ------
        PlannerError
            An outcome was never measured.
        """
        return BayesianPlanner().predict(problem, history, points)


class ActiveLearningPlanner(_Predicting):
    """Learns every outcome as a function of the whole space; no value is better than another.

    Proposes the point whose measurement takes away most of the variance of the models, integrated over the space
    (Cohn et al., 1996), and not the point of greatest variance: that one lies at the edge, where little of the space
    profits. Variances of several outcomes count as shares of each. Failed trials make their neighbourhood less
    attractive.
    """

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "active learning"

    def _learn(self, problem: Problem) -> Learn:  # noqa: ARG002 # serves every problem
        from sdl.planners.learned import LearnedFunction  # noqa: PLC0415 # as above

        return LearnedFunction.of


class BoundlessPlanner(_Predicting):
    """Looks for outcomes unlike those known, without an objective: BLOX (Terayama et al., 2020).

    Proposes the point whose expected outcomes bring what is known nearest to an even spread in the space of the
    outcomes, by Stein's discrepancy. All outcomes that the problem names count alike, in units of their own spread.
    """

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "boundless exploration"

    def _learn(self, problem: Problem) -> Learn:  # noqa: ARG002 # serves every problem
        from sdl.planners.learned import LearnedReach  # noqa: PLC0415 # as above

        return LearnedReach.of


class LevelSetPlanner(_Predicting):
    """Finds the set of all points where outcomes keep limits, its border above all.

    Proposes the point whose measurement is expected to take away most of the doubt about which points belong to the set
    (stepwise uncertainty reduction: Bect et al., 2012; Chevalier et al., 2014).

    Parameters
    ----------
    lower, upper
        The limits of the set, in the outcome's unit. None for both: the problem's ``Target`` objectives (a value is a
        level that is crossed) and outcome constraints; the set is where all of them are kept.
    outcome
        The outcome that *lower* and *upper* speak of. None: that of the first objective.
    """

    lower: float | None = None
    upper: float | None = None
    outcome: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> LevelSetPlanner:
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise PlannerError(f"the set is empty: lower = {self.lower} is not below upper = {self.upper}")
        return self

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "level set"

    def membership(self, problem: Problem, history: History, points: Points) -> list[float]:
        """Return the chance that each of *points* belongs to the set, by the model of everything in *history*.

        Raises
        ------
        PlannerError
            The problem names no limit, or an outcome was never measured.
        """
        limits = self._limits(problem)
        BayesianPlanner().predict(problem, history, [])  # refuses what was never measured
        from sdl.planners.learned import memberships  # noqa: PLC0415 # an import that only a model pays for

        return [float(chance) for chance in memberships(problem, history, limits, points)]

    def classify(self, problem: Problem, history: History, points: Points, *, confidence: float = 0.95) -> list[Label]:
        """Return for each of *points* whether it is inside, outside, or open: certain to less than *confidence*."""
        if not 0.5 <= confidence < 1.0:
            raise PlannerError(f"confidence = {confidence} does not lie between 0.5 and 1")
        chances = self.membership(problem, history, points)
        return [_label(chance, confidence) for chance in chances]

    def _check(self, problem: Problem) -> None:
        self._limits(problem)

    def _learn(self, problem: Problem) -> Learn:
        from sdl.planners.learned import LearnedSet  # noqa: PLC0415 # as above

        limits = self._limits(problem)
        return lambda request, fit_one: LearnedSet(request, request.fit(fit_one), limits=limits)

    def _limits(self, problem: Problem) -> Limits:
        if self.lower is None and self.upper is None:
            return _declared_limits(problem)
        name = self.outcome or problem.objectives[0].outcome
        _require_outcome(problem, name)
        return {name: (-inf if self.lower is None else self.lower, inf if self.upper is None else self.upper)}


class PhaseMapPlanner(ExploringPlanner):
    """Maps which class (a phase, a colour, "dissolves" or not) is found where.

    The outcome is a code: a number without a unit that stands for a class, such as 0, 1, 2; codes have no order and no
    distance. Every class is modelled against the rest, and the suggestion is the point whose measurement is expected to
    take away most of the doubt about where the borders run. Until two classes are known, points are spread.

    Parameters
    ----------
    outcome
        The outcome that holds the code. None: that of the first objective.
    """

    outcome: str | None = None

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "phase map"

    def classify(self, problem: Problem, history: History, points: Points) -> list[dict[float, float]]:
        """Return the chance of every class known, by its code, at each of *points*.

        Raises
        ------
        PlannerError
            The outcome was never measured.
        """
        name = self._outcome(problem)
        entries = [entry for entry in history.completed if entry.observation and name in entry.observation.outcomes]
        if not entries:
            raise PlannerError(f"outcome {name!r} cannot be mapped: it was never measured", hint="run a trial")
        from sdl.planners.learned import class_probabilities  # noqa: PLC0415 # as above

        codes, chances = class_probabilities(Encoding(problem.space), History(entries), name, points)
        return [{code: float(c) for code, c in zip(codes, row, strict=True)} for row in chances]

    def _check(self, problem: Problem) -> None:
        self._outcome(problem)

    def _outcome(self, problem: Problem) -> str:
        name = self.outcome or problem.objectives[0].outcome
        _require_outcome(problem, name)
        return name

    def _propose(
        self, problem: Problem, history: History, n: int, domain: Domain, decision: Decision
    ) -> list[Suggestion]:
        name = self._outcome(problem)
        entries = [entry for entry in history.completed if entry.measures(problem.outcomes)]
        known = [entry.observation.outcomes[name].value for entry in entries if entry.observation]
        if len(set(known)) >= 2:
            return super()._propose(problem, history, n, domain, decision)
        rng = np.random.default_rng([self.seed, decision.seed, len(history.entries)])
        filled = decision.replace(note="Only one class is known. Chosen far from all points tried before.")
        points = spread_points(domain, tried_rows(domain, history), n, rng)
        return [Suggestion(values=point, decision=filled) for point in points]

    def _learn(self, problem: Problem) -> Learn:
        from sdl.planners.learned import learn_classes  # noqa: PLC0415 # as above

        name = self._outcome(problem)
        return lambda request, fit_one: learn_classes(request, fit_one, name)


def _request(own_seed: int, problem: Problem, history: History, domain: Domain, seed: int) -> Request:
    from sdl.planners.proposal import Request  # noqa: PLC0415 # an import that only a model pays for

    chance = np.random.SeedSequence([own_seed, seed, len(history.entries)]).generate_state(1)[0]
    return Request.of(problem, history, domain, int(chance))


def _declared_limits(problem: Problem) -> Limits:
    """Return the limits that *problem* itself sets to outcomes."""
    limits: dict[str, tuple[float, float]] = {}
    for objective in problem.objectives:
        if isinstance(objective, Target):
            low, high = objective.range
            limits[objective.outcome] = (low, high if high > low else inf)
    for constraint in problem.outcome_constraints:
        lower, upper = limits.get(constraint.outcome, (-inf, inf))
        given = (
            -inf if constraint.lower is None else constraint.lower,
            inf if constraint.upper is None else constraint.upper,
        )
        limits[constraint.outcome] = (max(lower, given[0]), min(upper, given[1]))
    if not limits:
        raise PlannerError(
            "the problem sets no limits that a set could have",
            hint="give LevelSetPlanner(lower=..., upper=...), a Target objective, or an OutcomeConstraint",
        )
    return limits


def _require_outcome(problem: Problem, name: str) -> None:
    if name not in problem.outcomes:
        raise PlannerError(
            f"the problem names no outcome {name!r}, only {', '.join(problem.outcomes)}",
            hint="add an objective or an OutcomeConstraint for it",
        )


def _label(chance: float, confidence: float) -> Label:
    if chance >= confidence:
        return "inside"
    return "outside" if chance <= 1.0 - confidence else "open"
