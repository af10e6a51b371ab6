"""``import sdl`` and ``sdl --help`` cost less than a second of processor time, and leave torch alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 1.0  # seconds of processor time, user and system together
HEAVY = ("torch", "botorch", "gpytorch", "tiled", "fastapi", "ophyd_async.sim")

COMMANDS = {
    "import sdl": [sys.executable, "-c", "import sdl"],
    "sdl --help": [sys.executable, "-m", "sdl", "--help"],
}
# Names are imported when they are first used; the whole engine together is no reason to import torch either.
EVERYTHING = [sys.executable, "-c", "import sdl; [getattr(sdl, name) for name in sdl.__all__]"]


def processor_seconds(command: list[str], folder: Path) -> float:
    """Run *command* once and return the processor time that it and its children used."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    error = process.stderr.read().decode()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, error
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("what", COMMANDS)
def test_costs_less_than_a_second(what: str, tmp_path: Path) -> None:
    # The least of three: a neighbour on the same cores can only add.
    cost = min(processor_seconds(COMMANDS[what], tmp_path) for _ in range(3))
    assert cost < LIMIT, f"{what} took {cost:.2f} s of processor time; python -X importtime shows where"


@pytest.mark.parametrize("what", [*COMMANDS, "every public name"])
def test_does_not_import_torch(what: str, tmp_path: Path) -> None:
    python, *arguments = COMMANDS.get(what, EVERYTHING)
    command = [python, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "sdl" in imported
    assert not imported.intersection(HEAVY)
