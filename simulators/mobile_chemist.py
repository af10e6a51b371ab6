"""``MobileChemistLab``: the twin of a mobile robot that looks for photocatalyst mixtures in an ordinary laboratory.

What is published about the exhibit, and what of it is verified, stands in
:mod:`sdl.simulators.photocatalysis_physics`. Of the laboratory itself: one robot that drives between eight stations
and works for 21.5 of 24 hours, because it charges its battery (press reports); photolysis and gas chromatography, vials
that are capped, solids and liquids that are dispensed. How the eight stations are called and how long each takes are
this twin's own: see :data:`TIMES`. They are chosen so that a batch of 16 vials takes a little less than seven hours
when the stations work one after the other, and four where the slowest of them, the chromatograph, is never idle. The
688 experiments in eight days of the paper are 43 batches, one in 4.5 hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from bluesky.utils import MsgGenerator
from pydantic import Field, JsonValue

from sdl.devices import Chromatograph, Dispenser, Limits, MobileRobot, Treater
from sdl.errors import DeviceError
from sdl.lab.batch import Batch
from sdl.lab.clock import Clock
from sdl.lab.experiment import Experiment, Settings, Step
from sdl.lab.lab import Lab
from sdl.lab.materials import Stock
from sdl.lab.settings import BatchPlan
from sdl.lab.virtual import VirtualClock
from sdl.problem import Discrete, LinearConstraint, Maximize, Measurement, SearchSpace
from sdl.problem.value import Value
from sdl.simulators.bench import (
    Bench,
    ChromatographTwin,
    DispenserTwin,
    RobotTwin,
    TreaterTwin,
    Vessel,
    luck,
    vessel_of,
)
from sdl.simulators.photocatalysis_physics import LIQUIDS, VOLUME, hydrogen_rate

BATCH = 16
"""Vials that the photolysis station and the racks take."""

PHOTOLYSIS_S = 3600.0
"""For how long the vials are lit: the hydrogen made in it is the rate per hour."""

DRIVES: Mapping[str, float] = MappingProxyType(
    {
        "store": 0.5,
        "solids": 0.6,
        "liquids": 0.4,
        "capper": 0.3,
        "sonicator": 0.4,
        "photolysis": 0.7,
        "chromatograph": 0.6,
        "charger": 0.5,
        "waste": 0.5,
    }
)
"""Minutes of driving from the middle of the room to each place; assumed. The waste is a bin, no station."""

STATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "robot": ("robot",),
        "solids": ("solids",),
        "liquids": ("liquids",),
        "capping": ("capper", "sonicator"),
        "photolysis": ("lamp",),
        "chromatograph": ("chromatograph",),
    }
)
"""Which devices work as one station. The store and the charger are places, and need nobody."""

TIMES: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "vessel": (8.0, "s to take a vial or put it down"),
        "solid": (240.0, "s to weigh one powder into one vial"),
        "liquid": (25.0, "s for one liquid into one vial, with changing the pump"),
        "cap": (30.0, "s a vial, purging with nitrogen included"),
        "sonicate": (600.0, "s for all vials"),
        "chromatograph": (14.0, "min for one injection"),
    }
)
"""How long things take: assumed."""

VIAL_NOISE = 0.05  # between vials made alike; assumed
GC_NOISE = (0.01, 0.02)  # share, and umol; assumed
SOLID_ERROR = 0.02  # of a dose of powder; assumed
LIQUID_ERROR = 0.005  # of a dose of liquid; assumed

Probability = Annotated[float, Field(ge=0, le=1)]


class ChemistFaults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    robot_drop
        A vial is lost on a trip.
    jam
        A powder does not flow.
    leak
        A cap leaks: the hydrogen is gone when the vial is measured.
    injection
        An injection fails.
    """

    robot_drop: Probability = 0.0
    jam: Probability = 0.0
    leak: Probability = 0.0
    injection: Probability = 0.0


