"""``BeamlineLab``: the twin of a beamline with a pair of focusing mirrors to be aligned, and a sample to be mapped.

The optics and their sources are in :mod:`sdl.simulators.beamline_optics`. The motors behave like the EPICS motor record
(:class:`~sdl.devices.Motor`): a velocity, soft limits, a settling time, backlash that the driver takes out. Where the
mirrors are perfect, nobody knows: each axis has an offset that follows from the seed, as on the morning after a
shut-down. One picture takes 0.5 s and one setting of all axes a few seconds, so hundreds of settings fit into an hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from bluesky.utils import MsgGenerator
from pydantic import Field, JsonValue

from sdl.devices import BeamCamera, Counter, Limits, Motor
from sdl.devices.stubs import go_together
from sdl.lab.clock import Clock
from sdl.lab.experiment import Settings
from sdl.lab.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.problem import Continuous, Maximize, Measurement, SearchSpace
from sdl.problem.value import Value
from sdl.simulators.answering import Answering, Handler, now, number
from sdl.simulators.beamline_optics import FWHM, Setting, Spot, best_spot, sample_map, spot
from sdl.simulators.transport import Reply, SimulatedTransport


@dataclass(frozen=True)
class Axis:
    """One axis: its range, its speed, how far its perfect position may be from zero, and its lash.

    Positions are in the axis's unit, the velocity in that per second.
    """

    unit: str
    low: float
    high: float
    velocity: float
    offset: float = 0.0
    lash: float = 0.0


AXES: Mapping[str, Axis] = MappingProxyType(
    {
        "v_pitch": Axis("urad", -150, 150, 40, 80, 0.4),
        "v_bend": Axis("percent", -6, 6, 2, 3, 0.01),
        "v_shift": Axis("um", -500, 500, 400, 200, 2.0),
        "h_pitch": Axis("urad", -150, 150, 40, 80, 0.4),
        "h_bend": Axis("percent", -6, 6, 2, 3, 0.01),
        "h_shift": Axis("um", -500, 500, 400, 200, 2.0),
        "v_gap": Axis("um", 50, 900, 400, 0, 1.0),
        "h_gap": Axis("um", 50, 900, 400, 0, 1.0),
        "sample_x": Axis("um", 0, 100, 200, 0, 0.2),
        "sample_y": Axis("um", 0, 100, 200, 0, 0.2),
    }
)
"""The axes; ranges, speeds and lash are assumed. Bend is the curvature's difference from the nominal one."""

ALIGNMENT = tuple(AXES)[:8]
MAPPING = tuple(AXES)[8:]
FIELD_UM = 400.0  # of the camera
DARK = 1e8  # photons per second under which no spot stands out; assumed
COUNTS = 2e4  # per second and unit of the sample's signal at 1e12 photons per second; assumed
CAMERA_NOISE = (0.01, 0.005)  # of a width and of the flux, as shares; assumed


