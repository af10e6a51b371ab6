"""Every public name stands in docs/reference, and everything that stands there exists."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PUBLIC = (
    "sdl",
    "sdl.campaign",
    "sdl.devices",
    "sdl.devices.kinds",
    "sdl.devices.lines",
    "sdl.devices.vendors",
    "sdl.errors",
    "sdl.journal",
    "sdl.lab",
    "sdl.planners",
    "sdl.problem",
    "sdl.simulators",
    "sdl.simulators.vendors",
    "sdl.testing",
)
# ``.. autoclass:: sdl.Campaign``, or ``.. automodule:: sdl.errors`` with its members.
DIRECTIVE = re.compile(r"^\.\. auto(?P<kind>class|function|data|exception|module):: (?P<target>[\w.]+)$", re.MULTILINE)


def directives() -> list[tuple[str, str]]:
    """The kind and the target of every autodoc directive in the reference."""
    pages = sorted(REFERENCE.glob("*.md"))
    found = (match for page in pages for match in DIRECTIVE.finditer(page.read_text(encoding="utf-8")))
    return [(match["kind"], match["target"]) for match in found]


def resolve(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def public_names(module: ModuleType) -> list[str]:
    """The names that a package declares, or the classes and functions that a module defines."""
    if hasattr(module, "__path__"):
        assert "__all__" in vars(module), f"{module.__name__} does not say what is public: it has no __all__"
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def documented() -> set[str]:
    """The full names that the reference documents."""
    names: set[str] = set()
    for kind, target in directives():
        names.add(target)
        if kind == "module":
            names |= {f"{target}.{name}" for name in public_names(importlib.import_module(target))}
    return names


DOCUMENTED = documented()


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_documented(module: str) -> None:
    """Under this name or under another one of the same object: ``sdl.Trial`` is ``sdl.campaign.Trial``."""
    objects = {id(resolve(target)) for target in DOCUMENTED}
    missing = [
        name
        for name in public_names(importlib.import_module(module))
        if f"{module}.{name}" not in DOCUMENTED and id(resolve(f"{module}.{name}")) not in objects
    ]
    assert not missing, f"docs/reference has no directive such as '.. autoclass:: {module}.{missing[0]}' for {missing}"


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there_once(module: str) -> None:
    names = public_names(importlib.import_module(module))
    assert len(names) == len(set(names))
    for name in names:
        assert resolve(f"{module}.{name}") is not None


def test_everything_documented_exists_and_says_something() -> None:
    """A class or function without a docstring would stand in the reference as a bare signature."""
    for kind, target in directives():
        found = importlib.import_module(target) if kind == "module" else resolve(target)
        if kind != "data":
            assert inspect.getdoc(found), f"{target} has no docstring"


def test_nothing_is_documented_twice() -> None:
    targets = [target for kind, target in directives() if kind != "module"]
    assert sorted(targets) == sorted(set(targets))


def test_the_glossary_has_every_word_once() -> None:
    text = (REFERENCE / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^(?! |```|#|$)(.+)$", text.partition("```{glossary}")[2], re.MULTILINE)
    assert len(words) > 30
    assert len(words) == len({word.lower() for word in words})
