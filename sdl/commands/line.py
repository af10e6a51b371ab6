"""The options of commands that a served laboratory answers as well as a store: its address, a token, a certificate."""

from __future__ import annotations

import functools
import inspect
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sdl.errors import AccessError, ProblemError

if TYPE_CHECKING:
    from sdl.server.client import Client

VARIABLE = "SDL_TOKEN"

LabAddress = Annotated[
    str | None,
    typer.Option("--lab", metavar="ADDRESS", help="At a served laboratory; STORE: a campaign.", show_default=False),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Your token; or in SDL_TOKEN.", show_default=False)
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", metavar="FILE", help="That the laboratory has.", show_default=False)
]


class Line(NamedTuple):
    """How a served laboratory is reached.

    Parameters
    ----------
    address
        Such as ``https://lab.example.org``.
    token_file
        Holds the token; None: it stands in the variable ``SDL_TOKEN``.
    certificate
        The file of a certificate that this machine does not know.
    """

    address: str
    token_file: Path | None = None
    certificate: Path | None = None

    def client(self) -> Client:
        """Return what asks the laboratory."""
        from sdl.server.client import Client

        verify = None if self.certificate is None else str(self.certificate)
        return Client(self.address, token_of(self.token_file), verify=verify)


def token_of(path: Path | None) -> str:
    """Return the token in a file that only its owner reads, or in the variable.

    Raises :class:`~sdl.errors.AccessError` where there is none, or where others can read it.
    """
    if path is None:
        token = os.environ.get(VARIABLE, "").strip()
        if not token:
            hint = f"--token-file FILE, or the variable {VARIABLE}; sdl users makes one"
            raise AccessError("the laboratory wants a token", hint=hint)
        return token
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise AccessError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return path.read_text(encoding="utf-8").strip()


def at_lab(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options of a served laboratory; its argument ``line`` is None where nobody names one."""
    own = inspect.signature(command, eval_str=True)
    more = {"lab": LabAddress, "token_file": TokenFile, "certificate": Certificate}

    @functools.wraps(command)
    def called(
        *given: Any,
        lab: str | None = None,
        token_file: Path | None = None,
        certificate: Path | None = None,
        **named: Any,
    ) -> None:
        if lab is None and (token_file or certificate) is not None:
            raise ProblemError("a token is for a served laboratory", hint="add --lab ADDRESS")
        command(*given, line=None if lab is None else Line(lab, token_file, certificate), **named)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in more.items()
    ]
    kept = [each for each in own.parameters.values() if each.name != "line"]
    called.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined] # what typer reads
    called.__annotations__ = {each.name: each.annotation for each in (*kept, *added)}
    del called.__wrapped__  # typer would read its annotations instead
    return called
