"""Who may do what: identities, their roles and their tokens, in a file that only its owner can read.

A token is 256 random bits. It is shown once, when it is made; the file keeps its SHA-256. A slow hash would add
nothing: nobody tries 2**256 tokens, and there is no dictionary of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sdl.errors import ProblemError
from sdl.lab.latches import NOBODY
from sdl.problem.value import Tuple, Value, listing

PREFIX = "sdl_"
"""What every token begins with, so that those who look for leaked secrets find it."""

TOKEN_BYTES = 32

USERS = "users.json"


class Role(StrEnum):
    """What an identity may do; each of the others includes to read."""

    READ = "read"  # look at what one may see
    SUBMIT = "submit"  # hand in campaigns, and order about one's own
    OPERATE = "operate"  # order about every campaign, answer for acts, stock and latches
    APPROVE = "approve"  # approve trials, widen autonomy, judge results
    ADMIN = "admin"  # all of it, and say who may do what


class Identity(Value):
    """A person or an agent.

    Parameters
    ----------
    name
        What the journal calls them.
    roles
        What they may do.
    kind
        ``agent`` for a program: it may read and submit, and nothing else.
    groups
        Whose campaigns they see beside their own.
    autonomy
        The highest level of autonomy that their campaigns get when they hand them in.
    token
        SHA-256 of the token, in hexadecimal.
    """

    name: Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]
    roles: Tuple[Role]
    kind: Literal["person", "agent"] = "person"
    groups: Tuple[Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]] = ()
    autonomy: Annotated[int, Field(ge=0, le=4)] = 2
    token: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.name.lower() in NOBODY:
            raise ProblemError(f"{self.name!r} is the name of a part of the engine", hint="choose another one")
        if not self.roles:
            raise ProblemError(f"{self.name} has no role", hint=f"one or more of {listing(Role)}")
        if self.kind == "agent" and not set(self.roles) <= {Role.READ, Role.SUBMIT}:
            raise ProblemError(
                f"{self.name} is an agent, and cannot have the roles {listing(self.roles)}",
                hint="an agent may read and submit; people operate and approve",
            )
        return self

    def may(self, roles: Iterable[Role]) -> bool:
        """Whether one of *roles* is enough, and theirs. ``admin`` has all of them, and everybody may read."""
        wanted, own = set(roles), set(self.roles)
        return bool(own & (wanted | {Role.ADMIN})) or Role.READ in wanted

    @property
    def sees_everything(self) -> bool:
        """Whether they answer for the laboratory, and so see every campaign of it."""
        return bool({Role.OPERATE, Role.APPROVE, Role.ADMIN} & set(self.roles))


class Users(Value):
    """All identities of a server."""

    identities: Tuple[Identity] = ()

    def named(self, name: str) -> Identity:
        """Return the identity of that name. Raises :class:`~sdl.errors.ProblemError` where there is none."""
        found = [each for each in self.identities if each.name == name]
        if not found:
            known = listing(each.name for each in self.identities)
            raise ProblemError(f"there is no user {name!r}", hint=f"there is {known or 'none'}")
        return found[0]

    def holding(self, token: str) -> Identity | None:
        """Return whose *token* it is. Takes as long whoever it is, and whether it is anybody's or not."""
        digest = digest_of(token)
        found: Identity | None = None
        for each in self.identities:
            if hmac.compare_digest(each.token, digest):
                found = each
        return found


def new_token() -> str:
    """Return a new token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


class UsersFile:
    """The identities in the folder of a server. Other processes may change them; each look sees the last ones.

    Parameters
    ----------
    folder
        Where the file is. It is made when the first identity is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / USERS
        self._seen: tuple[int, int, int] | None = None
        self._users = Users()

    def read(self) -> Users:
        """Return the identities as they are now."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return Users()
        seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        if seen != self._seen:
            if state.st_mode & 0o077:
                raise ProblemError(f"{self.path} can be read by others", hint=f"chmod 600 {self.path}")
            self._users, self._seen = Users.from_json(self.path.read_bytes()), seen
        return self._users

    def add(self, identity: Identity) -> None:
        """Add *identity*. Raises :class:`~sdl.errors.ProblemError` where the name is taken."""

        def added(users: Users) -> Users:
            if identity.name in {each.name for each in users.identities}:
                raise ProblemError(
                    f"there is a user {identity.name!r} already", hint="remove it first, or take another name"
                )
            return Users(identities=(*users.identities, identity))

        self._change(added)

    def remove(self, name: str) -> None:
        """Remove the identity *name*: its token opens nothing from now on."""

        def removed(users: Users) -> Users:
            users.named(name)
            return Users(identities=tuple(each for each in users.identities if each.name != name))

        self._change(removed)

    def renew(self, name: str) -> str:
        """Give the identity *name* a new token, and return it; the old one opens nothing from now on."""
        token = new_token()

        def renewed(users: Users) -> Users:
            changed = users.named(name).replace(token=digest_of(token))
            return Users(identities=tuple(changed if each.name == name else each for each in users.identities))

        self._change(renewed)
        return token

    def _change(self, change: Callable[[Users], Users]) -> None:
        with self._locked():
            self._write(change(self.read()).to_json().encode())

    @contextmanager
    def _locked(self) -> Generator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _write(self, data: bytes) -> None:
        """Write a whole file beside the old one, and put it in its place."""
        scratch = self.path.with_name(f".{USERS}.{os.getpid()}.part")
        number = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.path)
