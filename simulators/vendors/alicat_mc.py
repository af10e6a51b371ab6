"""An Alicat MC mass-flow controller: the flow follows its set-point within a second."""

from __future__ import annotations

import asyncio
import math


class SimulatedAlicatMC:
    """The controller.

    Parameters
    ----------
    full_scale
        The largest set-point.
    gas, unit_id
        As it is set to.
    """

    def __init__(self, full_scale: float = 100.0, *, gas: str = "N2", unit_id: str = "A") -> None:
        self.gas = gas
        self.unit_id = unit_id
        self.state = ""
        self.setpoint = 0.0
        self._full_scale = full_scale
        self._flow = 0.0
        self._since: float | None = None

    def answer(self, line: str) -> str:
        """Return the answer to *line*: the data frame, or a question mark; nothing where another unit is meant."""
        if not line.startswith(self.unit_id):
            return ""
        self._advance()
        command = line[1:]
        if command:
            try:
                value = float(command.removeprefix("S"))
            except ValueError:
                value = math.nan
            if not command.startswith("S") or not 0 <= value <= self._full_scale:
                return "?"
            self.setpoint = value
        return self._frame()

    def _advance(self) -> None:
        now = asyncio.get_running_loop().time()
        seconds = 0.0 if self._since is None else now - self._since
        self._since = now
        self._flow += (self.setpoint - self._flow) * (1.0 - math.exp(-seconds / 0.3))

    def _frame(self) -> str:
        numbers = f"+014.70 +025.00 {self._flow * 1.017:+08.3f} {self._flow:+08.3f} {self.setpoint:07.3f}"
        return f"{self.unit_id} {numbers} {self.gas} {self.state}".rstrip()
