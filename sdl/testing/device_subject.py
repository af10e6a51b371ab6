"""A device that is being checked: what it promises, and how to ask it things in its laboratory."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sdl.errors import DeviceTimeout
from sdl.lab import Lab
from sdl.lab.actions import ActionClass
from sdl.lab.clock import current_time
from sdl.lab.envelope import as_number, tree, verbs_of
from sdl.lab.messages import Steps, message
from sdl.lab.readback import Reading, read_back, tolerance_of
from sdl.lab.station import Station

LONGEST = 3600.0
"""Clock seconds that anything may take in virtual time, unless the device says otherwise."""

LONGEST_ON_THE_WALL = 60.0
"""The same where people wait for it."""

GRACE = 30.0
"""Clock seconds beyond its own time limit in which a device has to fail."""

SHARE_ON_THE_BENCH = 0.1
"""Of its range, which a device on the bench is moved by; the whole range is for simulated ones."""

_DEPTH = 4
"""How far below a device its lines are looked for."""

_OPENING = frozenset({"open", "close", "connect", "disconnect"})


class Broken(AssertionError):
    """The device does not keep its contract."""


class NotApplicable(Exception):
    """What is checked means nothing for this device."""


@dataclass(frozen=True)
class Promise:
    """What is known of a device beyond what it says of itself; None for what it says.

    Parameters
    ----------
    low, high
        The range within which it may be set here, in its own unit.
    unit
        What its readings are in.
    tolerance
        How far a readback may be from its set-point.
    longest
        Clock seconds that a move through the range may take.
    stop_seconds
        Clock seconds in which it must have stopped when told to.
    value
        Something that it can be set to, where that is no number, or where doing it has consequences.
    """

    low: float | None = None
    high: float | None = None
    unit: str | None = None
    tolerance: float | None = None
    longest: float | None = None
    stop_seconds: float = 5.0
    value: object = None


@dataclass(frozen=True)
class Subject:
    """One device of a laboratory, and what it promises.

    Parameters
    ----------
    lab
        The laboratory; it runs all plans.
    name
        Dotted, as in ``sputter.power``.
    device
        The device itself.
    promise
        What is known of it.
    is_real
        Whether it is an instrument on a bench: then it is moved by a tenth of its range, from where it stands.
    undeclared
        Verbs of its and of its parts whose class nobody has declared, where the laboratory was made all the same.
    """

    lab: Lab
    name: str
    device: Any
    promise: Promise
    is_real: bool = False
    undeclared: tuple[str, ...] = ()

    @property
    def station(self) -> Station:
        """The station that it belongs to."""
        for station in self.lab.stations.values():
            if any(found is self.device for name, top in station.devices.items() for _, found in tree(name, top)):
                return station
        return next(iter(self.lab.stations.values()))

    # --- what it promises -----------------------------------------------------------------------------------------

    @property
    def is_movable(self) -> bool:
        """Whether it can be set."""
        return callable(getattr(self.device, "set", None))

    @property
    def is_readable(self) -> bool:
        """Whether it can be read."""
        return "Readable" in verbs_of(self.device)

    @property
    def is_triggerable(self) -> bool:
        """Whether it measures when it is told to."""
        return callable(getattr(self.device, "trigger", None))

    def class_of(self, verb: str) -> ActionClass | None:
        """Return what repeating *verb* would do; None where nobody has said."""
        return self.station.actions.find(self.device, verb)

    def limits(self) -> tuple[float, float] | None:
        """Return the range in which it may be set: what is promised, the laboratory's limits and its own, together."""
        limit = self.station.envelope.limits.get(id(self.device))
        allowed = (None, None) if limit is None else (limit.low, limit.high)
        pairs = [(self.promise.low, self.promise.high), allowed, own_limits(self.device)]
        if not any(low is not None and high is not None for low, high in pairs) and self.is_readable:
            pairs.append(self._described_limits())
        lows = [low for low, _ in pairs if low is not None]
        highs = [high for _, high in pairs if high is not None]
        return (max(lows), min(highs)) if lows and highs and max(lows) < min(highs) else None

    def _described_limits(self) -> tuple[float | None, float | None]:
        described, _ = self.run(lambda: answered(self.device.describe))
        limits: Mapping[str, Any] = own_entry(self.device, described).get("limits") or {}
        control: Mapping[str, Any] = limits.get("control") or {}
        return as_number(control.get("low")), as_number(control.get("high"))

    def range(self) -> tuple[float, float]:
        """Return :meth:`limits`, or raise :class:`NotApplicable` where there are none."""
        if not self.is_movable:
            raise NotApplicable("it cannot be set")
        found = self.limits()
        if found is None:
            raise NotApplicable("it is not known between which numbers it may be set")
        return found

    def margin(self, target: float) -> float:
        """Return how far from *target* it may be."""
        if self.promise.tolerance is not None:
            return self.promise.tolerance
        return tolerance_of(self.device, target, self.station.envelope, self.station.tolerance)

    @property
    def longest(self) -> float:
        """Clock seconds that it may take for anything."""
        if self.promise.longest is not None:
            return self.promise.longest
        own = (as_number(getattr(self.device, name, None)) for name in ("timeout_s", "timeout"))
        known = next((seconds for seconds in own if seconds is not None and math.isfinite(seconds)), None)
        return known or (LONGEST if self.lab.clock.is_virtual else LONGEST_ON_THE_WALL)

    # --- where it may go ------------------------------------------------------------------------------------------

    def places(self) -> tuple[float, ...]:
        """Return the numbers that it is sent to in turn: through its range, or on the bench a little way and back.

        Raises :class:`NotApplicable` where it cannot be set to a number, or where that may not be repeated.
        """
        low, high = self.range()
        action = self.class_of("set")
        if action is not ActionClass.SET_ABSOLUTE:
            raise NotApplicable(f"to set it is {action or 'not declared'}: there is no state to come back to")
        if not self.is_real:
            return low, high, (low + high) / 2
        here = self.here()
        if here is None or not low - self.margin(low) <= here <= high + self.margin(high):
            raise NotApplicable(f"it stands at {here}, and its range is {low:g} to {high:g}")
        here = min(max(here, low), high)
        step = SHARE_ON_THE_BENCH * (high - low)
        return (here + step if here + step <= high else here - step), here

    @property
    def choices(self) -> tuple[object, ...]:
        """The names that it can be set to, where it says so; they may be set as often as one likes."""
        is_state = self.class_of("set") is ActionClass.SET_ABSOLUTE
        return tuple(getattr(self.device, "choices", None) or ()) if self.is_movable and is_state else ()

    def turns(self) -> tuple[object, ...]:
        """Return the choices that it is sent to in turn: all, or on the bench another one, and where it stands."""
        if not self.is_real:
            return self.choices
        here = self.chosen()
        return (next((each for each in self.choices if each != here), here), here)

    def chosen(self) -> object:
        """Return the choice that it reads."""
        found, _ = self.run(lambda: answered(self.device.read))
        return own_entry(self.device, found).get("value")

    def act(self) -> object:
        """Return something that it can be set to. Raises :class:`NotApplicable` where nothing is known or allowed."""
        if not self.is_movable:
            raise NotApplicable("it cannot be set")
        if self.promise.value is not None:
            return self.promise.value
        if self.choices:
            return self.turns()[0]
        action = self.class_of("set")
        if action is ActionClass.SET_ABSOLUTE:
            if self.limits() is None:
                raise NotApplicable(f"nothing is known that it can be set to: say {self.name}=VALUE")
            return self.places()[0]
        if self.is_real or self.limits() is None:
            raise NotApplicable(f"to set it is {action}: say {self.name}=VALUE, and it is done")
        low, high = self.range()
        return (low + high) / 2

    # --- in its laboratory ----------------------------------------------------------------------------------------

    def run(self, plan: Callable[[], Steps[Any]], *, is_walked: bool = False) -> Any:
        """Run *plan* in the laboratory; return what it returns, raise what it raises.

        Only where it *is_walked* is it checked beforehand as a campaign's is: most plans here look before they move.
        """

        def planned(_lab: Any, _settings: Any) -> Generator[Any, Any, Any]:
            if not is_walked:
                yield message("wait_for", None, [_nothing])  # no walk goes past it
            return (yield from plan())

        return self.lab.run(planned, station=self.station.name)

    def here(self) -> float | None:
        """Return where it says it is; None where it says no number."""
        reading: Reading | None = self.run(lambda: read_back(self.device))
        return None if reading is None else reading.value

    def moved(self, value: object) -> Steps[None]:
        """Plan: set it to *value*, and wait until it is done."""
        yield message("set", self.device, value, group="check")
        yield message("wait", None, group="check", timeout=self.longest)

    def triggered(self) -> Steps[None]:
        """Plan: have it measure, where it is one that measures."""
        if self.is_triggerable:
            yield message("trigger", self.device, group="check")
            yield message("wait", None, group="check", timeout=self.longest)

    async def done(self, verb: str, *arguments: object) -> None:
        """Tell the device itself, past all that the laboratory checks, and wait until it is done.

        Raises what the device raises, and :class:`Broken` where it neither succeeds nor fails.
        """
        patience = asyncio.timeout(self.longest + GRACE)
        try:
            async with patience:
                await ended(getattr(self.device, verb)(*arguments))
        except TimeoutError:
            if patience.expired():
                raise Broken(f"{verb} has neither failed nor succeeded after {self.longest + GRACE:g} s") from None
            raise

    async def close_lines(self) -> None:
        """Close the lines below the device, as a broken one is; the next request opens them again."""
        for line in lines_of(self.device):
            await line.close()

    @contextmanager
    def lines_disturbed(self, error: Exception, *, seconds: float) -> Generator[None]:
        """Let every request on the lines below the device fail with *error* after *seconds*; nothing is sent.

        Raises :class:`NotApplicable` where there are no lines.
        """
        lines = lines_of(self.device)
        if not lines:
            raise NotApplicable("there is no transport below it that could be cut")
        self.station.connect()  # what it asks when it is connected is not what is disturbed

        async def fail(*_: object, **__: object) -> None:
            await asyncio.sleep(seconds)
            raise error

        changed = [(line, verb) for line in lines for verb in requests_of(line)]
        for line, verb in changed:
            setattr(line, verb, fail)
        try:
            yield
        finally:
            for line, verb in changed:
                delattr(line, verb)


