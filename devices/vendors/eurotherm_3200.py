"""Eurotherm 3200 series temperature controllers (3216, 3208, 3204) by Modbus RTU.

Addresses are those of Eurotherm, *3200 Series Engineering Handbook* (HA028651), chapter "Modbus address table"; numbers
are read as IEEE floats, whose addresses are 8000 hex plus twice the parameter's, so that the decimal places of the
display do not matter. NOT verified on hardware.

=========  =====================  ===================================================================================
parameter  address of the float   meaning
=========  =====================  ===================================================================================
1          32770                  process value
2          32772                  target set-point; written by the driver
4          32776                  working output, %
5          32778                  working set-point, which runs up to the target at the set-point rate
35         32838                  set-point rate limit, in display units a minute (or hour, or second); 0: none
75         (integer)              summary of the outputs' state; bit 5 is a broken sensor
107        (integer)              version of the firmware, hexadecimal
=========  =====================  ===================================================================================

The target set-point is kept in memory that wears out after some 100 000 writes: ramp by the controller's own rate, not
by a loop in a plan.

The line: ``ModbusTransport("/dev/ttyUSB0", frame="rtu", unit=1)``.
"""

from __future__ import annotations

from typing import ClassVar

from sdl.devices.driver import Gauge, Identity, Instrument, Knob, Limits
from sdl.devices.transport import Transport
from sdl.errors import DeviceError

SENSOR_BREAK = 1 << 5

PROCESS_VALUE = 32770
TARGET = 32772
OUTPUT = 32776
RATE = 32838

TEMPERATURES = Limits(20.0, 300.0)
RATES = Limits(0.1, 50.0)


class Eurotherm3200:
    """Driver of one loop.

    Parameters
    ----------
    transport
        The line, which understands :class:`~sdl.devices.lines.ModbusRequest`.
    temperatures
        What may be set, degC. The controller has limits of its own as well.
    rates
        Of the set-point, K/min; the controller must count them by minutes.
    tolerance_k
        How near counts as there.
    timeout_s
        The longest time to reach a temperature.
    safe_rate
        K/min at which the set-point goes down when an interlock trips.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    temperature
        Knob, degC: sets the target and waits until the process value is there. A stop makes the present process value
        the target.
    rate
        Knob, K/min.
    output
        Gauge, %: how hard it heats.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.eurotherm_3200:SimulatedEurotherm3200"

    def __init__(
        self,
        transport: Transport,
        *,
        temperatures: Limits = TEMPERATURES,
        rates: Limits = RATES,
        tolerance_k: float = 1.0,
        timeout_s: float = 14_400.0,
        safe_rate: float = 10.0,
        name: str = "oven",
    ) -> None:
        self.name = name
        self.parent = None
        self._line = Instrument(name, transport, identity=Identity("HOLDING? 107", r"^[1-9]\d*$"))
        self.temperature = _Temperature(
            f"{name}_temperature",
            instrument=self._line,
            question=f"HOLDING? {PROCESS_VALUE} float32",
            setter=f"HOLDING {TARGET} float32 {{:.6g}}",
            stopper=self._stay,
            unit="degC",
            limits=temperatures,
            tolerance=tolerance_k,
            timeout_s=timeout_s,
            poll_s=5.0,
            safe_action=f"ramp_down({safe_rate:g} K/min to {temperatures.low:g} degC)",
            parent=self,
        )
        self.rate = Knob(
            f"{name}_rate",
            instrument=self._line,
            question=f"HOLDING? {RATE} float32",
            setter=f"HOLDING {RATE} float32 {{:.6g}}",
            stopper=self._leave,
            unit="K/min",
            limits=rates,
            tolerance=0.05,
            timeout_s=10.0,
            poll_s=0.2,
            parent=self,
        )
        self.output = Gauge(
            f"{name}_output", instrument=self._line, question=f"HOLDING? {OUTPUT} float32", unit="percent", parent=self
        )

    async def self_test(self) -> str:
        """Ask for its firmware, and whether the sensor is whole. Raises DeviceError."""
        version = int(await self._line.number("HOLDING? 107"))
        await check_sensor(self._line)
        return f"Eurotherm 3200, firmware {version:x}, at {await self.temperature.value():g} degC"

    async def _stay(self) -> None:
        await self._line.command(f"HOLDING {TARGET} float32 {await self.temperature.value():.6g}")

    async def _leave(self) -> None:
        """Leave it: a rate is taken at once."""


class _Temperature(Knob):
    """A process value is none while the sensor is broken: the controller then shows the end of its range."""

    async def value(self) -> float:
        await check_sensor(self._instrument)
        return await super().value()


async def check_sensor(line: Instrument) -> None:
    """Raise DeviceError where the controller reports a broken sensor."""
    if int(await line.number("HOLDING? 75")) & SENSOR_BREAK:
        raise DeviceError(f"{line.name} reports a broken sensor", hint="its reading is none; look at the thermocouple")
