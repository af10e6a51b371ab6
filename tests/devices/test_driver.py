"""The parts of drivers, against an oven that a test can bend."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import bluesky.protocols as bp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.devices import Action, Activity, Gauge, Instrument, Knob, Limits, Pause, Sensor
from sdl.errors import DeviceError, DeviceTimeout, LimitError, TransportError
from sdl.lab.clock import current_time
from sdl.simulators.transport import Reply, SimulatedTransport

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Oven:
    """Warms by one degree a second."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answers: dict[str, str | Reply] = {}
        self.start = self.target = 20.0
        self.since = 0.0

    @property
    def now(self) -> float:
        way = asyncio.get_running_loop().time() - self.since
        sign = 1 if self.target > self.start else -1
        return self.start + sign * min(way, abs(self.target - self.start))

    def go(self, target: float) -> None:
        self.start, self.target, self.since = self.now, target, asyncio.get_running_loop().time()

    def answer(self, line: str) -> str | Reply:
        self.heard.append(line)
        if line in self.answers:
            return self.answers[line]
        if line.startswith("SET "):
            self.go(float(line[4:]))
        if line == "HOLD":
            self.go(self.now)
        return f"{self.now:.3f}" if line == "READ?" else "OK"


def make(oven: Oven, **settings: Any) -> Knob:
    line = Instrument("oven", SimulatedTransport(oven, name="oven", timeout_s=5.0))
    given: dict[str, Any] = {"tolerance": 1.0, "timeout_s": 600.0} | settings
    return Knob(
        "oven_temperature",
        instrument=line,
        question="READ?",
        setter="SET {:.6g}",
        stopper="HOLD",
        unit="degC",
        limits=Limits(0.0, 500.0),
        **given,
    )


async def finished(status: bp.Status) -> BaseException | None:
    """Wait for a status as bluesky does: by its callback."""
    done = asyncio.Event()
    status.add_callback(lambda _: done.set())
    await done.wait()
    assert status.done
    assert status.success is (status.exception() is None)
    return status.exception()


def test_every_part_has_the_verbs_of_bluesky() -> None:
    knob = make(Oven())
    verbs = (bp.Movable, bp.Readable, bp.Locatable, bp.Checkable, bp.Stoppable, bp.HasName, bp.HasParent)
    assert all(isinstance(knob, verb) for verb in verbs)
    assert isinstance(make_sensor([1.0]), bp.Readable)
    assert isinstance(make_sensor([1.0]), bp.Triggerable)


def test_a_move_ends_when_the_readback_is_there(virtually: Run) -> None:
    async def main() -> None:
        oven = Oven()
        knob = make(oven, poll_s=2.0)
        status = knob.set(80)
        assert isinstance(status, bp.Status)
        assert not status.done
        assert status.exception() is None
        assert await finished(status) is None
        assert abs(oven.now - 80) <= 0.5
        assert await knob.locate() == {"setpoint": 80.0, "readback": pytest.approx(80, abs=1)}
        assert 58 < asyncio.get_running_loop().time() < 64

    virtually(main())


def test_a_callback_on_a_finished_status_is_called_at_once(virtually: Run) -> None:
    async def main() -> None:
        status = make(Oven()).set(20)
        await finished(status)
        called: list[bp.Status] = []
        status.add_callback(called.append)
        assert called == [status]

    virtually(main())


def test_readings_carry_the_time_of_the_loop_and_the_description_units_and_limits(virtually: Run) -> None:
    async def main() -> None:
        knob = make(Oven())
        await asyncio.sleep(3600)
        reading = (await knob.read())["oven_temperature"]
        assert reading["value"] == 20.0
        assert abs(reading["timestamp"] - current_time()) < 1
        described: dict[str, Any] = {
            "dtype": "number",
            "shape": [],
            "source": "simulated://oven READ?",
            "units": "degC",
            "limits": {"control": {"low": 0.0, "high": 500.0}},
        }
        assert dict(knob.describe()["oven_temperature"]) == described

    virtually(main())


@pytest.mark.parametrize("value", [-1, 501, float("nan"), "300", True, None])
def test_a_value_outside_the_limits_is_refused_before_anything_is_sent(value: Any) -> None:
    oven = Oven()
    with pytest.raises(LimitError, match=r"oven_temperature was told .* limits are 0 to 500 degC"):
        make(oven).set(value)
    assert oven.heard == []


def test_a_stopped_move_holds_the_instrument_and_has_failed(virtually: Run) -> None:
    async def main() -> None:
        oven = Oven()
        knob = make(oven, poll_s=10.0)
        status = knob.set(200)
        await asyncio.sleep(33)
        await knob.stop()
        error = await finished(status)
        assert isinstance(error, DeviceError)
        assert "oven_temperature was stopped at 5" in str(error)
        assert "on its way to 200" in str(error)
        assert oven.heard.count("HOLD") == 1
        await asyncio.sleep(100)
        assert 50 < oven.now < 54
        assert await finished(knob.set(60)) is None

    virtually(main())


