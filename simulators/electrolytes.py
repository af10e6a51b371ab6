"""``ElectrolyteLab``: the twin of a laboratory that mixes electrolytes and measures them, for goals besides optima.

What is modelled, and on whose findings, stands in :mod:`sdl.simulators.electrolyte_physics`. The candidates are a pool,
as in NIMS-OS: three solvents in tenths and nine molalities for conductivity, the same solvents and temperatures for the
map of what crystallises. Mixing takes about three minutes, a measurement a quarter of an hour and longer in the cold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from bluesky.utils import MsgGenerator
from pydantic import Field, JsonValue

from sdl.devices import Dispenser, ElectrolyteCell, Limits, MobileRobot
from sdl.lab.clock import Clock
from sdl.lab.experiment import Settings
from sdl.lab.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.problem import CandidatePool, Continuous, Maximize, Measurement, SearchSpace, Target
from sdl.problem.value import Value
from sdl.simulators.answering import Handler, Tasking, number
from sdl.simulators.bench import Bench, DispenserTwin, RobotTwin, luck, vessel_of
from sdl.simulators.electrolyte_physics import conductivity, crystals

SOLVENTS = ("ec", "dmc", "emc")
MOLALITIES = tuple(round(0.4 + 0.2 * n, 1) for n in range(9))
TEMPERATURES = tuple(float(t) for t in range(-40, 21, 10))
STOCK_MOLALITY = 3.0  # mol/kg of the salt in each solvent, so that salt is dosed as a liquid
GRAMS = 5.0  # of a sample
DRIVES = {"store": 0.3, "mixer": 0.3, "cell": 0.3, "waste": 0.3}  # minutes; assumed
NOISE = 0.015  # of a conductivity, as a share; assumed
CLOUDY = 1.5  # K below the freezing point from which crystals are seen; assumed


class ElectrolyteFaults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    clog
        A valve of the mixer clogs.
    bubble
        A bubble sits in the cell: the measurement fails.
    """

    clog: Annotated[float, Field(ge=0, le=1)] = 0.0
    bubble: Annotated[float, Field(ge=0, le=1)] = 0.0


