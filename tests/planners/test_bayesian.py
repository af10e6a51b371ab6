from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import (
    BRANIN,
    BRANIN_MINIMUM,
    LINE,
    ask,
    branin,
    bumps,
    completed,
    explore,
    history_of,
    measured,
    unfinished,
)

from sdl.campaign.planner import History, Situation, TrialState
from sdl.errors import PlannerError
from sdl.planners import BayesianPlanner, SobolPlanner
from sdl.planners import proposal as proposing
from sdl.planners.acquisition import acquisition_for
from sdl.planners.domain import Domain
from sdl.planners.fitting import fit_outcome
from sdl.planners.maximise import maximise
from sdl.planners.proposal import Request
from sdl.planners.surrogate import single_threaded
from sdl.problem import (
    Categorical,
    Continuous,
    Discrete,
    LinearConstraint,
    Maximize,
    Measurement,
    Minimize,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
)
from sdl.testing.planner import NOWHERE, an_entry, check_suggestions

SQUARE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0))


def line_history(n: int = 6) -> History:
    return history_of([{"x": float(x)} for x in np.linspace(0.05, 0.95, n)], bumps)


# --- finding optima ---------------------------------------------------------------------------------------------------


def test_it_finds_the_minimum_of_branin_long_before_a_sobol_sequence() -> None:
    """Median over three seeds after 16 trials."""
    bayesian, sobol = [], []
    for seed in range(3):
        bayesian.append(min(measured(explore(BayesianPlanner(), BRANIN, branin, 16, seed=seed), "loss")))
        sobol.append(min(measured(explore(SobolPlanner(), BRANIN, branin, 16, seed=seed), "loss")))
    assert np.median(bayesian) - BRANIN_MINIMUM < 0.2 * (np.median(sobol) - BRANIN_MINIMUM)


def test_it_finds_the_best_mixture_of_choice_level_and_number() -> None:
    space = SearchSpace(x=Continuous(0.0, 1.0), turns=Discrete([1, 2, 4, 8]), base=Categorical(list("abcde")))
    best = {"a": 0.2, "b": 1.0, "c": 0.5, "d": 0.1, "e": 0.7}

    def function(v: Any) -> dict[str, float]:
        return {"gain": best[v["base"]] - (v["x"] - 0.3) ** 2 - 0.05 * abs(np.log2(v["turns"] / 4))}

    history = explore(BayesianPlanner(), Problem(space, Maximize("gain")), function, 22)
    found = max(
        history.entries, key=lambda entry: entry.observation.outcomes["gain"].value if entry.observation else 0.0
    )
    assert (found.values["base"], found.values["turns"]) == ("b", 4.0)
    assert abs(float(found.values["x"]) - 0.3) < 0.1


def test_it_keeps_an_outcome_below_its_limit() -> None:
    """The best allowed value lies on the edge of what is allowed."""
    problem = Problem(SQUARE, Maximize("gain"), OutcomeConstraint("heat", upper=1.0))

    def function(v: Any) -> dict[str, float]:
        return {"gain": v["x"] + v["y"], "heat": 1.5 * v["x"] ** 2 + v["y"] ** 2}

    history = explore(BayesianPlanner(), problem, function, 12)
    allowed = [
        e.observation.outcomes for e in history.entries if e.observation and problem.is_feasible(e.observation.outcomes)
    ]
    # By Lagrange the optimum is y = 1.5 x with 1.5 x^2 + 2.25 x^2 = 1.
    optimum = 2.5 * np.sqrt(1 / 3.75)
    assert max(outcomes["gain"].value for outcomes in allowed) > 0.97 * optimum


def test_it_first_looks_for_points_that_are_allowed() -> None:
    problem = Problem(SQUARE, Minimize("loss"), OutcomeConstraint("yield", lower=0.9))

    def function(v: Any) -> dict[str, float]:
        return {"loss": v["x"], "yield": float(np.exp(-((v["x"] - 0.8) ** 2 + (v["y"] - 0.8) ** 2) / 0.1))}

    start = history_of([{"x": x, "y": y} for x, y in ((0.1, 0.1), (0.5, 0.2), (0.3, 0.6), (0.2, 0.9))], function)
    (suggestion,) = ask(BayesianPlanner(n_initial=4), problem, start)
    assert suggestion.decision.acquisition_name == "log probability of feasibility"
    assert suggestion.decision.expected_improvement is None
    history = explore(BayesianPlanner(n_initial=4), problem, function, 8, start=start.entries)
    assert any(problem.is_feasible(e.observation.outcomes) for e in history.entries if e.observation)


