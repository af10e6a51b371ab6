"""Every benchmark runs, prints its tables, and writes its figures; how fast things are is not tested here."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
