"""The driver: what your instrument is told, and how its answers are read.

The instrument here is a photometer with a stirred, heated cuvette, which is filled from two bottles. It talks in lines:

    *IDN?          who it is
    TEMP 37.5      set-point of the cuvette, degC
    TEMP?          its temperature now
    HOLD           stay at the present temperature
    FILL 0.35      empty and rinse it, then fill it: 0.35 of the volume from the ligand's bottle, the rest metal solution
    FILL?          IDLE, BUSY or DONE
    STOP           stop both pumps
    READ?          the absorbance

A command is answered OK, or ERR with a number and a text. Where your instrument does it differently, `Instrument` is the
class to look at; where it talks in something else than lines, write a transport of your own.
"""

import math
import statistics

import bluesky.plan_stubs as bps

from sdl.devices import Activity, Instrument, Knob, Limits, Pause, Sensor, Transport
from sdl.errors import DeviceError, LimitError
from sdl.problem import Measurement

TEMPERATURE = Limits(5, 90)  # degC: what the instrument can do. What your laboratory allows stands in lab.py
N_READINGS = 5


class Cuvette:
    """The parts of the instrument: a knob to turn, an activity that takes time, a sensor to read."""

    def __init__(self, transport: Transport, *, name: str = "cuvette") -> None:
        self.name = name
        self._line = Instrument(name, transport)
        self.temperature = Knob(
            f"{name}_temperature",
            instrument=self._line,
            setter="TEMP {:.2f}",
            question="TEMP?",
            stopper="HOLD",
            unit="degC",
            limits=TEMPERATURE,
            tolerance=0.2,  # how near is there
            timeout_s=3600,
            poll_s=5,
        )
        self.filling: Activity[float] = Activity(
            f"{name}_filling",
            self._fill,
            halt=self._stop,
            check=_check_fraction,
            action_class="irreversible",  # what is pumped is used up: nothing does it again without being asked
            safe_action="stop_now",  # what it does when an interlock trips
        )
        self._mean, self._error = f"{name}_absorbance", f"{name}_absorbance_error"
        self.absorbance = Sensor(
            self._mean, self._read, units={self._mean: "", self._error: ""}, source=f"{transport.name} READ?"
        )

    def measure(self):
        """Part of a plan: read the absorbance, record it, and return it with its standard error."""
        reading = yield from bps.trigger_and_read([self.absorbance])
        if self._mean not in reading:  # the plan is only walked, to check its limits: nothing was measured
            return {}
        value, error = reading[self._mean]["value"], reading[self._error]["value"]
        return {"absorbance": Measurement(value, standard_error=error, n_replicates=N_READINGS)}

    async def _fill(self, fraction: float, pause: Pause) -> None:
        await self._line.command(f"FILL {fraction:.4f}")
        while await self._line.ask("FILL?") != "DONE":
            if await pause.sleep(1.0):
                raise DeviceError(f"{self.name} was stopped while it was being filled")

    async def _stop(self) -> None:
        await self._line.command("STOP")

    async def _read(self) -> dict[str, float]:
        values = [await self._line.number("READ?") for _ in range(N_READINGS)]
        error = statistics.stdev(values) / math.sqrt(N_READINGS)
        return {self._mean: statistics.fmean(values), self._error: error}


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise LimitError(f"the fraction of ligand is 0 to 1, got {fraction:g}")
