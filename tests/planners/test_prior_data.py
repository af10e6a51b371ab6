"""Prior data of another origin: they help where they tell the same, and do little harm where they mislead."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from trials import NOWHERE, Values, ask, completed, explore, unfinished

from sdl.campaign.planner import History, HistoryEntry, Planner
from sdl.planners import ActiveLearningPlanner, BayesianPlanner
from sdl.problem import Continuous, Minimize, Problem, SearchSpace, Target

SPACE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0), z=Continuous(0.0, 1.0))
PROBLEM = Problem(SPACE, Minimize("loss"))
Function = Callable[[Values], Mapping[str, float]]


def bowl(v: Values) -> dict[str, float]:
    centre = {"x": 0.75, "y": 0.2, "z": 0.6}
    return {"loss": sum((float(v[name]) - place) ** 2 for name, place in centre.items())}


def likewise(v: Values) -> dict[str, float]:
    """The same on another instrument: an offset and a scale."""
    return {"loss": 0.8 * bowl(v)["loss"] + 0.3}


def misleading(v: Values) -> dict[str, float]:
    return {"loss": 1.0 - bowl(v)["loss"]}


def prior(function: Function, n: int = 25, *, origin: str = "", first: int = 1) -> list[HistoryEntry]:
    rows = np.random.default_rng(5).random((n, 3))
    points: list[Values] = [dict(zip("xyz", map(float, row), strict=True)) for row in rows]
    entries = [completed(-number, point, **function(point)) for number, point in enumerate(points, first)]
    return [entry.replace(origin=origin) for entry in entries]


def best_of(function: Function | None, n: int) -> float:
    """Median over three seeds of the best of *n* trials after prior data of *function*."""
    found = []
    for seed in range(3):
        start = prior(function) if function is not None else []
        history = explore(BayesianPlanner(), PROBLEM, bowl, n, seed=seed, start=start)
        own = [e.observation.outcomes["loss"].value for e in history.entries if e.trial > 0 and e.observation]
        found.append(min(own))
    return float(np.median(found))


@pytest.mark.parametrize(
    "planner", [BayesianPlanner(missed_by={"x": 0.1}), ActiveLearningPlanner()], ids=lambda p: p.name
)
def test_trials_may_be_under_way_beside_prior_data(planner: Planner) -> None:
    points = SPACE.sample(7, np.random.default_rng(0))
    own = [completed(number, point, **bowl(point)) for number, point in enumerate(points[:6], 1)]
    history = History([*prior(likewise, 6), *own, unfinished(7, points[6])])
    (suggestion,) = ask(planner, PROBLEM, history)
    assert SPACE.contains(suggestion.values)
    assert suggestion.decision.models


def test_prior_data_of_the_same_kind_save_trials() -> None:
    assert best_of(likewise, 4) < 0.2 * best_of(None, 4)


def test_misleading_prior_data_cost_few_trials() -> None:
    """Told the opposite by 25 measurements, it comes as far in 14 trials as without them in ten."""
    assert best_of(misleading, 14) <= best_of(None, 10)


@pytest.mark.parametrize(("function", "low", "high"), [(likewise, 0.7, 1.0), (misleading, 0.0, 0.6)])
def test_the_model_says_how_much_prior_data_resemble_its_own(function: Function, low: float, high: float) -> None:
    rows = np.random.default_rng(6).random((12, 3))
    points: list[Values] = [dict(zip("xyz", map(float, row), strict=True)) for row in rows]
    own = [completed(number, point, **bowl(point)) for number, point in enumerate(points, 1)]
    model = BayesianPlanner().explain(PROBLEM, History([*prior(function), *own]))["loss"]
    assert model.resemblance is not None
    assert low <= model.resemblance <= high


def test_data_of_one_origin_have_no_resemblance() -> None:
    assert BayesianPlanner().explain(PROBLEM, History(prior(bowl)))["loss"].resemblance is None


@pytest.mark.parametrize(
    "problem",
    [Problem(SPACE, Target("loss", value=0.1)), Problem(SPACE, [Minimize("loss"), Minimize("cost")])],
    ids=str,
)
def test_other_goals_take_prior_data_too(problem: Problem) -> None:
    def function(v: Values) -> dict[str, float]:
        return {**bowl(v), "cost": float(v["x"])}

    history = explore(BayesianPlanner(), problem, function, 4, start=prior(function, 12))
    (suggestion,) = ask(BayesianPlanner(), problem, history, situation=NOWHERE)
    assert suggestion.decision.models["loss"].resemblance is not None
    assert SPACE.contains(suggestion.values)


def test_each_set_of_prior_data_gets_a_resemblance_of_its_own() -> None:
    """One set that tells the same stays trusted beside one that misleads."""
    rows = np.random.default_rng(6).random((12, 3))
    points: list[Values] = [dict(zip("xyz", map(float, row), strict=True)) for row in rows]
    own = [completed(number, point, **bowl(point)) for number, point in enumerate(points, 1)]
    both = [*prior(likewise, origin="last year"), *prior(misleading, origin="elsewhere", first=26)]
    found = BayesianPlanner().explain(PROBLEM, History([*both, *own]))["loss"]
    assert found.resemblances["last year"] > 0.8
    assert found.resemblances["elsewhere"] < 0.6
    assert found.resemblance == found.resemblances["elsewhere"]