def subjects_of(
    lab: Lab, target: object = None, *, promises: Mapping[str, Promise] | None = None, is_real: bool = False
) -> Iterator[Subject]:
    """Yield the devices of *target*, a part of *lab* or all of it: those that have verbs, and not what is inside them.

    *promises* are by dotted name.
    """
    for name, device in _tops(lab, target):
        yield Subject(lab, name, device, (promises or {}).get(name, Promise()), is_real)


def _tops(lab: Lab, target: object) -> Iterator[tuple[str, Any]]:
    found = [pair for name, top in lab.devices.items() for pair in tree(name, top)]
    if target is not None and target is not lab:
        exact = [(name, device) for name, device in found if device is target]
        inside = {id(device) for _, device in tree("", target)}
        found = exact or [(name, device) for name, device in found if id(device) in inside]
    names: list[str] = []
    for name, device in found:
        if not any(name.startswith(f"{other}.") for other in names):
            names.append(name)
            yield name, device


def own_limits(device: object) -> tuple[float | None, float | None]:
    """Return the range that a device declares: ``limits`` with ``low`` and ``high``, or ophyd's pair of numbers."""
    limits: Any = getattr(device, "limits", None)
    if isinstance(limits, tuple | list):
        pair = cast("tuple[object, ...]", tuple(limits))  # pyright: ignore[reportUnknownArgumentType]
        low, high = (as_number(each) for each in pair) if len(pair) == 2 else (None, None)
        return (None, None) if low is None or high is None or low >= high else (low, high)  # ophyd's (0, 0): none
    return as_number(getattr(limits, "low", None)), as_number(getattr(limits, "high", None))