class MobileChemistLab(Lab):
    """A simulated laboratory of eight stations and one robot that makes and tests photocatalyst mixtures.

    What a vial yields depends on the seed, on its name and on what is in it, not on when it was made, nor on what else
    the laboratory did meanwhile. A resumed campaign therefore finds what it would have found.

    Parameters
    ----------
    seed
        Of all chance.
    clock
        A virtual clock by default.
    faults
        How often things go wrong; never, by default.
    stock
        What an account is to be kept of; nothing, by default.

    Attributes
    ----------
    robot, solids, liquids, capper, sonicator, lamp, chromatograph
        The drivers.
    """

    is_simulated = True

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: Clock | None = None,
        faults: ChemistFaults | None = None,
        stock: Stock | None = None,
    ) -> None:
        self.seed = seed
        self.faults = faults or ChemistFaults()
        self._bench = Bench(seed)
        super().__init__(
            "mobile-chemist", stations=STATIONS, clock=clock or VirtualClock(), stock=stock, **self._devices()
        )

    def prepare(self, trial: int, attempt: int) -> None:  # noqa: ARG002 # chance goes by the vessels' names
        """Begin an attempt: whatever stood still with a fault has been looked after."""
        self._bench.mend()

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    @staticmethod
    def truth(values: Mapping[str, float | str]) -> float:
        """Return umol/h of hydrogen without noise: what benchmarks compare with."""
        return hydrogen_rate({name: float(value) for name, value in values.items()})

    @staticmethod
    def space() -> SearchSpace:
        """Return the ten components in their steps, and the limit of the volume."""
        milligrams = tuple(round(0.2 * n, 1) for n in range(5, 26))
        millilitres = tuple(0.25 * n for n in range(21))
        return SearchSpace(
            {"p10": Discrete(milligrams, unit="mg"), **{name: Discrete(millilitres, unit="mL") for name in LIQUIDS}},
            constraints=[LinearConstraint(dict.fromkeys(LIQUIDS, 1.0), upper=VOLUME)],
        )

    objective = Maximize("hydrogen", unit="umol/h")

    @staticmethod
    def experiment(size: int = BATCH, patience: str = "15 min") -> Experiment:
        """Return the experiment in nine steps, each for up to *size* vials at once.

        The robot is held only while it carries, so that one batch is weighed while another is lit and a third is
        measured. A batch waits as long as *patience* says for more vials.
        """
        batch = Batch(size, patience=patience)

        def step(name: str, plan: BatchPlan, station: str, minutes: float, *needs: str) -> Step:
            return Step(name, plan, station=station, needs=needs, batch=batch, duration=f"{minutes} min")

        return Experiment(
            step("fetch", fetch, "robot", 6, "solids"),
            step("weigh", weigh, "solids", 4.5 * size),
            step("move", move, "robot", 6, "liquids"),
            step("fill", fill, "liquids", 2.5 * size),
            step("seal", seal, "capping", 35, "robot"),
            step("load", load, "robot", 6, "photolysis"),
            step("light", light, "photolysis", 61),
            step("unload", unload, "robot", 6, "chromatograph"),
            step("analyse", analyse, "chromatograph", 14 * size),
        )

    @staticmethod
    def make_and_measure(lab: MobileChemistLab, s: Settings) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: make one vial, light it, measure its hydrogen."""
        results = yield from lab.run_batch(lab, [s])
        return results[0]

    @staticmethod
    def run_batch(lab: MobileChemistLab, batch: Sequence[Settings]) -> MsgGenerator[list[dict[str, Measurement]]]:
        """Plan: make up to 16 vials, one after the other, light them together, measure them one by one."""
        for plan in (fetch, weigh, move, fill, seal, load, light, unload):
            yield from plan(lab, batch)
        results: list[dict[str, Measurement]] = []
        for found in (yield from analyse(lab, batch)):
            if isinstance(found, Exception):
                raise found
            results.append(found)
        return results

    def _devices(self) -> dict[str, Any]:
        bench, faults = self._bench, self.faults
        robot = RobotTwin(bench, minutes=DRIVES, seconds_a_vessel=TIMES["vessel"][0], drop=faults.robot_drop)
        solids = DispenserTwin(bench, "solids", seconds=(20.0, TIMES["solid"][0]), error=SOLID_ERROR, jam=faults.jam)
        liquids = DispenserTwin(bench, "liquids", seconds=(15.0, TIMES["liquid"][0]), error=LIQUID_ERROR)
        capper = TreaterTwin(bench, "capper", verb="CAP", seconds=(30.0, TIMES["cap"][0]), act=self._cap)
        sonicator = TreaterTwin(
            bench, "sonicator", verb="SONICATE", seconds=(TIMES["sonicate"][0], 0.0), act=self._disperse
        )
        lamp = TreaterTwin(bench, "photolysis", verb="LIGHT", seconds=(60.0, 0.0), act=self._light, is_timed=True)
        gas = ChromatographTwin(
            bench,
            "chromatograph",
            minutes=TIMES["chromatograph"][0],
            analytes={"hydrogen": self._hydrogen},
            noise=GC_NOISE,
            fault=faults.injection,
        )
        line = bench.lines(
            robot=robot,
            solids=solids,
            liquids=liquids,
            capper=capper,
            sonicator=sonicator,
            lamp=lamp,
            chromatograph=gas,
        )
        liters = {name: Limits(0.05, VOLUME) for name in (*LIQUIDS, "water")}
        return {
            "robot": MobileRobot(line["robot"], places=tuple(DRIVES), capacity=BATCH),
            "solids": Dispenser(line["solids"], materials={"p10": Limits(0.5, 20.0)}, unit="mg", name="solids"),
            "liquids": Dispenser(line["liquids"], materials=liters, unit="mL", name="liquids"),
            "capper": Treater(line["capper"], verb="CAP", capacity=BATCH, name="capper"),
            "sonicator": Treater(line["sonicator"], verb="SONICATE", capacity=BATCH, name="sonicator"),
            "lamp": Treater(line["lamp"], verb="LIGHT", capacity=BATCH, seconds=Limits(60.0, 36_000.0), name="lamp"),
            "chromatograph": Chromatograph(line["chromatograph"], analytes={"hydrogen": "umol"}),
        }

    def _cap(self, vial: Vessel, _: float) -> None:
        vial.done.add("capped")
        if self._bench.happens(self.faults.leak, vial.name, 400):
            vial.done.add("leaks")

    @staticmethod
    def _disperse(vial: Vessel, _: float) -> None:
        vial.done.add("dispersed")

    def _light(self, vial: Vessel, seconds: float) -> None:
        rate = hydrogen_rate(vial.contents, is_dispersed="dispersed" in vial.done)
        noise = math.exp(VIAL_NOISE * luck(self.seed, vial.name, 0x71).standard_normal())
        is_tight = "capped" in vial.done and "leaks" not in vial.done
        made = rate * noise * seconds / 3600.0 if is_tight else 0.0
        vial.notes["hydrogen"] = vial.notes.get("hydrogen", 0.0) + made

    @staticmethod
    def _hydrogen(vial: Vessel) -> float | None:
        """Return umol; None where the headspace holds air."""
        return vial.notes.get("hydrogen", 0.0) if {"capped"} <= vial.done and "leaks" not in vial.done else None


Done = MsgGenerator[list[None]]


def _carry(lab: MobileChemistLab, batch: Sequence[Settings], source: str, target: str) -> Done:
    yield from lab.robot.carry([vessel_of(s) for s in batch], source, target)
    return [None] * len(batch)


def fetch(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: carry clean vials to the solids."""
    return (yield from _carry(lab, batch, "store", "solids"))


