"""CURVE keys in a folder: who a station and an engine are to each other on a network.

``NAME.secret`` is the half that stays; nobody but its owner may read it. ``NAME.public`` is the half to give away. Each
is one line of 40 signs (Z85, ZeroMQ RFC 32). A secret is never printed, and is no argument of any command.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import zmq
from zmq.utils import z85

from sdl.errors import LabError

FOLDER = "keys"
"""Where keys are, in the present folder."""

ENGINE = "engine"
"""The name of an engine's own keys in its folder."""

SECRET, PUBLIC = ".secret", ".public"
_N_SIGNS, _N_BYTES = 40, 32
_NAME = re.compile(r"[\w][\w .-]{0,63}")
_z85: Any = z85


@dataclass(frozen=True)
class KeyPair:
    """Both halves of somebody's keys."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class ClientKeys:
    """What an engine needs for a station: its own keys, and the key that the station must have."""

    own: KeyPair
    server: bytes

    @classmethod
    def of(cls, folder: Path, station: str) -> ClientKeys:
        """Return the engine's keys in *folder* with the public key of *station*, which is there too."""
        return cls(key_pair(folder, ENGINE), public_key(folder, station))


def check_name(name: str) -> str:
    """Return *name*. Raises :class:`~sdl.errors.LabError` where it cannot be that of a key, which is a file's."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} cannot be the name of a key", hint="letters, digits, spaces, dots, - and _")
    return name


def make_keys(folder: Path, name: str) -> KeyPair:
    """Make keys called *name* in *folder*. Raises :class:`~sdl.errors.LabError` where there are some."""
    check_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder)
    public, secret = zmq.curve_keypair()
    for path in (folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"):
        if path.exists():
            raise LabError(f"{path} is there already", hint="delete both files of that name where you want new ones")
    _write(folder / f"{name}{SECRET}", secret, 0o600)
    _write(folder / f"{name}{PUBLIC}", public, 0o644)
    return KeyPair(name, public, secret)


def key_pair(folder: Path, name: str) -> KeyPair:
    """Return the keys called *name*.

    Raises
    ------
    LabError
        There are none in *folder*, or others than the owner can read the secret.
    """
    path = folder / f"{check_name(name)}{SECRET}"
    if not path.exists():
        raise LabError(f"there is no {path}", hint=f'sdl keys make "{name}" --folder {folder}')
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise LabError(f"others can read the secret {path}", hint=f"make new keys; and chmod 600 {path}")
    secret = read_key(path)
    return KeyPair(name, zmq.curve_public(secret), secret)


def public_key(folder: Path, name: str) -> bytes:
    """Return the public key called *name*. Raises :class:`~sdl.errors.LabError` where *folder* has none."""
    path = folder / f"{check_name(name)}{PUBLIC}"
    if not path.exists():
        raise LabError(f"there is no {path}", hint="copy it from the computer where sdl keys made it")
    check_folder(folder)
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Return the key in *path*. Raises :class:`~sdl.errors.LabError` where it is none, without its text."""
    return as_key(path.read_bytes().strip(), str(path))


def as_key(text: bytes, where: str) -> bytes:
    """Return *text*. Raises :class:`~sdl.errors.LabError` where it is no key."""
    try:
        is_key = len(text) == _N_SIGNS and len(cast("bytes", _z85.decode(text))) == _N_BYTES
    except (ValueError, KeyError, OverflowError, TypeError):
        is_key = False
    if not is_key:
        raise LabError(f"{where} has no key", hint=f"one line of {_N_SIGNS} signs, as sdl keys make writes it")
    return text


def known_keys(folder: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Yield each key of *folder*: its name, its public half, and whether the secret is here."""
    paths = [path for path in folder.glob("*") if path.suffix in {SECRET, PUBLIC}]
    for name in sorted({path.stem for path in paths}):
        is_own = (folder / f"{name}{SECRET}").exists()
        yield name, key_pair(folder, name).public if is_own else read_key(folder / f"{name}{PUBLIC}"), is_own


def check_folder(folder: Path) -> None:
    """Raise :class:`~sdl.errors.LabError` where others can write in *folder*: they could put their keys there."""
    found = folder.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise LabError(f"{folder} can be written by others", hint=f"chmod 700 {folder}: who writes there is let in")


def _write(path: Path, key: bytes, mode: int) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(number, mode)
        os.write(number, key + b"\n")
        os.fsync(number)
    finally:
        os.close(number)
