"""Intervals on measurements that were held out: of those of 95 % about 95 % hold the truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sdl.planners.encoding import Array, Encoding
from sdl.planners.evidence import Hyperparameters, TrainingSet
from sdl.planners.field import Field
from sdl.planners.fitting import fit_outcome
from sdl.planners.many import EXACT, SparseField
from sdl.planners.outcome import OutcomeData, OutcomeFit
from sdl.planners.surrogate import Surrogate, single_threaded
from sdl.planners.warp import Scale, Wanted, Warp
from sdl.problem import Categorical, Continuous, Parameter, SearchSpace

N_TRAINING = 80
N_HELD_OUT = 150
IN_95_PERCENT = 1.96


@dataclass(frozen=True)
class Table:
    """A published table: where it is, which of its columns are parameters, and what was measured."""

    file: str
    parameters: tuple[str, ...]
    outcome: str
    wanted: Wanted = "high"


REACTION = ("base", "ligand", "solvent", "concentration", "temperature")
TABLES = (
    Table("crossed_barrel/Crossed barrel_dataset.csv", ("n", "theta", "r", "t"), "toughness"),
    Table(
        "p3ht/P3HT_dataset.csv",
        ("P3HT content (%)", "D1 content (%)", "D2 content (%)", "D6 content (%)", "D8 content (%)"),
        "Conductivity (measured) (S/cm)",
    ),
    Table(
        "direct_arylation/direct_arylation.csv",
        ("Base_SMILES", "Ligand_SMILES", "Solvent_SMILES", "Concentration", "Temp_C"),
        "yield",
    ),
    Table("yield_cost/experiments_yield_and_cost.csv", REACTION, "yield"),
    Table("yield_cost/experiments_yield_and_cost.csv", REACTION, "cost", "low"),
)


def column(values: list[str]) -> Parameter:
    """A column of numbers, or of names."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return Categorical(sorted(set(values)))
    return Continuous(min(numbers), max(numbers))


def measurements(folder: Path, table: Table) -> tuple[Encoding, Array, Array]:
    with (folder / table.file).open(encoding="utf-8-sig") as file:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    space = SearchSpace({name: column([row[name] for row in rows]) for name in table.parameters})
    points: list[dict[str, float | str]] = [
        {name: row[name] if isinstance(p, Categorical) else float(row[name]) for name, p in space.parameters.items()}
        for row in rows
    ]
    encoding = Encoding(space)
    return encoding, encoding.encode(points), np.array([float(row[table.outcome]) for row in rows])


def coverage(encoding: Encoding, rows: Array, values: Array, wanted: Wanted, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(values))
    known, held_out = order[:N_TRAINING], order[N_TRAINING:][:N_HELD_OUT]
    measured = OutcomeData(rows[known], values[known], np.zeros(len(known)), wanted=wanted)
    with single_threaded():
        predicted = Surrogate({"outcome": fit_outcome(measured, encoding)}).predict(rows[held_out])
    pairs = zip(values[held_out].tolist(), [prediction["outcome"] for prediction in predicted], strict=True)
    return float(np.mean([abs(value - p.mean) <= IN_95_PERCENT * p.standard_deviation for value, p in pairs]))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{Path(table.file).parent}-{table.outcome[:12]}")
def test_intervals_hold_what_was_measured(datasets: Path, table: Table) -> None:
    encoding, rows, values = measurements(datasets, table)
    found = [coverage(encoding, rows, values, table.wanted, seed) for seed in range(6)]
    assert 0.90 <= np.mean(found) <= 0.99


# --- thousands --------------------------------------------------------------------------------------------------------


def test_a_model_through_some_places_agrees_with_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((EXACT + 100, 3))
    noise = 0.04
    values = np.sin(4.0 * rows[:, 0]) + np.cos(5.0 * rows[:, 1]) * rows[:, 2]
    targets = values + np.sqrt(noise) * rng.standard_normal(len(rows))
    data = TrainingSet(rows, targets, np.zeros(len(rows)), np.arange(3))
    fit = OutcomeFit(Warp(Scale.LINEAR), data, Hyperparameters(np.array([0.8, 0.7, 1.2]), noise, (1.5,), 0.0, 0.0))
    exact, sparse = Field.of(fit), SparseField(fit)
    places = rng.random((200, 3))
    ours, theirs = sparse.at(places), exact.at(places)
    assert ours.mean == pytest.approx(theirs.mean, abs=0.02)
    assert ours.deviation == pytest.approx(theirs.deviation, rel=0.15)
    for found, wanted in zip(sparse.left_out(), exact.left_out(), strict=True):
        assert found == pytest.approx(wanted, abs=0.03)
    assert sparse.shares(places[:1])[0].sum() == pytest.approx(1.0)
