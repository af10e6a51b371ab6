"""What every planner must keep, as tests to subclass.

::

    class TestMyPlanner(PlannerContract):
        @pytest.fixture
        def planner(self) -> Planner:
            return MyPlanner()
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pytest

from sdl.campaign.planner import History, HistoryEntry, Planner, Predictor, Situation, Suggestion, TrialState
from sdl.journal.records import Observation, ParameterValue
from sdl.problem import (
    AtMost,
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Maximize,
    Measurement,
    Minimize,
    Mixture,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
)
from sdl.problem.value import Value

NOWHERE = Situation(context={})
"""A situation without context."""

_RNG = np.random.default_rng(20)

SPACES: dict[str, SearchSpace] = {
    "continuous": SearchSpace(x=Continuous(-5.0, 10.0), y=Continuous(0.0, 15.0, unit="Pa")),
    "log": SearchSpace(rate=Continuous(1e-4, 10.0, log=True), y=Continuous(0.0, 1.0)),
    "discrete": SearchSpace(turns=Discrete([1, 2, 4, 8]), angle=Discrete(range(0, 100, 10), unit="deg")),
    "categorical": SearchSpace(base=Categorical(list("abcd")), solvent=Categorical(["water", "ethanol", "toluene"])),
    "mixed": SearchSpace(x=Continuous(0.0, 1.0), turns=Discrete([1, 2, 4]), base=Categorical(list("abc"))),
    "fixed": SearchSpace(
        x=Continuous(0.0, 1.0), power=Fixed(50.0, unit="W"), target=Fixed("Ti"), y=Continuous(0.0, 1.0)
    ),
    "contextual": SearchSpace(
        x=Continuous(0.0, 1.0),
        humidity=Continuous(0.0, 100.0, context=True),
        batch=Categorical(["a", "b"], context=True),
    ),
    "mixture": SearchSpace(
        {name: Continuous(0.0, 1.0) for name in ("copper", "zinc", "tin")},
        constraints=[Mixture(["copper", "zinc", "tin"])],
    ),
    "linear": SearchSpace(
        x=Continuous(0.0, 1.0),
        y=Continuous(0.0, 2.0),
        z=Continuous(0.0, 1.0),
        constraints=[
            LinearConstraint({"x": 1.0, "y": 1.0}, upper=1.5),
            LinearConstraint({"y": 1.0, "z": -2.0}, lower=-1.0),
        ],
    ),
    "at most": SearchSpace(
        {name: Continuous(0.0, 1.0) for name in ("a", "b", "c", "d")}, constraints=[AtMost(2, ["a", "b", "c", "d"])]
    ),
    "pool": SearchSpace(
        x=Continuous(0.0, 1.0),
        base=Categorical(list("abc")),
        pool=CandidatePool({"x": tuple(_RNG.random(60)), "base": tuple("abc"[i % 3] for i in range(60))}),
    ),
}
"""A gallery of search spaces: one of every kind."""

SITUATIONS = dict.fromkeys(SPACES, NOWHERE) | {"contextual": Situation(context={"humidity": 40.0, "batch": "b"})}
"""The situation in which each space of the gallery is asked for."""


def made_up(problem: Problem, values: Mapping[str, ParameterValue]) -> dict[str, Measurement]:
    """Return smooth, deterministic outcomes of *values*, all positive, in the problem's units."""
    total = 0.0
    for number, (name, value) in enumerate(sorted(values.items())):
        low, high = problem.space.bounds.get(name, (0.0, 1.0))
        share = len(value) / 7.0 if isinstance(value, str) else (value - low) / ((high - low) or 1.0)
        total += math.cos(2.0 * share + number)
    return {
        name: Measurement(value=2.0 + math.sin(total + number), unit=unit)
        for number, (name, unit) in enumerate(problem.outcomes.items())
    }


def a_history(
    problem: Problem,
    n_completed: int,
    *,
    n_failed: int = 0,
    n_pending: int = 0,
    context: Mapping[str, ParameterValue] | None = None,
) -> History:
    """Return a history of different points of the space."""
    states = [TrialState.COMPLETED] * n_completed + [TrialState.FAILED] * n_failed + [TrialState.RUNNING] * n_pending
    points: list[dict[str, ParameterValue]] = []
    rng = np.random.default_rng(7)
    while len(points) < len(states):
        (point,) = problem.space.sample(1, rng, context=context)
        if point not in points:
            points.append(point)
    return History(
        [an_entry(problem, i + 1, point, state) for i, (point, state) in enumerate(zip(points, states, strict=True))]
    )


def an_entry(
    problem: Problem,
    trial: int,
    values: Mapping[str, ParameterValue],
    state: TrialState = TrialState.COMPLETED,
    outcomes: Mapping[str, Measurement] | None = None,
) -> HistoryEntry:
    """Return a trial with made-up outcomes, or those given."""
    observation = Observation(outcomes=outcomes or made_up(problem, values)) if state is TrialState.COMPLETED else None
    failure = "device" if state is TrialState.FAILED else None
    return HistoryEntry(trial=trial, values=values, state=state, observation=observation, failure=failure)


