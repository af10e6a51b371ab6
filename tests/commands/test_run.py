"""``sdl run`` and ``sdl new``: scripts, campaign files, and the folder that a user starts from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from door import is_one_line, sdl

from sdl.commands.border import CampaignInterrupted, CampaignStopped
from sdl.commands.new import templates
from sdl.commands.run import conclude

FILE = """\
name: films
lab: thin-film
planner: random
seed: 5
budget: {trials: 2}
"""

OWN_LAB = """
import bluesky.plan_stubs as bps
from sdl import Lab, Measurement, VirtualClock


class Lamp:
    name, parent = "lamp", None

    def read(self):
        return {}

    def describe(self):
        return {}


class Bench(Lab):
    is_simulated = True

    def __init__(self, gain=1.0):
        self.gain = gain
        super().__init__("bench", clock=VirtualClock(), lamp=Lamp())


def shine(lab, s):
    yield from bps.sleep(60)
    if s["x"] > 0.9:
        raise RuntimeError("the lamp is gone")
    return {"light": Measurement(lab.gain * s["x"], "lux")}
"""

OWN_FILE = """\
name: lamps
lab: {type: "own_lab:Bench", options: {gain: 2.0}}
experiment: own_lab:shine
space: {parameters: {x: {kind: continuous, low: 0, high: 1}}}
objective: {kind: maximize, outcome: light, unit: lux}
planner: {type: grid, options: {levels: 3}}
budget: {trials: 3}
"""


@pytest.fixture(autouse=True)
def _fresh_modules() -> object:
    """A module of a test must not be taken for that of the next one."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in {"own_lab", "helper"}:
            del sys.modules[name]


# --- campaign files ---------------------------------------------------------------------------------------------------


def test_a_file_for_a_twin(here: Path) -> None:
    (here / "films.yaml").write_text(FILE)
    done = sdl("run", "films.yaml")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("trial ")
    assert "resistance = " in done.stdout
    assert "finished: 2 trials" in done.stderr
    assert sdl("run", "films.yaml", "--trials", "3").exit_code == 0
    (campaign,) = json.loads(sdl("status", "--json").stdout)["campaigns"]
    assert (campaign["n_trials"], campaign["seed"], campaign["planner"]["name"]) == (3, 5, "random")
    assert campaign["lab"]["seed"] == 5


def test_a_file_for_a_laboratory_of_ones_own(here: Path) -> None:
    """Modules are found beside the file, wherever one stands; a failed trial does not stop the campaign."""
    folder = here / "project"
    folder.mkdir()
    (folder / "own_lab.py").write_text(OWN_LAB)
    (folder / "lamps.yaml").write_text(OWN_FILE)
    done = sdl("run", "project/lamps.yaml")
    assert done.exit_code == 0, done.output
    assert done.stdout == "trial 2: light = 1.000 lx at x = 0.5\n" or "light = 1 l" in done.stdout
    (campaign,) = json.loads(sdl("status", "lamps.sdl", "--json").stdout)["campaigns"]
    assert campaign["failures"][0]["failure"]["reason"] == "RuntimeError: the lamp is gone"


def test_a_campaign_that_trouble_ends(here: Path) -> None:
    (here / "own_lab.py").write_text(OWN_LAB.replace("> 0.9", ">= 0"))
    (here / "lamps.yaml").write_text(OWN_FILE + "on_failure: {max_in_a_row: 2}\n")
    done = sdl("run", "lamps.yaml")
    assert done.exit_code == 1
    assert done.stdout == "no result yet\n"
    assert done.stderr.splitlines()[-1] == ("sdl: campaign lamps stopped: 2 failures in a row (sdl status says more)")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: films", "films.yaml: the key 'lab' is missing"),
        (FILE + "plannner: x", "films.yaml, line 6: plannner: unknown key 'plannner' (did you mean 'planner'?"),
        (FILE.replace("random", "oracle"), "films.yaml: there is no planner 'oracle' (it is one of bayesian, sobol"),
        (FILE.replace("thin-film", "thick-film"), "there is no lab 'thick-film' (it is one of thin-film, mobile-"),
        (FILE.replace("thin-film", "{type: thin-film, options: {speed: 2}}"), "its options are seed, clock, faults"),
        (FILE.replace("thin-film", "nowhere:Lab"), "there is no module 'nowhere'"),
        (FILE.replace("thin-film", "json:Lab"), "json has no Lab"),
        (FILE.replace("thin-film", "json:dumps"), "json:dumps"),
        (FILE + "experiment: json", "is not of the form module:name"),
        (FILE + "seed_data: [nothing]", "nothing"),
        (FILE.replace("{trials: 2}", "{trials: 2.5}"), "line 5: budget.trials:"),
        (FILE.replace("budget: {trials: 2}", ""), "neither a budget nor a stopping rule"),
        (OWN_FILE.replace("own_lab:Bench", "collections:OrderedDict"), "OrderedDict"),
    ],
)
def test_a_file_that_cannot_be_run(here: Path, text: str, part: str) -> None:
    (here / "films.yaml").write_text(text)
    done = sdl("run", "films.yaml")
    assert done.exit_code == 2, done.output
    assert is_one_line(done.stderr)
    assert part in done.stderr


