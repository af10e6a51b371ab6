"""Experiments of several steps: batches, windows, conditions, kinds, changeovers, stations that are held and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import pytest
from floor_toy import (
    HOUR,
    Course,
    FloorLab,
    Plan,
    TwoTemperatures,
    batch_lasting,
    floor_campaign,
    lasting,
    measuring,
)
from toy import bodies, kinds

import sdl
from sdl import Batch, Changeover, Step
from sdl.campaign import History, Situation, Suggestion, TrialState
from sdl.campaign.floor import Floor
from sdl.campaign.queueing import Queue
from sdl.errors import CampaignError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.records import (
    DocumentEmitted,
    FailureCategory,
    StepEnded,
    StepQueued,
    StepSkipped,
    StepStarted,
    TrialProposed,
)
from sdl.journal.safety import LatchSet
from sdl.lab import Interlock, Settings
from sdl.lab.schedule.durations import CHANGEOVER, ENOUGH
from sdl.problem import Problem

MEASURE = Step("measure", measuring(60), station="meter")


class TestBatches:
    def test_a_furnace_treats_samples_of_one_temperature_together(self) -> None:
        journal = MemoryJournal()
        anneal = Step(
            "anneal", batch_lasting(2 * HOUR), station="furnace1", batch=Batch(4, shared=("temperature",), patience=60)
        )
        campaign = floor_campaign(anneal, MEASURE, in_flight=8, journal=journal)
        campaign.run(trials=8)
        assert [trial.state for trial in campaign.trials] == [TrialState.COMPLETED] * 8
        members = {trial: body.members for (trial, step), body in Course(journal).starts.items() if step == "anneal"}
        assert members == dict.fromkeys((1, 3, 5, 7), (1, 3, 5, 7)) | dict.fromkeys((2, 4, 6, 8), (2, 4, 6, 8))
        ended = [body for body in bodies(journal, StepEnded) if body.step == "anneal"]
        assert [body.returned["place"] for body in ended if body.members[0] == 1] == [0, 1, 2, 3]  # type: ignore[index,call-overload]
        assert len({body.runs for body in ended}) == 2
        starts = [body.document for body in bodies(journal, DocumentEmitted) if body.name == "start"]
        assert [start["trials"] for start in starts if "trials" in start] == [[1, 3, 5, 7], [2, 4, 6, 8]]

    def test_a_run_begins_with_fewer_where_the_next_one_would_come_too_late(self) -> None:
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("coat", lasting(600), station="coater", duration=600.0),
            Step("anneal", batch_lasting(HOUR), station="furnace1", batch=Batch(8, patience="25 min")),
            MEASURE,
            in_flight=8,
            journal=journal,
        )
        campaign.run(trials=8)
        course = Course(journal)
        assert course.starts[1, "anneal"].members == (1, 2, 3)
        assert course.began[1, "anneal"] == course.ended[3, "coat"] == pytest.approx(1800, abs=1)
        waits = [body for body in bodies(journal, StepQueued) if body.step == "anneal"]
        assert waits[0].because == "batch"
        assert "more to share the run on furnace1" in waits[0].reason

    def test_a_run_waits_for_its_patience_where_nobody_has_said_how_long_the_next_one_takes(self) -> None:
        """Both steps on one station: a guess of ten minutes is no reason not to wait for a minute."""
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("coat", lasting(5), station="furnace1"),
            Step("anneal", batch_lasting(HOUR), station="furnace1", batch=Batch(2, patience=60)),
            MEASURE,
            in_flight=2,
            journal=journal,
        )
        campaign.run(trials=4)
        starts = Course(journal).starts
        assert [starts[trial, "anneal"].members for trial in (1, 3)] == [(1, 2), (3, 4)]

    def test_nobody_waits_for_samples_that_cannot_come(self) -> None:
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("anneal", batch_lasting(HOUR), station="furnace1", batch=Batch(8, patience="2 h")),
            MEASURE,
            in_flight=8,
            journal=journal,
        )
        campaign.run(trials=3)
        assert Course(journal).began[1, "anneal"] == 0.0

    def test_one_sample_of_a_batch_may_fail(self) -> None:
        def crack(lab: Any, batch: Sequence[sdl.Settings]) -> Plan:
            yield from bps.sleep(10)
            return [ValueError("it cracked") if s.trial == 2 else None for s in batch]

        campaign = floor_campaign(Step("anneal", crack, station="furnace", batch=Batch(4)), MEASURE, in_flight=4)
        campaign.run(trials=4)
        assert [trial.state.value for trial in campaign.trials] == ["completed", "failed", "completed", "completed"]
        assert campaign.trials[1].failure is not None
        assert campaign.trials[1].failure.reason == "ValueError: it cracked"

    def test_a_plan_that_returns_too_little_fails_them_all(self) -> None:
        def forget(lab: Any, batch: Sequence[sdl.Settings]) -> Plan:
            yield from bps.null()
            return [None]

        campaign = floor_campaign(Step("anneal", forget, station="furnace", batch=Batch(2)), MEASURE, in_flight=2)
        campaign.run(trials=2)
        failures = [trial.failure for trial in campaign.trials]
        assert [None if each is None else each.category for each in failures] == [FailureCategory.MEASUREMENT] * 2

    def test_what_is_shared_is_a_parameter(self) -> None:
        with pytest.raises(CampaignError, match=r"shares pressure.*temperature"):
            floor_campaign(
                Step("anneal", batch_lasting(1), station="furnace", batch=Batch(2, shared="pressure")), MEASURE
            )


class TestKinds:
    def test_a_kind_is_whichever_of_its_stations_is_free(self) -> None:
        journal = MemoryJournal()
        seen: list[str] = []

        def heat(lab: Any, s: sdl.Settings) -> Plan:
            seen.append(s.station)
            yield from bps.sleep(HOUR)

        campaign = floor_campaign(Step("heat", heat, station="furnace"), MEASURE, in_flight=2, journal=journal)
        campaign.run(trials=2)
        assert sorted(set(seen)) == ["furnace1", "furnace2"]
        assert campaign.view.lab_seconds == pytest.approx(HOUR + 120, abs=1)

    def test_a_step_holds_what_it_needs(self) -> None:
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("load", lasting(600), station="furnace", needs="robot"), MEASURE, in_flight=2, journal=journal
        )
        campaign.run(trials=2)
        course = Course(journal)
        assert course.began[2, "load"] == course.ended[1, "load"]
        assert course.starts[1, "load"].needs == ("robot",)

    def test_a_kept_station_stays_with_the_trial(self) -> None:
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("pick", lasting(60), station="robot", keeps="robot"),
            Step("coat", lasting(600), station="coater"),
            Step("put", lasting(60), station="meter", needs="robot"),
            Step("look", measuring(600), station="meter"),
            in_flight=2,
            journal=journal,
        )
        campaign.run(trials=2)
        course = Course(journal)
        assert course.began[2, "pick"] == course.ended[1, "put"]
        ends = [body for body in bodies(journal, StepEnded) if body.step == "pick"]
        assert ends[0].keeps == ("robot",)

    def test_stations_that_are_not_there_are_refused(self) -> None:
        with pytest.raises(CampaignError, match="asks for station crane"):
            floor_campaign(Step("load", lasting(1), station="furnace", needs="crane"), MEASURE)


class TestWindows:
    def test_a_step_that_cannot_begin_in_time_fails_its_trial(self) -> None:
        lab = FloorLab(calendars={"meter": sdl.Calendar(hours=("08:00-18:00",))})
        campaign = floor_campaign(
            Step("coat", lasting(600), station="coater"),
            Step("measure", measuring(60), station="meter", within={"coat": "10 min"}),
            lab=lab,
        )
        # At midnight the meter is closed for eight hours; nobody knew when the coater ran.
        campaign.run(trials=1)
        failure = campaign.trials[0].failure
        assert failure is None or failure.category is FailureCategory.LATE

    def test_a_trial_may_go_on_late(self) -> None:
        journal = MemoryJournal()
        lab = FloorLab()
        campaign = floor_campaign(
            Step("coat", lasting(60), station="coater"),
            Step("measure", measuring(3600), station="meter", within={"coat": 60}, on_late="go on", duration=1),
            lab=lab,
            journal=journal,
            in_flight=2,
        )
        campaign.run(trials=2)
        assert [trial.state.value for trial in campaign.trials] == ["completed"] * 2
        assert Course(journal).starts[2, "measure"].late_seconds == pytest.approx(3600 - 60 - 60, abs=2)

    def test_a_window_that_closes_while_the_laboratory_is_down_is_decided_on_restart(self) -> None:
        journal = MemoryJournal()
        steps = (
            Step("coat", lasting(600), station="coater"),
            Step("measure", measuring(60), station="meter", within={"coat": "10 min"}),
        )

        class PowerCut:
            def notify(self, event: Any, view: Any) -> None:
                if event.kind == "step.ended":
                    raise RuntimeError("no power")

            def close(self, view: Any) -> None:
                pass

        with pytest.raises(RuntimeError, match="no power"):
            floor_campaign(*steps, journal=journal, progress=PowerCut(), lab=FloorLab(keeps_state=True)).run(trials=1)
        last = list(journal.read())[-1].time.timestamp()
        an_hour_later = FloorLab(keeps_state=True, clock=sdl.VirtualClock(last + HOUR))
        campaign = floor_campaign(*steps, journal=journal, lab=an_hour_later)
        campaign.run(trials=2)
        first, second = campaign.trials
        assert first.failure is not None
        assert first.failure.category is FailureCategory.LATE
        assert "600 s after the end of coat" in first.failure.reason
        assert "the laboratory was down meanwhile" in first.failure.reason
        assert second.state == "completed"


class TestConditions:
    def test_a_hopeless_sample_skips_the_slow_measurement(self) -> None:
        journal = MemoryJournal()
        campaign = floor_campaign(
            Step("quick", measuring(10), station="meter"),
            Step(
                "slow",
                measuring(HOUR),
                station="meter",
                when=lambda s: s.results["quick"]["signal"].value < 0.05,
            ),
            journal=journal,
        )
        campaign.run(trials=3)
        assert [trial.state.value for trial in campaign.trials] == ["completed"] * 3
        (skipped,) = bodies(journal, StepSkipped)  # x = 0.05
        assert skipped.step == "slow"
        assert "does not hold" in skipped.reason
        assert kinds(campaign, journal)[2:8] == [
            "trial.proposed",
            "trial.started",
            "step.started",
            "step.ended",
            "step.skipped",
            "trial.completed",
        ]

    def test_a_suspect_result_is_measured_again(self) -> None:
        journal = MemoryJournal()

        def is_odd(outcomes: Any, s: sdl.Settings) -> str | None:
            return "too good" if "again" not in s.results and outcomes["signal"].value < 0.03 else None

        campaign = floor_campaign(
            Step("measure", measuring(10), station="meter"),
            Step("again", measuring(10), station="meter", when=sdl.if_suspect("measure")),
            checks=[is_odd],
            journal=journal,
        )
        campaign.run(trials=4)
        assert [trial for trial, step in Course(journal).began if step == "again"] == [3, 4]
        assert [trial.verdict.quality.value for trial in campaign.trials] == ["valid"] * 4

    def test_a_condition_that_raises_fails_its_trial(self) -> None:
        campaign = floor_campaign(MEASURE, Step("more", measuring(1), when=lambda s: s.results["nothing"]))
        campaign.run(trials=1)
        failure = campaign.trials[0].failure
        assert failure is not None
        assert (failure.category, failure.step) == (FailureCategory.PLAN, "more")

    def test_the_first_step_may_be_skipped(self) -> None:
        journal = MemoryJournal()
        clean = Step("clean", lasting(10), station="coater", when=lambda s: s.trial == 2)
        campaign = floor_campaign(clean, MEASURE, journal=journal)
        campaign.run(trials=2)
        assert [trial.state.value for trial in campaign.trials] == ["completed"] * 2
        assert len(bodies(journal, StepSkipped)) == 1


class TestChangeovers:
    def test_the_station_is_made_ready_where_the_key_differs(self) -> None:
        journal = MemoryJournal()
        rinsed: list[int] = []

        def rinse(lab: Any, s: sdl.Settings) -> Plan:
            rinsed.append(s.trial)
            yield from bps.sleep(300)

        coat = Step(
            "coat",
            lasting(60),
            station="coater",
            setup=Changeover(key="temperature", plan=rinse, duration="5 min"),
        )
        campaign = floor_campaign(coat, MEASURE, planner=TwoTemperatures(each=2), journal=journal)
        campaign.run(trials=4)
        assert sorted(set(rinsed)) == [1, 3]
        ends = [body for body in bodies(journal, StepEnded) if body.step == "coat"]
        assert [body.setup_key for body in ends] == ["temperature=500.0"] * 2 + ["temperature=600.0"] * 2
        assert [round(body.setup_seconds) for body in ends] == [300, 0, 300, 0]
        assert [round(body.seconds) for body in ends] == [360, 60, 360, 60]

        rinsed.clear()
        again = floor_campaign(coat, MEASURE, planner=TwoTemperatures(each=2), journal=journal)
        again.run(trials=6)
        assert sorted(set(rinsed)) == [5]  # the new session knows that it was ready for 600

    def test_the_next_session_knows_what_a_station_is_ready_for_and_how_long_that_took(self) -> None:
        journal = MemoryJournal()
        for n in range(ENOUGH):
            run: dict[str, Any] = {"step": "heat", "station": "oven", "attempt": 1, "members": (1, 2), "setup_key": "k"}
            journal.append(*(Entry(StepStarted(**run), "c", trial) for trial in (1, 2)))
            run |= {"seconds": 900.0 + n, "setup_seconds": 300.0}
            journal.append(*(Entry(StepEnded(**run, is_success=trial == 1), "c", trial) for trial in (1, 2)))
        floor = Floor(FloorLab())
        floor.read(journal)
        assert floor.ready_for == {"oven": "k"}, "one sample that failed does not unmake the changeover"
        assert floor.durations.estimate("c", CHANGEOVER.format("heat"), "oven", declared=7.0).median == 300.0
        journal.append(Entry(LatchSet(lab="lab", station="oven", interlock="hot", devices=(), reason="too hot"), "c"))
        floor.read(journal)
        assert floor.ready_for["oven"] != "k", "what was safe then is not what it was made ready for"


class TestCalendars:
    def test_a_station_waits_for_its_hours(self) -> None:
        journal = MemoryJournal()
        lab = FloorLab(calendars={"meter": sdl.Calendar(hours=("08:00-18:00",))})
        campaign = floor_campaign(
            Step("measure", measuring(4 * HOUR), station="meter", duration="4 h"), lab=lab, journal=journal
        )
        campaign.run(trials=3)
        course = Course(journal)
        began = [course.began[trial, "measure"] / HOUR for trial in (1, 2, 3)]
        assert began == pytest.approx([8.0, 12.0, 32.0], abs=0.01)
        assert "hours of meter" in bodies(journal, StepQueued)[0].reason

    def test_a_station_that_never_opens_pauses_the_campaign(self) -> None:
        lab = FloorLab(calendars={"meter": sdl.Calendar(hours=("08:00-09:00",))})
        campaign = floor_campaign(Step("measure", measuring(4 * HOUR), station="meter", duration="4 h"), lab=lab)
        ended = campaign.run(trials=1)
        assert ended.status == "paused"
        assert "longer than meter is ever open" in ended.reason


class Nosy(TwoTemperatures):
    """Keeps what it was told."""

    told: ClassVar[list[Situation]] = []

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        self.told.append(situation)
        found = super().suggest(problem, history, n, situation=situation, seed=seed)
        if situation.batch is None:
            return found
        return [each.replace(values={**each.values, **situation.batch.fixed}) for each in found]


class TestPlannersAreTold:
    def test_of_the_batch_that_they_fill(self) -> None:
        Nosy.told.clear()
        four = Batch(4, shared="temperature", patience="3 h")
        anneal = Step("anneal", batch_lasting(HOUR), station="furnace1", batch=four)
        campaign = floor_campaign(anneal, MEASURE, planner=Nosy(each=4), in_flight=6)
        campaign.run(trials=10)
        shapes = [situation.batch for situation in Nosy.told]
        assert [None if shape is None else shape.size for shape in shapes[:2]] == [4, 4]
        third = shapes[2]
        assert third is not None
        assert (third.size, dict(third.fixed)) == (2, {"temperature": 600.0})

    def test_of_money_and_time(self) -> None:
        Nosy.told.clear()
        campaign = floor_campaign(
            planner=Nosy(),
            experiment=sdl.Experiment(
                Step("measure", measuring(60), station="meter", duration=50, needs="robot"), cost=sdl.Price(2.0)
            ),
            budget=sdl.Budget(trials=4, cost=10.0, lab_time="1 h"),
        )
        campaign.run()
        assert [situation.cost_left for situation in Nosy.told] == [10.0, 8.0, 6.0, 4.0]
        assert Nosy.told[-1].seconds_left == pytest.approx(3600 - 180, abs=1)
        assert [situation.durations["measure"] for situation in Nosy.told] == pytest.approx([50.0, 50.0, 50.0, 60.0])

    def test_what_the_stock_cannot_make_is_replaced_by_what_it_can(self) -> None:
        ink = sdl.Stock(sdl.Reagent("ink", "10 mL"))
        measure = Step(
            "measure", measuring(60), station="meter", uses=lambda s: [sdl.Use("ink", f"{8 * s.number('x')} mL")]
        )
        campaign = floor_campaign(measure, lab=FloorLab(stock=ink), planner=Greedy(), fit_to_stock=True)
        ended = campaign.run(trials=3)
        assert ended.status == "finished"
        first, second, third = (trial.values["x"] for trial in campaign.trials)
        assert first == 1.0
        assert 0.15 < float(second) <= 0.25
        assert float(second) + float(third) <= 0.25
        assert "which the stock cannot make (8 mL of ink: 2 mL is free" in campaign.trials[1].decision.note


class Greedy(TwoTemperatures):
    """Always wants the most."""

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        found = super().suggest(problem, history, n, situation=situation, seed=seed)
        return [each.replace(values={**each.values, "x": 1.0}) for each in found]


def test_how_many_are_in_flight_follows_from_the_batches() -> None:
    anneal = Step("anneal", batch_lasting(1), station="furnace", batch=Batch(4))
    assert floor_campaign(anneal).in_flight == 8
    assert floor_campaign(anneal, MEASURE).in_flight == 16
    assert floor_campaign(MEASURE).in_flight == 1


@pytest.mark.parametrize("suggest_ahead", [False, True])
def test_with_suggest_ahead_no_station_waits_for_a_slow_planner(suggest_ahead: bool) -> None:
    class Slow(TwoTemperatures):
        def suggest(
            self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
        ) -> list[Suggestion]:
            time.sleep(0.1)
            return super().suggest(problem, history, n, situation=situation, seed=seed)

    journal = MemoryJournal()
    campaign = floor_campaign(
        Step("measure", measuring(0.4), station="meter"),
        lab=FloorLab(clock=sdl.WallClock()),
        planner=Slow(),
        planner_place="thread",
        journal=journal,
        suggest_ahead=suggest_ahead,
    )
    campaign.run(trials=4)
    waits = [body.planner_wait for body in bodies(journal, TrialProposed)]
    assert waits[0] >= 0.1
    assert all(wait == 0.0 if suggest_ahead else wait >= 0.1 for wait in waits[2:])


class SetClock(sdl.WallClock):
    """A wall clock that somebody sets."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


