"""Every benchmark runs, prints its tables, and writes its figures; how fast things are is not tested here."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdl.problem import Maximize, Minimize

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if path.name != "harness.py")


def run(script: str, folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Run a benchmark from another folder with counts as small as they go, without the published tables."""
    command = [sys.executable, str(BENCHMARKS / script), "--smoke", "--json", str(folder / "out.json"), *options]
    environment = {name: value for name, value in os.environ.items() if name != "SDL_DATASETS"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "out.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_compares_and_takes_the_options(script: str) -> None:
    source = (BENCHMARKS / script).read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(source))
    assert said is not None
    assert "compared" in said.lower()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), "--help"], capture_output=True, text=True, check=True
    )
    assert {"--quick", "--json"} <= set(done.stdout.replace("[", " ").replace("]", " ").split())


def test_the_engine_against_a_bare_run_engine(tmp_path: Path) -> None:
    printed, results = run("engine.py", tmp_path)
    assert results["environment"]["versions"]["bluesky"] in printed
    assert "seed 7" in printed
    for plan in results["overhead"]:
        sqlite = plan["campaign, SQLite"]
        assert sqlite["ratio"] > 1
        assert 0 < sqlite["journal_share"] < 1
    assert [line["n_stations"] for line in results["virtual_time"]] == [1, 4, 8]
    assert all(line["simulated_seconds_per_wall_second"][0] > 1000 for line in results["virtual_time"])


@pytest.fixture
def first_light(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("first_light")


@pytest.mark.parametrize("is_less_better", [False, True])
def test_the_factors_are_what_they_are_said_to_be(first_light: Any, is_less_better: bool) -> None:
    objective = Minimize("x") if is_less_better else Maximize("x")
    asked = SimpleNamespace(
        is_less_better=is_less_better, is_better=lambda a, b: objective.score(a) > objective.score(b)
    )

    def turned(*values: float) -> list[float]:
        return [100 / value if is_less_better else value for value in values]

    reference = turned(1, 1, 2, 2, 4, 4, 4, 5)
    ours = turned(1, 5, 8, 8, 8, 8, 8, 10)
    assert first_light.trials_to(ours, turned(8)[0], asked) == 3
    assert first_light.trials_to(ours, turned(11)[0], asked) is None
    assert first_light.acceleration(ours, reference, asked) == (4.0, "4")  # trial 8 against trial 2
    assert first_light.acceleration(reference, ours, asked) == (1.0, "below 1")  # never within 8 trials
    assert first_light.enhancement(ours[-1], reference[-1], asked) == pytest.approx(2.0)
    assert first_light.enhancement(0.0, 0.0, asked) is None


def test_first_light_without_the_tables_says_so_and_runs_on_the_example(tmp_path: Path) -> None:
    printed, results = run("first_light.py", tmp_path)
    assert "No table for crossed-barrel, direct-arylation" in printed
    film, table = results["questions"]
    assert (film["question"], table["question"]) == ("thin-film", "example-table")
    for asked in (film, table):
        assert {run["planner"] for run in asked["runs"]} == {"Bayesian", "Sobol", "random"}
        assert all(len(run["truths"]) == 7 for run in asked["runs"])
        assert set(asked["against"]) == {"random", "Sobol"}
    best = min(value for run in film["runs"] for value in run["truths"])
    assert film["optimum"] <= best
