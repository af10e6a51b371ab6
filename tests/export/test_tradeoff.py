"""The hypervolume."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import two_objectives

from sdl.export.tradeoff import growth, hypervolume

cells = st.integers(0, 4)


def counted(scores: list[tuple[int, ...]], n: int) -> int:
    """The unit cells above the origin that some score dominates."""
    return sum(
        any(all(a > c for a, c in zip(score, cell, strict=True)) for score in scores)
        for cell in itertools.product(range(4), repeat=n)
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@given(data=st.data())
def test_it_is_the_volume(n: int, data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.tuples(*[cells] * n), max_size=6))
    floats = [tuple(float(x) for x in score) for score in scores]
    assert hypervolume(floats, (0.0,) * n) == counted(scores, n)


def test_it_never_shrinks_and_counts_from_the_worst_measured() -> None:
    view = two_objectives().view
    found = growth(view)
    assert found is not None
    volumes, reference = found
    values = [volume for _, volume in volumes]
    assert values == sorted(values)
    scores = [view.problem.score(trial.observation.outcomes) for trial in view.trials if trial.observation]
    assert reference == tuple(map(min, zip(*scores, strict=True)))
    assert values[-1] == pytest.approx(hypervolume(scores, reference))
