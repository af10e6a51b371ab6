"""Interlocks over devices of several processes: each end judges the whole rule, and what is not told is unsafe."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from furnace import Heater, Ventilation

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.errors import InterlockError
from sdl.journal import open_journal
from sdl.journal.safety import SAFETY_KINDS, InterlockTripped, LatchSet
from sdl.lab import Interlock
from sdl.lab.interlocks import Interlocks, Rule
from sdl.lab.remote import host
from sdl.lab.remote.link import Session, StationLost
from sdl.lab.remote.messages import Beat, Pulse, Signal, decode, encode
from sdl.lab.remote.relay import EngineEnd, StationEnd
from sdl.lab.remote.server import StationServer

MAX_AGE = 2.0
PATIENCE = 30.0  # seconds of a loaded machine


class Plain(Heater):
    safe_action = "stop_now"


RULE = Interlock(
    "ventilation",
    when="heater.setpoint > 50 degC",
    require="vent.flow >= 10 L/min",
    max_age=f"{MAX_AGE} s",
    acts_on=("heater", "blower"),
)


class ApartLab(sdl.Lab):
    """A heater, and the ventilation that it needs, in two stations; a rule acts on a device of each."""

    def __init__(self, rules: Sequence[Interlock] = (RULE,)) -> None:
        self.seconds = 0.0
        heater, blower = Plain("heater"), Plain("blower")
        stations = {"hot": ["heater"], "air": ["vent", "blower"]}
        super().__init__(
            "apart",
            clock=sdl.WallClock(),
            stations=stations,
            interlocks=rules,
            heater=heater,
            vent=Ventilation(),
            blower=blower,
        )


def heat(lab: ApartLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.heater, 80.0)
    yield from bps.sleep(lab.seconds)
    return {"signal": s.number("x")}


class Hall:
    """The engine's laboratory, and the stations that have processes of their own (here: threads and laboratories)."""

    def __init__(self, folder: Path, away: tuple[str, ...], rules: Sequence[Interlock] = (RULE,)) -> None:
        self.folder, self.away, self.rules = folder, away, rules
        self.lab = ApartLab(rules)
        self.labs: dict[str, ApartLab] = {"hot": self.lab, "air": self.lab}
        self.servers: dict[str, StationServer] = {}
        self.threads: dict[str, threading.Thread] = {}
        for name in away:
            self.start(name)
        host(self.lab, "apart:ApartLab", stations=away, folder=folder / "stations", is_started_here=False, lease=1.0)

    def start(self, name: str) -> None:
        self.labs[name] = ApartLab(self.rules)
        self.servers[name] = StationServer(self.labs[name], name, self.folder / "stations")
        self.threads[name] = threading.Thread(target=self.servers[name].serve)
        self.threads[name].start()

    def restart(self, name: str) -> None:
        self.servers[name].end()
        self.threads[name].join()
        self.start(name)

    @property
    def heater(self) -> Any:
        return self.labs["hot"].heater

    @property
    def blower(self) -> Any:
        return self.labs["air"].blower

    @property
    def flow(self) -> Any:
        return self.labs["air"].vent.flow

    def campaign(self) -> sdl.Campaign:
        return sdl.Campaign(
            "apart",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("signal"),
            planner=SpaceFillingFallback(),
            experiment=sdl.Experiment(sdl.Step("heat", heat, station="hot")),
            lab=self.lab,
            journal=self.folder / "store.sdl",
            progress=False,
            planner_place="thread",
            on_unknown="failed",
        )

    def close(self) -> None:
        self.lab.close()
        for server in self.servers.values():
            server.end()
        for thread in self.threads.values():
            thread.join()


@pytest.fixture(params=[("hot", "air"), ("air",), ("hot",)], ids=["both away", "air away", "hot away"])
def hall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path, request.param)
    yield made
    made.close()


def one_more(campaign: sdl.Campaign) -> Any:
    return campaign.run(trials=len(campaign.trials) + 1)


def run_in_thread(campaign: sdl.Campaign, results: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: results.append(one_more(campaign)))
    thread.start()
    return thread


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert what()


