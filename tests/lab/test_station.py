"""A station runs plans: what it returns, records, refuses, and how it ends when something goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from benches import execute, names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_devices import Knob, Later, Meter, Steps, move_and_measure, with_clean_up, with_run_key

from sdl.errors import (
    DeviceError,
    DeviceTimeout,
    LimitError,
    ReadbackError,
    TransportError,
)
from sdl.lab import Clock, Job, JobResult, Lab, VirtualClock


class TestRuns:
    def test_a_run_is_opened_when_the_plan_first_records(self, lab: Lab) -> None:
        result, documents = execute(lab, lambda: move_and_measure(lab, {"x": 3.0}), md={"trial": 4, "step": "try"})
        assert result.error is None
        assert result.value == {"y": 1.5}
        assert names(documents) == ["start", "descriptor", "event", "stop"]
        start = documents[0][1]
        assert (start["trial"], start["step"]) == (4, "try")
        assert result.runs == (start["uid"],)
        assert documents[-1][1]["exit_status"] == "success"
        assert documents[2][1]["data"] == {"meter": 1.5, "knob": 3.0}

    def test_a_plan_that_records_nothing_is_an_empty_run(self, lab: Lab) -> None:
        result, documents = execute(lab, lambda: bps.mv(lab.knob, 1.0), md={"trial": 1})
        assert names(documents) == ["start", "stop"]
        assert documents[0][1]["trial"] == 1
        assert len(result.runs) == 1

    def test_a_plan_with_runs_of_its_own_keeps_them(self, lab: Lab) -> None:
        def plan() -> Steps:
            yield from bp.scan([lab.meter], lab.knob, 0.0, 2.0, num=3, md={"purpose": "scan"})
            yield from bp.count([lab.meter], num=2)

        result, documents = execute(lab, plan, md={"trial": 9})
        assert names(documents).count("start") == 2
        assert names(documents).count("event") == 5
        starts = [document for name, document in documents if name == "start"]
        assert [start["trial"] for start in starts] == [9, 9]
        assert starts[0]["purpose"] == "scan"
        assert result.runs == tuple(start["uid"] for start in starts)

    def test_recording_before_and_after_a_run_of_its_own(self, lab: Lab) -> None:
        def plan() -> Steps:
            yield from bps.trigger_and_read([lab.meter])
            yield from bp.count([lab.meter])
            yield from bps.trigger_and_read([lab.meter])

        result, documents = execute(lab, plan)
        assert result.error is None
        assert names(documents) == ["start", "descriptor", "event", "stop"] * 3

    def test_runs_with_keys_are_left_alone(self, lab: Lab) -> None:
        def plan() -> Steps:
            yield from with_run_key(bp.count([lab.meter]), "own")

        _, documents = execute(lab, plan)
        assert names(documents) == ["start", "descriptor", "event", "stop"]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from(["move", "read", "own", "keyed", "staged"]), max_size=6), st.booleans())
    def test_whatever_the_plan_does_every_event_is_in_a_run_that_is_closed(
        self, simulated: Lab, acts: list[str], fails: bool
    ) -> None:
        stubs: dict[str, Callable[[], Steps]] = {
            "move": lambda: bps.mv(simulated.knob, 1.0),
            "read": lambda: bps.trigger_and_read([simulated.meter]),
            "own": lambda: bp.count([simulated.meter]),
            "keyed": lambda: with_run_key(bp.count([simulated.meter]), "own"),
            "staged": lambda: bps.stage_all(simulated.meter),
        }

        def plan() -> Steps:
            for act in acts:
                yield from stubs[act]()
            if fails:
                raise ValueError("at the end")

        result, documents = execute(simulated, plan)
        assert (result.error is not None) is fails
        open_now: list[str] = []
        closed: list[str] = []
        described: dict[str, str] = {}
        for name, document in documents:
            if name == "start":
                open_now.append(document["uid"])
            elif name == "stop":
                open_now.remove(document["run_start"])
                closed.append(document["run_start"])
            elif name == "descriptor":
                described[document["uid"]] = document["run_start"]
            else:
                assert described[document["descriptor"]] in open_now
        assert not open_now
        assert sorted(closed) == sorted(result.runs)
        assert len(closed) >= 1
        assert names(documents).count("event") == sum(act in {"read", "own", "keyed"} for act in acts)

    def test_a_failed_step_is_a_run_too(self, lab: Lab) -> None:
        lab.knob.fault = RuntimeError("stuck")
        result, documents = execute(lab, lambda: bps.mv(lab.knob, 1.0), md={"trial": 3})
        assert isinstance(result.error, DeviceError)
        assert names(documents) == ["start", "stop"]
        assert documents[-1][1]["exit_status"] == "fail"
        assert result.runs == (documents[0][1]["uid"],)

    def test_the_start_document_names_the_plan(self, lab: Lab) -> None:
        def anneal() -> Steps:
            yield from bps.null()

        assert execute(lab, anneal)[1][0][1]["plan_name"] == "anneal"

    def test_documents_carry_the_time_of_the_laboratory(self) -> None:
        clock = VirtualClock()
        with Lab("bench", clock=clock, knob=Knob("knob"), meter=Meter("meter", seconds=600.0)) as lab:
            result, documents = execute(lab, lambda: move_and_measure(lab, {"x": 1.0}))
        begun = 1_767_225_600.0
        assert (result.started, result.ended) == (begun, begun + 600.0)
        assert {name: document["time"] - begun for name, document in documents} == {
            "start": 600.0,
            "descriptor": 600.0,
            "event": 600.0,
            "stop": 600.0,
        }
        assert documents[2][1]["timestamps"]["meter"] == begun + 600.0

    def test_a_value_that_is_no_number_does_not_lose_the_run(self, lab: Lab) -> None:
        lab.meter.value = math.nan
        result, documents = execute(lab, lambda: move_and_measure(lab, {"x": 0.0}))
        assert result.error is None
        assert documents[2][1]["data"]["meter"] == "NaN"


class TestRecording:
    def test_a_document_that_is_not_taken_fails_the_step(self, lab: Lab) -> None:
        seen: list[str] = []

        def refuse(name: str, document: dict[str, Any]) -> None:
            seen.append(name)
            if name == "event":
                raise OSError("disk full")

        def stubborn() -> Steps:
            with contextlib.suppress(OSError):
                yield from move_and_measure(lab, {"x": 1.0})
            return {"y": 1.0}

        result = lab.stations["bench"].run(Job(stubborn, on_document=refuse))
        assert isinstance(result.error, OSError)
        assert str(result.error) == "disk full"
        assert result.value is None
        assert "event" in seen

    def test_the_station_goes_on_after_it(self, lab: Lab) -> None:
        def refuse(name: str, document: dict[str, Any]) -> None:
            raise OSError("disk full")

        assert lab.stations["bench"].run(Job(lambda: bps.null(), on_document=refuse)).error is not None
        assert execute(lab, lambda: move_and_measure(lab, {"x": 1.0}))[0].error is None

    def test_on_done_that_raises_harms_nobody(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        def spill(_: JobResult) -> None:
            done.set()
            raise ValueError("spilt")

        done = threading.Event()
        lab.stations["bench"].submit(Job(lambda: bps.null(), on_done=spill))
        lab.clock.release()  # this thread waits without a mailbox
        assert done.wait(10)
        lab.clock.hold()
        assert execute(lab, lambda: move_and_measure(lab, {"x": 1.0}))[0].error is None
        assert "spilt" in caplog.text


class TestFaults:
    def test_a_failing_device_is_named_with_its_cause(self, lab: Lab) -> None:
        lab.knob.fault = RuntimeError("the belt slipped")
        result, _ = execute(lab, lambda: move_and_measure(lab, {"x": 1.0}))
        assert isinstance(result.error, DeviceError)
        assert "knob" in str(result.error)
        assert "the belt slipped" in str(result.error)
        assert not result.is_aborted
        lab.knob.fault = None
        assert execute(lab, lambda: move_and_measure(lab, {"x": 1.0}))[0].error is None

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (DeviceTimeout("too slow"), DeviceTimeout),
            (LimitError("too far"), LimitError),
            (TransportError("unplugged"), TransportError),
            (ConnectionResetError("unplugged"), TransportError),
            (TimeoutError("too slow"), DeviceTimeout),
            (ValueError("nonsense"), DeviceError),
        ],
    )
    def test_the_cause_decides_what_kind_of_error_it_is(
        self, simulated: Lab, fault: Exception, expected: type[Exception]
    ) -> None:
        simulated.meter.fault = fault
        result, _ = execute(simulated, lambda: move_and_measure(simulated, {"x": 1.0}))
        assert type(result.error) is expected
        assert str(fault) in str(result.error)

    def test_a_device_that_raises_at_once_is_at_fault_too(self, simulated: Lab) -> None:
        def broken() -> Any:
            raise ConnectionResetError("unplugged")

        simulated.meter.trigger = broken
        result, _ = execute(simulated, lambda: move_and_measure(simulated, {"x": 1.0}))
        assert type(result.error) is TransportError
        assert "meter" in str(result.error)

    def test_an_error_of_the_plan_stays_what_it_is(self, simulated: Lab) -> None:
        def plan() -> Steps:
            yield from bps.mv(simulated.knob, 1.0)
            raise KeyError("oxygen")

        result, documents = execute(simulated, plan)
        assert type(result.error) is KeyError
        assert documents[-1][1]["exit_status"] == "fail"

    def test_a_plan_may_handle_a_fault(self, simulated: Lab) -> None:
        def plan() -> Steps:
            try:
                yield from bps.mv(simulated.knob, 1.0)
            except Exception:
                simulated.knob.fault = None
                yield from bps.mv(simulated.knob, 2.0)
            return "rescued"

        simulated.knob.fault = RuntimeError("once")
        result, _ = execute(simulated, plan)
        assert (result.value, result.error) == ("rescued", None)

    def test_clean_up_runs_and_devices_are_stopped(self, simulated: Lab) -> None:
        simulated.meter.fault = RuntimeError("broken")
        result, _ = execute(
            simulated,
            lambda: with_clean_up(move_and_measure(simulated, {"x": 5.0}), lambda: bps.mv(simulated.knob, 0.0)),
        )
        assert isinstance(result.error, DeviceError)
        assert simulated.knob.value == 0.0
        assert simulated.knob.stops == [True]


class TestTimeouts:
    def test_a_device_that_hangs_is_given_up(self, simulated: Lab) -> None:
        simulated.knob.seconds = math.inf
        result, _ = execute(simulated, lambda: bps.mv(simulated.knob, 1.0))
        assert isinstance(result.error, DeviceTimeout)
        assert "knob" in str(result.error)
        assert result.ended - result.started == 3600.0

    def test_on_the_wall_too(self) -> None:
        with Lab("bench", knob=Knob("knob", seconds=math.inf), wait_timeout=0.1) as lab:
            result, _ = execute(lab, lambda: bps.mv(lab.knob, 1.0))
        assert isinstance(result.error, DeviceTimeout)
        assert 0.1 <= result.ended - result.started < 5.0

    def test_a_slow_device_may_ask_for_more(self) -> None:
        knob = Knob("knob", seconds=5000.0)
        knob.timeout_s = 6000.0  # type: ignore[attr-defined] # a driver's attribute
        with Lab("bench", clock=VirtualClock(), knob=knob) as lab:
            assert execute(lab, lambda: bps.mv(knob, 1.0))[0].error is None
            knob.seconds = 7000.0
            result, _ = execute(lab, lambda: bps.mv(knob, 1.0))
        assert isinstance(result.error, DeviceTimeout)
        assert result.ended - result.started == 6000.0

    def test_the_plan_knows_best(self, simulated: Lab) -> None:
        simulated.knob.seconds = 50.0
        result, _ = execute(simulated, lambda: bps.mv(simulated.knob, 1.0, timeout=10.0))
        assert isinstance(result.error, DeviceTimeout)
        assert result.ended - result.started == 10.0

    def test_other_waits_end_as_well(self, simulated: Lab) -> None:
        result, _ = execute(simulated, lambda: bps.wait_for([asyncio.Event().wait]))
        assert isinstance(result.error, DeviceTimeout)
        assert result.ended - result.started == 3600.0

    def test_the_step_as_a_whole(self, clock: Clock) -> None:
        with Lab("bench", clock=clock, knob=Knob("knob")) as lab:
            result, documents = execute(lab, lambda: bps.sleep(100.0), timeout=0.2)
        assert isinstance(result.error, DeviceTimeout)
        assert "0.2 s" in str(result.error)
        assert not result.is_aborted
        assert 0.2 <= result.ended - result.started < 5.0
        assert documents[-1][1]["exit_status"] == "abort"

    def test_a_step_in_time_is_left_alone(self, simulated: Lab) -> None:
        result, _ = execute(simulated, lambda: bps.sleep(99.0), timeout=100.0)
        assert result.error is None
        assert simulated.clock.mailbox().get(timeout=50.0) is None
        assert execute(simulated, lambda: bps.sleep(1.0))[0].error is None


class TestReadback:
    def test_a_device_that_lies(self, lab: Lab) -> None:
        lab.knob.offset = 0.5
        result, _ = execute(lab, lambda: move_and_measure(lab, {"x": 3.0}))
        assert isinstance(result.error, ReadbackError)
        assert "knob" in str(result.error)
        assert "3.5" in str(result.error)
        assert "knob.tolerance" in str(result.error)

    @pytest.mark.parametrize(("offset", "is_right"), [(0.02, True), (0.04, False), (math.nan, False)])
    def test_one_per_cent_is_right_unless_the_device_says_otherwise(
        self, simulated: Lab, offset: float, is_right: bool
    ) -> None:
        simulated.knob.offset = offset
        assert (execute(simulated, lambda: bps.mv(simulated.knob, 3.0))[0].error is None) is is_right
        simulated.knob.tolerance = 0.1
        assert (execute(simulated, lambda: bps.mv(simulated.knob, 3.0))[0].error is None) is (not math.isnan(offset))

    def test_near_zero_the_limits_give_the_scale(self) -> None:
        knob = Knob("knob")
        knob.offset = 0.5
        with Lab("bench", clock=VirtualClock(), knob=knob, limits={"knob": (-100.0, 100.0)}) as lab:
            assert execute(lab, lambda: bps.mv(knob, 0.0))[0].error is None

    def test_an_old_reading_is_not_believed(self, lab: Lab) -> None:
        lab.knob.age = 100.0
        result, _ = execute(lab, lambda: bps.mv(lab.knob, 3.0))
        assert isinstance(result.error, ReadbackError)
        assert "100 s older" in str(result.error)

    def test_a_device_that_is_there_already_need_not_renew_its_reading(self, simulated: Lab) -> None:
        simulated.clock.mailbox().get(timeout=1000.0)
        simulated.knob.value, simulated.knob.moved_at = 3.0, 1_767_225_600.0
        simulated.knob.set = lambda value: Later(0.0)
        assert execute(simulated, lambda: bps.mv(simulated.knob, 3.0))[0].error is None
        assert isinstance(execute(simulated, lambda: bps.mv(simulated.knob, 4.0))[0].error, ReadbackError)

    def test_a_clock_with_another_origin_is_recognised(self, simulated: Lab) -> None:
        simulated.knob.age, simulated.knob.moved_at = 1e9, 5.0  # counts from somewhere in 1994
        assert execute(simulated, lambda: bps.mv(simulated.knob, 3.0))[0].error is None

    def test_what_cannot_be_read_back_is_let_through(self, simulated: Lab) -> None:
        class Valve:
            name, parent = "valve", None
            action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

            def set(self, value: object) -> Later:
                return Later(0.0)

        valve = Valve()
        assert execute(simulated, lambda: bps.mv(valve, 1.0))[0].error is None
        assert execute(simulated, lambda: bps.mv(valve, "open"))[0].error is None

    def test_a_device_that_can_only_be_located(self, simulated: Lab) -> None:
        class Stage:
            name, parent, at = "stage", None, 0.0
            action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

            def set(self, value: float) -> Later:
                return Later(0.0)

            async def locate(self) -> dict[str, float]:
                await asyncio.sleep(0.1)
                return {"setpoint": 1.0, "readback": self.at}

        stage = Stage()
        assert isinstance(execute(simulated, lambda: bps.mv(stage, 1.0))[0].error, ReadbackError)
        stage.at = 1.0
        assert execute(simulated, lambda: bps.mv(stage, 1.0))[0].error is None

    def test_a_move_that_nobody_waited_for_is_checked_when_somebody_does(self, simulated: Lab) -> None:
        def plan() -> Steps:
            yield from bps.abs_set(simulated.knob, 3.0, group="later")
            yield from bps.sleep(5.0)
            seen.append("slept")
            yield from bps.wait("later")

        seen: list[str] = []
        simulated.knob.offset = 1.0
        assert isinstance(execute(simulated, plan)[0].error, ReadbackError)
        assert "slept" in seen
