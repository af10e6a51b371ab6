"""What users of the exploring planners would miss: they learn more from as many trials, and say what they learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from trials import Values, ask, completed, explore, history_of, measured, unfinished

from sdl.campaign.planner import History, Planner, TrialState
from sdl.errors import PlannerError
from sdl.planners import (
    ActiveLearningPlanner,
    BayesianPlanner,
    BoundlessPlanner,
    LevelSetPlanner,
    PhaseMapPlanner,
    RandomPlanner,
    SobolPlanner,
)
from sdl.planners.criteria import Belief, Border, Criterion, doubt_reduction, variance_reduction
from sdl.planners.encoding import Encoding
from sdl.planners.fitting import plain_outcome
from sdl.planners.outcome import OutcomeData
from sdl.problem import Continuous, Maximize, Minimize, OutcomeConstraint, Problem, SearchSpace, Target

SQUARE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0))
SCORED = Problem(SQUARE, Maximize("gain"))
GRID: list[dict[str, float]] = [
    {"x": float(x), "y": float(y)} for x in np.linspace(0, 1, 13) for y in np.linspace(0, 1, 13)
]

CUBE = Problem(SearchSpace({name: Continuous(0.0, 1.0) for name in "abcd"}), [Maximize("u"), Maximize("v")])

PHASES = Problem(SQUARE, Target("phase", low=0, high=2))
"""Every phase is as good as any other."""


def ridges(values: Values) -> dict[str, float]:
    """A function that varies a great deal along one axis and hardly along the other."""
    x, y = float(values["x"]), float(values["y"])
    return {"gain": float(np.sin(9.0 * x) + 0.3 * y + 0.2 * x * y)}


def lake(values: Values) -> dict[str, float]:
    """An ellipse off the centre, about a fifth of the square, is where the gain is above 0."""
    x, y = float(values["x"]), float(values["y"])
    return {"gain": float(0.06 - (x - 0.35) ** 2 - 0.8 * (y - 0.6) ** 2)}


def hills(values: Values) -> dict[str, float]:
    """Franke's function: two hills and a hollow."""
    x, y = 9.0 * float(values["x"]), 9.0 * float(values["y"])
    hill = 0.75 * np.exp(-((x - 2) ** 2 + (y - 2) ** 2) / 4) + 0.75 * np.exp(-((x + 1) ** 2) / 49 - (y + 1) / 10)
    hill += 0.5 * np.exp(-((x - 7) ** 2 + (y - 3) ** 2) / 4) - 0.2 * np.exp(-((x - 4) ** 2) - (y - 7) ** 2)
    return {"gain": float(hill)}


def wave(values: Values) -> dict[str, float]:
    """Two phases with a border that is not straight."""
    x, y = float(values["x"]), float(values["y"])
    return {"phase": float(y > 0.5 + 0.25 * np.sin(5.0 * x))}


def phase(values: Values) -> dict[str, float]:
    """Three phases that meet at a point."""
    x, y = float(values["x"]), float(values["y"])
    return {"phase": 0.0 if y > 0.65 + 0.2 * np.sin(4.0 * x) else 1.0 if x < 0.55 else 2.0}


def crowded(values: Values) -> dict[str, float]:
    """Two outcomes that lie close to the origin almost everywhere."""
    a, b, c, d = (float(values[name]) for name in "abcd")
    return {"u": a**3 * b + 0.1 * c, "v": (1.0 - d) ** 4 * c + 0.1 * a}


def median(
    judge: Callable[[History], float],
    planner: Planner,
    problem: Problem,
    function: Callable[[Values], dict[str, float]],
    n: int,
    n_seeds: int = 3,
) -> float:
    """Return the median of what *judge* says of campaigns of *n* trials with some seeds."""
    return float(np.median([judge(explore(planner, problem, function, n, seed=seed)) for seed in range(n_seeds)]))


# --- they learn more --------------------------------------------------------------------------------------------------


def test_active_learning_knows_the_function_better_than_sobol_after_as_many_trials() -> None:
    truth = np.array([ridges(point)["gain"] for point in GRID])

    def error(history: History) -> float:
        predicted = BayesianPlanner().predict(SCORED, history, GRID)
        return float(np.sqrt(np.mean((np.array([p["gain"].mean for p in predicted]) - truth) ** 2)))

    ours, sobol = (median(error, p, SCORED, ridges, 12) for p in (ActiveLearningPlanner(), SobolPlanner()))
    assert ours < 0.8 * sobol


def test_the_level_set_is_found_better_than_by_spreading() -> None:
    inside = np.array([hills(point)["gain"] >= 0.6 for point in GRID])

    def f1(history: History) -> float:
        found = np.array(LevelSetPlanner(lower=0.6).membership(SCORED, history, GRID)) >= 0.5
        return float(2 * (found & inside).sum() / (found.sum() + inside.sum()))

    planners = (LevelSetPlanner(lower=0.6), SobolPlanner(), RandomPlanner())
    ours, sobol, random = (median(f1, planner, SCORED, hills, 14, n_seeds=3) for planner in planners)
    assert ours > max(sobol, random) + 0.02
    assert ours > 0.93


