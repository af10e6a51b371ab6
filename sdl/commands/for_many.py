"""The commands for a laboratory that many use: their names, arguments and help, as in ``app.py``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sdl.commands.line import Line
from sdl.errors import ProblemError

Folder = Annotated[Path, typer.Option("--folder", metavar="PATH", help="Where its journal and its users are.")]

HERE = Path("server")


class RoleChoice(StrEnum):
    """What somebody may do."""

    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


def serve(
    lab: Annotated[
        str, typer.Argument(metavar="LAB", help="module:Class, a short name, or a laboratory file.", show_default=False)
    ],
    *,
    folder: Folder = HERE,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any free one.")] = 8400,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name that people reach it by.", show_default=False),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="For HTTPS.", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="For HTTPS.", show_default=False)] = None,
    plain: Annotated[bool, typer.Option("--plain", help="A proxy in front of it speaks HTTPS.")] = False,
) -> None:
    """Run a laboratory for many people and campaigns.

    Only this machine reaches it, unless --host says otherwise. Run it again: the campaigns go on.
    """
    from sdl.commands.serve import Where, serve

    serve(lab, folder, Where(host, port, tuple(name or ()), certificate, key, is_plain=plain))


users = typer.Typer(no_args_is_help=True, help="Say who may do what on a server.")

UserName = Annotated[str, typer.Argument(metavar="NAME", help="Who.", show_default=False)]


@users.command("add")
def add_user(
    name: UserName,
    *,
    role: Annotated[list[RoleChoice], typer.Option("--role", help="What they may do.", show_default=False)],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="Whose campaigns they see.", show_default=False),
    ] = None,
    agent: Annotated[bool, typer.Option("--agent", help="A program, which may read and submit only.")] = False,
    autonomy: Annotated[
        int | None,
        typer.Option("--autonomy", min=0, max=4, metavar="N", help="Of their campaigns, at most.", show_default=False),
    ] = None,
    folder: Folder = HERE,
) -> None:
    """Make an identity, and show its token once."""
    from sdl.commands.users import add

    add(folder, name, [each.value for each in role], tuple(group or ()), autonomy=autonomy, is_agent=agent)


@users.command("list")
def list_users(folder: Folder = HERE) -> None:
    """Say who may do what."""
    from sdl.commands.users import show

    show(folder)


@users.command("token")
def renew_token(name: UserName, folder: Folder = HERE) -> None:
    """Make a new token; the old one opens nothing more."""
    from sdl.commands.users import renew

    renew(folder, name)


@users.command("remove")
def remove_user(name: UserName, folder: Folder = HERE) -> None:
    """Take an identity away; its token opens nothing more."""
    from sdl.commands.users import remove

    remove(folder, name)


class OrderChoice(StrEnum):
    """What may be ordered of a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ABORT = "abort"
    CANCEL = "cancel"


def order(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Which.", show_default=False)],
    word: Annotated[OrderChoice, typer.Argument(metavar="ORDER", help="What is to become of it.", show_default=False)],
    *,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)] = "",
    line: Line | None = None,
) -> None:
    """Start, pause, resume, stop, abort or cancel a campaign.

    At a served laboratory: a campaign that runs here is stopped with Ctrl-C. Stop lets running trials end, abort does
    not, and cancel gives a campaign up for good.
    """
    from sdl.commands import asking

    asking.order(_needed(line), campaign, word.value, because)


def stop(
    *,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)],
    station: Annotated[
        str | None, typer.Option("--station", metavar="NAME", help="Only what runs there.", show_default=False)
    ] = None,
    line: Line | None = None,
) -> None:
    """Stop a served laboratory at once.

    Every device, and every campaign. No safety function: emergency stops are wired.
    """
    from sdl.commands import asking

    asking.stop(_needed(line), station, because)


def _needed(line: Line | None) -> Line:
    if line is None:
        raise ProblemError("this is for a served laboratory", hint="add --lab ADDRESS; Ctrl-C stops what runs here")
    return line


def approve(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STORE] [TRIAL]", help="Which. Without --by: list them.", show_default=False),
    ] = None,
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = None,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)] = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse, with a reason.")] = False,
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", metavar="NAME", help="Which, where a store holds several.", show_default=False),
    ] = None,
    line: Line | None = None,
) -> None:
    """Approve trials that wait for it, or refuse them.

    A request is named by the first of its trials. Works while no campaign runs on the store. With --lab the token says
    who, and a trial is all that it takes.
    """
    if line is not None:
        from sdl.commands import asking

        asking.approve(line, words or (), by=by, because=because, is_refused=refuse, campaign=campaign)
        return
    from sdl.commands.approve import approve

    approve(words or (), by=by, because=because, is_refused=refuse, campaign=campaign)
