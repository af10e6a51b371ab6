"""A liquid handler with one pipetting channel: it takes tips, and transfers volumes between wells and troughs.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

=========================  ===========================================================================================
``TRANSFER dye A1 50``     50 uL from the trough ``dye`` into the well A1, with the tip that it has
``TIP``                    throw the tip away, and take a new one
``TIPS?``                  how many are left in the rack
=========================  ===========================================================================================

For a machine that PyLabRobot drives see :mod:`sdl.devices.pylabrobot`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Gauge, Limits
from sdl.devices.stubs import go
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.envelope import as_number

Transfer = tuple[str, str, float]
"""From where, to where, and how many uL."""

VOLUMES = Limits(2.0, 200.0)


class LiquidHandler:
    """Driver of the liquid handler.

    Parameters
    ----------
    transport
        The line to it.
    volumes
        What one transfer may move with its tips, uL.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time of one transfer.

    Attributes
    ----------
    pipetting
        Activity: ``set((source, target, uL))``, done once for each call. More than one tip holds is refused.
    tip
        Activity: ``set("new")`` uses one tip up.
    tips
        Gauge: how many are left.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.solution_instruments:LiquidHandlerTwin"

    def __init__(
        self,
        transport: Transport,
        *,
        volumes: Limits = VOLUMES,
        name: str = "handler",
        timeout_s: float = 120.0,
    ) -> None:
        self.name = name
        self.parent = None
        self.volumes = volumes
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.pipetting: Activity[Transfer] = self._line.activity(
            "pipetting",
            lambda transfer: f"TRANSFER {transfer[0]} {transfer[1]} {transfer[2]:.6g}",
            check=self._check,
            action_class="cumulative",
            timeout_s=timeout_s,
            parent=self,
        )
        self.tip: Activity[str] = self._line.activity(
            "tip",
            lambda _: "TIP",
            check=self._check_tip,
            action_class="cumulative",
            timeout_s=timeout_s,
            parent=self,
        )
        self.tips = Gauge(f"{name}_tips", instrument=self._line, question="TIPS?", unit="", parent=self)

    def pipette(self, source: str, volumes: Mapping[str, float]) -> MsgGenerator[None]:
        """Plan stub: with a new tip, *volumes* (uL by target) from *source*; larger ones in several equal strokes."""
        given = MappingProxyType({target: float(volume) for target, volume in volumes.items() if volume})
        if given:
            yield from go(self.tip, "new", timeout=self._timeout_s + 60)
        for target, volume in given.items():
            n = max(1, -int(-volume // self.volumes.high))
            for _ in range(n):
                yield from go(self.pipetting, (source, target, volume / n), timeout=self._timeout_s + 60)

    async def self_test(self) -> str:
        """Ask who it is, and whether it complains. Raises DeviceError."""
        await self._line.seconds_left()
        return await self._line.ask("*IDN?")

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the liquid handler work again after a fault."""
        yield from self._line.reset()

    def _check(self, transfer: Transfer) -> None:
        source, target, volume = transfer
        for place in (source, target):
            check_name(place, f"a place of {self.name}")
        number, limits = as_number(volume), self.volumes
        if number is None or not limits.low <= number <= limits.high:
            raise LimitError(
                f"{self.name} was told to transfer {volume!r} uL, its limits are {limits.low:g} to {limits.high:g} uL"
            )

    def _check_tip(self, what: str) -> None:
        if what != "new":
            raise LimitError(f"{self.name} was told {what!r} of its tip", hint='"new" is all that it knows')
