"""Encoding and domain: what goes out as coordinates comes back as a legal point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.planners.domain import Candidates, Domain, is_among, is_near
from sdl.planners.encoding import Encoding
from sdl.problem import AtMost, Categorical, Continuous, Discrete, Fixed, LinearConstraint, Mixture, SearchSpace
from sdl.testing.planner import SITUATIONS, SPACES

MIXED = SearchSpace(
    rate=Continuous(1e-4, 10.0, log=True),
    x=Continuous(-5.0, 5.0),
    turns=Discrete([1, 2, 8]),
    power=Fixed(50.0),
    base=Categorical(["a", "b", "c"]),
)


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_points_survive_the_way_to_coordinates_and_back(name: str, seed: int) -> None:
    space = SPACES[name]
    (point,) = space.sample(1, np.random.default_rng(seed), context=SITUATIONS[name].context)
    encoding = Encoding(space)
    (row,) = encoding.encode([point])
    back = encoding.decode(row)
    assert {k for k, v in point.items() if isinstance(v, str) and back[k] != v} == set()
    assert [back[k] for k, v in point.items() if isinstance(v, float)] == pytest.approx(
        [v for v in point.values() if isinstance(v, float)], rel=1e-9, abs=1e-9
    )


def test_coordinates_run_from_0_to_1_on_the_scale_of_the_parameter() -> None:
    encoding = Encoding(MIXED)
    (row,) = encoding.encode([{"rate": 10.0**-1.5, "x": 5.0, "turns": 2.0, "power": 50.0, "base": "b"}])
    assert row == pytest.approx([0.5, 1.0, 1 / 7, 0.0, 0.5**0.5, 0.0])
    assert list(encoding.groups) == [0, 1, 2, 3, 3, 3]


def test_two_choices_lie_as_far_apart_as_the_ends_of_a_range() -> None:
    rows = Encoding(SearchSpace(base=Categorical(["a", "b"]))).encode([{"base": "a"}, {"base": "b"}])
    assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "pool"])
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.0, 1e-8))
def test_rows_with_rounding_errors_still_become_legal_points(name: str, seed: int, noise: float) -> None:
    """An optimiser ends a little beside a constraint; the point must not."""
    domain = Domain(SPACES[name], SITUATIONS[name].context)
    rng = np.random.default_rng(seed)
    rows = domain.draw(3, rng)
    rows = np.clip(rows + np.where(domain.smooth, noise * rng.standard_normal(rows.shape), 0.0), 0.0, 1.0)
    rows = np.where([domain.movable(row) | ~domain.smooth for row in domain.draw(3, rng)], rows, rows)
    for index in range(len(rows)):
        point = domain.point(Candidates(rows), index)
        if point is None:
            # Noise may wake an absent component, of which there may be too many then.
            assert name == "at most"
            continue
        domain.space.check(point)


def test_an_absent_component_stays_absent_in_a_continuous_search() -> None:
    domain = Domain(SPACES["at most"], {})
    (row,) = domain.encoding.encode([{"a": 0.0, "b": 0.4, "c": 0.0, "d": 0.2}])
    assert list(domain.movable(row)) == [False, True, False, True]


def test_constraints_are_judged_on_rows_as_by_the_space() -> None:
    space = SearchSpace(
        a=Continuous(0.1, 10.0, log=True),
        b=Continuous(0.0, 5.0),
        c=Discrete([0, 1, 2]),
        d=Fixed(1.0),
        constraints=[
            LinearConstraint({"a": 1.0, "b": 2.0, "d": 1.0}, lower=2.0, upper=9.0),
            AtMost(1, ["b", "c"]),
        ],
    )
    domain = Domain(space, {})
    rng = np.random.default_rng(0)
    rows = domain.place(rng.random((400, 3)))
    rows[::2, 1] = 0.0
    judged = [space.contains(domain.encoding.decode(row)) for row in rows]
    assert 0 < sum(judged) < 400
    assert list(domain.holds(rows)) == judged


def test_linear_constraints_are_the_same_on_coordinates() -> None:
    space = SearchSpace(
        a=Continuous(2.0, 6.0),
        b=Continuous(-1.0, 1.0),
        c=Fixed(3.0),
        constraints=[LinearConstraint({"a": 1.0, "b": 4.0, "c": -1.0}, lower=-1.0, upper=2.0)],
    )
    domain = Domain(space, {})
    (form,) = domain.linear_forms()
    for row in np.random.default_rng(1).random((50, 2)):
        total = float(form.coefficients @ row[form.columns])
        assert (form.lower <= total <= form.upper) == space.contains(domain.encoding.decode(row))


def test_a_list_holds_every_legal_new_point_once() -> None:
    space = SearchSpace(
        a=Discrete([0, 1, 2]), b=Categorical(["x", "y"]), c=Discrete([0, 5]), constraints=[AtMost(1, ["a", "c"])]
    )
    domain = Domain(space, {})
    tried = domain.encoding.encode([{"a": 1.0, "b": "x", "c": 0.0}])
    found = domain.unseen(tried, 100, np.random.default_rng(0))
    points = [domain.point(found, index) for index in range(len(found))]
    assert len(points) == 7
    assert all(point is not None and space.contains(point) for point in points)
    part = domain.unseen(tried, 3, np.random.default_rng(0))
    assert len(part) == 3
    assert not part.is_complete


def test_neighbours_differ_in_one_level_and_keep_the_context() -> None:
    space = SearchSpace(
        a=Discrete([0, 1, 2]), b=Categorical(["x", "y", "z"]), w=Categorical(["dry", "wet"], context=True)
    )
    domain = Domain(space, {"w": "wet"})
    (row,) = domain.encoding.encode([{"a": 1.0, "b": "x", "w": "wet"}])
    found = [tuple(domain.encoding.decode(neighbour).values()) for neighbour in domain.neighbours(row)]
    assert sorted(found) == [(0.0, "x", "wet"), (1.0, "y", "wet"), (1.0, "z", "wet"), (2.0, "x", "wet")]


@given(seed=st.integers(0, 2**32 - 1))
def test_points_between_two_mixtures_are_mixtures(seed: int) -> None:
    names = ["a", "b", "c"]
    domain = Domain(SearchSpace({n: Continuous(0.0, 0.8) for n in names}, constraints=[Mixture(names)]), {})
    rng = np.random.default_rng(seed)
    rows = domain.between(domain.draw(5, rng), domain.draw(5, rng), rng.random(5), rng)
    assert len(rows) == 5
    assert all(domain.point(Candidates(rows), index) is not None for index in range(5))


def test_rows_are_recognised_again() -> None:
    rows = np.array([[0.1, 0.2], [0.3, 0.4]])
    assert list(is_among(rows, np.array([[0.3, 0.1 + 0.3]]))) == [False, True]
    assert is_near(rows[0] + 5e-7, rows)
    assert not is_near(rows[0] + 5e-5, rows)
