"""The emulator: it fits, it says how well, and what it says of itself is true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.errors import ProblemError
from sdl.problem import ParameterValue
from sdl.simulators.emulator import Array, Axis, Emulator, Surface, _kernel, _loss  # pyright: ignore[reportPrivateUsage]

Design = dict[str, ParameterValue]


def truth(design: Design) -> float:
    bump = {"a": 0.0, "b": 1.0, "c": -0.5}[str(design["catalyst"])]
    return bump + math.sin(2.0 * float(design["x"])) + 0.5 * math.log10(float(design["p"]))


def designs(n: int, seed: int) -> list[Design]:
    rng = np.random.default_rng(seed)
    return [
        {"catalyst": "abc"[int(rng.integers(3))], "x": float(rng.uniform(0, 3)), "p": float(10 ** rng.uniform(-2, 2))}
        for _ in range(n)
    ]


def test_it_predicts_what_it_has_not_seen() -> None:
    known, unseen = designs(80, 1), designs(40, 2)
    emulator = Emulator(known, {"y": [truth(design) for design in known]}, logs=["p"])
    predicted = emulator.predict(unseen)["y"]
    missed = np.sqrt(np.mean((predicted - [truth(design) for design in unseen]) ** 2))
    assert missed < 0.1
    assert emulator.surfaces["y"].explained > 0.97
    # What it says of its own error is of the right size.
    assert 0.3 < emulator.surfaces["y"].error / missed < 3.0


def test_it_admits_that_noise_cannot_be_predicted() -> None:
    known = designs(60, 3)
    noise = np.random.default_rng(4).normal(size=60)
    surface = Emulator(known, {"y": list(noise)}).surfaces["y"]
    assert surface.explained < 0.2
    assert surface.error == pytest.approx(noise.std(), rel=0.25)


def test_leaving_out_in_closed_form_is_leaving_out() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(12, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=12)
    axes = [Axis("a"), Axis("b")]
    surface = Surface(axes, x, y, rng=rng)
    lengths, noise = surface._fit((y - y.mean()) / y.std(), rng)  # pyright: ignore[reportPrivateUsage]
    scaled = (y - y.mean()) / y.std()
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        squared = (((x[:, None] - x[None]) / lengths) ** 2).sum(axis=2)
        correlation, _ = _kernel(squared)
        solve: Any = np.linalg.solve  # which says too little of its type
        weights: Array = solve(correlation[np.ix_(rest, rest)] + noise * np.eye(len(x) - 1), scaled[rest])
        missed = float(y.std()) * float(scaled[i] - correlation[i, rest] @ weights)
        assert surface.leave_one_out[i] == pytest.approx(missed, rel=1e-6, abs=1e-9)


@given(st.lists(st.floats(-2.0, 2.0), min_size=2, max_size=2), st.floats(-8.0, -1.0))
def test_the_gradient_of_the_likelihood(lengths: list[float], noise: float) -> None:
    rng = np.random.default_rng(6)
    x = rng.uniform(size=(15, 2))
    axes = [Axis("a"), Axis("b")]
    squares = np.stack([axis.squared_distances(x[:, i], x[:, i]) for i, axis in enumerate(axes)])
    y = rng.normal(size=15)
    at = np.array([*lengths, noise])
    step = 1e-5 * np.eye(3)
    slopes = [(_loss(at + h, squares, y)[0] - _loss(at - h, squares, y)[0]) / 2e-5 for h in step]
    assert _loss(at, squares, y)[1] == pytest.approx(slopes, rel=1e-3, abs=1e-6)


def test_choices_have_no_order() -> None:
    axis = Axis.of("ligand", ["z", "a", "m"])
    squares = axis.squared_distances(np.array([0.0, 1.0]), np.array([0.0, 2.0]))
    assert squares.tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_an_outcome_that_never_changes_is_predicted() -> None:
    known = designs(10, 7)
    emulator = Emulator(known, {"y": [3.0] * 10})
    assert emulator.predict(known)["y"].tolist() == [3.0] * 10
    assert emulator.surfaces["y"].error == 0.0


def test_a_handful_of_designs_is_too_few() -> None:
    known = designs(4, 8)
    with pytest.raises(ProblemError, match="at least 5 different designs, got 4"):
        Emulator(known, {"y": [0.0] * 4})
