"""Any object with the verbs of bluesky is a device: plain, ophyd, ophyd-async. Each is connected before it is used."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from ophyd_async.core import SignalRW, StandardReadable, StandardReadableFormat, soft_signal_rw
from plain_devices import Knob, Meter, Steps

from sdl.errors import DeviceError, LabError, ReadbackError
from sdl.lab import Clock, Job, Lab, VirtualClock, WallClock

sim: Any = importlib.import_module("ophyd.sim")  # ophyd declares no types
clocks = pytest.mark.parametrize("make_clock", [WallClock, VirtualClock], ids=["wall", "virtual"])


class Furnace(StandardReadable):
    """An ophyd-async device with a settable signal."""

    def __init__(self, name: str = "") -> None:
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.heater = soft_signal_rw(float)
        super().__init__(name)


def everything(clock: Clock, **more: Any) -> Lab:
    return Lab(
        "bench",
        clock=clock,
        knob=Knob("knob"),
        meter=Meter("meter"),
        axis=sim.SynAxis(name="axis"),
        detector=sim.SynSignal(func=lambda: 42.0, name="detector"),
        furnace=Furnace(),
        level=soft_signal_rw(float, name="level"),
        **more,
    )


def move_all(lab: Any, s: Any) -> Steps:
    yield from bps.mv(lab.knob, 1.0, lab.axis, 2.0, lab.furnace.heater, 3.0, lab.level, 4.0)
    return (yield from bps.trigger_and_read([lab.meter, lab.detector, lab.furnace, lab.knob, lab.axis, lab.level]))


@clocks
def test_one_plan_over_all_three_kinds(make_clock: Callable[[], Clock]) -> None:
    with everything(make_clock()) as lab:
        readings = lab.run(move_all)
        events: list[dict[str, Any]] = []
        job = Job(
            lambda: move_all(lab, {}), on_document=lambda name, doc: events.append(doc) if name == "event" else None
        )
        assert lab.stations["bench"].run(job).error is None
    values = {name: reading["value"] for name, reading in readings.items()}
    expected = {"knob": 1.0, "axis": 2.0, "furnace-heater": 3.0, "level": 4.0, "meter": 1.5, "detector": 42.0}
    assert {name: values[name] for name in expected} == expected
    assert {name: events[0]["data"][name] for name in expected} == expected


@clocks
@pytest.mark.parametrize("kind", ["axis", "level"])
def test_other_kinds_are_checked_like_plain_ones(make_clock: Callable[[], Clock], kind: str) -> None:
    with everything(make_clock(), limits={"axis": (-5.0, 5.0), "level": (-5.0, 5.0)}) as lab:
        device = getattr(lab, kind)
        beyond = lab.stations["bench"].run(Job(lambda: bps.mv(device, 6.0)))
        assert type(beyond.error).__name__ == "LimitError"
        assert lab.stations["bench"].run(Job(lambda: bps.mv(device, 4.0))).error is None


def test_an_ophyd_device_that_lies() -> None:
    with Lab("bench", axis=sim.SynAxis(name="axis", readback_func=lambda x: x + 1.0)) as lab:
        assert isinstance(lab.stations["bench"].run(Job(lambda: bps.mv(lab.axis, 1.0))).error, ReadbackError)


def test_a_failing_ophyd_device() -> None:
    def fail(value: float) -> None:
        raise RuntimeError(f"cannot go to {value}")

    with Lab("bench", axis=sim.SynAxis(name="axis")) as lab:
        lab.axis.set = fail
        error = lab.stations["bench"].run(Job(lambda: bps.mv(lab.axis, 1.0))).error
    assert isinstance(error, DeviceError)
    assert "axis" in str(error)


class Line:
    """A transport: something that is opened, asked and closed."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.calls: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        await asyncio.sleep(0.01)
        self.loop = asyncio.get_running_loop()
        self.calls.append("open")
        if self.fault is not None:
            raise self.fault

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self.calls.append("close")

    async def request(self, message: str) -> str:
        return message


class Driver(Knob):
    """A driver that keeps its line to itself."""

    def __init__(self, name: str, line: Line) -> None:
        super().__init__(name)
        self._line = line


@clocks
def test_lines_are_opened_before_the_first_job_and_closed_at_the_end(make_clock: Callable[[], Clock]) -> None:
    line = Line()
    with Lab("bench", clock=make_clock(), first=Driver("first", line), second=Driver("second", line)) as lab:
        assert line.calls == []
        for device in (lab.first, lab.second):
            lab.stations["bench"].run(Job(functools.partial(bps.mv, device, 1.0)))
        assert line.calls == ["open"]
    assert line.calls == ["open", "close"]


@clocks
def test_a_device_that_does_not_connect_is_named(make_clock: Callable[[], Clock]) -> None:
    lines = Line(), Line(ConnectionRefusedError("nobody there"))
    with Lab("bench", clock=make_clock(), good=Driver("good", lines[0]), bad=Driver("bad", lines[1])) as lab:
        with pytest.raises(LabError, match="cannot connect bad: nobody there"):
            lab.connect()
        result = lab.stations["bench"].run(Job(lambda: bps.mv(lab.good, 1.0)))
        assert isinstance(result.error, LabError)
        assert lab.good.sent == []
        lines[1].fault = None
        lab.connect()
        assert lab.stations["bench"].run(Job(lambda: bps.mv(lab.good, 1.0))).error is None


def test_a_device_that_never_answers_is_given_up() -> None:
    class Silent(Knob):
        async def connect(self) -> None:
            await asyncio.Event().wait()

    clock = VirtualClock()
    with Lab("bench", clock=clock, silent=Silent("silent")) as lab:
        with pytest.raises(LabError, match="silent: TimeoutError after 30 s"):
            lab.connect()
        assert clock.monotonic() == 30.0


def test_ophyd_async_devices_are_connected_on_their_stations_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    class Noting(Furnace):
        heater: SignalRW[float]

        async def connect(self, *args: Any, **kwargs: Any) -> None:
            loops.append(asyncio.get_running_loop())
            await super().connect(*args, **kwargs)

    stations = {"one": ["a"], "two": ["b"]}
    with Lab("bench", stations=stations, a=Noting(), b=Noting(name="own")) as lab:
        lab.connect()
        assert lab.a.name == "a"
        assert lab.b.name == "own"
        assert len(set(loops)) == 2
        lab.connect()
        assert len(loops) == 2
