"""``sdl new``: a folder with a laboratory, or a driver, to edit."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from sdl.commands.output import say
from sdl.errors import ProblemError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

SUFFIXES = (".py", ".md", ".ini", ".toml")
"""What a template is; an installation may leave other files beside them."""

TAKEN = frozenset({"lab", "sdl", "tests", "driver"})
"""What no driver's module can be called."""


def new(folder: Path) -> None:
    """Make *folder* and write the templates of a laboratory into it.

    Raises
    ------
    ProblemError
        The name is no name, or something is in its place already.
    """
    _check(folder, "a laboratory")
    _write("lab", folder, {"my-lab": folder.name})
    say(f"{folder}: a laboratory in simulation, for you to edit; README.md says in which order")
    say(f"Try it: cd {folder} && python campaign.py && pytest")


def new_driver(folder: Path) -> None:
    """Make *folder* and write the templates of a driver into it: module, class and folder have its name.

    Raises
    ------
    ProblemError
        The name is no name, or something is in its place already.
    """
    _check(folder, "a driver")
    module = folder.name.replace("-", "_").lower()
    if module in TAKEN or keyword.iskeyword(module):
        raise ProblemError(f"{folder.name!r} cannot name a driver", hint="its module could not be imported")
    kind = "".join(part[0].upper() + part[1:] for part in re.split("[-_]+", folder.name) if part)
    _write("driver", folder, {"my-device": folder.name, "my_device": module, "MyDevice": kind})
    say(f"{folder}: a driver with a simulated instrument, for you to edit; README.md says in which order")
    say(f"Try it: cd {folder} && pytest && sdl check-device {module}:{kind}")


def _check(folder: Path, what: str) -> None:
    if not NAME.fullmatch(folder.name):
        raise ProblemError(
            f"{folder.name!r} cannot name {what}", hint="use letters, digits, - and _, beginning with a letter"
        )
    if folder.exists():
        raise ProblemError(f"{folder} exists already, and nothing is overwritten", hint="choose another name")
    if not folder.parent.is_dir():
        raise ProblemError(f"there is no folder {folder.parent}", hint="make it first")


def _write(kind: str, folder: Path, names: Mapping[str, str]) -> None:
    """Write the templates of *kind* into *folder*, with *names* in place of those that stand in them."""
    for place, text in templates(kind):
        target = folder / _renamed(place.as_posix(), names)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(text, names), encoding="utf-8")


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], text)


def templates(kind: str) -> Iterator[tuple[Path, str]]:
    """Yield the place and the text of every template of a ``lab`` or a ``driver``."""
    yield from _below(resources.files("sdl") / "templates" / kind, Path())


def _below(folder: Traversable, place: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _below(entry, place / entry.name)
        elif entry.name.endswith(SUFFIXES):
            yield place / entry.name, entry.read_text(encoding="utf-8")
