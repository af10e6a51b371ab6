"""``sdl station``: a station in a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

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


class Named(NamedTuple):
    """What names a laboratory, its arguments, a clock of another kind, and interlocks beside its own, as JSON."""

    lab: str
    options: str = "{}"
    clock: Literal["wall"] | None = None
    interlocks: str = "[]"


def station_process(
    lab: Named, station: str, folder: Path, transfer: Transfer | None, *, network: Network, is_child: bool
) -> None:
    """Host *station* of *lab* until the process is told to end."""
    keys = _keys(network, station)
    if transfer is not None:
        check_person(*transfer)
    sys.path.insert(0, str(Path.cwd()))
    made = lab_named(lab)
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


def lab_named(named: Named) -> Lab:
    """Make the laboratory, with all of its stations in this process."""
    name, options = named.lab, _options(named.options)
    if Path(name).suffix in {".yaml", ".yml"}:
        return _lab_of_file(Path(name), named)
    rules = _json(named.interlocks, "the interlocks", list, '[{"name": ..., "require": ...}]')
    if ":" not in name or named.clock is not None or rules or any(isinstance(each, dict) for each in options.values()):
        from sdl.campaign.file import LabSection, make_lab  # a third of a second, which a plain class saves

        section = LabSection.from_data(
            {"type": name, "options": options, "clock": named.clock, "interlocks": rules},
        )
        return make_lab(section, Path.cwd(), 0)[0]
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


def _lab_of_file(path: Path, named: Named) -> Lab:
    """Make the laboratory that a campaign file or a laboratory file names, with all of its stations here."""
    from sdl.campaign.file import load_campaign_file, make_lab
    from sdl.campaign.yaml_text import YamlText
    from sdl.server.laboratory import load_laboratory

    if named != Named(named.lab):
        raise LabError(f"{path} says all of the laboratory", hint="leave --options, --clock and --interlocks out")
    if not path.is_file():
        raise LabError(f"there is no file {path}", hint="or name the laboratory: module:Class, or a short name")
    folder = path.resolve().parent
    sys.path.insert(0, str(folder))
    if "lab" in YamlText.of(path.read_text(encoding="utf-8"), str(path)).data:
        described = load_campaign_file(path)
        section, seed = described.lab, described.seed
    else:
        file = load_laboratory(str(path)).file
        section, seed = file.section(clock=file.clock), 0
    return make_lab(section.replace(remote=None), folder, seed)[0]


def _options(text: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _json(text, "the options", dict, '{"port": "/dev/ttyUSB0"}'))


def _json(text: str, what: str, kind: type, example: str) -> Any:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise LabError(f"{what} are no JSON: {error}", hint=f"as in '{example}'") from None
    if not isinstance(found, kind):
        raise LabError(f"{what} are {text!r}", hint=f"as in '{example}'")
    return found
