"""Vessels that stand at places, and the robot that carries them: what several twins have in common."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sdl.lab.experiment import Settings
from sdl.simulators.answering import Handler, Tasking, chance, now, number
from sdl.simulators.transport import SimulatedTransport


@dataclass
class Vessel:
    """A vial, a crucible, a tube: where it stands, what is in it, and what was done to it.

    ``notes`` is what the twin's physics keeps: hydrogen made, phases formed.
    """

    name: str
    place: str
    contents: dict[str, float] = field(default_factory=dict[str, float])
    done: set[str] = field(default_factory=set[str])
    notes: dict[str, float] = field(default_factory=dict[str, float])


def vessel_of(s: Settings) -> str:
    """Return the name of the vessel of an attempt at a trial: that of its campaign comes first, where it has one."""
    name = f"{s.trial}.{s.attempt}"
    if not s.campaign:
        return name
    word = re.sub(r"[^\w-]", "-", s.campaign)  # a command is words with spaces between them
    own = word if word == s.campaign else f"{word}-{zlib.crc32(s.campaign.encode()):08x}"
    return f"{own}/{name}"


def luck(seed: int, vessel: str, *use: int) -> np.random.Generator:
    """Return the chance of a vessel. It is that of its trial and attempt: what a campaign is called changes nothing."""
    return chance(seed, vessel.rpartition("/")[2], *use)


class Bench:
    """The vessels of a laboratory, by name, and the seed of its chance.

    The *store* never runs empty: what is asked for there is clean. A vessel of that name that stood elsewhere, left
    over from an attempt that failed, is thrown away.
    """

    def __init__(self, seed: int, store: str = "store") -> None:
        self.seed = seed
        self.store = store
        self.vessels: dict[str, Vessel] = {}
        self.machines: list[Tasking] = []

    def lines(self, **machines: Tasking) -> dict[str, SimulatedTransport]:
        """Return a line to each of *machines*, and remember them for :meth:`mend`."""
        self.machines.extend(machines.values())
        return {name: SimulatedTransport(machine, name=name) for name, machine in machines.items()}

    def mend(self) -> None:
        """Clear all faults, as a person would before the next experiment."""
        for machine in self.machines:
            machine.mend()

    def at(self, name: str, place: str) -> Vessel | None:
        """Return the vessel *name* if it stands at *place*."""
        if place == self.store:
            self.vessels[name] = Vessel(name, place)
        vessel = self.vessels.get(name)
        return vessel if vessel is not None and vessel.place == place else None

    def lacks(self, names: tuple[str, ...], place: str) -> str:
        """Return the refusal where one of *names* does not stand at *place*, or nothing."""
        missing = [name for name in names if self.at(name, place) is None]
        return f"ERR 21 {' '.join(missing)} not at {place}" if missing else ""

    def discard(self, names: tuple[str, ...]) -> None:
        """Forget vessels: what is emptied and thrown away."""
        for name in names:
            self.vessels.pop(name, None)

    def happens(self, probability: float, name: str, use: int) -> bool:
        """Throw the dice of a fault at the vessel *name*."""
        return probability > 0 and bool(luck(self.seed, name, 0xFA, use).random() < probability)


class RobotTwin(Tasking):
    """A robot as :class:`~sdl.devices.MobileRobot` drives it.

    Parameters
    ----------
    bench
        Its world.
    minutes
        Drive between places, in minutes by place: how far each is from the middle of the room.
    seconds_a_vessel
        Taking one and putting it down.
    hours
        How long a full battery lasts, and how long an empty one charges.
    drop
        How often a vessel is lost on a trip.
    """

    identity = "sdl,simulated mobile robot,0,1"

    def __init__(
        self,
        bench: Bench,
        *,
        minutes: Mapping[str, float],
        seconds_a_vessel: float,
        hours: tuple[float, float] = (21.5, 2.5),
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self._bench = bench
        self._minutes = dict(minutes)
        self._seconds_a_vessel = seconds_a_vessel
        self._lasts, self._charges = (3600.0 * h for h in hours)
        self._drop = drop
        self._place = bench.store
        self._level, self._since = 1.0, 0.0

    def _tasks(self) -> dict[str, Handler]:
        return {"CARRY": (None, self._carry), "CHARGE": (0, self._charge), "BATTERY?": (0, self._battery)}

    def _left(self) -> float:
        return max(self._level - (now() - self._since) / self._lasts, 0.0) if self._since else self._level

    def _battery(self) -> str:
        return f"{100 * self._left():.1f}"

    def _distance(self, target: str) -> float:
        """Return seconds of driving."""
        if target == self._place:
            return 5.0
        return 60.0 * (self._minutes.get(self._place, 0.5) + self._minutes.get(target, 0.5))

    def _charge(self) -> str:
        seconds = self._distance("charger") + (1 - self._left()) * self._charges
        return self._begin(seconds, self._charged)

    def _charged(self) -> None:
        self._place, self._level, self._since = "charger", 1.0, now()

    def _carry(self, *words: str) -> str:
        source, target, *names = words
        if refusal := self._bench.lacks(tuple(names), source):
            return refusal
        if self._left() <= 0:
            return "ERR 26 the battery is empty"
        self._since = self._since or now()
        seconds = self._distance(source)
        lost = [name for name in names if self._bench.happens(self._drop, name, len(target))]
        self._place = source
        seconds += self._distance(target) + 2 * self._seconds_a_vessel * len(names)
        fault = f"31 {lost[0]} lost on the way to {target}" if lost else ""
        return self._begin(seconds, lambda: self._arrive(target, tuple(names)), fault=fault)

    def _arrive(self, target: str, names: tuple[str, ...]) -> None:
        self._place = target
        for name in names:
            vessel = self._bench.vessels[name]
            vessel.place = target
        if target == "waste":
            self._bench.discard(names)


class DispenserTwin(Tasking):
    """A dispenser as :class:`~sdl.devices.Dispenser` drives it.

    Parameters
    ----------
    bench, place
        Where it works.
    seconds
        For a vessel, and for each material in it.
    error
        Standard deviation of a dose, as a share of it.
    jam
        How often a dose jams.
    """

    identity = "sdl,simulated dispenser,0,1"

    def __init__(
        self, bench: Bench, place: str, *, seconds: tuple[float, float], error: float = 0.0, jam: float = 0.0
    ) -> None:
        super().__init__()
        self._bench = bench
        self._place = place
        self._seconds = seconds
        self._error = error
        self._jam = jam

    def _tasks(self) -> dict[str, Handler]:
        return {"DOSE": (None, self._dose)}

    def _dose(self, vessel: str, *doses: str) -> str:
        if refusal := self._bench.lacks((vessel,), self._place):
            return refusal
        amounts = {material: number(amount) for material, _, amount in (dose.partition("=") for dose in doses)}
        jams = self._bench.happens(self._jam, vessel, 100 + len(self._place))
        seconds = self._seconds[0] + self._seconds[1] * len(amounts)
        fault = f"41 {next(iter(amounts), 'nothing')} does not flow" if jams else ""
        return self._begin(seconds, lambda: self._pour(vessel, amounts), fault=fault)

    def _pour(self, name: str, amounts: Mapping[str, float]) -> None:
        contents = self._bench.vessels[name].contents
        rng = luck(self._bench.seed, name, 0xD0, len(contents))
        for material, amount in amounts.items():
            given = amount * (1 + self._error * rng.standard_normal())
            contents[material] = contents.get(material, 0.0) + max(given, 0.0)


class TreaterTwin(Tasking):
    """A machine as :class:`~sdl.devices.Treater` drives it.

    Parameters
    ----------
    bench, place
        Where it works.
    verb
        Its command.
    seconds
        Before it starts, and for each vessel; a duration in the command comes on top.
    act
        What it does to a vessel at the end, given the seconds of the command.
    is_timed
        Whether the command says for how long.
    fault
        How often it fails, and what it says then.
    """

    identity = "sdl,simulated machine,0,1"

    def __init__(
        self,
        bench: Bench,
        place: str,
        *,
        verb: str,
        seconds: tuple[float, float],
        act: Callable[[Vessel, float], None],
        is_timed: bool = False,
        fault: tuple[float, str] = (0.0, ""),
    ) -> None:
        super().__init__()
        self._bench = bench
        self._place = place
        self._verb = verb
        self._seconds = seconds
        self._act = act
        self._is_timed = is_timed
        self._fault = fault

    def _tasks(self) -> dict[str, Handler]:
        return {self._verb: (None, self._treat)}

    def _treat(self, *words: str) -> str:
        asked = number(words[0]) if self._is_timed else 0.0
        names = words[1:] if self._is_timed else words
        if refusal := self._bench.lacks(names, self._place):
            return refusal
        probability, text = self._fault
        fails = any(self._bench.happens(probability, name, 200 + len(self._place)) for name in names)
        seconds = self._seconds[0] + self._seconds[1] * len(names) + asked
        return self._begin(seconds, lambda: self._finish_all(names, asked), fault=text if fails else "")

    def _finish_all(self, names: tuple[str, ...], asked: float) -> None:
        for name in names:
            self._act(self._bench.vessels[name], asked)


class ChromatographTwin(Tasking):
    """A chromatograph as :class:`~sdl.devices.Chromatograph` drives it.

    Parameters
    ----------
    bench, place
        Where it works.
    minutes
        For one injection.
    analytes
        Name -> what is really in a vessel; None where there is nothing to be seen.
    noise
        Standard deviation, as a share of the amount, and as an amount.
    fault
        How often an injection fails.
    """

    identity = "sdl,simulated chromatograph,0,1"

    def __init__(
        self,
        bench: Bench,
        place: str,
        *,
        minutes: float,
        analytes: Mapping[str, Callable[[Vessel], float | None]],
        noise: tuple[float, float],
        fault: float = 0.0,
    ) -> None:
        super().__init__()
        self._bench = bench
        self._place = place
        self._minutes = minutes
        self._analytes = dict(analytes)
        self._noise = noise
        self._fault = fault
        self._last: dict[str, float | None] = {}

    def _tasks(self) -> dict[str, Handler]:
        return {"INJECT": (1, self._inject), "RESULT?": (1, self._result)}

    def _inject(self, name: str) -> str:
        if refusal := self._bench.lacks((name,), self._place):
            return refusal
        fails = self._bench.happens(self._fault, name, 300)
        fault = "51 the needle is blocked" if fails else ""
        return self._begin(60 * self._minutes, lambda: self._analyse(name), fault=fault)

    def _analyse(self, name: str) -> None:
        vessel = self._bench.vessels[name]
        n = int(vessel.notes.get("injections", 0))
        vessel.notes["injections"] = n + 1
        rng = luck(self._bench.seed, name, 0x6C, n)
        relative, absolute = self._noise
        self._last = {}
        for analyte, amount in self._analytes.items():
            true = amount(vessel)
            noise = rng.standard_normal(2)
            self._last[analyte] = None if true is None else true * (1 + relative * noise[0]) + absolute * noise[1]

    def _result(self, analyte: str) -> str:
        value = self._last.get(analyte)
        return "NAN" if value is None else f"{value:.6g}"
