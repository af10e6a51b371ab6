"""House rules that no linter knows: no code from data, time from a clock, chance from a seed, short pieces."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("sdl", "devices", "planners", "simulators")

FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

FORBIDDEN_CALLS = {
    **dict.fromkeys(("eval", "exec", "builtins.eval", "builtins.exec"), "it runs code from data"),
    **dict.fromkeys(("yaml.load", "yaml.load_all", "yaml.unsafe_load"), "it makes objects from data: use safe_load"),
    "torch.load": "it unpickles",
    **dict.fromkeys(
        ("time.time", "time.time_ns", "time.monotonic", "time.sleep"), "control code takes its time from a Clock"
    ),
    **dict.fromkeys(
        ("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
        "control code takes its time from a Clock",
    ),
}

# Where one of them is right, and why.
ALLOWED = {
    ("sdl/lab/clock.py", "time.time"): "WallClock is where the time of day enters",
    ("sdl/lab/clock.py", "time.monotonic"): "WallClock, and waits of a virtual clock that real threads must wake from",
    ("sdl/journal/envelope.py", "time.time"): "the time source of a journal that was given none",
    ("sdl/journal/envelope.py", "time.monotonic"): "the time source of a journal that was given none",
}

MAX_MODULE_LINES = 600
MAX_CLASS_LINES = 400
LONG_FUNCTION = 40
MAX_SHARE_OF_LONG_FUNCTIONS = 0.05


class Use(NamedTuple):
    """One use of a name, spelled out in full, and its line."""

    line: int
    name: str


def sources() -> list[Path]:
    """The code that drives laboratories; templates included, because it becomes such code."""
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


every_source = pytest.mark.parametrize("path", sources(), ids=name_of)


def imported_names(tree: ast.Module) -> dict[str, str]:
    """What each name at hand stands for, as ``{"dt": "datetime.datetime"}``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.asname: alias.name for alias in aliases if alias.asname}
                names |= {alias.name.partition(".")[0]: alias.name.partition(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str(module), names=aliases):
                names |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases}
            case _:
                pass
    return names


def dotted(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = dotted(value)
            return base and f"{base}.{attr}"
        case _:
            return None


def uses(tree: ast.Module) -> Iterator[Use]:
    """Every name and attribute, spelled out in full; not only calls, since a function can be handed on."""
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (text := dotted(node)):
            first, dot, rest = text.partition(".")
            yield Use(node.lineno, names.get(first, first) + dot + rest)


def imported_modules(tree: ast.Module) -> Iterator[Use]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (Use(node.lineno, alias.name) for alias in aliases)
            case ast.ImportFrom(module=str(module)):
                yield Use(node.lineno, module)
            case _:
                pass


def unseeded(tree: ast.Module) -> Iterator[Use]:
    """``default_rng()`` without a seed, and the functions of the module ``random``: chance that cannot be repeated."""
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (text := dotted(node.func)):
            first, dot, rest = text.partition(".")
            name = names.get(first, first) + dot + rest
            is_module = first in names and name.startswith("random.")
            if is_module or (name == "numpy.random.default_rng" and not node.args and not node.keywords):
                yield Use(node.lineno, name)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import time as t\nt.sleep(1)", "time.sleep"),
        ("from time import time as now\nnow()", "time.time"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime as dt\nf(dt.now)", "datetime.datetime.now"),
        ("eval('1')", "eval"),
        ("import yaml\nyaml.load(f)", "yaml.load"),
    ],
)
def test_the_rules_see_through_other_names(code: str, name: str) -> None:
    assert name in FORBIDDEN_CALLS
    assert name in {use.name for use in uses(ast.parse(code))}


@pytest.mark.parametrize("code", ["import numpy as np\nnp.random.default_rng()", "import random\nrandom.random()"])
def test_the_rules_see_chance_without_a_seed(code: str) -> None:
    assert list(unseeded(ast.parse(code)))


@every_source
def test_nothing_forbidden_is_used(path: Path) -> None:
    wrong = [
        f"{name_of(path)}:{use.line} {use.name}: {FORBIDDEN_CALLS[use.name]}"
        for use in uses(parse(path))
        if use.name in FORBIDDEN_CALLS and (name_of(path), use.name) not in ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


@every_source
def test_no_module_that_unpickles(path: Path) -> None:
    wrong = [
        f"{name_of(path)}:{use.line} imports {use.name}: it makes objects, and so runs code, from data"
        for use in imported_modules(parse(path))
        if use.name.partition(".")[0] in FORBIDDEN_MODULES
    ]
    assert not wrong, "\n".join(wrong)


@every_source
def test_chance_comes_from_a_seed(path: Path) -> None:
    wrong = [f"{name_of(path)}:{use.line} {use.name}" for use in unseeded(parse(path))]
    assert not wrong, "\n".join(wrong)


def test_the_allow_list_is_not_stale() -> None:
    """An exception for something that is gone would let it come back unseen."""
    found = {(name_of(path), use.name) for path in sources() for use in uses(parse(path))}
    assert set(ALLOWED) <= found, f"no longer needed: {sorted(set(ALLOWED) - found)}"


@every_source
def test_modules_and_classes_are_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_MODULE_LINES, f"{name_of(path)} has {n_lines} lines"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            n_lines = node.end_lineno - node.lineno + 1
            assert n_lines <= MAX_CLASS_LINES, f"{name_of(path)}:{node.lineno} {node.name}: {n_lines} lines"


def test_functions_are_short() -> None:
    """At most 5 % of the function bodies are longer than 40 lines."""
    bodies = {
        f"{name_of(path)}:{node.lineno} {node.name}": body_lines(node)
        for path in sources()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: n for name, n in bodies.items() if n > LONG_FUNCTION}
    assert len(long) <= MAX_SHARE_OF_LONG_FUNCTIONS * len(bodies), long


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement to the last, the docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
