"""``sdl keys``: the keys of stations and engines on a network, and who is allowed what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from sdl.commands.output import say, say_json, say_table
from sdl.errors import LabError
from sdl.lab.remote.access import AllowList, Client, Role
from sdl.lab.remote.keys import ENGINE, PUBLIC, SECRET, as_key, check_name, known_keys, make_keys, read_key


def keys(words: Sequence[str], folder: Path, roles: Sequence[str], *, as_json: bool) -> None:
    """Do what *words* say, or list what is in *folder*."""
    if not words:
        _list(folder, as_json=as_json)
        return
    action, *rest = words
    if action not in ACTIONS:
        raise LabError(f"sdl keys does not know {action!r}", hint=f"it knows {', '.join(ACTIONS)}")
    ACTIONS[action](folder, rest, roles)


def _make(folder: Path, words: Sequence[str], roles: Sequence[str]) -> None:
    if len(words) != 1 or roles:
        raise LabError("sdl keys make takes a name, and no role", hint=f"sdl keys make {ENGINE}")
    made = make_keys(folder, words[0])
    say(f"{folder / made.name}{SECRET}: stays here. Nobody else may read it.")
    say(f"{folder / made.name}{PUBLIC}: copy it to the other computer.")


def _allow(folder: Path, words: Sequence[str], roles: Sequence[str]) -> None:
    if len(words) != 2 or not roles:
        raise LabError(
            "sdl keys allow takes a name, a public key and at least one --role",
            hint=f"sdl keys allow {ENGINE} {ENGINE}{PUBLIC} --role operate",
        )
    name, text = words
    check_name(name)
    if " " in name:
        raise LabError(f"{name!r} cannot be the name of a client", hint="one word")
    key = read_key(Path(text)) if text.endswith(PUBLIC) else as_key(text.encode(), "what was given")
    allowed = AllowList(folder)
    others = [client for client in allowed.clients() if client.name != name]
    double = [client.name for client in others if client.key == key]
    if double:
        raise LabError(f"{double[0]} has this key already", hint=f"sdl keys allow {double[0]} ... changes their roles")
    allowed.write([*others, Client(name, frozenset(map(Role, roles)), key)])
    say(f"{name} may {', '.join(roles)}")


def _revoke(folder: Path, words: Sequence[str], roles: Sequence[str]) -> None:
    if len(words) != 1 or roles:
        raise LabError("sdl keys revoke takes a name, and no role")
    allowed = AllowList(folder)
    before = allowed.clients()
    after = [client for client in before if client.name != words[0]]
    if len(after) == len(before):
        raise LabError(f"{allowed.path} has no {words[0]!r}", hint="sdl keys lists who is allowed")
    allowed.write(after)
    say(f"{words[0]} is not let in any more")


def _list(folder: Path, *, as_json: bool) -> None:
    known = tuple(known_keys(folder)) if folder.is_dir() else ()
    clients = AllowList(folder).clients()
    if as_json:
        say_json({"keys": [_key_json(*each) for each in known], "allowed": [_client_json(each) for each in clients]})
        return
    if not known and not clients:
        say(f"no keys in {folder}. sdl keys make NAME makes some")
    if known:
        say_table(
            ("key", "public half", "secret"),
            ([name, key.decode(), "here" if is_own else "elsewhere"] for name, key, is_own in known),
        )
    if clients:
        say_table(
            ("allowed", "public half", "roles"),
            ([client.name, client.key.decode(), ", ".join(sorted(client.roles))] for client in clients),
        )


def _key_json(name: str, key: bytes, is_own: bool) -> JsonValue:
    return {"name": name, "public": key.decode(), "is_own": is_own}


def _client_json(client: Client) -> JsonValue:
    return {"name": client.name, "roles": [role.value for role in sorted(client.roles)], "public": client.key.decode()}


Action = Callable[[Path, Sequence[str], Sequence[str]], None]
ACTIONS: Mapping[str, Action] = {"make": _make, "allow": _allow, "revoke": _revoke}