def test_it_hits_a_target() -> None:
    problem = Problem(SQUARE, Target("gap", value=1.5))

    def function(v: Any) -> dict[str, float]:
        return {"gap": 3.0 * v["x"] ** 2 + np.sin(3.0 * v["y"])}

    gaps = measured(explore(BayesianPlanner(), problem, function, 12), "gap")
    assert min(abs(gap - 1.5) for gap in gaps) < 0.01


def test_it_spreads_along_a_pareto_front() -> None:
    problem = Problem(SQUARE, [Minimize("cost", reference=1.5), Minimize("loss", reference=1.5)])

    def function(v: Any) -> dict[str, float]:
        return {"cost": v["x"] + v["y"] ** 2, "loss": (1.0 - v["x"]) + v["y"] ** 2}

    history = explore(BayesianPlanner(), problem, function, 11)
    front = [e for e in history.entries[4:] if float(e.values["y"]) < 0.15]
    assert len(front) >= 5
    covered = sorted(float(e.values["x"]) for e in front)
    assert covered[0] < 0.1
    assert covered[-1] > 0.9
    assert max(np.diff(covered)) < 0.5


def test_it_finds_the_best_place_in_spite_of_noise() -> None:
    """The place that the model recommends, not the luckiest measurement, is near the optimum."""
    rng = np.random.default_rng(1)

    def noisy(v: Any) -> dict[str, float | Measurement]:
        truth = 1.0 - (v["x"] - 0.6) ** 2 - (v["y"] - 0.3) ** 2
        return {"gain": Measurement(value=float(truth + 0.1 * rng.standard_normal()), standard_error=0.1)}

    problem, planner = Problem(SQUARE, Maximize("gain")), BayesianPlanner()
    history = explore(planner, problem, noisy, 16)
    points = [entry.values for entry in history.entries]
    predicted = planner.predict(problem, history, points)
    best = points[int(np.argmax([p["gain"].mean for p in predicted]))]
    assert (float(best["x"]) - 0.6) ** 2 + (float(best["y"]) - 0.3) ** 2 < 0.06


def test_a_logarithmic_outcome_over_decades_is_minimised() -> None:
    problem = Problem(SearchSpace(p=Continuous(1e-3, 1e1, log=True), t=Continuous(300.0, 900.0)), Minimize("ohm"))

    def resistance(v: Any) -> dict[str, float]:
        return {"ohm": float(10.0 ** (1.0 + np.log10(v["p"] / 0.05) ** 2 + ((v["t"] - 700.0) / 200.0) ** 2))}

    assert min(measured(explore(BayesianPlanner(), problem, resistance, 16), "ohm")) < 12.0


# --- the acquisition's maximum ----------------------------------------------------------------------------------------


def greatest_on_a_grid(problem: Problem, history: History, n: int, seed: int = 0) -> tuple[float, float]:
    """Return the acquisition's greatest value on a dense grid, and what the search finds."""
    domain = Domain(problem.space, {})
    request = Request.of(problem, history, domain, seed)
    with single_threaded():
        surrogate = request.fit(fit_outcome)
        function = acquisition_for(problem, surrogate, request.known, seed=seed)
        (candidates,) = domain.grid([n] * domain.n_free, 100_000)
        rng = np.random.default_rng(seed)
        found = maximise(function, domain, request.avoid, request.known.observed[:3], rng)
        return float(function.values(candidates.rows).max()), found.best[0].value


@pytest.mark.parametrize("n_pending", [0, 2])
def test_the_search_finds_the_maximum_on_a_line(n_pending: int) -> None:
    pending = [unfinished(90 + i, {"x": 0.3 + 0.47 * i}) for i in range(n_pending)]
    history = History((*line_history().entries, *pending))
    on_grid, found = greatest_on_a_grid(LINE, history, 2001)
    assert found >= on_grid - 1e-4


def test_the_search_finds_the_maximum_on_a_square() -> None:
    rng = np.random.default_rng(3)
    points = [{"x": float(x), "y": float(y)} for x, y in rng.random((9, 2)) * 15 - np.array([5.0, 0.0])]
    on_grid, found = greatest_on_a_grid(BRANIN, history_of(points, branin), 101)
    assert found >= on_grid - 1e-3


