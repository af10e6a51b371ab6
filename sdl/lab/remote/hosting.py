"""The one line that changes: which stations of a laboratory are in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from sdl.errors import LabError
from sdl.lab.lab import Lab
from sdl.lab.remote.child import Child
from sdl.lab.remote.plans import find
from sdl.lab.remote.safe import check_lab, reactions_of
from sdl.lab.remote.sockets import Address, prepare_folder
from sdl.lab.remote.station import GRACE, RemoteStation

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
) -> Any:
    """Return the laboratory *lab*, with stations in processes of their own.

    ``remote("my_lab:MyLab", {"port": "/dev/ttyUSB0"})`` in place of ``MyLab(port="/dev/ttyUSB0")``; a campaign on it is
    the same. See :func:`host` for the parameters.
    """
    made = find(lab, "laboratory")(**(options or {}))
    if not isinstance(made, Lab):
        raise LabError(f"{lab!r} made a {type(made).__name__}, which is no Lab")
    return host(made, lab, options, stations=stations, folder=folder, is_started_here=is_started_here, lease=lease)


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
) -> Lab:
    """Have stations of *lab* in processes of their own, and return it.

    Parameters
    ----------
    lab
        It has not been used yet. Its own devices of these stations are never connected; those of the processes are.
    name
        What the processes make the same laboratory from: ``module:Class``.
    options
        The arguments of the class, as plain data.
    stations
        Which; all, where they are left out.
    folder
        Where the sockets and the stations' own books are; nobody else may write there. It belongs to the instruments:
        keep it when a campaign is over.
    is_started_here
        Whether the engine starts the processes. Otherwise each is started with ``sdl station``, and stays.
    lease
        Seconds of silence after which engine and station take each other for gone.
    grace
        Seconds beyond a step's own time limit after which a station that has not ended it is taken to hang.

    Raises
    ------
    LabError
        The clock is virtual, an interlock concerns one of the stations, a device that acts declares no safe action, a
        station does not exist, or others may write in the folder.
    """
    chosen = tuple(lab.stations) if stations is None else tuple(stations)
    check_lab(lab, chosen)
    if any(station.is_started for station in lab.stations.values()):
        raise LabError(f"{lab.name} is in use", hint="say where its stations are before anything runs")
    place = prepare_folder(Path(folder).resolve())
    made = dict(lab.stations)
    for station in chosen:
        reactions_of(lab, station)
        child = Child(name, options or {}, station, place) if is_started_here else None
        address = Address.under(place, station)
        made[station] = RemoteStation(made[station], lab, address, child=child, lease=lease, grace=grace)
    lab.stations = MappingProxyType(made)
    return lab
