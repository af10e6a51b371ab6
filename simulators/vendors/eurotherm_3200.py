"""A Eurotherm 3216 with an oven: the set-point runs at its rate, and the oven follows with a time constant."""

from __future__ import annotations

import asyncio
import math

from sdl.simulators.vendors.registers import SimulatedRegisters

PROCESS_VALUE, TARGET, OUTPUT, WORKING, RATE = 32770, 32772, 32776, 32778, 32838
STATUS, VERSION = 75, 107


class SimulatedEurotherm3200(SimulatedRegisters):
    """Controller and oven.

    Parameters
    ----------
    lag_s
        Time constant of the oven against the set-point.
    """

    def __init__(self, lag_s: float = 60.0) -> None:
        super().__init__()
        self.is_sensor_broken = False
        self._lag = lag_s
        self._since: float | None = None
        for address, value in ((PROCESS_VALUE, 20.0), (TARGET, 20.0), (WORKING, 20.0), (OUTPUT, 0.0), (RATE, 20.0)):
            self.put(address, value)
        self.put(STATUS, 0, "uint16")
        self.put(VERSION, 0x0111, "uint16")

    def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        seconds = 0.0 if self._since is None else now - self._since
        self._since = now
        # Twenty seconds at a time, which is short against the lag, and long waits in at most a hundred steps.
        n = min(max(math.ceil(seconds / 20.0), 1), 100)
        for _ in range(n if seconds else 0):
            self._step(seconds / n)
        self.put(STATUS, 32 if self.is_sensor_broken else 0, "uint16")

    def _step(self, seconds: float) -> None:
        target, working, value, rate = (self.get(address) for address in (TARGET, WORKING, PROCESS_VALUE, RATE))
        step = math.inf if rate == 0 else rate * seconds / 60.0
        working += max(-step, min(step, target - working))
        value += (working - value) * (1.0 - math.exp(-seconds / self._lag))
        self.put(WORKING, working)
        self.put(PROCESS_VALUE, value)
        self.put(OUTPUT, max(0.0, min(100.0, (working - 20.0) / 3.0 + 2.0 * (working - value))))

    def _written(self, address: int) -> None:
        if address == TARGET:
            self.put(WORKING, self.get(PROCESS_VALUE))
