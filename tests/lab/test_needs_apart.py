"""Steps that hold a station of another process: it is there, it is theirs, and it stays so until they end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from test_interlocks_apart import MAX_AGE, PATIENCE, ApartLab, Hall, Plain, one_more, run_in_thread, wait_for

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.planner import TrialState
from sdl.errors import SdlError
from sdl.journal import open_journal
from sdl.journal.records import FailureCategory, StepStarted
from sdl.lab import Interlock
from sdl.lab.remote import host
from sdl.lab.remote.station import HOLD_TIMEOUT

PLACES = pytest.mark.parametrize("away", [("air",), ("hot",)], ids="".join)


def blow(lab: ApartLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.blower, 30.0)


def heat(lab: ApartLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.heater, 40.0)
    yield from bps.sleep(lab.seconds)
    return {"signal": s.number("x")}


def heat_and_blow(lab: ApartLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.heater, 40.0)
    yield from bps.mv(lab.blower, 30.0)
    return {"signal": s.number("x")}


def campaign_on(hall: Hall, *steps: sdl.Step, **changes: Any) -> sdl.Campaign:
    options: dict[str, Any] = {
        "space": sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        "objective": sdl.Minimize("signal"),
        "planner": SpaceFillingFallback(),
        "experiment": sdl.Experiment(*steps),
        "lab": hall.lab,
        "journal": hall.folder / "store.sdl",
        "progress": False,
        "planner_place": "thread",
        "on_unknown": "failed",
    }
    return sdl.Campaign("held", **(options | changes))


HEAT = sdl.Step("heat", heat, station="hot", needs="air")


def failure_of(campaign: sdl.Campaign) -> Any:
    failure = campaign.trials[-1].failure
    assert failure is not None
    return failure


@PLACES
def test_a_step_holds_a_station_of_another_process(tmp_path: Path, away: tuple[str, ...]) -> None:
    hall = Hall(tmp_path, away)
    hall.labs["hot"].seconds = 0.1
    try:
        campaign = campaign_on(hall, HEAT, sdl.Step("blow", blow, station="air"), in_flight=2)
        assert campaign.run(trials=3).status == "finished"
    finally:
        hall.close()
    assert hall.heater.values == [40.0] * 3
    assert hall.blower.values == [30.0] * 3
    with open_journal(tmp_path / "store.sdl", mode="read") as journal:
        started = [event.body for event in journal.read(kinds=("step.started",))]
    assert [body.needs for body in started if isinstance(body, StepStarted) and body.step == "heat"] == [("air",)] * 3
    moves = [(at, 0.1) for at, _ in hall.heater.sent] + [(at, 0.0) for at, _ in hall.blower.sent]
    for (begun, seconds), (after, _) in zip(sorted(moves), sorted(moves)[1:], strict=False):
        assert begun + seconds <= after  # nobody blows while a step holds it


@PLACES
def test_a_plan_that_uses_a_device_of_another_process_is_refused_before_it_moves_anything(
    tmp_path: Path, away: tuple[str, ...]
) -> None:
    hall = Hall(tmp_path, away)
    try:
        campaign = campaign_on(hall, sdl.Step("heat", heat_and_blow, station="hot", needs="air"))
        campaign.run(trials=1)
    finally:
        hall.close()
    assert failure_of(campaign).category is FailureCategory.PLAN
    assert "uses blower, and its station air is in a process of its own" in failure_of(campaign).reason
    assert hall.heater.values == hall.blower.values == hall.lab.blower.values == []


def test_stations_that_move_out_one_after_the_other_are_all_known_to_be_elsewhere(tmp_path: Path) -> None:
    devices: dict[str, Any] = {name: Plain(name) for name in ("one", "two", "three")}
    stations = {"a": ["one"], "b": ["two"], "c": ["three"]}
    with sdl.Lab("rooms", clock=sdl.WallClock(), stations=stations, **devices) as lab:
        for name in ("a", "b"):
            host(lab, "rooms:Rooms", stations=[name], folder=tmp_path / "stations", is_started_here=False)
        assert sorted(lab.stations["c"].elsewhere.values()) == [("one", "a"), ("two", "b")]


def test_a_step_ends_when_a_station_that_it_holds_is_lost(tmp_path: Path) -> None:
    hall = Hall(tmp_path, ("hot", "air"), rules=())
    hall.labs["hot"].seconds = PATIENCE
    campaign = campaign_on(hall, HEAT)
    results: list[Any] = []
    thread = run_in_thread(campaign, results)
    wait_for(lambda: hall.heater.values)
    hall.servers["air"].end()
    thread.join()
    hall.close()
    assert hall.heater.stops
    assert failure_of(campaign).category is FailureCategory.DEVICE
    assert "station air, which the step holds, is lost" in failure_of(campaign).reason


@pytest.mark.parametrize("away", [("air",), ("hot", "air")], ids="_and_".join)
def test_nobody_waits_for_a_station_that_is_gone(tmp_path: Path, away: tuple[str, ...]) -> None:
    """It goes between the session's begin and the step; the step is not begun, and closing waits for nothing."""
    hall = Hall(tmp_path, away, rules=())
    far: Any = hall.lab.stations["air"]
    asked = far.hold

    def hold(held: Any) -> None:
        hall.servers["air"].end()
        hall.threads["air"].join()
        wait_for(lambda: far._link.lost)
        asked(held)

    far.hold = hold
    campaign = campaign_on(hall, HEAT)
    begun = time.monotonic()
    campaign.run(trials=1)
    hall.close()
    assert time.monotonic() - begun < HOLD_TIMEOUT
    assert failure_of(campaign).category is FailureCategory.DEVICE
    assert hall.heater.values == []


