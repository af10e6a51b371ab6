"""Instruments with Modbus registers, simulated: they answer the requests of ``sdl.devices.lines.ModbusTransport``."""

from __future__ import annotations

from sdl.devices.lines import ModbusRequest
from sdl.errors import LabError


class SimulatedRegisters:
    """Registers that are read and written; a subclass keeps them up to date: :meth:`_refresh`, :meth:`_written`."""

    def __init__(self) -> None:
        self.registers: dict[int, int] = {}

    def answer(self, line: str) -> str:
        """Return the answer to *line*."""
        try:
            request = ModbusRequest.parse(line)
        except LabError as error:
            return f"ERR 1 {error.message}"
        if request.value is not None:
            for place, word in enumerate(request.words()):
                if request.address + place not in self.registers:
                    return "ERR 2 there is no such address"
                self.registers[request.address + place] = word
            self._written(request.address)
            return "OK"
        self._refresh()
        n = request.count * request.n_words
        words = [self.registers.get(request.address + place) for place in range(n)]
        found = [word for word in words if word is not None]
        return request.text(found) if len(found) == n else "ERR 2 there is no such address"

    def put(self, address: int, value: float, kind: str = "float32") -> None:
        """Have *value* in the registers from *address* on."""
        words = ModbusRequest("HOLDING", address, kind, value=value).words()
        self.registers.update({address + place: word for place, word in enumerate(words)})

    def get(self, address: int, kind: str = "float32") -> float:
        """Return what is in the registers from *address* on."""
        request = ModbusRequest("HOLDING", address, kind)
        return float(request.text([self.registers[address + place] for place in range(request.n_words)]))

    def _refresh(self) -> None:
        """Bring the registers up to date before they are read."""

    def _written(self, address: int) -> None:
        """Act on what was written to *address*."""
