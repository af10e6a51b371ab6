"""A New Era NE-1000: it counts what it moves, at the rate that it is set to."""

from __future__ import annotations

import asyncio


class SimulatedNE1000:
    """The pump with a syringe.

    Parameters
    ----------
    address
        On its line.
    """

    def __init__(self, address: int = 0) -> None:
        self.address = address
        self.alarm = ""
        self.diameter = 0.0
        self.rate = 1.0
        self.volume = 0.0
        self.direction = "INF"
        self.counted = {"INF": 0.0, "WDR": 0.0}
        self.state = "S"
        self._target = 0.0
        self._since = 0.0

    def answer(self, line: str) -> str:
        """Return the answer to *line*."""
        self._advance()
        if self.alarm:
            alarm, self.alarm = self.alarm, ""
            return f"\x02{self.address:02d}A?{alarm}"
        if not line.startswith(f"{self.address:02d}"):
            return ""
        command, rest = line[2:5], line[5:]
        return f"\x02{self.address:02d}{self._said(command, rest)}"

    def _said(self, command: str, rest: str) -> str:
        if command in {"DIA", "DIR", "VOL", "CLD"} and self.state in "IW":
            return f"{self.state}?NA"
        data = self._listened(command, rest)
        return f"{self.state}{data}"

    def _listened(self, command: str, rest: str) -> str:
        match command:
            case "":
                return ""
            case "VER":
                return "NE1000V3.923"
            case "DIS":
                return f"I{self.counted['INF']:.3f}W{self.counted['WDR']:.3f}ML"
            case "RAT":
                return self._rated(rest)
            case "DIA":
                self.diameter = float(rest)
            case "VOL":
                self.volume = self.volume if rest == "ML" else float(rest)
            case "DIR":
                self.direction = rest
            case "CLD":
                self.counted[rest] = 0.0
            case "RUN":
                self._run()
            case "STP":
                self.state = "P" if self.state in "IW" else "S"
            case _:
                return "?"
        return ""

    def _rated(self, rest: str) -> str:
        if not rest:
            return f"{self.rate:.3f}MM"
        rate = float(rest.removesuffix("MM"))
        if not 0.001 <= rate <= 30.0:
            return "?OOR"
        self.rate = rate
        return ""

    def _run(self) -> None:
        self.state = "I" if self.direction == "INF" else "W"
        self._target = self.counted[self.direction] + self.volume
        self._since = asyncio.get_running_loop().time()

    def _advance(self) -> None:
        if self.state not in "IW":
            return
        now = asyncio.get_running_loop().time()
        moved = self.counted[self.direction] + self.rate * (now - self._since) / 60.0
        self._since = now
        self.counted[self.direction] = min(moved, self._target)
        if moved >= self._target:
            self.state = "S"
