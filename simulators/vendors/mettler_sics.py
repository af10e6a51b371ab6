"""A balance with MT-SICS, on whose pan a test puts things."""

from __future__ import annotations

import asyncio

from sdl.simulators.transport import Reply


class SimulatedSicsBalance:
    """Weighs what is on its pan.

    Parameters
    ----------
    capacity_g
        Above which it is overloaded.
    settling_s
        How long it shakes after something was put on.
    """

    def __init__(self, capacity_g: float = 220.0, *, settling_s: float = 3.0) -> None:
        self.load_g = 0.0
        self.draught = False
        self._capacity = capacity_g
        self._settling = settling_s
        self._zero = 0.0
        self._since = -1e9

    def put(self, mass_g: float) -> None:
        """Have so much on the pan."""
        self.load_g = mass_g
        self._since = asyncio.get_running_loop().time()

    def answer(self, line: str) -> str | Reply:
        """Return the answer to *line*; what needs a stable weight waits for it."""
        match line:
            case "I4":
                return 'I4 A "B021002593"'
            case "I2":
                return 'I2 A "XS205DU 220.0090 g"'
            case "SI":
                return self._weighed("S", "S" if self._wait() == 0 else "D")
            case "S" | "Z" | "T":
                if self.draught:
                    return Reply(f"{line} I", 40.0)
                return Reply(self._stable(line), self._wait())
            case _:
                return "ES"

    def _wait(self) -> float:
        return max(0.0, self._since + self._settling - asyncio.get_running_loop().time())

    def _stable(self, command: str) -> str:
        if command == "S":
            return self._weighed("S", "S")
        self._zero = self.load_g
        return "Z A" if command == "Z" else f"T S {self._zero:10.4f} g"

    def _weighed(self, command: str, state: str) -> str:
        if self.load_g > self._capacity:
            return f"{command} +"
        return f"{command} {state} {self.load_g - self._zero:10.4f} g"
