"""Data that a plain model would misread: a drift in time, wrong measurements, noise that depends on the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from trials import Values, ask, explore, history_of, measured

from sdl.campaign.planner import History
from sdl.journal.records import Prediction
from sdl.planners import BayesianPlanner
from sdl.problem import Continuous, Minimize, Problem, SearchSpace

Array = npt.NDArray[np.float64]

SPACE = SearchSpace({name: Continuous(0.0, 1.0) for name in "xyz"})
PROBLEM = Problem(SPACE, Minimize("loss"))
N = 48

PLAIN = BayesianPlanner(drift="no")
WATCHFUL = BayesianPlanner(drift="auto", outliers="auto", noise="auto")


def truth(v: Values) -> float:
    x, y, z = (float(v[name]) for name in "xyz")
    return float(np.sin(5.0 * x) + 6.0 * (y - 0.4) ** 2 + x * z)


def trials(disturb: Callable[[Array, np.random.Generator], Array], seed: int = 0) -> History:
    """Return N trials whose outcomes are disturbed by a function of x."""
    rng = np.random.default_rng(seed)
    points = SPACE.sample(N, rng)
    disturbed = disturb(np.array([float(point["x"]) for point in points]), rng)
    values = iter([truth(point) + error for point, error in zip(points, disturbed.tolist(), strict=True)])
    return history_of(points, lambda _: {"loss": next(values)})


def quiet(x: Array, rng: np.random.Generator) -> Array:
    return 0.1 * rng.standard_normal(len(x))


def drifting(x: Array, rng: np.random.Generator) -> Array:
    return quiet(x, rng) + 1.5 * np.arange(1, len(x) + 1) / len(x)


WRONG = (7, 20, 33, 41)


def with_outliers(x: Array, rng: np.random.Generator) -> Array:
    errors = quiet(x, rng)
    errors[list(WRONG)] += 4.0
    return errors


def louder_to_the_right(x: Array, rng: np.random.Generator) -> Array:
    return rng.standard_normal(len(x)) * (0.02 + 0.6 * x**3)


PLACES = SPACE.sample(100, np.random.default_rng(99))


def error_in(predicted: Sequence[Mapping[str, Prediction]], shift: float = 0.0) -> float:
    missed = [p["loss"].mean - truth(at) - shift for p, at in zip(predicted, PLACES, strict=True)]
    return float(np.sqrt(np.mean(np.square(missed))))


def error_of(planner: BayesianPlanner, history: History, shift: float = 0.0) -> float:
    return error_in(planner.predict(PROBLEM, history, PLACES), shift)


def test_predictions_under_drift_are_for_now() -> None:
    history = trials(drifting)
    assert error_of(WATCHFUL, history, 1.5) < 0.3 * error_of(PLAIN, history, 1.5)
    (suggestion,) = ask(WATCHFUL, PROBLEM, history)
    assert suggestion.decision.models["loss"].drift == pytest.approx(1.5, abs=0.3)
    assert "loss drifts" in suggestion.decision.note


def test_a_step_in_time_is_a_drift_too() -> None:
    history = trials(lambda x, rng: quiet(x, rng) + (np.arange(len(x)) > 30))
    assert error_of(WATCHFUL, history, 1.0) < 0.5 * error_of(PLAIN, history, 1.0)


def test_wrong_measurements_are_found_and_named() -> None:
    history = trials(with_outliers)
    assert error_of(WATCHFUL, history) < 0.4 * error_of(PLAIN, history)
    (suggestion,) = ask(WATCHFUL, PROBLEM, history)
    discounted = suggestion.decision.models["loss"].discounted
    assert set(discounted) == {number + 1 for number in WRONG}
    assert "does not fit the others" in suggestion.decision.note


def test_a_measurement_that_is_better_than_expected_is_not_discounted() -> None:
    history = trials(lambda x, rng: -with_outliers(x, rng))
    assert BayesianPlanner(outliers="auto").explain(PROBLEM, history)["loss"].discounted == ()


def test_intervals_are_wide_where_measurements_scatter() -> None:
    told, history = BayesianPlanner(noise="auto"), trials(louder_to_the_right)
    ends = [{"x": x, "y": 0.4, "z": 0.5} for x in (0.1, 0.95)]
    quiet_end, loud_end, *others = told.predict(PROBLEM, history, [*ends, *PLACES])
    assert loud_end["loss"].standard_deviation > 2.0 * quiet_end["loss"].standard_deviation
    assert error_in(others) < error_of(PLAIN, history)


def test_nothing_is_found_where_nothing_is() -> None:
    for seed in range(2):
        history = trials(quiet, seed)
        model = WATCHFUL.explain(PROBLEM, history)["loss"]
        assert model.drift is None
        assert model.discounted == ()
        assert error_of(WATCHFUL, history) == pytest.approx(error_of(PLAIN, history), rel=0.05)


@pytest.mark.parametrize("options", [{"drift": "yes"}, {"outliers": "auto"}, {"noise": "yes"}], ids=str)
def test_asked_for_it_bears_few_data_and_equal_outcomes(options: Any) -> None:
    planner = BayesianPlanner(n_initial=2, **options)
    history = explore(planner, PROBLEM, lambda v: {"loss": 1.0}, 4)
    history = History([*history.entries, *explore(planner, PROBLEM, lambda v: {"loss": truth(v)}, 4).entries])
    assert len(measured(history, "loss")) == 8
    assert all(SPACE.contains(suggestion.values) for suggestion in ask(planner, PROBLEM, history, 2))
