"""Choices and candidates that are described by numbers: a model learns from them what similar ones would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import NOWHERE, Values, ask, completed, explore, history_of, measured

from sdl.campaign.planner import History
from sdl.errors import ProblemError
from sdl.planners import BayesianPlanner, smiles_descriptors
from sdl.planners.encoding import Encoding
from sdl.problem import CandidatePool, Categorical, Continuous, Maximize, Problem, SearchSpace

SOLVENTS = tuple(f"solvent {number}" for number in range(16))
POLARITY = dict(zip(SOLVENTS, np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 16)).tolist(), strict=True))


def space_of(**options: Any) -> SearchSpace:
    return SearchSpace(solvent=Categorical(SOLVENTS, **options), x=Continuous(0.0, 1.0))


def by_polarity(v: Values) -> dict[str, float]:
    """What counts is the polarity, but for one solvent that does something else."""
    odd = 0.5 if v["solvent"] == "solvent 3" else 0.0
    return {"yield": np.exp(-8.0 * (POLARITY[str(v["solvent"])] - 0.7) ** 2) - (float(v["x"]) - 0.4) ** 2 - odd}


def some_trials(space: SearchSpace, n: int, seed: int = 0) -> History:
    return history_of(space.sample(n, np.random.default_rng(seed)), by_polarity)


def error_of(space: SearchSpace, seed: int) -> float:
    problem = Problem(space, Maximize("yield"))
    places = space.sample(60, np.random.default_rng(100 + seed))
    predicted = BayesianPlanner().predict(problem, some_trials(space, 14, seed), places)
    return float(
        np.mean([(p["yield"].mean - by_polarity(at)["yield"]) ** 2 for p, at in zip(predicted, places, strict=True)])
    )


def test_descriptors_predict_choices_that_were_never_tried() -> None:
    described, bare = space_of(descriptors={"polarity": POLARITY}), space_of()
    ratios = [error_of(described, seed) / error_of(bare, seed) for seed in range(3)]
    assert np.median(ratios) < 0.3


def test_a_choice_may_differ_from_what_its_descriptors_say() -> None:
    """Two solvents of nearly one polarity, with outcomes far apart: the model believes the measurements."""
    space = SearchSpace(solvent=Categorical([*"abcd"], descriptors={"polarity": [0.0, 0.5, 0.501, 1.0]}))
    points: list[Values] = [{"solvent": name} for name in "abcd"]
    gains = {"a": 0.0, "b": 1.0, "c": -1.0, "d": 0.1}
    history = history_of([*points, *points], lambda v: {"yield": gains[str(v["solvent"])]})
    predicted = BayesianPlanner().predict(Problem(space, Maximize("yield")), history, points)
    assert [p["yield"].mean for p in predicted] == pytest.approx(list(gains.values()), abs=0.2)


def test_useless_descriptors_do_little_harm() -> None:
    noise = np.random.default_rng(7).random(16).tolist()
    useless, bare = space_of(descriptors={"noise": noise}), space_of()
    ratios = [error_of(useless, seed) / error_of(bare, seed) for seed in range(5)]
    assert np.median(ratios) < 1.3


def test_numbers_by_choice_and_in_order_are_the_same() -> None:
    by_choice = Categorical(["b", "a"], descriptors={"size": {"a": 1.0, "b": 2.0}})
    assert by_choice == Categorical(["b", "a"], descriptors={"size": [2.0, 1.0]})
    assert Categorical.from_json(by_choice.to_json()) == by_choice
    assert "descriptors" not in Categorical([*"ab"]).to_json()


@pytest.mark.parametrize(
    ("descriptors", "said"),
    [
        ({"size": [1.0]}, "1 numbers for 2 choices"),
        ({"size": [1.0, 1.0]}, "for all 2 choices"),
        ({"size": [1.0, float("nan")]}, "finite"),
        ({"size": {"a": 1.0}}, "lacks 'b'"),
        ({"size": {"a": 1.0, "b": 2.0, "c": 3.0}}, "no choice"),
        ({"size": "large"}, "tuple"),
    ],
)
def test_descriptors_that_cannot_be_are_refused(descriptors: Any, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        Categorical([*"ab"], descriptors=descriptors)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(0, 5))
def test_points_with_descriptors_come_back_from_coordinates(n_descriptors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = space_of(descriptors={f"d{i}": rng.normal(size=16).tolist() for i in range(n_descriptors)})
    points = space.sample(5, rng)
    encoding = Encoding(space)
    rows = encoding.encode(points)
    assert rows.min() >= 0.0
    assert rows.max() <= 1.0
    assert [encoding.decode(row)["solvent"] for row in rows] == [point["solvent"] for point in points]
    assert len(encoding.groups) == encoding.n_columns == rows.shape[1]


# --- pools ------------------------------------------------------------------------------------------------------------


def pool_problem(n: int, *, is_described: bool) -> tuple[Problem, dict[float, float]]:
    """Candidates by number alone; what they give depends on an embedding."""
    rng = np.random.default_rng(3)
    embedding = rng.random((n, 2))
    descriptors = {"e0": embedding[:, 0].tolist(), "e1": embedding[:, 1].tolist()} if is_described else None
    numbers = [str(number) for number in range(n)]
    space = SearchSpace(
        candidate=Categorical(numbers), pool=CandidatePool({"candidate": numbers}, descriptors=descriptors)
    )
    gains = np.exp(-6.0 * ((embedding - 0.6) ** 2).sum(axis=1))
    return Problem(space, Maximize("gain")), dict(enumerate(gains.tolist()))


def gain_of(gains: dict[float, float]) -> Callable[[Values], dict[str, float]]:
    return lambda v: {"gain": gains[int(str(v["candidate"]))]}


def test_an_embedding_finds_the_best_candidates_of_a_pool() -> None:
    ranks = {}
    for is_described in (True, False):
        problem, gains = pool_problem(80, is_described=is_described)
        history = explore(BayesianPlanner(), problem, gain_of(gains), 12)
        best = max(measured(history, "gain"))
        ranks[is_described] = sum(gain > best for gain in gains.values())
    assert ranks[True] < 3
    assert ranks[True] < ranks[False]


def test_trials_outside_a_described_pool_are_left_aside() -> None:
    smaller = SearchSpace(
        candidate=Categorical([*"0123456789", "x"]),
        pool=CandidatePool({"candidate": list("0123456789")}, descriptors={"e": list(range(10))}),
    )
    history = History([completed(1, {"candidate": "x"}, gain=9.0), completed(2, {"candidate": "1"}, gain=1.0)])
    (suggestion,) = ask(BayesianPlanner(), Problem(smaller, Maximize("gain")), history, situation=NOWHERE)
    assert smaller.contains(suggestion.values)
    assert CandidatePool.from_json(smaller.pool.to_json()) == smaller.pool if smaller.pool else False


# --- molecules --------------------------------------------------------------------------------------------------------

SMILES = {
    "ethanol": "CCO",
    "water": "O",
    "DMSO": "CS(C)=O",
    "benzene": "c1ccccc1",
    "acetonitrile": "CC#N",
    "THF": "C1CCOC1",
}


def test_smiles_become_descriptors_that_differ() -> None:
    pytest.importorskip("rdkit")
    found = smiles_descriptors(SMILES.values())
    solvent = Categorical([*SMILES], descriptors=found)
    assert next(iter(found)) == "MolLogP"
    assert found["MolLogP"][3] > found["MolLogP"][1]  # benzene is less polar than water
    columns = np.array(list(solvent.descriptors.values()))
    correlations = np.abs(np.corrcoef(columns)) - np.eye(len(columns))
    assert correlations.max() <= 0.9
    with pytest.raises(ProblemError, match="no SMILES"):
        smiles_descriptors(["CCO", "no molecule"])
    with pytest.raises(ProblemError, match="no descriptor"):
        smiles_descriptors(SMILES.values(), names=["Tastiness"])