class BeamlineFaults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    beam_dump
        There is no beam during an exposure: the storage ring has lost it.
    stall
        An axis stops before it is where it should be.
    """

    beam_dump: Annotated[float, Field(ge=0, le=1)] = 0.0
    stall: Annotated[float, Field(ge=0, le=1)] = 0.0


class BeamlineLab(Lab):
    """A simulated beamline: eight axes to align, a camera, a sample on two more, a counter.

    Noise follows from seed, trial and attempt, and from how many exposures the attempt has made before.

    Parameters
    ----------
    seed
        Of all chance, of the unknown offsets, and of the sample.
    clock
        A virtual clock by default.
    faults
        How often things go wrong; never, by default.

    Attributes
    ----------
    v_pitch, v_bend, v_shift, h_pitch, h_bend, h_shift, v_gap, h_gap, sample_x, sample_y
        The motors.
    camera, counter
        The detectors.
    """

    is_simulated = True

    def __init__(self, seed: int = 0, *, clock: Clock | None = None, faults: BeamlineFaults | None = None) -> None:
        self.seed = seed
        self.faults = faults or BeamlineFaults()
        self._motion = MotionTwin(self.faults)
        self._beam = BeamTwin(self._motion, seed, self.faults)
        line = SimulatedTransport(self._motion, name="motion", latency_s=0.002)
        eye = SimulatedTransport(self._beam, name="detectors", latency_s=0.01)
        devices: dict[str, Any] = {name: _motor(line, name, axis) for name, axis in AXES.items()}
        devices |= {"camera": BeamCamera(eye, field_um=FIELD_UM), "counter": Counter(eye)}
        super().__init__("beamline", clock=clock or VirtualClock(), **devices)
        self.prepare(0, 1)

    def prepare(self, trial: int, attempt: int) -> None:
        """Begin the noise of an attempt. Axes stay where they are."""
        self._beam.begin(trial, attempt)
        self._motion.begin(self.seed, trial, attempt)

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory, seed and faults included."""
        return {**super().describe(), "seed": self.seed, "faults": self.faults.model_dump(mode="json")}

    def truth(self, values: Mapping[str, float | str]) -> float:
        """Return the logarithm (base 10) of the density of photons, per second and um2, without noise."""
        return density_of(self._beam.spot_at({name: float(value) for name, value in values.items()}))

    @staticmethod
    def best() -> float:
        """Return the truth at the best setting: mirrors perfect, slits as open as is good."""
        return density_of(best_spot())

    def sample(self, x: float, y: float) -> float:
        """Return what the sample gives at *x*, *y* in um without noise, in counts per second of the aligned beam."""
        return COUNTS * sample_map(x, y, self.seed)

    @staticmethod
    def space() -> SearchSpace:
        """Return the eight axes of the alignment."""
        return SearchSpace({name: _range(AXES[name]) for name in ALIGNMENT})

    objective = Maximize("log_density")
    planes = ((*ALIGNMENT[:3], "v_gap"), (*ALIGNMENT[3:6], "h_gap"))
    """The axes that act in the vertical and in the horizontal plane: :attr:`objective` is a sum over the planes."""

    @staticmethod
    def mapping_space() -> SearchSpace:
        """Return the two axes of the sample."""
        return SearchSpace({name: _range(AXES[name]) for name in MAPPING})

    mapping_objective = Maximize("signal", unit="1/s")

    @staticmethod
    def align(lab: BeamlineLab, s: Settings) -> MsgGenerator[dict[str, float]]:
        """Plan: set the eight axes, take a picture, return the logarithm of the density and what it is made of."""
        yield from go_together(((getattr(lab, name), s[name]) for name in ALIGNMENT if name in s), timeout=600)
        camera: BeamCamera = lab.camera
        seen = yield from camera.look()
        if not seen:
            return {}
        found = Spot(seen["x"], seen["y"], seen["width"], seen["height"], max(seen["flux"], 1.0))
        return {"log_density": density_of(found), "width": found.width, "height": found.height, "flux": found.flux}

    @staticmethod
    def map_point(lab: BeamlineLab, s: Settings) -> MsgGenerator[dict[str, Measurement]]:
        """Plan: move the sample, count for a second."""
        yield from go_together(((getattr(lab, name), s[name]) for name in MAPPING), timeout=600)
        counter: Counter = lab.counter
        counted = yield from counter.count()
        if counted is None:
            return {}
        error = math.sqrt(max(counted, 1.0) / counter.seconds)
        return {"signal": Measurement(counted, "1/s", standard_error=error)}


def density_of(found: Spot) -> float:
    """Return the logarithm of a spot's density; of one that is not there, that of a photon spread over the field."""
    if found.flux < DARK:
        return math.log10(max(found.flux, 1.0) / (2 * math.pi * (FIELD_UM / FWHM) ** 2))
    return math.log10(found.density)


def _range(axis: Axis) -> Continuous:
    return Continuous(axis.low, axis.high, unit=axis.unit)


def _motor(line: SimulatedTransport, name: str, axis: Axis) -> Motor:
    return Motor(
        line,
        axis=name,
        name=name,
        unit=axis.unit,
        limits=Limits(axis.low, axis.high),
        tolerance=1e-4 * (axis.high - axis.low),
        backlash=2 * axis.lash,
    )


class MotionTwin(Answering):
    """The motion controller: axes that take their time, lose their lash, and may stall."""

    identity = "sdl,simulated motion controller,0,1"

    def __init__(self, faults: BeamlineFaults) -> None:
        self._faults = faults
        self._moves = {name: _Move(max(axis.low, 0.0), 0.0, 0.0, 0.0) for name, axis in AXES.items()}
        self.begin(0, 0, 1)

    def begin(self, seed: int, trial: int, attempt: int) -> None:
        """Begin the chance of an attempt."""
        self._rng = np.random.default_rng([seed, trial, attempt, 0x30])

    def position(self, name: str) -> float:
        """Return where the axis really is: short by its lash when it came from above."""
        move = self._moves[name]
        return move.at(now()) + (AXES[name].lash if move.is_downwards else 0.0)

    def _commands(self) -> dict[str, Handler]:
        return {
            "VAL": (2, self._start),
            "RBV?": (1, self._read),
            "DMOV?": (1, self._done),
            "STOP": (1, self._stop),
        }

    def _start(self, name: str, word: str) -> str:
        if name not in AXES:
            return f"ERR 3 no axis {name}"
        target = number(word)
        axis = AXES[name]
        slack = 3 * axis.lash
        if not axis.low - slack <= target <= axis.high + slack:
            return f"ERR 4 {target:g} is beyond the limit switches"
        here = self._moves[name].at(now())
        if self._faults.stall and self._rng.random() < self._faults.stall:
            target = here + 0.5 * (target - here)
        seconds = abs(target - here) / axis.velocity + (0.1 if target != here else 0.0)
        self._moves[name] = _Move(here, target, now(), seconds)
        return "OK"

    def _read(self, name: str) -> str:
        return f"{self._moves[name].at(now()):.8g}" if name in AXES else f"ERR 3 no axis {name}"

    def _done(self, name: str) -> str:
        if name not in AXES:
            return f"ERR 3 no axis {name}"
        left = self._moves[name].ends - now()
        return "1" if left <= 0 else f"0 {left:.4f}"

    def _stop(self, name: str) -> str:
        if name not in AXES:
            return f"ERR 3 no axis {name}"
        here = self._moves[name].at(now())
        self._moves[name] = _Move(here, here, now(), 0.0)
        return "OK"


