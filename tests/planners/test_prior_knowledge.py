"""What a person knows before there are data: a model of his own, points to try first, structure."""

from __future__ import annotations

import numpy as np
import pytest
import user_models
from trials import Values, ask, completed, explore, history_of, measured, unfinished

from sdl.campaign.planner import History, Situation
from sdl.errors import PlannerError, ProblemError
from sdl.planners import BayesianPlanner
from sdl.problem import Categorical, Continuous, Maximize, Minimize, Problem, SearchSpace, Target

SPACE = SearchSpace({name: Continuous(0.0, 1.0) for name in "abcd"})
PROBLEM = Problem(SPACE, Minimize("loss"))


def planner_with(model: str | None) -> BayesianPlanner:
    return BayesianPlanner() if model is None else BayesianPlanner(prior_mean={"loss": f"user_models:{model}"})


def trials(n: int, seed: int = 0) -> History:
    return history_of(SPACE.sample(n, np.random.default_rng(seed)), user_models.truth)


def error_with(model: str | None, n: int = 12) -> float:
    places = SPACE.sample(80, np.random.default_rng(99))
    errors = []
    for seed in range(3):
        predicted = planner_with(model).predict(PROBLEM, trials(n, seed), places)
        truths = [user_models.truth(place)["loss"] for place in places]
        errors.append(np.mean([(p["loss"].mean - t) ** 2 for p, t in zip(predicted, truths, strict=True)]))
    return float(np.median(errors))


def best_with(model: str | None, n: int) -> float:
    found = [measured(explore(planner_with(model), PROBLEM, user_models.truth, n, seed=s), "loss") for s in range(2)]
    return float(np.mean([min(values) for values in found]))


# --- a model of the user's --------------------------------------------------------------------------------------------


def test_a_good_prior_mean_predicts_better() -> None:
    assert error_with("good") < 0.25 * error_with(None)


def test_a_misleading_prior_mean_is_dropped() -> None:
    assert error_with("misleading") < 1.1 * error_with(None)
    weights = [
        planner_with(model).explain(PROBLEM, trials(14))["loss"].prior_weight for model in ("good", "misleading", None)
    ]
    assert weights == [pytest.approx(1.0, abs=0.2), 0.0, None]


def test_a_good_prior_mean_saves_trials_and_a_misleading_one_costs_few() -> None:
    plain = best_with(None, 12)
    assert best_with("good", 6) < plain + 0.05
    assert best_with("misleading", 15) < plain + 0.05


def test_the_first_points_are_those_that_the_prior_mean_favours() -> None:
    (suggestion,) = ask(planner_with("good"), PROBLEM, History())
    assert user_models.truth(suggestion.values)["loss"] < np.quantile(
        [user_models.truth(point)["loss"] for point in SPACE.sample(200, np.random.default_rng(1))], 0.05
    )
    assert "prior mean favours" in suggestion.decision.note


@pytest.mark.parametrize("objective", [Target("loss", value=1.0), [Minimize("loss"), Maximize("gain")]], ids=str)
def test_other_goals_take_a_prior_mean_too(objective: object) -> None:
    problem = Problem(SPACE, objective)  # type: ignore[arg-type] # of two kinds

    def both(v: Values) -> dict[str, float]:
        return {**user_models.truth(v), "gain": float(v["a"])}

    history = explore(planner_with("good"), problem, both, 6)
    assert all(SPACE.contains(entry.values) for entry in history.entries)


def test_a_model_that_knows_nothing_is_as_none() -> None:
    history = trials(10)
    (with_nothing,) = ask(planner_with("of_nothing"), PROBLEM, history)
    (without,) = ask(planner_with(None), PROBLEM, history)
    assert with_nothing.values == pytest.approx(without.values, abs=0.05)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("user_models:broken", "out of memory"),
        ("user_models:of_one_number", r"shape \(\) for"),
        ("user_models:missing", "cannot be imported"),
        ("no_such_module:model", "cannot be imported"),
        ("user_models:NO_FUNCTION", "no function"),
    ],
)
def test_a_model_that_fails_says_how(reference: str, said: str) -> None:
    with pytest.raises(PlannerError, match=said):
        ask(BayesianPlanner(prior_mean={"loss": reference}), PROBLEM, trials(10))


def test_a_model_of_another_outcome_is_refused() -> None:
    with pytest.raises(PlannerError, match="outcome 'gain'"):
        ask(BayesianPlanner(prior_mean={"gain": "user_models:good"}), PROBLEM, trials(10))
    with pytest.raises(ProblemError, match="module:function"):
        BayesianPlanner(prior_mean={"loss": "user_models.good"})


# --- points named by a person -----------------------------------------------------------------------------------------

RIG = Problem(
    SearchSpace(
        pressure=Continuous(0.1, 2.0, unit="Pa"),
        gas=Categorical(["Ar", "N2"]),
        room=Continuous(10.0, 30.0, context=True),
    ),
    Maximize("gain"),
)
NAMED = BayesianPlanner(expert_points=({"pressure": "500 mPa", "gas": "N2"}, {"pressure": 1.5, "gas": "Ar"}))
ROOM = Situation(context={"room": 21.0})


def test_points_named_by_a_person_come_first_and_once() -> None:
    first, second, third = ask(NAMED, RIG, History(), 3, situation=ROOM)
    assert first.values == {"pressure": 0.5, "gas": "N2", "room": 21.0}
    assert second.values == {"pressure": 1.5, "gas": "Ar", "room": 21.0}
    assert "by a person" in first.decision.note
    assert "by a person" not in third.decision.note
    warmer = {**first.values, "room": 24.0}
    known = History([completed(1, warmer, gain=1.0), unfinished(2, second.values)])
    (other,) = ask(NAMED, RIG, known, situation=ROOM)
    assert "by a person" not in other.decision.note


def test_a_named_point_that_is_none_is_refused() -> None:
    wrong = BayesianPlanner(expert_points=({"pressure": 5.0, "gas": "N2"},))
    with pytest.raises(PlannerError, match=r"expert point.*above its upper bound"):
        ask(wrong, RIG, History(), situation=ROOM)


def test_planners_with_knowledge_are_data() -> None:
    planner = NAMED.replace(prior_mean={"gain": "user_models:good"})
    assert BayesianPlanner.from_json(planner.to_json()) == planner
