"""Candidate pools: the points of a space are exactly the rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sdl.errors import PointError, ProblemError
from sdl.problem import (
    AtMost,
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Mixture,
    SearchSpace,
)

POOL = CandidatePool({"x": [0.1, 0.2, 0.3, 0.1], "n": np.array([1, 1, 2, 2]), "dye": ["red", "blue", "red", "red"]})
PARAMETERS: dict[str, Any] = {
    "x": Continuous(0, 1, unit="mol"),
    "n": Discrete([1, 2]),
    "dye": Categorical(["red", "blue"]),
    "lot": Fixed("A7"),
}
SPACE = SearchSpace(PARAMETERS, pool=POOL)


def test_the_points_are_the_rows() -> None:
    assert len(POOL) == SPACE.n_points == 4
    assert POOL.row(1) == {"x": 0.2, "n": 1.0, "dye": "blue"}
    assert SPACE.point(x="300 mmol", n=2, dye="red") == {"x": 0.3, "n": 2.0, "dye": "red", "lot": "A7"}
    assert SPACE.contains({"x": 0.1, "n": 2.0, "dye": "red", "lot": "A7"})
    with pytest.raises(PointError, match="is none of the 4 candidates"):
        SPACE.check({"x": 0.2, "n": 2.0, "dye": "red", "lot": "A7"})


def test_rows_are_drawn_once_each_until_all_are_drawn() -> None:
    rows = [tuple(point.values()) for point in SPACE.sample(4, np.random.default_rng(0))]
    assert len(set(rows)) == 4
    twice = [tuple(point.values()) for point in SPACE.sample(9, np.random.default_rng(0))]
    assert sorted(twice.count(row) for row in rows) == [2, 2, 2, 3]


def test_all_rows_are_drawn_alike() -> None:
    rng = np.random.default_rng(3)
    first = [POOL.find({k: v for k, v in SPACE.sample(1, rng)[0].items() if k != "lot"}) for _ in range(2000)]
    assert np.bincount(np.array(first), minlength=4) == pytest.approx(500, abs=80)


def test_contextual_parameters_stand_beside_the_pool() -> None:
    space = SearchSpace(PARAMETERS, wet=Categorical(["yes", "no"], context=True), pool=POOL)
    assert space.n_points == 8
    assert {point["wet"] for point in space.sample(4, np.random.default_rng(0), context={"wet": "no"})} == {"no"}
    assert {point["wet"] for point in space.sample(20, np.random.default_rng(0))} == {"yes", "no"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CandidatePool({}), "the columns of a CandidatePool need one length, got no columns"),
        (lambda: CandidatePool({"x": []}), "at least one row"),
        (lambda: CandidatePool({"x": [1, 2], "y": [1]}), "need one length, got {'x': 2, 'y': 1}"),
        (lambda: CandidatePool({"x": [1, 2, 1], "y": ["a", "b", "a"]}), "1 rows of the CandidatePool repeat another"),
        (lambda: CandidatePool({"x": [1, float("nan")]}), "columns.x"),
        (lambda: CandidatePool({"x": [1, "a"]}), "columns.x"),
        (
            lambda: SearchSpace(PARAMETERS, y=Continuous(0, 1), pool=POOL),
            "the columns of the pool (x, n, dye) are not the free parameters of the space (x, n, dye, y)",
        ),
        (
            lambda: SearchSpace({**PARAMETERS, "x": Continuous(0, 0.25)}, pool=POOL),
            "row 2 of the pool: x = 0.3 lies above its upper bound 0.25",
        ),
        (
            lambda: SearchSpace({**PARAMETERS, "n": Discrete([2, 3])}, pool=POOL),
            "row 0 of the pool: n = 1.0 is none of its 2 values",
        ),
        (
            lambda: SearchSpace({**PARAMETERS, "dye": Categorical(["red", "green"])}, pool=POOL),
            "row 1 of the pool: dye = 'blue' is none of its choices",
        ),
        (
            lambda: SearchSpace({**PARAMETERS, "x": Categorical(["a", "b"])}, pool=POOL),
            "row 0 of the pool: x = 0.1 is none of its choices",
        ),
        (
            lambda: SearchSpace(PARAMETERS, pool=POOL, constraints=LinearConstraint({"x": 10, "n": -1}, upper=0.5)),
            "row 1 of the pool breaks 10 x - 1 n <= 0.5 (leave such rows out of the pool)",
        ),
        (
            lambda: SearchSpace(
                PARAMETERS, z=Continuous(0, 1, context=True), pool=POOL, constraints=LinearConstraint({"z": 1}, upper=1)
            ),
            "the constraint z <= 1.0 names z, which no row of the pool decides",
        ),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ProblemError) as refused:
        make()
    assert message in str(refused.value)


def test_rows_may_keep_constraints() -> None:
    pool = CandidatePool({"a": [0.0, 0.5, 1.0], "b": [1.0, 0.5, 0.0]})
    parameters = {"a": Continuous(0, 1), "b": Continuous(0, 1)}
    assert SearchSpace(parameters, pool=pool, constraints=Mixture(["a", "b"])).n_points == 3
    with pytest.raises(ProblemError, match="row 1 of the pool breaks at most 1 of a, b"):
        SearchSpace(parameters, pool=pool, constraints=AtMost(1, ["a", "b"]))


def test_many_candidates_are_workable() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    start = time.process_time()
    pool = CandidatePool(
        {
            "a": rng.random(n),
            "b": rng.random(n),
            "c": np.array(["u", "v"])[rng.integers(2, size=n)],
            "d": rng.integers(5, size=n).astype(float),
        }
    )
    parameters: dict[str, Any] = {"a": Continuous(0, 1), "b": Continuous(0, 1), "d": Discrete(range(5))}
    space = SearchSpace(parameters, c=Categorical(["u", "v"]), pool=pool)
    assert time.process_time() - start < 1.0  # a million in five seconds
    points = space.sample(100, rng)
    assert all(space.contains(point) for point in points)  # builds the index
    start = time.process_time()
    assert all(space.contains(point) for point in points)
    assert space.sample(100, rng)
    assert time.process_time() - start < 0.5
