"""An EPICS input/output controller (IOC) for a flow cell: ``python -m sdl.simulators.epics_ioc PREFIX --port N``.

A pump mixes a dye into a carrier, the stream passes a window, a stage carries the window across a laser beam, and a
photodiode sees the fluorescence. It is a server of Channel Access (caproto's) on the loopback interface, without
beacons:

============================================  ==========================================================================
``axis``                                      a motor record in mm; a put to ``axis.VAL`` with completion ends when the
                                              axis has arrived. ``axis.HOMF`` homes it; ``axis.MSTA`` tells of it
``pump:Flow``, ``pump:Flow_RBV``              mL/min of dye, set and measured; a put ends when the flow is there
``pump:Dose``, ``pump:Dosed_RBV``             mL to dispense, and mL dispensed since the start
``diode:Acquire``, ``diode:Exposure``         a put to the first takes a reading, as long as the second, in s
``diode:Signal_RBV``                          nA, of the last reading
============================================  ==========================================================================

What is told to its standard input makes faults: ``stale`` (everything is answered as if all were well, and no reading
changes any more), ``invalid diode`` (or ``axis``, ``pump``: alarm severity INVALID), ``well`` (an end to both),
``die``. It ends when its standard input does, so that it does not outlive whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdl.simulators.epics import HOMED
from sdl.simulators.epics_optics import DOSE_RATE, FLOW, NOISE, TRAVEL, fluorescence

TICK = 0.02
"""Seconds between two readings of what moves."""

VELOCITY = 20.0  # mm/s; assumed
FLOW_LAG = 0.1  # s, time constant of the pump's flow; assumed
LOOPBACK: Mapping[str, str] = {
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "",
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
}

server: Any = importlib.import_module("caproto.server")  # caproto declares no types
asynchronous: Any = importlib.import_module("caproto.asyncio.server")
caproto: Any = importlib.import_module("caproto")
pvproperty: Any = server.pvproperty


class FlowCell(server.PVGroup):  # type: ignore[misc] # caproto declares no types
    """The records of the flow cell."""

    def __init__(self, prefix: str, seed: int) -> None:
        server.PVGroup.__init__(self, prefix=prefix)
        self._rng = np.random.default_rng(seed)
        self._n_moves = 0
        self._is_stale = False
        self._invalid: set[str] = set()

    # --- the axis -------------------------------------------------------------------------------------------------

    async def _begin_axis(self, instance: Any, async_lib: Any) -> None:
        """Give the motor record its fields."""
        del async_lib
        low, high = TRAVEL
        fields = instance.field_inst
        for field, value in (
            (fields.engineering_units, "mm"),
            (fields.velocity, VELOCITY),
            (fields.max_velocity, VELOCITY),
            (fields.seconds_to_velocity, TICK),
            (fields.motor_step_size, 1e-4),
            (fields.retry_deadband, 1e-3),
            (fields.user_low_limit, low),
            (fields.user_high_limit, high),
            (fields.dial_low_limit, low),
            (fields.dial_high_limit, high),
            (fields.done_moving_to_value, 1),
        ):
            await field.write(value)
        for channel in (fields.user_readback_value, instance):
            await channel.write_metadata(upper_ctrl_limit=high, lower_ctrl_limit=low, units="mm", precision=4)

    async def _put_axis(self, instance: Any, target: float) -> None:
        """Go there; the put is answered when the axis has arrived, or was stopped, or sent elsewhere."""
        low, high = TRAVEL
        if not low <= target <= high:
            raise ValueError(f"{target} is outside of {low} to {high} mm")
        await instance.write(target, verify_value=False)  # VAL is where it goes, from the beginning
        await self._travel(target)
        raise caproto.SkipWrite

    async def _travel(self, target: float, *, is_homing: bool = False) -> None:
        fields = self.axis.field_inst
        self._n_moves += 1
        number, start, begun = self._n_moves, fields.user_readback_value.value, _now()
        await fields.stop.write(0)
        await fields.direction_of_travel.write(int(target > start))
        await fields.motor_is_moving.write(1)
        await fields.done_moving_to_value.write(0)
        place = start
        while place != target and number == self._n_moves and not fields.stop.value:
            await asyncio.sleep(TICK)
            gone = VELOCITY * (_now() - begun)
            place = target if gone >= abs(target - start) else start + gone * (1 if target > start else -1)
            await self._show(fields.user_readback_value, place)
        if number == self._n_moves:
            if is_homing and place == target:
                await self.axis.write(target, verify_value=False)
                await fields.motor_status.write(HOMED)
            await fields.motor_is_moving.write(0)
            await fields.done_moving_to_value.write(1)

    async def _home(self) -> None:
        await self._travel(TRAVEL[0], is_homing=True)

    # --- the pump -------------------------------------------------------------------------------------------------

    async def _put_flow(self, instance: Any, target: float) -> None:
        """Let the flow follow with a lag; the put is answered when it is there."""
        low, high = FLOW
        if not low <= target <= high:
            raise ValueError(f"{target} is outside of {low} to {high} mL/min")
        await instance.write(target, verify_value=False)
        start, begun = self.flow_now.value, _now()
        left = 1.0
        while left > 1e-3 and instance.value == target:
            await asyncio.sleep(TICK)
            left = float(np.exp(-(_now() - begun) / FLOW_LAG))
            await self._show(self.flow_now, target + (start - target) * (left if left > 1e-3 else 0.0))
        raise caproto.SkipWrite

    async def _put_dose(self, instance: Any, volume: float) -> None:
        """Dispense; every put dispenses anew."""
        await instance.write(volume, verify_value=False)
        await asyncio.sleep(volume / DOSE_RATE)
        await self._show(self.dosed, self.dosed.value + volume)
        raise caproto.SkipWrite

    # --- the photodiode -------------------------------------------------------------------------------------------

    async def _acquire(self, instance: Any, value: int) -> int:
        """Take a reading of the exposure's length."""
        del instance
        if value:
            await asyncio.sleep(self.exposure.value)
            bright = fluorescence(self.axis.field_inst.user_readback_value.value, self.flow_now.value)
            noise = NOISE / np.sqrt(max(self.exposure.value, 1e-3)) * self._rng.standard_normal()
            await self._show(self.signal, bright * (1 + float(noise)))
        return 0

    # --- faults ---------------------------------------------------------------------------------------------------

    async def _show(self, channel: Any, value: float) -> None:
        if not self._is_stale:
            await self._publish(channel, value)

    async def _publish(self, channel: Any, value: float) -> None:
        bad = channel.pvname in self._invalid
        status = caproto.AlarmStatus.COMM if bad else caproto.AlarmStatus.NO_ALARM
        severity = caproto.AlarmSeverity.INVALID_ALARM if bad else caproto.AlarmSeverity.NO_ALARM
        await channel.write(value, status=status, severity=severity, verify_value=False)  # it would set the alarm anew

    async def order(self, words: list[str]) -> None:
        """Make a fault, or an end to all."""
        match words:
            case ["stale"]:
                self._is_stale = True
            case ["invalid", what]:
                self._invalid.add(self._readings[what].pvname)
                await self._publish(self._readings[what], self._readings[what].value)
            case ["well"]:
                self._is_stale = False
                self._invalid.clear()
                for channel in self._readings.values():
                    await self._publish(channel, channel.value)
            case ["die"]:
                os._exit(1)
            case _:
                sys.stderr.write(f"no such fault: {words}\n")

    @property
    def _readings(self) -> Mapping[str, Any]:
        return {"axis": self.axis.field_inst.user_readback_value, "pump": self.flow_now, "diode": self.signal}

    # --- the records ----------------------------------------------------------------------------------------------

    axis = pvproperty(
        value=0.0,
        name="axis",
        record="motor",
        precision=4,
        units="mm",
        alarm_group="axis",
        put=_put_axis,
        startup=_begin_axis,
    )
    flow = pvproperty(value=0.0, name="pump:Flow", precision=4, units="mL/min", put=_put_flow)
    flow_now = pvproperty(
        value=0.0, name="pump:Flow_RBV", precision=4, units="mL/min", read_only=True, alarm_group="pump"
    )
    dose = pvproperty(value=0.0, name="pump:Dose", precision=4, units="mL", put=_put_dose)
    dosed = pvproperty(value=0.0, name="pump:Dosed_RBV", precision=4, units="mL", read_only=True)
    exposure = pvproperty(value=0.05, name="diode:Exposure", precision=3, units="s")
    acquire = pvproperty(value=0, name="diode:Acquire", put=_acquire)
    signal = pvproperty(
        value=0.0, name="diode:Signal_RBV", precision=5, units="nA", read_only=True, alarm_group="diode"
    )

    @axis.fields.home_forward.putter  # type: ignore[untyped-decorator] # as above
    async def _homing(fields, instance: Any, value: int) -> int:  # noqa: N805 # caproto gives the record's fields
        """Home the axis."""
        del instance
        if value:
            group: Any = fields.parent.group
            await group._home()
        return 0


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _take_orders(cell: FlowCell) -> None:
    """Do what is told line by line, and end when nobody is left to tell."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await cell.order(line.decode().split())
        sys.stdout.write("done\n")
        sys.stdout.flush()
    os._exit(0)


async def _serve(cell: FlowCell) -> None:
    async def begun(async_lib: Any) -> None:
        del async_lib
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await _take_orders(cell)

    await asynchronous.start_server(cell.pvdb, startup_hook=begun)


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description="A flow cell behind EPICS Channel Access, on the loopback interface.")
    parser.add_argument("prefix", help="what the names of its PVs begin with, such as cell:")
    parser.add_argument("--port", type=int, default=5064, help="of the server, for UDP and TCP")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    chosen = parser.parse_args()
    os.environ.update(LOOPBACK, EPICS_CAS_SERVER_PORT=str(chosen.port), EPICS_CA_SERVER_PORT=str(chosen.port))
    logging.getLogger("caproto").setLevel(logging.CRITICAL)  # a refused put is the client's to tell
    asyncio.run(_serve(FlowCell(chosen.prefix, chosen.seed)))


if __name__ == "__main__":
    main()
