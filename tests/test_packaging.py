"""The package list in pyproject.toml names every folder that holds code, and the checkers' links point at the rooms."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"sdl": "sdl", "devices": "sdl.devices", "planners": "sdl.planners", "simulators": "sdl.simulators"}


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_in(folder: str, package: str) -> set[str]:
    """The packages that the folders below *folder* make; templates are files for a user's own folder, no packages."""
    return {
        ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
        for init in (ROOT / folder).rglob("__init__.py")
        if "templates" not in init.relative_to(ROOT).parts
    }


def test_every_package_is_listed() -> None:
    listed = pyproject()["tool"]["setuptools"]["packages"]
    found = set[str]().union(*(packages_in(folder, package) for folder, package in ROOMS.items()))
    assert len(listed) == len(set(listed))
    assert set(listed) == found


def test_every_folder_with_code_is_a_package() -> None:
    """A folder without ``__init__.py`` works from the clone and is missing from a wheel."""
    for folder in ROOMS:
        for module in (ROOT / folder).rglob("*.py"):
            if "templates" not in module.relative_to(ROOT).parts:
                assert (module.parent / "__init__.py").exists(), f"{module.parent.relative_to(ROOT)} has no __init__.py"


def test_every_package_is_typed() -> None:
    for folder in ROOMS:
        assert (ROOT / folder / "py.typed").exists(), f"{folder} has no py.typed"


@pytest.mark.parametrize("room", ["__init__.py", "devices", "planners", "simulators"])
def test_links_for_type_checkers(room: str) -> None:
    link = ROOT / ".typing" / "sdl" / room
    target = ROOT / "sdl" / room if room.endswith(".py") else ROOT / room
    assert link.resolve() == target.resolve()


def test_constraints_pin_what_is_asked_for() -> None:
    """Every direct dependency has one pinned version, and torch is the first of them."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==")[0].lower().replace("_", "-") for line in lines if line and not line.startswith("#")]
    project = pyproject()["project"]
    asked = [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    names = {item.partition(">")[0].partition("[")[0].lower().replace("_", "-") for item in asked} - {"sdl"}
    assert lines[2] == "torch==2.13.0"
    assert len(pins) == len(set(pins))
    assert names <= set(pins), f"constraints.txt lacks {sorted(names - set(pins))}"


def test_test_modules_have_names_of_their_own() -> None:
    """pytest and mypy import them by their bare names; only conftest.py may be there several times."""
    paths = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    names = [path.name for path in paths]
    twice = [str(path.relative_to(ROOT)) for path in paths if names.count(path.name) > 1]
    assert not twice, f"rename one of {sorted(twice)}"
