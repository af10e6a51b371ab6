"""Interlocks: rules as data, refused where they make no sense; held before a plan, at each act, and all the time."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from furnace import RULE, Hanging, Heater, Vent, Ventilation, furnace, hold
from plain_devices import Knob, Steps, with_clean_up

from sdl.errors import InterlockError, LabError, ProblemError, SdlError, StepAborted, UnitError
from sdl.journal.safety import InterlockTripped, LatchSet, SafetyBody
from sdl.lab import Clock, Interlock, Job, JobResult, Lab, VirtualClock, WallClock, current_time
from sdl.lab.signals import Board, find_source
from sdl.lab.watcher import CALM_PERIOD

NOT_KNOWN = [math.nan, math.inf, -math.inf, None, "hot", True, np.float32("nan"), [20.0]]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with furnace() as made:
        yield made


def run(lab: Lab, plan: Any) -> JobResult:
    lab.connect()
    return lab.stations["furnace"].run(Job(plan))


def heard(lab: Lab) -> list[SafetyBody]:
    """Return the list into which the laboratory's trips go from now on."""
    bodies: list[SafetyBody] = []
    lab.interlocks.listener = bodies.extend
    return bodies


def heat(lab: Lab, value: float = 300.0, seconds: float = 600.0) -> Steps:
    yield from bps.mv(lab.heater, value)
    yield from hold(seconds)


def elsewhere(lab: Lab, *_: Any) -> Steps:
    """Set the heater to what no walk can foresee."""
    yield from bps.wait_for([lambda: asyncio.sleep(0)])
    yield from bps.mv(lab.heater, 300.0)


