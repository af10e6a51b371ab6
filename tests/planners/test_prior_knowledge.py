"""What a person knows before there are data: a model of his own, points to try first, structure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import user_models
from trials import Values, ask, completed, explore, history_of, measured, unfinished

from sdl.campaign.planner import History, Situation, TrialState
from sdl.errors import PlannerError, ProblemError
from sdl.planners import Additive, BayesianPlanner, Monotonic
from sdl.planners.monotony import WIDTH, propagated
from sdl.planners.numerics import normal_cdf
from sdl.problem import (
    Categorical,
    Continuous,
    Discrete,
    Maximize,
    Minimize,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
)

SPACE = SearchSpace({name: Continuous(0.0, 1.0) for name in "abcd"})
PROBLEM = Problem(SPACE, Minimize("loss"))


def planner_with(model: str | None) -> BayesianPlanner:
    return BayesianPlanner() if model is None else BayesianPlanner(prior_mean={"loss": f"user_models:{model}"})


def trials(n: int, seed: int = 0) -> History:
    return history_of(SPACE.sample(n, np.random.default_rng(seed)), user_models.truth)


@cache
def error_with(model: str | None, n: int = 12) -> float:
    places = SPACE.sample(80, np.random.default_rng(99))
    errors = []
    for seed in range(3):
        predicted = planner_with(model).predict(PROBLEM, trials(n, seed), places)
        truths = [user_models.truth(place)["loss"] for place in places]
        errors.append(np.mean([(p["loss"].mean - t) ** 2 for p, t in zip(predicted, truths, strict=True)]))
    return float(np.median(errors))


def best_with(model: str | None, n: int) -> float:
    """Return the median over three campaigns: where a single one ends depends on the last digits of a fit."""
    planners = [planner_with(model).replace(seed=seed) for seed in range(3)]
    return float(np.median([min(measured(explore(p, PROBLEM, user_models.truth, n), "loss")) for p in planners]))


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


@pytest.mark.parametrize(
    "options",
    [
        {"monotonic": [Monotonic("a", "increasing"), Monotonic("a", "decreasing", "loss")]},
        {"additive": [Additive([["a"]]), Additive([["a", "b"]], "loss")]},
    ],
    ids=["monotonic", "additive"],
)
def test_what_is_said_twice_is_refused(options: Any) -> None:
    with pytest.raises(PlannerError, match="told twice that loss is"):
        ask(BayesianPlanner(**options), PROBLEM, trials(10))


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


@pytest.mark.parametrize(
    ("planner", "match"),
    [
        (BayesianPlanner(expert_points=({"pressure": 5.0, "gas": "N2"},)), "above its upper bound"),
        (BayesianPlanner(expert_points=({"presure": 1.0, "gas": "N2"},)), "presure"),
        (BayesianPlanner(expert_points=({"pressure": "5 K"},)), "pressure"),
        (BayesianPlanner(monotonic=(Monotonic("gas", "increasing"),)), "monotonic"),
        (BayesianPlanner(prior_mean={"loss": "user_models:good"}), "loss"),
    ],
)
def test_what_a_person_says_that_does_not_fit_is_refused_before_the_campaign_begins(
    planner: BayesianPlanner, match: str
) -> None:
    NAMED.check(RIG)
    with pytest.raises(PlannerError, match=match):
        planner.check(RIG)


def test_planners_with_knowledge_are_data() -> None:
    planner = NAMED.replace(prior_mean={"gain": "user_models:good"})
    assert BayesianPlanner.from_json(planner.to_json()) == planner


# --- structure --------------------------------------------------------------------------------------------------------

CUBE = SearchSpace({name: Continuous(0.0, 1.0) for name in "xyz"})


def rising(v: Values) -> dict[str, float]:
    """Rises with x everywhere, and does as it likes with the others."""
    x, y, z = (float(v[name]) for name in "xyz")
    return {"loss": 2.0 * x**1.5 + np.sin(6.0 * y) * 0.6 + 0.8 * (z - 0.3) ** 2}


def in_sum(v: Values) -> dict[str, float]:
    x, y, z = (float(v[name]) for name in "xyz")
    return {"loss": np.sin(7.0 * x) + np.cos(8.0 * y) + np.sin(6.0 * z + 1.0)}


def squared_error(
    planner: BayesianPlanner, function: Callable[[Values], dict[str, float]], n: int, noise: float, n_seeds: int
) -> float:
    places = CUBE.sample(100, np.random.default_rng(99))
    errors = []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        points = CUBE.sample(n, rng)
        values = [function(point)["loss"] + noise * rng.normal() for point in points]
        noisy = History(
            [completed(i, at, loss=value) for i, (at, value) in enumerate(zip(points, values, strict=True), 1)]
        )
        predicted = planner.predict(Problem(CUBE, Minimize("loss")), noisy, places)
        missed = [p["loss"].mean - function(at)["loss"] for p, at in zip(predicted, places, strict=True)]
        errors.append(np.mean(np.square(missed)))
    return float(np.mean(errors))


def test_a_monotonic_outcome_is_predicted_better_from_few_noisy_data() -> None:
    told = BayesianPlanner(monotonic=(Monotonic("x", "increasing"),))
    assert squared_error(told, rising, 14, 0.3, 4) < 0.9 * squared_error(BayesianPlanner(), rising, 14, 0.3, 4)


@pytest.mark.parametrize("direction", ["increasing", "decreasing"])
def test_the_model_of_a_monotonic_outcome_is_monotonic(direction: str) -> None:
    """Even against the data, where these are noisy."""
    planner = BayesianPlanner(monotonic=(Monotonic("x", direction, "loss"),))
    sign = 1.0 if direction == "increasing" else -1.0
    rng = np.random.default_rng(0)
    history = history_of(CUBE.sample(14, rng), lambda v: {"loss": sign * float(v["x"]) + 0.7 * rng.normal()})
    lines = [{"x": x, "y": y, "z": 0.5} for y in (0.2, 0.8) for x in np.linspace(0.0, 1.0, 9).tolist()]
    means = [p["loss"].mean for p in planner.predict(Problem(CUBE, Minimize("loss")), history, lines)]
    steps = sign * np.diff(np.reshape(means, (2, 9)), axis=1)
    assert steps.min() > -0.05


def test_parts_that_do_not_act_on_one_another_need_fewer_data() -> None:
    told = BayesianPlanner(additive=(Additive([["x"], ["y"], ["z"]]),))
    assert squared_error(told, in_sum, 24, 0.0, 2) < 0.5 * squared_error(BayesianPlanner(), in_sum, 24, 0.0, 2)


def test_normal_factors_give_the_moments_of_the_truncated_normal() -> None:
    """Against samples."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    means, covariance = np.array([-0.5, 0.5, -0.3]), root @ root.T
    values, variances = propagated(means, covariance)
    posterior = np.linalg.inv(np.linalg.inv(covariance) + np.diag(1.0 / variances))
    centre = posterior @ (np.linalg.solve(covariance, means) + values / variances)
    drawn = rng.multivariate_normal(means, covariance, size=300_000)
    weights = normal_cdf(drawn / WIDTH).prod(axis=1)
    mean = weights @ drawn / weights.sum()
    assert centre == pytest.approx(mean, abs=0.05)
    deviation = np.sqrt(weights @ (drawn - mean) ** 2 / weights.sum())
    assert np.sqrt(np.diag(posterior)) == pytest.approx(deviation, abs=0.05)