@dataclass(frozen=True)
class _Move:
    """A move from where to where, when it began and how long it takes."""

    start: float
    target: float
    began: float
    seconds: float

    @property
    def ends(self) -> float:
        return self.began + self.seconds

    @property
    def is_downwards(self) -> bool:
        return self.target < self.start

    def at(self, time: float) -> float:
        if time >= self.ends:
            return self.target if self.seconds else self.start
        return self.start + (self.target - self.start) * (time - self.began) / self.seconds


class BeamTwin(Answering):
    """The beam, the camera in it, and the counter beside the sample."""

    identity = "sdl,simulated detectors,0,1"

    def __init__(self, motion: MotionTwin, seed: int, faults: BeamlineFaults) -> None:
        self._motion = motion
        self._seed = seed
        self._faults = faults
        rng = np.random.default_rng([seed, 0xBE])
        self._offsets = {name: float(axis.offset * rng.uniform(-1, 1)) for name, axis in AXES.items()}
        self._answer = "NOBEAM 0"
        self.begin(0, 1)

    def begin(self, trial: int, attempt: int) -> None:
        """Begin the noise of an attempt."""
        self._rng = np.random.default_rng([self._seed, trial, attempt, 0xCA])

    def spot_at(self, positions: Mapping[str, float]) -> Spot:
        """Return the spot at positions of the axes; those that are not given stand where they are perfect."""
        full = {**self._offsets, "v_gap": 400.0, "h_gap": 400.0, **positions}
        vertical, horizontal = (self._setting(full, mirror) for mirror in "vh")
        return spot(vertical, horizontal)

    def _setting(self, positions: Mapping[str, float], mirror: str) -> Setting:
        pitch, bend, shift = (
            positions[f"{mirror}_{what}"] - self._offsets[f"{mirror}_{what}"] for what in ("pitch", "bend", "shift")
        )
        return Setting(1e-6 * pitch, 0.01 * bend, 1e-6 * shift, 1e-6 * max(positions[f"{mirror}_gap"], 1.0))

    def _commands(self) -> dict[str, Handler]:
        return {"EXPOSE": (1, self._expose), "SPOT?": (0, lambda: self._answer), "COUNT": (1, self._count)}

    def _now(self) -> Spot:
        """Return the spot as the axes stand; none when the ring has lost its beam."""
        found = self.spot_at({name: self._motion.position(name) for name in ALIGNMENT})
        lost = bool(self._rng.random() < self._faults.beam_dump)
        return Spot(0, 0, math.inf, math.inf, 0.0) if lost else found

    def _expose(self, word: str) -> Reply | str:
        seconds = number(word)
        found = self._now()
        width, flux = CAMERA_NOISE
        noise = self._rng.standard_normal(3)
        if found.flux < DARK:
            self._answer = f"NOBEAM {abs(found.flux + 1e6 * noise[0]):.5g}"
        else:
            wide, tall = found.width * (1 + width * noise[0]), found.height * (1 + width * noise[1])
            self._answer = f"{found.x:.3f} {found.y:.3f} {wide:.5g} {tall:.5g} {found.flux * (1 + flux * noise[2]):.5g}"
        return Reply("OK", seconds) if seconds > 0 else "ERR 3 no time"

    def _count(self, word: str) -> Reply | str:
        seconds = number(word)
        if seconds <= 0:
            return "ERR 3 no time"
        x, y = (self._motion.position(name) for name in MAPPING)
        rate = COUNTS * sample_map(x, y, self._seed) * self._now().flux / 1e12
        return Reply(str(int(self._rng.poisson(rate * seconds))), seconds)
