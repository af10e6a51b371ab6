"""A Keysight E36312A with resistors at its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from sdl.simulators.vendors.scpi import ComplaintError, SimulatedScpi, unknown, within

RATED = {1: (6.18, 5.15), 2: (25.75, 1.03), 3: (25.75, 1.03)}


@dataclass
class Terminals:
    """One output.

    Parameters
    ----------
    volts, amperes, protection
        What it is set to.
    ohms
        Between its terminals.
    """

    volts: float = 0.0
    amperes: float = 1.0
    protection: float = 30.0
    ohms: float = 50.0
    is_on: bool = False
    is_tripped: bool = False

    @property
    def voltage(self) -> float:
        """What is there."""
        return min(self.volts, self.amperes * self.ohms) if self.is_on and not self.is_tripped else 0.0


class SimulatedKeysightE36312A(SimulatedScpi):
    """Three outputs."""

    identity = "Keysight Technologies,E36312A,MY00000000,2.1.0-1.0.4-1.12"

    def __init__(self) -> None:
        super().__init__()
        self.outputs = {1: Terminals(), 2: Terminals(), 3: Terminals()}

    def _said(self, word: str, rest: str) -> str | None:
        value, _, at = rest.rpartition("(@")
        if not at:
            raise unknown()
        channel = int(at.removesuffix(")"))
        if channel not in self.outputs:
            raise ComplaintError('-222,"Data out of range"')
        output = self.outputs[channel]
        if word.endswith("?"):
            return self._asked(word, output)
        self._told(word, value.rstrip(", "), channel, output)
        return None

    def _asked(self, word: str, output: Terminals) -> str:
        answers = {
            "VOLT?": output.volts,
            "CURR?": output.amperes,
            "MEAS:VOLT?": output.voltage,
            "MEAS:CURR?": output.voltage / output.ohms,
        }
        states = {"OUTP?": output.is_on, "VOLT:PROT:TRIP?": output.is_tripped, "CURR:PROT:TRIP?": False}
        if word in answers:
            return f"{answers[word]:+.8E}"
        if word in states:
            return str(int(states[word]))
        raise unknown()

    def _told(self, word: str, value: str, channel: int, output: Terminals) -> None:
        volts, amperes = RATED[channel]
        match word:
            case "VOLT":
                output.volts = within(value, 0.0, volts)
            case "CURR":
                output.amperes = within(value, 0.0, amperes)
            case "VOLT:PROT":
                output.protection = within(value, 0.0, 1.2 * volts)
            case "OUTP":
                output.is_on = value == "ON"
            case _:
                raise unknown()
        if output.is_on and output.volts > output.protection:
            output.is_tripped = True
