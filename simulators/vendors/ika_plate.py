"""An IKA plate with a beaker of water: it warms by a few kelvin a minute, and cools by itself."""

from __future__ import annotations

import asyncio


class SimulatedIkaPlate:
    """Heater and stirrer.

    Parameters
    ----------
    name
        As it names itself.
    heating
        K/s with the heater on; it cools at half of that.
    """

    def __init__(self, name: str = "IKARET", *, heating: float = 0.1) -> None:
        self.name = name
        self.values = {1: 22.0, 2: 22.0, 4: 0.0}
        self.set_points = {1: 0.0, 2: 0.0, 4: 0.0}
        self.is_on = {1: False, 4: False}
        self._heating = heating
        self._since: float | None = None

    def answer(self, line: str) -> str:
        """Return the answer to *line*, nothing to a command."""
        self._advance()
        word, _, value = line.strip().partition(" ")
        verb, _, what = word.rpartition("_")
        if word == "IN_NAME":
            return self.name
        if verb in {"START", "STOP"} and what in {"1", "4"}:
            self.is_on[int(what)] = verb == "START"
            return ""
        if not what.isdecimal() or int(what) not in self.values:
            return ""
        if verb == "OUT_SP":
            self.set_points[int(what)] = float(value)
            return ""
        numbers = {"IN_PV": self.values, "IN_SP": self.set_points}.get(verb)
        return "" if numbers is None else f"{numbers[int(what)]:.1f} {what}"

    def _advance(self) -> None:
        now = asyncio.get_running_loop().time()
        seconds = 0.0 if self._since is None else now - self._since
        self._since = now
        self.values[4] = self.set_points[4] if self.is_on[4] else 0.0
        for sensor in (1, 2):
            goal = max(self.set_points[sensor], 20.0) if self.is_on[1] else 20.0
            gap = goal - self.values[sensor]
            most = seconds * self._heating * (1.0 if gap > 0 else 0.5)
            self.values[sensor] += max(-most, min(most, gap))
