"""``FlowCellLab``: a laboratory on EPICS, one axis through ophyd, a pump and a photodiode through ophyd-async.

The instruments are those of :mod:`sdl.simulators.epics_ioc`, or real ones of the same names: nothing here knows which.
Both libraries talk to the same server in one plan. They need pyepics and aioca: ``pip install 'sdl[epics]'``.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping
from typing import Any, ClassVar, cast

from ophyd_async.core import AsyncStatus, StandardReadable, StandardReadableFormat
from ophyd_async.epics.core import epics_signal_rw

from sdl.errors import DeviceError
from sdl.lab.experiment import Settings
from sdl.lab.lab import Lab
from sdl.problem import Continuous, Maximize, Measurement, SearchSpace
from sdl.simulators.epics import HOMED
from sdl.simulators.epics_optics import FLOW, TRAVEL

bps: Any = importlib.import_module("bluesky.plan_stubs")  # typed in part
ophyd: Any = importlib.import_module("ophyd")  # it declares no types
Component: Any = ophyd.Component


class Homing:
    """Homes an axis, whatever it is set to."""

    parent = None
    action_classes: ClassVar = {"set": "set_absolute"}

    def __init__(self, axis: HomedAxis) -> None:
        self.name = f"{axis.name}_homing"
        self._axis = axis

    def set(self, value: float) -> Any:
        """Home the axis; the status ends when the record says that it has done moving."""
        del value
        self._axis.is_homing = True
        try:
            return self._axis.home("forward", wait=False)
        finally:
            self._axis.is_homing = False


class HomedAxis(ophyd.EpicsMotor):  # type: ignore[misc] # ophyd declares no types
    """A motor record that moves only when it has been homed, which a restart of its server undoes."""

    status = Component(ophyd.EpicsSignalRO, ".MSTA", kind="omitted")
    tolerance = 0.005
    safe_action = "stop_now"
    is_homing = False

    def __init__(self, prefix: str, *, name: str) -> None:
        ophyd.EpicsMotor.__init__(self, prefix, name=name)
        self.homing = Homing(self)

    @property
    def is_homed(self) -> bool:
        """Whether the record says that the axis knows where it is."""
        return bool(int(self.status.get()) & HOMED)

    def check_value(self, pos: float) -> None:
        """Raise for a position outside of the soft limits, and where the axis is not homed."""
        ophyd.EpicsMotor.check_value(self, pos)
        if not self.is_homed and not self.is_homing:  # ophyd asks this of the way home, too
            raise DeviceError(f"{self.name} is not homed", hint=f"bps.mv({self.name}.homing, 1) homes it")


class Pump(StandardReadable):
    """A pump that is told a flow, in mL/min."""

    def __init__(self, prefix: str, name: str = "") -> None:
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.flow = epics_signal_rw(float, f"{prefix}Flow_RBV", f"{prefix}Flow")
        super().__init__(name)


class Photodiode(StandardReadable):
    """A photodiode that takes a reading when it is triggered, in nA."""

    action_classes: ClassVar = {"trigger": "read"}
    is_renewed_by_trigger = True
    """So a reading that is older than the trigger is none: see :mod:`sdl.lab.channels`."""

    def __init__(self, prefix: str, name: str = "") -> None:
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.signal = epics_signal_rw(float, f"{prefix}Signal_RBV")
        with self.add_children_as_readables(StandardReadableFormat.CONFIG_SIGNAL):
            self.exposure = epics_signal_rw(float, f"{prefix}Exposure")
        self.acquire = epics_signal_rw(int, f"{prefix}Acquire")
        super().__init__(name)

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        """Take a reading. The put is answered when it has been taken."""
        await self.acquire.set(1)


def measure(lab: Any, s: Settings) -> Generator[Any, Any, Mapping[str, Measurement]]:
    """Go to ``position``, let the dye flow, and look; home the axis first where it has to be."""
    status = cast("float", (yield from bps.rd(lab.axis.status)))
    if not int(status) & HOMED:
        yield from bps.mv(lab.axis.homing, 1)
    yield from bps.mv(lab.axis, s["position"], lab.pump.flow, s["flow"])
    reading = cast("Mapping[str, Any]", (yield from bps.trigger_and_read([lab.diode, lab.axis, lab.pump])))
    return {"fluorescence": Measurement(float(reading["diode-signal"]["value"]), unit="nA")}


class FlowCellLab(Lab):
    """A flow cell in a laser beam. The server of its PVs is not part of it: see :class:`~sdl.simulators.FlowCellIoc`.

    Parameters
    ----------
    prefix
        What the names of its PVs begin with.
    """

    def __init__(self, prefix: str = "cell:") -> None:
        super().__init__(
            "flow cell",
            axis=HomedAxis(f"{prefix}axis", name="axis"),
            pump=Pump(f"{prefix}pump:"),
            diode=Photodiode(f"{prefix}diode:"),
            limits={"axis": TRAVEL, "pump.flow": FLOW},
            safe_actions={"pump.flow": "stop_now to 0 mL/min", "diode": "stop_now"},
            wait_timeout=60.0,
        )

    experiment = staticmethod(measure)
    objective = Maximize("fluorescence", unit="nA", reference=0.0)

    @staticmethod
    def space() -> SearchSpace:
        """Return what there is to choose."""
        return SearchSpace(position=Continuous(*TRAVEL, unit="mm"), flow=Continuous(*FLOW, unit="mL/min"))
