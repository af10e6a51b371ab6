"""The instruments of the thin-film twin, as they answer below their drivers.

Three instruments share one :class:`Chamber` of facts: which sample lies where, what was deposited on it, and the seeded
generators. They take the time from the running loop and answer the protocols that ``sdl.devices.sputter``, ``.robot``
and ``.probe`` describe.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from sdl.problem.value import Value
from sdl.simulators.thin_film_physics import Conditions, grow
from sdl.simulators.transport import Reply

AMBIENT = 18.0  # degC: the stage is cooled by water
LOADLOCK_COLD = 60.0  # degC: above that the load-lock is not vented

# Times and rates of the twin. They are assumed, after common practice with small sputter systems.
PUMPING_S = 1800.0  # the load-lock with a new substrate
HANDLING_S = 180.0  # the arm, one way through the load-lock
HEATING_S = 360.0  # time constant of the stage when it heats
COOLING_S = 1500.0  # and when it cools in vacuum
LOADLOCK_COOLING_S = 900.0  # time constant of a film in the load-lock under nitrogen
GAS_S = 6.0  # time constant of the oxygen pressure
POWER_S = 1.0  # time constant of the generator
CLEANING_S = 300.0  # plasma on, shutter closed

# Noise and drift, as shares; assumed.
FILM_NOISE = 0.015  # between films made alike
SPOT_NOISE = 0.07  # between two touches of the probe on one film
READBACK_NOISE = {"OXYGEN": 0.003, "TEMPERATURE": 0.0005, "POWER": 0.001}
WEAR_PER_FILM = 0.0004  # of the growth rate
GAIN_AMPLITUDE = 0.01  # of the probe, a slow wave
GAIN_PERIOD = 60.0  # films

RANGES = {"OXYGEN": (0.0, 2.0), "TEMPERATURE": (AMBIENT, 500.0), "POWER": (0.0, 300.0)}
TIME_CONSTANTS = {"OXYGEN": GAS_S, "TEMPERATURE": HEATING_S, "POWER": POWER_S}
IDLE = {"OXYGEN": 0.0, "TEMPERATURE": AMBIENT, "POWER": 100.0}
"""What the source stands at when nothing has been asked: the discharge has a set-point, so it need not be moved."""


Probability = Annotated[float, Field(ge=0, le=1)]


class Faults(Value):
    """How often things go wrong, as probabilities; nothing does by default.

    Parameters
    ----------
    robot_drop
        A transfer loses the sample.
    no_plasma
        An exposure does not light.
    no_contact
        A touch of the probe has no contact.
    """

    robot_drop: Probability = 0.0
    no_plasma: Probability = 0.0
    no_contact: Probability = 0.0


@dataclass
class Sample:
    """A substrate and the films on it."""

    name: str
    layers: list[Conditions] = field(default_factory=list[Conditions])
    noise: float = 1.0
    temperature: float = AMBIENT

    @property
    def is_new(self) -> bool:
        """Whether the shutter has not opened over it yet."""
        return not self.layers

    @property
    def resistance(self) -> float | None:
        """What an ideal probe would read, ohm: the films lie in parallel. None on a bare substrate."""
        conductance = sum(1 / grow(layer).resistance for layer in self.layers if layer.minutes > 0)
        return self.noise / conductance if conductance else None


class Chamber:
    """What the instruments share: samples, chance, and how worn the target is.

    Everything that could remember the past is set anew by :meth:`prepare` as a function of seed, trial and attempt.
    """

    def __init__(self, seed: int, faults: Faults) -> None:
        self.seed = seed
        self.faults = faults
        self._phase = float(np.random.default_rng([seed, 0xF11]).uniform(0, 2 * math.pi))
        self.prepare(0, 1)

    def prepare(self, trial: int, attempt: int) -> None:
        """Empty the places, and begin the noise of this attempt."""
        self.places: dict[str, Sample | None] = {"stage": None, "probe": None}
        self.trial = trial
        self.n_loaded = 0
        self.n_films = 0
        self._key = (self.seed, trial, attempt)
        self.film_chance, self.spot_chance, self.fault_chance = (self.chance(use) for use in range(3))

    def chance(self, *use: int) -> np.random.Generator:
        """Return a generator for one use in this attempt."""
        return np.random.default_rng([*self._key, *use])

    @property
    def wear(self) -> float:
        """Share of the growth rate that the target has lost."""
        return min(WEAR_PER_FILM * (self.trial + self.n_films), 0.5)

    @property
    def gain(self) -> float:
        """What the probe's meter multiplies a resistance by."""
        return 1 + GAIN_AMPLITUDE * math.sin(2 * math.pi * self.trial / GAIN_PERIOD + self._phase)

    def happens(self, probability: float) -> bool:
        """Throw the dice of the faults."""
        return bool(self.fault_chance.random() < probability)


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Relaxing:
    """A quantity that approaches its set-point exponentially."""

    def __init__(self, value: float) -> None:
        self.target = value
        self._distance = 0.0
        self._since = 0.0
        self._time_constant = 1.0

    def at(self, time: float) -> float:
        return self.target + self._distance * math.exp(-(time - self._since) / self._time_constant)

    def go(self, target: float, time_constant: float) -> None:
        now = _now()
        self._distance = self.at(now) - target
        self.target, self._since, self._time_constant = target, now, time_constant

    def mean(self, start: float, end: float) -> float:
        """Return the mean between two times since the last set-point."""
        if end <= start:
            return self.at(start)
        tau = self._time_constant
        return self.target + tau * (self.at(start) - self.at(end)) / (end - start)


