"""``sdl station``: a station in a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import typer

from sdl.errors import LabError
from sdl.lab import Lab
from sdl.lab.latches import check_person
from sdl.lab.remote.access import ServerKeys
from sdl.lab.remote.keys import FOLDER
from sdl.lab.remote.plans import find
from sdl.lab.remote.server import StationServer
from sdl.problem.value import listing


class Transfer(NamedTuple):
    """Who lets another store have the station, and why."""

    by: str
    because: str


class Network(NamedTuple):
    """Where a station listens, the folder of its keys, and how its EPICS PVs begin; empty where it has none."""

    listen: str
    keys: Path | None
    pvs: str = ""


def station_process(
    lab: str, station: str, folder: Path, options: str, transfer: Transfer | None, *, network: Network, is_child: bool
) -> None:
    """Host *station* of *lab* until the process is told to end."""
    keys = _keys(network, station)
    if transfer is not None:
        check_person(*transfer)
    sys.path.insert(0, str(Path.cwd()))
    made = _lab(lab, _options(options))
    try:
        server = StationServer(made, station, folder, ends_with_engine=is_child, listen=network.listen, keys=keys)
    except BaseException:
        made.close()
        raise
    if transfer is not None:
        from sdl.campaign.identity import signed

        server.transfer(signed(transfer.by), transfer.because)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: server.end())
    where = " and ".join(server.points) if network.listen else str(folder)
    with _shown(server, network.pvs):
        typer.echo(f"station {station} of {made.name}, at {where}. Ctrl-C ends it")
        server.serve()


@contextmanager
def _shown(server: StationServer, prefix: str) -> Generator[None]:
    """Publish the station's signals as EPICS PVs, where a *prefix* is given."""
    if not prefix:
        yield
        return
    from sdl.lab.remote.ioc import StationIoc

    ioc = StationIoc(prefix, server.look)
    try:
        ioc.start()
        server.on_document = ioc.document
        yield
    finally:
        ioc.close()


def _lab(name: str, options: dict[str, Any]) -> Lab:
    if ":" not in name:  # a short name, which campaign files have too
        from sdl.campaign.file import LabSection, make_lab

        return make_lab(LabSection(type=name, options=options), Path.cwd(), 0)[0]
    try:
        made: object = find(name, "laboratory")(**options)
    except TypeError as error:
        raise LabError(f"{name} does not take the options {listing(options)}: {error}") from error
    if not isinstance(made, Lab):
        raise LabError(f"{name!r} made a {type(made).__name__}, which is no Lab")
    return made


def _keys(network: Network, station: str) -> ServerKeys | None:
    if not network.listen:
        return None
    if network.keys is None:
        raise LabError(
            f"station {station} cannot listen at {network.listen} without keys: who reaches it would command it",
            hint=f'sdl keys make "{station}", and then --keys {FOLDER}',
        )
    return ServerKeys.of(network.keys, station)


def _options(text: str) -> dict[str, Any]:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise LabError(f"the options are no JSON: {error}", hint="""--options '{"port": "/dev/ttyUSB0"}'""") from None
    if not isinstance(found, dict):
        raise LabError(f"the options are {text!r}", hint="a JSON object of the laboratory's arguments")
    return cast("dict[str, Any]", found)
