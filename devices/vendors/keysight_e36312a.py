"""Keysight E36312A power supply: three outputs, 6 V 5 A and twice 25 V 1 A.

Commands and ratings are those of Keysight, *E36300 Series Programming Guide* (E36311-90008) and its data sheet. NOT
verified on hardware.

The line: ``TcpTransport(host, 5025)``, or ``VisaTransport("USB0::0x2A8D::0x1202::SERIAL::INSTR")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sdl.devices.driver import Gauge, Identity, Knob, Limits
from sdl.devices.scpi import ScpiInstrument
from sdl.devices.selector import Selector
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError

RATINGS: Mapping[int, tuple[float, float]] = {1: (6.18, 5.15), 2: (25.75, 1.03), 3: (25.75, 1.03)}
"""Of each output: V and A that it can be set to."""


class SupplyOutput:
    """One output of the supply.

    Attributes
    ----------
    voltage, current_limit
        Knobs, V and A: the levels that are set. The terminals have them while the switch is on.
    switch
        Selector: ``on`` or ``off``.
    measured_voltage, measured_current
        Gauges, V and A: at the terminals.
    """

    def __init__(self, line: ScpiInstrument, channel: int, *, name: str, voltages: Limits, parent: object) -> None:
        self.name = name
        self.parent = parent
        self.channel = channel
        self._line = line
        self._at = f"(@{channel})"
        self.voltage = self._knob("voltage", "VOLT", "V", voltages)
        self.current_limit = self._knob("current_limit", "CURR", "A", Limits(0.001, RATINGS[channel][1]))
        self.measured_voltage = self._gauge("measured_voltage", "MEAS:VOLT?", "V")
        self.measured_current = self._gauge("measured_current", "MEAS:CURR?", "A")
        self.switch = Selector(
            f"{name}_switch",
            choices=("off", "on"),
            get=self._is_on,
            put=self._switch,
            source=line.transport.name,
            parent=self,
        )

    def _knob(self, part: str, word: str, unit: str, limits: Limits) -> Knob:
        return Knob(
            f"{self.name}_{part}",
            instrument=self._line,
            question=f"{word}? {self._at}",
            setter=f"{word} {{:.6g}},{self._at}",
            stopper=f"OUTP OFF,{self._at}",
            unit=unit,
            limits=limits,
            tolerance=0.002,
            timeout_s=10,
            poll_s=0.1,
            safe_action=f"stop_now to {limits.low:g} {unit}",
            parent=self,
        )

    def _gauge(self, part: str, question: str, unit: str) -> Gauge:
        return Gauge(
            f"{self.name}_{part}", instrument=self._line, question=f"{question} {self._at}", unit=unit, parent=self
        )

    async def _is_on(self) -> str:
        return "on" if await self._line.is_true(f"OUTP? {self._at}") else "off"

    async def _switch(self, to: str) -> None:
        await self._line.command(f"OUTP {to.upper()},{self._at}")
        if to == "on":
            await self.check_protection()

    async def check_protection(self) -> None:
        """Raise DeviceError where the output has switched itself off."""
        for word, what in (("VOLT", "over-voltage"), ("CURR", "over-current")):
            if await self._line.is_true(f"{word}:PROT:TRIP? {self._at}"):
                raise DeviceError(
                    f"{self.name} has tripped its {what} protection",
                    hint="look at what is connected; then clear it at the instrument",
                )


class KeysightE36312A:
    """Driver of the supply.

    Parameters
    ----------
    transport
        The line.
    voltages
        By output, what may be set, V; from 0 to its rating where nothing is said.
    protection_v
        By output, the voltage above which it switches itself off; a tenth above the largest voltage where nothing is
        said.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    output_1, output_2, output_3
        See :class:`SupplyOutput`.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.keysight_e36312a:SimulatedKeysightE36312A"

    def __init__(
        self,
        transport: Transport,
        *,
        voltages: Mapping[int, Limits] | None = None,
        protection_v: Mapping[int, float] | None = None,
        name: str = "supply",
    ) -> None:
        self.name = name
        self.parent = None
        allowed = {channel: Limits(0.0, volts) for channel, (volts, _) in RATINGS.items()} | dict(voltages or {})
        for channel, limits in allowed.items():
            if channel not in RATINGS or not 0 <= limits.low < limits.high <= RATINGS[channel][0]:
                raise LimitError(
                    f"{name}: output {channel} is to give {limits}", hint=f"volts and amperes are {RATINGS}"
                )
        protection = {channel: 1.1 * limits.high for channel, limits in allowed.items()} | dict(protection_v or {})
        self._line = ScpiInstrument(
            name,
            transport,
            identity=Identity("*IDN?", "E36312A"),
            settings=[f"VOLT:PROT {volts:.5g},(@{channel})" for channel, volts in sorted(protection.items())],
        )
        self.output_1, self.output_2, self.output_3 = (
            SupplyOutput(self._line, channel, name=f"{name}_{channel}", voltages=allowed[channel], parent=self)
            for channel in (1, 2, 3)
        )

    async def self_test(self) -> str:
        """Ask who it is, and whether a protection has tripped. Raises DeviceError."""
        identity = await self._line.ask("*IDN?")
        for output in (self.output_1, self.output_2, self.output_3):
            await output.check_protection()
        return identity