def test_a_station_that_was_started_anew_a_moment_ago_is_asked_again_and_held(tmp_path: Path) -> None:
    hall = Hall(tmp_path, ("air",), rules=())
    far: Any = hall.lab.stations["air"]
    asked = far.hold

    def hold(held: Any) -> None:
        hall.restart("air")
        asked(held)

    far.hold = hold
    try:
        assert campaign_on(hall, HEAT).run(trials=1).status == "finished"
    finally:
        hall.close()
    assert hall.heater.values == [40.0]


def test_closing_while_a_station_takes_up_the_engine_does_not_latch_it(tmp_path: Path) -> None:
    """Its devices take their time to connect: the hello is answered when nobody waits for it any more."""
    hall = Hall(tmp_path, ("air",), rules=())
    server: Any = hall.servers["air"]
    connect = server._station.connect
    begun, may_go_on = threading.Event(), threading.Event()

    def connect_slowly() -> None:
        begun.set()
        may_go_on.wait(PATIENCE)
        connect()

    server._station.connect = connect_slowly
    campaign = campaign_on(hall, HEAT)

    def run() -> None:
        with suppress(SdlError):  # it is closed before its first step
            campaign.run(trials=1)

    thread = threading.Thread(target=run)
    try:
        thread.start()
        assert begun.wait(PATIENCE)
        hall.lab.close()
        may_go_on.set()
        thread.join()
        wait_for(lambda: server._gate.epoch and not server._gate.is_held)
    finally:
        may_go_on.set()
        hall.close()
    assert server._gate.latch == ""


@PLACES
def test_a_trip_on_a_station_that_a_step_holds_ends_the_step(tmp_path: Path, away: tuple[str, ...]) -> None:
    rule = Interlock("air", require="vent.flow >= 10 L/min", max_age=f"{MAX_AGE} s", acts_on=("blower",))
    hall = Hall(tmp_path, away, rules=(rule,))
    hall.labs["hot"].seconds = PATIENCE
    campaign = campaign_on(hall, HEAT)
    results: list[Any] = []
    thread = run_in_thread(campaign, results)
    wait_for(lambda: hall.heater.values)
    hall.flow.value = 0.0
    thread.join()
    assert hall.heater.stops
    wait_for(lambda: hall.blower.stops)
    assert results[0].status == "paused"
    assert failure_of(campaign).category is FailureCategory.INTERLOCK
    assert one_more(campaign).status == "paused"  # what holds it does not begin either
    assert hall.heater.values == [40.0]
    hall.close()


def test_a_step_does_not_begin_when_a_station_that_it_holds_is_latched_while_it_is_asked(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The blower goes on with what it does, so nothing is cut off: the step itself is to look."""
    rule = Interlock("air", require="vent.flow >= 10 L/min", max_age=f"{MAX_AGE} s", acts_on=("blower",))
    monkeypatch.setattr(Plain, "safe_action", "finish_step_then_hold")
    hall = Hall(tmp_path, ("hot", "air"), rules=(rule,))
    far: Any = hall.lab.stations["air"]
    asked = far.hold

    def hold(held: Any) -> None:
        asked(held)
        hall.flow.value = 0.0
        wait_for(lambda: hall.lab.latches)

    far.hold = hold
    try:
        assert campaign_on(hall, HEAT).run(trials=1).status == "paused"
    finally:
        hall.close()
    assert hall.heater.values == []


def test_a_step_does_not_rely_on_what_a_station_that_it_holds_has_lost(tmp_path: Path) -> None:
    """The blower was set by a step of the trial, and its process is another one by now."""
    hall = Hall(tmp_path, ("air",), rules=())
    first = hall.servers["air"]

    def wait(lab: ApartLab, s: sdl.Settings) -> Any:
        if hall.servers["air"] is first:  # a plan is called for its dry walk too
            hall.restart("air")
            far: Any = hall.lab.stations["air"]
            wait_for(lambda: far._link.lost)
        yield from bps.null()

    steps = sdl.Step("blow", blow, station="air"), sdl.Step("wait", wait, station="hot"), HEAT
    campaign = campaign_on(hall, *steps)
    campaign.run(trials=1)
    hall.close()
    assert campaign.trials[0].state is TrialState.FAILED
    assert "what that step has set up" in failure_of(campaign).reason
    assert hall.heater.values == []
