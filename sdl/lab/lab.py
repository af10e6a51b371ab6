"""The laboratory: its devices, its stations, its limits and its clock."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Self

from pydantic import JsonValue

from sdl.errors import InterlockError, LabError, TransportError
from sdl.lab.actions import Declarations, make_actions
from sdl.lab.clock import Clock, WallClock
from sdl.lab.envelope import VERBS, Limits, as_number, library_of, make_envelope, tree
from sdl.lab.experiment import Plan, Settings, Step, check_plan
from sdl.lab.interlocks import Interlock, Interlocks, Places, Reaction
from sdl.lab.job import Job
from sdl.lab.latches import Latch, check_person
from sdl.lab.materials import Item, Stock
from sdl.lab.schedule.calendar import Calendar
from sdl.lab.station import TOLERANCE, WAIT_TIMEOUT, Station, class_of
from sdl.lab.subscribers import Callback, Subscribers
from sdl.problem.value import canonical_json, listing

RESERVED = frozenset(
    ("name", "clock", "devices", "limits", "stock", "interlocks", "safe_actions", "kinds", "calendars", "subscribers")
)
"""Names that no device can have."""


class Lab:
    """Devices, and the stations that work them.

    Parameters
    ----------
    name
        What the journal calls it.
    stations
        Which devices belong to which station: ``{"deposition": ["sputter"], "probe": ["probe"]}``. Every device belongs
        to one. Left out, one station with the laboratory's name has them all.
    limits
        The range allowed for a device, by its dotted name: ``{"sputter.temperature": (20, 400)}``; None for an open
        end. No plan moves a device outside, whoever wrote it.
    actions
        What repeating the verbs of a device would do, for devices that do not say so themselves in ``action_classes``:
        ``{"sputter.shutter": {"set": "cumulative"}}``. See :class:`~sdl.lab.ActionClass`.
    interlocks
        What must hold between several devices: see :class:`~sdl.lab.Interlock`.
    safe_actions
        What a device does when an interlock trips, for devices that do not say so themselves in ``safe_action``:
        ``{"heater": "ramp_down(5 K/min to 20 degC)"}``.
    watch_period
        Clock seconds between two looks at the signals of interlocks; see :mod:`sdl.lab.watcher` for what is done where
        it is left out.
    clock
        Wall time, unless told otherwise.
    kinds
        Names that stand for any one of several stations: ``{"furnace": ["furnace1", "furnace2"]}``. A step that names
        a kind runs on the one that is free; ``s.station`` tells its plan which.
    calendars
        When a station may be used: ``{"xrd": sdl.Calendar(hours="Mon-Fri 08:00-18:00", timezone="Europe/Paris")}``. A
        kind's calendar is that of all its stations. Without one a station may always be used.
    stock
        The materials that it has and the racks for its samples, when it is first used: see :class:`~sdl.Stock`.
    wait_timeout, tolerance
        See :class:`~sdl.lab.station.Station`; a mapping gives each station its own.
    devices
        Any objects with the verbs of ``bluesky.protocols``, or namespaces of such objects. Each becomes an attribute.
    """

    is_simulated: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        *,
        stations: Mapping[str, Sequence[str]] | None = None,
        limits: Limits | None = None,
        actions: Mapping[str, Declarations] | None = None,
        interlocks: Sequence[Interlock] = (),
        safe_actions: Mapping[str, str] | None = None,
        watch_period: float | None = None,
        clock: Clock | None = None,
        kinds: Mapping[str, Sequence[str]] | None = None,
        calendars: Mapping[str, Calendar] | None = None,
        stock: Stock | None = None,
        wait_timeout: float | Mapping[str, float] = WAIT_TIMEOUT,
        tolerance: float | Mapping[str, float] = TOLERANCE,
        **devices: Any,
    ) -> None:
        if not name:
            raise LabError("a laboratory needs a name")
        for device_name, device in devices.items():
            self._check_device(name, device_name, device)
        self.name = name
        self.clock: Clock = clock or WallClock()
        self.devices: Mapping[str, Any] = MappingProxyType(devices)
        self.limits: Limits = MappingProxyType(dict(limits or {}))
        self.stock = stock or Stock()
        envelope = make_envelope(name, devices, limits)
        acting = make_actions(name, devices, actions, envelope)
        shares = {name: list(devices)} if stations is None else stations
        check_shares(name, shares, devices)
        self.safe_actions: Mapping[str, str] = MappingProxyType(dict(safe_actions or {}))
        self._station_of = {device: station for station, share in shares.items() for device in share}
        self.interlocks = Interlocks(name, self.clock)
        self.interlocks.act = self._act
        self.interlocks.watch_period = watch_period
        self.stations: Mapping[str, Station] = MappingProxyType(
            {
                station: Station(
                    station,
                    {device: devices[device] for device in share},
                    self.clock,
                    envelope=envelope,
                    actions=acting,
                    interlocks=self.interlocks,
                    wait_timeout=_for_station(wait_timeout, station, WAIT_TIMEOUT),
                    tolerance=_for_station(tolerance, station, TOLERANCE),
                )
                for station, share in shares.items()
            }
        )
        self.kinds: Mapping[str, tuple[str, ...]] = check_kinds(name, kinds or {}, self.stations)
        self.calendars: Mapping[str, Calendar] = MappingProxyType(
            {
                station: calendar
                for place, calendar in (calendars or {}).items()
                for station in self.stations_called(place)
            }
        )
        self.subscribers = Subscribers(is_virtual=self.clock.is_virtual)
        self.add_interlocks(*interlocks)

    def _check_device(self, lab: str, name: str, device: object) -> None:
        if name.startswith("_") or hasattr(type(self), name) or name in RESERVED:
            raise LabError(f"{lab} cannot have a device called {name!r}", hint="the name is taken, or private")
        if not any(True for _ in tree(name, device)):
            raise LabError(
                f"{name} of {lab} is a {class_of(device)}, which has none of the verbs of a device",
                hint=f"a device is one of {listing(VERBS)}, or a namespace of such objects",
            )

    def __getattr__(self, name: str) -> Any:
        devices: Mapping[str, Any] = self.__dict__.get("devices", {})
        if name in devices:
            return devices[name]
        raise AttributeError(f"{type(self).__name__} has no device {name!r}; it has {listing(devices) or 'none'}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.devices]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, devices={list(self.devices)}, stations={list(self.stations)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def keeps_state(self) -> bool:
        """Whether what was done is still there when this process has died.

        Simulated instruments die with it, unless a laboratory of theirs says otherwise.
        """
        return not self.is_simulated

    def add_interlocks(self, *interlocks: Interlock) -> None:
        """Add *interlocks*, before anything runs.

        Raises
        ------
        LabError
            A name is unknown, a device that one acts on declares no safe action, or the laboratory is in use already.
        UnitError
            A number has no unit where the signal has one, or another dimension.
        """
        if any(station.is_started for station in self.stations.values()):
            raise LabError(f"{self.name} is in use", hint="give it its interlocks before anything runs")
        self.interlocks.add(interlocks, Places(self.devices, self._station_of, self.safe_actions))

    def add_stock(self, *items: Item) -> None:
        """Add *items* to the stock, before anything runs.

        Raises :class:`~sdl.errors.LabError` where the laboratory has something of that name and lot, or is in use.
        """
        if any(station.is_started for station in self.stations.values()):
            raise LabError(f"{self.name} is in use", hint="give it its stock before anything runs")
        self.stock = Stock(*self.stock.items, *items)

    def _act(self, station: str, reactions: Sequence[Reaction], error: InterlockError) -> None:
        place, working = self.stations[station], self._holder(station)
        if working is None:
            place.make_safe(reactions, error)
        elif not (place.is_elsewhere or working.is_elsewhere):  # its plan may be moving these devices
            working.make_safe(reactions, error)
        else:
            place.make_safe(reactions, error)
            if any(reaction.action.is_immediate for reaction in reactions):
                working.interrupt(error)

    def _holder(self, station: str) -> Station | None:
        """Return the station that runs a step for which *station* is held; None where there is none."""
        return next((each for each in self.stations.values() if station in each.holds), None)

    def lose(self, station: str, reason: str) -> None:
        """End the step that holds *station*, which is in another process and does not answer any more."""
        working = self._holder(station)
        if working is not None:
            working.interrupt(TransportError(f"station {station}, which the step holds, is lost: {reason}"))

    @property
    def latches(self) -> tuple[Latch, ...]:
        """What is closed since an interlock tripped, until :meth:`rearm`; the journal has it too."""
        return tuple(self.interlocks.latches)

    @property
    def is_making_safe(self) -> bool:
        """Whether devices are still on their way to where they are safe."""
        return any(station.is_making_safe for station in self.stations.values())

    def rearm(self, station: str, *, by: str, because: str) -> None:
        """Let steps start again on *station*. Nothing moves by this.

        A campaign's latches are in its journal: there :meth:`sdl.Campaign.rearm` is the way, which records it.

        Raises
        ------
        LabError
            No person or no reason is named, nothing is latched, or a device is still on its way to be safe.
        """
        check_person(by, because)
        if self.interlocks.latch_of(station) is None:
            raise LabError(f"station {station!r} of {self.name} is not latched")
        if self.is_making_safe:  # devices of a station that a step holds are made safe by the station that runs it
            raise LabError(f"devices are still on their way to be safe: {station} stays latched", hint="wait for them")
        self.interlocks.release(station)

    def prepare(self, trial: int, attempt: int) -> None:
        """Make ready for an attempt at a trial. Simulated laboratories seed their noise anew; others do nothing."""

    def context(self) -> Mapping[str, float | str]:
        """Return the present values of contextual parameters."""
        return {}

    def stations_for(self, step: Step) -> tuple[str, ...]:
        """Return the names of the stations that may run *step*; kinds are written out."""
        if step.stations is None:
            return tuple(self.stations)
        return tuple(dict.fromkeys(name for each in step.stations for name in self.kinds.get(each, (each,))))

    def stations_called(self, name: str) -> tuple[str, ...]:
        """Return the stations that *name* stands for: those of a kind, or the one.

        Raises :class:`~sdl.errors.LabError` where there is neither.
        """
        if name in self.kinds:
            return self.kinds[name]
        if name not in self.stations:
            raise LabError(
                f"{self.name} has no station {name!r}", hint=f"it has {listing((*self.stations, *self.kinds))}"
            )
        return (name,)

    def connect(self) -> None:
        """Connect all devices now, rather than before each station's first job.

        Raises :class:`~sdl.errors.LabError` naming the device that does not answer.
        """
        for station in self.stations.values():
            station.connect()

    def run(self, plan: Plan, values: Mapping[str, float | str] | None = None, *, station: str | None = None) -> Any:
        """Run *plan* once, outside any campaign, and return what it returns; for trying things out.

        Parameters
        ----------
        plan
            A generator function ``plan(lab, settings)``.
        values
            What the settings contain.
        station
            The station that runs it; the first one, unless told otherwise.
        """
        check_plan(plan, "what is to be tried")
        place = next(iter(self.stations)) if station is None else station
        if place not in self.stations:
            raise LabError(f"{self.name} has no station {place!r}", hint=f"it has {listing(self.stations)}")
        watched = self.interlocks.stations
        for name in [name for name in self.stations if name in watched]:
            self.stations[name].connect()  # an interlock may look at signals of other stations
        job = Job(functools.partial(plan, self, Settings(values or {})), on_document=self.subscribers.publish)
        result = self.stations[place].run(job)
        if result.error is not None:
            raise result.error
        return result.value

    def subscribe(self, callback: Callback, name: str = "all") -> int:
        """Tell a bluesky callback of every document, after it was recorded; return a number for :meth:`unsubscribe`.

        It runs on a thread of its own. Where it raises, the log and the journal say so, and the campaign goes on; the
        same where it falls behind. It is for looking on: the record is the journal.

        Parameters
        ----------
        callback
            Called as ``callback(name, document)``: a function, or any of ``bluesky.callbacks`` that draws no window.
        name
            The documents that it wants, such as ``"event"``.

        Raises
        ------
        LabError
            It cannot be called, or bluesky has no documents of that name.
        """
        return self.subscribers.add(callback, name)

    def unsubscribe(self, number: int) -> None:
        """Tell the callback with that *number* nothing more. Raises LabError where there is none."""
        self.subscribers.remove(number)

    def describe(self) -> dict[str, JsonValue]:
        """Return the laboratory as plain data, for the journal."""
        stations: dict[str, JsonValue] = {name: station.describe() for name, station in self.stations.items()}
        limits: dict[str, JsonValue] = {name: list(limit) for name, limit in self.limits.items()}
        return {
            "name": self.name,
            "kind": class_of(self),
            "is_simulated": self.is_simulated,
            "clock": "virtual" if self.clock.is_virtual else "wall",
            "devices": {name: class_of(device) for name, device in self.devices.items()},
            "stations": stations,
            "limits": limits,
            "interlocks": [rule.interlock.model_dump(mode="json") for rule in self.interlocks.rules],
            "safe_actions": dict(self.safe_actions),
            "envelope": self.envelope_digest,
            **({"stock": self.stock.describe()} if self.stock.items else {}),
            **({"kinds": {kind: list(names) for kind, names in self.kinds.items()}} if self.kinds else {}),
            **(
                {"calendars": {name: each.model_dump(mode="json") for name, each in self.calendars.items()}}
                if self.calendars
                else {}
            ),
        }

    @property
    def envelope_digest(self) -> str:
        """SHA-256 of what no plan may do here: the limits, the devices' own limits, interlocks and safe actions.

        It is in the description of the laboratory, and so in the hash chain of every journal that opens with it.
        """
        data = {
            "limits": {name: list(limit) for name, limit in self.limits.items()},
            "own": own_limits(self.devices),
            "interlocks": [rule.interlock.model_dump(mode="json") for rule in self.interlocks.rules],
            "safe_actions": dict(self.safe_actions),
        }
        return hashlib.sha256(canonical_json(data).encode()).hexdigest()

    def close(self) -> None:
        """Abort what runs, disconnect the devices, and end all threads and loops."""
        for station in self.stations.values():
            station.close()
        self.subscribers.close()


def check_kinds(
    lab: str, kinds: Mapping[str, Sequence[str]], stations: Mapping[str, object]
) -> Mapping[str, tuple[str, ...]]:
    """Return *kinds*, frozen. Raises :class:`~sdl.errors.LabError` for stations that *lab* does not have."""
    for kind, names in kinds.items():
        missing = [name for name in names if name not in stations]
        if missing or not names or kind in stations:
            what = f"has {listing(missing) or 'no stations'}" if missing or not names else "is the name of a station"
            raise LabError(f"the kind {kind!r} of {lab} {what}", hint=f"the stations are {listing(stations)}")
    return MappingProxyType({kind: tuple(names) for kind, names in kinds.items()})


def _for_station(given: float | Mapping[str, float], station: str, default: float) -> float:
    return given.get(station, default) if isinstance(given, Mapping) else given


def own_limits(devices: Mapping[str, object]) -> dict[str, list[float]]:
    """Return the ranges that the devices declare themselves, by dotted name: ``limits`` with ``low`` and ``high``."""
    found: dict[str, list[float]] = {}
    for name, device in devices.items():
        for dotted, part in tree(name, device):
            # ophyd asks the instrument, which may not be connected yet and may answer otherwise tomorrow.
            limits = None if library_of(part) == "ophyd" else getattr(part, "limits", None)
            pair = [as_number(getattr(limits, bound, None)) for bound in ("low", "high")]
            if None not in pair:
                found[dotted] = [bound for bound in pair if bound is not None]
    return found


def check_shares(lab: str, shares: Mapping[str, Sequence[str]], devices: Mapping[str, object]) -> None:
    """Raise :class:`~sdl.errors.LabError` unless every device belongs to exactly one station."""
    if not shares:
        raise LabError(f"{lab} has no station", hint="leave stations out, and one station has all the devices")
    named = [device for share in shares.values() for device in share]
    unknown = sorted(set(named) - set(devices))
    twice = sorted({device for device in named if named.count(device) > 1})
    left = sorted(set(devices) - set(named))
    faults = [
        f"{what}: {listing(which)}"
        for what, which in (("no such device", unknown), ("in two stations", twice), ("in no station", left))
        if which
    ]
    if faults:
        raise LabError(
            f"the stations of {lab} do not fit its devices: {'; '.join(faults)}",
            hint="every device belongs to exactly one station; a plan may use those of other stations too",
        )
