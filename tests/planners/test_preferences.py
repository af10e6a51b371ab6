"""Preferences learned from pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from trials import Values, ask, completed, unfinished

from sdl.campaign.planner import Comparison, History, HistoryEntry
from sdl.errors import PlannerError
from sdl.planners import BayesianPlanner, PreferencePlanner
from sdl.planners.utility import Utility
from sdl.problem import (
    CandidatePool,
    Continuous,
    Maximize,
    Measurement,
    Minimize,
    OutcomeConstraint,
    Problem,
    SearchSpace,
)

SPACE = SearchSpace(x=Continuous(0.0, 1.0), y=Continuous(0.0, 1.0))
PROBLEM = Problem(SPACE, [Maximize("yield", unit="percent"), Minimize("cost")])


def outcomes(v: Values) -> dict[str, float]:
    x, y = float(v["x"]), float(v["y"])
    return {"yield": 100 * x * (1 - (y - 0.6) ** 2), "cost": 2.0 + 5.0 * x**2 + (y - 0.3) ** 2}


def liked(o: dict[str, float]) -> float:
    """What the person likes, and the planner does not know: yield counts little above 40 percent."""
    return min(o["yield"], 40.0) / 40.0 + 0.1 * o["yield"] / 100 - 0.12 * o["cost"]


def entry(number: int, v: Values) -> HistoryEntry:
    o = outcomes(v)
    measured = {"yield": Measurement(value=o["yield"], unit="percent"), "cost": Measurement(value=o["cost"])}
    return completed(number, v, **measured)


def answered(history: History, pair: tuple[int, int], like: Callable[[Values], float]) -> History:
    """Ask the person, and return the history with the answer."""
    values = {entry.trial: like(entry.values) for entry in history.entries}
    better, worse = sorted(pair, key=lambda trial: -values[trial])
    return History(history.entries, comparisons=[*history.comparisons, Comparison(better=better, worse=worse)])


def test_it_goes_where_the_answers_point() -> None:
    """Three objectives among 400 candidates; the person cares for the first, and for the third above a limit."""
    rows = np.random.default_rng(5).random((400, 4)).round(4)
    pool = CandidatePool({name: rows[:, column].tolist() for column, name in enumerate("wxyz")})
    space = SearchSpace({name: Continuous(0.0, 1.0) for name in "wxyz"}, pool=pool)
    problem = Problem(space, [Minimize("a"), Minimize("b"), Minimize("c")])
    ideals = np.array([[0.2, 0.2, 0.3, 0.8], [0.8, 0.3, 0.7, 0.2], [0.4, 0.8, 0.8, 0.6]])

    def distances(v: Values) -> dict[str, float]:
        place = np.array([float(v[name]) for name in "wxyz"])
        return dict(zip("abc", map(float, ((place - ideals) ** 2).sum(axis=1)), strict=True))

    def dislike(v: Values) -> float:
        o = distances(v)
        return o["a"] + 0.15 * o["b"] + 0.4 * max(o["c"] - 0.3, 0.0)

    def least_disliked(sign: float) -> float:
        planner, points = PreferencePlanner(), space.sample(8, np.random.default_rng(0))
        history = History([completed(i, p, **distances(p)) for i, p in enumerate(points, 1)])
        for _ in range(4):
            for _ in range(3):
                pair = planner.pair(problem, history)
                history = answered(history, pair, lambda v: -sign * dislike(v))
            (suggestion,) = ask(planner, problem, history)
            entry = completed(len(history.entries) + 1, suggestion.values, **distances(suggestion.values))
            history = History((*history.entries, entry), comparisons=history.comparisons)
        return min(dislike(entry.values) for entry in history.entries)

    top = min(dislike(dict(zip("wxyz", map(float, row), strict=True))) for row in rows)
    assert least_disliked(1.0) - top < 0.5 * (least_disliked(-1.0) - top)


def test_the_utility_ranks_as_it_was_told() -> None:
    history = History([entry(i, p) for i, p in enumerate(SPACE.sample(12, np.random.default_rng(0)), 1)])
    planner = PreferencePlanner()
    asked = set[frozenset[int]]()
    for _ in range(14):
        pair = planner.pair(PROBLEM, history)
        assert frozenset(pair) not in asked
        asked.add(frozenset(pair))
        history = answered(history, pair, lambda v: liked(outcomes(v)))
    favourite = max(history.entries, key=lambda e: liked(outcomes(e.values)))
    assert planner.preferred(PROBLEM, history).trial == favourite.trial


def test_contradictory_answers_equal_outcomes_and_strange_trials_are_borne() -> None:
    problem = Problem(SPACE, [Maximize("a"), Minimize("b")], OutcomeConstraint("c", upper=1.0))
    points = SPACE.sample(8, np.random.default_rng(1))
    for a in (0.0, 1e9):
        entries = [completed(i, p, a=a, b=float(p["y"]), c=float(p["x"])) for i, p in enumerate(points[:7], 1)]
        entries.append(unfinished(8, points[7]))
        answers = [Comparison(better=1, worse=2), Comparison(better=2, worse=1), Comparison(better=99, worse=1)]
        history = History(entries, comparisons=answers)
        found = ask(PreferencePlanner(), problem, history, 2)
        assert all(SPACE.contains(s.values) for s in found)
        utility = Utility.of(problem, entries[:7], [(each.better, each.worse) for each in answers])
        assert np.isfinite(utility.mean(np.random.default_rng(0).random((5, 2)))).all()
        assert (np.linalg.eigvalsh(utility.covariance(np.random.default_rng(0).random((5, 2)))) > -1e-9).all()
    assert found[:1] == ask(PreferencePlanner(), problem, history)


def test_answers_about_trials_that_break_the_limits_are_no_answers() -> None:
    problem = Problem(SPACE, [Maximize("a"), Minimize("b")], OutcomeConstraint("b", upper=-1.0))
    points = SPACE.sample(7, np.random.default_rng(1))
    entries = [completed(i, p, a=float(p["x"]), b=float(p["y"])) for i, p in enumerate(points, 1)]
    (found,) = ask(PreferencePlanner(), problem, History(entries, comparisons=[Comparison(better=1, worse=2)]))
    (same,) = ask(BayesianPlanner(), problem, History(entries))
    assert found.values == same.values


def test_without_answers_it_looks_for_the_front_and_without_trials_there_is_no_question() -> None:
    history = History([entry(i, p) for i, p in enumerate(SPACE.sample(7, np.random.default_rng(2)), 1)])
    (found,), (same,) = ask(PreferencePlanner(), PROBLEM, history), ask(BayesianPlanner(), PROBLEM, history)
    assert found.values == same.values
    with pytest.raises(PlannerError, match="two trials"):
        PreferencePlanner().pair(PROBLEM, History(history.entries[:1]))