class TestDeclaring:
    def test_it_is_a_value(self) -> None:
        assert Interlock.from_json(RULE.to_json()) == RULE
        assert RULE.replace(max_age="1 min").seconds == 60.0

    @pytest.mark.parametrize(
        "changes",
        [
            {"require": ""},
            {"require": "1 > 2"},
            {"max_age": "5"},
            {"max_age": "5 K"},
            {"max_age": "0 s"},
            {"max_age": "-1 s"},
            {"when": "heater.setpoint >"},
            {"name": ""},
            {"fresh_by": "luck"},
        ],
    )
    def test_nonsense_is_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ProblemError):
            RULE.replace(**changes)

    @pytest.mark.parametrize(
        ("changes", "error", "text"),
        [
            ({"when": "heeter.setpoint > 50 degC"}, LabError, "no device 'heeter'"),
            ({"when": "heater.sepoint > 50 degC"}, LabError, "heater has no sepoint"),
            ({"require": "vent.flou > 3 L/min"}, LabError, "vent"),
            ({"require": "vent.flow.deep.er > 3 L/min"}, LabError, "deep"),
            ({"require": "vent.flow > 3 K"}, UnitError, "L/min"),
            ({"require": "vent.flow > 3"}, UnitError, "no unit"),
            ({"when": "heater.setpoint > 3 Pa"}, UnitError, "degC"),
            ({"when": ""}, LabError, "acts on no device"),
            ({"acts_on": ["heeter"]}, LabError, "heeter"),
            ({"action": "explode"}, LabError, "explode"),
            ({"action": "ramp_down(3 Pa/s to 20 degC)"}, UnitError, "Pa"),
            ({"action": "ramp_down(0 K/s to 20 degC)"}, LabError, "above zero"),
            ({"action": "ramp_down(3 K to 20 degC)"}, LabError, "rate"),
            ({"action": "ramp_down(3 K/min)"}, LabError, "incomplete|none of"),
            ({"action": "stop_now to 20"}, UnitError, "unit"),
        ],
    )
    def test_what_does_not_fit_the_laboratory_is_refused(
        self, changes: dict[str, Any], error: type[SdlError], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            furnace(RULE.replace(**changes))

    def test_a_device_without_a_safe_action_is_refused(self) -> None:
        heater = Heater()
        heater.safe_action = None
        with pytest.raises(LabError, match="heater, which declares no safe action"):
            furnace(heater=heater)
        furnace(RULE.replace(action="stop_now"), heater=heater).close()
        vent = furnace().vent
        Lab("f", clock=VirtualClock(), interlocks=[RULE], safe_actions={"heater": "stop_now"}, heater=heater, vent=vent)

    def test_names_are_different(self) -> None:
        with pytest.raises(LabError, match="two interlocks of furnace are called ventilation"):
            furnace(RULE, RULE)

    def test_none_is_added_to_a_laboratory_in_use(self, lab: Lab) -> None:
        lab.connect()
        with pytest.raises(LabError, match="in use"):
            lab.add_interlocks(RULE.replace(name="late"))

    def test_they_are_part_of_the_description_and_its_digest(self) -> None:
        labs = [furnace(), furnace(RULE.replace(max_age="6 s")), furnace()]
        first, other, same = (lab.describe() for lab in labs)
        assert first["interlocks"] == [RULE.model_dump(mode="json")]
        assert first["envelope"] == same["envelope"] != other["envelope"]


class TestBeforeThePlan:
    def test_what_the_plan_does_to_itself_is_seen(self) -> None:
        valve = Knob("valve")
        valve.safe_action = "stop_now"  # type: ignore[attr-defined] # as a user would
        rule = Interlock("closed when hot", when="heater.setpoint > 50 degC", require="valve >= 1", fresh_by="answer")
        valve.value = 1.0

        def plan() -> Steps:
            yield from bps.mv(valve, 1.0)
            yield from bps.mv(made.heater, 300.0)
            yield from bps.mv(valve, 0.0)

        with furnace(rule, valve=valve) as made:
            error = run(made, plan).error
            assert isinstance(error, InterlockError)
            assert "valve would be sent 0" in str(error)
            assert made.heater.sent == []
            assert valve.sent == []
            assert not made.latches  # nothing has happened

    def test_readings_are_left_to_the_act(self, lab: Lab) -> None:
        lab.vent.flow.value = 3.0
        error = run(lab, lambda: heat(lab)).error
        assert isinstance(error, InterlockError)
        assert "vent.flow is 3.0 L/min" in str(error)
        assert lab.heater.sent == []


class TestAtTheAct:
    def test_what_is_allowed_is_done(self, lab: Lab) -> None:
        assert run(lab, lambda: heat(lab, seconds=1.0)).error is None
        assert lab.heater.values == [300.0]

    def test_what_cannot_hurt_needs_no_ventilation(self, lab: Lab) -> None:
        lab.vent.flow.value = 0.0
        assert run(lab, lambda: heat(lab, 50.0, 1.0)).error is None

    @pytest.mark.parametrize("how", ["falls", "nan", "stuck", "nothing", "text", "cut"])
    def test_unknown_is_unsafe(self, lab: Lab, how: str) -> None:
        lab.connect()
        lab.vent.flow.fails_at = lab.clock.time() + 20.0
        lab.vent.flow.how = how
        result = run(lab, lambda: hold(30.0))
        assert result.error is None  # nobody heats
        error = run(lab, lambda: elsewhere(lab)).error
        assert isinstance(error, InterlockError)
        assert "ventilation" in str(error)
        assert lab.heater.sent == []

    @pytest.mark.parametrize("how", ["nan", "stuck", "nothing", "text", "cut"])
    def test_unknown_is_unsafe_in_the_condition_too(self, how: str) -> None:
        """The rule is asleep while the flow is above 5; a flow that is not known is not above 5."""
        rule = Interlock(
            "quiet", when="vent.flow < 5 L/min", require="heater.setpoint < 50 degC", acts_on=("heater",), max_age="5 s"
        )
        with furnace(rule) as lab:
            assert run(lab, lambda: heat(lab, seconds=1.0)).error is None
            lab.vent.flow.how, lab.vent.flow.fails_at = how, lab.clock.time()
            assert isinstance(run(lab, lambda: heat(lab)).error, InterlockError)

    @pytest.mark.parametrize("value", NOT_KNOWN)
    def test_no_set_point_passes_that_cannot_be_judged(self, lab: Lab, value: Any) -> None:
        lab.vent.flow.value = 3.0
        assert isinstance(run(lab, lambda: bps.abs_set(lab.heater, value, wait=True)).error, SdlError)
        assert lab.heater.sent == []


class TestWatching:
    """The vent fails 100 s after the heater was sent to 300 degC."""

    def trip(self, lab: Lab, how: str, plan: Any = None) -> tuple[JobResult, list[SafetyBody]]:
        bodies = heard(lab)
        lab.connect()
        lab.vent.flow.fails_at = lab.clock.time() + 100.0
        lab.vent.flow.how = how
        return run(lab, plan or (lambda: heat(lab))), bodies

    @pytest.mark.parametrize("how", ["falls", "nan", "stuck", "nothing", "text", "cut"])
    def test_it_acts_within_its_age(self, lab: Lab, how: str) -> None:
        result, bodies = self.trip(lab, how)
        assert isinstance(result.error, InterlockError)
        late = result.ended - lab.vent.flow.fails_at
        assert 0 <= late <= 2.5 + (0 if how in {"falls", "nan", "text"} else 5.0)
        tripped, latch = bodies
        assert isinstance(tripped, InterlockTripped)
        assert isinstance(latch, LatchSet)
        assert tripped.actions == {"heater": "ramp_down"}
        assert latch.station == "furnace"
        assert [str(each) for each in lab.latches] == [
            f"station furnace is latched by the interlock 'ventilation': {latch.reason}"
        ]

    def test_a_device_that_hangs_is_a_device_that_is_lost(self) -> None:
        class Vents:
            flow = None

        vents: Any = Vents()
        vents.flow = Hanging()
        with furnace(vent=vents) as lab:
            result, bodies = self.trip(lab, "hangs")
            assert isinstance(result.error, InterlockError)
            assert result.ended - vents.flow.fails_at <= 7.6
            assert bodies

    def test_the_ramp_is_as_declared(self, lab: Lab) -> None:
        self.trip(lab, "falls")
        box = lab.clock.mailbox()
        while lab.is_making_safe:
            box.get(timeout=10.0)
        times, values = zip(*lab.heater.sent[1:], strict=True)
        assert list(values) == sorted(values, reverse=True)
        assert values[0] < 300.0
        assert values[-1] == 20.0
        rates = [(a - b) / (u - t) for a, b, t, u in zip(values, values[1:], times, times[1:], strict=False)]
        assert max(rates) <= 10.0 / 60.0 * 1.001
        assert times[-1] - times[0] == pytest.approx(280.0 / 10.0 * 60.0, rel=0.02)

    def test_a_device_that_no_rule_looks_at_is_asked_where_its_ramp_begins(self) -> None:
        rule = Interlock("air", require="vent.flow >= 10 L/min", max_age="5 s", acts_on=("heater",))
        with furnace(rule) as lab:
            self.trip(lab, "falls")
            lab.clock.mailbox().get(timeout=100.0)
            assert lab.heater.values[0] == 300.0
            assert all(value > 250.0 for value in lab.heater.values)
            assert len(lab.heater.values) > 5

        class Dumb:
            parent, safe_action, unit = None, "ramp_down(10 K/min to 20 degC)", "degC"
            action_classes: ClassVar = {"set": "set_absolute"}

            def set(self, value: float) -> None: ...

        with pytest.raises(LabError, match="cannot say from where"):
            furnace(rule, heater=Dumb())

    @pytest.mark.parametrize("silence", [35.0, math.inf])
    def test_a_device_that_does_not_say_where_it_is_is_asked_again_and_never_sent_on_faster(
        self, silence: float
    ) -> None:
        class Mute(Heater):
            vent: ClassVar[Any] = Ventilation()

            async def locate(self) -> dict[str, float]:
                if 0.0 <= current_time() - self.vent.flow.fails_at <= silence:
                    raise ConnectionError("no answer")
                return await super().locate()

        rule = Interlock("air", require="vent.flow >= 10 L/min", max_age="5 s", acts_on=("heater",))
        with furnace(rule, heater=Mute(), vent=Mute.vent) as lab:
            self.trip(lab, "falls")
            lab.clock.mailbox().get(timeout=30.0)
            assert lab.heater.values == [300.0]
            lab.clock.mailbox().get(timeout=1000.0)
            assert all(b - a <= 15.0 for b, a in itertools.pairwise(lab.heater.values[1:]))
            assert len(lab.heater.values) == 1 if silence == math.inf else 100.0 < lab.heater.values[-1] < 200.0
            assert lab.is_making_safe == (silence < math.inf)  # it is given up at last, as it is

    @pytest.mark.parametrize(
        ("action", "n_stops", "sent"),
        [("stop_now", 1, []), ("stop_now to 20 degC", 1, [20.0]), ("hold_setpoint", 0, [])],
    )
    def test_each_action(self, action: str, n_stops: int, sent: list[float]) -> None:
        with furnace(RULE.replace(action=action)) as lab:
            result, _ = self.trip(lab, "falls")
            lab.clock.mailbox().get(timeout=1.0)
            assert isinstance(result.error, InterlockError)
            assert (len(lab.heater.stops), lab.heater.values[1:]) == (n_stops, sent)

    def test_hold_stops_a_move_that_is_under_way(self) -> None:
        with furnace(RULE.replace(action="hold_setpoint"), heater=Heater(seconds=1e4)) as lab:
            self.trip(lab, "falls")
            lab.clock.mailbox().get(timeout=1.0)
            assert len(lab.heater.stops) == 1

    def test_a_step_may_finish_and_no_other_starts(self) -> None:
        with furnace(RULE.replace(action="finish_step_then_hold")) as lab:
            result, bodies = self.trip(lab, "falls")
            assert result.error is None
            assert result.ended - result.started >= 600.0
            assert len(bodies) == 2
            again = run(lab, lambda: bps.null()).error
            assert isinstance(again, InterlockError)
            assert "no step starts" in str(again)

    def test_devices_that_it_does_not_act_on_are_stopped_with_the_step(self) -> None:
        knob = Knob("knob", seconds=1e4)

        def plan() -> Steps:
            yield from bps.mv(made.heater, 300.0)
            yield from bps.mv(knob, 1.0)

        with furnace(knob=knob) as made:
            self.trip(made, "falls", plan)
            assert knob.stops
            assert not made.heater.stops

    def test_clean_up_cannot_command_what_is_latched(self, lab: Lab) -> None:
        refused: list[Exception] = []

        def clean() -> Steps:
            try:
                yield from bps.mv(lab.heater, 200.0)
            except InterlockError as error:
                refused.append(error)

        result, _ = self.trip(lab, "falls", lambda: with_clean_up(heat(lab), clean))
        assert isinstance(result.error, InterlockError)
        assert len(refused) == 1
        assert 200.0 not in lab.heater.values

    def test_it_trips_once(self, lab: Lab) -> None:
        _, bodies = self.trip(lab, "falls")
        lab.clock.mailbox().get(timeout=3600.0)
        assert len(bodies) == 2

    def test_two_runs_are_the_same(self) -> None:
        def trace() -> tuple[Any, ...]:
            with furnace() as lab:
                result, bodies = self.trip(lab, "stuck")
                lab.clock.mailbox().get(timeout=600.0)
                return result.ended, bodies, list(lab.heater.sent), lab.vent.flow.n_reads

        assert trace() == trace()

    def test_a_device_that_stamps_its_changes_only(self) -> None:
        knob = Knob("valve")
        rule = Interlock("open", when="heater.setpoint > 50 degC", require="valve > 0.5", max_age="5 s")
        for fresh_by, is_safe in (("answer", True), ("timestamp", False)):
            knob.value = 1.0
            with furnace(rule.replace(fresh_by=fresh_by), valve=knob) as lab:
                knob.moved_at = lab.clock.time()
                assert (run(lab, lambda: heat(lab)).error is None) is is_safe

    def test_a_jump_of_the_clock_ages_nothing_and_hides_nothing(self) -> None:
        class Jumping(VirtualClock):
            offset = 0.0

            def time(self) -> float:
                return super().time() + self.offset

        clock = Jumping()
        vent = Vent("vent")
        source = find_source("lab", {"vent": vent}, "vent")
        board = Board(clock)
        board.put(source, 1.0, clock.time() - 2.0)
        assert board.age("vent", by_answer=False) == pytest.approx(2.0)
        clock.offset = 3600.0  # readings of the same instrument go on: new is new
        board.put(source, 1.0, clock.time())
        assert board.age("vent", by_answer=False) == 0.0
        clock.offset = -3600.0
        board.put(source, 1.0, clock.time())
        assert board.age("vent", by_answer=False) == 0.0
        clock.advance_to(clock.time() + 3600.0 + 60.0)
        board.put(source, 1.0, clock.time() - 60.0)  # the same timestamp: it is as old as it is
        assert board.age("vent", by_answer=False) == pytest.approx(60.0)
        for stamp in (math.nan, math.inf, 0.0, None):
            board.put(source, 1.0, stamp)
            assert board.age("vent", by_answer=False) == math.inf


class TestVirtualTime:
    def test_watching_makes_no_time_pass(self, lab: Lab) -> None:
        assert run(lab, lambda: heat(lab, seconds=10.0)).error is None  # the heater stays on, the watcher awake
        begun, reads = lab.clock.time(), lab.vent.flow.n_reads
        lab.clock.release()
        time.sleep(0.2)  # real time, in which nobody asks for virtual time
        lab.clock.hold()
        assert lab.clock.time() == begun
        assert lab.vent.flow.n_reads <= reads + 1

    def test_nothing_is_read_while_nothing_can_happen(self, lab: Lab) -> None:
        run(lab, lambda: hold(86_400.0))
        assert lab.vent.flow.n_reads <= 2

    def test_it_looks_less_often_while_all_is_well(self) -> None:
        with furnace(watch_period=None) as lab:
            assert run(lab, lambda: heat(lab, seconds=86_400.0)).error is None
            assert 86_400 / CALM_PERIOD <= lab.vent.flow.n_reads <= 86_400 / CALM_PERIOD + 20

    def test_a_calm_watcher_is_not_later_than_that(self) -> None:
        with furnace(watch_period=None) as lab:
            lab.connect()
            lab.vent.flow.fails_at = lab.clock.time() + 10_000.0
            result = run(lab, lambda: heat(lab, seconds=20_000.0))
            assert isinstance(result.error, InterlockError)
            assert result.ended - lab.vent.flow.fails_at <= CALM_PERIOD


class TestLatch:
    @pytest.fixture
    def tripped(self, lab: Lab) -> Lab:
        TestWatching().trip(lab, "falls")
        box = lab.clock.mailbox()
        while lab.is_making_safe:
            box.get(timeout=60.0)
        return lab

    def test_health_does_not_arm_it_again(self, tripped: Lab) -> None:
        tripped.vent.flow.fails_at = math.inf
        tripped.clock.mailbox().get(timeout=3600.0)
        before = len(tripped.heater.sent)
        for plan in (lambda: heat(tripped), lambda: bps.null(), lambda: elsewhere(tripped)):
            assert isinstance(run(tripped, plan).error, InterlockError)
        assert len(tripped.heater.sent) == before

    def test_a_person_does_and_nothing_moves_by_it(self, tripped: Lab) -> None:
        tripped.vent.flow.fails_at = math.inf
        before = len(tripped.heater.sent)
        tripped.rearm("furnace", by="Ada", because="the fan's belt was replaced")
        tripped.clock.mailbox().get(timeout=3600.0)
        assert len(tripped.heater.sent) == before
        assert not tripped.latches
        assert run(tripped, lambda: heat(tripped, seconds=1.0)).error is None

    @pytest.mark.parametrize(("by", "because"), [("", "x"), ("engine", "x"), ("Watcher ", "x"), ("Ada", " ")])
    def test_nobody_is_no_person(self, tripped: Lab, by: str, because: str) -> None:
        with pytest.raises(LabError):
            tripped.rearm("furnace", by=by, because=because)
        assert tripped.latches

    def test_what_is_still_violated_is_refused_again(self, tripped: Lab) -> None:
        tripped.rearm("furnace", by="Ada", because="I hope")
        assert isinstance(run(tripped, lambda: heat(tripped)).error, InterlockError)
        assert 300.0 not in tripped.heater.values[1:]

    def test_not_while_it_is_on_its_way(self, lab: Lab) -> None:
        TestWatching().trip(lab, "falls")
        with pytest.raises(LabError, match="on their way"):
            lab.rearm("furnace", by="Ada", because="in a hurry")

    def test_what_is_not_latched_needs_no_arming(self, lab: Lab) -> None:
        with pytest.raises(LabError, match="not latched"):
            lab.rearm("furnace", by="Ada", because="to be sure")


class TestOnTheWall:
    """The same with threads, and what only happens there."""

    FAST = RULE.replace(max_age="0.2 s", action="stop_now")

    def trip(self, lab: Lab, plan: Any) -> tuple[JobResult | None, float]:
        box = lab.clock.mailbox()
        lab.connect()
        lab.stations["furnace"].submit(Job(plan, on_done=box.put))
        assert box.get(timeout=0.5) is None
        begun = lab.vent.flow.fails_at = lab.clock.time()
        return box.get(timeout=5.0), begun

    def test_it_acts(self) -> None:
        with furnace(self.FAST, clock=WallClock()) as lab:
            result, begun = self.trip(lab, lambda: heat(lab))
            assert result is not None
            assert isinstance(result.error, InterlockError)
            assert lab.heater.stops[0] - begun < 1.0

    def test_a_loop_that_hangs_is_seen_from_outside(self) -> None:
        free = threading.Event()

        def plan() -> Steps:
            yield from bps.mv(made.heater, 300.0)
            yield from hold(0.6)
            free.wait(20.0)  # a driver that blocks the loop
            yield from hold(0.1)

        with furnace(self.FAST, clock=WallClock()) as made:
            made.connect()
            box = made.clock.mailbox()
            begun = made.clock.time()
            made.stations["furnace"].submit(Job(plan, on_done=box.put))
            while not made.heater.stops and made.clock.time() < begun + 5.0:
                time.sleep(0.02)
            assert made.heater.stops  # although the loop is still blocked
            assert not free.is_set()
            free.set()
            result = box.get(timeout=5.0)
            assert result is not None
            assert isinstance(result.error, InterlockError)

    @pytest.mark.parametrize("make", [WallClock, VirtualClock])
    def test_signals_of_another_station(self, make: type[Clock]) -> None:
        stations = {"hot": ["heater"], "air": ["vent"]}
        parts = furnace()
        lab = Lab(
            "two",
            clock=make(),
            stations=stations,
            interlocks=[RULE.replace(max_age="0.4 s", action="stop_now")],
            heater=Heater(),
            vent=parts.vent,
        )
        with lab:
            lab.connect()
            box = lab.clock.mailbox()
            lab.stations["hot"].submit(Job(lambda: heat(lab, seconds=60.0), on_done=box.put))
            assert box.get(timeout=0.8) is None
            lab.vent.flow.fails_at = lab.clock.time()
            result = box.get(timeout=5.0)
            assert result is not None
            assert isinstance(result.error, InterlockError)
            assert [latch.station for latch in lab.latches] == ["hot"]
            other = lab.stations["air"].run(Job(lambda: bps.null()))
            assert other.error is None


def test_an_abort_is_no_trip(lab: Lab) -> None:
    bodies = heard(lab)
    lab.connect()
    box = lab.clock.mailbox()
    lab.stations["furnace"].submit(Job(lambda: heat(lab), on_done=box.put))
    assert box.get(timeout=10.0) is None
    lab.stations["furnace"].abort("enough")
    result = box.get()
    assert result is not None
    assert isinstance(result.error, StepAborted)
    assert not bodies
    assert not lab.latches
