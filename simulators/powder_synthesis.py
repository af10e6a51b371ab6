"""``PowderLab``: the twin of a laboratory that makes inorganic powders by itself, and sees by X-rays what it made.

What the exhibit is and how its chemistry is modelled stands in :mod:`sdl.simulators.powder_physics`; structures and
patterns in :mod:`sdl.simulators.crystals` and :mod:`sdl.simulators.diffraction`. Powders are dosed and milled, fired in
box furnaces with eight slots each, and measured by a diffractometer; a robot carries the crucibles. How long each of
these takes is assumed, see :data:`TIMES`. The published frame is 58 targets in 17 days.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from bluesky.utils import MsgGenerator
from pydantic import Field, JsonValue

from sdl.devices import BoxFurnace, Diffractometer, Dispenser, Limits, MobileRobot, Treater
from sdl.lab.batch import Batch
from sdl.lab.clock import Clock
from sdl.lab.experiment import Experiment, Settings, Step
from sdl.lab.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.problem import Categorical, Discrete, Maximize, SearchSpace
from sdl.problem.value import Value
from sdl.simulators.answering import Handler, Tasking, now, number
from sdl.simulators.bench import Bench, DispenserTwin, RobotTwin, TreaterTwin, Vessel, luck, vessel_of
from sdl.simulators.crystals import CRYSTALS
from sdl.simulators.diffraction import ANGLES, fit_phases, mixture
from sdl.simulators.powder_physics import CALIBRATED, REACTING, SOURCES, candidates, fire, masses, metals

T = TypeVar("T")

TARGETS = tuple(REACTING)
MILLIGRAMS = 2000.0
"""Of the target, if all reacts."""

TIMES: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "vessel": (10.0, "s to take a crucible or put it down"),
        "powder": (180.0, "s to weigh one powder"),
        "mill": (600.0, "s to mill one mixture and fill it into a crucible"),
        "heating": (600.0, "K an hour"),
        "cooling": (300.0, "K an hour"),
        "scan": (8.0, "min, with grinding the product and filling the holder"),
    }
)
"""How long things take: assumed."""

DRIVES: Mapping[str, float] = MappingProxyType(
    {"store": 0.4, "powders": 0.3, "mill": 0.3, "rack": 0.5, "diffractometer": 0.4, "waste": 0.4}
)
"""Minutes from the middle of the room; assumed. The furnaces load themselves from the rack before them."""

FURNACES = ("furnace1", "furnace2")
STATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mixing": ("powders", "mill"),
        "robot": ("robot",),
        **{name: (name,) for name in FURNACES},
        "diffraction": ("diffractometer",),
    }
)
"""Which devices work as one station."""
SLOTS = 8
COUNTS = 2500.0  # at the strongest peak; assumed
DOSE_ERROR = 0.01  # as a share; assumed
HOTTEST = 1200.0  # degC


class PowderFaults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    jam
        A powder does not flow.
    trip
        A heater trips while it fires a crucible: the run is lost.
    spill
        The robot loses a crucible.
    """

    jam: Annotated[float, Field(ge=0, le=1)] = 0.0
    trip: Annotated[float, Field(ge=0, le=1)] = 0.0
    spill: Annotated[float, Field(ge=0, le=1)] = 0.0