class _UnreadableError(Exception):
    """A word that is no number."""


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise _UnreadableError from None


Handler = tuple[int, Callable[..., str | Reply]]
"""How many words a command takes, and who answers it."""


class _Answering:
    """Splits a line into its command and its words, and answers errors as instruments do."""

    identity = "sdl,simulated instrument,0,1"

    def answer(self, line: str) -> str | Reply:
        command, *words = line.split() or [""]
        if command == "*IDN?":
            return self.identity
        n_words, handler = self._commands().get(command, (0, None))
        if handler is None:
            return f"ERR 1 unknown command {command}"
        if len(words) != n_words:
            return f"ERR 2 {command} takes {n_words} words, got {len(words)}"
        try:
            return handler(*words)
        except _UnreadableError:
            return f"ERR 2 cannot read {line!r}"

    def _commands(self) -> dict[str, Handler]:
        raise NotImplementedError


class SputterInstrument(_Answering):
    """The source, its gas, and the heated stage."""

    identity = "sdl,simulated sputter source,0,1"

    def __init__(self, chamber: Chamber) -> None:
        self._chamber = chamber
        self.stand_still()

    def stand_still(self) -> None:
        """Be as after a long time in standby."""
        self._quantities = {name: _Relaxing(value) for name, value in IDLE.items()}
        self._n_settings = 0
        self._readback = {name: self._chamber.chance(3, 0, index) for index, name in enumerate(IDLE)}
        self._exposure: _Exposure | None = None
        self._end = "IDLE"
        self._exposed = 0.0

    def _commands(self) -> dict[str, Handler]:
        table: dict[str, Handler] = {
            "EXPOSE": (1, self._expose),
            "EXPOSE?": (0, self._state),
            "READ:EXPOSED?": (0, self._read_exposed),
            "ABORT": (0, self._abort),
            "STANDBY": (0, self._standby),
        }
        for name in IDLE:
            table[f"SET:{name}"] = (1, partial(self._set, name))
            table[f"READ:{name}?"] = (0, partial(self._read, name))
            table[f"HOLD:{name}"] = (0, partial(self._hold, name))
        return table

    @property
    def temperature(self) -> float:
        """Of the stage, degC."""
        return self._quantities["TEMPERATURE"].at(_now())

    @property
    def is_open(self) -> bool:
        """Whether an exposure is under way."""
        self._finish_if_over()
        return self._exposure is not None

    def _set(self, name: str, word: str) -> str:
        value = _number(word)
        low, high = RANGES[name]
        if not low <= value <= high:
            return f"ERR 3 {value:g} is out of range {low:g}..{high:g}"
        if self.is_open:
            return "ERR 4 not during an exposure"
        # Noise begins anew with each set-point: readings taken before it, of whatever number, leave no trace.
        self._n_settings += 1
        self._readback[name] = self._chamber.chance(3, self._n_settings)
        quantity = self._quantities[name]
        cools = name == "TEMPERATURE" and value < quantity.at(_now())
        quantity.go(value, COOLING_S if cools else TIME_CONSTANTS[name])
        return "OK"

    def _read(self, name: str) -> str:
        noise = READBACK_NOISE[name] * self._readback[name].standard_normal()
        return f"{self._quantities[name].at(_now()) * (1 + noise):.5g}"

    def _hold(self, name: str) -> str:
        quantity = self._quantities[name]
        quantity.go(quantity.at(_now()), TIME_CONSTANTS[name])
        return "OK"

    def _standby(self) -> str:
        self._abort()
        self._quantities["OXYGEN"].go(0.0, GAS_S)
        self._quantities["TEMPERATURE"].go(AMBIENT, COOLING_S)
        return "OK"

    def _expose(self, word: str) -> str:
        seconds = _number(word)
        if not seconds > 0:
            return f"ERR 3 {seconds:g} is out of range"
        if self.is_open:
            return "ERR 4 an exposure is under way"
        if self._quantities["OXYGEN"].target <= 0:
            return "ERR 5 no gas"
        if self._chamber.places["stage"] is None:
            return "ERR 6 no substrate on the stage"
        lights = not self._chamber.happens(self._chamber.faults.no_plasma)
        self._exposure = _Exposure(_now() + CLEANING_S, seconds, lights)
        return "OK"

    def _state(self) -> str:
        self._finish_if_over()
        if self._exposure is None:
            return self._end
        left = self._exposure.opens - _now()
        return f"CLEANING {left:.1f}" if left > 0 else f"OPEN {-left:.1f}"

    def _read_exposed(self) -> str:
        self._finish_if_over()
        return f"{self._exposed:.1f}"

    def _abort(self) -> str:
        self._finish_if_over()
        if self._exposure is not None:
            self._close(max(_now() - self._exposure.opens, 0.0))
            self._end = f"ABORTED {self._exposed:.1f}"
        return "OK"

    def _finish_if_over(self) -> None:
        exposure = self._exposure
        if exposure is None:
            return
        if not exposure.lights and _now() >= exposure.opens - CLEANING_S + 30.0:
            self._exposure, self._exposed = None, 0.0
            self._end = "FAULT 14 the plasma did not light within 30 s"
        elif _now() >= exposure.opens + exposure.seconds:
            self._close(exposure.seconds)
            self._end = f"DONE {exposure.seconds:.1f}"

    def _close(self, seconds: float) -> None:
        """Close the shutter after *seconds* and put the film on the sample.

        The means over the exposure are rounded to what a gauge resolves. That keeps a film the same to the last bit
        when the clock starts elsewhere, where differences of times are the same to a fraction of a microsecond only.
        """
        exposure, self._exposure = self._exposure, None
        self._exposed = seconds
        sample = self._chamber.places["stage"]
        if exposure is None or sample is None or seconds <= 0:
            return
        oxygen, temperature, power = (
            self._quantities[name].mean(exposure.opens, exposure.opens + seconds) for name in IDLE
        )
        film = Conditions(
            float(f"{oxygen:.4g}"), round(temperature, 1), round(power, 1), round(seconds / 60, 3), self._chamber.wear
        )
        sample.layers.append(film)
        sample.noise *= math.exp(FILM_NOISE * self._chamber.film_chance.standard_normal())
        sample.temperature = film.temperature
        self._chamber.n_films += 1


