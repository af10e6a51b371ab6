from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import BRANIN, NOWHERE, ask, explore, history_of, unfinished

from sdl.campaign.planner import History, Situation, TrialState
from sdl.errors import EmptySpaceError, PointError
from sdl.planners import GridPlanner, LatinHypercubePlanner, RandomPlanner, SobolPlanner
from sdl.problem import (
    Categorical,
    Continuous,
    Discrete,
    LinearConstraint,
    Maximize,
    Mixture,
    Problem,
    SearchSpace,
)

SQUARE = Problem(SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0)), Maximize("gain"))


def flat(values: object) -> dict[str, float]:
    return {"gain": 1.0}


def places(history: History) -> np.ndarray:
    return np.array([[entry.values["x"], entry.values["y"]] for entry in history.entries], dtype=float)


def test_a_sobol_sequence_goes_on_where_the_history_ends() -> None:
    """Whether points are asked for one by one or together, they are those of one sequence."""
    planner = SobolPlanner(seed=4)
    start = history_of([{"x": 0.3, "y": 0.6}], flat)
    together = [dict(s.values) for s in ask(planner, SQUARE, start, 6, seed=1)]
    one_by_one = explore(planner, SQUARE, flat, 6, seed=9, start=start.entries)
    assert [dict(entry.values) for entry in one_by_one.entries[1:]] == together


@pytest.mark.parametrize("planner", [SobolPlanner(seed=1), LatinHypercubePlanner(n=16, seed=1)])
def test_designs_fill_the_square_more_evenly_than_chance(planner: SobolPlanner) -> None:
    """Of 16 slices of each axis, nearly all hold a point; of random points every third slice stays empty."""
    found = places(explore(planner, SQUARE, flat, 16))
    for axis in range(2):
        assert len(np.unique((found[:, axis] * 16).astype(int))) >= 14


def test_a_latin_hypercube_holds_one_point_per_slice() -> None:
    points = ask(LatinHypercubePlanner(n=8), SQUARE, History(()), 8)
    for name in ("x", "y"):
        assert sorted(int(float(s.values[name]) * 8) for s in points) == list(range(8))


def test_a_sobol_planner_knows_logarithms_and_levels() -> None:
    space = SearchSpace(rate=Continuous(1e-4, 1e4, log=True), base=Categorical(["a", "b", "c", "d"]))
    points = [s.values for s in ask(SobolPlanner(), Problem(space, Maximize("gain")), History(()), 64)]
    assert sum(float(p["rate"]) < 1.0 for p in points) == 32
    assert [sum(p["base"] == choice for p in points) for choice in "abcd"] == [16] * 4


def test_designs_go_where_earlier_trials_did_not_in_constrained_spaces() -> None:
    names = ["a", "b", "c"]
    space = SearchSpace({name: Continuous(0.0, 1.0) for name in names}, constraints=[Mixture(names)])
    problem = Problem(space, Maximize("gain"))
    corner = history_of([{"a": 0.98, "b": 0.01, "c": 0.01}, {"a": 0.9, "b": 0.05, "c": 0.05}], flat)
    (suggestion,) = ask(SobolPlanner(), problem, corner)
    assert float(suggestion.values["a"]) < 0.5
    assert "Far from all of the 2 points" in suggestion.decision.note


def test_a_grid_is_walked_in_order_and_ends() -> None:
    problem = Problem(SearchSpace(x=Continuous(0.0, 1.0), base=Categorical(["a", "b"])), Maximize("gain"))
    planner = GridPlanner(levels={"x": 3})
    points = [tuple(s.values.values()) for s in ask(planner, problem, History(()), 10)]
    assert points == [(0.0, "a"), (0.0, "b"), (0.5, "a"), (0.5, "b"), (1.0, "a"), (1.0, "b")]
    history = history_of([{"x": 0.0, "base": "a"}, {"x": 0.3, "base": "b"}], flat)
    (suggestion,) = ask(planner, problem, history)
    assert dict(suggestion.values) == {"x": 0.0, "base": "b"}


