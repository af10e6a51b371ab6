"""The laboratory: the instruments together, real or simulated."""

from driver import Cuvette
from simulated import SimulatedCuvette

from sdl import Lab, VirtualClock
from sdl.devices import SerialTransport
from sdl.simulators import SimulatedTransport

NAME = "my-lab"

# What your laboratory allows, whatever an instrument can do and whoever wrote the plan. Nothing is moved outside.
LIMITS = {"cuvette.temperature": (10, 70)}


class SimulatedLab(Lab):
    """The laboratory on a desk: simulated instruments, and a clock that jumps over the waiting."""

    is_simulated = True

    def __init__(self, seed: int = 0) -> None:
        self._instrument = SimulatedCuvette(seed)
        line = SimulatedTransport(self._instrument, name="cuvette")
        super().__init__(NAME, limits=LIMITS, clock=VirtualClock(), cuvette=Cuvette(line))

    def prepare(self, trial: int, attempt: int) -> None:
        """Begin an attempt at a trial with the chance that belongs to it."""
        self._instrument.prepare(trial, attempt)


def make_lab(*, simulated: bool = True, seed: int = 0, port: str = "/dev/ttyUSB0") -> Lab:
    """Return the laboratory: simulated, or the real one at a serial port."""
    if simulated:
        return SimulatedLab(seed)
    return Lab(NAME, limits=LIMITS, cuvette=Cuvette(SerialTransport(port, baud=9600)))
