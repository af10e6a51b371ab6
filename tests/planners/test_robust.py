"""Set-points that are missed: what is sought holds around the point."""

from __future__ import annotations

import numpy as np
import pytest
from trials import NOWHERE, Values, ask, completed, explore, history_of, unfinished

from sdl.campaign.planner import History
from sdl.errors import PlannerError
from sdl.planners import BayesianPlanner
from sdl.planners.criteria import Belief
from sdl.planners.encoding import Encoding
from sdl.planners.fitting import fit_outcome
from sdl.planners.outcome import OutcomeData
from sdl.planners.robust import Around, Risk
from sdl.problem import Categorical, Continuous, Discrete, Maximize, OutcomeConstraint, Problem, SearchSpace, Target

SPACE = SearchSpace(x=Continuous(0.0, 100.0, unit="degC"))
PROBLEM = Problem(SPACE, Maximize("gain"))
SPREAD = 6.0


def needle_and_hill(v: Values) -> dict[str, float]:
    """A narrow peak of 1.2 at 25, and a broad one of 0.9 at 70."""
    x = float(v["x"])
    return {"gain": float(1.2 * np.exp(-(((x - 25) / 5) ** 2)) + 0.9 * np.exp(-(((x - 70) / 20) ** 2)))}


def around_point(x: float) -> float:
    missed = x + SPREAD * np.random.default_rng(0).standard_normal(2000)
    return float(np.mean([needle_and_hill({"x": each})["gain"] for each in missed]))


@pytest.mark.parametrize("worst", [1.0, 0.25])
def test_it_settles_where_outcomes_are_good_all_around(worst: float) -> None:
    start = history_of([{"x": 12.5 * n} for n in range(9)], needle_and_hill).entries
    planner = BayesianPlanner(missed_by={"x": SPREAD}, worst=worst)
    plain = explore(BayesianPlanner(), PROBLEM, needle_and_hill, 4, start=start)
    robust = explore(planner, PROBLEM, needle_and_hill, 4, start=start)
    chosen = float(planner.recommend(PROBLEM, robust).values["x"])
    assert 60 < chosen < 80
    assert abs(float(BayesianPlanner().recommend(PROBLEM, plain).values["x"]) - 25) < 4
    assert around_point(chosen) > 0.8 > 1.2 * around_point(25.0)


def test_mean_and_deviation_around_a_point_are_those_of_samples() -> None:
    points: list[Values] = [{"x": float(x)} for x in (5, 20, 30, 50, 65, 90)]
    entries = history_of(points, needle_and_hill).entries
    encoding = Encoding(SPACE)
    belief = Belief.of(fit_outcome(OutcomeData.of(encoding, entries, "gain"), encoding), np.zeros((0, 1)))
    deviations = Risk({"x": SPREAD}, 1.0).deviations(encoding)
    row = np.array([[0.4]])
    drawn = belief.field.draw(row + deviations, np.random.default_rng(0).standard_normal((len(deviations), 4000)))
    mean, deviation = Around(belief, 1.0, deviations, 1.0).score(row)
    assert mean[0] == pytest.approx(drawn.mean(), abs=0.05)
    assert deviation[0] == pytest.approx(drawn.mean(axis=0).std(), rel=0.06)
    lowest = np.sort(drawn, axis=0)[:4].mean(axis=0)
    mean, deviation = Around(belief, 1.0, deviations, 0.25).score(row)
    assert mean[0] == pytest.approx(lowest.mean(), abs=0.1)
    assert deviation[0] == pytest.approx(lowest.std(), rel=0.3)


def test_constraints_pending_and_failed_trials_and_equal_outcomes_are_borne() -> None:
    space = SearchSpace(
        x=Continuous(0.0, 1.0), f=Continuous(1.0, 100.0, log=True), n=Discrete([1, 2]), g=Categorical(["a", "b"])
    )
    problem = Problem(space, Maximize("gain"), OutcomeConstraint("cost", upper=0.5))
    points = space.sample(9, np.random.default_rng(0))
    for gain in (0.0, 1.0):
        entries = [completed(i, p, gain=gain * float(p["x"]), cost=float(p["x"])) for i, p in enumerate(points[:7], 1)]
        entries.append(unfinished(8, points[7]))
        planner = BayesianPlanner(missed_by={"x": 0.05, "f": 0.1}, worst=0.3)
        found = ask(planner, problem, History(entries), 2, situation=NOWHERE)
        assert all(space.contains(s.values) for s in found)
        assert "missed" in found[0].decision.note
    assert found[:1] == ask(planner, problem, History(entries), 1, situation=NOWHERE)


def test_what_cannot_be_done_is_refused() -> None:
    history = history_of([{"x": float(x)} for x in range(0, 100, 12)], needle_and_hill)
    with pytest.raises(PlannerError, match="no continuous parameter"):
        ask(BayesianPlanner(missed_by={"y": 1.0}), PROBLEM, history)
    with pytest.raises(PlannerError, match="one objective"):
        ask(BayesianPlanner(missed_by={"x": 1.0}), Problem(SPACE, Target("gain", value=1.0)), history)