def test_the_phase_map_finds_the_border_with_fewer_trials_than_at_random() -> None:
    truth = [wave(point)["phase"] for point in GRID]

    def right(history: History) -> float:
        chances = PhaseMapPlanner().classify(PHASES, history, GRID)
        return float(np.mean([max(c, key=lambda code: c[code]) == t for c, t in zip(chances, truth, strict=True)]))

    ours, random = median(right, PhaseMapPlanner(), PHASES, wave, 15), median(right, RandomPlanner(), PHASES, wave, 20)
    assert ours > random
    assert ours > 0.9


def test_boundless_exploration_finds_more_kinds_of_outcomes_than_random() -> None:
    def cells(history: History) -> float:
        places = zip(measured(history, "u"), measured(history, "v"), strict=True)
        return float(len({(int(7 * u), int(7 * v)) for u, v in places}))

    ours, random = (median(cells, p, CUBE, crowded, 14, n_seeds=2) for p in (BoundlessPlanner(), RandomPlanner()))
    assert ours > 1.3 * random


# --- they say what they learned ---------------------------------------------------------------------------------------


def test_points_are_inside_outside_or_open() -> None:
    planner = LevelSetPlanner(lower=0.0)
    history = explore(planner, SCORED, lake, 14)
    labels = planner.classify(SCORED, history, [{"x": 0.35, "y": 0.6}, {"x": 0.95, "y": 0.05}])
    assert labels == ["inside", "outside"]
    few = planner.classify(SCORED, History(history.entries[:4]), GRID, confidence=0.99)
    assert "open" in few
    with pytest.raises(PlannerError, match=r"confidence = 1\.0"):
        planner.classify(SCORED, history, GRID, confidence=1.0)


def test_the_set_is_where_the_problem_itself_says() -> None:
    problem = Problem(SQUARE, Target("gain", low=-0.05, high=0.03), OutcomeConstraint("gain", upper=0.02))
    history = history_of(GRID[::5], lake)
    chances = LevelSetPlanner().membership(problem, history, GRID)
    truth = [-0.05 <= lake(point)["gain"] <= 0.02 for point in GRID]
    assert np.mean([(c >= 0.5) == t for c, t in zip(chances, truth, strict=True)]) > 0.95


def test_a_set_without_limits_is_refused() -> None:
    with pytest.raises(PlannerError, match="sets no limits"):
        ask(LevelSetPlanner(), SCORED, History())
    with pytest.raises(PlannerError, match=r"the set is empty: lower = 2\.0 is not below upper = 1\.0"):
        LevelSetPlanner(lower=2.0, upper=1.0)
    with pytest.raises(PlannerError, match="names no outcome 'colour', only gain"):
        ask(LevelSetPlanner(lower=1.0, outcome="colour"), SCORED, History())


def test_the_chances_of_the_classes_add_up_and_codes_have_no_order() -> None:
    history = history_of(GRID[::4], phase)
    point = [{"x": 0.2, "y": 0.3}]
    (chances,) = PhaseMapPlanner().classify(PHASES, history, point)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert max(chances, key=lambda code: chances[code]) == 1.0
    names = {0.0: 7.0, 1.0: -2.0, 2.0: 100.0}
    renamed = history_of(GRID[::4], lambda values: {"phase": names[phase(values)["phase"]]})
    (again,) = PhaseMapPlanner().classify(PHASES, renamed, point)
    assert {names[code]: chance for code, chance in chances.items()} == pytest.approx(again)


def test_a_phase_that_was_never_measured_is_refused() -> None:
    with pytest.raises(PlannerError, match="'phase' cannot be mapped"):
        PhaseMapPlanner().classify(PHASES, History(), GRID)


def test_one_class_alone_spreads_the_points() -> None:
    history = history_of(GRID[::20], lambda _: {"phase": 1.0})
    (suggestion,) = ask(PhaseMapPlanner(), PHASES, history)
    assert "Only one class" in suggestion.decision.note
    assert PhaseMapPlanner().classify(PHASES, history, GRID[:1]) == [{1.0: 1.0}]


def test_decisions_say_why() -> None:
    history = explore(SobolPlanner(), SCORED, lake, 9)
    (suggestion,) = ask(LevelSetPlanner(lower=0.0), SCORED, history)
    decision = suggestion.decision
    assert decision.acquisition_name == "log misclassification reduction"
    assert "Belongs to the set with a chance of" in decision.note
    assert decision.predicted.keys() == {"gain"}
    assert decision.models["gain"].n == 9
    assert decision.expected_improvement is None, "a stopping rule would take it for one"
    (mapped,) = ask(PhaseMapPlanner(), PHASES, history_of(GRID[::9], phase))
    assert "by 19 observations of 3 classes" in mapped.decision.note


