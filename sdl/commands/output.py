"""What commands print: plain lines, with colour only on a terminal that wants it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence

from pydantic import JsonValue
from rich.console import Console
from rich.text import Text


def spare_signs() -> None:
    """Let output go on where the terminal's encoding lacks a sign, with a question mark in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str = "", *, style: str = "") -> None:
    """Print one line, or several, on standard output."""
    _console(is_error=False).print(Text(_printable(text), style=style), soft_wrap=True)


def title(text: str) -> None:
    """Print a headline."""
    say(text, style="bold")


def tell(text: str) -> None:
    """Print what is being done on standard error, so that standard output stays with the answer."""
    _console(is_error=True).print(Text(one_line(text), style="dim"), soft_wrap=True)


def complain(message: str, hint: str) -> None:
    """Print the one line of an error on standard error."""
    line = one_line(f"sdl: {message} ({hint})" if hint else f"sdl: {message}")
    _console(is_error=True).print(Text(line, style="red"), soft_wrap=True)


def say_json(data: JsonValue) -> None:
    """Print *data* for a program: one JSON document."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def say_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0) -> None:
    """Print columns that are as wide as their widest cell."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (headings, *cells)) for column in range(len(headings))]
    lines = [
        " " * indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *cells)
    ]
    say(lines[0], style="bold")
    for line in lines[1:]:
        say(line)


def say_facts(facts: Iterable[tuple[str, str]], *, indent: int = 2) -> None:
    """Print names and what is to be said of each, one a line; nothing for what there is nothing to say of."""
    known = [(name, text) for name, text in facts if text]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        say(f"{' ' * indent}{name.ljust(width)}  {one_line(text)}")


def one_line(text: str) -> str:
    """Return *text* on one line, without what would move the cursor."""
    return " ".join(_printable(text).split())


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def _console(*, is_error: bool) -> Console:
    # Made anew for every line: the streams of a test, or of a program that embeds the commands, change.
    return Console(stderr=is_error, highlight=False, markup=False, emoji=False)
