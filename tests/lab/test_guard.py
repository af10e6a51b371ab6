"""Acts that may not be repeated: recorded before and after, done once, however the step ends."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from plain_devices import Knob, Later, Steps, with_clean_up
from pydantic import JsonValue

from sdl.errors import DeviceError, DeviceTimeout, LimitError, StepAborted, TransportError
from sdl.journal.acts import ActEnded, ActIntended
from sdl.lab import Job, JobResult, Lab, VirtualClock, WallClock
from sdl.lab.guard import SETTLE
from sdl.lab.messages import message
from sdl.lab.scribe import Scribe

Heard = list[tuple[str, ...]]


class Doser(Knob):
    """Doses, and notes when it does."""

    action_classes = {"set": "cumulative", "trigger": "irreversible", "stage": "transfer", "unstage": "set_absolute"}  # noqa: RUF012 # a mapping of the class

    def __init__(self, heard: Heard) -> None:
        super().__init__("doser", seconds=20.0)
        self.unit = "mL"
        self.heard = heard
        self.status: Later | None = None

    def set(self, value: float) -> Any:
        self.heard.append(("told", str(value)))
        self.status = Later(self.seconds or 0.0, lambda: self._arrive(value))
        return self.status

    def trigger(self) -> Any:
        return self.set(0.5)

    def stage(self) -> list[Any]:
        self.heard.append(("told", "stage"))
        return []

    def unstage(self) -> list[Any]:
        return []


class Bench:
    """A laboratory, and everything that was recorded and done in it, in order."""

    def __init__(self) -> None:
        self.heard: Heard = []
        self.lab = Lab(
            "bench",
            clock=VirtualClock(),
            doser=Doser(self.heard),
            knob=Knob("knob"),
            limits={"doser": (0.0, 5.0)},
            wait_timeout=100.0,
        )
        self.bodies: list[ActIntended | ActEnded] = []
        self.error: Exception | None = None

    def record(self, body: ActIntended | ActEnded) -> None:
        self.bodies.append(body)
        if self.error is not None:
            raise self.error
        self.heard.append(("intended", body.device) if isinstance(body, ActIntended) else ("ended", body.outcome))

    def run(self, plan: Callable[[], Steps], **options: Any) -> JobResult:
        md: dict[str, JsonValue] = {"campaign": "c", "trial": 4, "attempt": 2, "step": "dose"}
        return self.lab.stations["bench"].run(Job(plan, md=md, on_act=self.record, **options))

    @property
    def last(self) -> ActEnded:
        body = self.bodies[-1]
        assert isinstance(body, ActEnded)
        return body


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.lab.close()


def test_the_order_is_intent_act_outcome(bench: Bench) -> None:
    assert bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error is None
    assert bench.heard == [("intended", "doser"), ("told", "2.0"), ("ended", "done")]
    intended = bench.bodies[0]
    assert isinstance(intended, ActIntended)
    assert (intended.act, intended.station, intended.attempt) == ("4.2.dose.1", "bench", 2)
    assert (intended.verb, intended.action_class) == ("set", "cumulative")
    assert intended.arguments == {"args": [2.0], "unit": "mL"}
    assert bench.last.seconds == pytest.approx(20.0)


def test_the_outcome_is_recorded_before_the_plan_goes_on(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.mv(bench.lab.doser, 2.0)
        bench.heard.append(("plan",))

    bench.run(plan)
    assert bench.heard[-2:] == [("ended", "done"), ("plan",)]


def test_what_may_be_repeated_costs_no_record(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.mv(bench.lab.knob, 1.0)
        yield from bps.unstage(bench.lab.doser)

    assert bench.run(plan).error is None
    assert not bench.bodies


def test_acts_are_numbered_on(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.mv(bench.lab.doser, 1.0)
        yield from bps.trigger(bench.lab.doser, wait=True)
        yield from bps.stage(bench.lab.doser)

    assert bench.run(plan, n_acts_before=3).error is None
    intents = [body for body in bench.bodies if isinstance(body, ActIntended)]
    assert [(body.act, body.verb) for body in intents] == [
        ("4.2.dose.4", "set"),
        ("4.2.dose.5", "trigger"),
        ("4.2.dose.6", "stage"),
    ]
    assert [body.outcome for body in bench.bodies if isinstance(body, ActEnded)] == ["done"] * 3


def test_without_a_record_the_device_is_not_told(bench: Bench) -> None:
    bench.error = OSError("no space left")
    assert bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error is not None
    assert bench.heard == []


def test_an_outcome_that_cannot_be_recorded_fails_the_step(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.abs_set(bench.lab.doser, 2.0, group="g")
        if bench.heard:  # and not in the dry walk
            bench.error = OSError("no space left")
        yield from bps.wait("g")

    error = bench.run(plan).error
    assert error is not None
    assert "no space left" in str(error)
    assert bench.heard == [("intended", "doser"), ("told", "2.0")]


def test_what_is_outside_limits_is_not_even_intended(bench: Bench) -> None:
    def plan() -> Steps:
        value = yield from bps.rd(bench.lab.knob)  # where the dry walk ends
        yield from bps.mv(bench.lab.doser, 9.0 + float(value))

    assert isinstance(bench.run(plan).error, LimitError)
    assert bench.heard == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeviceError("the needle is bent"), "failed"),
        (ValueError("a fault in the driver"), "failed"),
        (DeviceTimeout("no answer in 20 s"), "unknown"),
        (TimeoutError("no answer"), "unknown"),
        (TransportError("the line is cut"), "unknown"),
        (ConnectionResetError("the line is cut"), "unknown"),
    ],
)
def test_a_status_that_fails(bench: Bench, error: Exception, outcome: str) -> None:
    bench.lab.doser.fault = error
    assert bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error is not None
    assert bench.heard == [("intended", "doser"), ("told", "2.0"), ("ended", outcome)]
    assert str(error) in bench.last.reason


def test_a_device_that_refuses_when_it_is_told(bench: Bench) -> None:
    def refuse(value: float) -> Any:
        raise DeviceError("still busy")

    bench.lab.doser.set = refuse
    assert isinstance(bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error, DeviceError)
    assert (bench.last.outcome, bench.last.reason) == ("failed", "still busy")


def test_a_limit_that_a_device_finds_after_it_was_told_does_not_say_that_nothing_happened(bench: Bench) -> None:
    def overshoot(value: float) -> Any:
        bench.heard.append(("told", str(value)))
        raise LimitError("the vial is full")

    bench.lab.doser.set = overshoot
    assert isinstance(bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error, LimitError)
    assert (bench.last.outcome, bench.last.reason) == ("failed", "the vial is full")


def test_an_act_that_had_failed_before_anybody_said_so_fails_its_step(bench: Bench) -> None:
    class Mute(Later):
        def add_callback(self, callback: Callable[[Any], None]) -> None:
            """As of a thread that has not come to it."""

    def bend() -> None:
        raise DeviceError("the needle is bent")

    bench.lab.doser.set = lambda _: Mute(0.0, bend)
    assert "failed after the plan had ended" in str(bench.run(lambda: bps.abs_set(bench.lab.doser, 2.0)).error)
    assert (bench.last.outcome, bench.last.reason) == ("failed", "the needle is bent")


def test_a_time_out_is_no_failure(bench: Bench) -> None:
    bench.lab.doser.seconds = float("inf")
    assert isinstance(bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error, DeviceTimeout)
    assert bench.heard == [("intended", "doser"), ("told", "2.0"), ("ended", "unknown")]
    assert bench.lab.doser.stops, "what acts on after its step would act into the next one"


def test_a_slow_device_is_told_once(bench: Bench) -> None:
    bench.lab.doser.seconds = 105.0  # the wait gives up after 100 s, and the device ends a little later

    assert isinstance(bench.run(lambda: bps.mv(bench.lab.doser, 2.0)).error, DeviceTimeout)
    assert bench.heard == [("intended", "doser"), ("told", "2.0"), ("ended", "done")]


def test_a_plan_that_never_waits_is_waited_for(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.abs_set(bench.lab.doser, 2.0)

    result = bench.run(plan)
    assert result.error is None
    assert bench.last.outcome == "done"
    assert result.ended - result.started == pytest.approx(20.0)


@pytest.mark.parametrize(("fault", "kind"), [(DeviceError("bent"), DeviceError), (None, DeviceTimeout)])
def test_a_plan_that_never_waits_fails_with_its_act(bench: Bench, fault: Exception | None, kind: type) -> None:
    bench.lab.doser.fault = fault
    bench.lab.doser.seconds = 20.0 if fault else float("inf")
    assert isinstance(bench.run(lambda: bps.abs_set(bench.lab.doser, 2.0)).error, kind)
    assert bench.last.outcome == ("failed" if fault else "unknown")


def test_an_aborted_act_says_how_it_ended_or_is_unknown(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.abs_set(bench.lab.doser, 2.0, group="g")
        threading.Thread(target=bench.lab.stations["bench"].abort, args=("enough",)).start()
        yield from bps.wait("g")

    bench.lab.doser.seconds = float("inf")
    assert isinstance(bench.run(plan).error, StepAborted)
    assert bench.heard == [("intended", "doser"), ("told", "2.0"), ("ended", "unknown")]


def test_an_abort_is_heard_while_an_act_is_waited_for_after_the_plan(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.abs_set(bench.lab.doser, 2.0)
        asyncio.get_running_loop().call_later(5.0, bench.lab.stations["bench"].abort, "enough")

    bench.lab.doser.seconds = float("inf")
    result = bench.run(plan)
    assert isinstance(result.error, StepAborted)
    assert result.ended - result.started == pytest.approx(5.0 + SETTLE)  # not the 100 s that a wait may take
    assert bench.last.outcome == "unknown"


def test_a_plan_that_fails_elsewhere_lets_the_act_say_how_it_ended(bench: Bench) -> None:
    def plan() -> Steps:
        yield from bps.abs_set(bench.lab.doser, 2.0, group="g")
        raise RuntimeError("a fault in the plan")

    bench.lab.doser.seconds = 5.0
    assert isinstance(bench.run(plan).error, RuntimeError)
    assert bench.last.outcome == "done"


def test_acts_in_the_clean_up_are_recorded_too(bench: Bench) -> None:
    def main() -> Steps:
        yield from bps.mv(bench.lab.doser, 2.0)
        raise RuntimeError("a fault in the plan")

    def clean_up() -> Steps:
        yield from bps.mv(bench.lab.doser, 0.0)

    assert isinstance(bench.run(lambda: with_clean_up(main(), clean_up)).error, RuntimeError)
    assert [entry[0] for entry in bench.heard] == ["intended", "told", "ended"] * 2


def test_a_device_that_nobody_declared_does_not_act(bench: Bench) -> None:
    class Stranger:
        name, parent = "stranger", None

        def set(self, value: float) -> Any:
            bench.heard.append(("told", str(value)))

    error = bench.run(lambda: bps.mv(Stranger(), 1.0)).error
    assert error is not None
    assert "nobody has said what repeating stranger.set would do" in str(error)
    assert bench.heard == []


def test_a_stage_that_answers_at_once(bench: Bench) -> None:
    def plan() -> Steps:
        yield message("stage", bench.lab.doser)

    assert bench.run(plan).error is None
    assert bench.heard == [("intended", "doser"), ("told", "stage"), ("ended", "done")]


# --- a disk that hangs ------------------------------------------------------------------------------------------------


class HangingDisk:
    """Takes nothing from the moment on when it is told what it hangs at, until it is let go."""

    def __init__(self, at: type[ActIntended | ActEnded]) -> None:
        self.at = at
        self.is_reached, self.is_free = threading.Event(), threading.Event()
        self.bodies: list[ActIntended | ActEnded] = []

    def record(self, body: ActIntended | ActEnded) -> None:
        if isinstance(body, self.at):
            self.is_reached.set()
            assert self.is_free.wait(30.0)
        self.bodies.append(body)


@pytest.mark.parametrize(("at", "told", "outcome"), [(ActIntended, [], "refused"), (ActEnded, [2.0], "done")])
def test_a_disk_that_hangs_in_an_act_keeps_no_abort_waiting(at: Any, told: list[float], outcome: str) -> None:
    """A stop that is a coroutine needs the loop, which must not wait for the disk; on the wall clock."""

    class Valve(Knob):
        action_classes = {"set": "irreversible"}  # noqa: RUF012 # a mapping of the class

        async def stop(self, success: bool = True) -> None:  # type: ignore[override] # bluesky takes either
            stopped.append(time.monotonic())
            disk.is_free.set()  # nobody else lets it go

    delays: list[float] = []
    for _ in range(3):
        stopped: list[float] = []
        disk = HangingDisk(at)
        lab = Lab("bench", clock=WallClock(), valve=Valve("valve"), vent=Knob("vent"))
        results: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
        lab.stations["bench"].submit(Job(partial(bps.mv, lab.valve, 2.0), on_act=disk.record, on_done=results.put))
        assert disk.is_reached.wait(30.0)
        began = time.monotonic()
        lab.stations["bench"].abort("now")
        result = results.get(timeout=30.0)
        lab.close()
        delays.append(stopped[0] - began)
        assert isinstance(result.error, StepAborted)
        assert lab.valve.sent == told
        assert [type(body) for body in disk.bodies] == [ActIntended, ActEnded]
        assert isinstance(disk.bodies[-1], ActEnded)
        assert disk.bodies[-1].outcome == outcome
    assert min(delays) < 0.2  # what is promised; the others have other tests beside them


def test_a_disk_that_refuses_an_intent_on_the_wall_clock_lets_nothing_happen() -> None:
    heard: Heard = []
    lab = Lab("bench", clock=WallClock(), doser=Doser(heard))

    def refuse(body: ActIntended | ActEnded) -> None:
        raise OSError("the disk is gone")

    result = lab.stations["bench"].run(Job(lambda: bps.mv(lab.doser, 2.0), on_act=refuse))
    lab.close()
    assert "the disk is gone" in str(result.error)
    assert heard == []


def test_on_the_wall_clock_too_an_end_is_recorded_before_the_plan_goes_on() -> None:
    heard: Heard = []
    lab = Lab("bench", clock=WallClock(), doser=Doser(heard))
    lab.doser.seconds = 0.0

    def slowly(body: ActIntended | ActEnded) -> None:
        time.sleep(0.02)
        heard.append(("recorded", type(body).__name__))

    def plan() -> Steps:
        yield from bps.mv(lab.doser, 2.0)
        heard.append(("on", ""))
        yield message("stage", lab.doser)
        heard.append(("on", ""))

    assert lab.stations["bench"].run(Job(plan, on_act=slowly)).error is None
    lab.close()
    before, after = ("recorded", "ActIntended"), ("recorded", "ActEnded")
    assert heard == [before, ("told", "2.0"), after, ("on", ""), before, ("told", "stage"), after, ("on", "")]


@pytest.mark.parametrize("is_told", [True, False])
def test_the_end_of_an_act_that_fails_is_recorded_before_the_plan_hears_of_it(is_told: bool) -> None:
    class Valve(Knob):
        action_classes = {"set": "irreversible"}  # noqa: RUF012 # a mapping of the class

        def set(self, value: float) -> Any:
            if not is_told:
                raise DeviceError("stuck")
            return super().set(value)

    heard: list[str] = []

    def slowly(body: ActIntended | ActEnded) -> None:
        if isinstance(body, ActEnded):
            time.sleep(0.2)
        heard.append(body.kind)

    def plan() -> Steps:
        try:
            yield from bps.mv(lab.valve, 1.0)
        except Exception:
            heard.append("plan")
            raise

    lab = Lab("bench", clock=WallClock(), valve=Valve("valve", seconds=0.01))
    lab.valve.fault = DeviceError("stuck")
    result = lab.stations["bench"].run(Job(plan, on_act=slowly))
    lab.close()
    assert "stuck" in str(result.error)
    assert heard == ["act.intended", "act.ended", "plan"]


def test_what_is_to_be_recorded_after_the_station_has_closed_is_recorded_all_the_same() -> None:
    heard: list[str] = []
    scribe = Scribe("bench")
    scribe.submit(lambda: heard.append("before")).result(30.0)
    scribe.end(30.0)
    scribe.submit(lambda: heard.append("after")).result(30.0)
    scribe.drain()
    assert heard == ["before", "after"]


def test_a_call_that_raises_does_not_end_the_recording(caplog: pytest.LogCaptureFixture) -> None:
    scribe = Scribe("bench")

    def fail() -> None:
        raise ZeroDivisionError

    scribe.note(fail)
    scribe.submit(lambda: None).result(30.0)
    scribe.end(30.0)
    assert "ZeroDivisionError" in caplog.text