def own_entry(device: object, answer: object) -> Mapping[str, Any]:
    """Return what *answer*, of ``read()`` or ``describe()``, says under the device's own name, or its only hint."""
    entries: Mapping[str, Any] = cast("Mapping[str, Any]", answer) if isinstance(answer, Mapping) else {}
    hints: Mapping[str, Any] = getattr(device, "hints", None) or {}
    fields = list(hints.get("fields") or ())
    key = fields[0] if str(getattr(device, "name", "")) not in entries and len(fields) == 1 else device_name(device)
    return cast("Mapping[str, Any]", entries.get(key) or {})


def device_name(device: object) -> str:
    """Return what the device calls itself."""
    return str(getattr(device, "name", ""))


def answered(method: Callable[[], Any], *, timeout: float = LONGEST_ON_THE_WALL) -> Steps[tuple[Any, float]]:
    """Plan: call *method* on the loop; return what it returned, awaited, and when it was asked (UTC)."""
    asked: list[float] = []

    async def ask() -> Any:  # a plan is walked first: what is done in a message is not done then
        asked.append(current_time())
        given = method()
        return await given if inspect.isawaitable(given) else given

    (done,) = yield message("wait_for", None, [ask], timeout=timeout)
    return done.result(), asked[0]


def recovered(subject: Subject) -> Steps[None]:
    """Plan: leave nothing running of what was meant to fail."""
    if callable(getattr(subject.device, "stop", None)):
        yield from answered(lambda: subject.device.stop(success=False))


async def _nothing() -> None:
    pass


async def ended(status: Any) -> None:
    """Wait until *status* is done. Raises its error."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def conclude(_: object) -> None:
        loop.call_soon_threadsafe(lambda: None if over.done() else over.set_result(None))

    status.add_callback(conclude)
    await over
    error = status.exception(0.0) if callable(getattr(status, "exception", None)) else None
    if error is not None:
        raise error
    if getattr(status, "success", True) is False:
        raise DeviceTimeout("its status failed without saying why")


def lines_of(device: object) -> list[Any]:
    """Return the transports below *device*, and below the driver that it is a part of."""
    given = [getattr(value, "__self__", None) for value in getattr(device, "__dict__", {}).values()]
    found: dict[int, Any] = {}
    for top in (device, getattr(device, "parent", None), *given):  # a part is often given methods of its driver
        _find_lines(top, found, set(), _DEPTH)
    return list(found.values())


def _find_lines(thing: Any, found: dict[int, Any], seen: set[int], depth: int) -> None:
    if id(thing) in seen or isinstance(thing, type) or not hasattr(thing, "__dict__"):
        return
    seen.add(id(thing))
    if all(inspect.iscoroutinefunction(getattr(thing, method, None)) for method in ("open", "close", "request")):
        found[id(thing)] = thing
    elif depth:
        for name, value in list(cast("dict[str, Any]", vars(thing)).items()):
            if name != "parent":
                _find_lines(value, found, seen, depth - 1)


def requests_of(line: object) -> list[str]:
    """Return the public coroutine methods of *line* by which something is asked of the instrument."""
    names = [name for name in dir(type(line)) if not name.startswith("_") and name not in _OPENING]
    return [name for name in names if inspect.iscoroutinefunction(getattr(type(line), name, None))]