def _line(values: Sequence[float]) -> History:
    """Return trials along a line through the continuous space with *values* as outcomes."""
    problem = Problem(SPACES["continuous"], Minimize("loss"))
    entries = [
        an_entry(problem, i + 1, {"x": -5.0 + i, "y": 0.5 + i}, outcomes={"loss": Measurement(value=value)})
        for i, value in enumerate(values)
    ]
    return History(entries)


def _repeats(values: Sequence[float], n_places: int) -> History:
    """Return trials at only a few places."""
    entries = [
        entry.replace(values={"x": float(i % n_places), "y": 1.0}) for i, entry in enumerate(_line(values).entries)
    ]
    return History(entries)


def _failures(n_completed: int, n_failed: int) -> History:
    return a_history(Problem(SPACES["continuous"], Minimize("loss")), n_completed, n_failed=n_failed)


DEGENERATE: dict[str, History] = {
    "nothing": History(),
    "one point": _line([3.0]),
    "one point, many times": _repeats([3.0] * 8, 1),
    "one point, contradictory": _repeats([3.0, -4.0, 8.0, 1.0, 0.0, 2.0], 1),
    "two points, contradictory": _repeats([3.0, -4.0, 8.0, 1.0, 0.0, 2.0], 2),
    "all equal": _line([3.0] * 9),
    "all zero": _line([0.0] * 9),
    "constant column": _repeats([float(i) for i in range(9)], 9),
    "huge": _line([1e9 * (i - 4.0) for i in range(9)]),
    "astronomic": _line([1e150 * (i - 4.0) for i in range(9)]),
    "minute": _line([1e-12 * i for i in range(9)]),
    "tiny differences": _line([1e6 + 1e-9 * i for i in range(9)]),
    "many decades": _line([10.0 ** (3 * i - 12) for i in range(9)]),
    "one outlier": _line([1.0, 2.0, 1.5, 1e12, 1.2, 0.9, 1.1, 1.3, 0.8]),
    "mostly failures": _failures(4, 6),
    "nothing but failures": _failures(0, 6),
}
"""Histories that break careless arithmetic, all of the space ``continuous`` with the objective ``Minimize("loss")``."""

GOALS: dict[str, Problem] = {
    "maximize": Problem(SPACES["continuous"], Maximize("gain", unit="V")),
    "target": Problem(SPACES["continuous"], Target("gap", value=2.2, unit="eV")),
    "range": Problem(SPACES["continuous"], Target("gap", low=1.9, high=2.1)),
    "constrained": Problem(SPACES["continuous"], Minimize("loss"), OutcomeConstraint("heat", upper=2.5, unit="K")),
    "never feasible": Problem(SPACES["continuous"], Minimize("loss"), OutcomeConstraint("heat", lower=9.0)),
    "two objectives": Problem(SPACES["continuous"], [Minimize("loss"), Maximize("gain", reference=1.0)]),
    "two objectives, no reference": Problem(SPACES["continuous"], [Minimize("loss"), Minimize("cost")]),
    "three, constrained": Problem(
        SPACES["continuous"],
        [Minimize("loss"), Maximize("gain"), Target("gap", value=2.0)],
        OutcomeConstraint("gap", lower=1.2),
    ),
}
"""Goals of every kind."""


