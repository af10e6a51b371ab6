"""``sdl new``: a folder with a laboratory to edit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from sdl.commands.output import say
from sdl.errors import ProblemError

PLACEHOLDER = "my-lab"
"""Stands in the templates where the name belongs."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

SUFFIXES = (".py", ".md", ".ini")
"""What a template is; an installation may leave other files beside them."""


def new(folder: Path) -> None:
    """Make *folder* and write the templates into it.

    Raises
    ------
    ProblemError
        The name is no name, or something is in its place already.
    """
    name = folder.name
    if not NAME.fullmatch(name):
        raise ProblemError(
            f"{name!r} cannot name a laboratory", hint="use letters, digits, - and _, beginning with a letter"
        )
    if folder.exists():
        raise ProblemError(f"{folder} exists already, and nothing is overwritten", hint="choose another name")
    if not folder.parent.is_dir():
        raise ProblemError(f"there is no folder {folder.parent}", hint="make it first")
    for place, text in templates():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace(PLACEHOLDER, name), encoding="utf-8")
    say(f"{folder}: a laboratory in simulation, for you to edit; README.md says in which order")
    say(f"Try it: cd {folder} && python campaign.py && pytest")


def templates() -> Iterator[tuple[Path, str]]:
    """Yield the place and the text of every template."""
    yield from _below(resources.files("sdl") / "templates" / "lab", Path())


def _below(folder: Traversable, place: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _below(entry, place / entry.name)
        elif entry.name.endswith(SUFFIXES):
            yield place / entry.name, entry.read_text(encoding="utf-8")