@dataclass(frozen=True)
class _Exposure:
    """One exposure: when the shutter opens, for how long, and whether the plasma lights at all."""

    opens: float
    seconds: float
    lights: bool


@dataclass(frozen=True)
class _Move:
    """One transfer under way."""

    sample: Sample
    target: str
    ends: float
    drops: bool


class RobotInstrument(_Answering):
    """The arm, the load-lock and the cassette, which never runs empty."""

    identity = "sdl,simulated transfer robot,0,1"

    def __init__(self, chamber: Chamber, source: SputterInstrument) -> None:
        self._chamber = chamber
        self._source = source
        self.stand_still()

    def stand_still(self) -> None:
        """Be idle, with no fault."""
        self._move: _Move | None = None
        self._trouble = ""

    def _commands(self) -> dict[str, Handler]:
        return {
            "PLACES?": (0, self._places),
            "MOVE": (2, self._start),
            "STATE?": (0, self._state),
            "STOP": (0, self._stop),
            "RESET": (0, self._reset),
        }

    def _places(self) -> str:
        self._finish_if_over()
        return " ".join(f"{place}={self._label(sample)}" for place, sample in self._chamber.places.items())

    @staticmethod
    def _label(sample: Sample | None) -> str:
        return "empty" if sample is None else f"{sample.name}:{'new' if sample.is_new else 'used'}"

    def _start(self, source: str, target: str) -> str:
        self._finish_if_over()
        refusal = self._refusal(source, target)
        if refusal:
            return refusal
        sample = self._take(source)
        drops = self._chamber.happens(self._chamber.faults.robot_drop)
        self._move = _Move(sample, target, _now() + self._seconds(source, sample), drops)
        return "OK"

    def _refusal(self, source: str, target: str) -> str:
        """Return why the arm will not carry, or nothing."""
        places = self._chamber.places
        reasons = {
            f"ERR 20 unknown place {source} or {target}": not {source, target} <= {*places, "cassette"},
            f"ERR 24 not before a reset: {self._trouble}": bool(self._trouble),
            "ERR 23 the arm is moving": self._move is not None,
            "ERR 25 the source is running": self._source.is_open,
            f"ERR 21 {source} is empty": source != "cassette" and places.get(source) is None,
            f"ERR 22 {target} is occupied": target != "cassette" and places.get(target) is not None,
        }
        return next((text for text, applies in reasons.items() if applies), "")

    def _take(self, source: str) -> Sample:
        if source == "cassette":
            self._chamber.n_loaded += 1
            return Sample(f"S{self._chamber.trial}.{self._chamber.n_loaded}")
        sample = self._chamber.places[source]
        assert sample is not None
        self._chamber.places[source] = None
        if source == "stage":
            sample.temperature = self._source.temperature
        return sample

    @staticmethod
    def _seconds(source: str, sample: Sample) -> float:
        if source == "cassette":
            return PUMPING_S + HANDLING_S
        if source == "probe":
            return 60.0
        excess = (sample.temperature - AMBIENT) / (LOADLOCK_COLD - AMBIENT)
        return 2 * HANDLING_S + (LOADLOCK_COOLING_S * math.log(excess) if excess > 1 else 0.0)

    def _state(self) -> str:
        self._finish_if_over()
        if self._trouble:
            return self._trouble
        return "IDLE" if self._move is None else f"MOVING {self._move.ends - _now():.1f}"

    def _stop(self) -> str:
        self._finish_if_over()
        if self._move is not None:
            self._trouble = f"STOPPED the arm holds {self._move.sample.name}"
            self._move = None
        return "OK"

    def _reset(self) -> str:
        self._trouble = ""
        return "OK"

    def _finish_if_over(self) -> None:
        move = self._move
        if move is None or _now() < move.ends:
            return
        self._move = None
        if move.drops:
            self._trouble = f"FAULT 31 sample {move.sample.name} lost on the way to {move.target}"
        elif move.target != "cassette":
            self._chamber.places[move.target] = move.sample


class ProbeInstrument(_Answering):
    """The four tips and their meter."""

    identity = "sdl,simulated four-point probe,0,1"

    def __init__(self, chamber: Chamber) -> None:
        self._chamber = chamber
        self.stand_still()

    def stand_still(self) -> None:
        """Lift the tips."""
        self._is_down = False

    def _commands(self) -> dict[str, Handler]:
        return {"ROUTE:TIPS": (1, self._tips), "READ?": (0, self._read)}

    def _tips(self, word: str) -> str | Reply:
        where, _, rest = word.partition(";")
        if where not in {"DOWN", "UP"} or rest != "*OPC?":
            return "ERR -113 undefined header"
        self._is_down = where == "DOWN"
        return Reply("1", 10.0)

    def _read(self) -> Reply:
        sample = self._chamber.places["probe"]
        resistance = None if sample is None or not self._is_down else sample.resistance
        if resistance is None or self._chamber.happens(self._chamber.faults.no_contact):
            return Reply("9.91E37", 2.0)
        value = resistance * self._chamber.gain * (1 + SPOT_NOISE * self._chamber.spot_chance.standard_normal())
        return Reply(f"{value:.5E}", 2.0)
