"""A VICI actuator that turns by one position every half a second."""

from __future__ import annotations

import asyncio


class SimulatedViciValve:
    """The actuator.

    Parameters
    ----------
    n_positions
        2 for the positions A and B.
    is_legacy
        Whether it answers as the older actuators do.
    """

    def __init__(self, n_positions: int = 10, *, is_legacy: bool = False) -> None:
        self.n_positions = n_positions
        self.is_legacy = is_legacy
        self.place = 1
        self._from = 1
        self._arrives = 0.0

    def answer(self, line: str) -> str:
        """Return the answer to *line*, nothing to a command."""
        now = asyncio.get_running_loop().time()
        word = line.strip()
        if word == "CP":
            here = self.place if now >= self._arrives else self._from
            return f'Position is = "{self._name(here)}"' if self.is_legacy else f"CP{self._name(here)}"
        if word == "NP":
            return f"NP{self.n_positions:02d}"
        if word.startswith("GO"):
            self._go(word[2:], now)
        return ""

    def _go(self, name: str, now: float) -> None:
        place = {"A": 1, "B": 2}.get(name) or int(name)
        if 1 <= place <= self.n_positions and place != self.place:
            self._from, self.place = self.place, place
            self._arrives = now + 0.5 * abs(self.place - self._from)

    def _name(self, place: int) -> str:
        return "AB"[place - 1] if self.n_positions == 2 else f"{place:02d}"
