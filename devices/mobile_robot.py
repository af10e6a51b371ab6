"""A robot that drives between stations with vessels, and charges its battery.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

==========================  ==========================================================================================
``CARRY store solid V7 V8``  drive to ``store``, take the vessels V7 and V8, put them down at ``solid``
``CHARGE``                  drive to the charger, stay there until the battery is full
``BATTERY?``                per cent
==========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Gauge, Limits, Pause
from sdl.devices.stubs import go
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError

Trip = tuple[str, str, tuple[str, ...]]
"""From where, to where, and which vessels."""


class MobileRobot:
    """Driver of the robot.

    Parameters
    ----------
    transport
        The line to the robot.
    places
        The stations that it knows.
    capacity
        How many vessels it carries at once.
    reserve
        Per cent of the battery under which it charges before the next trip.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time of one trip, or of charging.

    Attributes
    ----------
    trip
        Activity: ``set((source, target, vessels))`` carries them. It charges first where the battery is low.
    charger
        Activity: ``set("full")`` charges now.
    battery
        Gauge: per cent.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        places: Sequence[str],
        capacity: int = 16,
        reserve: float = 10.0,
        name: str = "robot",
        timeout_s: float = 14_400.0,
    ) -> None:
        self.name = name
        self.parent = None
        self.places = tuple(places)
        self.capacity = capacity
        self.reserve = reserve
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.battery = Gauge(
            f"{name}_battery",
            instrument=self._line,
            question="BATTERY?",
            unit="percent",
            limits=Limits(0, 100),
            parent=self,
        )
        self.trip: Activity[Trip] = Activity(
            f"{name}_trip",
            self._carry,
            halt=self._line.halt,
            check=self._check,
            action_class="transfer",
            parent=self,
        )
        self.charger: Activity[str] = self._line.activity(
            "charger",
            lambda _: "CHARGE",
            check=self._check_charge,
            action_class="set_absolute",
            timeout_s=timeout_s,
            parent=self,
        )

    def carry(self, vessels: Sequence[str], source: str, target: str) -> MsgGenerator[None]:
        """Plan stub: carry *vessels* from *source* to *target*, in as many trips as it takes."""
        for first in range(0, len(vessels), self.capacity):
            some = tuple(vessels[first : first + self.capacity])
            yield from go(self.trip, (source, target, some), timeout=2 * self._timeout_s + 60)

    def charge(self) -> MsgGenerator[None]:
        """Plan stub: charge the battery now."""
        yield from go(self.charger, "full", timeout=self._timeout_s + 60)

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the robot work again after a fault. Look where it stands first."""
        yield from self._line.reset()

    def _check(self, trip: Trip) -> None:
        source, target, vessels = trip
        for place in (source, target):
            if place not in self.places:
                raise LimitError(f"{self.name} knows no place {place!r}", hint=f"it knows {', '.join(self.places)}")
        if source == target:
            raise LimitError(f"a trip needs two places, got {source!r} twice")
        if not 1 <= len(vessels) <= self.capacity:
            raise LimitError(f"{self.name} carries 1 to {self.capacity} vessels, got {len(vessels)}")
        for vessel in vessels:
            check_name(vessel, f"a vessel of {self.name}")

    @staticmethod
    def _check_charge(level: str) -> None:
        if level != "full":
            raise LimitError(f"the battery is charged 'full', got {level!r}")

    async def _carry(self, trip: Trip, pause: Pause) -> None:
        source, target, vessels = trip
        if await self.battery.value() < self.reserve:
            await self._line.perform("CHARGE", pause, timeout_s=self._timeout_s)
        await self._line.perform(f"CARRY {source} {target} {' '.join(vessels)}", pause, timeout_s=self._timeout_s)
