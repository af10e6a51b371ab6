"""A laboratory: what counts as a device, who belongs to which station, and how it is described."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from plain_devices import Knob, Meter, Steps, move_and_measure

from sdl.errors import LabError
from sdl.lab import Job, Lab, Settings, Step, VirtualClock, WallClock


def plan(lab: Any, s: Settings) -> Steps:
    yield from bps.null()


class TestDevices:
    def test_are_attributes(self) -> None:
        knob = Knob("knob")
        lab = Lab("bench", knob=knob)
        assert lab.knob is knob
        assert "knob" in dir(lab)
        with pytest.raises(AttributeError, match="no device 'knopf'; it has knob"):
            _ = lab.knopf

    def test_may_be_namespaces_of_devices(self) -> None:
        class Source:
            def __init__(self) -> None:
                self.oxygen = Knob("oxygen")

        assert Lab("bench", source=Source()).source.oxygen.name == "oxygen"

    @pytest.mark.parametrize("thing", [3.0, "knob", object(), Knob, {"set": 1}, lambda: None])
    def test_have_verbs(self, thing: object) -> None:
        with pytest.raises(LabError, match=r"thing of bench is a .* none of the verbs"):
            Lab("bench", thing=thing)

    @pytest.mark.parametrize("name", ["close", "stations", "devices", "_knob", "run", "limits"])
    def test_do_not_hide_the_laboratory(self, name: str) -> None:
        devices: Any = {name: Knob("knob")}
        if name in {"stations", "limits"}:
            with pytest.raises((LabError, AttributeError, TypeError)):
                Lab("bench", **devices)
        else:
            with pytest.raises(LabError, match="cannot have a device called"):
                Lab("bench", **devices)


class TestStations:
    def test_one_has_all_unless_told_otherwise(self) -> None:
        lab = Lab("bench", knob=Knob("knob"), meter=Meter("meter"))
        assert list(lab.stations) == ["bench"]
        assert list(lab.stations["bench"].devices) == ["knob", "meter"]
        assert lab.stations_for(Step("any", plan)) == ("bench",)

    def test_share_the_devices(self) -> None:
        lab = Lab("bench", stations={"a": ["knob"], "b": ["meter"]}, knob=Knob("knob"), meter=Meter("meter"))
        assert {name: list(station.devices) for name, station in lab.stations.items()} == {
            "a": ["knob"],
            "b": ["meter"],
        }
        assert lab.stations_for(Step("any", plan)) == ("a", "b")
        assert lab.stations_for(Step("one", plan, station="b")) == ("b",)
        assert lab.stations_for(Step("one of", plan, station=["b", "a"])) == ("b", "a")

    @pytest.mark.parametrize(
        ("stations", "told"),
        [
            ({"a": ["knob"]}, "in no station: meter"),
            ({"a": ["knob", "meter"], "b": ["meter"]}, "in two stations: meter"),
            ({"a": ["knob", "meter", "robot"]}, "no such device: robot"),
            ({}, "no station"),
        ],
    )
    def test_have_every_device_once(self, stations: dict[str, list[str]], told: str) -> None:
        with pytest.raises(LabError, match=told):
            Lab("bench", stations=stations, knob=Knob("knob"), meter=Meter("meter"))

    def test_have_rules_of_their_own(self) -> None:
        lab = Lab("bench", stations={"a": ["x"], "b": ["y"]}, wait_timeout={"a": 5.0}, x=Knob("x"), y=Knob("y"))
        assert [station.wait_timeout for station in lab.stations.values()] == [5.0, 3600.0]

    def test_work_at_the_same_time_on_the_wall(self) -> None:
        with Lab("bench", stations={"a": ["x"], "b": ["y"]}, x=Knob("x"), y=Knob("y")) as lab:
            barrier = threading.Barrier(2, timeout=10)

            def meet() -> Steps:
                yield from bps.null()
                (future,) = yield from bps.wait_for([lambda: asyncio_to_thread(barrier.wait)])
                future.result()

            box = lab.clock.mailbox()
            for station in lab.stations.values():
                station.submit(Job(meet, on_done=box.put))
            results = [box.get(timeout=20.0) for _ in range(2)]
        assert [result.error for result in results if result is not None] == [None, None]

    def test_may_use_the_devices_of_another(self) -> None:
        clock = VirtualClock()
        stations = {"a": ["knob"], "b": ["meter"]}
        with Lab("bench", clock=clock, stations=stations, knob=Knob("knob"), meter=Meter("meter")) as lab:
            assert lab.run(move_and_measure, {"x": 2.0}, station="b") == {"y": 1.5}
            assert lab.knob.value == 2.0


async def asyncio_to_thread(function: Any) -> Any:
    import asyncio

    return await asyncio.to_thread(function)


def test_a_plan_can_be_tried_by_hand() -> None:
    with Lab("bench", clock=VirtualClock(), knob=Knob("knob"), meter=Meter("meter")) as lab:
        assert lab.run(move_and_measure, {"x": 2.0}) == {"y": 1.5}
        with pytest.raises(KeyError):
            lab.run(move_and_measure)
        with pytest.raises(LabError, match="no station 'c'"):
            lab.run(plan, station="c")


def test_is_described_as_plain_data() -> None:
    lab = Lab("bench", clock=VirtualClock(), knob=Knob("knob"), limits={"knob": (None, 3)})
    described = lab.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["clock"] == "virtual"
    assert described["limits"] == {"knob": [None, 3]}
    assert described["devices"] == {"knob": "plain_devices.Knob"}
    assert list(described["stations"]) == ["bench"]  # type: ignore[arg-type] # it is a dict
    assert Lab("bench", knob=Knob("knob")).describe()["clock"] == "wall"


def test_does_nothing_special_for_a_trial() -> None:
    lab = Lab("bench", knob=Knob("knob"))
    lab.prepare(1, 1)
    assert lab.context() == {}
    assert not lab.is_simulated


class TestWallClock:
    def test_a_mailbox_waits_for_what_comes(self) -> None:
        box = WallClock().mailbox()
        threading.Timer(0.05, box.put, ("late",)).start()
        assert box.get() == "late"

    def test_a_mailbox_gives_up_in_time(self) -> None:
        box = WallClock().mailbox()
        for seconds in (0.0, 0.05, 0.3):
            begun = time.perf_counter()
            assert box.get(timeout=seconds) is None
            assert seconds <= time.perf_counter() - begun < seconds + 1.0

    def test_holding_is_nothing(self) -> None:
        clock = WallClock()
        before = clock.time()
        clock.release()
        clock.hold()
        clock.lend()()
        clock.advance_to(1e12)
        assert before <= clock.time() < before + 10
        assert clock.monotonic() <= clock.monotonic()
