"""Seed data: a set is complete and sound, or it is refused; a problem gets it in its own units."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdl.errors import ProblemError
from sdl.journal.seeds import SeedData, load_seed
from sdl.problem import Categorical, Continuous, Fixed, Maximize, Measurement, Minimize, Parameter, Problem, SearchSpace

SCHEMA = """
name: ovens
title: conductance after baking
origin: invented
licence: CC0-1.0
made: by hand, for a test
columns:
  T: {role: parameter, name: temperature, unit: degC}
  p: {role: parameter, name: pressure, unit: mbar}
  gas: {role: parameter, kind: categorical}
  G: {role: outcome, name: conductance, unit: mS}
  dG: {role: standard_error, of: conductance}
"""
ROWS = "T,p,gas,G,dG\n20,1,Ar,100,5\n120,10,N2,50,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("made for a test\n", encoding="utf-8")
    (tmp_path / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    (tmp_path / "data.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path


def problem(**changes: Parameter) -> Problem:
    parameters: dict[str, Parameter] = {
        "temperature": Continuous(273.15, 473.15, unit="kelvin"),
        "pressure": Continuous(10, 10_000, unit="Pa", log=True),
        "gas": Categorical(("Ar", "N2")),
    }
    return Problem(SearchSpace({**parameters, **changes}), Maximize("conductance", unit="S"))


def test_a_set_says_where_it_comes_from(folder: Path) -> None:
    seed = load_seed(folder)
    assert (seed.name, seed.origin, seed.licence, seed.made) == ("ovens", "invented", "CC0-1.0", "by hand, for a test")
    assert seed.points[0].outcomes["conductance"] == Measurement(100.0, "mS", standard_error=5.0)
    assert SeedData.from_json(seed.to_json()) == seed


def test_a_problem_gets_its_own_units(folder: Path) -> None:
    (values, outcomes), (other, _) = load_seed(folder).for_problem(problem())
    assert values == {"temperature": 293.15, "pressure": 100.0, "gas": "Ar"}
    assert outcomes["conductance"] == Measurement(0.1, "S", standard_error=0.005)
    assert other["gas"] == "N2"


def test_fixed_parameters_are_filled_in(folder: Path) -> None:
    values, _ = load_seed(folder).for_problem(problem(operator=Fixed("night shift")))[0]
    assert values["operator"] == "night shift"


def test_points_outside_are_refused_or_dropped_as_the_set_is_told(folder: Path) -> None:
    narrow = problem(temperature=Continuous(273.15, 300.0, unit="kelvin"))
    assert list(load_seed(folder).outside_of(narrow)) == [3]
    with pytest.raises(ProblemError, match="1 of 2 points of the seed data 'ovens' do not fit the problem; row 3"):
        load_seed(folder).for_problem(narrow)
    assert len(load_seed(folder, outside="drop").for_problem(narrow)) == 1
    nowhere = problem(temperature=Continuous(500.0, 600.0, unit="kelvin"))
    with pytest.raises(ProblemError, match="2 of 2 points"):
        load_seed(folder, outside="drop").for_problem(nowhere)


def test_a_fixed_parameter_refuses_points_with_another_value(folder: Path) -> None:
    with pytest.raises(ProblemError, match="gas"):
        load_seed(folder).for_problem(problem(gas=Fixed("Ar")))


def test_names_must_fit(folder: Path) -> None:
    seed = load_seed(folder)
    with pytest.raises(ProblemError, match="have no power"):
        seed.for_problem(problem(power=Continuous(1, 2)))
    space = SearchSpace({name: p for name, p in problem().space.parameters.items() if name != "gas"})
    with pytest.raises(ProblemError, match="vary gas, which is no parameter of the problem"):
        seed.for_problem(Problem(space, Maximize("conductance", unit="S")))
    with pytest.raises(ProblemError, match="have no resistance"):
        seed.for_problem(Problem(problem().space, Minimize("resistance", unit="ohm")))


def test_dimensions_must_fit(folder: Path) -> None:
    with pytest.raises(ProblemError, match="temperature"):
        load_seed(folder).for_problem(problem(temperature=Continuous(0, 1, unit="Pa")))
    with pytest.raises(ValueError, match="conductance"):
        load_seed(folder).for_problem(Problem(problem().space, Maximize("conductance", unit="ohm")))


@pytest.mark.parametrize("line", ["origin: invented", "licence: CC0-1.0", "made: by hand, for a test"])
def test_a_set_without_its_source_is_refused(line: str, folder: Path) -> None:
    (folder / "schema.yaml").write_text(SCHEMA.replace(line, ""), encoding="utf-8")
    with pytest.raises(ProblemError, match=f"does not say {line.partition(':')[0]}"):
        load_seed(folder)


def test_a_set_without_readme_is_refused(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(ProblemError, match="has no README"):
        load_seed(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("20,1,Ar,100,5", "row 4 repeats row 2"),
        ("20,1,Ar,nan,5", "row 4, column 'G' is nan"),
        ("20,,Ar,90,5", "row 4, column 'p' is empty"),
    ],
)
def test_a_set_with_a_wrong_row_is_refused(row: str, message: str, folder: Path) -> None:
    (folder / "data.csv").write_text(ROWS + row + "\n", encoding="utf-8")
    with pytest.raises(ProblemError, match=message):
        load_seed(folder)


def test_a_repeated_measurement_is_no_copy(folder: Path) -> None:
    (folder / "data.csv").write_text(ROWS + "20,1,Ar,101,5\n", encoding="utf-8")
    assert len(load_seed(folder).points) == 3


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="there is no folder"):
        load_seed(tmp_path / "none")
