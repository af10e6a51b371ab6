"""Who may import whom: the rooms downwards only, the layers of the engine downwards only, torch in one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("sdl", "devices", "planners", "simulators")

# What each room may import. Every room may also import what is not sdl's, within OWNERS below.
ROOM_MAY_IMPORT = {
    "sdl": {"sdl"},
    "devices": {"sdl", "devices"},
    "planners": {"sdl", "planners"},
    "simulators": {"sdl", "devices", "simulators"},
}

# The layers of the engine, ground floor first. A layer imports itself and what stands before it.
LAYERS = ("lazy", "errors", "failpoints", "problem", "journal", "lab", "campaign", "export", "server")

# The one import upwards, and why.
UPWARDS = {
    ("sdl/campaign/campaign.py", "sdl.export.tables.dataframe"): (
        "Campaign.dataframe() is where a user looks for his table; it is imported when he asks"
    ),
}

# Planners know no hardware, devices know no optimisation.
ROOM_MAY_NOT_IMPORT_LAYER = {
    "devices": {"campaign", "export"},
    "simulators": {"campaign", "export"},
    "planners": {"lab", "export"},
}

# Libraries that only some places may import, and where.
OWNERS = {
    "torch": ("planners/",),
    "botorch": ("planners/",),
    "gpytorch": ("planners/",),
    "linear_operator": ("planners/",),
    "sqlalchemy": ("sdl/journal/",),
    "typer": ("sdl/__main__.py", "sdl/commands/"),
    "pytest": ("sdl/testing/",),
    "hypothesis": ("sdl/testing/",),
    "bluesky.run_engine": ("sdl/lab/",),
}


class Import(NamedTuple):
    """One imported module or name, and where."""

    path: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import in the file, those inside functions and under TYPE_CHECKING as well."""
    return tuple(imports_in(path, ast.parse(path.read_text(encoding="utf-8"))))


