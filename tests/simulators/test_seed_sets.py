"""The sets in seeds/: each is sound, says what it is, and can be made again."""

from __future__ import annotations

import csv
import io
import runpy
from pathlib import Path

import pytest

from sdl.journal.seeds import load_seed
from sdl.problem import Problem
from sdl.simulators import ThinFilmLab

SEEDS = Path(__file__).parent.parent.parent / "seeds"
SETS = sorted(path.parent for path in SEEDS.glob("*/schema.yaml"))
PRIOR = SEEDS / "thin-film-prior"


@pytest.mark.parametrize("folder", SETS, ids=lambda folder: folder.name)
def test_every_set_loads_and_is_listed(folder: Path) -> None:
    data = load_seed(folder)
    assert data.name == folder.name
    assert f"]({folder.name}/README.md) | {len(data.points)} |" in (SEEDS / "README.md").read_text(encoding="utf-8")


def test_every_folder_is_a_set() -> None:
    folders = [path for path in SEEDS.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(folders) == SETS


def test_the_prior_films_fit_the_laboratory() -> None:
    points = load_seed(PRIOR).for_problem(Problem(ThinFilmLab.space(), ThinFilmLab.objective))
    assert len(points) == 12
    assert all(outcomes["resistance"].standard_error for _, outcomes in points)


def test_the_prior_films_say_that_they_are_simulated() -> None:
    data = load_seed(PRIOR)
    assert "simulated" in data.title
    assert "no film was ever made" in data.origin
    assert "simulated laboratory" in (PRIOR / "README.md").read_text(encoding="utf-8")


def test_the_prior_films_can_be_made_again() -> None:
    made = list(csv.reader(io.StringIO(runpy.run_path(str(PRIOR / "make.py"))["table"]())))
    kept = list(csv.reader((PRIOR / "data.csv").read_text(encoding="utf-8").splitlines()))
    assert made[0] == kept[0]
    for one, other in zip(made[1:], kept[1:], strict=True):
        # Written with five digits; another machine's rounding may move the last one.
        assert [float(cell) for cell in one] == pytest.approx([float(cell) for cell in other], rel=1e-3), (
            "the laboratory makes other films now: run python seeds/thin-film-prior/make.py"
        )