def weigh(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: weigh the photocatalyst into each vial."""
    for s in batch:
        yield from lab.solids.dispense(vessel_of(s), {"p10": s.number("p10")})
    return [None] * len(batch)


def move(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: carry the vials to the liquids."""
    return (yield from _carry(lab, batch, "solids", "liquids"))


def fill(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: dose the liquids, and water up to 5 mL."""
    for s in batch:
        liquids = {name: s.number(name) for name in LIQUIDS}
        water = round(VOLUME - sum(liquids.values()), 6)
        yield from lab.liquids.dispense(vessel_of(s), {**liquids, "water": max(water, 0.0)})
    return [None] * len(batch)


def seal(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: cap and sonicate the vials, which the robot brings and carries on."""
    vials = [vessel_of(s) for s in batch]
    yield from lab.robot.carry(vials, "liquids", "capper")
    yield from lab.capper.treat(vials)
    yield from lab.robot.carry(vials, "capper", "sonicator")
    yield from lab.sonicator.treat(vials)
    return [None] * len(batch)


def load(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: carry the vials to the lamp."""
    return (yield from _carry(lab, batch, "sonicator", "photolysis"))


def light(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: light the vials for an hour."""
    yield from lab.lamp.treat([vessel_of(s) for s in batch], seconds=PHOTOLYSIS_S)
    return [None] * len(batch)


def unload(lab: MobileChemistLab, batch: Sequence[Settings]) -> Done:
    """Plan: carry the vials to the chromatograph."""
    return (yield from _carry(lab, batch, "photolysis", "chromatograph"))


def analyse(
    lab: MobileChemistLab, batch: Sequence[Settings]
) -> MsgGenerator[list[dict[str, Measurement] | DeviceError]]:
    """Plan: measure the hydrogen of the vials one by one; one that leaks has failed, and no other."""
    chromatograph: Chromatograph = lab.chromatograph
    results: list[dict[str, Measurement] | DeviceError] = []
    for s in batch:
        try:
            amounts = yield from chromatograph.measure(vessel_of(s))
            results.append({analyte: _per_hour(amount) for analyte, amount in amounts.items()})
        except DeviceError as error:
            results.append(error)
    return results


def _per_hour(amount: Measurement) -> Measurement:
    hours = PHOTOLYSIS_S / 3600.0
    error = None if amount.standard_error is None else amount.standard_error / hours
    return Measurement(amount.value / hours, "umol/h", standard_error=error)
