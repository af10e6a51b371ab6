"""TableLab: what a table's laboratory measures, how, and what it says about itself."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from sdl.errors import DeviceError, LimitError, PointError, ProblemError
from sdl.journal.tables import TableSchema
from sdl.lab import Job, JobResult, Settings
from sdl.problem import Categorical, Continuous, Discrete, Measurement, ParameterValue, Problem
from sdl.simulators import TableLab

ROOT = Path(__file__).parent.parent.parent
TABLES = ROOT / "examples" / "tables"
DESIGN: Mapping[str, ParameterValue] = {"catalyst": "TiO2", "pH": 5.0, "time": 20.0}

MakeLab = Callable[..., TableLab]
Documents = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def make() -> Iterator[MakeLab]:
    labs: list[TableLab] = []

    def make(
        table: str | Path = TABLES, schema: TableSchema | str | Path = TABLES / "dye.yaml", **more: Any
    ) -> TableLab:
        labs.append(TableLab(table, schema, **more))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


def execute(
    lab: TableLab, values: Mapping[str, ParameterValue], *, trial: int = 1, attempt: int = 1
) -> tuple[JobResult, Documents]:
    """Run one attempt as a campaign does."""
    documents: Documents = []
    lab.prepare(trial, attempt)
    settings = Settings(values, trial=trial, attempt=attempt)
    job = Job(lambda: lab.measure(lab, settings), on_document=lambda name, doc: documents.append((name, doc)))
    return lab.stations[lab.name].run(job), documents


def measured(
    lab: TableLab, values: Mapping[str, ParameterValue], *, trial: int = 1, attempt: int = 1
) -> dict[str, float]:
    result, _ = execute(lab, values, trial=trial, attempt=attempt)
    assert result.error is None
    return {name: outcome.value for name, outcome in result.value.items()}


def test_the_example_table_is_what_its_formula_gives() -> None:
    made = runpy.run_path(str(TABLES / "make.py"))
    assert (TABLES / "dye.csv").read_text(encoding="utf-8") == made["table"]()


# --- as a pool --------------------------------------------------------------------------------------------------------


def test_a_pool_draws_replicates(make: MakeLab) -> None:
    lab = make(seed=1)
    rows = {row.outcomes["removed"] for row in lab.table.rows if dict(row.values) == DESIGN}
    drawn = {measured(lab, DESIGN, trial=trial)["removed"] for trial in range(1, 13)}
    assert len(rows) == 2
    assert drawn == rows


def test_a_pool_means_over_replicates(make: MakeLab) -> None:
    lab = make(schema=TableSchema.load(TABLES / "dye.yaml").replace(replicates="mean"))
    first, second = (row.outcomes["removed"] for row in lab.table.rows if dict(row.values) == DESIGN)
    result, _ = execute(lab, DESIGN)
    removed = result.value["removed"]
    assert removed.value == pytest.approx((first + second) / 2)
    # The standard error of the mean of two is half their distance.
    assert removed.standard_error == pytest.approx(abs(first - second) / 2)
    assert (removed.n_replicates, removed.unit) == (2, "percent")
    assert lab.truth(DESIGN)["removed"] == removed.value


def test_the_points_of_a_pool_are_the_designs_of_the_table(make: MakeLab) -> None:
    lab = make()
    space = lab.space()
    assert space.n_points == 48
    assert space.contains(DESIGN)
    assert not space.contains({**DESIGN, "pH": 5.5})
    assert space.parameters["time"] == Continuous(10.0, 60.0, unit="min", log=True)
    assert space.parameters["catalyst"] == Categorical(("Fe2O3", "TiO2", "ZnO"))


def test_an_unknown_point_is_a_device_error(make: MakeLab) -> None:
    result, _ = execute(make(), {**DESIGN, "pH": 5.5})
    assert isinstance(result.error, DeviceError)
    assert "is none of the 48 designs of dye.csv" in str(result.error)
    with pytest.raises(PointError, match="none of the 48 designs"):
        make().truth({**DESIGN, "pH": 5.5})


def test_a_design_without_a_parameter_is_refused_before_anything_happens(make: MakeLab) -> None:
    result, _ = execute(make(), {"pH": 5.0, "time": 20.0})
    assert isinstance(result.error, LimitError)
    assert "takes a design of catalyst, pH, time, got pH, time" in str(result.error)


# --- chance -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["pool", "emulator"])
def test_chance_follows_from_seed_trial_and_attempt_alone(mode: str, make: MakeLab) -> None:
    one, other = make(seed=4, mode=mode), make(seed=4, mode=mode)
    there = [measured(one, DESIGN, trial=trial) for trial in range(1, 7)]
    back = [measured(other, DESIGN, trial=trial) for trial in range(6, 0, -1)]
    assert there == back[::-1]
    assert len({str(outcomes) for outcomes in there}) > 1
    others = [measured(make(seed=5, mode=mode), DESIGN, trial=trial) for trial in range(1, 7)]
    again = [measured(one, DESIGN, trial=trial, attempt=2) for trial in range(1, 7)]
    assert others != there
    assert again != there


# --- as an emulator ---------------------------------------------------------------------------------------------------


def test_an_emulator_answers_between_the_designs(make: MakeLab) -> None:
    lab = make(mode="emulator")
    between: Mapping[str, ParameterValue] = {"catalyst": "ZnO", "pH": 7.7, "time": 33.0}
    formula = runpy.run_path(str(TABLES / "make.py"))["removed"]
    assert lab.space().contains(between)
    assert measured(lab, between)["removed"] == pytest.approx(formula("ZnO", 7.7, 33.0), abs=8.0)
    assert lab.truth(between)["cost"] == pytest.approx(2.5 + 0.05 * 33.0, abs=0.05)


def test_an_emulator_makes_the_noise_of_the_table(make: MakeLab) -> None:
    lab = make(mode="emulator", seed=2)
    values = [measured(lab, DESIGN, trial=trial)["removed"] for trial in range(1, 41)]
    assert lab.report is not None
    noise = lab.report.outcomes["removed"].noise
    assert noise == pytest.approx(1.5, rel=0.3)
    assert np.std(values) == pytest.approx(noise, rel=0.4)
    assert np.mean(values) == pytest.approx(lab.truth(DESIGN)["removed"], abs=3 * noise / 40**0.5)
    quiet = make(mode="emulator", schema=TableSchema.load(TABLES / "dye.yaml").replace(replicates="mean"))
    assert measured(quiet, DESIGN) == quiet.truth(DESIGN)


def test_an_emulator_says_what_it_is(make: MakeLab) -> None:
    lab = make(mode="emulator")
    assert lab.report is not None
    error = lab.report.outcomes["removed"].error
    described: Any = lab.describe()["emulator"]
    assert described["outcomes"]["removed"]["error"] == error
    assert 0.0 < error < 10.0
    _, documents = execute(lab, DESIGN)
    keys = next(document["data_keys"] for name, document in documents if name == "descriptor")
    assert "emulator of table dye: a prediction" in keys["station_removed"]["source"]
    assert f"{error:.3g}" in keys["station_removed"]["source"]
    assert make().report is None
    assert make().describe()["emulator"] is None


def test_what_an_emulator_says_stays_possible(make: MakeLab) -> None:
    lab = make(mode="emulator")
    points = lab.space().sample(200, np.random.default_rng(1))
    assert all(0.0 <= lab.truth(point)["removed"] <= 100.0 for point in points)


def test_an_emulator_does_not_answer_outside(make: MakeLab) -> None:
    with pytest.raises(PointError, match="pH"):
        make(mode="emulator").truth({**DESIGN, "pH": 11.0})


# --- documents and time -----------------------------------------------------------------------------------------------


def test_a_measurement_takes_laboratory_time(make: MakeLab) -> None:
    result, _ = execute(make(minutes_per_measurement=90.0), DESIGN)
    assert result.ended - result.started == pytest.approx(5400.0, abs=10.0)


def test_a_run_records_design_and_outcomes(make: MakeLab) -> None:
    lab = make(seed=1)
    result, documents = execute(lab, DESIGN)
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "stop"]
    event = documents[2][1]["data"]
    assert event["station_catalyst"] == "TiO2"
    assert event["station_pH"] == 5.0
    assert event["station_removed"] == result.value["removed"].value
    assert result.value["removed"] == Measurement(event["station_removed"], "percent")
    keys = documents[1][1]["data_keys"]
    assert keys["station_time"]["units"] == "min"
    assert keys["station_removed"]["source"] == "table dye"


def test_the_next_sample_can_be_measured_after_an_abort(make: MakeLab) -> None:
    lab = make()
    station = lab.stations["dye"]
    box = lab.clock.mailbox()
    settings = Settings(DESIGN)

    def begun(name: str, _: Mapping[str, Any]) -> None:
        if name == "start":
            station.abort("changed my mind")

    station.submit(Job(lambda: lab.measure(lab, settings), on_document=begun, on_done=box.put))
    result = box.get()
    assert result is not None
    assert result.is_aborted
    assert measured(lab, DESIGN)


# --- what benchmarks need ---------------------------------------------------------------------------------------------


def test_the_best_and_the_front_are_those_of_the_table(make: MakeLab) -> None:
    lab = make()
    problem = Problem(lab.space(), lab.objectives)
    every = [lab.truth(dict(row.values)) for row in lab.table.rows]
    assert lab.best.outcomes["removed"] == max(outcomes["removed"] for outcomes in every)
    assert lab.truth(lab.best.values) == lab.best.outcomes
    scores = [problem.score(known.outcomes) for known in lab.front]
    for outcomes in every:
        score = problem.score(outcomes)
        beaten = any(all(a >= b for a, b in zip(other, score, strict=True)) for other in scores)
        assert beaten, f"{outcomes} is missing from the front"
    for score in scores:
        assert not any(other != score and all(a >= b for a, b in zip(other, score, strict=True)) for other in scores)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ProblemError, match="mode='oracle'"):
        TableLab(TABLES, TABLES / "dye.yaml", mode="oracle")  # type: ignore[arg-type] # what a user may type
    with pytest.raises(ProblemError, match="more than 0 minutes"):
        TableLab(TABLES, TABLES / "dye.yaml", minutes_per_measurement=0)


# --- published tables -------------------------------------------------------------------------------------------------

Mode = Literal["pool", "emulator"]
PUBLISHED = {
    # schema: how many designs, and what share of the first outcome's variance an emulator explains at least
    "crossed_barrel": (600, 0.8),
    "p3ht": (178, 0.6),
    "direct_arylation": (1728, 0.85),
    "yield_cost": (1728, 0.85),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_run_as_a_pool(name: str, datasets: Path, make: MakeLab) -> None:
    lab = make(datasets, ROOT / "benchmarks" / "schemas" / f"{name}.yaml", seed=1)
    assert lab.space().n_points == PUBLISHED[name][0]
    for trial, point in enumerate(lab.space().sample(3, np.random.default_rng(1)), 1):
        found = measured(lab, point, trial=trial)
        rows = [row.outcomes for row in lab.table.rows if dict(row.values) == point]
        assert found in rows
    outcome = lab.objectives[0].outcome  # every one of them is to be maximised
    assert all(lab.best.outcomes[outcome] >= lab.truth(dict(row.values))[outcome] for row in lab.table.rows[::17])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_run_as_an_emulator(name: str, datasets: Path, make: MakeLab) -> None:
    lab = make(datasets, ROOT / "benchmarks" / "schemas" / f"{name}.yaml", seed=1, mode="emulator")
    assert lab.report is not None
    assert lab.report.outcomes[lab.objectives[0].outcome].explained > PUBLISHED[name][1]
    for point in lab.space().sample(3, np.random.default_rng(1)):
        assert measured(lab, point).keys() == lab.schema.outcomes.keys()


def test_a_mixture_of_the_emulator_adds_up(datasets: Path, make: MakeLab) -> None:
    lab = make(datasets, ROOT / "benchmarks" / "schemas" / "p3ht.yaml", mode="emulator")
    for point in lab.space().sample(20, np.random.default_rng(2)):
        assert sum(float(value) for value in point.values()) == pytest.approx(100.0)
    assert any(abs(sum(float(v) for v in row.values.values()) - 100.0) > 0.05 for row in lab.table.rows)


def test_levels_stay_levels(datasets: Path, make: MakeLab) -> None:
    lab = make(datasets, ROOT / "benchmarks" / "schemas" / "direct_arylation.yaml")
    assert lab.space().parameters["temperature"] == Discrete((90.0, 105.0, 120.0), unit="degC")
