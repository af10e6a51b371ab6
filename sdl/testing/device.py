"""What every device that can be set must do, as a test class."""

from __future__ import annotations

import inspect
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any, ClassVar, cast

import bluesky.plan_stubs
import pytest

from sdl.errors import SdlError
from sdl.lab import Lab
from sdl.lab.clock import current_time

bps: Any = bluesky.plan_stubs  # which are typed in part only


class DeviceContract:
    """Subclass it, say what the device promises, and give it a fixture ``lab`` and a method :meth:`device`.

    Run it on a simulated instrument first: the device is moved through its whole range. In virtual time that takes no
    time.

    Attributes
    ----------
    low, high
        The limits within which the device may be set.
    unit
        What its readings are in.
    tolerance
        How far a readback may be from its set-point.
    longest
        Clock seconds that a move through the whole range may take.
    stop_seconds
        Clock seconds in which it must have stopped when told to.
    """

    low: ClassVar[float]
    high: ClassVar[float]
    unit: ClassVar[str]
    tolerance: ClassVar[float]
    longest: ClassVar[float] = 3600.0
    stop_seconds: ClassVar[float] = 5.0

    @pytest.fixture
    def lab(self) -> Iterator[Lab]:
        """Yield a laboratory with the device, and close it."""
        raise NotImplementedError("give the subclass a fixture named lab")

    def device(self, lab: Lab) -> Any:
        """Return the device of *lab* that is tested."""
        raise NotImplementedError("give the subclass a method device(lab)")

    def _value(self, device: Any) -> Generator[Any, Any, float]:
        found = yield from _reading(device)
        return float(found[device.name]["value"])

    def test_it_goes_where_it_is_sent_in_time(self, lab: Lab) -> None:
        device = self.device(lab)
        middle = (self.low + self.high) / 2

        def plan(_: Any, __: Any) -> Generator[Any, Any, None]:
            for value in (self.low, self.high, middle):
                began = current_time()
                yield from bps.mv(device, value)
                found = yield from self._value(device)
                assert abs(found - value) <= self.tolerance, f"sent to {value}, {device.name} is at {found}"
                assert current_time() - began <= self.longest, f"the move to {value} took too long"

        lab.run(plan)

    @pytest.mark.parametrize("how", ["below", "above", "far above", "nan", "inf"])
    def test_what_lies_outside_its_limits_is_refused_and_moves_nothing(self, lab: Lab, how: str) -> None:
        device = self.device(lab)
        wrong = {
            "below": math.nextafter(self.low, -math.inf) - self.tolerance,
            "above": math.nextafter(self.high, math.inf) + self.tolerance,
            "far above": 1e6 * (abs(self.high) + 1.0),
            "nan": math.nan,
            "inf": math.inf,
        }[how]
        seen: list[float] = []

        def look(_: Any, __: Any) -> Generator[Any, Any, None]:
            seen.append((yield from self._value(device)))

        def move(_: Any, __: Any) -> Generator[Any, Any, None]:
            yield from bps.mv(device, wrong)

        lab.run(look)
        with pytest.raises((SdlError, ValueError)):
            lab.run(move)
        lab.run(look)
        before, after = seen
        assert abs(after - before) <= self.tolerance, f"{device.name} moved although {wrong} was refused"

    def test_its_readings_say_unit_and_time(self, lab: Lab) -> None:
        device = self.device(lab)

        def plan(_: Any, __: Any) -> Generator[Any, Any, None]:
            yield from bps.mv(device, self.low)
            moved = current_time()
            yield from bps.sleep(1.0)
            found = yield from _reading(device)
            described: dict[str, dict[str, Any]] = device.describe()
            if inspect.isawaitable(described):
                described = yield from _awaited(described)
            assert set(found) == set(described), "read() and describe() name different things"
            entry = found[device.name]
            assert described[device.name].get("units") == self.unit, f"the unit of {device.name} is not {self.unit}"
            assert isinstance(entry["value"], float | int), f"{entry['value']!r} is no number"
            assert math.isfinite(entry["value"])
            assert moved <= entry["timestamp"] <= current_time(), "the reading's time is not that of the reading"

        lab.run(plan)

    def test_it_stops_while_it_moves(self, lab: Lab) -> None:
        device = self.device(lab)
        seen: list[float] = []

        def move(_: Any, __: Any) -> Generator[Any, Any, None]:
            yield from bps.mv(device, self.low)
            yield from bps.abs_set(device, self.high, group="move")
            yield from bps.sleep(0.1)
            yield from bps.stop(device)

        def look_twice(_: Any, __: Any) -> Generator[Any, Any, None]:
            for _ in range(2):
                yield from bps.sleep(self.stop_seconds)
                seen.append((yield from self._value(device)))

        with suppress(SdlError):  # a move that was stopped may count as failed
            lab.run(move)
        lab.run(look_twice)
        first, second = seen
        assert abs(second - first) <= self.tolerance, f"{device.name} still moves: {first}, then {second}"

    def test_its_classes_of_action_are_known(self, lab: Lab) -> None:
        """A laboratory whose devices do not say what repeating an act would do does not load."""
        device = self.device(lab)
        declared = getattr(device, "action_classes", {})
        assert all(verb in declared for verb in ("set", "trigger") if callable(getattr(device, verb, None)))


def _reading(device: Any) -> Generator[Any, Any, dict[str, dict[str, Any]]]:
    """Read *device*."""
    return cast("dict[str, dict[str, Any]]", (yield from bps.read(device)))


def _awaited(awaitable: Any) -> Generator[Any, Any, Any]:
    """Await inside a plan."""
    found: list[Any] = []

    async def wait() -> None:
        found.append(await awaitable)

    yield from bps.wait_for([wait])
    return found[0]
