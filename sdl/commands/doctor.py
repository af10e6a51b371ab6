"""``sdl doctor``: what is installed, what is wrong, and the way out."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sdl.commands.border import ExitCode
from sdl.commands.output import say, say_json
from sdl.commands.stores import holder_of, reading, stores_in
from sdl.errors import SdlError
from sdl.export import words
from sdl.journal.lock import WriteLock
from sdl.problem.value import Value

LITTLE_SPACE = 1_000_000_000
"""Bytes; documents of a long campaign may take that much."""

TORCH_SECONDS = 120
"""Wall seconds that importing torch may take; a slow disk needs half a minute."""

# https://sqlite.org/wal.html#walresetbug: from 3.7.0 on, with these exceptions.
WAL_BUG_FIXED = (SpecifierSet(">=3.51.3,!=3.52.0"), SpecifierSet(">=3.50.7,<3.51"), SpecifierSet(">=3.44.6,<3.45"))

MARKS = {"fine": "ok", "note": "note", "wrong": "WRONG"}
STYLES = {"fine": "green", "note": "yellow", "wrong": "red"}


class Check(Value):
    """What was looked at, what was found, and what to do about it."""

    name: str
    verdict: Literal["fine", "note", "wrong"]
    found: str
    hint: str = ""


def doctor(*, as_json: bool, deep: bool) -> ExitCode:
    """Make all checks and print them; return whether nothing is wrong."""
    examinations: list[Callable[[], Iterator[Check]]] = [python, packages, sqlite, folder, stores, terminal]
    if deep:
        examinations.append(torch)
    checks = [check for examine in examinations for check in examine()]
    is_well = all(check.verdict != "wrong" for check in checks)
    if as_json:
        say_json({"ok": is_well, "checks": [check.model_dump(mode="json") for check in checks]})
    else:
        _say(checks)
    return ExitCode.FINE if is_well else ExitCode.FAILED


def _say(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        hint = f" -> {check.hint}" if check.hint else ""
        text = f"{MARKS[check.verdict]:5}  {check.name.ljust(width)}  {check.found}{hint}"
        say(text, style="" if check.verdict == "fine" else STYLES[check.verdict])
    wrong = [check.name for check in checks if check.verdict == "wrong"]
    say(f"Something is wrong with: {', '.join(wrong)}" if wrong else "Nothing is wrong.")


def python() -> Iterator[Check]:
    """Look at the interpreter and at sdl itself."""
    yield Check(name="sdl", verdict="fine", found=f"{metadata.version('sdl')} in {Path(__file__).parents[1]}")
    wanted = SpecifierSet(metadata.metadata("sdl")["Requires-Python"])
    found = platform.python_version()
    is_enough = wanted.contains(found, prereleases=True)
    yield Check(
        name="python",
        verdict="fine" if is_enough else "wrong",
        found=f"{found} at {sys.executable}",
        hint="" if is_enough else f"sdl needs Python {wanted}",
    )


def packages() -> Iterator[Check]:
    """Look at every package that sdl asks for."""
    for text in metadata.requires("sdl") or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package(requirement)


def package(requirement: Requirement) -> Check:
    """Compare the installed version of a package with what is asked for; nothing is imported."""
    way_out = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Check(name=requirement.name, verdict="wrong", found="is not installed", hint=way_out)
    if not requirement.specifier.contains(Version(found), prereleases=True):
        return Check(name=requirement.name, verdict="wrong", found=f"{found} is too old", hint=way_out)
    return Check(name=requirement.name, verdict="fine", found=found)


def sqlite() -> Iterator[Check]:
    """Look at the SQLite that Python brings along."""
    found = sqlite3.sqlite_version
    if any(fixed.contains(found) for fixed in WAL_BUG_FIXED):
        yield Check(name="SQLite", verdict="fine", found=found)
        return
    yield Check(
        name="SQLite",
        verdict="note",
        found=f"{found} can damage a database that two connections write to at once (the WAL-reset bug)",
        hint="sdl writes through one connection, under a lock; let no other program write to a store",
    )


def folder() -> Iterator[Check]:
    """Try whether a store can be kept in the current folder."""
    here = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(prefix=".sdl-doctor-", dir=here) as scratch:
            WriteLock(Path(scratch) / "lock").release()
    except (OSError, SdlError) as error:
        reason = error.message if isinstance(error, SdlError) else f"{error.strerror}"
        hint = "go to a folder on a local disk where you may write"
        yield Check(name="this folder", verdict="wrong", found=f"{here} cannot keep a store: {reason}", hint=hint)
        return
    free = shutil.disk_usage(here).free
    yield Check(
        name="this folder",
        verdict="note" if free < LITTLE_SPACE else "fine",
        found=f"{here} can be written and locked, {free / 1e9:.3g} GB are free",
        hint="make space before a long campaign" if free < LITTLE_SPACE else "",
    )


def stores() -> Iterator[Check]:
    """Look into the stores of the current folder."""
    for path in stores_in(Path()):
        holder = holder_of(path)
        try:
            with reading(path) as journal:
                found = f"campaign {', '.join(journal.campaigns) or '(none)'}, {words.count(journal.head[0], 'event')}"
        except SdlError as error:
            yield Check(name=str(path), verdict="wrong", found=error.message, hint=error.hint)
            continue
        writer = "" if holder is None else f", being written by process {holder.get('pid', '(unknown)')}"
        yield Check(name=str(path), verdict="fine", found=found + writer)


def terminal() -> Iterator[Check]:
    """Say how output is shown."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    kind = f"a terminal ({os.environ.get('TERM', 'unknown')})" if sys.stdout.isatty() else "no terminal: plain lines"
    colour = ", no colour (NO_COLOR)" if os.environ.get("NO_COLOR") else ""
    is_unicode = encoding.startswith("utf")
    yield Check(
        name="output",
        verdict="fine" if is_unicode else "note",
        found=f"{kind}{colour}, {sys.stdout.encoding}",
        hint="" if is_unicode else "some signs become question marks; set PYTHONUTF8=1",
    )


def torch() -> Iterator[Check]:
    """Import torch in a process of its own, as a planner's process does."""
    if find_spec("torch") is None:
        return  # the check of the packages has said so
    command = [sys.executable, "-c", "import torch; print(torch.__version__, torch.get_num_threads())"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=False)  # noqa: S603 # our own interpreter, no shell
    except subprocess.TimeoutExpired:
        yield Check(name="torch, loaded", verdict="wrong", found=f"did not load within {TORCH_SECONDS} s")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        hint = "install it again with the command in README.md"
        yield Check(name="torch, loaded", verdict="wrong", found=reason, hint=hint)
        return
    version, threads = done.stdout.split()
    yield Check(name="torch, loaded", verdict="fine", found=f"{version}, {words.count(int(threads), 'thread')}")