@pytest.mark.parametrize("offset", [3600.0, -3600.0])
def test_who_sets_the_clock_neither_breaks_a_window_nor_voids_one(offset: float) -> None:
    """The second trial waits for the meter for longer than it may; the first does not wait."""
    clock = SetClock()

    def coat(lab: Any, s: sdl.Settings) -> Any:
        yield from bps.sleep(0.05)
        clock.offset = offset if s.trial == 1 else 0.0

    def measure(lab: Any, s: sdl.Settings) -> Any:
        yield from bps.sleep(3.0 if s.trial == 1 else 0.05)
        return {"signal": sdl.Measurement(1.0, "V")}

    campaign = floor_campaign(
        Step("coat", coat, station="coater", duration=0.05),
        Step("measure", measure, station="meter", duration=0.05, within={"coat": 1.2}),
        lab=FloorLab(clock=clock),
        in_flight=2,
        planner_place="thread",
    )
    campaign.run(trials=2)
    first, second = campaign.trials
    assert first.state is TrialState.COMPLETED
    assert second.failure is not None
    assert second.failure.category is FailureCategory.LATE


def test_a_trip_on_a_station_that_a_step_holds_ends_the_step() -> None:
    """The door opens after ten minutes; the robot, which must not move then, is held by the coater's step."""

    class Door:
        parent = None
        name = "door"

        def read(self) -> dict[str, Any]:
            now = lab.clock.time()
            return {"door": {"value": 1.0 if now < began + 600 else 0.0, "timestamp": now}}

        def describe(self) -> dict[str, Any]:
            return {"door": {"source": "toy", "dtype": "number", "shape": []}}

    def coat(lab: Any, s: sdl.Settings) -> Any:
        yield from bps.sleep(HOUR)
        yield from bps.mv(lab.robot, 1.0)
        return {"signal": sdl.Measurement(1.0, "V")}

    rule = Interlock("door", require="door >= 1", acts_on=("robot",), action="stop_now", max_age="4 s")
    journal, lab = MemoryJournal(), FloorLab(door=Door(), interlocks=[rule])
    began = lab.clock.time()
    campaign = floor_campaign(Step("coat", coat, station="coater", needs="robot"), lab=lab, journal=journal)
    ended = campaign.run(trials=2)
    (step,) = bodies(journal, StepEnded)
    assert (ended.status, step.is_success) == ("paused", False)
    assert 600 <= step.seconds < 1200  # in virtual time it looks less often while all is well
    assert lab.robot.commands == []
    assert campaign.trials[0].failure is not None
    assert campaign.trials[0].failure.category is FailureCategory.INTERLOCK


def test_how_much_longer_steps_take_than_their_function_says_is_known_after_a_restart() -> None:
    journal, lab = MemoryJournal(), FloorLab()
    step = Step("measure", measuring(600), station="meter", duration=lambda s: 300 if s["temperature"] == 500 else 600)
    when = Step("dry", lasting(60), station="meter", within={"measure": "1 h"})
    floor_campaign(step, when, lab=lab, journal=journal).run(trials=4)
    campaign = floor_campaign(step, when, lab=lab, journal=journal)
    campaign.run(trials=4)
    floor = Floor(lab)
    queue = Queue("floor", campaign.experiment, floor)
    queue.learn(journal, lambda number: Settings(campaign.trials[number - 1].values))
    queue.learn(journal, lambda number: Settings({}))  # once is enough
    assert queue.duration(step, Settings({"temperature": 500.0}), ("meter",)) == pytest.approx(450.0)
