"""``sdl demo`` and ``sdl doctor``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from door import sdl

from sdl.commands import doctor
from sdl.journal import open_journal


def test_demo_lists_the_twins(here: Path) -> None:
    said = sdl("demo").stdout
    assert "thin-film" in said
    assert "sdl demo thin-film --trials 30 --seed 7" in said
    assert not list(here.iterdir())


def test_demo_ends_with_an_answer_a_picture_and_a_table(demonstrated: Path) -> None:
    said = (demonstrated / "output.txt").read_text(encoding="utf-8")
    best = json.loads(sdl("status", "--json").stdout)["campaigns"][0]["best"]
    assert "The answer after 3 trials" in said
    assert f"trial {best['trial']}: resistance = " in said
    assert "Ω" in said
    assert f"sdl show {best['trial']}\n" in said
    assert {path.name for path in demonstrated.iterdir()} == {
        "thin-film.sdl",
        "thin-film.html",
        "thin-film.png",
        "thin-film.csv",
        "output.txt",
    }
    assert (demonstrated / "thin-film.png").read_bytes().startswith(b"\x89PNG")
    assert (demonstrated / "thin-film.csv").read_text(encoding="utf-8").count("\n") == 4
    for name in ("thin-film.html", "thin-film.png", "thin-film.csv", "thin-film.sdl"):
        assert f"  {name}\n" in said


def test_demo_says_when_there_is_nothing_left_to_do(demonstrated: Path) -> None:
    done = sdl("demo", "thin-film")
    assert done.exit_code == 0
    assert "has its 3 trials already; it goes on with --trials 13" in done.stderr
    with open_journal(demonstrated / "thin-film.sdl", mode="read") as journal:
        assert len(list(journal.read(kinds={"session.started"}))) == 1


def test_demo_goes_on(demonstrated: Path) -> None:
    """More trials: the same seed and planner as before, though nothing is said of them."""
    done = sdl("demo", "thin-film", "--trials", "4")
    assert done.exit_code == 0, done.output
    assert "goes on with 3 trials (session 2)" in done.stderr
    (campaign,) = json.loads(sdl("status", "--json").stdout)["campaigns"]
    assert campaign["n_trials"] == 4
    assert campaign["sessions"] == 2
    assert campaign["planner"]["name"] == "random"


def test_demo_does_not_mix_seeds(demonstrated: Path) -> None:
    done = sdl("demo", "thin-film", "--seed", "8")
    assert done.exit_code == 2
    assert "was begun with seed 7, not 8" in done.stderr


def test_demo_in_a_store_of_that_name(demonstrated: Path) -> None:
    other = demonstrated / "other"
    other.mkdir()
    done = sdl("demo", "thin-film", "--store", other / "mine.sdl", "--trials", "1", "--planner", "sobol", "--seed", "0")
    assert done.exit_code == 0, done.output
    assert {path.name for path in other.iterdir()} == {"mine.sdl", "mine.html", "mine.png", "mine.csv"}
    assert f"sdl show 1 {other / 'mine.sdl'}" in done.stdout


def test_interrupted_twice(here: Path) -> None:
    """In real time a trial takes hours. Ctrl-C twice: what runs is aborted in order, and the store says so."""
    command = [sys.executable, "-m", "sdl", "demo", "thin-film", "--planner", "random", "--real-time"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert "begins" in process.stderr.readline()
        while not _runs(here / "thin-film.sdl"):
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)  # two signals at once are one
        os.kill(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "sdl: campaign thin-film was interrupted (run it again, and it goes on)"
    (campaign,) = json.loads(sdl("status", "--json").stdout)["campaigns"]
    assert campaign["state"] == "aborted"


def _runs(store: Path) -> bool:
    with open_journal(store, mode="read") as journal:
        return any(journal.read(kinds={"step.started"}))


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_for_people(films: Path) -> None:
    done = sdl("doctor")
    assert done.exit_code == 0, done.output
    for part in ("sdl ", "python ", "torch", "SQLite", "this folder", "films.sdl", "Nothing is wrong."):
        assert part in done.stdout


def test_doctor_for_programs(films: Path) -> None:
    found = json.loads(sdl("doctor", "--json").stdout)
    assert found["ok"]
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["torch"]["found"].startswith("2.")
    assert "campaign films" in checks["films.sdl"]["found"]
    assert {check["verdict"] for check in found["checks"]} <= {"fine", "note"}


def test_doctor_names_what_is_wrong(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (films / "journal.db").write_bytes(b"no database")
    wanted = ["no-such-package>=1", "rich>=999", 'other>=9; extra == "x"']
    monkeypatch.setattr("sdl.commands.doctor.metadata.requires", Mock(return_value=wanted))
    done = sdl("doctor")
    assert done.exit_code == 1
    assert "no-such-package  is not installed -> pip install 'no-such-package>=1'" in done.stdout
    assert "is too old -> pip install 'rich>=999'" in done.stdout
    assert "Something is wrong with: no-such-package, rich, films.sdl" in done.stdout
    assert "  other" not in done.stdout


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("3.40.1", "note"),
        ("3.44.6", "fine"),
        ("3.50.6", "note"),
        ("3.50.7", "fine"),
        ("3.51.2", "note"),
        ("3.53.0", "fine"),
    ],
)
def test_doctor_knows_the_bug_of_sqlite(version: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl.commands.doctor.sqlite3.sqlite_version", version)
    assert [check.verdict for check in doctor.sqlite()] == [verdict]


@pytest.mark.parametrize(
    ("answer", "code", "verdict"), [("2.13.0 2", 0, "fine"), ("ImportError: libtorch.so is missing", 1, "wrong")]
)
def test_doctor_loads_torch_apart(answer: str, code: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], code, stdout=answer, stderr=answer)
    monkeypatch.setattr("sdl.commands.doctor.subprocess.run", Mock(return_value=done))
    (check,) = doctor.torch()
    assert check.verdict == verdict
    assert answer.split(maxsplit=1)[0] in check.found
