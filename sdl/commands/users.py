"""``sdl users``: who may do what on a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdl.commands.output import say, say_table
from sdl.server.identities import Identity, Role, UsersFile, digest_of, new_token


def add(
    folder: Path, name: str, roles: Sequence[str], groups: Sequence[str], *, autonomy: int | None, is_agent: bool
) -> None:
    """Make an identity, and show its token."""
    may_approve = {"approve", "admin"} & set(roles)
    token = new_token()
    made = Identity(
        name=name,
        roles=tuple(map(Role, dict.fromkeys(roles))),
        kind="agent" if is_agent else "person",
        groups=tuple(groups),
        autonomy=autonomy if autonomy is not None else 4 if may_approve else 2,
        token=digest_of(token),
    )
    UsersFile(folder).add(made)
    say(f"{name}: {', '.join(made.roles)}")
    _show_token(token)


def _show_token(token: str) -> None:
    say(token)
    say("This is shown once. Whoever has it acts in that name.")


def show(folder: Path) -> None:
    """Print who may do what."""
    known = UsersFile(folder).read().identities
    if not known:
        say(f"nobody is known in {folder}: sdl users add NAME --role admin")
        return
    rows = [[each.name, each.kind, ", ".join(each.roles), ", ".join(each.groups), str(each.autonomy)] for each in known]
    say_table(["name", "kind", "roles", "groups", "autonomy"], rows)


def renew(folder: Path, name: str) -> None:
    """Give an identity a new token, and show it."""
    _show_token(UsersFile(folder).renew(name))


def remove(folder: Path, name: str) -> None:
    """Take an identity away."""
    UsersFile(folder).remove(name)
    say(f"{name} is nobody here any more")
