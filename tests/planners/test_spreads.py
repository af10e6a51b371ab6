"""Composition spreads: one film, many compositions."""

from __future__ import annotations

import numpy as np
import pytest
from trials import Values, ask, completed

from sdl.campaign.planner import BatchShape, History, HistoryEntry, Planner, Situation
from sdl.errors import PlannerError
from sdl.planners import BayesianPlanner, SpreadPlanner
from sdl.problem import (
    Categorical,
    Continuous,
    LinearConstraint,
    Maximize,
    Mixture,
    OutcomeConstraint,
    Problem,
    SearchSpace,
)

NAMES = ("iron", "nickel", "cobalt")
SPACE = SearchSpace(
    iron=Continuous(0.0, 1.0),
    nickel=Continuous(0.0, 1.0),
    cobalt=Continuous(0.0, 0.8),
    heat=Continuous(20.0, 400.0, unit="degC"),
    gas=Categorical(["argon", "air"]),
    constraints=[Mixture(list(NAMES)), LinearConstraint({"iron": 1.0, "nickel": -1.0}, lower=-0.5)],
)
PROBLEM = Problem(SPACE, Maximize("hall"))


def hall(v: Values) -> dict[str, float]:
    iron, nickel, heat = float(v["iron"]), float(v["nickel"]), float(v["heat"]) / 400
    peak = np.exp(-(((iron - 0.62) / 0.12) ** 2) - ((nickel - 0.24) / 0.12) ** 2 - ((heat - 0.7) / 0.35) ** 2)
    return {"hall": float(peak * (1.0 if v["gas"] == "argon" else 0.7))}


def films(planner: Planner, n_films: int) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    for film in range(n_films):
        for suggestion in ask(planner, PROBLEM, History(entries), 6, seed=film):
            entries.append(completed(len(entries) + 1, suggestion.values, **hall(suggestion.values)))
    return entries


def test_the_places_of_a_film_lie_on_a_line_and_share_the_process() -> None:
    planner = SpreadPlanner(along=NAMES, reach=0.5)
    entries: list[HistoryEntry] = []
    is_modelled = False
    for film in range(3):
        found = ask(planner, PROBLEM, History(entries), 6, seed=film)
        assert len(found) == 6
        assert all(SPACE.contains(suggestion.values) for suggestion in found)
        assert len({(s.values["heat"], s.values["gas"]) for s in found}) == 1
        places = np.array([[float(s.values[name]) for name in NAMES] for s in found])
        steps = np.diff(places, axis=0)
        assert np.allclose(steps, steps[0], atol=1e-6)
        assert 0.02 < np.ptp(places, axis=0).max() <= 0.5 + 1e-6
        is_modelled = bool(found[0].decision.models)
        assert not is_modelled or found == ask(planner, PROBLEM, History(entries), 6, seed=film)
        entries += [completed(len(entries) + i, s.values, **hall(s.values)) for i, s in enumerate(found, 1)]
    assert is_modelled


def test_films_find_more_than_as_many_places_at_random() -> None:
    found = films(SpreadPlanner(along=NAMES), 5)
    best = max(e.observation.outcomes["hall"].value for e in found if e.observation)
    at_random = [
        max(hall(point)["hall"] for point in SPACE.sample(30, np.random.default_rng(seed))) for seed in range(9)
    ]
    assert best > 1.2 * np.median(at_random)


def test_a_film_keeps_what_a_batch_holds_and_bears_flat_data_and_limits() -> None:
    problem = Problem(SPACE, Maximize("hall"), OutcomeConstraint("heat_used", upper=0.5))
    points = SPACE.sample(12, np.random.default_rng(0))
    entries = [completed(i, p, hall=1.0, heat_used=float(p["heat"]) / 400) for i, p in enumerate(points, 1)]
    held = Situation(batch=BatchShape(size=4, shared=("heat",), fixed={"heat": 120.0}))
    found = ask(SpreadPlanner(along=("iron", "nickel")), problem, History(entries), 4, situation=held)
    assert {s.values["heat"] for s in found} == {120.0}
    assert len({s.values["cobalt"] for s in found}) == 1 or not found


@pytest.mark.parametrize("n_before", [0, 12])
def test_a_film_that_is_a_batch_is_one_line(n_before: int) -> None:
    points = SPACE.sample(n_before, np.random.default_rng(0)) if n_before else []
    history = History([completed(i, p, **hall(p)) for i, p in enumerate(points, 1)])
    batch = Situation(batch=BatchShape(size=5, shared=("heat",)))
    found = ask(SpreadPlanner(along=NAMES), PROBLEM, history, 5, situation=batch)
    steps = np.diff([[float(s.values[name]) for name in NAMES] for s in found], axis=0)
    assert len(found) == 5
    assert np.allclose(steps, steps[0], atol=1e-6)


def test_what_has_no_lines_is_refused() -> None:
    methods = SearchSpace({**SPACE.parameters, "method": Categorical(["quick", "slow"], target="slow")})
    with pytest.raises(PlannerError, match="approximations"):
        ask(SpreadPlanner(along=("iron", "nickel")), Problem(methods, Maximize("hall")), History(), 4)
    with pytest.raises(PlannerError, match="gas"):
        ask(SpreadPlanner(along=("iron", "gas")), PROBLEM, History(), 4)
    assert len(ask(SpreadPlanner(along=NAMES), PROBLEM, History(), 1)) == 1
    assert BayesianPlanner().name != SpreadPlanner(along=NAMES).name


def test_options_of_single_points_are_refused() -> None:
    with pytest.raises(PlannerError, match="missed_by, worst concerns single points"):
        SpreadPlanner(along=("a", "b"), missed_by={"a": 0.1}, worst=0.5)
