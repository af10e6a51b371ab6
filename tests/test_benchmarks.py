"""Every benchmark runs, prints its tables, and writes its figures; how fast things are is not tested here."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import json
import os
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
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
def test_every_script_says_what_it_compares_and_takes_the_options(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (BENCHMARKS / script).read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(source))
    assert said is not None
    assert "compared" in said.lower()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match="0"):  # here, for a process of its own for each takes ten times as long
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert {"--quick", "--json"} <= set(capsys.readouterr().out.replace("[", " ").replace("]", " ").split())


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


def test_the_guard_of_acts_against_the_same_engine_without_it(tmp_path: Path) -> None:
    printed, results = run("guard.py", tmp_path)
    assert "a scan through a station keeps" in printed
    assert results["scan"]["kept"] > 0.3
    assert results["acts"]["n"] == 5


def test_what_a_station_costs_over_each_kind_of_wire(tmp_path: Path) -> None:
    printed, results = run("wire.py", tmp_path)
    assert "| own process, tcp with CURVE" in printed
    assert len(results["places"]) == 4
    assert all(figure > 0 for place in results["places"].values() for found in place.values() for figure in found)


def test_what_durability_costs(tmp_path: Path) -> None:
    printed, results = run("durability.py", tmp_path)
    assert "seed 11" in printed
    assert set(results["ms_per_commit"]) == {"FULL", "NORMAL", "OFF", "memory"}
    assert all(value > 0 for value in results["ms_per_trial"].values())


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


@pytest.fixture
def planning(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the benchmark of planners by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(f"planning.{name}")


def test_planners_runs_ours_against_random_without_any_rival(planning: Any, tmp_path: Path) -> None:
    options = ("--results", str(tmp_path / "results"), "--cache", str(tmp_path / "cache"))
    printed, results = run("planners.py", tmp_path, *options)
    assert {case["case"] for case in results["cases"]} == {"branin", "pool-blends"}
    for case in results["cases"]:
        assert set(case["planners"]) == {"sdl", "random"}
        assert all(len(found["median"]) == case["n_trials"] == 7 for found in case["planners"].values())
        assert all(found["failures"] == [] for found in case["planners"].values())
    assert "Wilcoxon" in printed
    cells = planning("cells")
    with (tmp_path / "results" / "cells.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"half a li')  # a run that was killed while it wrote
    kept = cells.Results(tmp_path / "results")
    done, other = (cells.Job("sdl", "branin", 1, cache="", n_trials=n) for n in (7, 8))
    assert (done.key in kept, other.key in kept) == (True, False)
    kept.add(dataclasses.replace(kept.of([done])[0], key=other.key))
    assert other.key in cells.Results(tmp_path / "results")


def test_the_optimum_of_a_synthetic_case_is_where_it_is_said_to_be(planning: Any) -> None:
    """No random point may beat it, for any seed; and the same seed gives the same instance."""
    synthetic, ours = planning("synthetic"), planning("adapters.ours")
    for name in (*synthetic.RECIPES, *synthetic.SPECIAL):
        make: Any = partial(synthetic.recipe_case, name) if name in synthetic.RECIPES else synthetic.SPECIAL[name]
        for seed in (1, 10_001):
            case = make(seed)
            again = make(seed) if seed == 1 else case
            rng = np.random.default_rng(seed)
            points = ours.problem_of(case.question).space.sample(50, rng)
            truths = [case.truth(point) for point in points]
            assert truths == [again.truth(point) for point in points]
            assert case.question == again.question
            gaps = case.gaps(truths)
            assert all(0 <= after <= before for before, after in itertools.pairwise(gaps))
            if len(case.question.goals) == 1:
                goal = case.question.goals[0]
                sign = -1 if goal.is_maximized else 1
                kept = [sign * truth[goal.outcome] for truth in truths if case.is_kept(truth)]
                assert min(kept, default=case.best) >= case.best - 1e-9


def test_the_optimum_is_reached_at_the_place_that_was_drawn(planning: Any) -> None:
    functions = planning("functions")
    rng = np.random.default_rng(3)
    for function, at, best, is_rotated in (
        (functions.branin, functions.BRANIN_AT, functions.BRANIN_BEST, False),
        (functions.hartmann, functions.HARTMANN_AT, functions.HARTMANN_BEST, False),
        (functions.rosenbrock, np.ones(4), 0.0, True),
        (functions.levy, np.ones(6), 0.0, True),
        (functions.ackley, np.zeros(10), 0.0, True),
    ):
        placement = functions.Placement.random(at, 4.0, rng, is_rotated=is_rotated)
        assert function(placement(placement.at)) == pytest.approx(best, abs=1e-6)


def test_no_design_of_the_vessel_is_cheaper_than_the_best(planning: Any) -> None:
    """For every pair of walls the best radius is found by trying: the length follows from the volume."""
    synthetic = planning("synthetic")
    for seed in (1, 2, 10_001):
        case = synthetic.pressure_vessel(seed)
        shells, heads, radii, lengths = case.question.knobs
        for shell, head in itertools.product(shells.values, heads.values):
            highest = min(radii.high, shell / 0.0193, head / 0.00954)
            for radius in np.linspace(radii.low, highest, 40) if highest > radii.low else []:
                length = (1.296e6 - 4 / 3 * np.pi * radius**3) / (np.pi * radius**2)
                if lengths.low <= length <= lengths.high:
                    truth = case.truth({"shell": shell, "head": head, "radius": radius, "length": length})
                    assert case.is_kept(truth)
                    assert truth["price"] >= case.best - 1e-9
        at = case.truth(synthetic.VESSEL_AT)
        assert at["price"] == pytest.approx(case.best, abs=1e-4)


@pytest.mark.parametrize(
    ("points", "volume"),
    [([], 0.0), ([[1, 1]], 1.0), ([[0, 1], [1, 0]], 3.0), ([[0, 1], [1, 0], [1, 1], [3, 3]], 3.0)],
)
def test_hypervolume(planning: Any, points: list[list[float]], volume: float) -> None:
    cases = planning("cases")
    given = np.array(points, dtype=float).reshape(-1, 2)
    assert cases.hypervolume(given, np.array([2.0, 2.0])) == pytest.approx(volume)
    deeper = np.c_[given, np.zeros(len(given))]
    assert cases.hypervolume(deeper, np.array([2.0, 2.0, 5.0])) == pytest.approx(5 * volume)


def test_factors_ranks_and_pairs_of_courses(planning: Any) -> None:
    summary, cells = planning("summary"), planning("cells")

    def cell(planner: str, seed: int, gaps: list[float], **more: Any) -> Any:
        return cells.Cell("", planner, "", "case", seed, 4, 0.0, 9.0, 0.5, gaps=gaps, **more)

    shown = summary.Round.of(
        "case",
        [
            *(cell("sdl", seed, [4, 1, 0.4, 0.1 * seed]) for seed in (1, 2, 3)),
            *(cell("random", seed, [8, 4, 4, 1]) for seed in (1, 2, 3)),
            *(cell("broken", seed, [8, 4], error="it broke") for seed in (1, 2, 3)),
            cell("unable", 1, [], unsupported="no limits"),
        ],
    )
    assert shown.ranks == {"sdl": 1.0, "random": 2.0, "broken": 3.0}
    ours, reference = shown.able["sdl"], shown.able["random"]
    assert summary.acceleration(ours.middle, reference.middle) == (2.0, "2")  # trial 2 against trial 4
    assert summary.enhancement(0.2, 1.0)[0] == pytest.approx(5.0)
    found = summary.figures_of(ours, reference, 4, 0.5)
    assert found["trials_to_threshold"] == [3, 3, 3]
    pairs = summary.compare(ours, reference, 4)
    assert (pairs["wins"], pairs["ties"], pairs["losses"]) == (3, 0, 0)
    assert pairs["p"] == pytest.approx(0.25)  # the least that three pairs can give


def test_a_planner_that_suggests_what_cannot_be_tried_or_fails_pays_for_it(planning: Any) -> None:
    cells, client, synthetic = planning("cells"), planning("client"), planning("synthetic")

    class Foolish:
        def __init__(self) -> None:
            self.n_asked = 0

        def ask(self, n: int, _timeout: float) -> Any:
            self.n_asked += n
            if self.n_asked > 3:
                raise client.PlannerFailedError("no more")
            knobs = case.question.knobs
            return [{knob.name: knob.low - (self.n_asked == 2) for knob in knobs}] * n, 0.5

        def tell(self, _results: Any, _timeout: float) -> float:
            return 0.25

    case = synthetic.recipe_case("branin", 1)
    session = cells.Session(Foolish(), case, 10, 60.0)
    with pytest.raises(client.PlannerFailedError):
        session.run()
    assert (session.n_illegal, session.n_repeats) == (1, 1)
    assert len(session.gaps()) == 3
    assert session.gaps()[1] == session.gaps()[0]
    assert session.cpu == [(1, 0.5), (1, 0.75), (1, 0.5)]


def test_what_a_worker_is_told_comes_through_and_a_worker_answers(planning: Any) -> None:
    cells, wire, worker = planning("cells"), planning("wire"), planning("worker")
    for name in ("reaction", "gramacy", "mixture5", "three-goals", "pool-blends"):
        question = cells.make_case(name, 1, None).question
        assert wire.Question.of(json.loads(json.dumps(question.as_json()))) == question
    question = cells.make_case("branin", 1, None).question
    served = worker.Worker("ours:random")
    assert served.answer({"do": "begin", "question": question.as_json(), "seed": 3}) == {"ok": True}
    (first,) = served.answer({"do": "ask", "n": 1})["points"]
    assert cells.is_in_space(question, None, first)
    assert "cpu" in served.answer({"do": "tell", "results": [[first, {"y": 1.0}]]})
    assert served.answer({"do": "ask", "n": 1})["points"] != [first]
    assert "ValueError" in served.answer({"do": "tell", "results": ["nothing"]})["error"]


def test_a_pool_becomes_levels_only_where_it_holds_every_combination(planning: Any) -> None:
    cells, wire = planning("cells"), planning("wire")
    product = wire.as_product(cells.make_case("pool-reactions", 1, None).question)
    assert product.pool is None
    assert [len(knob.values) for knob in product.knobs] == [8, 5, 6, 4, 3]
    with pytest.raises(wire.Unsupported, match="list of candidates"):
        wire.as_product(cells.make_case("pool-blends", 1, None).question)


def test_knobs_go_to_their_scale_and_back(planning: Any) -> None:
    wire = planning("wire")
    log = wire.Knob("k", "continuous", 0.01, 1.0, is_log=True)
    assert wire.bounds(log) == (-2.0, 0.0)
    assert wire.from_scale(log, wire.to_scale(log, 0.1)) == pytest.approx(0.1)
    assert wire.from_scale(log, 1e-9) == 1.0  # a rounding beyond the bound
    assert wire.from_scale(log, 0.1) > 1.0  # an illegal point stays one
    assert wire.from_scale(wire.Knob("d", "discrete", values=(0.1, 0.2)), 0.1999999) == 0.2


def test_limits_decide_what_counts(planning: Any) -> None:
    case = planning("cells").make_case("gramacy", 1, None)
    broken, kept = {"y": 0.1, "c1": 1.0, "c2": -1.0}, {"y": 0.8, "c1": -1.0, "c2": -1.0}
    assert case.gaps([broken, kept, broken]) == pytest.approx([1.4, 0.200212, 0.200212])


def test_speed_counts_what_is_asked_after_the_first_time(planning: Any) -> None:
    speed = planning("speed")

    class Clock:
        def begin(self, *_: Any) -> None: ...

        def ask(self, n: int, _limit: float) -> Any:
            return [{"x1": 0.5, "x2": 0.5}] * n, 1.0

        def tell(self, results: Any, _limit: float) -> float:
            return 0.5 * len(results)

    case = speed.bowl(2)
    seen = speed.observations(case, 3)
    assert seen == speed.observations(case, 3)
    assert speed.thinking(Clock(), case, seen, 9.0) == [1.5] * speed.N_MEASURED
