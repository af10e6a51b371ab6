"""Interlocks: rules over the signals of several devices, as data.

An interlock says what must hold (``require``) while something else holds (``when``). It is violated unless it is known
that ``when`` does not hold, or that ``require`` does: a signal that is lost, stale or not a number is unsafe.

It is evaluated three times: on what a plan would do, before the plan begins (:mod:`sdl.lab.walk`); at each act, on what
the act would make of it; and continuously, by the watchers of the stations (:mod:`sdl.lab.watcher`), whose trips latch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sdl.errors import InterlockError, LabError, ProblemError
from sdl.journal.safety import InterlockTripped, LatchSet, SafeActionKind, SafetyBody
from sdl.lab.clock import Clock
from sdl.lab.conditions import Condition, parse
from sdl.lab.latches import Latch
from sdl.lab.safe_actions import SafeAction, read_action
from sdl.lab.signals import UNASKED, Board, Source, find_source
from sdl.problem import units
from sdl.problem.value import Tuple, Value, listing

ACTS = frozenset(("set", "trigger", "kickoff", "prepare", "complete", "configure", "stage"))
"""The messages of a plan that make a device do something."""


class Interlock(Value):
    """A rule that must hold, and what is done when it does not.

    Parameters
    ----------
    name
        What people call it.
    require
        The condition that must hold; see :mod:`sdl.lab.conditions` for how to write one.
    when
        While this holds; always, where it is left out.
    max_age
        How old a signal may be, as a quantity of time; older is unknown, and unknown is unsafe.
    fresh_by
        Where the age counts from: the ``timestamp`` of the reading, or the time of the ``answer``, for devices that
        stamp a reading when its value last changed.
    action
        What the devices are told in place of their own safe action. ``"ramp_down"`` alone takes rate and end from the
        device.
    acts_on
        The devices that are told; those that ``when`` looks at and that can be set, where it is left out.
    """

    name: str = Field(kw_only=False, min_length=1)
    when: str = ""
    require: str = Field(min_length=1)
    max_age: str = "10 s"
    fresh_by: Literal["timestamp", "answer"] = "timestamp"
    action: str | None = None
    acts_on: Tuple[str] = ()
    positional: ClassVar[tuple[str, ...]] = ("name",)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for text in (self.when, self.require):
            parse(text)
        if not list(parse(self.require).signals()):
            raise ProblemError(f"interlock {self.name!r} requires nothing")
        if not self.seconds > 0:
            raise ProblemError(f"interlock {self.name!r} has max_age = {self.max_age!r}", hint="it is above zero")
        return self

    @property
    def seconds(self) -> float:
        """The age limit in seconds."""
        return units.to_unit(self.max_age, "s", name=f"max_age of {self.name}")


@dataclass(frozen=True)
class Reaction:
    """What one device is told when an interlock trips."""

    name: str
    device: Any
    station: str
    action: SafeAction


@dataclass
class Rule:
    """An interlock that belongs to a laboratory: its names are devices now, its numbers in their units."""

    interlock: Interlock
    sources: Mapping[str, Source]
    reactions: tuple[Reaction, ...]
    when: Condition
    require: Condition
    is_tripped: bool = False
    is_bound: bool = False

    @property
    def stations(self) -> frozenset[str]:
        """The stations whose devices it acts on."""
        return frozenset(reaction.station for reaction in self.reactions)

    def violation(self, look: Callable[[str], object]) -> bool:
        """Tell whether it is violated, or cannot be shown to be met; without the units of all signals it cannot."""
        return not self.is_bound or (self.when.holds(look) is not False and self.require.holds(look) is not True)

    def surely(self, look: Callable[[str], object]) -> bool:
        """Tell whether it is known to be violated."""
        return self.is_bound and self.when.holds(look) is True and self.require.holds(look) is False

    def concerns(self, device: object) -> bool:
        """Tell whether an act of *device* can matter to it."""
        return any(source.device is device for source in self.sources.values()) or any(
            reaction.device is device for reaction in self.reactions
        )


def bind_rule(lab: str, interlock: Interlock, places: Places) -> Rule:
    """Find the devices that *interlock* speaks of.

    Raises
    ------
    LabError
        A name is not there, or a device that it acts on has no safe action.
    UnitError
        A number has no unit where the signal has one, or another dimension.
    """
    when, require = parse(interlock.when), parse(interlock.require)
    names = dict.fromkeys((*when.signals(), *require.signals()))
    sources = {name: find_source(lab, places.devices, name) for name in names}
    rule = Rule(interlock, sources, _reactions(lab, interlock, when, sources, places), when, require)
    bind_units(rule)
    return rule


def bind_units(rule: Rule) -> None:
    """Convert the numbers of *rule* to the units of its signals, where all of these are known."""
    if any(source.unit == UNASKED for source in rule.sources.values()):
        return
    rule.when = parse(rule.interlock.when).bound(lambda name: rule.sources[name].unit)
    rule.require = parse(rule.interlock.require).bound(lambda name: rule.sources[name].unit)
    rule.is_bound = True


@dataclass(frozen=True)
class Places:
    """Where the devices of a laboratory are, and what it declares for them."""

    devices: Mapping[str, Any]
    station_of: Mapping[str, str]
    safe_actions: Mapping[str, str] = field(default_factory=dict[str, str])

    def station(self, device: str) -> str:
        """Return the station of the device with that dotted name."""
        return self.station_of[device.partition(".")[0]]


def _reactions(
    lab: str, interlock: Interlock, when: Condition, sources: Mapping[str, Source], places: Places
) -> tuple[Reaction, ...]:
    watched = [sources[name] for name in dict.fromkeys(when.signals())]
    targets = {source.device_name: source.device for source in watched if callable(getattr(source.device, "set", None))}
    if interlock.acts_on:
        targets = {name: _device(lab, interlock, places, name) for name in interlock.acts_on}
    if not targets:
        raise LabError(
            f"interlock {interlock.name!r} of {lab} acts on no device", hint='name them: acts_on=["furnace.heater"]'
        )
    found = tuple(
        Reaction(name, device, places.station(name), action_of(interlock, name, device, places))
        for name, device in targets.items()
    )
    for reaction in found:
        check_ramp(reaction, sources.values())
    return found


def check_ramp(reaction: Reaction, sources: Iterable[Source]) -> None:
    """Raise :class:`~sdl.errors.LabError` for a ramp of a device that nobody can ask where it is: it would jump."""
    device = reaction.device
    is_known = any(callable(getattr(device, verb, None)) for verb in ("locate", "read")) or any(
        source.device is device and not source.field for source in sources
    )
    if reaction.action.kind == "ramp_down" and not is_known:
        raise LabError(
            f"{reaction.name} is to ramp down, and cannot say from where",
            hint='give the device a locate or a read, or another safe action: "stop_now", "hold_setpoint"',
        )


def _device(lab: str, interlock: Interlock, places: Places, name: str) -> object:
    first, *rest = name.split(".")
    device: Any = places.devices.get(first)
    for part in rest:
        device = getattr(device, part, None)
    if device is None:
        raise LabError(
            f"interlock {interlock.name!r} of {lab} acts on {name!r}, and there is no such device",
            hint=f"{lab} has {listing(places.devices)}",
        )
    return device


def action_of(interlock: Interlock, name: str, device: object, places: Places) -> SafeAction:
    """Return what *device* is told: what the interlock says, completed by what is declared for the device."""
    declared = places.safe_actions.get(name, getattr(device, "safe_action", None))
    wanted = interlock.action
    if declared is None and wanted is None:
        raise LabError(
            f"interlock {interlock.name!r} acts on {name}, which declares no safe action",
            hint=f'declare it: {name}.safe_action = "stop_now", or Lab(safe_actions={{"{name}": "stop_now"}})',
        )
    text = wanted or declared
    if wanted == "ramp_down" and str(declared).startswith("ramp_down"):
        text = declared
    found = read_action(text, unit_of(device), name=name)
    needed = "set" if found.value is not None else "stop"
    if (found.value is not None or found.kind == "stop_now") and not callable(getattr(device, needed, None)):
        raise LabError(f"{name} is to {text!r}, and has no {needed}")
    return found


def unit_of(device: object) -> str | None:
    """Return the unit in which *device* is set, where it says so without a question."""
    unit = getattr(device, "unit", None)
    if isinstance(unit, str):
        return unit or None
    if callable(getattr(device, "describe", None)):
        name = str(getattr(device, "name", ""))
        found = find_source("the laboratory", {name or "device": device}, name or "device")
        return None if found.unit == UNASKED else found.unit
    return None


class Interlocks:
    """The interlocks of one laboratory: what is known, what is latched, and who is told.

    Its methods may be called from any thread; nothing in here waits for a device or for a disk.
    """

    def __init__(self, lab: str, clock: Clock) -> None:
        self.lab = lab
        self.clock = clock
        self.rules: list[Rule] = []
        self.places = Places({}, {})
        self.watch_period: float | None = None
        self.board = Board(clock)
        self.latches: list[Latch] = []
        self.act: Callable[[str, Sequence[Reaction], InterlockError], None] = _nobody
        self.listener: Callable[[Sequence[SafetyBody]], None] = _nobody_listens
        self.wakers: list[Callable[[], None]] = []
        self.here: frozenset[str] | None = None
        """The stations of this process, where it is not the engine's. It acts on no others."""
        self.away: dict[str, float] = {}
        """The stations in other processes: since when each tells its signals (clock seconds; infinity: not yet)."""
        self.watched: set[str] = set()
        """The stations of this process that read their signals."""
        self._closed: set[int] = set()
        self._concerned: dict[int, tuple[Rule, ...]] = {}
        self._mutex = threading.RLock()

    def add(self, interlocks: Sequence[Interlock], places: Places) -> None:
        """Bind *interlocks* to the laboratory."""
        names = [rule.interlock.name for rule in self.rules] + [interlock.name for interlock in interlocks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise LabError(f"two interlocks of {self.lab} are called {listing(twice)}", hint="give each its own name")
        self.places = places
        self.rules += [bind_rule(self.lab, interlock, places) for interlock in interlocks]
        self._concerned.clear()

    def learn(self, rule: Rule, found: Mapping[str, Source]) -> None:
        """Take over sources of *rule* whose units are known now. Raises UnitError where they do not fit its numbers."""
        with self._mutex:
            rule.sources = {**rule.sources, **found}
            if not rule.is_bound:
                bind_units(rule)

    # --- what is known --------------------------------------------------------------------------------------------

    def look(self, rule: Rule, changes: Mapping[int, object] | None = None) -> Callable[[str], object]:
        """Return how *rule* sees the signals now, with devices (by id) taken to be where *changes* sends them."""
        by_answer = rule.interlock.fresh_by == "answer"
        limit = rule.interlock.seconds

        def look(name: str) -> object:
            source = rule.sources[name]
            if changes is not None and id(source.device) in changes and not source.field:
                return changes[id(source.device)]
            sample = self.board.sample(name)
            if sample is None or not self.board.age(name, by_answer=by_answer) <= limit:
                return None
            return sample.value

        return look

    def concerned(self, device: object) -> tuple[Rule, ...]:
        """Return the rules to which an act of *device* can matter."""
        found = self._concerned.get(id(device))
        if found is None:
            found = self._concerned[id(device)] = tuple(rule for rule in self.rules if rule.concerns(device))
        return found

    def told(self, rule: Rule) -> dict[str, str]:
        """Tell each signal of *rule* as it is seen: the value, or why there is none."""
        by_answer = rule.interlock.fresh_by == "answer"
        return {name: self._told(source, rule, by_answer) for name, source in rule.sources.items()}

    def _told(self, source: Source, rule: Rule, by_answer: bool) -> str:
        sample = self.board.sample(source.name)
        if sample is None:
            return "unknown: it was never read"
        age = self.board.age(source.name, by_answer=by_answer)
        if not age <= rule.interlock.seconds:
            old = f"{age:.3g} s old" if age < float("inf") else "of unknown age"
            return f"unknown: {old}, and {rule.interlock.max_age} are allowed"
        return units.show(sample.value, None if source.unit == UNASKED else source.unit)

    # --- at an act ------------------------------------------------------------------------------------------------

    def check_act(self, name: str, device: object, target: object = None, *, is_set: bool) -> None:
        """Raise :class:`~sdl.errors.InterlockError` where an act of *device* is not allowed now."""
        self.check_open(name, device)
        changes = {id(device): target} if is_set else {}
        for rule in self.concerned(device):
            if rule.violation(self.look(rule, changes)):
                raise self._refusal(rule, f"{name} was sent {target!r}" if is_set else f"{name} was to act")

    def check_open(self, name: str, device: object) -> None:
        """Raise :class:`~sdl.errors.InterlockError` where *device* is latched."""
        if id(device) in self._closed:
            raise InterlockError(f"{name} takes no command: {self._why(device)}", hint=REARM_HINT)

    def _why(self, device: object) -> str:
        for latch in self.latches:
            for rule in self.rules:
                if rule.interlock.name == latch.body.interlock and any(r.device is device for r in rule.reactions):
                    return str(latch)
        return "it is latched"

    def _refusal(self, rule: Rule, what: str) -> InterlockError:
        seen = ", ".join(f"{name} is {value}" for name, value in self.told(rule).items())
        wanted = f"{rule.interlock.require}" + (f" when {rule.interlock.when}" if rule.interlock.when else "")
        return InterlockError(f"{what}, and the interlock {rule.interlock.name!r} requires {wanted}: {seen}")

    def note_set(self, device: object, target: object) -> None:
        """Note that *device* was sent to *target*, and wake the watchers that sleep until something is."""
        for rule in self.concerned(device):
            for source in rule.sources.values():
                if source.device is device and source.kind == "setpoint":
                    self.board.put_command(source, target)
        if self.concerned(device):
            for wake in self.wakers:
                wake()

    # --- before a plan --------------------------------------------------------------------------------------------

    def check_planned(self, name: str, given: object, targets: dict[int, object]) -> InterlockError | None:
        """Judge a set-point of a plan that is only walked: *targets* holds what the plan has set so far, by device id.

        What the plan has not set counts as its present set-point; readings of devices that it does not set are not
        known before the plan runs, and are left to the act.
        """
        for rule in self.concerned(given):
            if rule.surely(self._foreseen(rule, targets)):
                wanted = rule.interlock.require + (f" when {rule.interlock.when}" if rule.interlock.when else "")
                return InterlockError(
                    f"{name} would be sent {targets[id(given)]!r}, and the interlock {rule.interlock.name!r} "
                    f"requires {wanted}"
                )
        return None

    def _foreseen(self, rule: Rule, targets: Mapping[int, object]) -> Callable[[str], object]:
        def look(name: str) -> object:
            source = rule.sources[name]
            if id(source.device) in targets and not source.field:
                return targets[id(source.device)]
            sample = self.board.sample(name) if source.kind == "setpoint" else None
            return None if sample is None else sample.value

        return look

    # --- trips and latches ----------------------------------------------------------------------------------------

    def violated(self, stations: frozenset[str], *, since: float) -> list[Rule]:
        """Return the rules of *stations* that are violated and have not tripped yet.

        Somebody watches *since* then, in clock seconds. For the time of ``max_age`` after it, a rule counts only if it
        is known to be violated: other stations, and devices that renew their readings now and then, need that long. The
        same where a station in another process is about to begin; no act that depends on it is allowed meanwhile.
        """
        now = self.clock.monotonic()
        found: list[Rule] = []
        for rule in self.rules:
            homes = self.homes(rule)
            if rule.is_tripped or not stations & (rule.stations | homes) or not self.is_acted_on_here(rule):
                continue
            look = self.look(rule)
            began = max([since, *(self.away.get(home, since) for home in homes)])
            if rule.violation(look) and (now - began > rule.interlock.seconds or rule.surely(look)):
                found.append(rule)
        return found

    def is_acted_on_here(self, rule: Rule) -> bool:
        """Tell whether *rule* acts on a station that this process may act on, itself or by telling it."""
        return self.here is None or bool(self.here & rule.stations)

    @property
    def n_looks(self) -> int:
        """How often a signal is read within ``max_age``: more often where it has to come from another process."""
        return 4 if self.away else 2

    def await_station(self, station: str) -> None:
        """Take what *station*, in another process, reads as not known, and wait for it: nobody tells it now."""
        self.away[station] = math.inf
        for rule in self.rules:
            for name, source in rule.sources.items():
                if self.station_of(source) == station:
                    self.board.forget(name)

    def is_told_of(self, station: str) -> bool:
        """Tell whether the signals of *station* are read by now, here or in its process."""
        return self.away[station] < math.inf if station in self.away else station in self.watched

    def last(self) -> Callable[[str], object]:
        """Return the signals as they were seen last, however long ago."""

        def look(name: str) -> object:
            sample = self.board.sample(name)
            return None if sample is None else sample.value

        return look

    @property
    def stations(self) -> frozenset[str]:
        """The stations that have a part in a rule."""
        return frozenset[str]().union(*(rule.stations | self.homes(rule) for rule in self.rules))

    def homes(self, rule: Rule) -> frozenset[str]:
        """Return the stations that read the signals of *rule*."""
        return frozenset(self.station_of(source) for source in rule.sources.values())

    def station_of(self, source: Source) -> str:
        """Return the station that reads *source*."""
        return self.places.station(source.device_name)

    def trip(self, rule: Rule, told: str = "") -> None:
        """Latch what *rule* acts on, have it act, and tell who listens. A rule that has tripped does not trip again.

        *told* is why, where another process has seen it.
        """
        with self._mutex:
            if rule.is_tripped:
                return
            error = InterlockError(told) if told else self._refusal(rule, "tripped")
            bodies = self._latch(rule, error.message)
            rule.is_tripped = True  # now that its latch says why
        for station in self._acted_on(rule):
            self.act(station, [reaction for reaction in rule.reactions if reaction.station == station], error)
        self.listener(bodies)

    def _latch(self, rule: Rule, reason: str) -> list[SafetyBody]:
        actions: dict[str, SafeActionKind] = {each.name: each.action.kind for each in rule.reactions}
        name = rule.interlock.name
        tripped = InterlockTripped(
            lab=self.lab, interlock=name, reason=reason, signals=self.told(rule), actions=actions
        )
        bodies: list[SafetyBody] = [tripped]
        for station in self._acted_on(rule):
            devices = tuple(each.name for each in rule.reactions if each.station == station)
            latch = LatchSet(lab=self.lab, station=station, interlock=name, devices=devices, reason=reason)
            self.latches.append(Latch(latch))
            bodies.append(latch)
        self._closed |= {id(each.device) for each in rule.reactions if each.action.is_immediate}
        return bodies

    def _acted_on(self, rule: Rule) -> list[str]:
        return sorted(rule.stations if self.here is None else rule.stations & self.here)

    def close_device(self, device: object) -> None:
        """Take no more commands for *device*: the step that was allowed to finish has."""
        self._closed.add(id(device))

    def latch_of(self, station: str) -> Latch | None:
        """Return why no step may start on *station*; None where one may."""
        return next((latch for latch in self.latches if latch.station == station), None)

    def check_station(self, station: str) -> None:
        """Raise :class:`~sdl.errors.InterlockError` where no step may start on *station*."""
        latch = self.latch_of(station)
        if latch is not None:
            raise InterlockError(f"no step starts: {latch}", hint=REARM_HINT)

    def restore(self, latches: Sequence[Latch]) -> None:
        """Take over what a journal says: its latches, and those of our own that no journal knows of yet."""
        with self._mutex:
            own = [latch for latch in self.latches if not latch.sequence]
            self._take([*latches, *own])

    def recorded(self, body: LatchSet, sequence: int) -> None:
        """Note that a journal knows of a latch from now on."""
        with self._mutex:
            self.latches = [Latch(latch.body, sequence) if latch.body is body else latch for latch in self.latches]

    def amend(self, latch: Latch, reason: str) -> None:
        """Say more of why a latch is closed, and tell who listens."""
        body = latch.body.replace(reason=reason)
        with self._mutex:
            self.latches = [Latch(body) if known is latch else known for known in self.latches]
        self.listener([body])

    def release(self, station: str) -> None:
        """Forget the latches of *station*. What is still violated trips again at once."""
        with self._mutex:
            self._take([latch for latch in self.latches if latch.station != station])
        for wake in self.wakers:
            wake()

    def _take(self, latches: Sequence[Latch]) -> None:
        self.latches = list(latches)
        names = {latch.body.interlock for latch in self.latches}
        self._closed.clear()
        for rule in self.rules:
            rule.is_tripped = rule.interlock.name in names
            if rule.is_tripped:
                self._closed |= {id(each.device) for each in rule.reactions}


REARM_HINT = "look at the laboratory, then: sdl rearm STORE --by NAME --because TEXT"


def _nobody(_station: str, _reactions: Sequence[Reaction], _error: InterlockError) -> None:
    pass


def _nobody_listens(_bodies: Sequence[SafetyBody]) -> None:
    pass
