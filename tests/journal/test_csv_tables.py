"""Tables with a schema: what is read, and what is refused by name of file, row and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.errors import ProblemError
from sdl.journal.tables import (
    Column,
    ErrorColumn,
    IgnoredColumn,
    OutcomeColumn,
    ParameterColumn,
    TableSchema,
    read_table,
)
from sdl.problem import Maximize, Minimize, Target

SCHEMA = TableSchema(
    name="dye",
    columns={
        "run": IgnoredColumn(role="ignore"),
        "catalyst": ParameterColumn(kind="categorical"),
        "T (C)": ParameterColumn(name="temperature", unit="degC"),
        "removed": OutcomeColumn(role="outcome", unit="percent", goal="maximize", minimum=0, maximum=100),
        "sigma": ErrorColumn(role="standard_error", of="removed"),
    },
)
HEADER = "run,catalyst,T (C),removed,sigma"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "dye.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_reads_what_the_schema_says(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "1,TiO2,20,31.5,0.5", "", '2,"a,b",-0.0,0,'), SCHEMA)
    first, second = table.rows
    assert first.number == 2
    assert first.values == {"catalyst": "TiO2", "temperature": 20.0}
    assert first.outcomes == {"removed": 31.5}
    assert first.errors == {"removed": 0.5}
    assert second.number == 4
    assert second.values["catalyst"] == "a,b"
    assert str(second.values["temperature"]) == "0.0"
    assert second.errors == {}


def test_reads_a_file_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfx;y\r\n1;2\r\n")
    columns: dict[str, Column] = {"x": ParameterColumn(), "y": OutcomeColumn(role="outcome")}
    assert read_table(path, TableSchema(name="sheet", columns=columns, delimiter=";")).rows[0].outcomes == {"y": 2.0}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,TiO2,hot,31,1", "row 3, column 'T (C)' is 'hot', which is no number"),
        ("1,TiO2,nan,31,1", "row 3, column 'T (C)' is nan, which is no finite number"),
        ("1,TiO2,20,inf,1", "row 3, column 'removed' is inf, which is no finite number"),
        ("1,TiO2,20,,1", "row 3, column 'removed' is empty"),
        ("1,,20,31,1", "row 3, column 'catalyst' is empty"),
        ("1,TiO2,20,101,1", "row 3, column 'removed' is 101.0, above the maximum 100.0"),
        ("1,TiO2,20,-1,1", "row 3, column 'removed' is -1.0, below the minimum 0.0"),
        ("1,TiO2,20,31,-1", "row 3, column 'sigma' is -1.0, and a standard error cannot be negative"),
        ("1,TiO2,20,31", "row 3 has 4 cells, the header has 5"),
        ('1,"TiO2,20,31,1', "row 3: unexpected end of data"),
    ],
)
def test_a_wrong_cell_is_named_by_file_row_and_column(row: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "1,TiO2,20,31.5,0.5", row)
    with pytest.raises(ProblemError) as caught:
        read_table(path, SCHEMA)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("run,catalyst,temperature,removed,sigma", "has no column 'T (C)'"),
        (HEADER + ",note", "does not list the column 'note'"),
        (HEADER + ",sigma", "two columns called 'sigma'"),
    ],
)
def test_the_header_must_be_that_of_the_schema(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"dye\.csv") as caught:
        read_table(write(tmp_path, header=header), SCHEMA)
    assert message in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="there is no file"):
        read_table(tmp_path / "none.csv", SCHEMA)
    with pytest.raises(ProblemError, match="a header and no rows"):
        read_table(write(tmp_path), SCHEMA)
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(ProblemError, match="is empty"):
        read_table(tmp_path / "empty.csv", SCHEMA)
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"\n1,\xe9,1,1,1\n")
    with pytest.raises(ProblemError, match="not UTF-8"):
        read_table(tmp_path / "latin.csv", SCHEMA)


def test_rows_without_an_outcome_are_left_out_where_the_schema_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "1,TiO2,20,,", "2,TiO2,30,5,")
    table = read_table(path, SCHEMA.replace(missing="drop"))
    assert [row.number for row in table.rows] == [3]
    assert table.n_dropped == 1


def mixture_schema(tolerance: float) -> TableSchema:
    columns: dict[str, Column] = {"a": ParameterColumn(), "b": ParameterColumn(), "y": OutcomeColumn(role="outcome")}
    return TableSchema.from_data(
        {
            **TableSchema(name="mix", columns=columns).model_dump(mode="json"),
            "mixture": {"names": ["a", "b"], "total": 100, "tolerance": tolerance},
        }
    )


def test_a_mixture_adds_up_within_its_tolerance(tmp_path: Path) -> None:
    path = write(tmp_path, "60,39.9,1", "60,39.8,1", header="a,b,y")
    assert len(read_table(path, mixture_schema(0.2)).rows) == 2
    with pytest.raises(ProblemError, match=r"row 3: a \+ b is 99.8, farther than 0.1 from 100"):
        read_table(path, mixture_schema(0.1))


def test_the_goals_become_objectives() -> None:
    columns: dict[str, Column] = {
        "x": ParameterColumn(),
        "low": OutcomeColumn(role="outcome", goal="minimize", unit="ohm", reference=9),
        "high": OutcomeColumn(role="outcome", goal="maximize"),
        "near": OutcomeColumn(role="outcome", goal="target", target=3),
        "between": OutcomeColumn(role="outcome", goal="target", target=(1, 2)),
        "noted": OutcomeColumn(role="outcome"),
    }
    assert TableSchema(name="goals", columns=columns).objectives == (
        Minimize("low", unit="ohm", reference=9.0),
        Maximize("high"),
        Target("near", value=3.0),
        Target("between", low=1.0, high=2.0),
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": {"role": "outcome"}}, "needs at least one parameter and one outcome"),
        ({"x": {"role": "parameter"}, "y": {"role": "outcome", "name": "x"}}, "uses x for two columns"),
        ({"x": {"role": "parameter"}, "y": {"role": "outcome", "goal": "target"}}, "target: VALUE"),
        ({"x": {"role": "parameter", "kind": "categorical", "unit": "Pa"}, "y": {"role": "outcome"}}, "neither a unit"),
        ({"x": {"role": "parameter", "unit": "furlongish"}, "y": {"role": "outcome"}}, "unit"),
        (
            {"x": {"role": "parameter"}, "y": {"role": "outcome"}, "s": {"role": "standard_error", "of": "z"}},
            "no outcome z",
        ),
        ({"x": {"role": "knob"}, "y": {"role": "outcome"}}, "role"),
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(columns: object, message: str) -> None:
    with pytest.raises(ProblemError) as caught:
        TableSchema.from_data({"name": "odd", "columns": columns})
    assert message in str(caught.value)


def test_a_schema_file_is_named_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("name: odd\ncolumns: {x: {role: parameter}}\n", encoding="utf-8")
    with pytest.raises(ProblemError, match=r"odd\.yaml"):
        TableSchema.load(path)
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(ProblemError, match=r"odd\.yaml is no YAML"):
        TableSchema.load(path)
    path.write_text("!!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(ProblemError, match=r"odd\.yaml is no YAML"):
        TableSchema.load(path)


@given(
    st.lists(
        st.tuples(st.floats(-1e9, 1e9), st.text(st.characters(codec="ascii", categories=["L", "P", "S"]), min_size=1)),
        min_size=1,
        max_size=20,
    )
)
def test_numbers_and_texts_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, str]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    quoted = "\n".join(f'{x!r},"{text.replace(chr(34), chr(34) * 2)}",1' for x, text in rows)
    path.write_text(f"x,c,y\n{quoted}\n", encoding="utf-8")
    columns: dict[str, Column] = {
        "x": ParameterColumn(),
        "c": ParameterColumn(kind="categorical"),
        "y": OutcomeColumn(role="outcome"),
    }
    table = read_table(path, TableSchema(name="any", columns=columns))
    assert [(row.values["x"], row.values["c"]) for row in table.rows] == rows
