"""Signals on their way between processes, so that an interlock may look at devices of several of them.

Each process knows all rules and reads its own devices. A station tells the engine what it reads with every pulse; the
engine tells a station, with every beat, what the others read that a rule of that station looks at. So each end judges
whole rules: a station at every act and all the time, the engine all the time. Who sees a violation trips what it may
act on, and says so; the engine tells the other stations.

What was read ages on the way. No clock is compared with another one: a pulse says which beat it answers, and a beat
says the last pulse that came, and the time between counts as age. So a signal is taken for too old, never for too
young; and one that is not told any more grows old by itself, which is unsafe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from sdl.errors import SdlError
from sdl.lab.envelope import as_number
from sdl.lab.interlocks import Interlocks, Rule
from sdl.lab.remote.messages import Beat, Pulse, Signal, printable
from sdl.lab.signals import UNASKED

SHARE = 0.1
"""The part of the shortest ``max_age`` after which signals are told again."""

MIN_PERIOD = 0.02
"""Seconds between two beats, at least."""


class EngineEnd:
    """The engine's end, for one station. Its methods are for the thread of the link, from :meth:`begin` on.

    Parameters
    ----------
    station
        Which.
    interlocks
        Those of the laboratory, as the engine has it.
    now
        Monotonic seconds.
    """

    def __init__(self, station: str, interlocks: Interlocks, now: Callable[[], float]) -> None:
        self._station = station
        self._interlocks = interlocks
        self._now = now
        self._began = math.inf
        self._heard = -math.inf
        self._tripped = frozenset[str]()
        concerned = [rule for rule in interlocks.rules if station in rule.stations | interlocks.homes(rule)]
        self._ours = tuple(rule for rule in concerned if station in rule.stations)
        self._theirs = _sources(interlocks, concerned, lambda home: home != station)
        shortest = min((rule.interlock.seconds for rule in concerned), default=math.inf)
        self.period = max(MIN_PERIOD, SHARE * shortest)

    def begin(self) -> None:
        """The station is taken, and latched or not: what it says from now on counts. From another thread, once."""
        self._began = self._now()

    def beat(self, beat: Beat) -> Beat:
        """Return *beat* with what the station is to know."""
        if not self._theirs and not self._ours:
            return beat
        homes = {self._interlocks.station_of(rule.sources[name]) for rule, name in self._theirs}
        waiting = {home for home in homes if not self._interlocks.is_told_of(home)}
        return beat.replace(
            heard=self._heard if math.isfinite(self._heard) else None,
            signals=told(self._interlocks, self._theirs),
            waiting=tuple(sorted(waiting)),
            tripped=_reasons(self._interlocks, self._ours) if math.isfinite(self._began) else {},
        )

    def felt(self, pulse: Pulse, sent: float) -> None:
        """Take what *pulse* tells, which answers a beat of the time *sent*.

        Raises :class:`~sdl.errors.UnitError` where a rule does not fit the units of the station's signals.
        """
        if not self._began <= sent <= self._now():
            return
        self._heard = max(self._heard, pulse.now)
        take(self._interlocks, self._station, pulse.signals, sent)
        if self._interlocks.away.get(self._station) == math.inf:
            self._interlocks.away[self._station] = self._now()
        news = pulse.tripped.keys() - self._tripped  # once told, it is a person's to arm again
        self._tripped = frozenset(pulse.tripped)
        for rule in self._interlocks.rules:
            if rule.interlock.name in news:
                self._interlocks.trip(rule, pulse.tripped[rule.interlock.name])

    def look(self) -> None:
        """Trip what is violated, or not known any more."""
        if math.isfinite(self._began):
            for rule in self._interlocks.violated(frozenset((self._station,)), since=self._began):
                self._interlocks.trip(rule)


class StationEnd:
    """A station's end, in its own process. Its methods may be called from any thread.

    Parameters
    ----------
    station
        Which.
    interlocks
        Those of the laboratory, as this process has it. They act on no other station from now on.
    stations
        All of the laboratory.
    """

    def __init__(self, station: str, interlocks: Interlocks, stations: Iterable[str]) -> None:
        self._interlocks = interlocks
        self._others = tuple(name for name in stations if name != station)
        interlocks.here = frozenset((station,))
        self._own = _sources(interlocks, interlocks.rules, lambda home: home == station)
        self._ours = tuple(rule for rule in interlocks.rules if station in rule.stations)
        self.leave()

    def leave(self) -> None:
        """No engine tells what the other stations read: it is not known, and not waited for."""
        for name in self._others:
            self._interlocks.await_station(name)

    def felt(self, beat: Beat, now: float) -> None:
        """Take what *beat* tells; *now* is in the seconds of this process, as ``heard`` is."""
        interlocks = self._interlocks
        for station in self._others:
            is_waiting = beat.heard is None or station in beat.waiting
            if is_waiting or interlocks.away[station] == math.inf:
                interlocks.away[station] = math.inf if is_waiting else now
        if beat.heard is not None and beat.heard <= now:
            for station in self._others:
                with suppress(SdlError):  # the rule is not bound then, and so counts as violated
                    take(interlocks, station, beat.signals, beat.heard)
        for rule in self._ours:
            if rule.interlock.name in beat.tripped:
                interlocks.trip(rule, beat.tripped[rule.interlock.name])

    def pulse(self, pulse: Pulse) -> Pulse:
        """Return *pulse* with what the engine is to know."""
        if not self._own and not self._ours:
            return pulse
        return pulse.replace(signals=told(self._interlocks, self._own), tripped=_reasons(self._interlocks, self._ours))


_Where = tuple[Rule, str]


def _sources(interlocks: Interlocks, rules: Iterable[Rule], is_at: Callable[[str], bool]) -> tuple[_Where, ...]:
    return tuple(
        {
            name: (rule, name)
            for rule in rules
            for name, source in rule.sources.items()
            if is_at(interlocks.station_of(source))
        }.values()
    )


def _reasons(interlocks: Interlocks, rules: Iterable[Rule]) -> dict[str, str]:
    why = {latch.body.interlock: printable(latch.body.reason) for latch in reversed(interlocks.latches)}
    return {
        rule.interlock.name: why.get(rule.interlock.name, "it has tripped before") for rule in rules if rule.is_tripped
    }


def told(interlocks: Interlocks, sources: Iterable[_Where]) -> dict[str, Signal]:
    """Return what is known of signals, with how old it is now; those of unknown units or values are left out."""
    found: dict[str, Signal] = {}
    for rule, name in sources:
        source = rule.sources[name]
        sample = interlocks.board.sample(name)
        if sample is None or source.unit == UNASKED:
            continue
        answered = interlocks.board.age(name, by_answer=True)
        stamped = interlocks.board.age(name, by_answer=False)
        if answered < math.inf:
            found[name] = Signal(
                value=sendable(sample.value),
                unit=source.unit,
                answered=max(answered, 0.0),
                stamped=max(stamped, 0.0) if stamped < math.inf else None,
            )
    return found


def sendable(value: object) -> float | str | bool:
    """Return *value* as a number, a text or a truth value; what is no finite number as a text, which is no number."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if isinstance(value, bool):
        return value
    number = None if isinstance(value, str) else as_number(value)
    return number if number is not None and math.isfinite(number) else printable(str(value))


def take(interlocks: Interlocks, station: str, signals: Mapping[str, Signal], at: float) -> None:
    """Note what *station* has read: as old as it says, counted from *at*, in clock seconds of this process.

    A signal in another unit than here is not taken. Raises :class:`~sdl.errors.UnitError` where a rule does not fit the
    units of its signals.
    """
    for rule in interlocks.rules:
        for name, source in rule.sources.items():
            signal = signals.get(name)
            if signal is None or interlocks.station_of(source) != station:
                continue
            if source.unit == UNASKED:
                interlocks.learn(rule, {name: replace(source, unit=signal.unit)})
            if rule.sources[name].unit == signal.unit:
                renewed = -math.inf if signal.stamped is None else at - signal.stamped
                interlocks.board.put_told(name, signal.value, at - signal.answered, renewed)