def test_the_search_finds_the_maximum_behind_a_linear_constraint() -> None:
    space = SearchSpace(
        x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0), constraints=[LinearConstraint({"x": 1.0, "y": 2.0}, upper=1.2)]
    )
    points = [{"x": 0.1, "y": 0.1}, {"x": 0.9, "y": 0.1}, {"x": 0.2, "y": 0.4}, {"x": 0.5, "y": 0.3}]
    history = history_of(points, lambda v: {"gain": float(v["x"]) + 3 * float(v["y"])})
    on_grid, found = greatest_on_a_grid(Problem(space, Maximize("gain")), history, 101)
    assert found >= on_grid - 1e-3


# --- what it takes into account ---------------------------------------------------------------------------------------


NUMBERS = {f"x{number}": Continuous(0.0, 1.0) for number in range(6)}


@pytest.mark.parametrize(
    ("parameters", "n_first"),
    [
        (dict(list(NUMBERS.items())[:1]), 4),
        (NUMBERS, 5),
        ({**NUMBERS, "gas": Categorical(["argon", "air"])}, 6),
        ({**NUMBERS, "gas": Categorical(["argon", "air", "xenon"])}, 11),
        ({f"n{number}": Discrete([1, 2, 3]) for number in range(6)}, 10),
    ],
    ids=["one", "continuous", "two levels", "three levels", "finite"],
)
def test_so_many_points_come_before_the_model(parameters: dict[str, Any], n_first: int) -> None:
    """Few where neighbours resemble each other, more where levels must have been seen."""
    problem = Problem(SearchSpace(parameters), Minimize("loss"))
    rng = np.random.default_rng(0)
    points = problem.space.sample(n_first, rng)
    for n, is_first in ((n_first - 1, True), (n_first, False)):
        history = history_of(points[:n], lambda values: {"loss": float(len(str(values)))})
        (suggestion,) = ask(BayesianPlanner(), problem, history)
        assert ("Before there is a model" in suggestion.decision.note) is is_first


def test_it_begins_with_a_sobol_sequence_and_counts_seed_data() -> None:
    planner = BayesianPlanner(n_initial=5)
    assert ask(planner, LINE, line_history(4))[0].decision.acquisition is None
    assert ask(planner, LINE, line_history(5))[0].decision.acquisition is not None


def test_a_batch_may_begin_without_a_model_and_end_with_one() -> None:
    suggestions = ask(BayesianPlanner(n_initial=6), LINE, line_history(4), 4)
    assert [s.decision.acquisition_name is None for s in suggestions] == [True, True, False, False]


def test_pending_trials_count_for_the_beginning_only_where_there_are_enough_data() -> None:
    waiting = [unfinished(50 + i, {"x": 0.11 + 0.1 * i}) for i in range(6)]
    planner = BayesianPlanner(n_initial=6)
    assert ask(planner, LINE, History((*line_history(2).entries, *waiting)))[0].decision.acquisition is None
    assert ask(planner, LINE, History((*line_history(3).entries, *waiting)))[0].decision.acquisition is not None


def test_points_of_a_batch_lie_apart_from_each_other_and_from_pending_ones() -> None:
    history = History((*line_history().entries, unfinished(99, {"x": 0.84})))
    xs = [float(s.values["x"]) for s in ask(BayesianPlanner(), LINE, history, 3)]
    together = sorted([*xs, 0.84])
    assert min(np.diff(together)) > 0.01


def test_failed_trials_make_their_neighbourhood_less_attractive() -> None:
    """Again and again the planner's favourite fails; it must turn elsewhere, and may come back after a success."""
    entries = list(line_history().entries)
    (favourite,) = ask(BayesianPlanner(), LINE, History(tuple(entries)))
    for number in range(6):
        (suggestion,) = ask(BayesianPlanner(), LINE, History(tuple(entries)), seed=number)
        entries.append(unfinished(20 + number, suggestion.values, TrialState.FAILED))
    (last,) = ask(BayesianPlanner(), LINE, History(tuple(entries)))
    assert abs(float(last.values["x"]) - float(favourite.values["x"])) > 0.1
    assert "chance of success" in str(last.decision.acquisition_name)


