"""Numbers as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.export.words import duration, label, number, several, shortened, symbol, with_error

TIMES = "\u00d7"
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
magnitudes = st.floats(1e-290, 1e290)


def value_of(text: str) -> float:
    mantissa, _, power = text.partition(f" {TIMES} 10")
    return float(f"{mantissa}e{power.translate(SUPERSCRIPTS)}") if power else float(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.1234567, "0.1235"),
        (12345.6, "12346"),
        (1e6, f"1 {TIMES} 10⁶"),
        (-5.5e-9, f"-5.5 {TIMES} 10⁻⁹"),
        (300.0, "300"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(value=st.one_of(magnitudes, magnitudes.map(lambda x: -x)), digits=st.integers(1, 8))
def test_a_written_number_is_right_to_its_digits(value: float, digits: int) -> None:
    assert value_of(number(value, digits)) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.3456, 0.4321, "12.35 ± 0.43"),
        (12.3456, 43.0, "12 ± 43"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (1.2345e-5, 2e-7, f"(1.234 ± 0.020) {TIMES} 10⁻⁵"),
        (3.0, None, "3"),
        (3.0, 0.0, "3"),
    ],
)
def test_values_are_written_to_the_place_of_their_errors(value: float, error: float | None, text: str) -> None:
    assert with_error(value, error) == text


@given(value=magnitudes, share=st.floats(1e-6, 1e3))
def test_value_and_error_are_both_right(value: float, share: float) -> None:
    error = value * share
    found = re.fullmatch(rf"\(?([\d.]+) ± ([\d.]+)\)?(?: {TIMES} 10(.*))?", with_error(value, error))
    assert found is not None
    scale = "e" + found[3].translate(SUPERSCRIPTS) if found[3] else ""
    assert float(found[2] + scale) == pytest.approx(error, rel=0.051)
    assert abs(float(found[1] + scale) - value) <= 0.51 * 0.1 * error + 0.5 * (error > 100)


def test_units_have_their_usual_signs() -> None:
    assert [symbol(unit) for unit in ("ohm", "degC", "um", "S/cm", None)] == ["Ω", "°C", "µm", "S/cm", ""]
    assert label("temperature", "degC") == "temperature [°C]"
    assert symbol("no such unit") == "no such unit"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.8, "0.8 s"), (61, "1 min 1 s"), (3600, "1 h"), (90000, "1 d 1 h"), (86400 * 3 + 20, "3 d")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lists_and_cuts() -> None:
    assert several([]) == ""
    assert several(["a", "b", "c"]) == "a, b and c"
    assert shortened("one\n two  " + "x" * 300, 12) == "one two xxx…"