class PlannerContract:
    """Tests of a planner. A subclass gives the fixture ``planner``, which returns a new planner."""

    uses_chance: ClassVar[bool] = True
    """Whether another seed gives other suggestions."""

    n_completed: ClassVar[int] = 7
    """How many completed trials the histories hold."""

    @pytest.fixture
    def planner(self) -> Planner:
        """Return the planner under test."""
        raise NotImplementedError("a subclass of PlannerContract needs a fixture called planner")

    def test_it_is_a_planner_with_a_name(self, planner: Planner) -> None:
        assert isinstance(planner, Planner)
        assert planner.name

    @pytest.mark.parametrize("space", SPACES)
    def test_suggestions_are_legal_new_and_explained(self, planner: Planner, space: str) -> None:
        problem, situation = Problem(SPACES[space], Minimize("loss")), SITUATIONS[space]
        history = a_history(problem, self.n_completed, n_failed=1, n_pending=1, context=situation.context)
        before = history.to_json()
        suggestions = list(planner.suggest(problem, history, 2, situation=situation, seed=3))
        assert len(suggestions) == 2
        check_suggestions(problem, history, suggestions, situation, seed=3)
        assert history.to_json() == before, "the planner changed the history"

    @pytest.mark.parametrize("space", SPACES)
    def test_the_first_suggestions_need_no_data(self, planner: Planner, space: str) -> None:
        problem, situation = Problem(SPACES[space], Minimize("loss")), SITUATIONS[space]
        suggestions = list(planner.suggest(problem, History(), 5, situation=situation, seed=0))
        assert len(suggestions) == 5
        check_suggestions(problem, History(), suggestions, situation, seed=0)

    @pytest.mark.parametrize("goal", GOALS)
    def test_every_kind_of_goal_is_served(self, planner: Planner, goal: str) -> None:
        problem = GOALS[goal]
        history = a_history(problem, self.n_completed, n_pending=1)
        suggestions = list(planner.suggest(problem, history, 1, situation=NOWHERE, seed=1))
        assert len(suggestions) == 1
        check_suggestions(problem, history, suggestions, NOWHERE, seed=1)

    @pytest.mark.parametrize("kind", DEGENERATE)
    def test_degenerate_data_break_nothing(self, planner: Planner, kind: str) -> None:
        problem, history = Problem(SPACES["continuous"], Minimize("loss")), DEGENERATE[kind]
        suggestions = list(planner.suggest(problem, history, 1, situation=NOWHERE, seed=2))
        assert len(suggestions) == 1
        check_suggestions(problem, history, suggestions, NOWHERE, seed=2)

    @pytest.mark.parametrize("space", ["continuous", "mixed", "pool"])
    def test_the_same_question_has_the_same_answer(self, planner: Planner, space: str) -> None:
        """No hidden state: neither the order of questions nor other questions in between matter."""
        problem, situation = Problem(SPACES[space], Minimize("loss")), SITUATIONS[space]
        short, long = a_history(problem, 3), a_history(problem, self.n_completed)
        first = [_values(planner, problem, history, situation) for history in (short, long)]
        again = [_values(planner, problem, history, situation) for history in (long, short)]
        assert first == again[::-1]

    def test_another_seed_gives_another_answer(self, planner: Planner) -> None:
        problem = Problem(SPACES["continuous"], Minimize("loss"))
        answers = [_values(planner, problem, History(), NOWHERE, seed) for seed in range(3)]
        assert (answers[0] != answers[1] or answers[0] != answers[2]) == self.uses_chance

    @pytest.mark.parametrize("space", ["continuous", "discrete"])
    def test_pending_points_are_not_proposed_again(self, planner: Planner, space: str) -> None:
        problem = Problem(SPACES[space], Minimize("loss"))
        history = a_history(problem, self.n_completed)
        for _ in range(3):
            (suggestion,) = planner.suggest(problem, history, 1, situation=NOWHERE, seed=5)
            assert suggestion.values not in [entry.values for entry in history.entries]
            trial = an_entry(problem, len(history.entries) + 1, suggestion.values, TrialState.RUNNING)
            history = History((*history.entries, trial))

    def test_an_exhausted_space_gives_fewer(self, planner: Planner) -> None:
        space = SearchSpace(switch=Categorical(["on", "off"]), level=Discrete([1, 2, 3]))
        problem = Problem(space, Maximize("gain"))
        points = [{"switch": switch, "level": level} for switch in ("on", "off") for level in (1.0, 2.0, 3.0)]
        entries = [an_entry(problem, i + 1, point) for i, point in enumerate(points)]
        (last,) = planner.suggest(problem, History(entries[:5]), 3, situation=NOWHERE, seed=0)
        assert dict(last.values) == points[5]
        assert not planner.suggest(problem, History(entries), 2, situation=NOWHERE, seed=0)

    def test_a_planner_that_is_a_value_survives_json(self, planner: Planner) -> None:
        if not isinstance(planner, Value):
            pytest.skip("the planner is no value")
        again = type(planner).from_json(planner.to_json())
        assert again == planner
        assert isinstance(again, Planner)
        problem = Problem(SPACES["mixed"], Minimize("loss"))
        history = a_history(problem, self.n_completed)
        assert _values(again, problem, history, NOWHERE) == _values(planner, problem, history, NOWHERE)

    def test_predictions_name_every_outcome(self, planner: Planner) -> None:
        if not isinstance(planner, Predictor):
            pytest.skip("the planner does not predict")
        problem = GOALS["three, constrained"]
        history = a_history(problem, self.n_completed)
        predicted = planner.predict(problem, history, [entry.values for entry in history.entries[:3]])
        assert [set(prediction) for prediction in predicted] == [set(problem.outcomes)] * 3


def check_suggestions(
    problem: Problem, history: History, suggestions: Sequence[Suggestion], situation: Situation, *, seed: int
) -> None:
    """Assert that *suggestions* are legal, new, different from one another, and carry a true decision record."""
    taken = [dict(entry.values) for entry in history.entries]
    for suggestion in suggestions:
        problem.space.check(suggestion.values)
        assert dict(suggestion.values) not in taken, "a point was proposed twice"
        taken.append(dict(suggestion.values))
        assert situation.context.items() <= suggestion.values.items()
        decision = suggestion.decision
        assert decision.planner
        assert decision.version
        assert decision.note
        assert decision.seed == seed
        assert (decision.n_observed, decision.n_pending) == (len(history.completed), len(history.pending))
        assert all(name in problem.outcomes for name in decision.predicted)
        for runner_up in decision.runners_up:
            problem.space.check(runner_up.values)
            assert runner_up.values != suggestion.values
        assert Suggestion.from_json(suggestion.to_json()) == suggestion


def _values(
    planner: Planner, problem: Problem, history: History, situation: Situation, seed: int = 4
) -> list[dict[str, ParameterValue]]:
    return [dict(s.values) for s in planner.suggest(problem, history, 1, situation=situation, seed=seed)]