def test_a_context_is_learned_from_and_kept() -> None:
    """The best setting moves with the humidity."""
    space = SearchSpace(x=Continuous(0.0, 1.0), humidity=Continuous(0.0, 100.0, context=True))
    problem = Problem(space, Maximize("gain"))

    def function(v: Any) -> dict[str, float]:
        return {"gain": -((v["x"] - v["humidity"] / 100.0) ** 2)}

    rng = np.random.default_rng(0)
    points = [{"x": float(x), "humidity": float(h)} for x, h in zip(rng.random(25), 100 * rng.random(25), strict=True)]
    history = history_of(points, function)
    for humidity in (20.0, 80.0):
        (suggestion,) = ask(BayesianPlanner(), problem, history, situation=Situation(context={"humidity": humidity}))
        assert suggestion.values["humidity"] == humidity
        assert float(suggestion.values["x"]) == pytest.approx(humidity / 100.0, abs=0.1)


def test_standard_errors_are_believed() -> None:
    """One great value with a great error does not draw the planner; the same value measured well does."""
    points = [{"x": float(x)} for x in np.linspace(0.0, 1.0, 9)]

    def planned_near_the_peak(error: float) -> float:
        entries = [
            completed(
                i + 1,
                p,
                gain=Measurement(value=1.0 + 0.02 * i if i != 2 else 3.0, standard_error=error if i == 2 else 0.01),
            )
            for i, p in enumerate(points)
        ]
        (predicted,) = BayesianPlanner().predict(LINE, History(tuple(entries)), [{"x": 0.25}])
        return predicted["gain"].mean

    assert planned_near_the_peak(0.01) > 2.0
    assert planned_near_the_peak(5.0) < 1.5


# --- the decision record ----------------------------------------------------------------------------------------------


def test_the_decision_says_what_was_expected() -> None:
    problem = Problem(
        SQUARE, [Minimize("cost", unit="kg"), Maximize("gain")], OutcomeConstraint("heat", upper=40.0, unit="K")
    )

    def function(v: Any) -> dict[str, float | Measurement]:
        heat = Measurement(value=30.0 + 5.0 * v["y"], unit="K")
        return {"cost": Measurement(value=1.0 + v["x"], unit="kg"), "gain": v["x"] * v["y"], "heat": heat}

    points = [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(1).random((12, 2))]
    (suggestion,) = ask(BayesianPlanner(), problem, history_of(points, function))
    decision = suggestion.decision
    truth = function(suggestion.values)
    assert decision.acquisition_name == "LogEHVI"
    assert set(decision.predicted) == {"cost", "gain", "heat"}
    assert decision.predicted["heat"].mean == pytest.approx(truth["heat"].value, abs=0.5)  # type: ignore[union-attr]
    assert decision.predicted["cost"].mean == pytest.approx(truth["cost"].value, abs=0.1)  # type: ignore[union-attr]
    assert decision.expected_improvement is not None
    assert decision.expected_improvement >= 0.0
    assert "heat" in decision.note
    assert "K" in decision.note


def test_runners_up_are_other_points_with_smaller_values() -> None:
    (suggestion,) = ask(BayesianPlanner(), LINE, line_history(5))
    decision = suggestion.decision
    xs = [float(suggestion.values["x"]), *(float(r.values["x"]) for r in decision.runners_up)]
    values = [decision.acquisition, *(r.acquisition for r in decision.runners_up)]
    assert len(xs) == 4
    assert values == sorted(values, key=lambda value: -float(value or 0.0))
    assert min(abs(a - b) for i, a in enumerate(xs) for b in xs[:i]) > 0.05


def test_the_expected_improvement_falls_as_the_optimum_is_closed_in() -> None:
    history = explore(BayesianPlanner(), LINE, bumps, 14)
    early = ask(BayesianPlanner(), LINE, History(history.entries[:4]))[0].decision.expected_improvement
    late = ask(BayesianPlanner(), LINE, history)[0].decision.expected_improvement
    assert early is not None
    assert late is not None
    assert late < 0.05 * early


def test_predictions_are_in_the_unit_of_the_outcome_and_sharpen_at_data() -> None:
    history = line_history(8)
    far, near = BayesianPlanner().predict(LINE, history, [{"x": 0.115}, history.entries[5].values])
    assert near["gain"].mean == pytest.approx(measured(history, "gain")[5], abs=0.05)
    assert near["gain"].standard_deviation < 0.6 * far["gain"].standard_deviation


def test_nothing_measured_cannot_be_predicted_from() -> None:
    with pytest.raises(PlannerError, match="'gain' cannot be predicted"):
        BayesianPlanner().predict(LINE, History((unfinished(1, {"x": 0.5}),)), [{"x": 0.5}])


# --- when numbers fail ------------------------------------------------------------------------------------------------


def failing(*_: object) -> object:
    raise np.linalg.LinAlgError("not positive definite")