class ElectrolyteLab(Lab):
    """A simulated laboratory with a mixer for liquids, a thermostatted cell, and a robot between them.

    What a sample shows depends on the seed, on its name and on what is in it.

    Parameters
    ----------
    seed
        Of all chance.
    clock
        A virtual clock by default.
    faults
        How often things go wrong; never, by default.

    Attributes
    ----------
    robot, mixer, cell
        The drivers.
    """

    is_simulated = True

    def __init__(self, seed: int = 0, *, clock: Clock | None = None, faults: ElectrolyteFaults | None = None) -> None:
        self.seed = seed
        self.faults = faults or ElectrolyteFaults()
        bench = self._bench = Bench(seed)
        line = bench.lines(
            robot=RobotTwin(bench, minutes=DRIVES, seconds_a_vessel=8.0),
            mixer=DispenserTwin(bench, "mixer", seconds=(60.0, 30.0), error=0.003, jam=self.faults.clog),
            cell=CellTwin(bench, self.faults.bubble),
        )
        amounts = {name: Limits(0.005, GRAMS) for solvent in SOLVENTS for name in (solvent, f"{solvent}_salt")}
        devices: dict[str, Any] = {
            "robot": MobileRobot(line["robot"], places=tuple(DRIVES)),
            "mixer": Dispenser(line["mixer"], materials=amounts, unit="g", name="mixer"),
            "cell": ElectrolyteCell(line["cell"], temperatures=Limits(-50.0, 60.0)),
        }
        super().__init__("electrolytes", clock=clock or VirtualClock(), **devices)

    def prepare(self, trial: int, attempt: int) -> None:  # noqa: ARG002 # chance goes by the vessels' names
        """Begin an attempt: whatever stood still with a fault has been looked after."""
        self._bench.mend()

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    @staticmethod
    def truth(values: Mapping[str, float | str]) -> float:
        """Return the conductivity at 25 degC, mS/cm, without noise."""
        return conductivity(*_mixture(values), 25.0)

    @staticmethod
    def true_phase(values: Mapping[str, float | str]) -> int:
        """Return what is seen at the point's temperature: 0 a clear liquid, 1 crystals of EC, 2 of DMC."""
        kind, below = crystals(*_mixture(values), float(values["temperature"]))
        return kind if below > CLOUDY else 0

    @staticmethod
    def space() -> SearchSpace:
        """Return the 594 candidates for conductivity: solvents in tenths by mass, nine molalities."""
        rows = [(*shares, salt) for shares in _shares() for salt in MOLALITIES]
        return _pool({"ec": "", "dmc": "", "emc": "", "salt": "mol/kg"}, rows)

    objective = Maximize("conductivity", unit="mS/cm")

    @staticmethod
    def phase_space() -> SearchSpace:
        """Return the 462 candidates for the phase map: solvents in tenths, seven temperatures, 1 mol/kg."""
        rows = [(*shares, t) for shares in _shares() for t in TEMPERATURES]
        return _pool({"ec": "", "dmc": "", "emc": "", "temperature": "degC"}, rows)

    phase_objective = Target("phase", low=0, high=2)
    """No phase is better than another."""

    @staticmethod
    def mix_and_measure(lab: ElectrolyteLab, s: Settings) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: mix one electrolyte, measure it; at 25 degC unless the settings have a temperature."""
        vessel = vessel_of(s)
        cell: ElectrolyteCell = lab.cell
        yield from lab.robot.carry([vessel], "store", "mixer")
        yield from lab.mixer.dispense(vessel, recipe(s))
        yield from lab.robot.carry([vessel], "mixer", "cell")
        celsius = s.number("temperature") if "temperature" in s else 25.0
        found = yield from cell.measure(vessel, temperature=celsius)
        yield from lab.robot.carry([vessel], "cell", "waste")
        return {name: found[name] for name in (("phase",) if "temperature" in s else ("conductivity",)) if found}


def recipe(s: Mapping[str, float | str]) -> dict[str, float]:
    """Return g of each solvent, and of each solvent with salt, that make the mixture."""
    ec, dmc, emc, salt = _mixture(s)
    salted = min(salt / STOCK_MOLALITY, 1.0)
    shares = dict(zip(SOLVENTS, (ec, dmc, emc), strict=True))
    plain = {name: GRAMS * share * (1 - salted) for name, share in shares.items()}
    loaded = {f"{name}_salt": GRAMS * share * salted for name, share in shares.items()}
    return {name: grams for name, grams in (plain | loaded).items() if grams >= 0.005}


def _mixture(values: Mapping[str, float | str]) -> tuple[float, float, float, float]:
    ec, dmc, emc = (float(values[name]) for name in SOLVENTS)
    return ec, dmc, emc, float(values.get("salt", 1.0))


def _shares() -> list[tuple[float, float, float]]:
    return [(i / 10, j / 10, (10 - i - j) / 10) for i in range(11) for j in range(11 - i)]


def _pool(units: Mapping[str, str], rows: Sequence[tuple[float, ...]]) -> SearchSpace:
    columns = dict(zip(units, zip(*rows, strict=True), strict=True))
    parameters = {
        name: Continuous(min(columns[name]), max(columns[name]), unit=unit or None) for name, unit in units.items()
    }
    return SearchSpace(parameters, pool=CandidatePool(columns))


class CellTwin(Tasking):
    """The cell: cools its sample, measures, and looks through it."""

    identity = "sdl,simulated electrolyte cell,0,1"

    def __init__(self, bench: Bench, bubble: float) -> None:
        super().__init__()
        self._bench = bench
        self._bubble = bubble
        self._conductivity = 0.0
        self._seen = "0.00 none"

    def _tasks(self) -> dict[str, Handler]:
        return {
            "MEASURE": (2, self._measure),
            "COND?": (0, lambda: f"{self._conductivity:.5g}"),
            "TURBID?": (0, lambda: self._seen),
        }

    def _measure(self, name: str, word: str) -> str:
        celsius = number(word)
        if refusal := self._bench.lacks((name,), "cell"):
            return refusal
        fails = self._bench.happens(self._bubble, name, 600)
        seconds = 600.0 + 30.0 * abs(celsius - 25.0)
        fault = "71 a bubble in the cell" if fails else ""
        return self._begin(seconds, lambda: self._look(name, celsius), fault=fault)

    def _look(self, name: str, celsius: float) -> None:
        shares, salt = composition(self._bench.vessels[name].contents)
        noise = luck(self._bench.seed, name, 0xCE).standard_normal(2)
        kind, below = crystals(*shares, salt, celsius)
        liquid = conductivity(*shares, salt, celsius)
        below += 0.3 * noise[1]
        is_seen = kind > 0 and below > CLOUDY
        self._conductivity = liquid * (1 + NOISE * noise[0]) * (math.exp(-below / 20) if is_seen else 1.0)
        self._seen = f"{1 - math.exp(-below / 10):.2f} {('none', 'blue', 'red')[kind]}" if is_seen else "0.00 none"


def composition(contents: Mapping[str, float]) -> tuple[tuple[float, float, float], float]:
    """Return the shares of the solvents and the molality of what was dosed."""
    grams = [contents.get(name, 0.0) + contents.get(f"{name}_salt", 0.0) for name in SOLVENTS]
    total = sum(grams) or 1.0
    salt = STOCK_MOLALITY * sum(contents.get(f"{name}_salt", 0.0) for name in SOLVENTS) / total
    return (grams[0] / total, grams[1] / total, grams[2] / total), salt
