"""Whatever a person or an instrument writes becomes a float in the declared unit, or is refused with the way out."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, cast

import numpy as np
import pint
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdl.errors import UnitError
from sdl.problem import units


@pytest.mark.parametrize(
    ("written", "unit", "number"),
    [
        ("100 mPa", "Pa", 0.1),
        ("0.1Pa", "Pa", 0.1),
        ("1e-3 Pa", "mPa", 1.0),
        ("1.5 h", "s", 5400.0),
        ("90 s", "min", 1.5),
        ("293.15 K", "degC", 20.0),
        ("20 °C", "K", 293.15),
        ("68 degF", "degC", 20.0),
        ("\N{MINUS SIGN}5 degC", "degC", -5.0),
        ("5 %", None, 0.05),
        ("0.25 dimensionless", "%", 25.0),
        ("1 slm", "sccm", 1000.0),
        ("10 µm", "nm", 10000.0),
        ("2 kg*m**2/s**2", "J", 2.0),
        ("3 nV/Hz^(1/2)", "nV/Hz**0.5", 3.0),
        ("7", None, 7.0),
        (np.int64(7), None, 7.0),
        (np.float32(0.5), None, 0.5),
        (10, None, 10.0),
    ],
)
def test_what_people_write_becomes_the_number_they_mean_to_the_last_digit(
    written: object, unit: str | None, number: float
) -> None:
    assert units.to_unit(written, unit, name="x") == number


@pytest.mark.parametrize(
    ("written", "unit", "message"),
    [
        (0.1, "Pa", 'x = 0.1 has no unit, and x is declared in Pa (write "0.1 Pa")'),
        ("0.1", "Pa", 'x = 0.1 has no unit, and x is declared in Pa (write "0.1 Pa")'),
        ("1.2 V", "Pa", "x = 1.2 V: V does not convert to Pa (give a quantity that converts to Pa)"),
        ("1.2 V", None, "x = 1.2 V: a unit where none is declared (give a plain number)"),
        ("400 C", "degC", "x = 400.0 C: C does not convert to degC (C is a coulomb; write degC)"),
        ("1 pascl", "Pa", "x = 1.0 pascl: unknown unit 'pascl' (did you mean pascal, parsec, millipascal?)"),
        ("1 PASCAL", "Pa", "x = 1.0 PASCAL: unknown unit 'PASCAL' (did you mean pascal?)"),
        (
            "fast",
            "Pa",
            "x = 'fast' is neither a number nor a quantity (write a number with its unit, as in \"0.1 Pa\")",
        ),
        ("20 delta_degC", "degC", "one of delta_degC and degC is a difference, the other is not"),
        ("1 sccm", "mL/min", "x = 1.0 sccm: sccm does not convert to mL/min"),
        (True, None, "x = True is neither a number nor a quantity"),
        (1j, None, "x = 1j is neither a number nor a quantity"),
        (None, None, "x = None is neither a number nor a quantity"),
        ([1.0], None, "x = [1.0] is neither a number nor a quantity"),
        (math.nan, None, "x = nan is not finite"),
        ("1e999 Pa", "Pa", "x = inf is not finite"),
        (10**400, None, "x = inf is not finite"),
        ("1e308 GPa", "Pa", "too large a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(written: object, unit: str | None, message: str) -> None:
    with pytest.raises(UnitError) as refused:
        units.to_unit(written, unit, name="x")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "unit", ["", " ", "foo", "2 Pa", "9**9**9", "9^(9*9^9)", "Pa**1234", "(Pa", "Pa;", "m\nm", "x" * 999]
)
def test_what_is_no_unit_is_refused_at_once(unit: str) -> None:
    with pytest.raises(UnitError, match="pressure"):
        units.check_unit(unit, name="pressure")


@given(st.text(max_size=20))
@example("@")
@example("'a'")
def test_any_text_is_a_unit_or_a_unit_error(text: str) -> None:
    try:
        units.check_unit(text, name="x")
    except UnitError as error:
        assert error.hint  # noqa: PT017 # either way is right; a refusal says the way out
    else:
        assert units.are_compatible(text, text)


def test_quantities_of_any_registry_and_of_any_format_are_understood() -> None:
    foreign = cast("Any", pint.UnitRegistry())
    foreign.formatter.default_format = "~P"
    assert units.to_unit(foreign.Quantity(250.0, "mL/min/m**2"), "L/min/m**2", name="x") == 0.25
    assert units.to_unit(foreign.Quantity(np.float64(20.0), "degC"), "K", name="x") == 293.15
    assert units.to_unit(units.quantity(3.0, "mV"), "V", name="x") == 0.003
    with pytest.raises(UnitError, match="neither a number"):
        units.to_unit(foreign.Quantity(np.array([1.0, 2.0]), "Pa"), "Pa", name="x")


def test_a_difference_of_temperatures_has_no_offset() -> None:
    assert units.convert_difference(0.5, "degC", "K", name="x") == 0.5
    assert units.convert_difference(9.0, "degF", "degC", name="x") == 5.0
    assert units.convert_difference(100.0, "mV", "V", name="x") == 0.1


def test_units_that_are_not_proportional_convert_by_value_and_not_by_difference() -> None:
    assert units.convert(10.0, "dBm", "mW", name="x") == pytest.approx(10.0)
    with pytest.raises(UnitError, match="a difference does not convert to mW"):
        units.convert_difference(1.0, "dBm", "mW", name="x")


THOUSANDTHS = [("Pa", "mPa"), ("km", "m"), ("V", "mV"), ("s", "ms"), ("L/min", "mL/min"), ("kohm", "ohm"), ("K", "mK")]


@given(st.sampled_from(THOUSANDTHS), st.integers(-(10**15), 10**15), st.integers(-20, 5))
def test_a_thousand_times_the_number_in_a_thousandth_of_the_unit_is_the_same(
    pair: tuple[str, str], digits: int, exponent: int
) -> None:
    unit, thousandth = pair
    number = float(f"{digits}e{exponent}")
    assert units.to_unit(f"{digits}e{exponent + 3} {thousandth}", unit, name="x") == number
    assert units.to_unit(f"{digits}e{exponent} {unit}", unit, name="x") == number


@given(
    st.floats(-1e6, 1e6), st.sampled_from(["degC", "degF", "K", "degR"]), st.sampled_from(["degC", "degF", "K", "degR"])
)
def test_temperatures_there_and_back(value: float, unit: str, other: str) -> None:
    there = units.convert(value, unit, other, name="x")
    assert units.convert(there, other, unit, name="x") == pytest.approx(value, rel=1e-12, abs=1e-9)


def test_importing_the_problem_loads_neither_pint_nor_scipy() -> None:
    code = "import sys, sdl.problem; print([m for m in ('pint', 'scipy', 'torch', 'pandas') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
