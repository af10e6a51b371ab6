"""``BioprocessLab``: the twin of eight mini-reactors in which a bacterium makes a product, over a day and a half a run.

The biology and its source are in :mod:`sdl.simulators.fermentation_physics`. A cultivation takes 30 hours, and eight
run side by side, each after a recipe of its own. Two measurements tell of the titre: a soft sensor on the off-gas,
which costs nothing and is biased and noisy, and liquid chromatography, which takes forty minutes a sample. Now and then
(:class:`BioprocessFaults`) a reactor is contaminated, which its off-gas shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from bluesky.utils import MsgGenerator
from pydantic import Field, JsonValue

from sdl.devices import BioreactorBlock, Chromatograph, Limits
from sdl.errors import DeviceError
from sdl.lab.batch import Batch
from sdl.lab.clock import Clock
from sdl.lab.experiment import Experiment, Settings, Step
from sdl.lab.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.problem import Continuous, Maximize, Measurement, SearchSpace
from sdl.problem.value import Value
from sdl.simulators.answering import Handler, Tasking, number
from sdl.simulators.bench import Bench, ChromatographTwin, Vessel, luck, vessel_of
from sdl.simulators.fermentation_physics import Recipe, ferment

REACTORS = 8
HOURS = 30.0
TURNAROUND_S = 3 * 3600.0  # emptying, cleaning, sterilising, filling; assumed
ASSAY_MIN = 40.0  # of liquid chromatography, with opening the cells; assumed
BIOLOGICAL_NOISE = 0.05  # between cultivations alike; assumed
SOFT_BIAS = 0.85  # what the soft sensor finds of a titre; assumed
SOFT_NOISE = 0.2  # of the soft sensor, of the logarithm; assumed
ASSAY_NOISE = (0.02, 0.02)  # share, and g/L; assumed
DIRTY_CO2 = 600.0  # mmol/(L h) of a contaminated reactor; assumed

RANGES: Mapping[str, Continuous] = {
    "glucose": Continuous(2.0, 30.0, unit="g/L"),
    "growth": Continuous(0.05, 0.5, unit="1/h"),
    "induction": Continuous(4.0, 24.0, unit="h"),
    "inducer": Continuous(0.01, 1.0, unit="mmol/L", log=True),
    "temperature": Continuous(22.0, 37.0, unit="degC"),
}
"""What can be chosen of a cultivation."""


class BioprocessFaults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    contamination
        A reactor is contaminated.
    injection
        An injection into the chromatograph fails.
    """

    contamination: Annotated[float, Field(ge=0, le=1)] = 0.0
    injection: Annotated[float, Field(ge=0, le=1)] = 0.0


class BioprocessLab(Lab):
    """A simulated laboratory with a block of eight mini-reactors and a chromatograph.

    What a cultivation gives depends on the seed, on its vessel's name and on its recipe.

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
    reactors, chromatograph
        The drivers; each is a station.
    """

    is_simulated = True

    def __init__(self, seed: int = 0, *, clock: Clock | None = None, faults: BioprocessFaults | None = None) -> None:
        self.seed = seed
        self.faults = faults or BioprocessFaults()
        bench = self._bench = Bench(seed)
        line = bench.lines(
            reactors=ReactorTwin(bench, self.faults.contamination),
            chromatograph=ChromatographTwin(
                bench,
                "reactors",
                minutes=ASSAY_MIN,
                analytes={"titre": lambda vessel: vessel.notes.get("titre")},
                noise=ASSAY_NOISE,
                fault=self.faults.injection,
            ),
        )
        limits = {name: Limits(found.low, found.high) for name, found in RANGES.items()}
        devices: dict[str, Any] = {
            "reactors": BioreactorBlock(line["reactors"], settings=limits, reactors=REACTORS),
            "chromatograph": Chromatograph(line["chromatograph"], analytes={"titre": "g/L"}, repeatability=0.02),
        }
        super().__init__(
            "bioprocess",
            clock=clock or VirtualClock(),
            stations={name: [name] for name in devices},
            **devices,
        )

    def prepare(self, trial: int, attempt: int) -> None:  # noqa: ARG002 # chance goes by the vessels' names
        """Begin an attempt: whatever stood still with a fault has been looked after."""
        self._bench.mend()

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    @staticmethod
    def truth(values: Mapping[str, float | str]) -> float:
        """Return the titre, g/L, without noise."""
        return ferment(_recipe(values), HOURS).product

    @staticmethod
    def space() -> SearchSpace:
        """Return the five knobs of a cultivation."""
        return SearchSpace(dict(RANGES))

    objective = Maximize("titre", unit="g/L")

    @staticmethod
    def experiment(hopeless: float = 0.0) -> Experiment:
        """Return the experiment in two steps: cultivate, up to eight at once; then measure what is worth it.

        Reactors wait up to six hours for those that are still measured: all eight take five hours and twenty minutes,
        and a place that is left empty is lost for 33.

        Parameters
        ----------
        hopeless
            g/L by the soft sensor up to which nothing is measured; its estimate is the result then, with a standard
            error to match.
        """
        return Experiment(
            Step(
                "cultivate",
                BioprocessLab.cultivate,
                station="reactors",
                batch=Batch(REACTORS, patience="6 h"),
                duration="33 h",
            ),
            Step(
                "assay",
                BioprocessLab.assay,
                station="chromatograph",
                duration="40 min",
                when=lambda s: s.results["cultivate"]["estimate"].value > hopeless,
            ),
            evaluate=_titre,
        )

    @staticmethod
    def grow_and_measure(lab: BioprocessLab, s: Settings) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: cultivate one, then measure it by chromatography."""
        found = yield from lab.cultivate(lab, [s])
        if isinstance(found[0], Exception):
            raise found[0]
        return (yield from lab.assay(lab, s))

    @staticmethod
    def cultivate(
        lab: BioprocessLab, batch: Sequence[Settings]
    ) -> MsgGenerator[list[dict[str, Measurement] | DeviceError]]:
        """Plan: cultivate up to eight side by side, read the soft sensor of each; a contaminated one has failed."""
        reactors: BioreactorBlock = lab.reactors
        recipes = {vessel_of(s): {name: s.number(name) for name in RANGES} for s in batch}
        yield from reactors.grow(recipes, hours=HOURS)
        results: list[dict[str, Measurement] | DeviceError] = []
        for vessel in recipes:
            try:
                results.append((yield from reactors.estimate(vessel)))
            except DeviceError as error:
                results.append(error)
        return results

    @staticmethod
    def assay(lab: BioprocessLab, s: Settings) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: measure the titre by liquid chromatography."""
        chromatograph: Chromatograph = lab.chromatograph
        return (yield from chromatograph.measure(vessel_of(s)))


