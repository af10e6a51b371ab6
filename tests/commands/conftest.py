"""Folders to run commands in."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from door import sdl, write_store


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No colour, and no tracebacks that the shell of whoever runs the tests asks for."""
    for name in ("FORCE_COLOR", "NO_COLOR", "SDL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    before = list(sys.path)
    yield
    left = [place for place in sys.path if not place.endswith("setuptools/_vendor")]  # which setuptools adds by itself
    assert left == before or sys.path == before, "a command left something on sys.path"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "films.sdl"
    write_store(path)
    return path


@pytest.fixture
def films(here: Path, _written: Path) -> Path:
    """The current folder holds the store ``films.sdl``: a campaign that was killed, and whatever can go wrong."""
    return Path(shutil.copytree(_written, here / "films.sdl"))


@pytest.fixture(scope="session")
def _demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrated")
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = sdl("demo", "thin-film", "--trials", "3", "--planner", "random")
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture
def demonstrated(here: Path, _demonstrated: Path) -> Path:
    """The current folder is as ``sdl demo thin-film`` left it after three trials; ``output.txt`` is what it printed."""
    shutil.copytree(_demonstrated, here, dirs_exist_ok=True)
    return here
