"""Approximations of a target, and prices: what is measured how, for how much."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from trials import ask, completed, unfinished

from sdl.campaign.planner import History, HistoryEntry, Situation
from sdl.campaign.ranking import Ranking
from sdl.campaign.trials import TrialRecord
from sdl.errors import SdlError
from sdl.journal.trust import Role
from sdl.planners import BayesianPlanner
from sdl.planners.encoding import Encoding
from sdl.planners.price import Spending
from sdl.problem import Categorical, Continuous, Discrete, Maximize, Measurement, Price, Problem, SearchSpace

STEPS = Discrete([float(x) for x in range(61)])
METHOD = Categorical(["quick", "slow"], target="slow")
TWO = Problem(SearchSpace(x=STEPS, method=METHOD), Maximize("gain"))
ONE = Problem(SearchSpace(x=STEPS), Maximize("gain"))
PRICE = Price(of={"method": {"quick": 1.0, "slow": 10.0}})
Gain = Callable[[float], float]


def slow(x: float) -> float:
    return float(np.exp(-(((x - 43) / 4) ** 2)) + 0.6 * np.exp(-(((x - 12) / 8) ** 2)))


def alike(x: float) -> float:
    """Reads two thirds of it, an offset, and a slope."""
    return 0.66 * slow(x) + 1.5 + 0.002 * x


def opposite(x: float) -> float:
    return -slow(x)


def search(problem: Problem, quick: Gain, budget: float, seed: int) -> list[tuple[float, float]]:
    """Return what was spent, and the best at the target, after every trial, until it is good enough."""
    price = PRICE if problem.space.targets else Price(10.0)
    entries: list[HistoryEntry] = []
    spent, best, course = 0.0, -np.inf, list[tuple[float, float]]()
    while spent + 1.0 <= budget and best < 0.95:
        situation = Situation(price=price, cost_left=budget - spent, cost_budget=budget)
        (suggestion,) = ask(
            BayesianPlanner(), problem, History(entries), seed=100 * seed + len(entries), situation=situation
        )
        is_target = problem.space.counts(suggestion.values)
        gain = (slow if is_target else quick)(float(suggestion.values["x"]))
        entries.append(completed(len(entries) + 1, suggestion.values, gain=gain))
        spent += price(suggestion.values)
        best = max(best, gain) if is_target else best
        course.append((spent, best))
    return course


def test_approximations_save_cost() -> None:
    two = [search(TWO, alike, 120.0, seed)[-1] for seed in range(2)]
    one = [search(ONE, alike, 160.0, seed)[-1] for seed in range(2)]
    assert min(best for _, best in two) >= 0.95
    assert sum(spent for spent, _ in two) < 0.7 * sum(spent for spent, _ in one)


def test_a_misleading_approximation_is_left_alone() -> None:
    assert search(TWO, opposite, 160.0, 0)[-1][1] >= 0.95


def history_at(methods: str) -> list[HistoryEntry]:
    """Return a trial for each letter: q is quick, s is slow."""
    entries: list[HistoryEntry] = []
    for number, letter in enumerate(methods):
        x, method = float((17 * number + 3) % 61), "slow" if letter == "s" else "quick"
        gain = slow(x) if letter == "s" else alike(x)
        entries.append(completed(number + 1, {"x": x, "method": method}, gain=gain))
    return entries


def test_the_first_trials_are_cheap_the_next_two_at_the_target_and_the_last_one_too() -> None:
    def methods(history: str, left: float, n: int = 1) -> list[object]:
        situation = Situation(price=PRICE, cost_left=left, cost_budget=100.0)
        found = ask(BayesianPlanner(), TWO, History(history_at(history)), n, situation=situation)
        assert len({float(s.values["x"]) for s in found} | {0.5}) == n + 1
        return [s.values["method"] for s in found]

    assert methods("", 100.0, 2) == ["quick"] * 2
    assert methods("qqqqqq", 90.0, 2) == ["slow"] * 2
    assert methods("qqqqqqssqqqq", 12.0) == ["slow"]


def test_the_decision_says_what_it_costs_and_what_an_approximation_tells() -> None:
    situation = Situation(price=PRICE, cost_left=80.0, cost_budget=100.0)
    (suggestion,) = ask(BayesianPlanner(), TWO, History(history_at("qqqqss")), situation=situation)
    decision = suggestion.decision
    assert suggestion.values["method"] == "quick"
    assert decision.price == 1.0
    assert "takes away" in decision.note
    assert decision.acquisition_name == "LogNEI for its price"
    expected = decision.predicted["gain"]
    assert expected.mean == pytest.approx(
        alike(float(suggestion.values["x"])), abs=3 * expected.standard_deviation + 0.2
    )
    resemblance = BayesianPlanner().explain(TWO, History(history_at("qqqqss")))["gain"].resemblances
    assert resemblance.keys() == {"quick"}


@pytest.mark.parametrize("methods", ["qqqqqq", "ssssss", "qqqqqqss"])
@pytest.mark.parametrize("value", [0.0, 1e9])
def test_degenerate_data_give_legal_suggestions(methods: str, value: float) -> None:
    entries = [
        completed(entry.trial, entry.values, gain=value * (1.0 + 1e-12 * entry.trial)) for entry in history_at(methods)
    ]
    entries.append(unfinished(99, {"x": 60.0, "method": "slow"}))
    found = ask(BayesianPlanner(), TWO, History(entries), 2, situation=Situation(price=PRICE))
    assert all(TWO.space.contains(suggestion.values) for suggestion in found)
    assert found[:1] == ask(BayesianPlanner(), TWO, History(entries), 1, situation=Situation(price=PRICE))


def test_only_trials_at_the_target_can_be_the_best() -> None:
    ranking = Ranking(TWO)
    for method, gain in (("quick", 5.0), ("slow", 1.0), ("quick", 6.0)):
        proposal = SimpleNamespace(values={"x": 1.0, "method": method})
        record = cast("TrialRecord", SimpleNamespace(proposal=proposal, role=Role.SEARCH))
        ranking.take(record, {"gain": Measurement(value=gain)})
    assert ranking.best is not None
    assert ranking.best.proposal.values["method"] == "slow"
    assert ranking.completed_since_best == 0


# --- prices of points -------------------------------------------------------------------------------------------------

WIDE = Problem(SearchSpace(x=Continuous(0.0, 1.0), hours=Continuous(1.0, 20.0, unit="h")), Maximize("gain"))


def test_half_the_budget_weighs_half_the_price() -> None:
    """Where many points are equally good, it takes the cheaper one, and does not when the price does not count."""
    points = np.random.default_rng(3).random((8, 2))
    entries = [
        completed(n, {"x": float(x), "hours": float(1 + 19 * h)}, gain=float(np.sin(5 * x))).replace(
            cost=float(1 + 19 * h)
        )
        for n, (x, h) in enumerate(points, 1)
    ]
    declared = Situation(price=Price(per={"hours": 1.0}), cost_left=100.0, cost_budget=100.0)
    learned = Situation(cost_left=100.0, cost_budget=100.0)
    hours = [
        float(ask(BayesianPlanner(), WIDE, History(entries), situation=s)[0].values["hours"])
        for s in (declared, learned, Situation())
    ]
    assert hours[0] < 3.0
    assert hours[1] < 5.0
    assert hours[2] > 5.0


def test_what_costs_nothing_is_weighed_alike_whatever_it_is_compared_with() -> None:
    """A price of nothing has no logarithm; what stands for it must not depend on the other rows at hand."""
    problem = Problem(SearchSpace(x=Continuous(0.0, 1.0), hours=Continuous(0.0, 20.0)), Maximize("gain"))
    situation = Situation(price=Price(per={"hours": 1.0}), cost_left=100.0, cost_budget=100.0)
    spending = Spending.of(problem, History(), situation, thrift=None)
    assert spending is not None
    rows = np.array([[0.5, 0.0], [0.5, 0.001], [0.5, 0.5], [0.5, 1.0]])
    assert np.array_equal(spending.logs(rows), np.concatenate([spending.logs(row[None, :]) for row in rows]))
    assert np.all(np.diff(spending.logs(rows)) > 0.0)


def test_a_price_counts_alike_in_any_currency() -> None:
    """Also where most choices cost nothing."""
    problem = Problem(SearchSpace(gas=Categorical(["none", "air", "xenon"])), Maximize("gain"))
    rows = Encoding(problem.space).encode([{"gas": gas} for gas in ("none", "air", "xenon")])

    def logs(xenon: float) -> Any:
        price = Price(of={"gas": {"none": 0.0, "air": 0.0, "xenon": xenon}})
        spending = Spending.of(problem, History(), Situation(price=price), thrift=1.0)
        assert spending is not None
        return spending.logs(rows)

    assert np.allclose(np.diff(logs(0.5)), np.diff(logs(500.0)))
    assert np.diff(logs(0.5))[-1] > 1.0


def test_a_price_is_a_sum_and_says_what_is_missing() -> None:
    price = Price(2.0, per={"hours": 0.5}, of={"gas": {"argon": 1.0, "xenon": 30.0}})
    assert price({"hours": 4.0, "gas": "xenon"}) == 34.0
    assert Price.from_json(price.to_json()) == price
    with pytest.raises(SdlError, match="no price"):
        price({"hours": 4.0, "gas": "neon"})
    with pytest.raises(SdlError, match="gas"):
        price({"hours": 4.0})