class PowderLab(Lab):
    """A simulated laboratory for solid-state synthesis: powders, a mill, two box furnaces, a diffractometer, a robot.

    What a crucible yields depends on the seed, on its name, on what is in it and how it was fired.

    Parameters
    ----------
    seed
        Of all chance, and of which recipes are good.
    clock
        A virtual clock by default.
    faults
        How often things go wrong; never, by default.

    Attributes
    ----------
    robot, powders, mill, furnace1, furnace2, diffractometer
        The drivers.
    """

    is_simulated = True

    def __init__(self, seed: int = 0, *, clock: Clock | None = None, faults: PowderFaults | None = None) -> None:
        self.seed = seed
        self.faults = faults or PowderFaults()
        self._bench = Bench(seed)
        super().__init__(
            "powder-synthesis",
            stations=STATIONS,
            kinds={"furnace": FURNACES},
            clock=clock or VirtualClock(),
            **self._devices(),
        )

    def prepare(self, trial: int, attempt: int) -> None:  # noqa: ARG002 # chance goes by the vessels' names
        """Begin an attempt: whatever stood still with a fault has been looked after."""
        self._bench.mend()

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    @staticmethod
    def space(*targets: str) -> SearchSpace:
        """Return the recipes: which source of each metal, how hot, for how long; and which target, if several."""
        names = targets or TARGETS
        target = {"target": Categorical(names)} if len(names) > 1 else {}
        return SearchSpace(
            {
                **target,
                "first": Categorical(("usual", "other")),
                "second": Categorical(("usual", "other")),
                "temperature": Discrete(tuple(float(t) for t in range(600, int(HOTTEST) + 1, 50)), unit="degC"),
                "hours": Discrete((2.0, 4.0, 8.0, 16.0), unit="h"),
            }
        )

    objective = Maximize("yield")

    def truth(self, values: Mapping[str, float | str]) -> float:
        """Return the share by weight of the target, without noise of firing, dosing and counting."""
        target = str(values["target"])
        temperature, hours = float(values["temperature"]), float(values["hours"])
        products = fire(masses(target, sources_of(values), MILLIGRAMS), temperature, hours, seed=self.seed)
        return products.get(target, 0.0) / sum(products.values())

    @staticmethod
    def experiment(patience: str = "3 h") -> Experiment:
        """Return the experiment in three steps: mix, fire up to eight at one temperature and time, look.

        Either furnace takes a batch. A powder waits as long as *patience* says for others to be fired with.
        """
        fired = Batch(SLOTS, shared=("temperature", "hours"), patience=patience)
        return Experiment(
            Step("mix", _one(mix), station="mixing", needs=("robot",), duration="20 min"),
            Step("fire", heat, station="furnace", batch=fired, duration=_firing_time),
            Step("look", _one(look), station="diffraction", needs=("robot",), duration="11 min"),
        )

    @staticmethod
    def make_and_measure(lab: PowderLab, s: Settings) -> MsgGenerator[dict[str, float]]:
        """Plan: make one powder and measure it."""
        results = yield from lab.run_batch(lab, [s])
        return results[0]

    @staticmethod
    def for_target(target: str) -> Callable[[PowderLab, Settings], MsgGenerator[dict[str, float]]]:
        """Return the plan for one target, where the search space does not name it."""

        def plan(lab: PowderLab, s: Settings) -> MsgGenerator[dict[str, float]]:
            results = yield from lab.run_batch(lab, [_with_target(s, target)])
            return results[0]

        return plan

    @staticmethod
    def run_batch(lab: PowderLab, batch: Sequence[Settings]) -> MsgGenerator[list[dict[str, float]]]:
        """Plan: mix up to eight powders, fire them together at the first one's temperature and time, measure them."""
        yield from mix(lab, batch)
        yield from heat(lab, batch)
        return (yield from look(lab, batch))

    def _devices(self) -> dict[str, Any]:
        bench, faults = self._bench, self.faults
        robot = RobotTwin(bench, minutes=DRIVES, seconds_a_vessel=TIMES["vessel"][0], drop=faults.spill)
        powders = DispenserTwin(bench, "powders", seconds=(30.0, TIMES["powder"][0]), error=DOSE_ERROR, jam=faults.jam)
        mill = TreaterTwin(bench, "mill", verb="MILL", seconds=(60.0, TIMES["mill"][0]), act=_grind)
        scanner = DiffractometerTwin(bench)
        furnaces = {name: FurnaceTwin(bench, faults.trip) for name in FURNACES}
        line = bench.lines(robot=robot, powders=powders, mill=mill, diffractometer=scanner, **furnaces)
        amounts = dict.fromkeys(sorted({s for some in SOURCES.values() for s in some}), Limits(1.0, 20_000.0))
        ovens = {
            name: BoxFurnace(line[name], slots=SLOTS, temperatures=Limits(100.0, HOTTEST), name=name)
            for name in FURNACES
        }
        return {
            "robot": MobileRobot(line["robot"], places=tuple(DRIVES), capacity=SLOTS),
            "powders": Dispenser(line["powders"], materials=amounts, unit="mg", name="powders"),
            "mill": Treater(line["mill"], verb="MILL", capacity=SLOTS, name="mill", timeout_s=14_400),
            **ovens,
            "diffractometer": Diffractometer(line["diffractometer"], n_angles=len(ANGLES)),
        }


def sources_of(values: Mapping[str, float | str]) -> tuple[str, str]:
    """Return the two powders of a recipe; where a metal has one source only, ``other`` is that one, too."""
    found = [SOURCES[metal] for metal in metals(CRYSTALS[str(values["target"])].formula)]
    first, second = (
        choice[min(int(values[which] == "other"), len(choice) - 1)]
        for choice, which in zip(found, ("first", "second"), strict=True)
    )
    return first, second


def mix(lab: PowderLab, batch: Sequence[Settings]) -> MsgGenerator[list[None]]:
    """Plan: fetch crucibles, weigh the powders, mill them, put them onto the rack before the furnaces."""
    names = [vessel_of(s) for s in batch]
    yield from lab.robot.carry(names, "store", "powders")
    for s in batch:
        yield from lab.powders.dispense(vessel_of(s), masses(str(s["target"]), sources_of(s), MILLIGRAMS))
    yield from lab.robot.carry(names, "powders", "mill")
    yield from lab.mill.treat(names)
    yield from lab.robot.carry(names, "mill", "rack")
    return [None] * len(names)


def heat(lab: PowderLab, batch: Sequence[Settings]) -> MsgGenerator[list[None]]:
    """Plan: fire the crucibles together in the furnace whose step it is, or in the first one."""
    names = [vessel_of(s) for s in batch]
    where = batch[0].station if batch[0].station in FURNACES else FURNACES[0]
    furnace: BoxFurnace = lab.devices[where]
    yield from furnace.fire(names, temperature=batch[0].number("temperature"), hours=batch[0].number("hours"))
    return [None] * len(names)


