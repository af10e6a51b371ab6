"""The table of trials: what a spreadsheet and pandas get."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import Recorded, film_campaign, film_problem, two_objectives

from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError
from sdl.export.tables import FORMULA_STARTS, dataframe, write_csv, write_whole
from sdl.journal.records import FailureCategory
from sdl.problem import (
    Categorical,
    Continuous,
    Maximize,
    Measurement,
    Minimize,
    OutcomeConstraint,
    Problem,
    SearchSpace,
)

FILM_POINT = {"oxygen": 0.1, "temperature": 300.0, "target": "Nb 6 %", "power": 100.0}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def one_parameter(*, objective: str = "x", parameter: str = "dose") -> Problem:
    return Problem(SearchSpace({parameter: Continuous(-1e9, 1e9)}), Minimize(objective))


def test_a_row_each_trial_with_units_in_the_headings_and_failures_too(tmp_path: Path) -> None:
    campaign = film_campaign(12)
    rows = read(write_csv(campaign.view, tmp_path / "film.csv"))
    assert len(rows) == 12
    assert list(rows[0])[:6] == ["trial", "state", "oxygen [Pa]", "temperature [degC]", "target", "power [W]"]
    failed = rows[4]
    assert failed["state"] == "failed"
    assert failed["failure category"] == "device"
    assert failed["reason"].startswith("plasma lost")
    assert failed["resistance [ohm]"] == ""
    assert failed["is_best"] == ""
    best = campaign.view.best
    assert best is not None
    assert [row["trial"] for row in rows if row["is_best"] == "true"] == [str(best.number)]
    assert rows[0]["started"] == "2026-01-01T00:00:00Z"
    assert rows[0]["ended"] == "2026-01-01T02:00:00Z"
    assert rows[0]["seconds"] == "7200.0"


@given(value=st.floats(-1e9, 1e9), outcome=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, value: float, outcome: float) -> None:
    campaign = Recorded(one_parameter())
    campaign.complete({"dose": value}, {"x": Measurement(outcome, None)})
    row = read(write_csv(campaign.view, tmp_path_factory.mktemp("csv") / "t.csv"))[0]
    assert float(row["dose"]) == value
    assert float(row["x"]) == outcome


@given(reason=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_reason_survives_and_none_is_a_formula(tmp_path_factory: pytest.TempPathFactory, reason: str) -> None:
    campaign = Recorded(one_parameter())
    campaign.fail({"dose": 1.0}, reason)
    cell = read(write_csv(campaign.view, tmp_path_factory.mktemp("csv") / "t.csv"))[0]["reason"]
    assert not cell.startswith(FORMULA_STARTS)
    assert cell == ("'" + reason if reason.startswith(FORMULA_STARTS) else reason)


def test_formulas_in_names_and_choices_are_disarmed(tmp_path: Path) -> None:
    space = SearchSpace({"=cmd|'/c calc'!A0": Continuous(-1, 1), "solvent": Categorical(("@SUM(1)", "water"))})
    campaign = Recorded(Problem(space, Minimize("x")))
    campaign.complete({"=cmd|'/c calc'!A0": -0.5, "solvent": "@SUM(1)"}, {"x": Measurement(1.0, None)})
    text = write_csv(campaign.view, tmp_path / "t.csv").read_bytes().decode()
    row = read(tmp_path / "t.csv")[0]
    assert row["'=cmd|'/c calc'!A0"] == "-0.5", "a negative number is a number"
    assert row["solvent"] == "'@SUM(1)"
    assert text.count("\r\n") == 2
    assert not text.startswith("\ufeff")


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    problem = Problem(
        SearchSpace(dose=Continuous(0, 1)), Maximize("yield", unit="%"), OutcomeConstraint("heat", upper=1.0)
    )
    campaign = Recorded(problem)
    campaign.fail({"dose": 0.5}, category=FailureCategory.MEASUREMENT, partial={"yield": Measurement(12.0, "%")})
    campaign.complete({"dose": 0.6}, {"yield": Measurement(50.0, "%"), "heat": Measurement(2.0, None)})
    campaign.complete({"dose": 0.7}, {"yield": Measurement(40.0, "%"), "heat": Measurement(0.5, None)})
    rows = read(write_csv(campaign.view, tmp_path / "t.csv"))
    assert rows[0]["yield [%]"] == "12.0"
    assert rows[0]["is_feasible"] == ""
    assert [row["is_feasible"] for row in rows[1:]] == ["false", "true"]
    assert [row["is_best"] for row in rows[1:]] == ["false", "true"]


def test_outcomes_that_nobody_asked_for_have_columns(tmp_path: Path) -> None:
    campaign = Recorded(one_parameter())
    campaign.complete({"dose": 1.0}, {"x": Measurement(1.0, None), "glow": Measurement(3.0, "lx")})
    campaign.complete({"dose": 2.0}, {"x": Measurement(1.0, None), "glow": Measurement(4.0, "cd")})
    rows = read(write_csv(campaign.view, tmp_path / "t.csv"))
    assert [row["glow [lx]"] for row in rows] == ["3.0", ""]
    assert [row["glow [cd]"] for row in rows] == ["", "4.0"]


def test_no_two_columns_share_a_heading(tmp_path: Path) -> None:
    campaign = Recorded(one_parameter(parameter="state", objective="seconds"))
    campaign.complete({"state": 3.0}, {"seconds": Measurement(5.0, None)})
    headings = write_csv(campaign.view, tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert len(set(headings)) == len(headings)
    frame = dataframe(campaign.view)
    assert frame["state"][0] == "completed"
    assert frame["state (2)"][0] == 3.0


def test_the_frame_has_numbers_times_and_truths_that_may_be_missing() -> None:
    frame = dataframe(film_campaign(9).view)
    assert len(frame) == 9
    assert frame["oxygen [Pa]"].dtype == "float64"
    assert math.isnan(frame["resistance [ohm]"][4])
    assert str(frame["started"].dtype) == "datetime64[us, UTC]"
    assert frame["seconds"].tolist() == [7200.0] * 9
    assert frame["is_best"].sum() == 1
    assert frame["is_best"].isna().tolist() == [number == 5 for number in range(1, 10)]


def test_the_frame_and_the_file_of_several_objectives_mark_the_front() -> None:
    view = two_objectives().view
    frame = dataframe(view)
    assert set(frame.loc[frame["is_pareto"], "trial"]) == {trial.number for trial in view.pareto}


def test_an_empty_campaign_gives_headings(tmp_path: Path) -> None:
    view = Recorded(film_problem()).view
    assert read(write_csv(view, tmp_path / "t.csv")) == []
    assert list(dataframe(view).columns) == list(dataframe(film_campaign(2).view).columns)


def test_a_campaign_that_never_began_says_so(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="has not begun"):
        write_csv(CampaignView("nothing"), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_when_the_new_one_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "t.csv"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sdl.export.tables.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target], "nothing half written stays behind"


def test_the_file_needs_no_pandas(tmp_path: Path) -> None:
    code = "import sys; import sdl.export.tables; print(sorted({'pandas', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
