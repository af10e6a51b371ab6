"""The border between sdl and the shell: exit codes, one line for every error, no traceback unless one is asked for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any

import typer
from typer.core import TyperGroup

from sdl.commands.output import complain
from sdl.errors import CampaignError, JournalCorrupt, JournalLocked, LabError, PlannerError, SdlError

DEBUG_OPTION = "--debug"
DEBUG_VARIABLE = "SDL_DEBUG"


class ExitCode(IntEnum):
    """What the shell is told."""

    FINE = 0
    FAILED = 1  # something was found wrong, or a campaign was ended by an error
    USAGE = 2  # what was asked for cannot be done: unknown option, missing file, bad input
    LOCKED = 3  # another process writes to the store
    INTERRUPTED = 130  # Ctrl-C


class CampaignStopped(CampaignError):
    """A campaign ended before its time: too many failures, or no planner that answers."""


class CampaignInterrupted(CampaignError):
    """A person stopped a campaign with Ctrl-C, and it ended in order."""


class ScriptError(SdlError, RuntimeError):
    """A user's script raised."""


class FrontDoor(TyperGroup):
    """The group of all commands. Whatever a command raises ends here, as one line on standard error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 # typer's signature; this door always stands alone
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that *args* name and exit with its code."""
        words, is_debugging = without_debug(sys.argv[1:] if args is None else args)

        def run() -> object:
            code = super(FrontDoor, self).main(
                words, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra
            )
            sys.stdout.flush()  # a broken pipe shows here, and not when the interpreter ends
            return code

        sys.exit(guarded(run, is_debugging=is_debugging))


def without_debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of *words*, wherever it stands before a ``--``; say whether tracebacks are wanted."""
    end = words.index("--") if "--" in words else len(words)
    left = [word for word in words[:end] if word != DEBUG_OPTION]
    is_debugging = len(left) < end or os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}
    return [*left, *words[end:]], is_debugging


def guarded(run: Callable[[], object], *, is_debugging: bool) -> int:
    """Call *run* and return the exit code: its own where it returns one."""
    try:
        code = run()
    except typer.Abort:
        return _interrupted()
    except BrokenPipeError:
        _drop_output()
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001 # the border: a person at the shell is told in one line
        if is_debugging:
            traceback.print_exception(error)
        complain(*explained(error))
        return exit_code_of(error)
    if code == ExitCode.INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else ExitCode.FINE


_CODES: Sequence[tuple[type[BaseException], ExitCode]] = (
    (CampaignInterrupted, ExitCode.INTERRUPTED),
    (JournalLocked, ExitCode.LOCKED),
    (JournalCorrupt, ExitCode.FAILED),
    (CampaignStopped, ExitCode.FAILED),
    (ScriptError, ExitCode.FAILED),
    (LabError, ExitCode.FAILED),
    (PlannerError, ExitCode.FAILED),
    (SdlError, ExitCode.USAGE),
    (OSError, ExitCode.USAGE),
)


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for *error*."""
    if isinstance(error, typer.TyperException):
        return error.exit_code
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def explained(error: BaseException) -> tuple[str, str]:
    """Return what happened and the way out."""
    match error:
        case SdlError(message=message, hint=hint):
            return message, hint
        case typer.TyperException():
            return error.format_message().rstrip("."), _usage_hint(error)
        case OSError(strerror=str(reason), filename=filename) if filename is not None:
            return f"{os.fsdecode(filename)}: {reason}", "check the path and your rights to it"
        case ModuleNotFoundError():
            return str(error), "sdl doctor says what is missing"
        case _:
            where = _place(error.__traceback__)
            return f"{type(error).__name__}: {error}{where}", f"{DEBUG_OPTION} shows the whole traceback"


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _interrupted() -> int:
    complain("interrupted", "")
    return ExitCode.INTERRUPTED


def _drop_output() -> None:
    """Send what is still in the buffers nowhere, so that the interpreter has nothing to complain of at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