def test_a_grid_leaves_out_what_breaks_a_constraint() -> None:
    space = SearchSpace(
        x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0), constraints=[LinearConstraint({"x": 1.0, "y": 1.0}, upper=1.0)]
    )
    assert len(ask(GridPlanner(levels=3), Problem(space, Maximize("gain")), History(()), 9)) == 6


def test_a_grid_goes_on_when_the_context_changes() -> None:
    space = SearchSpace(x=Continuous(0.0, 1.0), humidity=Continuous(0.0, 100.0, context=True))
    history = history_of([{"x": 0.0, "humidity": 20.0}, {"x": 0.5, "humidity": 31.0}], flat)
    situation = Situation(context={"humidity": 44.0})
    (suggestion,) = ask(GridPlanner(levels=3), Problem(space, Maximize("gain")), history, situation=situation)
    assert dict(suggestion.values) == {"x": 1.0, "humidity": 44.0}


@pytest.mark.parametrize("planner", [RandomPlanner(), SobolPlanner()])
def test_a_context_that_is_missing_or_impossible_is_refused(planner: RandomPlanner) -> None:
    space = SearchSpace(x=Continuous(0.0, 1.0), humidity=Continuous(0.0, 100.0, context=True))
    problem = Problem(space, Maximize("gain"))
    with pytest.raises(PointError, match="no value for the contextual parameter humidity"):
        ask(planner, problem, History(()), situation=NOWHERE)
    with pytest.raises(PointError, match="above its upper bound"):
        ask(planner, problem, History(()), situation=Situation(context={"humidity": 130.0}))


def test_a_space_without_points_is_an_error_and_not_an_empty_answer() -> None:
    space = SearchSpace(
        a=Discrete([1, 2]), b=Discrete([1, 2]), constraints=[LinearConstraint({"a": 1, "b": 1}, lower=2.2, upper=2.8)]
    )
    with pytest.raises(EmptySpaceError):
        ask(RandomPlanner(), Problem(space, Maximize("gain")), History(()))


@given(n_trials=st.integers(0, 30), seed=st.integers(0, 2**32 - 1), abandoned=st.booleans())
def test_levels_are_not_repeated_while_new_ones_exist(n_trials: int, seed: int, abandoned: bool) -> None:
    space = SearchSpace(a=Discrete(range(6)), b=Categorical(list("vwxyz")))
    problem = Problem(space, Maximize("gain"))
    state = TrialState.ABANDONED if abandoned else TrialState.RUNNING
    tried: list[dict[str, float | str]] = [{"a": float(i % 6), "b": "vwxyz"[i // 6]} for i in range(n_trials)]
    history = History([unfinished(i + 1, point, state) for i, point in enumerate(tried)])
    for planner in (RandomPlanner(), SobolPlanner(), LatinHypercubePlanner(n=4), GridPlanner()):
        points = [dict(s.values) for s in ask(planner, problem, history, 4, seed)]
        assert len(points) == min(4, 30 - n_trials)
        assert all(point not in tried for point in points)


def test_trials_of_another_space_are_left_out_of_account() -> None:
    """Seed data may lack a parameter, or name a choice that is gone."""
    problem = Problem(SearchSpace(x=Continuous(0.0, 1.0), base=Categorical(["a", "b"])), Maximize("gain"))
    history = history_of([{"x": 0.5}, {"x": 0.5, "base": "z"}, {"x": 7.0, "base": "a"}], flat)
    for planner in (RandomPlanner(), SobolPlanner(), GridPlanner()):
        assert len(ask(planner, problem, history, 2)) == 2


def test_campaigns_that_begin_differently_go_on_differently() -> None:
    """The sequence does not depend on the seed of a request but on how the campaign began."""
    first, second = (history_of([{"x": x, "y": 1.0}], lambda _: {"loss": 1.0}) for x in (0.0, 1.0))
    planner = SobolPlanner()
    assert ask(planner, BRANIN, first, seed=1)[0].values == ask(planner, BRANIN, first, seed=2)[0].values
    assert ask(planner, BRANIN, first)[0].values != ask(planner, BRANIN, second)[0].values
