"""Parameters: what may be declared, and which values belong to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pint
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sdl.errors import PointError, ProblemError, UnitError
from sdl.problem import Categorical, Continuous, Discrete, Fixed, SearchSpace

FINITE = st.floats(-1e12, 1e12)


def test_bounds_are_converted_to_the_unit_once() -> None:
    expected = Continuous(0.01, 1.0, unit="Pa")
    assert Continuous("10 mPa", "1 Pa", unit="Pa") == expected
    assert Continuous("10 mPa", 1, unit="Pa") == expected
    assert Continuous(cast("Any", pint.UnitRegistry()).Quantity(10, "mPa"), np.float32(1), unit="Pa") == expected
    assert Discrete(["1 min", 120, "0.05 h"], unit="s").values == (60.0, 120.0, 180.0)
    assert Fixed("25 mm", unit="cm").value == 2.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Continuous(2, 1),
            "Continuous(2.0, 1.0): the lower bound must lie below the upper bound (swap the bounds)",
        ),
        (lambda: Continuous(1, 1), "use Fixed(value)"),
        (
            lambda: Continuous(0, 1, log=True),
            "Continuous(0.0, 1.0): a log parameter needs a positive lower bound (raise the bound, or drop log=True)",
        ),
        (lambda: Continuous(-1e308, 1e308), "wider than a float can hold"),
        (lambda: Continuous(math.nan, 1), "low = nan is not finite"),
        (lambda: Continuous(0, math.inf), "high = inf is not finite"),
        (lambda: Continuous("1 V", 2, unit="Pa"), "low = 1.0 V: V does not convert to Pa"),
        (lambda: Continuous(0, 1, unit="pascl"), "did you mean pascal"),
        (lambda: Continuous(True, 2), "low: input should be a valid number, got True"),
        (lambda: Continuous("low", 2), "low = 'low' is neither a number nor a quantity"),
        (lambda: Discrete([1]), "a Discrete parameter needs at least 2 values, got 1 (use Fixed)"),
        (lambda: Discrete([1, 3, 2]), "the values of a Discrete parameter must ascend, got 3.0 before 2.0"),
        (lambda: Discrete([1, 1]), "must ascend"),
        (lambda: Categorical(["a"]), "a Categorical parameter needs at least 2 choices, got 1 (use Fixed)"),
        (lambda: Categorical(["a", "b", "a"]), "choices must differ and not be empty, got 'a'"),
        (lambda: Categorical(["a", ""]), "choices must differ and not be empty, got ''"),
        (lambda: Categorical("ab"), "choices: input should be a valid tuple, got 'ab'"),
        (lambda: Fixed("fast", unit="Pa"), "value = 'fast' is neither a number nor a quantity"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ProblemError) as refused:
        make()
    assert message in str(refused.value)


@given(FINITE, FINITE, st.booleans())
def test_a_bound_belongs_and_one_step_beyond_does_not(a: float, b: float, log: bool) -> None:
    low, high = sorted((abs(a), abs(b))) if log else sorted((a, b))
    assume(low < high and not (log and low <= 0))
    parameter = Continuous(low, high, log=log)
    for inside in (low, high, math.nextafter(low, math.inf), math.nextafter(high, -math.inf)):
        assert parameter.contains(inside)
    for outside in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan, math.inf, -math.inf):
        assert not parameter.contains(outside)
        with pytest.raises(PointError, match="x = "):
            parameter.check("x", outside)


@given(st.lists(FINITE, min_size=2, max_size=8, unique=True))
def test_a_level_belongs_and_one_step_beside_does_not(values: list[float]) -> None:
    parameter = Discrete(sorted(values))
    for value in parameter.values:
        assert parameter.contains(value)
        beside = math.nextafter(value, math.inf)
        assert parameter.contains(beside) == (beside in parameter.values)
    assert not parameter.contains(math.nan)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (
            Continuous(0.01, 1.0, unit="Pa"),
            1.2,
            "oxygen = 1.2 Pa lies above its upper bound 1.0 Pa (choose a value in [0.01, 1.0] Pa)",
        ),
        (Continuous(0, 1), -0.5, "oxygen = -0.5 lies below its lower bound 0.0 (choose a value in [0.0, 1.0])"),
        (Continuous(0, 1, unit="Pa"), math.nan, "oxygen = nan is not a finite number (give a number in Pa)"),
        (Continuous(0, 1), True, "oxygen = True is not a finite number"),
        (Continuous(0, 1), "0.5", "oxygen = '0.5' is not a finite number"),
        (Discrete([1, 2], unit="V"), 1.5, "oxygen = 1.5 V is none of its 2 values (choose one of 1.0, 2.0 V)"),
        (Categorical(["a", "b"]), "c", "oxygen = 'c' is none of its choices (choose one of a, b)"),
        (Categorical(["a", "b"]), 1.0, "oxygen = 1.0 is none of its choices"),
        (Fixed(2.0, unit="V"), 3.0, "oxygen = 3.0 differs from its fixed value 2.0 V (leave it out)"),
        (Fixed("slow"), 3.0, "oxygen = 3.0 differs from its fixed value 'slow'"),
        (Fixed(2.0), "2.0", "oxygen = '2.0' differs from its fixed value 2.0"),
    ],
)
def test_a_refused_value_is_named_with_its_limit_and_the_way_out(
    parameter: Continuous | Discrete | Categorical | Fixed, value: object, message: str
) -> None:
    with pytest.raises(PointError) as refused:
        parameter.check("oxygen", value)
    assert message in str(refused.value)


def test_what_misses_a_bound_by_rounding_only_is_the_bound() -> None:
    space = SearchSpace(x=Continuous(0, 0.3, unit="V"), y=Discrete([0, 0.3], unit="V"), z=Fixed(0.3, unit="V"))
    registry = cast("Any", pint.UnitRegistry())
    rounded = registry.Quantity(0.1, "V") + registry.Quantity(0.2, "V")
    assert rounded.magnitude > 0.3
    assert space.point(x=rounded, y=rounded, z=rounded) == {"x": 0.3, "y": 0.3, "z": 0.3}
    assert space.point(x="-1e-20 V", y="-1e-20 V") == {"x": 0.0, "y": 0.0, "z": 0.3}
    with pytest.raises(PointError):
        space.point(x="0.3000001 V", y="0.3 V")
    with pytest.raises(UnitError):
        space.point(x=0.3, y="0.3 V")


def test_negative_zero_is_zero() -> None:
    assert Continuous(-0.0, 1).digest == Continuous(0.0, 1).digest
    assert math.copysign(1, SearchSpace(x=Continuous(0, 1)).point(x=-0.0)["x"]) == 1  # type: ignore[arg-type] # a float
