"""Who may say what to a station: an allow-list of public keys with their roles, and the role that each message needs.

What is not allowed is refused. A key that is not on the list does not even get a connection: libzmq asks a
:class:`Doorkeeper` (ZAP, ZeroMQ RFC 27). What comes over a connection carries the key that it was made with, and each
message is checked against the list as it is then; so whoever is taken off it is out at once.

Over a socket file no key is asked for: it is in a folder that its owner alone can use, and the owner has every role.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator

from sdl.errors import LabError
from sdl.lab.remote.keys import KeyPair, as_key, check_folder, key_pair
from sdl.lab.remote.messages import (
    Abort,
    Ack,
    Ask,
    Beat,
    Bye,
    Give,
    Hello,
    Hold,
    Look,
    Probe,
    Rearm,
    Run,
    Take,
    Transfer,
)
from sdl.problem.value import Value

DOMAIN = b"sdl"
"""What libzmq calls these sockets when it asks. pyzmq looks it up letter by letter: a ``*`` would not cover it."""

ALLOWED = "allowed"
"""The allow-list, in the folder of the keys."""

_QUIET = logging.getLogger("sdl.lab.remote.zap")


class Role(StrEnum):
    """What a key may do. A key has as many as it was given; none includes another."""

    READ = "read"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


NEEDED: Mapping[type[Value], Role] = MappingProxyType(
    {
        Look: Role.READ,
        Hello: Role.OPERATE,
        Run: Role.OPERATE,
        Ack: Role.OPERATE,
        Ask: Role.OPERATE,
        Probe: Role.OPERATE,
        Bye: Role.OPERATE,
        Hold: Role.OPERATE,
        Beat: Role.OPERATE,
        Abort: Role.OPERATE,
        Rearm: Role.APPROVE,
        Take: Role.ADMIN,
        Give: Role.ADMIN,
        Transfer: Role.ADMIN,
    }
)
"""The role that a message to a station needs. What is not here is refused, whoever sends it."""

EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True)
class Client:
    """Somebody on the allow-list."""

    name: str
    roles: frozenset[Role]
    key: bytes


class AllowList:
    """The file ``allowed`` in *folder*: one line for each client, ``NAME ROLE,ROLE KEY``.

    It is read again when it has changed. A list that cannot be read allows nobody.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ALLOWED
        self._stamp: tuple[int, int, int] | None = None
        self._clients: Mapping[bytes, Client] = {}

    def clients(self) -> tuple[Client, ...]:
        """Return who is on it. Raises :class:`~sdl.errors.LabError` where it cannot be read."""
        if not self.path.exists():
            return ()
        check_folder(self.path.parent)
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found = tuple(self._client(number, line) for number, line in enumerate(lines, 1) if _says_something(line))
        if len({client.key for client in found}) < len(found):
            raise LabError(f"{self.path} names a key twice", hint="one line a key")
        return found

    def _client(self, number: int, line: str) -> Client:
        name, _, rest = line.strip().partition(" ")
        roles, _, key = rest.strip().partition(" ")
        where = f"{self.path}, line {number},"
        try:
            found = frozenset(Role(role) for role in roles.split(","))
        except ValueError:
            raise LabError(f"{where} has no role {roles!r}", hint=f"the roles are {', '.join(Role)}") from None
        return Client(name, found, as_key(key.strip().encode(), where))

    def find(self, key: bytes) -> Client | None:
        """Return who has the public *key*, as the list was read last; None where nobody has. Waits for no disk."""
        return self._clients.get(key)

    def refresh(self) -> None:
        """Read it again, where it has changed. One that cannot be read is empty."""
        try:
            self._refresh()
        except (OSError, LabError, UnicodeDecodeError) as error:
            if self._clients:
                _QUIET.warning("nobody is let in any more: %s", error)
            self._stamp, self._clients = None, {}

    def _refresh(self) -> None:
        found = self.path.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._clients = {client.key: client for client in self.clients()}
            self._stamp = stamp

    def write(self, clients: Iterable[Client]) -> None:
        """Put *clients* in the place of what it has, all or nothing."""
        lines = [f"{client.name} {','.join(sorted(client.roles))} {client.key.decode()}\n" for client in clients]
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(self.path.parent)
        new = self.path.with_name(f".{ALLOWED}.new")
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(number, "".join(lines).encode())
            os.fsync(number)
        finally:
            os.close(number)
        new.replace(self.path)


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


@dataclass(frozen=True)
class ServerKeys:
    """What a station needs to serve on a network: its own keys, and who may come."""

    own: KeyPair
    allowed: AllowList

    @classmethod
    def of(cls, folder: Path, station: str) -> ServerKeys:
        """Return the keys of *station* in *folder*, and the allow-list there.

        Raises
        ------
        LabError
            There are no keys of that name, or the list cannot be read or is empty.
        """
        own, allowed = key_pair(folder, station), AllowList(folder)
        if not allowed.clients():
            raise LabError(
                f"{allowed.path} allows nobody", hint="sdl keys allow NAME FILE.public --role operate, for the engine"
            )
        return cls(own, allowed)


class Doorkeeper:
    """Tells libzmq who may connect, on a thread of its own. There is one for each 0MQ context, and no more can be."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: AllowList) -> None:
        self._allowed = allowed
        made: Any = ThreadAuthenticator(context, log=_QUIET)
        made.start()
        made.configure_curve_callback(DOMAIN.decode(), self)
        self._thread = made

    def callback(self, _domain: str, key: bytes) -> bool:
        """Tell whether *key* may connect."""
        self._allowed.refresh()
        return self._allowed.find(key) is not None

    def close(self) -> None:
        """End the thread."""
        self._thread.stop()


def key_of(frame: zmq.Frame) -> bytes:
    """Return the public key of the connection that a frame came over; empty where it had none."""
    try:
        found: Any = frame.get("User-Id")
    except zmq.ZMQError:
        return b""
    return str(found).encode()


def lacking(message: Value, roles: frozenset[Role]) -> str:
    """Say which role is missing for *message*; empty where none is."""
    needed = NEEDED.get(type(message))
    if needed is None:
        return f"a station takes no {getattr(message, 'kind', 'such message')}"
    return "" if needed in roles else f"a {getattr(message, 'kind', '')} message needs the role {needed}"
