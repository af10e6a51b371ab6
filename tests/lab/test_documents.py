"""Documents become JSON, whatever devices put into them."""

from __future__ import annotations

import enum
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.lab.documents import plain
from sdl.problem import Measurement


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(json_values)
def test_json_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value


@given(st.lists(st.floats(), max_size=5))
def test_every_number_survives(values: list[float]) -> None:
    made = json.loads(json.dumps(plain(np.array(values)), allow_nan=False))
    assert [repr(float(value)) for value in made] == [repr(value) for value in values]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(2.5), 2.5),
        (np.array([math.nan, math.inf, -math.inf]), ["NaN", "Infinity", "-Infinity"]),
        (math.nan, "NaN"),
        ((1, (2,)), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        (b"\x01\xff", "01ff"),
        (Colour.RED, "red"),
        (Level.HIGH, 2),
        (MappingProxyType({1: np.float64(2)}), {"1": 2.0}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (Path("data/scan.h5"), "data/scan.h5"),
        (1 + 2j, "(1+2j)"),
        (np.complex128(1 + 2j), "(1+2j)"),
        (Measurement(3.0, "ohm"), {"value": 3.0, "unit": "ohm", "standard_error": None, "n_replicates": 1}),
    ],
)
def test_everything_else_becomes_json(value: Any, expected: Any) -> None:
    made = plain({"data": value})["data"]
    assert made == expected
    assert type(made) is type(expected)
    json.dumps(made, allow_nan=False)