def test_stopping_what_does_not_move_says_nothing_to_the_instrument(virtually: Run) -> None:
    async def main() -> None:
        oven = Oven()
        knob = make(oven)
        await knob.stop()
        await finished(knob.set(20))
        await knob.stop(success=False)
        assert "HOLD" not in oven.heard

    virtually(main())


def test_a_second_command_while_it_moves_is_refused(virtually: Run) -> None:
    async def main() -> None:
        oven = Oven()
        knob = make(oven)
        first = knob.set(30)
        with pytest.raises(DeviceError, match="still busy"):
            knob.set(40)
        assert await finished(first) is None
        assert "SET 40" not in oven.heard

    virtually(main())


def test_a_move_that_never_arrives_fails_with_where_it_is(virtually: Run) -> None:
    async def main() -> None:
        error = await finished(make(Oven(), timeout_s=30.0).set(400))
        assert isinstance(error, DeviceTimeout)
        assert "30 s after it was told 400" in str(error)

    virtually(main())


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("READ?", "ERR 7 sensor open", DeviceError),
        ("READ?", "banana", DeviceError),
        ("READ?", "", DeviceError),
        ("READ?", "nan", DeviceError),
        ("READ?", "inf", DeviceError),
        ("SET 80", "ERR", DeviceError),
        ("SET 80", "WHAT", DeviceError),
        ("READ?", Reply("80", None), DeviceTimeout),
    ],
)
def test_nonsense_and_silence_fail_the_move(
    virtually: Run, question: str, answer: str | Reply, expected: type[Exception]
) -> None:
    async def main() -> None:
        oven = Oven()
        oven.answers[question] = answer
        error = await finished(make(oven).set(80))
        assert isinstance(error, expected)
        assert "oven" in str(error)
        assert question in str(error)

    virtually(main())


def test_a_broken_cable_fails_the_move_and_the_next_one_works(virtually: Run) -> None:
    async def main() -> None:
        oven = Oven()
        line = SimulatedTransport(oven)
        gauge = Gauge("t", instrument=Instrument("oven", line), question="READ?", unit="degC")
        line.is_connected = False
        with pytest.raises(TransportError):
            await gauge.read()
        line.is_connected = True
        assert (await gauge.read())["t"]["value"] == 20.0

    virtually(main())


@given(text=st.text(max_size=30))
def test_whatever_an_instrument_answers_is_a_finite_number_or_a_device_error(text: str) -> None:
    class Anything:
        def answer(self, line: str) -> str:
            return text

    async def main() -> float:
        return await Instrument("oven", SimulatedTransport(Anything(), latency_s=0.0)).number("READ?")

    with contextlib.suppress(DeviceError):
        assert abs(asyncio.run(main())) < float("inf")


def make_sensor(values: list[float]) -> Sensor:
    async def measure() -> dict[str, float]:
        await asyncio.sleep(5)
        return {"scale_mass": values.pop(0)}

    return Sensor("scale_mass", measure, units={"scale_mass": "g"}, source="scale")


def test_a_sensor_measures_when_it_is_triggered(virtually: Run) -> None:
    async def main() -> None:
        sensor = make_sensor([1.5, 2.5])
        with pytest.raises(DeviceError, match="trigger it first"):
            sensor.read()
        for expected in (1.5, 2.5):
            assert await finished(sensor.trigger()) is None
            reading = sensor.read()["scale_mass"]
            assert reading == {"value": expected, "timestamp": current_time()}
        assert sensor.describe()["scale_mass"].get("units") == "g"

    virtually(main())


def test_a_failed_measurement_leaves_no_old_reading(virtually: Run) -> None:
    async def main() -> None:
        sensor = make_sensor([1.5])
        assert await finished(sensor.trigger()) is None
        assert isinstance(await finished(sensor.trigger()), IndexError)
        with pytest.raises(DeviceError, match="no measurement"):
            sensor.read()

    virtually(main())


def test_a_cancelled_action_has_failed(virtually: Run) -> None:
    async def main() -> None:
        action = Action(asyncio.sleep(100), "waiting")
        await asyncio.sleep(1)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        error = await finished(action)
        assert "waiting was cancelled" in str(error)

    virtually(main())


def test_a_pause_ends_early_and_stays_ended(virtually: Run) -> None:
    async def main() -> None:
        pause = Pause()
        assert await pause.sleep(5) is False
        asyncio.get_running_loop().call_later(5, pause.stop)
        assert await pause.sleep(100) is True
        assert await pause.sleep(100) is True
        assert asyncio.get_running_loop().time() == pytest.approx(10)

    virtually(main())


def test_an_activity_that_ends_well_when_stopped_counts_as_success(virtually: Run) -> None:
    async def soak(seconds: float, pause: Pause) -> None:
        await pause.sleep(seconds)

    async def halt() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        bath: Activity[float] = Activity("bath", soak, halt=halt, check=lambda _: None, action_class="cumulative")
        status = bath.set(1e6)
        await asyncio.sleep(1)
        assert bath.is_busy
        await bath.stop()
        assert await finished(status) is None
        assert not bath.is_busy

    virtually(main())