def test_it_is_allowed_refused_tripped_and_armed_as_in_one_process(hall: Hall) -> None:
    campaign = hall.campaign()
    assert one_more(campaign).status == "finished"
    assert hall.heater.values == [80.0]

    hall.labs["hot"].seconds = PATIENCE
    results: list[Any] = []
    thread = run_in_thread(campaign, results)
    wait_for(lambda: len(hall.heater.values) == 2)
    n_stops = len(hall.blower.stops)
    fell = time.monotonic()
    hall.flow.value = 0.0
    wait_for(lambda: hall.heater.stops)
    assert time.monotonic() - fell < MAX_AGE
    wait_for(lambda: len(hall.blower.stops) > n_stops)
    thread.join()
    assert results[0].status == "paused"
    assert "ventilation" in results[0].reason
    with open_journal(hall.folder / "store.sdl", mode="read") as journal:
        bodies = [event.body for event in journal.read(kinds=SAFETY_KINDS)]
    (tripped,) = [body for body in bodies if isinstance(body, InterlockTripped)]
    assert tripped.signals["vent.flow"] == "0.0 L/min"
    assert {body.station for body in bodies if isinstance(body, LatchSet)} == {"hot", "air"}
    assert {body.interlock for body in bodies if isinstance(body, LatchSet)} == {"ventilation"}

    assert one_more(campaign).status == "paused"  # nothing starts before a person has looked
    campaign.rearm(by="Ann", because="the fan is mended")
    hall.labs["hot"].seconds = 0.0
    hall.flow.value = 0.0
    sent = list(hall.heater.values)
    one_more(campaign)  # it is not: the act is refused
    assert hall.heater.values == sent
    hall.flow.value = 20.0
    board = hall.lab.interlocks.board
    wait_for(lambda: (flow := board.sample("vent.flow")) is not None and flow.value == 20.0)
    campaign.rearm(by="Ann", because="now it is")
    ended = one_more(campaign)
    assert ended.status == "finished", ended.reason
    assert hall.heater.values == [*sent, 80.0]


def test_a_station_that_is_lost_makes_the_others_safe(tmp_path: Path) -> None:
    """Nobody says any more what flows: what was said last grows old."""
    hall = Hall(tmp_path, ("air",))
    hall.lab.seconds = PATIENCE
    results: list[Any] = []
    thread = run_in_thread(hall.campaign(), results)
    wait_for(lambda: hall.heater.values)
    hall.servers["air"].end()
    thread.join()
    hall.close()
    assert hall.heater.stops
    assert "vent.flow is unknown" in results[0].reason


def test_a_station_that_is_not_found_again_is_not_waited_for(tmp_path: Path) -> None:
    """What it said last grows old while the engine tries to reach it."""
    (tmp_path / "stations").mkdir(mode=0o700)
    with ApartLab() as lab:
        host(lab, "apart:ApartLab", stations=("air",), folder=tmp_path / "stations", is_started_here=False)
        lab.interlocks.away["air"] = 5.0
        station: Any = lab.stations["air"]
        with pytest.raises(StationLost):
            station._opened(Session("s", 1, 1.0), 0.0)
        assert lab.interlocks.away == {"air": 5.0}


# --- the two ends, on a clock of the test -----------------------------------------------------------------------------


