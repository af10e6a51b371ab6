"""The search space: what belongs to it, and how points get into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pytest

from sdl.errors import EmptySpaceError, PointError, ProblemError, UnitError
from sdl.problem import (
    AtMost,
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Mixture,
    SearchSpace,
)

SPUTTERING = SearchSpace(
    {"O2 pressure": Continuous(0.01, 1.0, unit="Pa", log=True)},
    temperature=Continuous(20, 400, unit="degC"),
    target=Categorical(["Ti", "TiNb"]),
    passes=Discrete([1, 2, 4]),
    distance=Fixed("10 cm", unit="mm"),
    humidity=Continuous(0, 100, unit="%", context=True),
)
POINT = {
    "O2 pressure": 0.1,
    "temperature": 20.0,
    "target": "Ti",
    "passes": 2.0,
    "distance": 100.0,
    "humidity": 40.0,
}
WRITTEN = {"O2 pressure": "100 mPa", "temperature": "293.15 K", "target": "Ti", "passes": 2, "humidity": "40 %"}


def test_a_point_is_written_with_units_and_kept_without() -> None:
    assert SPUTTERING.point(WRITTEN) == POINT
    assert SPUTTERING.point(WRITTEN, distance="0.1 m", passes=np.int64(2)) == POINT
    assert SPUTTERING.contains(POINT)
    assert list(SPUTTERING.point(WRITTEN)) == list(SPUTTERING.names)
    assert all(type(value) in {float, str} for value in SPUTTERING.point(WRITTEN).values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"temperature": 20}, UnitError, "temperature = 20.0 has no unit, and temperature is declared in degC"),
        ({"temperature": "20 Pa"}, UnitError, "temperature = 20.0 Pa: Pa does not convert to degC"),
        ({"temperature": "500 degC"}, PointError, "temperature = 500.0 degC lies above its upper bound 400.0 degC"),
        ({"passes": "2 V"}, UnitError, "passes = 2.0 V: a unit where none is declared (give a plain number)"),
        ({"passes": 3}, PointError, "passes = 3.0 is none of its 3 values (choose one of 1.0, 2.0, 4.0)"),
        ({"target": "Nb"}, PointError, "target = 'Nb' is none of its choices (choose one of Ti, TiNb)"),
        ({"distance": "11 cm"}, PointError, "distance = 110.0 differs from its fixed value 100.0 mm"),
        ({"power": 3}, PointError, "unknown parameter power (the space has O2 pressure, temperature, target, passes,"),
    ],
)
def test_what_is_wrong_with_a_point_is_said(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as refused:
        SPUTTERING.point({**WRITTEN, **change})
    assert message in str(refused.value)


def test_only_fixed_parameters_may_be_left_out() -> None:
    with pytest.raises(PointError, match="no value for temperature, humidity"):
        SPUTTERING.point({name: WRITTEN[name] for name in ("O2 pressure", "target", "passes")})
    with pytest.raises(PointError, match="no value for distance"):
        SPUTTERING.check({name: value for name, value in POINT.items() if name != "distance"})


@pytest.mark.parametrize(
    "change", [{"O2 pressure": 2.0}, {"O2 pressure": None}, {"target": 1}, {"passes": "2"}, {"power": 1}]
)
def test_what_is_no_canonical_point_is_not_contained(change: dict[str, object]) -> None:
    assert not SPUTTERING.contains({**POINT, **change})


@pytest.mark.parametrize("values", [None, 3, "x", [1.0]])
def test_what_is_no_mapping_is_no_point(values: Any) -> None:
    assert not SPUTTERING.contains(values)


def test_parameters_are_told_apart_by_who_chooses_them() -> None:
    assert SPUTTERING.names == ("O2 pressure", "temperature", "target", "passes", "distance", "humidity")
    assert SPUTTERING.free == ("O2 pressure", "temperature", "target", "passes")
    assert SPUTTERING.contextual == ("humidity",)
    assert SPUTTERING.fixed == ("distance",)
    assert SPUTTERING.bounds == {
        "O2 pressure": (0.01, 1.0),
        "temperature": (20.0, 400.0),
        "passes": (1.0, 4.0),
        "distance": (100.0, 100.0),
        "humidity": (0.0, 100.0),
    }


def test_the_order_of_parameters_is_kept_and_counts() -> None:
    a, b = Continuous(0, 1), Continuous(0, 2)
    space, turned = SearchSpace(a=a, b=b), SearchSpace(b=b, a=a)
    assert space != turned
    assert space.digest != turned.digest
    assert SearchSpace.from_json(turned.to_json()).names == ("b", "a")
    # A store may sort the keys of its JSON; the order survives that.
    sorted_text = json.dumps(json.loads(turned.to_json()), sort_keys=True)
    assert SearchSpace.from_json(sorted_text) == turned
    assert space == SearchSpace({"a": a, "b": b})
    assert hash(space) == hash(SearchSpace({"a": a, "b": b}))


def test_plain_data_may_give_parameters_as_a_mapping() -> None:
    data = {"parameters": {"a": {"kind": "continuous", "low": "10 mPa", "high": 1, "unit": "Pa"}}}
    assert SearchSpace.from_data(data) == SearchSpace(a=Continuous(0.01, 1, unit="Pa"))


def test_a_space_cannot_be_changed() -> None:
    space = SearchSpace(a=Continuous(0, 1))
    with pytest.raises(TypeError):
        cast("Any", space.parameters)["b"] = Continuous(0, 1)
    with pytest.raises(ValueError, match="frozen"):
        cast("Any", space).pool = None


NUMBERS: Mapping[str, Continuous | Discrete] = {
    "a": Continuous(0, 1),
    "b": Continuous(0, 1),
    "c": Discrete([0, 0.5, 1]),
    "hot": Continuous(20, 400, unit="degC"),
}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SearchSpace(), ProblemError, "a SearchSpace needs at least one parameter"),
        (lambda: SearchSpace({" a": Fixed(1)}), ProblemError, "' a' cannot name a parameter"),
        (lambda: SearchSpace({"a": Fixed(1)}, a=Fixed(2)), ProblemError, "parameter a is given twice"),
        (
            lambda: SearchSpace(pool=cast("Any", Fixed(1))),
            ProblemError,
            "pool cannot name a parameter by keyword",
        ),
        (lambda: SearchSpace(a=cast("Any", 3)), ProblemError, "a: extra inputs are not permitted, got 3"),
        (
            lambda: SearchSpace(NUMBERS, constraints=Mixture(["a", "z"])),
            ProblemError,
            "the constraint a + z = 1.0 names 'z', which is no parameter (the space has a, b, c, hot)",
        ),
        (
            lambda: SearchSpace(NUMBERS, constraints=Mixture(["a", "hot"])),
            ProblemError,
            "the parts of a mixture need one unit, got a in no unit, hot in degC",
        ),
        (
            lambda: SearchSpace(NUMBERS, constraints=AtMost(1, ["a", "hot"])),
            ProblemError,
            "hot cannot be 0, and at most 1 of a, hot wants to set it to 0",
        ),
        (
            lambda: SearchSpace(NUMBERS, m=Categorical(["x", "y"]), constraints=LinearConstraint({"m": 1}, upper=1)),
            ProblemError,
            "the constraint m <= 1.0 names m, which is no number",
        ),
        (
            lambda: SearchSpace(NUMBERS, constraints=LinearConstraint({"a": 2, "c": -1}, lower=3)),
            EmptySpaceError,
            "no point satisfies 3.0 <= 2 a - 1 c: within the bounds the sum runs from -1 to 2",
        ),
        (
            lambda: SearchSpace(NUMBERS, constraints=Mixture(["a", "b"], total=2.5)),
            EmptySpaceError,
            "no point satisfies a + b = 2.5: within the bounds the sum runs from 0 to 2 (widen a bound or",
        ),
        (lambda: Mixture(["a"]), ProblemError, "Mixture needs at least 2 different parameters, got a"),
        (lambda: Mixture(["a", "a"]), ProblemError, "Mixture needs at least 2 different parameters, got a, a"),
        (lambda: Mixture("ab"), ProblemError, "names: input should be a valid tuple"),
        (lambda: Mixture(["a", "b"], total=0), ProblemError, "total: input should be greater than 0"),
        (lambda: AtMost(2, ["a", "b"]), ProblemError, "AtMost: 2 of 2 parameters is no constraint (leave it out)"),
        (lambda: AtMost(0, ["a", "b"]), ProblemError, "k: input should be greater than or equal to 1"),
        (lambda: LinearConstraint({"a": 1}), ProblemError, "has no limit (give lower=, upper= or both)"),
        (lambda: LinearConstraint({"a": 0}, upper=1), ProblemError, "no coefficient of 0"),
        (lambda: LinearConstraint({"a": 1}, lower=2, upper=1), ProblemError, "2.0 <= a <= 1.0 cannot be met"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refused:
        make()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("constraint", "good", "bad", "violation", "message"),
    [
        (
            LinearConstraint({"a": 1, "b": 2}, upper=2),
            {"a": 0.5, "b": 0.75},
            {"a": 1.0, "b": 0.75},
            0.5,
            "the point breaks the linear constraint a + 2 b <= 2.0: the sum is 2.5 (change a, b)",
        ),
        (
            LinearConstraint({"a": 1, "b": -1}, lower=0, upper=0),
            {"a": 0.1 + 0.2, "b": 0.3},
            {"a": 0.3, "b": 0.25},
            0.05,
            "the point breaks the linear constraint a - 1 b = 0.0: the sum is 0.05",
        ),
        (
            Mixture(["a", "b"]),
            {"a": 0.333333, "b": 0.666667},
            {"a": 0.5, "b": 0.25},
            0.25,
            "the mixture a + b sums to 0.75 and not to 1.0 (change a, b)",
        ),
        (
            AtMost(1, ["a", "b"]),
            {"a": 0.0, "b": 0.25},
            {"a": 0.5, "b": 0.25},
            1.0,
            "2 parameters differ from 0 (a, b) where at most 1 of a, b may (set 1 more of them to 0)",
        ),
    ],
)
def test_a_constraint_says_how_far_it_is_broken(
    constraint: LinearConstraint | Mixture | AtMost,
    good: dict[str, float],
    bad: dict[str, float],
    violation: float,
    message: str,
) -> None:
    space = SearchSpace(a=Continuous(0, 1), b=Continuous(0, 1), constraints=constraint)
    assert constraint.violation(good) == 0
    assert space.contains(good)
    assert constraint.violation(bad) == pytest.approx(violation)
    with pytest.raises(PointError) as refused:
        space.check(bad)
    assert str(refused.value).startswith(message)


def test_nan_breaks_every_sum() -> None:
    nothing = {"a": float("nan"), "b": 0.5}
    assert LinearConstraint({"a": 1, "b": 1}, upper=1).violation(nothing) != 0
    assert Mixture(["a", "b"]).violation(nothing) != 0
