"""General rules, over spaces and problems of every kind."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.errors import EmptySpaceError, PointError, ProblemError, SdlError
from sdl.problem import (
    AtMost,
    CandidatePool,
    Categorical,
    Constraint,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Maximize,
    Measurement,
    Minimize,
    Mixture,
    Objective,
    OutcomeConstraint,
    Parameter,
    Problem,
    SearchSpace,
    Target,
)

NUMBERS = st.floats(-1e9, 1e9)
UNITS = st.sampled_from([None, "Pa", "degC", "mL/min", "%"])
SUMS = st.floats(0.1, 4.0)


@st.composite
def continuous(draw: st.DrawFn) -> Continuous:
    low = draw(st.floats(-1e6, 1e6))
    high = low + draw(st.floats(1e-3, 1e6))
    return Continuous(low, high, unit=draw(UNITS), log=low > 0 and draw(st.booleans()), context=draw(st.booleans()))


@st.composite
def discrete(draw: st.DrawFn) -> Discrete:
    values = draw(st.lists(NUMBERS, min_size=2, max_size=6, unique=True))
    return Discrete(sorted(values), unit=draw(UNITS), context=draw(st.booleans()))


CHOICES = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True)
PARAMETERS: st.SearchStrategy[Parameter] = st.one_of(
    continuous(),
    discrete(),
    st.builds(Categorical, CHOICES, context=st.booleans()),
    st.builds(Fixed, NUMBERS, unit=UNITS),
    st.builds(Fixed, st.text(max_size=8)),
)
NAMES = st.text("abcxyz äβ_0-", min_size=1, max_size=8).filter(lambda name: name == name.strip())


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Parameter]:
    """Numeric parameters from 0 to 1 that constraints can tie together: ``a`` to ``d``, some of them discrete."""
    found: dict[str, Parameter] = {}
    for name in "abcd":
        levels = draw(st.sampled_from([0, 0, 3, 6]))
        found[name] = Discrete(np.linspace(0, 1, levels)) if levels else Continuous(0, 1)
    return found


CONSTRAINTS: st.SearchStrategy[Constraint] = st.one_of(
    st.builds(Mixture, st.just(["a", "b", "c", "d"]), st.sampled_from([0.4, 1.0, 1.8])),
    st.builds(Mixture, st.just(["a", "c"])),
    st.builds(AtMost, st.integers(1, 2), st.just(["a", "b", "c"])),
    st.builds(AtMost, st.just(1), st.just(["c", "d"])),
    st.builds(LinearConstraint, st.fixed_dictionaries({"a": SUMS, "b": SUMS}), upper=SUMS),
    st.builds(
        LinearConstraint,
        st.fixed_dictionaries({"b": SUMS, "c": st.floats(-2, -1), "d": SUMS}),
        lower=st.floats(-1, -0.05),
        upper=st.floats(0.05, 1),
    ),
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    parameters = draw(st.dictionaries(NAMES, PARAMETERS, min_size=1, max_size=4))
    if draw(st.booleans()):
        return SearchSpace(parameters)
    tied = {**parameters, **draw(parts())}
    return SearchSpace(tied, constraints=draw(st.lists(CONSTRAINTS, max_size=2)))


@st.composite
def pools(draw: st.DrawFn) -> SearchSpace:
    rows = draw(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("uvw")), min_size=1, max_size=9, unique=True))
    pool = CandidatePool({"x": [x for x, _ in rows], "k": [k for _, k in rows]})
    return SearchSpace(x=Continuous(0, 1), k=Categorical(["u", "v", "w"]), lot=Fixed("A"), pool=pool)


OBJECTIVES: st.SearchStrategy[Objective] = st.one_of(
    st.builds(Minimize, st.just("out"), unit=UNITS, reference=st.none() | NUMBERS),
    st.builds(Maximize, st.just("out"), unit=UNITS, reference=st.none() | NUMBERS),
    st.builds(Target, st.just("out"), value=NUMBERS, unit=UNITS),
    st.builds(Target, st.just("out"), low=st.floats(-9, 0), high=st.floats(1, 9), unit=UNITS),
)
LIMITS = st.builds(OutcomeConstraint, st.just("limit"), lower=st.none() | NUMBERS, upper=st.just(1e10), unit=UNITS)
PROBLEMS = st.builds(Problem, spaces() | pools(), OBJECTIVES, st.lists(LIMITS, max_size=1))


@given(PROBLEMS)
def test_a_problem_survives_json_in_any_order_of_keys(problem: Problem) -> None:
    again = Problem.from_json(problem.to_json())
    assert again == problem
    assert again.space.names == problem.space.names
    assert again.digest == problem.digest
    assert hash(again) == hash(problem)
    assert Problem.from_json(json.dumps(json.loads(problem.to_json()), sort_keys=True)) == problem
    assert Problem.from_data(json.loads(problem.to_json())) == problem
    assert copy.deepcopy(problem) == problem


@settings(max_examples=60)
@given(spaces() | pools(), st.integers(0, 2**32))
def test_every_point_that_is_drawn_belongs_to_the_space(space: SearchSpace, seed: int) -> None:
    try:
        points = space.sample(8, np.random.default_rng(seed))
    except EmptySpaceError:
        # Nothing that the box offers is feasible either.
        loose = SearchSpace(space.parameters)
        assert not any(space.contains(point) for point in loose.sample(200, np.random.default_rng(seed)))
        return
    assert len(points) == 8
    for point in points:
        space.check(point)
        assert list(point) == list(space.names)
        assert space.contains(json.loads(json.dumps(point)))


@given(spaces(), st.integers(0, 2**32))
def test_a_drawn_point_written_with_its_units_is_the_same_point(space: SearchSpace, seed: int) -> None:
    try:
        (point,) = space.sample(1, np.random.default_rng(seed))
    except EmptySpaceError:
        return
    written: dict[str, object] = dict(point)
    for name, parameter in space.parameters.items():
        if parameter.unit is not None:
            written[name] = f"{point[name]!r} {parameter.unit}"
    assert space.point(written) == point


@given(spaces(), st.integers(0, 2**32), st.data())
def test_one_step_beyond_a_bound_is_outside(space: SearchSpace, seed: int, data: st.DataObject) -> None:
    bare = SearchSpace(space.parameters)
    (point,) = bare.sample(1, np.random.default_rng(seed))
    for name, (low, high) in bare.bounds.items():
        for bound, beyond in ((low, -math.inf), (high, math.inf)):
            assert bare.contains({**point, name: bound})
            outside = math.nextafter(bound, beyond)
            assert not bare.contains({**point, name: outside})
            with pytest.raises(PointError, match="="):
                bare.check({**point, name: outside})
        assert not bare.contains({**point, name: math.nan})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["parameters", "constraints", "pool", "kind", "low", "high", "unit", "values", "choices", "name", "columns"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), st.sampled_from([SearchSpace, Problem, Continuous]))
def test_data_that_are_nonsense_are_refused_as_such(
    data: dict[str, object], kind: Callable[..., SearchSpace | Problem | Continuous]
) -> None:
    assert isinstance(kind, type)
    assert issubclass(kind, (SearchSpace, Problem, Continuous))
    try:
        value = kind.from_data(data)
    except ProblemError as error:
        assert error.message  # noqa: PT017 # refused, or a value after all
    else:
        assert kind.from_json(value.to_json()) == value


@given(JSON)
def test_results_that_are_nonsense_are_refused_as_such(result: object) -> None:
    problem = Problem(SearchSpace(x=Continuous(0, 1)), Minimize("y"))
    for raw in (result, {"y": result}):
        try:
            found = problem.observe(raw)  # type: ignore[arg-type] # on purpose # pyright: ignore[reportArgumentType]
        except SdlError as error:
            assert error.message  # noqa: PT017 # refused, or a number after all
        else:
            assert all(isinstance(m, Measurement) and math.isfinite(m.value) for m in found.values())