# --- pending trials and batches ---------------------------------------------------------------------------------------

EXPLORERS = [
    (ActiveLearningPlanner(), SCORED, lake),
    (LevelSetPlanner(lower=0.0), SCORED, lake),
    (PhaseMapPlanner(), PHASES, phase),
    (BoundlessPlanner(), CUBE, crowded),
]


@pytest.mark.parametrize(("planner", "problem", "function"), EXPLORERS, ids=lambda value: getattr(value, "name", ""))
def test_a_batch_is_spread(planner: Planner, problem: Problem, function: Callable[[Values], dict[str, float]]) -> None:
    history = explore(SobolPlanner(), problem, function, 10)
    batch = ask(planner, problem, history, 4)
    rows = Encoding(problem.space).encode([s.values for s in batch])
    apart = [np.abs(a - b).max() for i, a in enumerate(rows) for b in rows[:i]]
    assert min(apart) > 0.02


@pytest.mark.parametrize(("planner", "problem", "function"), EXPLORERS, ids=lambda value: getattr(value, "name", ""))
def test_one_at_a_time_with_pending_trials_is_a_batch(
    planner: Planner, problem: Problem, function: Callable[[Values], dict[str, float]]
) -> None:
    history = explore(SobolPlanner(), problem, function, 10)
    (first,) = ask(planner, problem, history)
    waiting = unfinished(11, first.values, TrialState.RUNNING)
    (second,) = ask(planner, problem, History((*history.entries, waiting)))
    rows = Encoding(problem.space).encode([first.values, second.values])
    assert np.abs(rows[0] - rows[1]).max() > 0.02


def test_failures_are_kept_away_from() -> None:
    points = [point for point in GRID[::5] if not (point["x"] > 0.7 and point["y"] > 0.7)]
    history = history_of(points, lake)
    failed = [unfinished(100 + i, p, TrialState.FAILED) for i, p in enumerate(GRID) if p["x"] > 0.7 and p["y"] > 0.7]
    suggestions = ask(ActiveLearningPlanner(), SCORED, History((*history.entries, *failed)), 3)
    assert not [s for s in suggestions if float(s.values["x"]) > 0.8 and float(s.values["y"]) > 0.8]


# --- the criteria are what they say -----------------------------------------------------------------------------------


def a_belief(pending: int = 0) -> Belief:
    rng = np.random.default_rng(3)
    problem = Problem(SearchSpace(x=Continuous(0.0, 1.0)), Minimize("loss"))
    entries = [completed(i, {"x": float(x)}, loss=float(np.sin(6 * x))) for i, x in enumerate(rng.random(6))]
    encoding = Encoding(problem.space)
    return Belief.of(plain_outcome(OutcomeData.of(encoding, entries, "loss"), encoding), rng.random((pending, 1)))


def test_the_variance_that_vanishes_is_that_of_a_model_with_one_more_point() -> None:
    belief, references = a_belief(), np.linspace(0, 1, 30)[:, None]
    row = np.array([[0.37]])
    before = belief.field.at(references).deviation ** 2
    after = Belief.of(belief.fit, row).field.at(references).deviation ** 2
    found = variance_reduction([belief], references)(row)[0] * belief.fit.hyperparameters.amplitude
    assert found == pytest.approx((before - after).mean(), rel=1e-6)


def test_the_doubt_that_vanishes_is_the_integral_over_what_may_be_measured() -> None:
    """The closed form with Owen's function against the integral of p (1 - p) over the coming measurement."""
    belief, reference, row = a_belief(), np.array([[0.55]]), np.array([[0.5]])
    glance = belief.field.at(reference)
    mean, deviation = float(glance.mean[0, 0]), float(glance.deviation[0])
    shift = float(belief.shifts(row, glance)[0, 0])
    level = mean + 0.4 * deviation
    rest = np.sqrt(deviation**2 - shift**2)

    def doubt(z: float) -> float:
        chance = float(norm.cdf((mean + shift * z - level) / rest))
        return chance * (1.0 - chance) * float(norm.pdf(z))

    now = float(norm.cdf(-0.4))
    expected = now * (1.0 - now) - quad(doubt, -9.0, 9.0)[0]
    curious = variance_reduction([belief], reference)(row)[0]
    found = doubt_reduction([Border(belief, level)], reference)(row)[0]
    assert found - 1e-3 * curious == pytest.approx(expected, rel=1e-5)


def test_slopes_lead_uphill() -> None:
    belief, references = a_belief(pending=1), np.linspace(0, 1, 30)[:, None]
    nowhere = np.zeros((0, 1))
    criterion = Criterion("c", variance_reduction([belief], references), nowhere, np.array([[0.9]]))
    rows = np.array([[0.2], [0.6]])
    _, slopes = criterion.evaluate(rows)
    step = 1e-3
    change = criterion.values(rows + step) - criterion.values(rows - step)
    assert slopes[:, 0] == pytest.approx(change / (2 * step), rel=1e-2)
