"""Batches whose trials share parameters."""

from __future__ import annotations

import numpy as np
import pytest
from trials import Values, ask, history_of

from sdl.campaign.planner import BatchShape, History, Planner, Situation
from sdl.planners import (
    ActiveLearningPlanner,
    BayesianPlanner,
    GridPlanner,
    LatinHypercubePlanner,
    RandomPlanner,
    SobolPlanner,
)
from sdl.problem import (
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    LinearConstraint,
    Maximize,
    Mixture,
    Problem,
    SearchSpace,
)

BOX = SearchSpace(x=Continuous(0.0, 1.0), heat=Continuous(0.0, 1.0), gas=Categorical(["argon", "air"]))
SPACES = {
    "box": BOX,
    "mixture": SearchSpace(
        x=Continuous(0.0, 1.0),
        y=Continuous(0.0, 1.0),
        heat=Continuous(0.0, 1.0),
        gas=Categorical(["argon", "air"]),
        constraints=[Mixture(["x", "y"]), LinearConstraint({"x": 1.0, "heat": 1.0}, upper=1.4)],
    ),
    "pool": SearchSpace(
        x=Discrete([0, 1, 2, 3, 4]),
        heat=Discrete([0.0, 0.5, 1.0]),
        gas=Categorical(["argon", "air"]),
        pool=CandidatePool(
            {
                "x": [float(i % 5) for i in range(24)],
                "heat": [(i // 5) % 3 / 2 for i in range(24)],
                "gas": [["argon", "air"][i // 15] for i in range(24)],
            }
        ),
    ),
}


def gain(v: Values) -> dict[str, float]:
    return {"gain": float(np.sin(3 * float(v["x"])) - (float(v["heat"]) - 0.5) ** 2 + (v["gas"] == "air"))}


def started(space: SearchSpace, n: int) -> History:
    return history_of(space.sample(n, np.random.default_rng(0)), gain) if n else History()


PLANNERS: list[Planner] = [
    BayesianPlanner(),
    ActiveLearningPlanner(),
    RandomPlanner(),
    SobolPlanner(),
    LatinHypercubePlanner(n=8),
    GridPlanner(levels=3),
]


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: planner.name)
@pytest.mark.parametrize(("name", "n_before"), [("box", 0), ("mixture", 0), ("mixture", 9), ("pool", 0), ("pool", 9)])
def test_trials_of_a_batch_share_what_they_must(planner: Planner, name: str, n_before: int) -> None:
    space = SPACES[name]
    problem, history = Problem(space, Maximize("gain")), started(space, n_before)
    situation = Situation(batch=BatchShape(size=3, shared=("heat", "gas")))
    found = ask(planner, problem, history, 3, situation=situation)
    assert found
    assert all(space.contains(suggestion.values) for suggestion in found)
    assert len({(s.values["heat"], s.values["gas"]) for s in found}) == 1
    assert len({tuple(s.values.items()) for s in found}) == len(found)
    if name == "pool":
        assert found == ask(planner, problem, history, 3, situation=situation)
    begun = {name: found[0].values[name] for name in ("heat", "gas")}
    more = ask(planner, problem, history, 1, situation=Situation(batch=situation.batch.replace(size=1, fixed=begun)))  # type: ignore[union-attr] # it was given
    assert all({name: s.values[name] for name in begun} == begun for s in more)


def test_the_shared_value_is_good_for_the_whole_batch() -> None:
    """At 0.2 one narrow peak is known to be high; at 0.8 there is room for four good trials."""
    rng = np.random.default_rng(1)
    space = SearchSpace(x=Continuous(0.0, 1.0), heat=Discrete([0.2, 0.8]))

    def peaks(v: Values) -> dict[str, float]:
        narrow = np.exp(-(((float(v["x"]) - 0.5) / 0.05) ** 2)) if v["heat"] == 0.2 else 0.0
        broad = np.sin(9 * float(v["x"])) if v["heat"] == 0.8 else 0.0
        return {"gain": float(narrow + broad)}

    problem = Problem(space, Maximize("gain"))
    points: list[Values] = [{"x": float(x), "heat": 0.2} for x in np.linspace(0, 1, 9)]
    points += [{"x": float(x), "heat": 0.8} for x in rng.random(4)]
    situation = Situation(batch=BatchShape(size=4, shared=("heat",)))
    found = ask(BayesianPlanner(), problem, history_of(points, peaks), 4, situation=situation)
    assert {s.values["heat"] for s in found} == {0.8}