def look(lab: PowderLab, batch: Sequence[Settings]) -> MsgGenerator[list[dict[str, float]]]:
    """Plan: measure each powder and fit its phases; return the shares by weight.

    ``yield`` is the target's share, ``unreacted`` that of everything else, ``misfit`` the weighted residual of the fit.
    """
    diffractometer: Diffractometer = lab.diffractometer
    names = [vessel_of(s) for s in batch]
    results: list[dict[str, float]] = []
    yield from lab.robot.carry(names, "rack", "diffractometer")
    for s in batch:
        counts = yield from diffractometer.measure(vessel_of(s))
        results.append(_phases(str(s["target"]), counts) if counts else {})
    yield from lab.robot.carry(names, "diffractometer", "waste")
    return results


def _one(plan: Callable[[PowderLab, Sequence[Settings]], MsgGenerator[list[T]]]) -> Callable[..., MsgGenerator[T]]:
    """Return the plan for one sample."""

    def single(lab: PowderLab, s: Settings) -> MsgGenerator[T]:
        results = yield from plan(lab, [s])
        return results[0]

    return single


def _firing_time(s: Settings) -> float:
    return 3600 * s.number("hours") + ramp_s(s.number("temperature"))


def ramp_s(temperature: float) -> float:
    """Return seconds of heating to and cooling from *temperature*, degC."""
    return 3600 * ((temperature - 25) / TIMES["heating"][0] + (temperature - 60) / TIMES["cooling"][0])


def _phases(target: str, counts: Sequence[float]) -> dict[str, float]:
    shares, misfit = fit_phases(counts, candidates(target))
    return {"yield": shares[target], "unreacted": sum(shares.values()) - shares[target], "misfit": misfit}


def _with_target(s: Settings, target: str) -> Settings:
    return Settings({**s, "target": target}, units=s.units, trial=s.trial, attempt=s.attempt, station=s.station)


def _grind(crucible: Vessel, _: float) -> None:
    crucible.done.add("milled")


class FurnaceTwin(Tasking):
    """A box furnace that heats and cools at its own speed."""

    identity = "sdl,simulated box furnace,0,1"

    def __init__(self, bench: Bench, trip: float) -> None:
        super().__init__()
        self._bench = bench
        self._trip = trip
        self._programme = (25.0, 0.0)

    def _tasks(self) -> dict[str, Handler]:
        return {"FIRE": (None, self._fire), "TEMP?": (0, self._temperature)}

    def _fire(self, *words: str) -> str:
        temperature, hours, names = number(words[0]), number(words[1]), words[2:]
        if refusal := self._bench.lacks(names, "rack"):
            return refusal
        seconds = 3600 * hours + ramp_s(temperature)
        trips = any(self._bench.happens(self._trip, name, 500) for name in names)
        self._programme = (temperature, hours)
        fault = "61 the heater tripped" if trips else ""
        return self._begin(seconds, lambda: self._finish_all(names, temperature, hours), fault=fault)

    def _finish_all(self, names: Sequence[str], temperature: float, hours: float) -> None:
        for name in names:
            crucible = self._bench.vessels[name]
            noise = luck(self._bench.seed, name, 0xF0).standard_normal()
            rate = math.exp(CALIBRATED["noise"][0] * noise)
            rate *= 1.0 if "milled" in crucible.done else CALIBRATED["unground"][0]
            crucible.contents = fire(crucible.contents, temperature, hours, seed=self._bench.seed, rate=rate)

    def _temperature(self) -> str:
        if self._ends is None:
            return "25.0"
        top, hours = self._programme
        passed = (now() - self._began) / 3600
        rise = 25 + TIMES["heating"][0] * passed
        fall = top - TIMES["cooling"][0] * (passed - hours - (top - 25) / TIMES["heating"][0])
        return f"{max(min(rise, top, fall), 25.0):.1f}"


class DiffractometerTwin(Tasking):
    """A diffractometer that grinds, scans and counts."""

    identity = "sdl,simulated diffractometer,0,1"

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self._counts = ""

    def _tasks(self) -> dict[str, Handler]:
        return {"SCAN": (1, self._scan), "COUNTS?": (0, lambda: self._counts)}

    def _scan(self, name: str) -> str:
        if refusal := self._bench.lacks((name,), "diffractometer"):
            return refusal
        return self._begin(60 * TIMES["scan"][0], lambda: self._count(name))

    def _count(self, name: str) -> None:
        crucible = self._bench.vessels[name]
        total = sum(crucible.contents.values())
        shares = {phase: mass / total for phase, mass in crucible.contents.items()} if total > 0 else {}
        rng = luck(self._bench.seed, name, 0xD1)
        counted = mixture(shares, counts=COUNTS, shift=float(rng.uniform(-0.03, 0.03)), rng=rng)
        self._counts = " ".join(f"{count:.0f}" for count in counted)
