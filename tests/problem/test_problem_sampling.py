"""Points are drawn from the feasible set, and uniformly.

Uniformity is compared with what is known: moments of the Dirichlet distribution, shares of volumes and of counts, or
rejection from the box. Seeds are fixed; limits are four or five standard errors wide.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from sdl.errors import EmptySpaceError, PointError
from sdl.problem import (
    AtMost,
    Categorical,
    Constraint,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Mixture,
    Parameter,
    SearchSpace,
)

FIVE = ("a", "b", "c", "d", "e")
UNIT = {name: Continuous(0, 1) for name in FIVE}


def table(space: SearchSpace, n: int, seed: int = 1) -> NDArray[np.float64]:
    """Draw *n* points, all of which must belong to the space, as an array ``(n, parameters)``."""
    points = space.sample(n, np.random.default_rng(seed))
    for point in points:
        space.check(point)
    assert len(points) == n
    return np.array([list(point.values()) for point in points], dtype=np.float64)


def test_a_plain_box_is_uniform_and_log_parameters_are_in_their_logarithm() -> None:
    space = SearchSpace(x=Continuous(-2, 6), y=Continuous(1e-6, 1, log=True), n=Discrete([1, 5]), k=Fixed(7))
    drawn = table(space, 4000)
    assert drawn[:, 0].mean() == pytest.approx(2, abs=0.2)
    assert np.var(drawn[:, 0]) == pytest.approx(64 / 12, rel=0.1)
    assert np.log10(drawn[:, 1]).mean() == pytest.approx(-3, abs=0.15)
    assert (drawn[:, 2] == 5).mean() == pytest.approx(0.5, abs=0.04)
    assert (drawn[:, 3] == 7).all()
    assert space.n_points is None


def test_the_generator_decides() -> None:
    space = SearchSpace(UNIT, constraints=[Mixture(FIVE), LinearConstraint({"a": 1, "b": 1}, lower=0.95)])
    first = space.sample(5, np.random.default_rng(3))
    assert space.sample(5, np.random.default_rng(4)) != first
    space.sample(7, np.random.default_rng(5))
    assert space.sample(5, np.random.default_rng(3)) == first
    assert SearchSpace.from_json(space.to_json()).sample(5, np.random.default_rng(3)) == first


def assert_uniform_on_simplex(drawn: NDArray[np.float64], n_parts: int) -> None:
    """Compare first and second moments with those of Dirichlet(1, ..., 1) of *n_parts* parts."""
    error = 5 / math.sqrt(len(drawn)) / n_parts
    assert drawn.mean(axis=0) == pytest.approx(1 / n_parts, abs=error)
    assert (drawn**2).mean(axis=0) == pytest.approx(2 / (n_parts * (n_parts + 1)), abs=error)
    assert (drawn[:, 0] * drawn[:, 1]).mean() == pytest.approx(1 / (n_parts * (n_parts + 1)), abs=error)


def test_a_mixture_is_uniform() -> None:
    assert_uniform_on_simplex(table(SearchSpace(UNIT, constraints=Mixture(FIVE)), 4000), 5)


def test_a_mixture_of_other_bounds_and_total_is_uniform() -> None:
    space = SearchSpace({name: Continuous(1, 20) for name in FIVE}, constraints=Mixture(FIVE, total=15))
    assert_uniform_on_simplex((table(space, 4000) - 1) / 10, 5)


def test_a_mixture_near_the_upper_bounds_is_the_mirror_image() -> None:
    space = SearchSpace(UNIT, constraints=Mixture(FIVE, total=4.5))
    assert_uniform_on_simplex((1 - table(space, 4000)) / 0.5, 5)


@pytest.mark.parametrize(("coefficient", "limits"), [(1.0, {"upper": 1.0}), (-2.0, {"lower": -2.0})])
def test_a_corner_of_the_box_is_uniform(coefficient: float, limits: dict[str, float]) -> None:
    space = SearchSpace(UNIT, constraints=LinearConstraint(dict.fromkeys(FIVE, coefficient), **limits))
    assert_uniform_on_simplex(table(space, 4000), 6)
    far = SearchSpace(UNIT, constraints=LinearConstraint(dict.fromkeys(FIVE, 1.0), lower=4))
    assert_uniform_on_simplex(1 - table(far, 4000), 6)


def test_hit_and_run_is_uniform_where_rejection_fails() -> None:
    # The second row repeats the first with other numbers, so that this is a simplex in ten dimensions in disguise.
    names = [f"x{index}" for index in range(10)]
    rows = [
        LinearConstraint(dict.fromkeys(names, 1.0), upper=1.0),
        LinearConstraint(dict.fromkeys(names, 2.0), upper=2.000001),
    ]
    space = SearchSpace({name: Continuous(0, 1) for name in names}, constraints=rows)
    assert_uniform_on_simplex(table(space, 2000), 11)


def test_hit_and_run_finds_its_way_through_a_long_thin_set() -> None:
    near = {"lower": -1e-5, "upper": 1e-5}
    space = SearchSpace(
        {name: Continuous(0, 100) for name in "abc"},
        constraints=[LinearConstraint({"a": 1, "b": -1}, **near), LinearConstraint({"b": 1, "c": -1}, **near)],
    )
    drawn = table(space, 2000)
    assert drawn.mean(axis=0) == pytest.approx(50, abs=4)
    assert drawn.std(axis=0) == pytest.approx(100 / math.sqrt(12), rel=0.08)


def test_discrete_levels_have_the_weight_of_what_they_leave_to_the_rest() -> None:
    parameters: dict[str, Parameter] = {"a": Continuous(0, 1), "b": Continuous(0, 1), "step": Discrete([0, 0.1, 0.5])}
    levels = table(SearchSpace(parameters, constraints=Mixture(["a", "b", "step"])), 4000)[:, 2]
    shares = np.array([(levels == level).mean() for level in (0, 0.1, 0.5)])
    assert shares == pytest.approx(np.array([1.0, 0.9, 0.5]) / 2.4, abs=0.035)


def test_hit_and_run_weighs_discrete_levels_too() -> None:
    names = [f"x{index}" for index in range(8)]
    parameters: dict[str, Parameter] = {name: Continuous(0, 1) for name in names}
    parameters["step"] = Discrete(np.arange(10) / 10)
    # Without the second row, step = s leaves a simplex of volume (1 - s)**7; that row holds for nearly all points.
    rows: list[Constraint] = [Mixture([*names, "step"]), LinearConstraint({"x0": 1, "x1": -1}, upper=0.999999)]
    drawn = table(SearchSpace(parameters, constraints=rows), 3000)[:, -1]
    weights = (1 - np.arange(10) / 10) ** 7
    shares = np.array([(drawn == step).mean() for step in np.arange(10) / 10])
    assert shares == pytest.approx(weights / weights.sum(), abs=0.04)


def test_discrete_points_are_all_alike() -> None:
    parameters = {name: Discrete([0, 1, 2, 3]) for name in "abc"}
    space = SearchSpace(parameters, constraints=[LinearConstraint({"a": 1, "b": 2, "c": -1}, lower=5, upper=7)])
    allowed = [p for p in itertools.product(range(4), repeat=3) if 5 <= p[0] + 2 * p[1] - p[2] <= 7]
    drawn = Counter(tuple(int(value) for value in row) for row in table(space, 6000))
    assert set(drawn) == set(allowed)
    assert space.n_points == len(allowed)
    expected = 6000 / len(allowed)
    chi_square = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert chi_square < len(allowed) + 5 * math.sqrt(2 * len(allowed))


def test_combinations_beyond_number_are_counted_and_drawn_alike() -> None:
    names = [f"x{index}" for index in range(10)]
    space = SearchSpace({name: Discrete(np.arange(101) / 100) for name in names}, constraints=Mixture(names))
    assert space.n_points == math.comb(109, 9)
    drawn = table(space, 3000)
    assert drawn.mean(axis=0) == pytest.approx(0.1, abs=0.01)
    # One of ten parts of 100 hundredths is 0 in C(108, 8) of the C(109, 9) combinations.
    assert (drawn == 0).mean() == pytest.approx(math.comb(108, 8) / math.comb(109, 9), abs=0.01)


def test_levels_whose_sums_never_agree_are_drawn_as_well() -> None:
    rng = np.random.default_rng(0)
    levels = {f"x{index}": Discrete(np.sort(10 ** rng.random(40))) for index in range(10)}
    drawn = table(SearchSpace(levels, constraints=LinearConstraint(dict.fromkeys(levels, 1.0), upper=14)), 500)
    assert drawn.sum(axis=1).max() <= 14
    assert len(np.unique(drawn, axis=0)) == 500


def test_at_most_k_draws_every_set_of_k_alike() -> None:
    space = SearchSpace(UNIT, constraints=AtMost(2, FIVE))
    drawn = table(space, 4000)
    sets = Counter(tuple(np.flatnonzero(row).tolist()) for row in drawn)
    assert set(sets) == set(itertools.combinations(range(5), 2))
    assert min(sets.values()) > 300
    assert max(sets.values()) < 500
    assert drawn[drawn > 0].mean() == pytest.approx(0.5, abs=0.02)


def test_at_most_k_parts_of_a_mixture() -> None:
    drawn = table(SearchSpace(UNIT, constraints=[AtMost(3, FIVE), Mixture(FIVE)]), 2000)
    assert ((drawn > 0).sum(axis=1) == 3).all()
    assert (drawn > 0).mean(axis=0) == pytest.approx(0.6, abs=0.06)
    assert (drawn[drawn > 0] ** 2).mean() == pytest.approx(2 / 12, abs=0.01)


def test_at_most_k_avoids_sets_without_points() -> None:
    parameters = {**UNIT, "e": Continuous(0, 5)}
    rows: list[Constraint] = [AtMost(2, FIVE), LinearConstraint(dict.fromkeys(FIVE, 1.0), lower=2.5)]
    drawn = table(SearchSpace(parameters, constraints=rows), 500)
    assert (drawn[:, 4] > 0).all()


def test_at_most_k_among_discrete_parameters_counts_points() -> None:
    space = SearchSpace({name: Discrete([0, 1, 2]) for name in "abcd"}, constraints=AtMost(2, list("abcd")))
    assert space.n_points == 1 + 4 * 2 + 6 * 4
    n_zero = (table(space, 6600) == 0).sum(axis=1)
    assert (n_zero == 4).mean() == pytest.approx(1 / 33, abs=0.01)
    assert (n_zero == 3).mean() == pytest.approx(8 / 33, abs=0.025)


def test_log_parameters_in_an_inequality_stay_uniform_in_their_logarithm() -> None:
    parameters = {"a": Continuous(1e-3, 1, log=True), "b": Continuous(1e-3, 1, log=True), "c": Continuous(0, 1)}
    rng = np.random.default_rng(0)
    box = np.column_stack([10 ** (rng.random((1_000_000, 2)) * 3 - 3), rng.random(1_000_000)])
    for upper in (0.2, 0.004):  # by rejection, and by hit-and-run
        space = SearchSpace(parameters, constraints=LinearConstraint({"a": 1, "b": 1, "c": 1}, upper=upper))
        drawn = np.log10(table(space, 2000))
        wanted = np.log10(box[box.sum(axis=1) <= upper])
        error = 5 * wanted.std(axis=0) / math.sqrt(min(len(wanted), 2000))
        assert (np.abs(drawn.mean(axis=0) - wanted.mean(axis=0)) < error).all()


def test_a_set_that_is_flat_without_saying_so() -> None:
    rows = [LinearConstraint({"a": 1, "b": 1}, upper=1), LinearConstraint({"a": 1, "b": 1, "c": -1e-3}, lower=1)]
    drawn = table(SearchSpace({name: Continuous(0, 1) for name in "ab"}, c=Fixed(0), constraints=rows), 1000)
    assert drawn[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert drawn[:, 0].std() == pytest.approx(1 / math.sqrt(12), rel=0.1)
    corner = SearchSpace({name: Continuous(0.2, 1) for name in FIVE}, constraints=Mixture(FIVE))
    assert table(corner, 3) == pytest.approx(0.2)


def test_levels_may_determine_the_rest() -> None:
    space = SearchSpace(a=Discrete([0.1, 0.2, 0.9]), b=Continuous(0, 0.85), constraints=Mixture(["a", "b"]))
    assert Counter(table(space, 300)[:, 0].round(3).tolist()).keys() == {0.2, 0.9}


def test_what_is_given_is_kept_and_what_is_not_is_drawn() -> None:
    space = SearchSpace(
        UNIT,
        wet=Continuous(0, 1, context=True),
        site=Categorical(["north", "south"], context=True),
        constraints=LinearConstraint({"a": 1, "wet": 1}, upper=1),
    )
    points = space.sample(50, np.random.default_rng(0), context={"wet": 0.75})
    assert all(point["wet"] == 0.75 for point in points)
    assert max(float(point["a"]) for point in points) <= 0.25
    assert {point["site"] for point in points} == {"north", "south"}
    with pytest.raises(PointError, match=r"wet = 2\.0 lies above its upper bound 1\.0"):
        space.sample(1, np.random.default_rng(0), context={"wet": 2.0})
    with pytest.raises(PointError, match="a is not given by the laboratory"):
        space.sample(1, np.random.default_rng(0), context={"a": 0.5})


@pytest.mark.parametrize(
    ("space", "labels"),
    [
        (
            SearchSpace(UNIT, constraints=[Mixture(["a", "b"]), LinearConstraint({"a": 1, "b": 2}, upper=0.9)]),
            "a + b = 1.0 and a + 2 b <= 0.9",
        ),
        (
            SearchSpace({n: Discrete([0, 0.3, 0.6]) for n in "ab"}, constraints=Mixture(["a", "b"])),
            "a + b = 1.0",
        ),
        (
            SearchSpace({n: Continuous(0, 0.3) for n in FIVE}, constraints=[AtMost(2, FIVE), Mixture(FIVE)]),
            "at most 2 of a, b, c, d, e, a + b + c + d + e = 1.0",
        ),
        (
            SearchSpace(a=Discrete([0.1, 0.2]), b=Continuous(0.85, 0.88), constraints=Mixture(["a", "b"])),
            "a + b = 1.0",
        ),
    ],
)
def test_a_space_without_points_says_why(space: SearchSpace, labels: str) -> None:
    with pytest.raises(EmptySpaceError) as refused:
        space.sample(1, np.random.default_rng(0))
    assert f"no point satisfies {labels} within the bounds" in str(refused.value)


def test_no_points_are_none() -> None:
    assert SearchSpace(UNIT, constraints=Mixture(FIVE)).sample(0, np.random.default_rng(0)) == []
    assert SearchSpace({n: Discrete([0, 0.3, 0.6]) for n in "ab"}, constraints=Mixture(["a", "b"])).n_points == 0
