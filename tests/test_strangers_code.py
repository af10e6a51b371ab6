"""Code that was not asked for does not run: distributions with entry points, modules that a file names, pickles."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from sdl.commands.doctor import doctor
from sdl.errors import ProblemError
from sdl.problem import value
from sdl.server.laboratory import LabFile, Laboratory

GROUPS = ("sdl", "sdl.planners", "sdl.devices", "sdl.simulators", "sdl.labs", "sdl.plugins")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a distribution whose module leaves a mark when it is imported."""
    mark = tmp_path / "mark"
    (tmp_path / "trap_planner.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Clever: ...\n")
    info = tmp_path / "trap-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\nclever = trap_planner:Clever\n" for group in GROUPS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return mark


def test_what_is_installed_is_not_imported(mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(as_json=True, deep=False)
    assert '"checks"' in capsys.readouterr().out
    assert not mark.exists()
    __import__("trap_planner")
    assert mark.exists()  # the trap would have worked
    del sys.modules["trap_planner"]


@pytest.mark.parametrize(
    "says",
    [
        "planner: 'trap_planner:Clever'",
        "experiment: 'trap_planner:Clever'",
        "checks: ['trap_planner:Clever']",
        "lab: 'trap_planner:Clever'",
    ],
)
def test_what_a_handed_in_campaign_names_is_not_imported(mark: Path, says: str) -> None:
    house = Laboratory(LabFile(type="thin-film"), Path.cwd())
    with pytest.raises(ProblemError):
        house.read(f"name: films\n{says}\n")
    assert not mark.exists()


def test_unpickling_below_our_code_would_be_noticed(nothing_is_unpickled: list[str]) -> None:
    data = pickle.dumps(Path("x"))
    assert pickle.loads(data) == Path("x")
    assert not nothing_is_unpickled  # the tests themselves may
    code = compile("found = loads(data)", value.__file__, "exec")
    exec(code, {"loads": pickle.loads, "data": data})
    assert nothing_is_unpickled
    nothing_is_unpickled.clear()