def test_without_a_fit_a_plainer_model_is_used_and_the_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "LADDER", ((failing, ""), *proposing.LADDER[1:]))
    (suggestion,) = ask(BayesianPlanner(), LINE, line_history())
    assert "could not be fitted" in suggestion.decision.note
    assert suggestion.decision.predicted


def test_without_any_model_the_space_is_filled_and_the_note_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "LADDER", ((failing, ""), (failing, "")))
    first, second = ask(BayesianPlanner(), LINE, line_history(), 2)
    assert "LinAlgError: not positive definite" in first.decision.note
    assert first.values != second.values
    with pytest.raises(PlannerError, match="cannot be modelled"):
        BayesianPlanner().predict(LINE, line_history(), [{"x": 0.5}])


MIXED = Problem(
    SearchSpace(x=Continuous(0.0, 1.0), turns=Discrete([1, 2, 3]), base=Categorical(["a", "b"])), Minimize("loss")
)
TRIALS = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5, 0.500000001, 1.0]),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from(["a", "b"]),
    st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, 1e-9, 5e-324]),
    st.none() | st.floats(0.0, 1e6),
    st.sampled_from([TrialState.COMPLETED] * 3 + [TrialState.FAILED, TrialState.RUNNING, TrialState.ABANDONED]),
)


@settings(max_examples=15)
@given(trials=st.lists(TRIALS, max_size=14), n=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_whatever_the_history_suggestions_are_legal_and_new(trials: list[tuple[Any, ...]], n: int, seed: int) -> None:
    entries = []
    for number, (x, turns, base, value, error, state) in enumerate(trials):
        values = {"x": x, "turns": turns, "base": base}
        outcome = {"loss": Measurement(value=value, standard_error=error)}
        entries.append(an_entry(MIXED, number + 1, values, state, outcome))
    suggestions = ask(BayesianPlanner(n_initial=2), MIXED, History(tuple(entries)), n, seed)
    assert len(suggestions) == n
    check_suggestions(MIXED, History(tuple(entries)), suggestions, NOWHERE, seed=seed)


def test_two_constant_outcomes_still_give_a_model() -> None:
    problem = Problem(SQUARE, [Minimize("cost"), Maximize("gain")])
    points = [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(1).random((8, 2))]
    (suggestion,) = ask(BayesianPlanner(), problem, history_of(points, lambda _: {"cost": 0.1, "gain": 1e6}))
    assert suggestion.decision.acquisition_name == "LogEHVI"
    assert suggestion.decision.predicted["gain"].mean == pytest.approx(1e6, rel=0.1)


# --- manners ----------------------------------------------------------------------------------------------------------


def test_it_is_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(BayesianPlanner(), LINE, history_of([{"x": 0.5 + 1e-9 * i} for i in range(9)], bumps), 2)


def test_importing_the_planners_is_quick_and_suggestions_need_no_pytorch() -> None:
    code = (
        "import sys, sdl.planners as p; p.BayesianPlanner(); "
        "assert 'torch' not in sys.modules and 'scipy.optimize' not in sys.modules; "
        "import sdl.planners.proposal; "
        "assert 'torch' not in sys.modules and 'scipy.stats' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_acquisition_function_of_botorch_can_use_what_was_learned() -> None:
    """Its best point is where expected improvement is greatest for us as well."""
    history = history_of([{"x": x} for x in (0.1, 0.35, 0.6, 0.85)], bumps)
    learned = BayesianPlanner().to_botorch(LINE, history)
    measured = [entry.observation.outcomes["gain"].value for entry in history.completed if entry.observation]
    acquisition = LogExpectedImprovement(learned.model, best_f=learned.standardised("gain", [max(measured)]))
    grid = [{"x": float(x)} for x in np.linspace(0.0, 1.0, 201)]
    with torch.no_grad():
        worth = acquisition(learned.encode(grid)[:, None, :])
    best = learned.decode(learned.encode(grid)[int(worth.argmax())][None, :])[0]
    (ours,) = ask(BayesianPlanner(n_initial=4), LINE, history)
    assert learned.outcomes == ("gain",)
    assert best["x"] == pytest.approx(ours.values["x"], abs=0.01)


@pytest.mark.parametrize("make", [lambda: BayesianPlanner(seed=-1), lambda: BayesianPlanner(n_initial=1)])
def test_options_are_checked(make: Callable[[], BayesianPlanner]) -> None:
    with pytest.raises(ValueError, match="greater than or equal"):
        make()
