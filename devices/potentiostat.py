"""A potentiostat with a three-electrode cell: it sweeps or holds a potential, and records the current.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

=======================  =============================================================================================
``SWEEP 0 0.8 0.1 2``    from 0 V to 0.8 V and back at 0.1 V/s, twice: a cyclic voltammogram
``HOLD 0.6 30``          keep 0.6 V for 30 s
``OCP?``                 V between the electrodes with the cell open
``TRACE? E``             the potentials of the last task, V; ``TRACE? I`` the currents, A; ``TRACE? T`` the times, s
=======================  =============================================================================================

``STOP`` opens the cell, and so does the end of every task: no current flows when nobody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from bluesky.utils import MsgGenerator

from sdl.devices.curves import Curves, numbers
from sdl.devices.driver import Activity, Limits, Sensor
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.envelope import as_number

POTENTIALS = Limits(-2.0, 2.0)
RATES = Limits(0.001, 10.0)
SECONDS = Limits(0.1, 36_000.0)
N_CYCLES = 100


class Sweep(NamedTuple):
    """From *start* to *vertex* (V) and back at *rate* (V/s), *cycles* times."""

    start: float
    vertex: float
    rate: float
    cycles: int = 1

    @property
    def seconds(self) -> float:
        """How long it takes; nothing where it cannot be, which is refused when it is set."""
        return 2 * abs(self.vertex - self.start) / self.rate * self.cycles if self.rate > 0 else 0.0


class Hold(NamedTuple):
    """*potential* (V) for so many *seconds*."""

    potential: float
    seconds: float


Technique = Sweep | Hold


class Potentiostat:
    """Driver of the potentiostat.

    Parameters
    ----------
    transport
        The line to it.
    n_points
        How many points a trace has.
    potentials
        Its range against the reference electrode, V: no further than the cell and its solvent stand.
    rates, seconds
        The ranges of sweep rates, V/s, and of the time of a hold, s.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    technique
        Activity: ``set(Sweep(...))`` or ``set(Hold(...))``. It changes what is in the cell: repeating adds to it.
    trace
        Curves: time, potential and current of the last technique.
    open_circuit
        Sensor: V with the cell open.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.solution_instruments:PotentiostatTwin"

    def __init__(
        self,
        transport: Transport,
        *,
        n_points: int = 500,
        potentials: Limits = POTENTIALS,
        rates: Limits = RATES,
        seconds: Limits = SECONDS,
        name: str = "potentiostat",
    ) -> None:
        self.name = name
        self.parent = None
        self.potentials = potentials
        self.rates = rates
        self.seconds = seconds
        self._line = TaskInstrument(name, transport)
        self._timeout_s = 60 + max(
            seconds.high, 2 * (potentials.high - potentials.low) / max(rates.low, 1e-9) * N_CYCLES
        )
        self.technique: Activity[Technique] = self._line.activity(
            "technique",
            _command,
            check=self._check,
            action_class="cumulative",
            timeout_s=self._timeout_s,
            parent=self,
        )
        keys = {f"{name}_time": "s", f"{name}_potential": "V", f"{name}_current": "A"}
        self.trace = Curves(
            f"{name}_trace",
            self._traced,
            units=keys,
            n_points=n_points,
            source=f"{transport.name} TRACE?",
            parent=self,
        )
        self.open_circuit = Sensor(
            f"{name}_open_circuit",
            self._open,
            units={f"{name}_open_circuit": "V"},
            source=f"{transport.name} OCP?",
            parent=self,
        )

    def run(self, technique: Technique) -> MsgGenerator[dict[str, list[float]]]:
        """Plan stub: do *technique*, record the event, return time (s), potential (V) and current (A).

        Empty where the plan is walked without a device.
        """
        yield from go(self.technique, technique, timeout=60 + 2 * technique.seconds)
        readings: Mapping[str, Any] = yield from record([self.trace], self.name, timeout=60)
        return {
            key: list(readings[f"{self.name}_{key}"]["value"]) for key in ("time", "potential", "current") if readings
        }

    async def self_test(self) -> str:
        """Ask who it is, and whether it complains. Raises DeviceError."""
        await self._line.seconds_left()
        return await self._line.ask("*IDN?")

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the potentiostat work again after a fault."""
        yield from self._line.reset()

    def _check(self, technique: object) -> None:
        if isinstance(technique, Sweep):
            self._hold_to(self.potentials, "V", technique.start, technique.vertex)
            self._hold_to(self.rates, "V/s", technique.rate)
            if technique.cycles not in range(1, N_CYCLES + 1) or technique.start == technique.vertex:
                raise LimitError(
                    f"{self.name} was told {technique}", hint=f"1 to {N_CYCLES} cycles between two potentials"
                )
        elif isinstance(technique, Hold):
            self._hold_to(self.potentials, "V", technique.potential)
            self._hold_to(self.seconds, "s", technique.seconds)
        else:
            raise LimitError(f"{self.name} was told {technique!r}", hint="give it a Sweep or a Hold")

    def _hold_to(self, limits: Limits, unit: str, *values: float) -> None:
        for value in values:
            number = as_number(value)
            if number is None or not limits.low <= number <= limits.high:
                raise LimitError(
                    f"{self.name} was told {value!r} {unit}, its limits are {limits.low:g} to {limits.high:g} {unit}"
                )

    async def _traced(self) -> dict[str, list[float]]:
        letters = {"time": "T", "potential": "E", "current": "I"}
        n = self.trace.n_points
        return {f"{self.name}_{key}": await numbers(self._line, f"TRACE? {word}", n) for key, word in letters.items()}

    async def _open(self) -> dict[str, float]:
        return {self.open_circuit.name: await self._line.number("OCP?")}


def _command(technique: Technique) -> str:
    word = "SWEEP" if isinstance(technique, Sweep) else "HOLD"
    return " ".join([word, *(f"{value:.6g}" for value in technique)])
