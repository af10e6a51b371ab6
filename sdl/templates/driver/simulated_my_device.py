"""The simulated instrument: it answers below the driver, so that the driver's own code runs in simulation."""

import asyncio
import math

AMBIENT = 20.0  # degC
HEATING_S = 300.0  # time constant of the plate
SPIN_UP = 200.0  # 1/min in a second
LOSS = 1.6  # W for each degree above ambient


class SimulatedMyDevice:
    """Understands the lines that `my_device.py` lists, in the time of the running loop."""

    def __init__(self) -> None:
        self._from = self._to = AMBIENT
        self._heated = 0.0  # when the last set-point came
        self._was, self._speed, self._sped = 0.0, 0.0, 0.0

    def answer(self, line: str) -> str:
        """Return the answer to one line."""
        match line.split():
            case ["*IDN?"]:
                return "hot plate 1.4, simulated"
            case ["TEMP", value]:
                self._from, self._to, self._heated = self._temperature(), float(value), now()
            case ["TEMP?"]:
                return f"{self._temperature():.2f}"
            case ["HOLD"]:
                return self.answer(f"TEMP {self._temperature()}")
            case ["SPEED", value]:
                self._was, self._speed, self._sped = self._turns(), float(value), now()
            case ["SPEED?"]:
                return f"{self._turns():.0f}"
            case ["POWER?"]:
                return f"{LOSS * max(self._to - AMBIENT, 0.0):.1f}"
            case _:
                return f"ERR 1 unknown command {line}"
        return "OK"

    def _temperature(self) -> float:
        return self._to + (self._from - self._to) * math.exp(-(now() - self._heated) / HEATING_S)

    def _turns(self) -> float:
        change = SPIN_UP * (now() - self._sped)
        left = self._speed - self._was
        return self._speed if abs(left) <= change else self._was + math.copysign(change, left)


def now() -> float:
    """Return the time of the running loop, which is virtual in simulation."""
    return asyncio.get_running_loop().time()
