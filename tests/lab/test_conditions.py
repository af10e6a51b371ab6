"""Conditions of interlocks: how they are read, and what they say of values."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.errors import SdlError
from sdl.lab.conditions import parse

NOT_KNOWN = [math.nan, math.inf, -math.inf, None, "hot", True, np.float32("nan"), [20.0]]


class TestConditions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a > 1 and b > 1", True),
            ("a > 1 and b > 2", False),
            ("a > 2 or b == 2", True),
            ("not a > 2", True),
            ("not (a > 2 or b < 1)", True),
            ("a < b or a > b", False),
            ('door == "open"', True),
            ("door != 'open'", False),
            ("lamp == true", True),
            ("lamp != true", False),
            ("1 < a", True),
            ("a > lost", None),
            ("a > 1 and lost > 1", None),
            ("a > 5 and lost > 1", False),
            ("a > 1 or lost > 1", True),
            ("not lost > 1", None),
            ("door > a", None),
            ("lamp == door", None),
            ("lost == lost", None),
            ("lost != 3", None),
        ],
    )
    def test_three_values(self, text: str, expected: bool | None) -> None:
        now: dict[str, Any] = {"a": 2.0, "b": 2.0, "door": "open", "lamp": True, "lost": None}
        assert parse(text).bound(lambda _: None).holds(now.get) is expected

    @given(
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.sampled_from(NOT_KNOWN),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    def test_what_is_no_finite_number_compares_with_no_number(self, sign: str, value: Any, bound: float) -> None:
        for text in (f"x {sign} y", f"not x {sign} y", f"not not x {sign} y"):
            assert parse(text).bound(lambda _: None).holds({"x": value, "y": bound}.get) is None
            assert parse(text).bound(lambda _: None).holds({"x": bound, "y": value}.get) is None

    @given(st.floats(min_value=-1e6, max_value=1e6), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    def test_one_step_beside_the_bound(self, bound: float, sign: str) -> None:
        condition = parse(f"x {sign} {bound!r}").bound(lambda _: None)
        for x in (math.nextafter(bound, -math.inf), bound, math.nextafter(bound, math.inf)):
            expected = {"<": x < bound, "<=": x <= bound, ">": x > bound, ">=": x >= bound}
            assert condition.holds({"x": x}.get) is (expected | {"==": x == bound, "!=": x != bound})[sign]

    def test_units_are_converted_once(self) -> None:
        condition = parse("t > 50 degC and p > q").bound({"t": "K", "p": "Pa", "q": "mbar"}.get)
        assert condition.holds({"t": 323.16, "p": 101.0, "q": 1.0}.get) is True
        assert condition.holds({"t": 323.15, "p": 101.0, "q": 1.0}.get) is False
        assert condition.holds({"t": 323.16, "p": 99.0, "q": 1.0}.get) is False

    @pytest.mark.parametrize(
        "text",
        [
            "a >",
            "> 3",
            "a = 3",
            "a < b < c",
            "1 < 2",
            "(a > 1",
            "a > 1)",
            "a > 1 b > 2",
            "a > 'x'",
            "a > true",
            "a",
            "a.b.c",
            "a > 3 furlongs_and_more",
            "not",
            "a > __import__('os')",
            "a > 1 " + "and a > 1 " * 200,
            "(" * 60 + "a > 1" + ")" * 60,
        ],
    )
    def test_what_cannot_be_read_is_refused(self, text: str) -> None:
        with pytest.raises(SdlError):
            parse(text)

    def test_nan_is_the_name_of_a_signal_and_no_number(self) -> None:
        assert list(parse("a > nan").signals()) == ["a", "nan"]

    @given(st.text(alphabet="ab.<>=!&|()\"' notrd0159-+eE/KC\n", max_size=40))
    def test_no_text_breaks_the_parser(self, text: str) -> None:
        with contextlib.suppress(SdlError):
            list(parse(text).signals())
