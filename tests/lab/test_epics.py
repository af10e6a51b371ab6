"""Devices on EPICS, through ophyd and ophyd-async: a server that dies, stalls or lies never becomes a result.

The server is a real one, in a process of its own: that of `sdl.simulators.FlowCellIoc`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from ophyd_async.epics.motor import Motor
from plain_devices import Knob

from sdl.errors import DeviceTimeout, InterlockError, ReadbackError, TransportError
from sdl.lab import Interlock, Job, JobResult, Lab, Settings, channels, checks
from sdl.simulators import FlowCellIoc
from sdl.simulators.epics_lab import HomedAxis, Photodiode, Pump, measure
from sdl.simulators.epics_optics import fluorescence

Plan = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def ioc() -> Iterator[FlowCellIoc]:
    logging.getLogger("ophyd").setLevel(logging.CRITICAL)
    with FlowCellIoc("cell:", seed=1) as started:
        started.use()
        yield started


@pytest.fixture(scope="module")
def bench(ioc: FlowCellIoc) -> Iterator[Lab]:
    """Both libraries on one server, and the same axis through either."""
    motor = Motor("cell:axis")
    with Lab(
        "bench",
        axis=HomedAxis("cell:axis", name="axis"),
        motor=motor,
        pump=Pump("cell:pump:"),
        diode=Photodiode("cell:diode:"),
        wait_timeout=60.0,
    ) as lab:
        lab.run(homed)  # its threads begin here, not in a test
        yield lab


@pytest.fixture
def lab(bench: Lab, ioc: FlowCellIoc) -> Lab:
    """The bench with its axis at zero, homed."""
    if not ioc.is_alive:
        ioc.start()
    ioc.order("well")
    bench.run(homed)
    return bench


def homed(lab: Any, _: Settings) -> Any:
    yield from bps.mv(lab.axis.homing, 1)


def after(seconds: float, do: Callable[[], None]) -> Any:
    """Do something from another thread in a while. The dry walk stops here, so that it is done once."""

    async def begin() -> None:
        threading.Timer(seconds, do).start()

    yield from bps.wait_for([begin])


def run(lab: Lab, plan: Plan, events: list[Any] | None = None) -> JobResult:
    seen = [] if events is None else events
    job = Job(
        lambda: plan(lab, Settings({})),
        on_document=lambda name, document: seen.append(document) if name == "event" else None,
    )
    return lab.stations["bench"].run(job)


def test_one_plan_through_both_libraries(lab: Lab) -> None:
    found = lab.run(measure, {"position": 12.0, "flow": 0.8})
    assert found["fluorescence"].value == pytest.approx(fluorescence(12.0, 0.8), rel=0.1)
    assert found["fluorescence"].unit == "nA"


@pytest.mark.parametrize("device", ["axis", "motor"])
def test_a_server_that_is_restarted_in_mid_move_makes_no_data(lab: Lab, ioc: FlowCellIoc, device: str) -> None:
    """It is back at once, at zero, and answers; ophyd-async says that the move was done."""
    events: list[Any] = []

    def cut() -> None:
        ioc.kill()
        ioc.start()

    def plan(lab: Any, _: Settings) -> Any:
        yield from after(0.3, cut)
        yield from bps.mv(getattr(lab, device), 20.0)
        return (yield from bps.trigger_and_read([lab.diode]))

    result = run(lab, plan, events)
    assert isinstance(result.error, ReadbackError | TransportError | DeviceTimeout), result
    assert device in str(result.error)
    assert events == []
    refused = run(lab, lambda lab, _: bps.mv(lab.axis, 5.0))  # it waits for the server, which knows of no home
    assert "axis is not homed" in str(refused.error)
    assert lab.run(measure, {"position": 14.0, "flow": 1.0})["fluorescence"].value > 4.0  # homed, and on it goes


def test_a_wait_ends_when_the_server_is_gone(lab: Lab, ioc: FlowCellIoc, monkeypatch: pytest.MonkeyPatch) -> None:
    """ophyd's status would never end."""
    monkeypatch.setattr(checks, "PATIENCE", 1.0)

    def plan(lab: Any, _: Settings) -> Any:
        yield from after(0.3, ioc.kill)
        yield from bps.mv(lab.axis, 20.0)

    result = run(lab, plan)
    assert isinstance(result.error, TransportError)
    assert "axis lost the connection" in str(result.error)
    assert result.ended - result.started < 30.0  # of the 60 s that it might wait