class Ticks(sdl.WallClock):
    """Shows what it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Ends:
    """The engine's end for each station, and the stations' own."""

    def __init__(self) -> None:
        self.clock = Ticks()
        self.labs = {name: ApartLab() for name in ("engine", "hot", "air")}
        for lab in self.labs.values():
            lab.interlocks.clock = lab.interlocks.board._clock = self.clock  # pyright: ignore[reportPrivateUsage]
        known = self.labs["engine"].interlocks
        known.away = dict.fromkeys(("hot", "air"), math.inf)
        self.engine = {name: EngineEnd(name, known, self.clock.monotonic) for name in ("hot", "air")}
        self.station = {name: StationEnd(name, self.labs[name].interlocks, ("hot", "air")) for name in ("hot", "air")}
        for end in self.engine.values():
            end.begin()

    def rule(self, place: str) -> Rule:
        return self.labs[place].interlocks.rules[0]

    def read(self, flow: Any = 20.0, setpoint: float = 80.0) -> None:
        for name, signal, value in (("air", "vent.flow", flow), ("hot", "heater.setpoint", setpoint)):
            self.labs[name].interlocks.board.put(self.rule(name).sources[signal], value, self.clock.time())

    def beat(self, *names: str, delay: float = 0.0) -> None:
        """A beat goes to each station, and its pulse comes back, after *delay*."""
        for name in names:
            sent = self.clock.now
            said = self.engine[name].beat(Beat(store="s", epoch=1, boot="b"))
            self.clock.now += delay
            self.station[name].felt(decode(encode(said)), self.clock.now)
            bare = Pulse(boot="b", now=self.clock.now, job="", n_events=0, is_spent=False)
            self.engine[name].felt(decode(encode(self.station[name].pulse(bare))), sent)

    def look(self) -> None:
        for end in self.engine.values():
            end.look()

    def violated(self, place: str) -> bool:
        interlocks: Interlocks = self.labs[place].interlocks
        return self.rule(place).violation(interlocks.look(self.rule(place)))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for lab in made.labs.values():
        lab.close()


EVERYWHERE = ("engine", "hot", "air")


def test_each_end_knows_the_whole_rule_after_two_beats(ends: Ends) -> None:
    ends.read()
    assert ends.violated("engine")
    assert ends.violated("hot")
    ends.beat("hot", "air")
    ends.beat("hot", "air")
    assert not any(ends.violated(place) for place in EVERYWHERE)
    ends.look()
    assert not ends.rule("engine").is_tripped


@pytest.mark.parametrize("flow", [9.9, math.nan, math.inf, -math.inf, "on", True])
def test_what_is_not_enough_trips_everywhere(ends: Ends, flow: Any) -> None:
    for _ in range(6):
        ends.clock.now += MAX_AGE / 4
        ends.read()
        ends.beat("hot", "air")
        ends.look()
    assert not ends.rule("engine").is_tripped
    ends.read(flow)
    ends.beat("hot", "air")
    ends.look()
    assert ends.rule("engine").is_tripped
    ends.beat("hot", "air")
    assert ends.rule("hot").is_tripped
    assert ends.rule("air").is_tripped
    assert [latch.station for latch in ends.labs["hot"].latches] == ["hot"]


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_what_is_told_is_as_old_as_it_may_be(ends: Ends, delay: float) -> None:
    ends.read()
    read_at = ends.clock.now
    for _ in range(3):
        ends.beat("air", "hot", delay=delay)
    for place in ("engine", "hot"):
        age = ends.labs[place].interlocks.board.age("vent.flow", by_answer=True)
        assert ends.clock.now - read_at <= age <= ends.clock.now - read_at + 3 * delay + 1e-9


def test_a_pulse_that_repeats_old_values_keeps_nothing_young(ends: Ends) -> None:
    """The station's loop hangs: its pulses come, and tell what was read before."""
    ends.read()
    for _ in range(3):
        ends.beat("hot", "air")
    for _ in range(12):
        ends.clock.now += MAX_AGE / 10
        ends.labs["hot"].interlocks.board.put(ends.rule("hot").sources["heater.setpoint"], 80.0, None)
        ends.beat("hot", "air")
        ends.look()
    assert ends.rule("engine").is_tripped
    assert "vent.flow is unknown" in ends.labs["engine"].latches[0].body.reason


def test_a_late_pulse_and_one_from_before_the_station_was_taken_do_not_count(ends: Ends) -> None:
    ends.read()
    told = ends.station["air"].pulse(Pulse(boot="b", now=0.0, job="", n_events=0, is_spent=False))
    for sent in (ends.clock.now - 1.0, ends.clock.now + 1.0, math.nan):
        ends.engine["air"].felt(told.replace(tripped={"ventilation": "before"}), sent)
    assert ends.labs["engine"].interlocks.board.sample("vent.flow") is None
    assert not ends.rule("engine").is_tripped
    ends.engine["air"].felt(told, ends.clock.now)
    ends.clock.now += MAX_AGE
    assert not ends.labs["engine"].interlocks.board.age("vent.flow", by_answer=True) < MAX_AGE


def test_no_rule_is_judged_by_silence_before_each_station_has_begun_nor_an_act_allowed(ends: Ends) -> None:
    ends.read()
    for _ in range(30):  # the process of the ventilation takes its time
        ends.clock.now += MAX_AGE / 5
        ends.labs["hot"].interlocks.board.put(ends.rule("hot").sources["heater.setpoint"], 80.0, None)
        ends.beat("hot")
        ends.look()
    assert not ends.rule("engine").is_tripped
    hot = ends.labs["hot"]
    assert not hot.interlocks.violated(frozenset(("hot",)), since=0.0)
    with pytest.raises(InterlockError, match="never read"):
        hot.interlocks.check_act("heater", hot.heater, 80.0, is_set=True)


def test_a_signal_in_another_unit_is_not_taken(ends: Ends) -> None:
    signal = Signal(value=20.0, unit="m³/s", answered=0.0, stamped=0.0)
    pulse = Pulse(boot="b", now=0.0, job="", n_events=0, is_spent=False, signals={"vent.flow": signal})
    ends.engine["air"].felt(pulse, ends.clock.now)
    assert ends.violated("engine")
