"""The commands for stations in processes of their own: their names, arguments and help, as in ``app.py``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RoleChoice(StrEnum):
    """What a key may do at a station."""

    READ = "read"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


class ClockChoice(StrEnum):
    """The clocks that a station in a process of its own may have."""

    WALL = "wall"


def station(
    lab: Annotated[str, typer.Argument(metavar="LAB", help="module:Class, a short name, or a file (.yaml).")],
    *,
    station: Annotated[str, typer.Option("--station", metavar="NAME", help="Which of its stations.")],
    folder: Annotated[
        Path, typer.Option("--folder", metavar="PATH", help="Where its sockets and its book are.")
    ] = Path("stations"),
    options: Annotated[str, typer.Option("--options", metavar="JSON", help="Arguments of the laboratory.")] = "{}",
    clock: Annotated[
        ClockChoice | None, typer.Option("--clock", help="A clock of another kind.", show_default=False)
    ] = None,
    interlocks: Annotated[
        str, typer.Option("--interlocks", metavar="JSON", help="Interlocks beside its own, as in a campaign file.")
    ] = "[]",
    ends_with_engine: Annotated[
        bool, typer.Option("--ends-with-engine", help="End when the engine is gone, once the devices are safe.")
    ] = False,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Let another store have the station; needs --by and --because.")
    ] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = "",
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)] = "",
    listen: Annotated[
        str,
        typer.Option("--listen", metavar="ADDRESS", help="tcp://HOST:PORT, for other hosts.", show_default=False),
    ] = "",
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="PATH", help="Its keys, and who may come; see sdl keys.", show_default=False),
    ] = None,
    as_ioc: Annotated[
        str,
        typer.Option("--as-ioc", metavar="PREFIX:", help="Publish its signals as EPICS PVs.", show_default=False),
    ] = "",
) -> None:
    """Host one station of a laboratory in this process.

    Ctrl-C ends it: devices are stopped, and disconnected.
    """
    from sdl.commands.station import Named, Network, Transfer, station_process

    station_process(
        Named(lab, options, None if clock is None else "wall", interlocks),
        station,
        folder,
        Transfer(by, because) if transfer else None,
        network=Network(listen, keys, as_ioc),
        is_child=ends_with_engine,
    )


def keys(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[make NAME | allow NAME KEY | revoke NAME]", help="Without it: list them.", show_default=False
        ),
    ] = None,
    *,
    role: Annotated[
        list[RoleChoice] | None,
        typer.Option("--role", help="What an allowed key may do; again for another one.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", metavar="PATH", help="Where keys are.")] = Path("keys"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Make and list the keys of stations and engines on a network.

    KEY is a public key, or a file NAME.public. A station lets in the keys that are allowed in its folder.
    """
    from sdl.commands.keys import keys

    keys(words or (), folder, [choice.value for choice in role or ()], as_json=as_json)


def panel(
    station: Annotated[str, typer.Argument(metavar="STATION", help="Its name.", show_default=False)],
    *,
    take: Annotated[bool, typer.Option("--take", help="Take it by hand: its engine loses it.")] = False,
    give_back: Annotated[bool, typer.Option("--give-back", help="Give it back. It stays latched.")] = False,
    transfer: Annotated[bool, typer.Option("--transfer", help="Let another store have it.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.", show_default=False)] = "",
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.", show_default=False)] = "",
    folder: Annotated[Path, typer.Option("--folder", metavar="PATH", help="Its folder, on this computer.")] = Path(
        "stations"
    ),
    at: Annotated[
        str, typer.Option("--at", metavar="ADDRESS", help="tcp://HOST:PORT, on another one.", show_default=False)
    ] = "",
    keys: Annotated[Path, typer.Option("--keys", metavar="PATH", help="Your keys; for --at.")] = Path("keys"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say how a station stands; take it by hand, and give it back.

    Who does that and why is kept in the station's book.
    """
    from sdl.commands.panel import Order, Place, panel

    order = Order.of(by, because, take=take, give_back=give_back, transfer=transfer)
    panel(station, order, Place(folder, at, keys), as_json=as_json)
