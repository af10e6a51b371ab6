"""A Keithley 2450 with a resistor between its terminals."""

from __future__ import annotations

from sdl.simulators.vendors.scpi import SimulatedScpi, unknown, within


class SimulatedKeithley2450(SimulatedScpi):
    """Source and meter.

    Parameters
    ----------
    ohms
        Of the resistor.
    """

    identity = "KEITHLEY INSTRUMENTS,MODEL 2450,04400000,1.7.12b"

    def __init__(self, ohms: float = 10_000.0) -> None:
        super().__init__()
        self.ohms = ohms
        self.voltage = 0.0
        self.limit = 1.05e-4
        self.is_on = False
        self.settings: dict[str, str] = {}

    def _said(self, word: str, rest: str) -> str | None:
        match word:
            case "*LANG?":
                return "SCPI"
            case "SOUR:VOLT":
                self.voltage = within(rest, -210.0, 210.0)
            case "SOUR:VOLT?":
                return f"{self.voltage:.6E}"
            case "SOUR:VOLT:ILIM":
                self.limit = within(rest, 1e-9, 1.05)
            case "SOUR:VOLT:ILIM:TRIP?":
                return str(int(self.is_on and self._is_limited))
            case "OUTP":
                self.is_on = rest == "ON"
            case "OUTP?":
                return str(int(self.is_on))
            case "READ?":
                return self._read()
            case "SOUR:FUNC" | "SENS:FUNC" | "SENS:CURR:RANG:AUTO" | "SENS:CURR:NPLC" | "SENS:CURR:RSEN":
                self.settings[word] = rest
            case "SOUR:VOLT:READ:BACK":
                self.settings[word] = rest
            case _:
                raise unknown()
        return None

    @property
    def _is_limited(self) -> bool:
        return abs(self.voltage) > self.limit * self.ohms

    def _read(self) -> str:
        if not self.is_on:
            return "+9.910000E+37,+9.910000E+37"
        current = max(-self.limit, min(self.limit, self.voltage / self.ohms))
        return f"{current * self.ohms:.6E},{current:.6E}"
