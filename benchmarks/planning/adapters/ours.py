"""The planners of sdl, through their public interface: a problem, a history, and how many points are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

from planning.wire import Goal, Knob, Limit, Linear, Point, Question, key_of
from sdl.campaign import History, Planner, Situation
from sdl.campaign.planner import HistoryEntry, TrialState
from sdl.journal.records import Observation
from sdl.planners import BayesianPlanner, RandomPlanner, SobolPlanner
from sdl.problem import (
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    LinearConstraint,
    Maximize,
    Measurement,
    Minimize,
    Mixture,
    Objective,
    OutcomeConstraint,
    Parameter,
    Problem,
    SearchSpace,
)
from sdl.problem.constraints import Constraint

PLANNERS: Mapping[str, Planner] = {
    "Bayesian": BayesianPlanner(),
    "Sobol": SobolPlanner(),
    "random": RandomPlanner(),
}


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("sdl")


def parameter(knob: Knob) -> Parameter:
    """Return a knob in our words."""
    if knob.kind == "continuous":
        return Continuous(knob.low, knob.high, log=knob.is_log)
    if knob.kind == "discrete":
        return Discrete([float(value) for value in knob.values])
    return Categorical([str(value) for value in knob.values])


def constraint(given: Linear) -> Constraint:
    """Return a constraint in our words: a sum with equal weights that is fixed is a mixture."""
    if given.lower is not None and given.lower == given.upper and set(given.coefficients.values()) == {1.0}:
        return Mixture(tuple(given.coefficients), total=given.lower)
    return LinearConstraint(dict(given.coefficients), lower=given.lower, upper=given.upper)


def objective(goal: Goal) -> Objective:
    """Return a goal in our words."""
    return (Maximize if goal.is_maximized else Minimize)(goal.outcome, reference=goal.reference)


def limit(given: Limit) -> OutcomeConstraint:
    """Return a limit in our words."""
    return OutcomeConstraint(given.outcome, lower=given.lower, upper=given.upper)


def problem_of(question: Question) -> Problem:
    """Return the question in our words."""
    space = SearchSpace(
        {knob.name: parameter(knob) for knob in question.knobs},
        constraints=[constraint(given) for given in question.constraints],
        pool=None if question.pool is None else CandidatePool(question.pool),
    )
    goals = [objective(goal) for goal in question.goals]
    return Problem(space, goals, [limit(given) for given in question.limits])


class Ours:
    """One of our planners, with the history that a campaign would keep."""

    def __init__(self, question: Question, seed: int, planner: Planner) -> None:
        self._question = question
        self._problem = problem_of(question)
        self._seed = seed
        self._planner = planner
        self._entries: list[HistoryEntry] = []

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points; they are pending from now on."""
        situation = Situation(n_free_slots=n, n_trials_left=max(n, self._question.n_trials - len(self._entries)))
        history = History(self._entries)
        # The seed of a question, as a campaign derives one: from its own seed and how far it is.
        seed = 1_000_003 * self._seed + len(self._entries)
        suggestions = self._planner.suggest(self._problem, history, n, situation=situation, seed=seed)
        for suggestion in suggestions:
            trial = len(self._entries) + 1
            self._entries.append(HistoryEntry(trial=trial, values=suggestion.values, state=TrialState.RUNNING))
        return [dict(suggestion.values) for suggestion in suggestions]

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Complete the pending trial at *point*, or add one as seed data."""
        wanted = key_of(point)
        pending = (
            index
            for index, entry in enumerate(self._entries)
            if entry.state is TrialState.RUNNING and key_of(entry.values) == wanted
        )
        index = next(pending, len(self._entries))
        observation = Observation(outcomes={name: Measurement(value) for name, value in outcomes.items()})
        self._entries[index : index + 1] = [
            HistoryEntry(trial=index + 1, values=point, state=TrialState.COMPLETED, observation=observation)
        ]


def make(question: Question, seed: int, variant: str) -> Ours:
    """Return the planner named *variant*."""
    return Ours(question, seed, PLANNERS[variant])
