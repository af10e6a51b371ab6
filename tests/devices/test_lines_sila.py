"""SiLA 2 in a process of its own: its library and OR-tools end a process that has loaded both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sdl.devices.lines import SilaTransport
from sdl.errors import LabError
from sdl.lab.schedule.solving import RIVAL, SOLVER, is_kept_out

HERE = Path(__file__).parent


def test_requests_to_a_sila_server() -> None:
    """What ``sila_lines.py`` says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "sila_lines.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]


def test_whichever_comes_second_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RIVAL, SOLVER):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, RIVAL, sys)
    assert is_kept_out()
    monkeypatch.delitem(sys.modules, RIVAL)
    monkeypatch.setitem(sys.modules, SOLVER, sys)
    assert not is_kept_out()
    with pytest.raises(LabError, match="OR-tools"):
        SilaTransport("127.0.0.1", 50052)
