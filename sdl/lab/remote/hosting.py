"""The one line that changes: which stations of a laboratory are in processes of their own, here or on other hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from sdl.errors import LabError
from sdl.lab.elsewhere import devices_elsewhere
from sdl.lab.lab import Lab
from sdl.lab.remote.child import Added, Child
from sdl.lab.remote.keys import ClientKeys
from sdl.lab.remote.plans import find
from sdl.lab.remote.safe import check_lab, reactions_of
from sdl.lab.remote.sockets import Address, prepare_folder
from sdl.lab.remote.station import GRACE, RemoteStation
from sdl.problem.value import listing

LEASE = 2.0
"""Seconds of silence after which engine and station take each other for gone."""

FOLDER = "stations"
"""Where the sockets and books are, in the present folder."""


def remote(
    lab: str,
    options: Mapping[str, JsonValue] | None = None,
    *,
    stations: Sequence[str] | None = None,
    folder: str | Path = FOLDER,
    is_started_here: bool = True,
    lease: float = LEASE,
    at: Mapping[str, str] | None = None,
    keys: str | Path | None = None,
) -> Any:
    """Return the laboratory *lab*, with stations in processes of their own, or on other hosts.

    ``remote("my_lab:MyLab", {"port": "/dev/ttyUSB0"})`` in place of ``MyLab(port="/dev/ttyUSB0")``; a campaign on it is
    the same. With ``at={"furnace": "tcp://furnace-pc:5555"}`` that station is on another host. See :func:`host` for the
    parameters.
    """
    made = find(lab, "laboratory")(**(options or {}))
    if not isinstance(made, Lab):
        raise LabError(f"{lab!r} made a {type(made).__name__}, which is no Lab")
    return host(
        made,
        lab,
        options,
        stations=stations,
        folder=folder,
        is_started_here=is_started_here,
        lease=lease,
        at=at,
        keys=keys,
    )


def host(
    lab: Lab,
    name: str,
    options: Mapping[str, JsonValue] | None = None,
    *,
    stations: Sequence[str] | None = None,
    folder: str | Path = FOLDER,
    is_started_here: bool = True,
    lease: float = LEASE,
    grace: float = GRACE,
    at: Mapping[str, str] | None = None,
    keys: str | Path | None = None,
    added: Added | None = None,
) -> Lab:
    """Have stations of *lab* in processes of their own, or on other hosts, and return it.

    Parameters
    ----------
    lab
        It has not been used yet. Its own devices of these stations are never connected; those of the processes are.
    name
        What the processes make the same laboratory from: ``module:Class``.
    options
        The arguments of the class, as plain data.
    stations
        Which; where they are left out, those of *at*, or all.
    folder
        Where the sockets and the stations' own books are; nobody else may write there. It belongs to the instruments:
        keep it when a campaign is over.
    is_started_here
        Whether the engine starts the processes. Otherwise each is started with ``sdl station``, and stays.
    lease
        Seconds of silence after which engine and station take each other for gone.
    grace
        Seconds beyond a step's own time limit after which a station that has not ended it is taken to hang.
    at
        ``tcp://HOST:PORT`` of the stations that are on other hosts. There, ``sdl station ... --listen`` serves them.
    keys
        The folder of the engine's keys, with the public key of each station of *at*.
    added
        What *lab* has that its class does not bring, so that the processes have it too: a wall clock in the place of
        a virtual one, and interlocks. Processes that the engine does not start are given it by ``sdl station``.

    Raises
    ------
    LabError
        The clock is virtual, a device that acts declares no safe action, a station does not exist, others may write
        in a folder, or a key is missing.
    """
    chosen = _chosen(lab, stations, at)
    away = _addresses(at or {}, keys)
    check_lab(lab, chosen)
    if any(station.is_started for station in lab.stations.values()):
        raise LabError(f"{lab.name} is in use", hint="say where its stations are before anything runs")
    place = prepare_folder(Path(folder).resolve()) if set(chosen) - set(away) else Path()
    made = dict(lab.stations)
    for station in chosen:
        reactions_of(lab, station)
        is_child = is_started_here and station not in away
        child = Child(name, options or {}, station, place, added) if is_child else None
        address = away.get(station) or Address.under(place, station)
        made[station] = RemoteStation(made[station], lab, address, child=child, lease=lease, grace=grace)
    here = [each for each in made.values() if not each.is_elsewhere]
    far = devices_elsewhere((each for each in made.values() if each.is_elsewhere), here)
    for each in here:
        each.elsewhere = far
    lab.stations = MappingProxyType(made)
    return lab


def _chosen(lab: Lab, stations: Sequence[str] | None, at: Mapping[str, str] | None) -> tuple[str, ...]:
    if stations is None:
        return tuple(at or lab.stations)
    return tuple(dict.fromkeys([*stations, *(at or ())]))


def _addresses(at: Mapping[str, str], keys: str | Path | None) -> dict[str, Address]:
    if at and keys is None:
        raise LabError(
            f"{listing(at, len(at))} on other hosts cannot be reached without keys",
            hint='remote(..., keys="keys"), after sdl keys make engine',
        )
    folder = Path(keys or "").resolve()
    return {station: Address(point, "", keys=ClientKeys.of(folder, station)).checked() for station, point in at.items()}
