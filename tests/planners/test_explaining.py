"""Why this one: the figures of decision records and of models, against what they are known to be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from trials import Values, ask, completed, history_of

from sdl.campaign.planner import History
from sdl.planners import BayesianPlanner
from sdl.planners.encoding import Encoding
from sdl.planners.field import Field
from sdl.planners.fitting import fit_outcome
from sdl.planners.outcome import OutcomeData
from sdl.planners.surrogate import Surrogate
from sdl.problem import Categorical, Continuous, Maximize, Minimize, Problem, SearchSpace

SPACE = SearchSpace(
    pressure=Continuous(0.01, 1.0, unit="Pa", log=True),
    temperature=Continuous(20.0, 420.0, unit="degC"),
    gas=Categorical(["argon", "neon", "xenon"]),
)
PROBLEM = Problem(SPACE, Minimize("loss"))
POINTS: list[Values] = [
    {
        "pressure": float(10 ** (-2.0 * p)),
        "temperature": float(20.0 + 400.0 * t),
        "gas": ("argon", "neon", "xenon")[i % 3],
    }
    for i, (p, t) in enumerate(np.random.default_rng(4).random((24, 2)))
]


def loss(v: Values) -> Mapping[str, float]:
    """Temperature decides; pressure and gas do nothing."""
    return {"loss": float(np.sin(4.0 * (float(v["temperature"]) - 20.0) / 400.0))}


def test_sensitivity_names_the_parameter_that_decides() -> None:
    model = BayesianPlanner().explain(PROBLEM, history_of(POINTS, loss))["loss"]
    assert model.sensitivity["temperature"].alone > 0.95
    assert model.sensitivity["pressure"].in_all < 0.05
    assert model.sensitivity["gas"].in_all < 0.05


def test_lengthscales_are_in_the_units_of_the_user() -> None:
    lengths = BayesianPlanner().explain(PROBLEM, history_of(POINTS, loss))["loss"].lengthscales
    assert (lengths["temperature"].kind, lengths["temperature"].unit) == ("length", "degC")
    assert 20.0 < lengths["temperature"].value < 1000.0
    assert lengths["pressure"].kind == "factor"
    assert lengths["pressure"].value > 100.0  # over the whole range the outcome resembles itself
    assert lengths["gas"].kind == "resemblance"
    assert lengths["gas"].value > 0.9


def test_a_model_that_knows_the_function_is_called_skilled() -> None:
    model = BayesianPlanner().explain(PROBLEM, history_of(POINTS, loss))["loss"]
    assert model.skill is not None
    assert model.skill > 0.9
    assert not model.warning


def test_a_model_of_chance_is_warned_of() -> None:
    rng = np.random.default_rng(8)
    history = history_of(POINTS, lambda _: {"loss": float(rng.standard_normal())})
    model = BayesianPlanner().explain(PROBLEM, history)["loss"]
    assert model.skill is not None
    assert model.skill < 0.2
    (suggestion,) = ask(BayesianPlanner(), PROBLEM, history)
    assert bool(model.warning) == ("does not predict better" in suggestion.decision.note)


def test_predictions_of_what_was_left_out_are_those_of_a_model_without_it() -> None:
    encoding = Encoding(SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0)))
    rng = np.random.default_rng(2)
    rows, values = rng.random((9, 2)), rng.standard_normal(9)
    fit = fit_outcome(OutcomeData(rows, values, np.full(9, 0.2)), encoding)
    errors, deviations = Field.of(fit).left_out()
    for number in range(9):
        others = np.arange(9) != number
        glance = Field(fit, rows[others], fit.data.targets[others], fit.noise[others]).at(rows[[number]])
        assert errors[number] == pytest.approx(fit.data.targets[number] - glance.mean[0, 0], abs=1e-9)
        assert deviations[number] ** 2 == pytest.approx(glance.deviation[0] ** 2 + fit.noise[number], rel=1e-6)


def test_intervals_of_a_well_specified_model_cover_what_they_claim() -> None:
    """Functions drawn from a Gaussian process with noise: about 95 % of what was left out lies in the intervals."""
    rng = np.random.default_rng(6)
    space = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0))
    covered = []
    for _ in range(8):
        rows = rng.random((30, 2))
        squared = ((rows[:, None, :] - rows[None, :, :]) ** 2).sum(axis=2)
        values = np.linalg.cholesky(np.exp(-8.0 * squared) + 0.01 * np.eye(30)) @ rng.standard_normal(30)
        history = History(
            [
                completed(i + 1, {"x": float(x), "y": float(y)}, f=v)
                for i, ((x, y), v) in enumerate(zip(rows, values, strict=True))
            ]
        )
        coverage = BayesianPlanner().explain(Problem(space, Maximize("f")), history)["f"].coverage
        covered.append(coverage)
    assert 0.90 <= float(np.mean([c for c in covered if c is not None])) <= 0.99


def test_the_nearest_trial_speaks_most() -> None:
    history = history_of(POINTS, loss)
    (suggestion,) = ask(BayesianPlanner(), PROBLEM, history)
    influences = suggestion.decision.influences
    assert 1 <= len(influences) <= 3
    assert sum(each.share for each in influences) <= 1.0 + 1e-9
    assert [each.share for each in influences] == sorted((each.share for each in influences), reverse=True)
    temperatures = {entry.trial: float(entry.values["temperature"]) for entry in history.entries}
    there = float(suggestion.values["temperature"])
    far = np.median([abs(value - there) for value in temperatures.values()])
    assert abs(temperatures[influences[0].trial] - there) < far


def test_exploration_is_high_where_nothing_is_known_and_low_beside_the_best() -> None:
    """On a slope: with two points at one end the planner bets on doubt; near a sure minimum it takes what is there."""
    space = SearchSpace(x=Continuous(0.0, 1.0))
    problem = Problem(space, Minimize("loss"))
    xs = np.linspace(0.0, 1.0, 9)
    slope = history_of([{"x": float(x)} for x in xs], lambda v: {"loss": (float(v["x"]) - 0.3) ** 2})
    (sure,) = ask(BayesianPlanner(n_initial=4), problem, slope)
    flat = history_of([{"x": float(x)} for x in (0.0, 0.1, 0.2, 0.3)], lambda _: {"loss": 1.0})
    (unsure,) = ask(BayesianPlanner(n_initial=4), problem, flat)
    assert sure.decision.exploration is not None
    assert sure.decision.exploration < 0.5
    assert "exploits" in sure.decision.note
    assert unsure.decision.exploration is None or unsure.decision.exploration > 0.9


def test_every_outcome_has_its_model_in_the_decision() -> None:
    problem = Problem(SPACE, [Minimize("loss"), Maximize("gain")])
    history = history_of(POINTS, lambda v: {**loss(v), "gain": float(v["temperature"]) / 400.0})
    (suggestion,) = ask(BayesianPlanner(), problem, history)
    assert set(suggestion.decision.models) == {"loss", "gain"}
    assert all(model.n == len(POINTS) for model in suggestion.decision.models.values())
    assert suggestion.decision.exploration is None


def test_a_model_is_what_the_decision_says_of_it() -> None:
    """The noise in the unit of the outcome: thirty repeats of one number give it back."""
    rng = np.random.default_rng(3)
    points = [{"x": float(x)} for x in rng.random(60)]
    history = history_of(points, lambda v: {"loss": 100.0 * float(v["x"]) + 7.0 * float(rng.standard_normal())})
    model = BayesianPlanner().explain(Problem(SearchSpace(x=Continuous(0.0, 1.0)), Minimize("loss")), history)["loss"]
    assert model.noise == pytest.approx(7.0, rel=0.3)


def test_influence_counts_repeats_of_a_trial_once_each() -> None:
    encoding = Encoding(SearchSpace(x=Continuous(0.0, 1.0)))
    measured = OutcomeData(np.array([[0.0], [0.5], [1.0]]), np.array([1.0, 2.0, 3.0]), np.zeros(3), (4, 5, 6))
    fit = fit_outcome(measured, encoding)
    assert Surrogate({"loss": fit}).fits["loss"].trials == (4, 5, 6)
