"""``sdl run``: a campaign from a script or from a campaign file."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import traceback
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.commands.border import CampaignInterrupted, CampaignStopped, ScriptError
from sdl.commands.facts import winner_lines
from sdl.commands.output import say
from sdl.errors import CampaignError, ProblemError, SdlError

if TYPE_CHECKING:
    from sdl.lab import Lab

FILE_SUFFIXES = {".yaml", ".yml"}


def run(file: Path, arguments: Sequence[str], trials: int | None, documents: str | None = None) -> None:
    """Run the script or the campaign file."""
    if not file.exists():
        raise ProblemError(f"there is no file {file}", hint="name a Python script or a campaign file (.yaml)")
    if file.is_dir():
        raise ProblemError(f"{file} is a folder", hint="name a script or a campaign file in it")
    if file.suffix in FILE_SUFFIXES:
        run_campaign_file(file, arguments, trials, documents)
    elif file.suffix == ".py":
        run_script(file, arguments, trials, documents)
    else:
        raise ProblemError(f"{file} is neither a script (.py) nor a campaign file (.yaml)")


def run_script(script: Path, arguments: Sequence[str], trials: int | None, documents: str | None = None) -> None:
    """Run *script* as Python itself would, in this process."""
    if documents is not None:
        raise ProblemError(
            "--documents is for campaign files; a script says by itself who looks on",
            hint=f'lab.subscribe(DocumentStream("{documents}")), of sdl.lab.stream',
        )
    if trials is not None:
        raise ProblemError(
            "--trials is for campaign files; a script says how many trials it wants by itself",
            hint=f"change its campaign.run(trials=...), or hand it arguments: sdl run {script} -- ...",
        )
    with importing_from(script.parent), _arguments([str(script), *arguments]):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SdlError:
            raise
        except Exception as error:
            raise ScriptError(_where_in(script, error), hint="--debug shows the whole traceback") from error


def run_campaign_file(file: Path, arguments: Sequence[str], trials: int | None, documents: str | None = None) -> None:
    """Run the campaign that *file* describes, and say what came out."""
    from sdl.campaign.file import load_campaign_file

    if arguments:
        raise ProblemError(f"a campaign file takes no arguments, got {' '.join(arguments)}")
    described = load_campaign_file(file)
    folder = file.resolve().parent
    with importing_from(folder):
        with _naming(file):
            campaign = described.make(folder)
        with _published(campaign.lab, documents), campaign.lab:
            ended = campaign.run(trials)
    for line in winner_lines(campaign.view) or ["no result yet"]:
        say(line)
    conclude(campaign.name, ended.status, ended.reason)


@contextlib.contextmanager
def _published(lab: Lab, address: str | None) -> Generator[None]:
    """Publish the documents of *lab* at *address*, where there is one."""
    if address is None:
        yield
        return
    from sdl.lab.stream import DocumentStream

    with DocumentStream(address) as stream:
        lab.subscribe(stream)
        say(f"documents at {stream.address}, in msgpack")
        yield


def conclude(name: str, status: str, reason: str) -> None:
    """Raise for a session that somebody interrupted, or that trouble ended."""
    if status in {"stopped", "aborted"} and reason.startswith("interrupted"):
        raise CampaignInterrupted(f"campaign {name} was interrupted", hint="run it again, and it goes on")
    if status != "finished":
        raise CampaignStopped(f"campaign {name} {status}: {reason}", hint="sdl status says more")


@contextlib.contextmanager
def importing_from(folder: Path) -> Generator[None]:
    """Let modules be imported from *folder*, here and in the process of a planner."""
    place, before = str(folder.resolve()), os.environ.get("PYTHONPATH")
    sys.path.insert(0, place)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (place, before)))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # whoever ran may have taken it out
            sys.path.remove(place)
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _arguments(words: list[str]) -> Generator[None]:
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _naming(file: Path) -> Generator[None]:
    """Put the file's name in front of what is wrong with its content."""
    try:
        yield
    except (ProblemError, CampaignError) as error:
        if str(file) in error.message:
            raise
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from error


def _where_in(script: Path, error: Exception) -> str:
    """Say what *error* is, and on which line of *script* it came up."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or script}, line {error.lineno}: SyntaxError: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(script)]
    place = f"{script}, line {lines[-1]}" if lines else str(script)
    return f"{place}: {type(error).__name__}: {error}"
