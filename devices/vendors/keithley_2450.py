"""Keithley 2450 source-measure unit: a voltage is applied, and the current measured.

Commands and ranges are those of Tektronix, *Model 2450 Interactive SourceMeter Instrument Reference Manual*
(2450-901-01), command set "SCPI". NOT verified on hardware.

The line: ``VisaTransport("USB0::0x05E6::0x2450::SERIAL::INSTR")``, or ``TcpTransport(host, 5025)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Identity, Knob, Limits, Sensor
from sdl.devices.scpi import ScpiInstrument
from sdl.devices.selector import Selector
from sdl.devices.stubs import go, pause, record
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError

VOLTAGES = Limits(-210.0, 210.0)
USUAL = Limits(-20.0, 20.0)
CURRENTS = Limits(1e-9, 1.05)
"""Of the limit of the current; above 21 V the instrument itself allows 105 mA only."""


class Keithley2450:
    """Driver of the instrument as a voltage source with a current meter.

    Parameters
    ----------
    transport
        The line.
    current_limit_a
        Above which the instrument gives way: the compliance.
    voltages
        What may be applied, V.
    is_four_wire
        Whether the sense terminals are connected.
    power_line_cycles
        How long a measurement takes, in cycles of the mains: 0.01 to 10.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    voltage
        Knob, V: the level that is set; the terminals have it while the output is on.
    output
        Selector: ``on`` or ``off``.
    current
        Sensor: the current, A, with the voltage that was measured at the source, V. It refuses while the output is off,
        and where the current limit holds the voltage down.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.keithley_2450:SimulatedKeithley2450"

    def __init__(
        self,
        transport: Transport,
        *,
        current_limit_a: float = 0.01,
        voltages: Limits = USUAL,
        is_four_wire: bool = False,
        power_line_cycles: float = 1.0,
        name: str = "smu",
    ) -> None:
        if not CURRENTS.low <= current_limit_a <= CURRENTS.high:
            raise LimitError(f"{name}: the current limit is {current_limit_a!r} A, it goes from 1 nA to 1.05 A")
        if not VOLTAGES.low <= voltages.low < voltages.high <= VOLTAGES.high:
            raise LimitError(f"{name}: the voltages are {voltages}, the instrument's are {VOLTAGES}")
        self.name = name
        self.parent = None
        self._line = ScpiInstrument(
            name,
            transport,
            identity=Identity("*IDN?", "^KEITHLEY INSTRUMENTS.*MODEL 2450"),
            settings=(
                ":SOUR:FUNC VOLT",
                ':SENS:FUNC "CURR"',
                ":SENS:CURR:RANG:AUTO ON",
                f":SENS:CURR:NPLC {power_line_cycles:.6g}",
                f":SENS:CURR:RSEN {'ON' if is_four_wire else 'OFF'}",
                ":SOUR:VOLT:READ:BACK ON",
                f":SOUR:VOLT:ILIM {current_limit_a:.6g}",
            ),
        )
        self.voltage = Knob(
            f"{name}_voltage",
            instrument=self._line,
            question=":SOUR:VOLT?",
            setter=":SOUR:VOLT {:.8g}",
            stopper=":OUTP OFF",
            unit="V",
            limits=voltages,
            tolerance=1e-3,
            relative_tolerance=2e-4,
            timeout_s=10,
            poll_s=0.1,
            safe_action="stop_now to 0 V" if voltages.low <= 0 <= voltages.high else "stop_now",
            parent=self,
        )
        self.output = Selector(
            f"{name}_output",
            choices=("off", "on"),
            get=self._is_on,
            put=self._switch,
            source=transport.name,
            parent=self,
        )
        self.current = Sensor(
            f"{name}_current",
            self._measure,
            units={f"{name}_current": "A", f"{name}_voltage_measured": "V"},
            source=f"{transport.name} :READ?",
            parent=self,
        )

    def curve(self, voltages: Sequence[float], *, settle_s: float = 0.1) -> MsgGenerator[list[tuple[float, float]]]:
        """Plan stub: measure at each of *voltages*, V, in their order; the output is off afterwards. Needs an open run.

        Returns
        -------
        Pairs of the measured voltage, V, and the current, A. Empty where the plan is walked without a device.
        """
        found: list[tuple[float, float]] = []
        yield from go(self.voltage, voltages[0], timeout=15)
        yield from go(self.output, "on", timeout=15)
        for voltage in voltages:
            yield from go(self.voltage, voltage, timeout=15)
            yield from pause(settle_s)
            readings = yield from record([self.current], timeout=60)
            if readings:
                volts, amperes = (
                    float(readings[key]["value"]) for key in (f"{self.name}_voltage_measured", f"{self.name}_current")
                )
                found.append((volts, amperes))
        yield from go(self.output, "off", timeout=15)
        return found

    async def self_test(self) -> str:
        """Ask who it is, in which language it listens, and whether it complains. Raises DeviceError."""
        identity = await self._line.ask("*IDN?")
        if (language := await self._line.ask("*LANG?")) != "SCPI":
            raise DeviceError(f"{self.name} listens to the command set {language}", hint="set it to SCPI in its menu")
        return identity

    async def _is_on(self) -> str:
        return "on" if await self._line.is_true(":OUTP?") else "off"

    async def _switch(self, to: str) -> None:
        await self._line.command(f":OUTP {to.upper()}")

    async def _measure(self) -> dict[str, float]:
        if await self._is_on() == "off":
            raise DeviceError(f"{self.name} cannot measure while its output is off", hint="set the output to on")
        voltage, current = await self._line.numbers(':READ? "defbuffer1", SOUR, READ', 2)
        if await self._line.is_true(":SOUR:VOLT:ILIM:TRIP?"):
            raise DeviceError(
                f"{self.name} is at its current limit: {current:g} A at {voltage:g} V",
                hint="a larger current_limit_a, a smaller voltage, or a short circuit?",
            )
        return {f"{self.name}_current": current, f"{self.name}_voltage_measured": voltage}
