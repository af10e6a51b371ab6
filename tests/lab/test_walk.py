"""The dry walk: set-points outside limits are found before anything moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_devices import Knob, Meter, Steps, with_clean_up

from sdl.errors import LabError, LimitError
from sdl.lab import Job, Lab, VirtualClock
from sdl.lab.envelope import make_envelope
from sdl.lab.walk import MESSAGE_CAP, walk

KNOB = Knob("knob")
METER = Meter("meter")
ENVELOPE = make_envelope("bench", {"knob": KNOB, "meter": METER}, {"knob": (0.0, 10.0)})


class Shy(Knob):
    """Refuses odd numbers when it is asked, synchronously."""

    def check_value(self, value: float) -> None:
        if value % 2:
            raise ValueError("odd")


class ShyLater(Knob):
    """Refuses odd numbers when it is asked, later."""

    async def check_value(self, value: float) -> None:
        if value % 2:
            raise ValueError("odd")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(
        "bench",
        clock=VirtualClock(),
        knob=Knob("knob"),
        meter=Meter("meter"),
        shy=Shy("shy"),
        later=ShyLater("later"),
        limits={"knob": (0.0, 10.0)},
    ) as made:
        yield made


def run(lab: Lab, plan: Callable[[], Steps]) -> BaseException | None:
    return lab.stations["bench"].run(Job(plan)).error


class TestReport:
    @settings(max_examples=40)
    @given(st.lists(st.floats(-20.0, 20.0), max_size=8))
    def test_names_every_set_point_outside_and_no_other(self, targets: list[float]) -> None:
        def plan() -> Steps:
            for target in targets:
                yield from bps.mv(KNOB, target)
                yield from bps.trigger_and_read([METER])

        report = walk(plan(), ENVELOPE)
        outside = [target for target in targets if not 0.0 <= target <= 10.0]
        assert report.is_complete
        assert len(report.violations) == len(outside)
        for error, target in zip(report.violations, outside, strict=True):
            assert error.message.startswith(f"knob was sent {target:g}")
        assert KNOB.sent == []

    def test_goes_through_plans_of_bluesky(self) -> None:
        report = walk(bp.scan([METER], KNOB, 8.0, 12.0, num=5), ENVELOPE)
        assert report.is_complete
        assert [error.message.split()[3].rstrip(",") for error in report.violations] == ["11", "12"]

    @pytest.mark.parametrize("stub", [bps.rd, bps.read, bps.locate])
    def test_stops_where_the_plan_reads_a_value(self, stub: Callable[[Any], Steps]) -> None:
        def plan() -> Steps:
            yield from bps.mv(KNOB, 99.0)
            yield from stub(KNOB)
            yield from bps.mv(KNOB, 98.0)

        report = walk(plan(), ENVELOPE)
        assert not report.is_complete
        assert "reads a value" in report.stopped_because or "locate" in report.stopped_because
        assert len(report.violations) == 1

    def test_relative_moves_are_not_guessed(self) -> None:
        report = walk(bps.mvr(KNOB, -5.0), ENVELOPE)
        assert not report.is_complete
        assert report.violations == ()

    def test_stops_where_a_recorded_value_is_missed(self) -> None:
        def plan() -> Steps:
            readings = yield from bps.trigger_and_read([METER])
            yield from bps.mv(KNOB, 100.0 * readings["meter"]["value"])

        report = walk(plan(), ENVELOPE)
        assert "KeyError" in report.stopped_because
        assert report.violations == ()

    def test_a_plan_without_end_is_walked_so_far(self) -> None:
        def plan() -> Steps:
            while True:
                yield from bps.checkpoint()

        report = walk(plan(), ENVELOPE)
        assert report.n_messages == MESSAGE_CAP + 1
        assert str(MESSAGE_CAP) in report.stopped_because

    def test_a_plan_that_will_not_be_closed(self) -> None:
        def plan() -> Steps:
            try:
                yield from bps.rd(KNOB)
            finally:
                yield from bps.mv(KNOB, 0.0)

        assert not walk(plan(), ENVELOPE).is_complete

    @pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), KeyboardInterrupt()])
    def test_a_plan_that_raises(self, error: BaseException) -> None:
        def plan() -> Steps:
            yield from bps.null()
            raise error

        assert type(error).__name__ in walk(plan(), ENVELOPE).stopped_because

    def test_a_command_that_nobody_knows(self) -> None:
        def plan() -> Steps:
            yield from bps.wait_for([])

        assert "wait_for" in walk(plan(), ENVELOPE).stopped_because


class TestBeforeTheRun:
    def test_nothing_moves_and_all_is_named(self, lab: Lab) -> None:
        def plan() -> Steps:
            for target in (1.0, 11.0, 2.0, 12.0):
                yield from bps.mv(lab.knob, target)
                yield from bps.trigger_and_read([lab.meter])

        documents: list[str] = []
        job = Job(plan, on_document=lambda name, _: documents.append(name))
        result = lab.stations["bench"].run(job)
        assert isinstance(result.error, LimitError)
        assert "11" in str(result.error)
        assert "12" in str(result.error)
        assert "above 10" in str(result.error)
        assert lab.knob.sent == []
        assert documents == []

    @pytest.mark.parametrize("name", ["shy", "later"])
    def test_the_device_has_a_say(self, lab: Lab, name: str) -> None:
        device = getattr(lab, name)
        error = run(lab, lambda: bps.mv(lab.knob, 1.0, device, 3.0))
        assert isinstance(error, LimitError)
        assert name in str(error)
        assert "odd" in str(error)
        assert lab.knob.sent == []
        assert run(lab, lambda: bps.mv(device, 4.0)) is None


class TestAtTheAct:
    def test_what_the_walk_cannot_see_is_stopped_then(self, lab: Lab) -> None:
        def plan() -> Steps:
            here = yield from bps.rd(lab.knob)
            yield from bps.mv(lab.knob, 5.0)
            yield from bps.mv(lab.knob, here + 11.0)

        error = run(lab, lambda: with_clean_up(plan(), lambda: bps.mv(lab.knob, 1.0)))
        assert isinstance(error, LimitError)
        assert str(error).startswith("knob was sent 11, which is above 10")
        assert lab.knob.sent == [5.0, 1.0]

    @pytest.mark.parametrize("device", ["shy", "later"])
    def test_the_device_has_a_say(self, lab: Lab, device: str) -> None:
        def plan() -> Steps:
            here = yield from bps.rd(lab.knob)
            yield from bps.mv(getattr(lab, device), here + 3.0)

        error = run(lab, plan)
        assert isinstance(error, LimitError)
        assert "odd" in str(error)
        assert getattr(lab, device).sent == []

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
    def test_no_device_is_sent_what_is_not_finite(self, lab: Lab, value: float) -> None:
        assert isinstance(run(lab, lambda: bps.mv(lab.shy, value)), LimitError)
        assert lab.shy.sent == []

    @pytest.mark.parametrize("value", [np.float32(3.0), np.int64(3), np.array(3.0), 3])
    def test_numbers_of_numpy_are_numbers(self, lab: Lab, value: Any) -> None:
        assert run(lab, lambda: bps.mv(lab.knob, value)) is None
        assert isinstance(run(lab, lambda: bps.mv(lab.knob, value * 4)), LimitError)

    @pytest.mark.parametrize("value", ["hot", None, True, [1.0]])
    def test_a_limited_device_takes_numbers_only(self, lab: Lab, value: object) -> None:
        error = run(lab, lambda: bps.abs_set(lab.knob, value))
        assert isinstance(error, LimitError)
        assert "no number" in str(error)


class TestEnvelope:
    def test_open_ends_and_dotted_names(self) -> None:
        class Furnace:
            def __init__(self) -> None:
                self.heater = Knob("heater")

        furnace = Furnace()
        envelope = make_envelope("bench", {"furnace": furnace}, {"furnace.heater": (None, 100.0)})
        envelope.check(furnace.heater, -1e9)
        with pytest.raises(LimitError, match=r"furnace\.heater was sent 101, which is above 100 .*-∞ to 100"):
            envelope.check(furnace.heater, 101.0)

    @pytest.mark.parametrize("limits", [{"knobb": (0, 1)}, {"knob.part": (0, 1)}, {"meter": (0, 1)}])
    def test_limits_of_nothing_are_refused(self, limits: dict[str, tuple[float, float]]) -> None:
        with pytest.raises(LabError, match="no such device that can be set"):
            make_envelope("bench", {"knob": KNOB, "meter": METER}, limits)

    def test_limits_the_wrong_way_round(self) -> None:
        with pytest.raises(LabError, match="wrong way round"):
            make_envelope("bench", {"knob": KNOB}, {"knob": (1.0, 0.0)})