def test_a_file_takes_no_arguments(here: Path) -> None:
    (here / "films.yaml").write_text(FILE)
    done = sdl("run", "films.yaml", "--", "fast")
    assert (done.exit_code, is_one_line(done.stderr)) == (2, True)


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        ("stopped", "interrupted", CampaignInterrupted),
        ("aborted", "interrupted 2 times", CampaignInterrupted),
        ("stopped", "5 failures in a row", CampaignStopped),
        ("paused", "the planner hangs", CampaignStopped),
    ],
)
def test_how_a_session_may_end(status: str, reason: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="films"):
        conclude("films", status, reason)
    conclude("films", "finished", "2 trials")


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_a_script_runs_as_python_would_run_it(here: Path) -> None:
    folder = here / "scripts"
    folder.mkdir()
    (folder / "helper.py").write_text("WORD = 'helped'")
    (folder / "one.py").write_text("import sys\nfrom helper import WORD\nprint(__name__, sys.argv[1:], WORD)")
    done = sdl("run", "scripts/one.py", "--", "--fast", "3")
    assert (done.exit_code, done.stdout) == (0, "__main__ ['--fast', '3'] helped\n")
    assert "helper" not in os.environ.get("PYTHONPATH", "")


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("x = 1\nx / 0", 1, "one.py, line 2: ZeroDivisionError: division by zero"),
        ("def f():\n    import json\n    json.loads('{')\n\nf()", 1, "one.py, line 3: JSONDecodeError"),
        ("x = (", 1, "one.py, line 1: SyntaxError"),
        ("import no_such_module", 1, "no_such_module"),
        ("import sdl\nsdl.Continuous(2, 1)", 2, "the lower bound"),
        ("import sdl\nsdl.open_journal('nowhere', mode='read')", 2, "there is no store nowhere"),
    ],
)
def test_a_script_with_an_error(here: Path, text: str, code: int, part: str) -> None:
    (here / "one.py").write_text(text)
    done = sdl("run", "one.py")
    assert (done.exit_code, is_one_line(done.stderr)) == (code, True)
    assert part in done.stderr
    assert "Traceback" in sdl("--debug", "run", "one.py").stderr


def test_a_script_that_exits(here: Path) -> None:
    (here / "one.py").write_text("raise SystemExit(5)")
    assert sdl("run", "one.py").exit_code == 5


def test_a_script_counts_its_trials_itself(here: Path) -> None:
    (here / "one.py").write_text("")
    done = sdl("run", "one.py", "--trials", "4")
    assert (done.exit_code, is_one_line(done.stderr)) == (2, True)
    assert "sdl run one.py -- ..." in done.stderr


# --- a new laboratory -------------------------------------------------------------------------------------------------


def test_a_new_laboratory_works_as_it_stands(here: Path) -> None:
    """Its tests pass, its campaign runs, and goes on when it is run again."""
    done = sdl("new", "beaker")
    assert done.exit_code == 0, done.output
    folder = here / "beaker"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "README.md",
        "campaign.py",
        "driver.py",
        "lab.py",
        "plan.py",
        "pytest.ini",
        "simulated.py",
        "tests/test_lab.py",
    }
    # This environment has many plugins, which take seconds to load.
    light = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "sdl.testing.plugin"}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=folder, env=light, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout
    run = subprocess.run([sys.executable, "campaign.py", "4"], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "finished: 4 trials" in run.stdout
    assert "absorbance = " in run.stdout
    (campaign,) = json.loads(sdl("status", folder / "beaker.sdl", "--json").stdout)["campaigns"]
    assert campaign["campaign"] == "beaker"
    assert campaign["trials"]["completed"] == 4


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("taken", "taken exists already, and nothing is overwritten"),
        ("3lab", "'3lab' cannot name a laboratory"),
        ("my lab", "cannot name a laboratory"),
        ("..", "cannot name a laboratory"),
        ("no/where", "there is no folder no"),
    ],
)
def test_a_new_laboratory_overwrites_nothing(here: Path, name: str, part: str) -> None:
    (here / "taken").mkdir()
    done = sdl("new", name)
    assert (done.exit_code, is_one_line(done.stderr)) == (2, True)
    assert part in done.stderr
    assert [path.name for path in here.rglob("*")] == ["taken"]


def test_a_new_driver_passes_all_checks_as_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is in the module, the class and the files. Its own tests are run where the tutorial tells to."""
    assert sdl("new", "driver", "Julabo-F25").exit_code == 0
    folder = here / "Julabo-F25"
    assert {path.name for path in folder.glob("*.py")} == {"julabo_f25.py", "simulated_julabo_f25.py", "lab.py"}
    checkers = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    for words in [words for words in checkers if find_spec(words[0])]:  # who only runs the tests has none of them
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
    monkeypatch.chdir(folder)
    checked = sdl("check-device", "julabo_f25:JulaboF25")
    assert (checked.exit_code, "26 passed" in checked.stdout) == (0, True), checked.output


def test_nothing_but_laboratories_and_drivers_can_be_made(here: Path) -> None:
    for words in (["planner", "mine"], ["driver", "lab"], ["driver", "class"]):
        done = sdl("new", *words)
        assert (done.exit_code, is_one_line(done.stderr)) == (2, True), done.output
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["lab", "driver"])
def test_templates_are_packaged(kind: str) -> None:
    """What is not named in pyproject.toml is missing from a wheel."""
    import tomllib
    from fnmatch import fnmatch

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["sdl"]
    for place, _ in templates(kind):
        assert any(fnmatch(f"templates/{kind}/{place.as_posix()}", pattern) for pattern in patterns), place