STRUCTURED = BayesianPlanner(
    monotonic=(Monotonic("x", "increasing", "loss"),),
    additive=(Additive((("x", "y"),), "loss"),),
    prior_mean={"loss": "user_models:of_nothing"},
    drift="yes",
    outliers="auto",
    noise="yes",
)


@pytest.mark.parametrize("goal", ["plain", "constrained", "several", "target"])
def test_everything_together_works_with_every_goal(goal: str) -> None:
    """With levels, choices, noise, a pending and a failed trial."""
    space = SearchSpace(x=Continuous(0.0, 1.0), y=Discrete([1.0, 2.0, 4.0]), base=Categorical(["a", "b", "c"]))
    objectives: dict[str, object] = {
        "several": [Minimize("loss"), Maximize("gain")],
        "target": Target("loss", value=0.5),
    }
    limits = (OutcomeConstraint("gain", lower=0.2),) if goal == "constrained" else ()
    problem = Problem(space, objectives.get(goal, Minimize("loss")), limits)  # type: ignore[arg-type] # of two kinds
    rng = np.random.default_rng(1)

    def function(v: Values) -> dict[str, float]:
        return {"loss": float(v["x"]) + 0.2 * float(v["y"]) + rng.normal() * 0.2, "gain": float(v["x"])}

    points = space.sample(16, rng)
    known = [completed(number, point, **function(point)) for number, point in enumerate(points[:14], 1)]
    others = [unfinished(15, points[14]), unfinished(16, points[15], TrialState.FAILED)]
    found = ask(STRUCTURED, problem, History([*known, *others]), 2, seed=3)
    assert len(found) == 2
    assert all(space.contains(suggestion.values) for suggestion in found)
    if goal == "plain":
        assert found == ask(STRUCTURED, problem, History([*known, *others]), 2, seed=3)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"monotonic": [Monotonic("speed", "increasing")]}, "no parameter"),
        ({"monotonic": [Monotonic("x", "increasing", "gain")]}, "outcome 'gain'"),
        ({"additive": [Additive([["x", "speed"]])]}, "no parameter"),
        ({"additive": [Additive([["x"], ["x", "y"]])]}, "in two groups"),
    ],
)
def test_structure_of_what_is_not_there_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(PlannerError, match=why):
        ask(
            BayesianPlanner(**said),
            Problem(CUBE, Minimize("loss")),
            history_of(CUBE.sample(9, np.random.default_rng(0)), rising),
        )
