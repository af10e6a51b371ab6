"""The simulated instrument: it answers below the driver, so that the driver's own code runs in simulation.

Metal and ligand form a coloured complex. The warmer the cuvette, the faster it forms, and the less of it is stable; so
there is a best temperature, and a best mixing ratio. Numbers are invented, their sizes are usual.
"""

import asyncio
import math

import numpy as np

from sdl.simulators import Reply

METAL, LIGAND = 2e-4, 1e-4  # mol/l in the bottles
ABSORPTIVITY = 2.0e4  # l/(mol cm), in a cuvette of 1 cm
STABILITY, ENTHALPY = 1e6, -80e3  # l/mol at 25 degC, J/mol
RATE, ACTIVATION = 0.004, 60e3  # 1/s at 25 degC, J/mol
GAS = 8.314  # J/(mol K)

FILLING_S = 45.0
HEATING_S = 120.0  # time constant of the cuvette
READING_S = 0.5
PUMP_NOISE = 0.005  # of the fraction
PHOTOMETER_NOISE = 0.004


def complex_formed(fraction: float, temperature: float, seconds: float) -> float:
    """Return the concentration of the complex, mol/l, *seconds* after mixing at *temperature* in degC."""
    warmer = (1 / 298.15 - 1 / (temperature + 273.15)) / GAS
    dissociation = math.exp(-ENTHALPY * warmer) / STABILITY
    metal, ligand = METAL * (1 - fraction), LIGAND * fraction
    total = metal + ligand + dissociation
    at_the_end = (total - math.sqrt(total**2 - 4 * metal * ligand)) / 2
    return at_the_end * (1 - math.exp(-RATE * math.exp(ACTIVATION * warmer) * seconds))


class SimulatedCuvette:
    """Understands the lines that `driver.py` lists, in the time of the running loop."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.prepare(trial=0, attempt=1)

    def prepare(self, trial: int, attempt: int) -> None:
        """Be as new. Chance follows from seed, trial and attempt alone, so that a resumed campaign repeats itself."""
        self._chance = np.random.default_rng([self._seed, trial, attempt])
        self._from, self._to, self._since = 20.0, 20.0, None
        self._fraction: float | None = None
        self._filled_at = 0.0

    def answer(self, line: str) -> str | Reply:
        """Return the answer to one line."""
        command, *words = line.split()
        match command, words:
            case "*IDN?", []:
                return "simulated cuvette"
            case "TEMP", [value]:
                return self._heat(float(value))
            case "TEMP?", []:
                return f"{self._temperature():.3f}"
            case "HOLD", []:
                return self._heat(self._temperature())
            case "FILL", [value]:
                return self._fill(float(value))
            case "FILL?", []:
                return self._filling()
            case "STOP", []:
                self._fraction = None
                return "OK"
            case "READ?", []:
                return Reply(f"{self._absorbance():.5f}", after_s=READING_S)
            case _:
                return f"ERR 1 unknown command {line}"

    def _heat(self, value: float) -> str:
        self._from, self._to, self._since = self._temperature(), value, _now()
        return "OK"

    def _temperature(self) -> float:
        if self._since is None:
            return self._to
        return self._to + (self._from - self._to) * math.exp(-(_now() - self._since) / HEATING_S)

    def _fill(self, fraction: float) -> str:
        if not 0 <= fraction <= 1:
            return f"ERR 2 the fraction is 0 to 1, not {fraction:g}"
        self._fraction = min(max(fraction * (1 + PUMP_NOISE * self._chance.standard_normal()), 0.0), 1.0)
        self._filled_at = _now() + FILLING_S
        return "OK"

    def _filling(self) -> str:
        if self._fraction is None:
            return "IDLE"
        return "DONE" if _now() >= self._filled_at else "BUSY"

    def _absorbance(self) -> float:
        noise = PHOTOMETER_NOISE * float(self._chance.standard_normal())
        if self._fraction is None:
            return noise
        seconds = max(_now() - self._filled_at, 0.0)
        return ABSORPTIVITY * complex_formed(self._fraction, self._temperature(), seconds) + noise


def _now() -> float:
    return asyncio.get_running_loop().time()