def test_the_last_word_of_a_dead_server_is_no_reading(
    lab: Lab, ioc: FlowCellIoc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that is staged hands out what it saw last."""
    monkeypatch.setattr(channels, "ANSWER_TIMEOUT", 1.0)
    events: list[Any] = []

    def plan(lab: Any, _: Settings) -> Any:
        signal = lab.diode.signal
        yield from bps.stage(signal)
        try:
            yield from bps.trigger_and_read([signal])
            yield from after(0.0, ioc.kill)
            yield from bps.sleep(0.5)
            return (yield from bps.trigger_and_read([signal]))
        finally:
            yield from bps.unstage(signal)

    result = run(lab, plan, events)
    assert isinstance(result.error, TransportError), result
    assert "diode" in str(result.error)
    assert len(events) == 1  # the one before


@pytest.mark.parametrize("device", ["axis", "pump", "diode"])
def test_an_invalid_reading_is_no_reading(lab: Lab, ioc: FlowCellIoc, device: str) -> None:
    events: list[Any] = []
    ioc.order(f"invalid {device}")

    def plan(lab: Any, _: Settings) -> Any:
        yield from bps.sleep(0.5)  # ophyd monitors its axis, and is told in its own time
        yield from bps.trigger_and_read([getattr(lab, device)])

    result = run(lab, plan, events)
    assert isinstance(result.error, ReadbackError)
    assert f"{device}" in str(result.error)
    assert "invalid" in str(result.error)
    assert events == []
    ioc.order("well")
    assert run(lab, lambda lab, _: bps.trigger_and_read([getattr(lab, device)])).error is None


def test_a_reading_that_is_older_than_its_trigger_is_no_reading(lab: Lab, ioc: FlowCellIoc) -> None:
    """The server answers as if all were well, and its instrument has hung."""
    assert run(lab, lambda lab, _: bps.trigger_and_read([lab.diode])).error is None
    ioc.order("stale")
    threading.Event().wait(1.1)  # more than a clock may be off
    error = run(lab, lambda lab, _: bps.trigger_and_read([lab.diode])).error
    assert isinstance(error, ReadbackError)
    assert "older than its trigger" in str(error)


@pytest.mark.parametrize(("condition", "fault"), [("axis < 30 mm", "kill"), ("diode.signal < 100 nA", "invalid diode")])
def test_a_signal_of_an_interlock_that_is_dead_or_invalid_is_unsafe(
    ioc: FlowCellIoc, condition: str, fault: str
) -> None:
    """Through either library. Both go on to answer with what they saw last."""
    if not ioc.is_alive:
        ioc.start()
    ioc.order("well")
    rule = Interlock("in sight", require=condition, max_age="2 s", fresh_by="answer", acts_on=("knob",))
    devices: dict[str, Any] = {"axis": HomedAxis("cell:axis", name="axis"), "diode": Photodiode("cell:diode:")}
    with Lab("guarded", interlocks=[rule], safe_actions={"knob": "stop_now"}, knob=Knob("knob"), **devices) as lab:

        def plan(lab: Any, _: Settings) -> Any:
            yield from bps.mv(lab.knob, 0.1)
            yield from after(0.0, ioc.kill if fault == "kill" else lambda: ioc.order(fault))
            yield from bps.sleep(30.0)

        result = lab.stations["guarded"].run(Job(lambda: plan(lab, Settings({}))))
        assert isinstance(result.error, InterlockError), result
        assert lab.latches


def test_what_is_located_is_of_now(lab: Lab, ioc: FlowCellIoc) -> None:
    ioc.order("invalid pump")
    assert isinstance(run(lab, lambda lab, _: bps.rd(lab.pump.flow)).error, ReadbackError)