def _recipe(values: Mapping[str, float | str]) -> Recipe:
    return Recipe(**{name: float(values[name]) for name in RANGES})


def _titre(results: Mapping[str, Any], _: Settings) -> dict[str, Measurement]:
    """Return what was measured dearly, or else the estimate, freed of its known bias."""
    if results.get("assay"):
        return {"titre": results["assay"]["titre"]}
    value = results["cultivate"]["estimate"].value / SOFT_BIAS
    return {"titre": Measurement(value, "g/L", standard_error=SOFT_NOISE * max(value, 0.1))}


class ReactorTwin(Tasking):
    """The block of mini-reactors: what grows in it is known when the cultivation ends."""

    identity = "sdl,simulated mini-reactors,0,1"

    def __init__(self, bench: Bench, contamination: float) -> None:
        super().__init__()
        self._bench = bench
        self._contamination = contamination
        self._recipes: dict[str, Recipe] = {}

    def _tasks(self) -> dict[str, Handler]:
        return {"RECIPE": (None, self._take), "GROW": (None, self._grow), "OFFGAS?": (1, self._offgas)}

    def _take(self, name: str, *words: str) -> str:
        values = {setting: number(value) for setting, _, value in (word.partition("=") for word in words)}
        if set(values) != set(RANGES):
            return f"ERR 3 a recipe has {' '.join(RANGES)}"
        self._recipes[name] = _recipe(values)
        return "OK"

    def _grow(self, word: str, *names: str) -> str:
        hours = number(word)
        unknown = [name for name in names if name not in self._recipes]
        if unknown or not names:
            return f"ERR 21 no recipe for {' '.join(unknown) or 'anything'}"
        return self._begin(3600 * hours + TURNAROUND_S, lambda: self._harvest(names, hours))

    def _harvest(self, names: Sequence[str], hours: float) -> None:
        for name in names:
            vessel = self._bench.vessels[name] = Vessel(name, "reactors")
            found = ferment(self._recipes.pop(name), hours)
            noise = luck(self._bench.seed, name, 0xB1).standard_normal(3)
            is_dirty = self._bench.happens(self._contamination, name, 700)
            titre = found.product * math.exp(BIOLOGICAL_NOISE * noise[0]) * (0.2 if is_dirty else 1.0)
            vessel.notes |= {
                "titre": titre,
                "biomass": found.biomass * (1 + 0.03 * noise[1]),
                "co2": DIRTY_CO2 if is_dirty else found.co2,
                "estimate": SOFT_BIAS * titre * math.exp(SOFT_NOISE * noise[2]),
            }

    def _offgas(self, name: str) -> str:
        vessel = self._bench.vessels.get(name)
        if vessel is None or "co2" not in vessel.notes:
            return f"ERR 21 nothing has grown in {name}"
        return " ".join(f"{vessel.notes[key]:.5g}" for key in ("biomass", "co2", "estimate"))
