"""Virtual time: what passes when, and that it is the same every time."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_devices import Knob, Meter, Steps, move_and_measure

from sdl.errors import LabError
from sdl.lab import Job, JobResult, Lab, Mailbox, VirtualClock, current_time
from sdl.lab.messages import message
from sdl.lab.virtual import VirtualLoop

START = 1_767_225_600.0


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    made = VirtualClock()
    yield made
    assert not any(thread.name.startswith("test-loop") for thread in threading.enumerate())


def run(clock: VirtualClock, work: Callable[[VirtualLoop], Any]) -> Any:
    """Run *work* on the clock's loop in this thread, with nobody else taking part."""
    clock.release()
    loop = clock.new_loop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        clock.close_loop(loop)
        clock.hold()


class Running:
    """The clock's loop on a thread of its own, while this thread goes on as the one that holds time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.loop = clock.new_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)

    def __enter__(self) -> VirtualLoop:
        self.thread.start()
        return self.loop

    def __exit__(self, *_: object) -> None:
        self.clock.close_loop(self.loop)


class TestTimers:
    @given(
        st.lists(st.floats(0.0, 1e6, allow_subnormal=False).map(lambda when: round(when, 3)), max_size=40),
        st.sets(st.integers(0, 39)),
    )
    @example(delays=[5.0, 1.0, 5.0, 0.0, 1.0], cancelled={2})
    def test_fire_at_their_time_in_order_of_time_then_of_making(self, delays: list[float], cancelled: set[int]) -> None:
        fired: list[tuple[float, int]] = []

        async def work(loop: VirtualLoop) -> None:
            def fire(number: int) -> None:
                fired.append((loop.time(), number))

            timers = [loop.call_later(delay, fire, number) for number, delay in enumerate(delays)]
            for number in cancelled & set(range(len(delays))):
                timers[number].cancel()
            await asyncio.sleep(2e6)

        run(VirtualClock(), work)
        left = [(delay, i) for i, delay in enumerate(delays) if i not in cancelled]
        assert [i for _, i in fired] == [i for _, i in sorted(left)]
        assert [at for at, _ in fired] == [delay for delay, _ in sorted(left)]

    def test_a_cancelled_timer_does_not_take_time_with_it(self, clock: VirtualClock) -> None:
        async def work(loop: VirtualLoop) -> float:
            for _ in range(300):  # more than asyncio clears away by itself
                loop.call_later(1e5, print).cancel()
            await asyncio.sleep(3.0)
            return loop.time()

        assert run(clock, work) == 3.0

    @pytest.mark.parametrize("seconds", [1e-3, 0.1, 1.0])
    def test_fire_after_a_century_as_well(self, clock: VirtualClock, seconds: float) -> None:
        century = 100 * 365.25 * 86400
        clock.advance_to(START + century)

        async def work(loop: VirtualLoop) -> float:
            for _ in range(10):
                await asyncio.sleep(seconds)
            return loop.time()

        assert run(clock, work) == pytest.approx(century + 10 * seconds, abs=1e-5)

    def test_a_year_of_waiting_takes_no_time(self, clock: VirtualClock) -> None:
        async def work(loop: VirtualLoop) -> float:
            for _ in range(365):
                await asyncio.sleep(86400)
            return current_time()

        begun = time.perf_counter()
        assert run(clock, work) == START + 365 * 86400
        assert time.perf_counter() - begun < 1.0


class TestHolding:
    def test_time_stands_while_somebody_holds(self, clock: VirtualClock) -> None:
        with Running(clock) as loop:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(10.0), loop)
            time.sleep(0.05)
            assert clock.time() == START
            clock.hold()
            clock.release()
            time.sleep(0.05)
            assert clock.time() == START
            assert clock.mailbox().get(timeout=20.0) is None
            assert clock.time() == START + 20.0

    def test_a_release_too_many_is_an_error(self, clock: VirtualClock) -> None:
        clock.release()
        with pytest.raises(LabError, match="more often than held"):
            clock.release()

    def test_work_in_a_thread_holds_time(self, clock: VirtualClock) -> None:
        async def work(loop: VirtualLoop) -> tuple[float, float]:
            asyncio.get_running_loop().call_later(1.0, lambda: None)
            await asyncio.to_thread(time.sleep, 0.05)
            return loop.time(), await asyncio.to_thread(clock.monotonic)

        assert run(clock, work) == (0.0, 0.0)

    def test_what_is_lent_and_not_given_back_stops_time_only_for_a_while(
        self, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sdl.lab.virtual.PATIENCE", 0.1)

        async def work(loop: VirtualLoop) -> float:
            clock.lend()
            begun = time.perf_counter()
            await asyncio.sleep(5.0)
            return time.perf_counter() - begun

        assert 0.1 <= run(clock, work) < 2.0

    def test_it_goes_back_for_nobody(self, clock: VirtualClock) -> None:
        clock.advance_to(START + 100)
        clock.advance_to(START + 50)
        assert clock.time() == START + 100
        assert clock.monotonic() == 100


class TestMailbox:
    def test_time_passes_while_it_waits(self, clock: VirtualClock) -> None:
        box: Mailbox[str] = clock.mailbox()
        with Running(clock) as loop:
            loop.call_soon_threadsafe(loop.call_later, 30.0, box.put, "post")
            assert box.get() == "post"
            assert clock.time() == START + 30.0
            assert box.get(timeout=7.0) is None
            assert clock.time() == START + 37.0

    def test_what_is_there_is_taken_in_order_and_at_once(self, clock: VirtualClock) -> None:
        box: Mailbox[int] = clock.mailbox()
        for number in range(5):
            box.put(number)
        assert [box.get(timeout=1.0) for _ in range(6)] == [0, 1, 2, 3, 4, None]
        assert clock.time() == START + 1.0

    def test_it_wakes_only_when_nothing_is_left_to_do_at_that_moment(self, clock: VirtualClock) -> None:
        box: Mailbox[int] = clock.mailbox()
        with Running(clock) as loop:
            for number in range(100):
                loop.call_soon_threadsafe(loop.call_at, 5.0, box.put, number)
            got = [box.get()]
            assert clock.monotonic() == 5.0
            got += [box.get(timeout=0.0) for _ in range(99)]
            assert got == list(range(100))

    def test_a_deadline_and_a_timer_at_one_moment_come_timer_first(self, clock: VirtualClock) -> None:
        box: Mailbox[str] = clock.mailbox()
        with Running(clock) as loop:
            loop.call_soon_threadsafe(loop.call_at, 5.0, box.put, "timer")
            assert box.get(timeout=5.0) == "timer"

    def test_another_thread_may_put_without_a_loop(self, clock: VirtualClock) -> None:
        box: Mailbox[str] = clock.mailbox()
        threading.Timer(0.05, box.put, ("post",)).start()
        assert box.get() == "post"
        assert clock.time() == START

    def test_an_interrupted_reader_holds_again(self, clock: VirtualClock) -> None:
        box: Mailbox[str] = clock.mailbox()
        before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
        here = threading.main_thread().ident
        assert here is not None
        threading.Timer(0.1, signal.pthread_kill, (here, signal.SIGUSR1)).start()
        try:
            with Running(clock) as loop:
                with pytest.raises(KeyboardInterrupt):
                    box.get()
                asyncio.run_coroutine_threadsafe(asyncio.sleep(5.0), loop)
                time.sleep(0.05)
                assert clock.time() == START
                assert box.get(timeout=9.0) is None
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_a_signal_handler_may_put(self, clock: VirtualClock) -> None:
        box: Mailbox[str] = clock.mailbox()
        before = signal.signal(signal.SIGUSR1, lambda *_: box.put("signal"))
        here = threading.main_thread().ident
        assert here is not None
        threading.Timer(0.05, signal.pthread_kill, (here, signal.SIGUSR1)).start()
        try:
            with Running(clock):
                assert box.get() == "signal"
        finally:
            signal.signal(signal.SIGUSR1, before)


def deliver_in_turn(seed: int, n_stations: int, n_jobs: int) -> list[tuple[float, str, int]]:
    """Keep stations busy with jobs of random durations; return when each ended, and in which order they came back."""
    clock = VirtualClock()
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(n_stations)]
    knobs = {f"k{i}": Knob(f"k{i}", seconds=None) for i in range(n_stations)}
    box: Mailbox[tuple[str, int, JobResult]] = clock.mailbox()
    came: list[tuple[float, str, int]] = []
    devices: Any = knobs
    with Lab("soak", clock=clock, stations={f"s{i}": [f"k{i}"] for i in range(n_stations)}, **devices) as lab:

        def plan(knob: Knob, target: float, pause: float) -> Steps:
            yield message("set", knob, target, group="move")
            yield message("wait", group="move")
            yield message("sleep", None, pause)
            return clock.time()

        def start(name: str, number: int) -> None:
            # Durations from a small set, so that many jobs end at the same moment.
            target, pause = float(rng.integers(0, 3)), float(rng.integers(0, 2))
            knob = knobs[f"k{names.index(name)}"]
            lab.stations[name].submit(
                Job(lambda: plan(knob, target, pause), on_done=lambda result: box.put((name, number, result)))
            )

        for name in names:
            start(name, 0)
        while len(came) < n_stations * n_jobs:
            post = box.get()
            assert post is not None
            name, number, result = post
            assert result.error is None
            assert result.value == result.ended
            came.append((result.ended, name, number))
            if number + 1 < n_jobs:
                start(name, number + 1)
    return came


@pytest.mark.timeout(60)
def test_stations_come_back_in_the_same_order_in_every_run() -> None:
    first = deliver_in_turn(7, 4, 50)
    assert first == deliver_in_turn(7, 4, 50)
    assert [at for at, _, _ in first] == sorted(at for at, _, _ in first)
    assert len({at for at, _, _ in first}) < len(first) / 2, "the soak should have many ties"


def test_a_month_of_work_takes_seconds() -> None:
    clock = VirtualClock()
    with Lab("month", clock=clock, knob=Knob("knob"), meter=Meter("meter", seconds=1800)) as lab:

        def month(lab: Any, s: Any) -> Steps:
            for day in range(30):
                yield from bps.sleep(86400 - 1800)
                yield from move_and_measure(lab, {"x": float(day)})

        begun = time.process_time()
        lab.run(month)
        assert clock.monotonic() == 30 * 86400
        assert time.process_time() - begun < 2.0


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_any_seed_repeats(seed: int, n_stations: int) -> None:
    assert deliver_in_turn(seed, n_stations, 3) == deliver_in_turn(seed, n_stations, 3)


def test_the_time_of_whoever_asks(clock: VirtualClock) -> None:
    async def ask(loop: VirtualLoop) -> float:
        await asyncio.sleep(10)
        return current_time()

    assert run(clock, ask) == START + 10
    assert abs(current_time() - time.time()) < 1.0
    assert abs(asyncio.run(_ask_wall()) - time.time()) < 1.0


async def _ask_wall() -> float:
    return current_time()


def test_a_thread_of_a_step_has_the_time_of_its_step() -> None:
    clock = VirtualClock()
    with Lab("threads", clock=clock, knob=Knob("knob")) as lab:

        def plan(lab: Any, s: Any) -> Steps:
            yield from bps.sleep(50.0)
            (future,) = yield from bps.wait_for([lambda: asyncio.to_thread(current_time)])
            return future.result()

        assert lab.run(plan) == START + 50.0
