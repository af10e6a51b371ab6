"""Trips and latches in a campaign's journal; aborts that wait for nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import pytest
from bad_planners import Misbehaving
from toy import Detector, LinePlanner, Motor, ToyLab, bodies, measure, toy_campaign
from typer.testing import CliRunner

import sdl
from sdl.campaign.campaign import Ended
from sdl.campaign.file import parse_campaign
from sdl.campaign.identity import signed
from sdl.campaign.planner import TrialState
from sdl.campaign.recorder import Recorder
from sdl.campaign.safeguard import Safeguard
from sdl.campaign.view import CampaignView
from sdl.commands.app import app
from sdl.errors import CampaignError, JournalError, LabError
from sdl.journal import Journal, MemoryJournal, comparable_lines, open_journal
from sdl.journal.records import Entry, Event, FailureCategory, TrialFailed
from sdl.journal.safety import InterlockTripped, LatchSet, Rearmed
from sdl.lab import Interlock, Lab, VirtualClock, WallClock
from sdl.lab.clock import current_time
from sdl.lab.latches import latches_in
from sdl.problem import Problem
from sdl.testing import Reached, failing_at

Plan = Generator[Any, Any, Any]
WATCHED = Interlock("fan", require="fan >= 5", acts_on=("motor0",), action="stop_now", max_age="4 s")


class Fan:
    """Turns, until a trial that it cannot bear."""

    parent = None
    name = "fan"

    def __init__(self, motor: Motor) -> None:
        self.motor = motor
        self.limit = 0.12

    def read(self) -> dict[str, Any]:
        value = 10.0 if not self.motor.commands or self.motor.commands[-1] < self.limit else 0.0
        return {"fan": {"value": value, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"fan": {"source": "toy", "dtype": "number", "shape": []}}


class WatchedLab(Lab):
    """A toy with a fan that stops in the third trial, when the motor is sent to 0.15."""

    is_simulated = True

    def __init__(self, **options: Any) -> None:
        motor = Motor("motor0", 60.0)
        devices: dict[str, Any] = {"motor0": motor, "detector0": Detector("detector0", motor), "fan": Fan(motor)}
        super().__init__("watched", clock=VirtualClock(), interlocks=[WATCHED], watch_period=2.0, **devices, **options)


@pytest.fixture
def labs() -> Iterator[Callable[[], Any]]:
    made: list[Any] = []

    def make() -> Any:
        made.append(WatchedLab())
        return made[-1]

    yield make
    for lab in made:
        lab.close()


def watched_campaign(lab: Any, journal: Journal | Path, **changes: Any) -> sdl.Campaign:
    return toy_campaign(lab, journal=journal, planner=LinePlanner(), experiment=measure, **changes)


def records(path: Path, kind: type[Any]) -> list[tuple[str, Any]]:
    journal = open_journal(path, mode="read")
    try:
        return [(event.actor, event.body) for event in journal.read() if isinstance(event.body, kind)]
    finally:
        journal.close()


class TestLatched:
    def test_a_trip_pauses_the_campaign_and_is_on_record(self, labs: Any) -> None:
        journal = MemoryJournal()
        campaign = watched_campaign(labs(), journal)
        ended = campaign.run(trials=6)
        assert ended.status == "paused"
        assert "'fan'" in ended.reason
        assert "sdl rearm" in ended.reason
        (tripped,), (latch,) = bodies(journal, InterlockTripped), bodies(journal, LatchSet)
        assert tripped.signals == {"fan": "0.0"}
        assert (latch.station, latch.devices) == ("watched", ("motor0",))
        (failed,) = bodies(journal, TrialFailed)
        assert failed.failure.category is FailureCategory.INTERLOCK
        assert campaign.view.counts[TrialState.COMPLETED] == 2

    def test_it_outlives_the_process_and_health(self, labs: Any, tmp_path: Path) -> None:
        path = tmp_path / "toy.sdl"
        assert watched_campaign(labs(), path).run(trials=6).status == "paused"
        for _ in range(2):  # a new laboratory is a new process: nothing of the trip is in its memory
            lab = labs()
            lab.fan.limit = 9.0
            assert watched_campaign(lab, path).run(trials=6).status == "paused"
            assert lab.motor0.commands == []
        assert len(records(path, InterlockTripped)) == 1
        assert not records(path, Rearmed)

    def test_a_person_arms_it_again(self, labs: Any, tmp_path: Path) -> None:
        path = tmp_path / "toy.sdl"
        watched_campaign(labs(), path).run(trials=6)
        words = ["rearm", str(path), "--by", "Ada", "--because", "the belt was replaced"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert "station watched is latched" in done.output
        ((actor, body),) = records(path, Rearmed)
        assert (actor, body.station, body.because) == (signed("Ada"), "watched", "the belt was replaced")
        lab = labs()
        lab.fan.limit = 9.0
        assert lab.motor0.commands == []  # arming moved nothing
        assert watched_campaign(lab, path).run(trials=6).status == "finished"
        assert CliRunner().invoke(app, words).exit_code != 0  # nothing is latched any more

    def trip_on_a_failing_disk(self, lab: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have an interlock trip in a session whose journal takes nothing from that moment on."""
        journal = open_journal(path)
        append, failed = journal.append, JournalError("the disk has failed")

        def failing(*entries: Entry) -> Sequence[Event]:
            if any(isinstance(entry.body, InterlockTripped) for entry in entries):
                monkeypatch.setattr(journal, "append", failing_always)
                raise failed
            return append(*entries)

        def failing_always(*_: Entry) -> Sequence[Event]:
            raise failed

        monkeypatch.setattr(journal, "append", failing)
        try:
            with pytest.raises(JournalError, match="has failed"):
                watched_campaign(lab, journal).run(trials=6)
            assert lab.latches
        finally:
            journal.close()

    def test_a_latch_that_the_journal_cannot_take_outlives_the_process_all_the_same(
        self, labs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "toy.sdl"
        self.trip_on_a_failing_disk(labs(), path, monkeypatch)
        assert not records(path, LatchSet)
        lab = labs()
        lab.fan.limit = 9.0
        assert "'fan'" in watched_campaign(lab, path).run(trials=6).reason
        assert lab.motor0.commands == []
        ((_, body),) = records(path, LatchSet)  # the journal has it now
        assert body.station == "watched"
        rearm = ["rearm", str(path), "--by", "Ada", "--because", "a new disk"]
        assert CliRunner().invoke(app, rearm).exit_code == 0
        assert watched_campaign(lab, path).run(trials=6).status == "finished"

    def test_a_person_opens_a_latch_that_no_journal_has(
        self, labs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "toy.sdl"
        self.trip_on_a_failing_disk(labs(), path, monkeypatch)
        told = CliRunner().invoke(app, ["status", str(path)])
        assert "latched" in told.output
        rearm = ["rearm", str(path), "--by", "Ada", "--because", "a new disk"]
        assert CliRunner().invoke(app, rearm).exit_code == 0
        lab = labs()
        lab.fan.limit = 9.0
        assert watched_campaign(lab, path).run(trials=6).status == "finished"

    def test_a_latch_that_cannot_be_read_is_none_that_is_forgotten(self, labs: Any, tmp_path: Path) -> None:
        path = tmp_path / "toy.sdl"
        watched_campaign(labs(), path).run(trials=1)
        (path / "latches").write_text('{"kind": "safety.lat')
        with pytest.raises(JournalError, match="look at the laboratory"):
            watched_campaign(labs(), path).run(trials=2)

    @pytest.mark.parametrize(("by", "because"), [("engine", "x"), ("", "x"), ("Ada", "")])
    def test_nobody_arms_nothing(self, labs: Any, tmp_path: Path, by: str, because: str) -> None:
        path = tmp_path / "toy.sdl"
        campaign = watched_campaign(labs(), path)
        campaign.run(trials=6)
        assert CliRunner().invoke(app, ["rearm", str(path), "--by", by, "--because", because]).exit_code != 0
        with pytest.raises(LabError):
            campaign.rearm(by=by, because=because)
        assert not records(path, Rearmed)
        assert campaign.run(trials=6).status == "paused"

    def test_the_campaign_can_be_asked(self, labs: Any) -> None:
        lab = labs()
        journal = MemoryJournal()
        campaign = watched_campaign(lab, journal)
        campaign.run(trials=6)
        sent = list(lab.motor0.commands)
        with pytest.raises(CampaignError, match="nothing is latched on station 'other'"):
            campaign.rearm(by="Ada", because="the belt was replaced", station="other")
        campaign.rearm(by="Ada", because="the belt was replaced")
        assert lab.motor0.commands == sent
        lab.fan.limit = 9.0
        assert campaign.run(trials=6).status == "finished"
        with pytest.raises(CampaignError, match="nothing is latched"):
            campaign.rearm(by="Ada", because="once more")

    def test_what_is_still_wrong_trips_again(self, labs: Any) -> None:
        lab = labs()
        journal = MemoryJournal()
        campaign = watched_campaign(lab, journal)
        campaign.run(trials=6)
        campaign.rearm(by="Ada", because="I hope")
        assert campaign.run(trials=6).status == "paused"
        assert len(bodies(journal, LatchSet)) == 2

    def test_a_trip_outside_any_campaign_is_recorded_by_the_next(self, labs: Any) -> None:
        lab = labs()

        def plan(lab: Any, s: Any) -> Plan:
            yield from bps.wait_for([lambda: asyncio.sleep(0)])
            yield from bps.mv(lab.motor0, 0.1)
            lab.fan.limit = 0.0
            yield from bps.sleep(60.0)

        with pytest.raises(LabError, match="fan"):
            lab.run(plan)
        journal = MemoryJournal()
        assert watched_campaign(lab, journal).run(trials=1).status == "paused"
        assert len(latches_in(journal)) == 1

    def test_other_campaigns_of_the_store_are_held_too(self, labs: Any) -> None:
        journal = MemoryJournal()
        watched_campaign(labs(), journal).run(trials=6)
        lab = labs()
        other = sdl.Campaign(
            "other",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("signal", unit="V"),
            planner=LinePlanner(),
            experiment=measure,
            lab=lab,
            journal=journal,
            progress=False,
        )
        assert other.run(trials=1).status == "paused"
        assert lab.motor0.commands == []

    @pytest.mark.parametrize("place", ["safeguard.after_latch", "loop.step_done"])
    def test_a_kill_just_after_a_trip_does_not_lose_the_latch(self, labs: Any, tmp_path: Path, place: str) -> None:
        """The latch is on the disk before the campaign's thread hears of it."""
        campaign = watched_campaign(labs(), tmp_path / "toy.sdl")
        hit = 3 if place == "loop.step_done" else 1  # the trial in which it trips
        with failing_at(place, hit), suppress(Reached):
            campaign.run(trials=6)
        assert len(records(tmp_path / "toy.sdl", LatchSet)) == 1
        assert watched_campaign(labs(), tmp_path / "toy.sdl").run(trials=6).status == "paused"

    @pytest.mark.parametrize("clock", [VirtualClock, WallClock])
    def test_a_latch_is_on_record_while_the_campaigns_thread_is_busy_elsewhere(self, clock: type[Any]) -> None:
        """A planner thinks, or a trial is being recorded: nobody has to come and fetch it."""
        motor = Motor("motor0", 0.0)
        lab = Lab("watched", clock=clock(), interlocks=[WATCHED], motor0=motor, fan=Fan(motor))
        journal, recorded = MemoryJournal(), threading.Event()
        recorder = Recorder(CampaignView("toy"), journal, ())
        safeguard = Safeguard(lab, journal, recorder, lambda: recorded.set() if latches_in(journal) else None)
        assert safeguard.open() is None
        lab.interlocks.trip(lab.interlocks.rules[0])
        assert recorded.wait(10.0)
        assert [latch.station for latch in latches_in(journal)] == ["watched"]
        assert all(latch.sequence for latch in lab.interlocks.latches)
        safeguard.close()
        lab.close()

    def test_two_sessions_are_the_same(self, labs: Any) -> None:
        def trace() -> list[str]:
            journal = MemoryJournal()
            watched_campaign(labs(), journal).run(trials=6)
            return list(comparable_lines(journal))

        assert trace() == trace()


def test_a_campaign_file_brings_interlocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
name: films
lab:
  type: thin-film
  interlocks:
    - name: gas
      when: sputter.temperature.setpoint > 300 degC
      require: sputter.oxygen < 1 Pa
budget: {trials: 1}
"""
    campaign = parse_campaign(text, "films.yaml").make(tmp_path, progress=False)
    try:
        (rule,) = campaign.lab.interlocks.rules
        assert rule.interlock.name == "gas"
        assert [each.action.kind for each in rule.reactions] == ["ramp_down"]
        assert rule.reactions[0].action.value == 20.0
    finally:
        campaign.lab.close()
    with pytest.raises(sdl.SdlError, match="sputer"):
        parse_campaign(text.replace("sputter.oxygen", "sputer.oxygen"), "films.yaml").make(tmp_path)


def test_a_campaign_file_brings_stock(tmp_path: Path) -> None:
    text = """
name: films
lab:
  type: thin-film
  stock:
    - {form: reagent, name: argon, amount: 50 L, lot: A7, tolerance: 2 %}
    - {form: plate, name: tray, rows: 2, columns: 3}
budget: {trials: 1}
"""
    campaign = parse_campaign(text, "films.yaml").make(tmp_path, progress=False)
    try:
        assert [item.name for item in campaign.lab.stock.items] == ["argon", "tray"]
        assert campaign.lab.stock.tolerance_of("argon") == "2 %"
        campaign.run(trials=1)
        assert str(campaign.ledger.balance("argon", date(2026, 1, 1)).left) == "50 L"
        with pytest.raises(LabError, match="in use"):
            campaign.lab.add_stock(sdl.Consumable("vial", 3))
    finally:
        campaign.lab.close()
    with pytest.raises(sdl.SdlError, match="liquid"):
        parse_campaign(text.replace("reagent", "liquid"), "films.yaml")


# --- aborts -----------------------------------------------------------------------------------------------------------


class Stuck(LinePlanner):
    """Thinks until it is let go."""

    thinking: ClassVar[threading.Event] = threading.Event()
    free: ClassVar[threading.Event] = threading.Event()

    def suggest(self, problem: Problem, *args: Any, **more: Any) -> Any:
        self.thinking.set()
        self.free.wait(20.0)
        return super().suggest(problem, *args, **more)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    Stuck.thinking.clear()
    Stuck.free.clear()
    yield Stuck()
    Stuck.free.set()


def abort_when(campaign: sdl.Campaign, moment: Callable[[], object]) -> tuple[Ended, float]:
    """Run *campaign*, abort it from another thread at *moment*; return how it ended, and how long that took."""
    begun: list[float] = []

    def abort() -> None:
        moment()
        begun.append(time.perf_counter())
        campaign.abort("enough")

    thread = threading.Thread(target=abort)
    thread.start()
    ended = campaign.run(trials=3)
    seconds = time.perf_counter() - begun[0]
    thread.join()
    return ended, seconds


class TestAbort:
    @pytest.mark.parametrize("clock", [VirtualClock, WallClock])
    def test_it_does_not_wait_for_a_planner_that_hangs(self, stuck: Stuck, clock: type[Any]) -> None:
        campaign = toy_campaign(ToyLab(clock=clock()), planner=stuck, planner_place="thread")
        ended, seconds = abort_when(campaign, lambda: stuck.thinking.wait(10.0))
        assert ended.status == "aborted"
        assert seconds < 2.0

    def test_it_ends_the_process_of_a_planner_that_hangs(self) -> None:
        campaign = toy_campaign(
            ToyLab(clock=WallClock()), planner=Misbehaving(how="hang"), planner_place="process", planner_deadline=60.0
        )
        ended, seconds = abort_when(campaign, lambda: time.sleep(1.0))
        assert ended.status == "aborted"
        assert seconds < 2.0

    @pytest.mark.parametrize("clock", [VirtualClock, WallClock])
    def test_it_ends_the_connecting(self, clock: type[Any]) -> None:
        connecting = threading.Event()

        class Slow(Motor):
            async def connect(self) -> None:
                connecting.set()
                await asyncio.get_running_loop().run_in_executor(None, free.wait, 10.0)

        free = threading.Event()
        lab = ToyLab(clock=clock(), n_cells=2)
        lab.motor0.connect = Slow("motor0", 1.0).connect
        try:
            ended, seconds = abort_when(toy_campaign(lab), lambda: connecting.wait(10.0))
        finally:
            free.set()
        assert ended.status == "aborted"
        assert seconds < 2.0
        assert not lab.motor0.commands

    def test_it_does_not_wait_for_the_journal(self) -> None:
        """Devices are stopped while a disk hangs; the session ends when the disk is back."""
        free, writing = threading.Event(), threading.Event()
        stopped: list[float] = []

        class Slow(MemoryJournal):
            def append(self, *entries: Entry) -> Any:
                if any(entry.body.kind == "document" for entry in entries):
                    writing.set()
                    free.wait(10.0)
                return super().append(*entries)

        def plan(lab: Any, s: Any) -> Plan:
            yield from bps.mv(lab.motor0, 0.5)
            yield from bps.trigger_and_read([lab.detector0])
            yield from bps.sleep(60.0)

        lab = ToyLab(clock=WallClock(), seconds=0.0)
        lab.detector0.settle = 0.0

        async def stop(success: bool = True) -> None:
            stopped.append(time.perf_counter())
            free.set()

        lab.motor0.stop = stop
        campaign = toy_campaign(lab, experiment=plan, journal=Slow(), planner_place="thread")
        ended, _ = abort_when(campaign, lambda: writing.wait(10.0))
        assert ended.status == "aborted"
        assert stopped