def imports_in(path: Path, tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(path, node.lineno, alias.name)
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    yield Import(path, node.lineno, f"{module}.{alias.name}")
            case _:
                pass


def room_of(module: str) -> str | None:
    """The room that *module* belongs to, None for a foreign module."""
    first, _, rest = module.partition(".")
    if first != "sdl":
        return None
    second = rest.partition(".")[0]
    return second if second in ROOMS else "sdl"


def layer_of(module: str) -> str | None:
    """The layer of the engine that *module* belongs to, None for what belongs to none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "sdl" and len(parts) > 1 and parts[1] in LAYERS else None


def part_of(path: Path) -> str:
    """The part of sdl that a file belongs to: a layer, testing, templates, the front door, or the top."""
    first = path.relative_to(ROOT / "sdl").parts[0]
    if first == "__main__.py" or first == "commands":
        return "front door"
    return "top" if first == "__init__.py" else first.removesuffix(".py")


def is_template(path: Path) -> bool:
    return "templates" in path.relative_to(ROOT).parts


def complain(wrong: list[Import], rule: str) -> None:
    assert not wrong, "\n".join([rule, *map(str, wrong)])


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("def f():\n    import torch", "torch"),
        ("if TYPE_CHECKING:\n    from sdl import devices", "sdl.devices"),
        ("from sdl.lab.clock import Clock as C", "sdl.lab.clock.Clock"),
    ],
)
def test_hidden_imports_are_seen(code: str, module: str) -> None:
    assert [item.module for item in imports_in(ROOT, ast.parse(code))] == [module]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_downwards_only(room: str) -> None:
    wrong = [
        item
        for path in sources(room)
        if not (room == "sdl" and part_of(path) in {"front door", "templates"})
        for item in imports_of(path)
        if room_of(item.module) not in ROOM_MAY_IMPORT[room] | {None}
    ]
    complain(wrong, f"{room} may import {sorted(ROOM_MAY_IMPORT[room])}")


def test_every_part_of_the_engine_has_a_rule() -> None:
    parts = {part_of(path) for path in sources("sdl")}
    assert parts <= {*LAYERS, "front door", "top", "testing", "templates"}, parts


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_import_downwards_only(layer: str) -> None:
    allowed = {"sdl." + name for name in LAYERS[: LAYERS.index(layer) + 1]}
    wrong = [
        item
        for path in sources("sdl")
        if part_of(path) == layer
        for item in imports_of(path)
        if item.module.partition(".")[0] == "sdl" and ".".join(item.module.split(".")[:2]) not in allowed
        if (path.relative_to(ROOT).as_posix(), item.module) not in UPWARDS
    ]
    complain(wrong, f"sdl.{layer} may import {sorted(allowed)}")


def test_the_exceptions_are_still_needed() -> None:
    found = {(path.relative_to(ROOT).as_posix(), item.module) for path in sources("sdl") for item in imports_of(path)}
    assert set(UPWARDS) <= found


@pytest.mark.parametrize("room", sorted(ROOM_MAY_NOT_IMPORT_LAYER))
def test_planners_know_no_hardware_and_devices_no_optimisation(room: str) -> None:
    forbidden = ROOM_MAY_NOT_IMPORT_LAYER[room]
    wrong = [item for path in sources(room) for item in imports_of(path) if layer_of(item.module) in forbidden]
    complain(wrong, f"{room} may not import the layers {sorted(forbidden)}")


def test_only_the_front_door_is_above_everything() -> None:
    wrong = [
        item
        for path in sources(*ROOMS)
        if not (path.is_relative_to(ROOT / "sdl") and part_of(path) in {"front door"})
        for item in imports_of(path)
        if item.module.startswith(("sdl.__main__", "sdl.commands", "sdl.templates"))
    ]
    complain(wrong, "nothing but the front door imports sdl.__main__, sdl.commands and sdl.templates")


def test_the_engine_does_not_import_its_tests() -> None:
    wrong = [
        item
        for path in sources(*ROOMS)
        if not (path.is_relative_to(ROOT / "sdl") and part_of(path) in {"front door", "testing", "templates"})
        for item in imports_of(path)
        if item.module.startswith("sdl.testing")
    ]
    complain(wrong, "sdl.testing is for tests; only the front door and templates may import it")


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_libraries_stay_with_their_owners(library: str) -> None:
    wrong = [
        item
        for path in sources(*ROOMS)
        if not is_template(path) and not path.relative_to(ROOT).as_posix().startswith(OWNERS[library])
        for item in imports_of(path)
        if item.module == library or item.module.startswith(library + ".")
    ]
    complain(wrong, f"{library} may be imported by {', '.join(OWNERS[library])} only")


def test_the_run_engine_has_one_home() -> None:
    """Everything else talks to a Station: bluesky's engine is being rebuilt upstream, and one adapter follows it."""
    wrong = [
        item
        for path in sources(*ROOMS)
        if not is_template(path) and path != ROOT / "sdl" / "lab" / "engine.py"
        for item in imports_of(path)
        if item.module in {"bluesky.RunEngine", "bluesky.run_engine.RunEngine"}
    ]
    complain(wrong, "RunEngine is imported by sdl/lab/engine.py only")


def test_templates_use_public_modules_only() -> None:
    """What ``sdl new`` writes into a user's folder must go on working: it imports public modules, nothing below."""
    rooms = {"sdl", "sdl.devices", "sdl.planners", "sdl.simulators"}
    public = rooms | {"sdl.errors", "sdl.lab", "sdl.problem", "sdl.testing"}
    wrong = [
        item
        for path in sources("sdl")
        if is_template(path)
        for item in imports_of(path)
        if item.module.partition(".")[0] == "sdl" and item.module not in public
        if item.module.rpartition(".")[0] not in public
    ]
    complain(wrong, f"templates may import {sorted(public)}")


def test_imports_are_absolute() -> None:
    """The same file must not be imported under two names."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(*ROOMS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not wrong, f"relative imports: {wrong}"
