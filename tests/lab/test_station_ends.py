"""How a station ends: aborted, refused, repaired, closed."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from benches import Document, execute
from plain_devices import Knob, Steps, move_and_measure, with_clean_up

from sdl.errors import (
    LabError,
    StepAborted,
)
from sdl.lab import Clock, Job, JobResult, Lab
from sdl.lab.messages import message


class TestAborting:
    def test_an_interrupt_that_comes_late_ends_no_later_step(self, lab: Lab) -> None:
        """The loop may be told of a loss when the step that it concerned is over, and the next one is under way."""
        station: Any = lab.stations["bench"]
        box: Any = lab.clock.mailbox()
        late: list[Callable[[], None]] = []

        def first() -> Steps:
            safety = station._engine.safety
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(safety, "stop_all", late.append)
                safety.interrupt(LabError("what it held is lost"))
            yield from bps.null()

        def second() -> Steps:
            late.pop()()
            yield from bps.null()

        for plan in (first, second):
            station.submit(Job(plan, on_done=box.put))
            assert box.get().error is None
        assert not late

    def test_while_it_waits(self, lab: Lab) -> None:
        assert execute(lab, lambda: bps.null())[0].error is None
        lab.knob.seconds = 1e5 if lab.clock.is_virtual else 20.0
        documents: list[Document] = []
        cleaned: list[str] = []
        box = lab.clock.mailbox()

        def plan() -> Steps:
            def clean() -> Steps:
                cleaned.append("yes")
                yield from bps.null()

            yield from with_clean_up(bps.mv(lab.knob, 1.0), clean)

        station = lab.stations["bench"]
        station.submit(Job(plan, on_document=lambda *document: documents.append(document), on_done=box.put))
        assert box.get(timeout=0.3) is None
        begun = time.perf_counter()
        station.abort("that is enough")
        result: JobResult | None = box.get()
        latency = time.perf_counter() - begun
        assert result is not None
        assert isinstance(result.error, StepAborted)
        assert "that is enough" in str(result.error)
        assert result.is_aborted
        assert latency < 1.0
        assert cleaned[-1:] == ["yes"]
        assert lab.knob.stops
        assert not any(lab.knob.stops)  # told by the abort itself, not at the end of a plan that went well
        stop = documents[-1][1]
        assert (stop["exit_status"], stop["reason"]) == ("abort", "that is enough")
        lab.knob.seconds = 0.0
        assert execute(lab, lambda: move_and_measure(lab, {"x": 2.0}))[0].error is None

    def test_before_it_begins(self, lab: Lab) -> None:
        box = lab.clock.mailbox()
        station = lab.stations["bench"]
        station.submit(Job(lambda: bps.mv(lab.knob, 1.0), on_done=box.put))
        station.abort("never mind")
        result = box.get()
        assert result is not None
        assert isinstance(result.error, StepAborted)
        assert lab.knob.sent == []
        assert execute(lab, lambda: bps.mv(lab.knob, 1.0))[0].error is None

    def test_when_idle_nothing_happens(self, lab: Lab) -> None:
        station = lab.stations["bench"]
        station.abort("nobody there")
        assert execute(lab, lambda: bps.mv(lab.knob, 1.0))[0].error is None
        station.abort("nobody there")
        assert execute(lab, lambda: bps.mv(lab.knob, 1.0))[0].error is None

    def test_a_plan_that_never_waits(self, lab: Lab) -> None:
        begun = threading.Event()

        def busy() -> Steps:
            while True:
                begun.set()
                yield message("null")

        box = lab.clock.mailbox()
        station = lab.stations["bench"]
        threading.Timer(0.3, station.abort, ("stop spinning",)).start()
        station.submit(Job(busy, on_done=box.put))
        result = box.get()
        assert begun.is_set()
        assert result is not None
        assert result.is_aborted

    def test_from_a_signal_handler(self, lab: Lab) -> None:
        station = lab.stations["bench"]
        before = signal.signal(signal.SIGUSR1, lambda *_: station.abort("Ctrl-C"))
        here = threading.main_thread().ident
        assert here is not None

        def plan() -> Steps:
            yield from bps.null()
            signal.pthread_kill(here, signal.SIGUSR1)
            for _ in range(200 if lab.clock.is_virtual else 1):
                yield from bps.sleep(10.0)
                (future,) = yield from bps.wait_for([lambda: asyncio.to_thread(time.sleep, 0.01)])
                future.result()

        try:
            result, _ = execute(lab, plan)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert result.is_aborted
        assert "Ctrl-C" in str(result.error)

    def test_twice_is_once(self, lab: Lab) -> None:
        lab.knob.seconds = 20.0
        box = lab.clock.mailbox()
        station = lab.stations["bench"]
        station.submit(Job(lambda: bps.mv(lab.knob, 1.0), on_done=box.put))
        box.get(timeout=0.2)
        station.abort("first")
        station.abort("second")
        result = box.get()
        assert result is not None
        assert "first" in str(result.error)

    def test_nothing_is_printed(self, lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
        def loud() -> Steps:
            print("the plan says hello")
            yield from bps.mv(lab.knob, 1.0)

        lab.knob.seconds = 20.0
        box = lab.clock.mailbox()
        station = lab.stations["bench"]
        station.submit(Job(loud, on_done=box.put))
        box.get(timeout=0.2)
        station.abort("quietly")
        assert box.get() is not None
        lab.knob.fault, lab.knob.seconds = RuntimeError("broken"), 0.0
        assert execute(lab, lambda: bps.mv(lab.knob, 1.0))[0].error is not None
        captured = capfd.readouterr()
        assert set(captured.out.splitlines()) == {"the plan says hello"}
        assert captured.err == ""


class TestRefusals:
    @pytest.mark.parametrize("command", ["pause", "install_suspender"])
    def test_pauses(self, simulated: Lab, command: str) -> None:
        def plan() -> Steps:
            yield message(command)

        result, _ = execute(simulated, plan)
        assert isinstance(result.error, LabError)
        assert "pause" in str(result.error)
        assert execute(simulated, lambda: bps.null())[0].error is None

    def test_a_second_job_at_a_time(self, simulated: Lab) -> None:
        box = simulated.clock.mailbox()
        station = simulated.stations["bench"]
        station.submit(Job(lambda: bps.sleep(1.0), on_done=lambda result: box.put(station.is_busy)))
        assert station.is_busy
        with pytest.raises(LabError, match="busy"):
            station.submit(Job(lambda: bps.sleep(1.0)))
        assert box.get() is False

    def test_a_job_after_closing(self) -> None:
        with Lab("bench", knob=Knob("knob")) as lab:
            station = lab.stations["bench"]
            assert execute(lab, lambda: bps.null())[0].error is None
        with pytest.raises(LabError, match="closed"):
            station.submit(Job(lambda: bps.null()))


class TestRepair:
    def test_a_dead_loop_is_replaced(self) -> None:
        def deadly() -> Steps:
            yield from bps.null()
            asyncio.get_running_loop().stop()
            yield from bps.sleep(1.0)

        with Lab("bench", knob=Knob("knob")) as lab:
            result, _ = execute(lab, deadly)
            assert isinstance(result.error, LabError)
            assert "loop" in str(result.error)
            assert execute(lab, lambda: bps.mv(lab.knob, 1.0))[0].error is None

    def test_a_plan_that_is_no_plan(self, simulated: Lab) -> None:
        def nonsense() -> Steps:
            yield "move, please"

        result, _ = execute(simulated, nonsense)
        assert isinstance(result.error, Exception)
        assert execute(simulated, lambda: bps.null())[0].error is None

    def test_an_exit_in_a_plan_ends_the_step_only(self, lab: Lab) -> None:
        def leave() -> Steps:
            yield from bps.null()
            raise SystemExit(3)

        result, _ = execute(lab, leave)
        assert result.error is not None
        assert execute(lab, lambda: bps.null())[0].error is None


class TestClosing:
    @pytest.mark.parametrize("seconds", [5.0, math.inf])
    def test_while_busy(self, clock: Clock, seconds: float) -> None:
        lab = Lab("bench", clock=clock, knob=Knob("knob", seconds=seconds))
        box = clock.mailbox()
        lab.stations["bench"].submit(Job(lambda: bps.mv(lab.knob, 1.0), on_done=box.put))
        begun = time.perf_counter()
        lab.close()
        result: JobResult | None = box.get(timeout=0.0)
        assert result is not None
        assert result.is_aborted
        assert time.perf_counter() - begun < 5.0

    def test_with_a_device_that_will_not_stop(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never(success: bool = True) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr("sdl.lab.engine.CLOSE_TIMEOUT", 0.2)
        lab = Lab("bench", clock=clock, knob=Knob("knob", seconds=math.inf))
        lab.knob.stop = never
        box = clock.mailbox()
        lab.stations["bench"].submit(Job(lambda: bps.mv(lab.knob, 1.0), on_done=box.put))
        lab.close()
        assert box.get(timeout=1.0) is not None

    def test_twice_and_unused(self, clock: Clock) -> None:
        lab = Lab("bench", clock=clock, knob=Knob("knob"))
        lab.close()
        lab.close()
        assert not any(thread.name.startswith(("sdl-", "bluesky")) for thread in threading.enumerate())

    def test_no_thread_and_no_loop_is_left(self, clock: Clock) -> None:
        with Lab("bench", clock=clock, stations={"a": ["x"], "b": ["y"]}, x=Knob("x"), y=Knob("y")) as lab:
            for station in lab.stations.values():
                assert station.run(Job(lambda: bps.null())).error is None
            assert any(thread.name.startswith("bluesky") for thread in threading.enumerate())
        assert not any(thread.name.startswith(("sdl-", "bluesky")) for thread in threading.enumerate())
