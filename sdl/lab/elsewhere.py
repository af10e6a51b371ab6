"""Devices whose instruments are in another process, and stations there that a step holds.

A laboratory is made whole in each of its processes, so that rules and limits are known everywhere. But only one of them
connects a device: what a plan says to the objects of the others reaches no instrument, or a second time the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.errors import LabError
from sdl.lab.envelope import tree

if TYPE_CHECKING:
    from sdl.lab.station import Station

Whereabouts = Mapping[int, tuple[str, str]]
"""Devices of other processes by their id, each with its dotted name and its station."""


@dataclass(frozen=True)
class Held:
    """For what a station is held: a step of another one, in these trials and attempts.

    ``goes_on``: it is the plan for the rest of a step that was cut off, which knows what to look at again.
    """

    campaign: str
    step: str
    trials: tuple[tuple[int, int], ...]
    goes_on: bool = False


def devices_elsewhere(stations: Iterable[Station], here: Iterable[Station]) -> Whereabouts:
    """Return the devices of *stations*, less what those *here* have too."""
    own = {id(part) for station in here for name, top in station.devices.items() for _, part in tree(name, top)}
    return {
        id(part): (dotted, station.name)
        for station in stations
        for name, top in station.devices.items()
        for dotted, part in tree(name, top)
        if id(part) not in own
    }


def check_here(device: object, elsewhere: Whereabouts) -> None:
    """Raise :class:`~sdl.errors.LabError` where *device* is in another process than the plan that speaks to it."""
    found = elsewhere.get(id(device))
    if found is not None:
        name, station = found
        raise LabError(
            f"the plan uses {name}, and its station {station} is in a process of its own",
            hint=f"make that a step of its own, with station={station!r}; or put devices that work together into one "
            "station (stations={...})",
        )
