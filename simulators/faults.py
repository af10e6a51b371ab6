"""Faults of measurement: what an instrument says while something is wrong with it, and it does not know.

A :class:`FaultyInstrument` stands between the transport and any simulated instrument, and bends the numbers in its
answers. The time is the loop's, so it is virtual where the loop's is; the chance follows from a seed and the time.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from sdl.problem.value import Value
from sdl.simulators.transport import LineInstrument, Reply, SimulatedTransport

Hours = Annotated[float, Field(ge=0)]
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Moment:
    """One number that is about to be read.

    Parameters
    ----------
    value
        What a sound instrument would say.
    hours
        Since the instrument was first asked.
    last
        The last reading before the fault began; None where there is none.
    rng
        The chance of this moment.
    """

    value: float
    hours: float
    last: float | None
    rng: np.random.Generator


class Fault(Protocol):
    """Bends a reading."""

    @property
    def begins(self) -> float:
        """Hours after the first reading."""
        ...

    def bend(self, moment: Moment) -> float:
        """Return what is read; not called before the fault begins."""
        ...


class Drift(Value):
    """The reading grows, or shrinks, by a share of itself every hour."""

    per_hour: float = 0.01
    begins: Hours = 0.0
    fault: Literal["drift"] = "drift"

    def bend(self, moment: Moment) -> float:
        """Return the reading with the drift."""
        return moment.value * (1.0 + self.per_hour * (moment.hours - self.begins))


class StuckSensor(Value):
    """The last reading stays."""

    begins: Hours = 0.0
    fault: Literal["stuck_sensor"] = "stuck_sensor"

    def bend(self, moment: Moment) -> float:
        """Return the last sound reading."""
        return moment.value if moment.last is None else moment.last


class FlatLine(Value):
    """One number, whatever is measured: a cable that is off, a range that is exceeded."""

    reading: float = 0.0
    begins: Hours = 0.0
    fault: Literal["flat_line"] = "flat_line"

    def bend(self, moment: Moment) -> float:
        """Return that number."""
        return self.reading if moment.hours >= self.begins else moment.value


class Spikes(Value):
    """Now and then a reading is off by a share of itself, up or down."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.1
    size: Annotated[float, Field(gt=0)] = 0.5
    begins: Hours = 0.0
    fault: Literal["spikes"] = "spikes"

    def bend(self, moment: Moment) -> float:
        """Return the reading, with a spike where the dice say so."""
        hit, up = moment.rng.random(2)
        factor = 1.0 + (self.size if up < 0.5 else -self.size)
        return moment.value * factor if hit < self.probability else moment.value


class Bubble(Value):
    """A bubble in the cell: for a while a part of the signal is missing, more or less of it each time."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    lasts: Annotated[float, Field(gt=0)] = 4.0
    begins: Hours = 0.0
    fault: Literal["bubble"] = "bubble"

    def bend(self, moment: Moment) -> float:
        """Return the reading, less what the bubble hides while it is there."""
        is_there = moment.hours < self.begins + self.lasts
        return moment.value * (1.0 - self.share * moment.rng.uniform(0.5, 1.0)) if is_there else moment.value


class CloggedLine(Value):
    """A line that closes: the signal dies away exponentially, with that time constant in hours."""

    hours: Annotated[float, Field(gt=0)] = 10.0
    begins: Hours = 0.0
    fault: Literal["clogged_line"] = "clogged_line"

    def bend(self, moment: Moment) -> float:
        """Return what still comes through."""
        return moment.value * math.exp(-(moment.hours - self.begins) / self.hours)


class FaultyInstrument:
    """A simulated instrument with faults of measurement.

    Parameters
    ----------
    instrument
        The sound one.
    faults
        What is wrong with it; later ones bend what earlier ones have bent.
    queries
        The commands whose answers are readings: the first words of the lines. Others pass unchanged.
    seed
        Of the chance.
    """

    def __init__(
        self, instrument: LineInstrument, faults: Sequence[Fault], *, queries: Sequence[str] = ("READ?",), seed: int = 0
    ) -> None:
        self.instrument = instrument
        self.faults = tuple(faults)
        self._queries = frozenset(queries)
        self._seed = seed
        self._began: float | None = None
        self._sound: dict[tuple[int, int], float] = {}

    def answer(self, line: str) -> str | Reply:
        """Return the instrument's answer to *line*, with every number in it bent where it is a reading."""
        reply = self.instrument.answer(line)
        if (line.split() or [""])[0] not in self._queries:
            return reply
        text = reply if isinstance(reply, str) else reply.text
        if text.startswith("ERR"):
            return reply
        bent = self._bent(text)
        return bent if isinstance(reply, str) else replace(reply, text=bent)

    def _bent(self, text: str) -> str:
        now = asyncio.get_running_loop().time()
        self._began = now if self._began is None else self._began
        hours = (now - self._began) / 3600.0
        rng = np.random.default_rng([self._seed, round(now * 1000)])
        place = 0

        def one(found: re.Match[str]) -> str:
            nonlocal place
            place += 1
            digits = len(found[0].lower().partition("e")[0].lstrip("+-").replace(".", "").lstrip("0")) or 1
            return f"{self._value(float(found[0]), place, hours, rng):.{max(digits, 4)}g}"

        return NUMBER.sub(one, text)

    def _value(self, value: float, place: int, hours: float, rng: np.random.Generator) -> float:
        for number, fault in enumerate(self.faults):
            key = (place, number)
            if hours < fault.begins:
                self._sound[key] = value
            else:
                value = fault.bend(Moment(value, hours, self._sound.get(key), rng))
        return value


def afflict(
    transport: SimulatedTransport, *faults: Fault, queries: Sequence[str] = ("READ?",), seed: int = 0
) -> Callable[[], None]:
    """Give the instrument behind *transport* faults; return what takes them away again."""
    sound = transport.instrument
    transport.instrument = FaultyInstrument(sound, faults, queries=queries, seed=seed)

    def mend() -> None:
        transport.instrument = sound

    return mend
