"""A line that is cut, reset, doubled or shuffled, a person who takes over, a clock that jumps: all is done once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hosted
import pytest
from guests import Inn
from meddling import Line, Meddler
from pydantic import JsonValue
from test_remote_kills import bodies, doses, until, view_of
from test_remote_wire import step

import sdl
from sdl.campaign import TrialState
from sdl.errors import DeviceError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.acts import ActEnded
from sdl.journal.records import SessionStarted, StepEnded
from sdl.lab.job import Job
from sdl.lab.remote.link import Link, Offset, Session, StationLost, StationRefused
from sdl.lab.remote.messages import Look, Take, Transfer
from sdl.lab.remote.server import StationServer
from sdl.lab.remote.sockets import Address
from sdl.lab.remote.station import RemoteStation

LEASE = 1.0
BEAT = LEASE / 5
SLACK = 2.0
"""Seconds beyond the promise that a loaded machine gets here; tests/soak/network.py gives none."""


class Site:
    """An inn, and lines to it that can be cut."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.inn = Inn(folder, **options)
        self.lines = [Line(port) for port in self.inn.ports]

    @property
    def address(self) -> Address:
        work, pulse = self.lines
        return self.inn.address(work=work.port, pulse=pulse.port)

    def reopen(self) -> None:
        """Have the station end, and begin anew."""
        self.inn.close()
        self.inn.open()
        for line, port in zip(self.lines, self.inn.ports, strict=True):
            line.target = port

    def cut(self, *, is_cut: bool = True) -> None:
        for line in self.lines:
            line.cut(is_cut=is_cut)

    def close(self) -> None:
        for line in self.lines:
            line.close()
        self.inn.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Site]:
    """A site where an act takes an hour."""
    made = Site(tmp_path, seconds=3600.0)
    yield made
    made.close()


def inside(site: Site) -> Any:
    """Return the station's server, for what only a test may look at."""
    return site.inn.server


class Run:
    """A campaign that runs on a thread."""

    def __init__(self, lab: sdl.Lab, folder: Path, trials: int, **changes: Any) -> None:
        self.campaign = hosted.campaign_on(lab, folder, **changes)
        self.ended: Any = None
        self._thread = threading.Thread(target=self._run, args=(trials,))
        self._thread.start()

    def _run(self, trials: int) -> None:
        self.ended = self.campaign.run(trials=trials)

    def wait(self) -> Any:
        self._thread.join(60.0)
        assert self.ended is not None
        return self.ended


def test_a_cut_line_is_noticed_at_both_ends_and_nothing_starts_again_by_itself(slow: Site) -> None:
    with slow.inn.lab(slow.address, lease=LEASE) as lab:
        session = Run(lab, slow.folder, 2)
        until(lambda: doses(slow.folder))
        cut = time.monotonic()
        slow.cut()
        until(lambda: hosted.noted(slow.folder / "stops"))
        until(lambda: bodies(slow.folder, ActEnded))
        noticed = time.monotonic() - cut
        assert hosted.noted(slow.folder / "stops")[0]["at"] - cut < LEASE + BEAT + SLACK
        assert noticed < LEASE + BEAT + SLACK
        assert [body.outcome for body in bodies(slow.folder, ActEnded)] == ["unknown"]
        slow.cut(is_cut=False)
        ended = session.wait()
        assert (ended.status, doses(slow.folder)) == ("paused", Counter([1]))
        assert "the engine went silent past its lease" in ended.reason
        session.campaign.rearm(by="Kim", because="the vial was looked at")
        inside(slow)._lab.doser.seconds = 0.01
        assert session.campaign.run(trials=2).status == "finished"
    assert [trial.state for trial in view_of(slow.folder).trials] == [TrialState.FAILED, TrialState.COMPLETED]
    assert doses(slow.folder) == Counter([1, 2])


def test_a_station_elsewhere_treats_several_samples_at_once_and_is_made_ready_for_them(site: Site) -> None:
    changeover = sdl.Changeover(key="gas", plan=hosted.rinse_all)
    batch = sdl.Batch(2, shared="gas", patience=60.0)
    treat = sdl.Step("dose", hosted.dose_all, batch=batch, setup=changeover, duration=1.0)
    space = sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0), gas=sdl.Fixed("Ar"))
    options: dict[str, Any] = {"space": space, "experiment": sdl.Experiment(treat), "in_flight": 2}
    with site.inn.lab(site.address) as lab:
        session = Run(lab, site.folder, 4, **options)
        assert session.wait().status == "finished"
        trials = session.campaign.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 4
    dosed = bodies(site.folder, StepEnded)
    assert {body.members for body in dosed} == {(1, 2), (3, 4)}
    assert sum(doses(site.folder).values()) == 2
    assert [line["gas"] for line in hosted.noted(site.folder / "rinses")] == ["Ar"]
    assert [body.setup_seconds >= 0.05 for body in dosed[::2]] == [True, False]


def test_what_a_station_elsewhere_is_ready_for_is_not_known_after_it_was_started_anew(site: Site) -> None:
    changeover = sdl.Changeover(key="gas", plan=hosted.rinse)
    dose = sdl.Step("dose", hosted.dose, setup=changeover)
    space = sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0), gas=sdl.Fixed("Ar"))
    rinses = site.folder / "rinses"
    with site.inn.lab(site.address, lease=LEASE) as lab:
        campaign = hosted.campaign_on(lab, site.folder, space=space, experiment=sdl.Experiment(dose))
        assert campaign.run(trials=2).status == "finished"
        assert len(hosted.noted(rinses)) == 1
        assert campaign.run(trials=3).status == "finished"  # a later session knows it from the journal
        assert len(hosted.noted(rinses)) == 1
        site.reopen()
        assert campaign.run(trials=4).status == "finished"
        assert len(hosted.noted(rinses)) == 2


def test_commands_that_were_queued_in_an_outage_are_not_done_after_it(site: Site) -> None:
    link = site.inn.link(address=site.address, lease=60.0)
    site.cut()
    for number in range(1, 21):
        link.send(step(link, job=f"job{number}", sequence=number, expires=0.2))
    threading.Event().wait(0.5)
    site.cut(is_cut=False)
    fresh = step(link, job="fresh", sequence=99).replace(plan="hosted:look")
    link.ask(fresh, 20.0)  # what was sent before has come, for messages overtake none
    assert inside(site)._gate.jobs == {"fresh"}
    link.close()


def test_a_step_goes_on_when_its_line_is_reset(site: Site) -> None:
    """Well within the lease: both ends make the connection anew, and what was told in between is told again."""
    inside(site)._lab.doser.seconds = 1.0
    with site.inn.lab(site.address, lease=30.0) as lab:
        session = Run(lab, site.folder, 1)
        until(lambda: doses(site.folder))
        for line in site.lines:
            line.reset()
        assert session.wait().status == "finished"
    assert [trial.state for trial in view_of(site.folder).trials] == [TrialState.COMPLETED]
    assert doses(site.folder) == Counter([1])


def test_a_step_whose_answer_is_lost_is_said_again_and_done_once(site: Site) -> None:
    answer = inside(site)._send
    lost: list[str] = []

    def losing(to: Any, number: bytes, message: Any) -> None:
        if message.kind == "accepted" and not lost:
            lost.append(message.job)
            return
        answer(to, number, message)

    inside(site)._send = losing
    with site.inn.lab(lease=30.0) as lab:
        assert hosted.campaign_on(lab, site.folder).run(trials=1).status == "finished"
    assert lost
    assert [trial.state for trial in view_of(site.folder).trials] == [TrialState.COMPLETED]
    assert doses(site.folder) == Counter([1])


def test_a_step_of_which_no_answer_comes_twice_is_aborted(site: Site, monkeypatch: Any) -> None:
    answer = inside(site)._send

    def losing(to: Any, number: bytes, message: Any) -> None:
        if message.kind not in {"accepted", "acted"}:
            answer(to, number, message)

    inside(site)._send = losing
    for name in ("AGAIN", "REPLY_TIMEOUT"):
        monkeypatch.setattr(f"sdl.lab.remote.station.{name}", 0.3)
    with site.inn.lab(lease=600.0) as lab:
        hosted.campaign_on(lab, site.folder).run(trials=1)
        deadline = time.monotonic() + 60.0
        while inside(site)._station.is_busy:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert doses(site.folder) == Counter()


def test_a_station_that_is_told_to_end_does_not_wait_for_an_engine_that_says_nothing(site: Site) -> None:
    link = site.inn.link(lease=600.0)
    link.ask(step(link))  # its act waits for a word that never comes
    assert link.event(20.0) is not None
    began = time.monotonic()
    site.inn.close()
    assert time.monotonic() - began < 30.0
    link.close()
    site.inn.open()


def test_messages_that_come_twice_and_out_of_order_are_acted_on_once(tmp_path: Path) -> None:
    (tmp_path / "stations").mkdir(mode=0o700)
    server = StationServer(hosted.HostedLab(str(tmp_path)), "cell", tmp_path / "stations")
    thread = threading.Thread(target=server.serve)
    thread.start()
    meddlers = [Meddler(point) for point in server.points]
    lab = hosted.HostedLab(str(tmp_path))
    address = Address(meddlers[0].point, meddlers[1].point)
    lab.stations = MappingProxyType({"cell": RemoteStation(lab.stations["cell"], lab, address, child=None, lease=10.0)})
    try:
        with lab:
            assert hosted.campaign_on(lab, tmp_path).run(trials=2).status == "finished"
    finally:
        for meddler in meddlers:
            meddler.close()
        server.end()
        thread.join()
    assert meddlers[0].n_passed > 20
    assert [trial.state for trial in view_of(tmp_path).trials] == [TrialState.COMPLETED] * 2
    assert doses(tmp_path) == Counter([1, 2])


def test_what_was_said_before_and_is_said_again_by_one_who_may_is_not_done(site: Site, monkeypatch: Any) -> None:
    """Every message of a campaign, word for word, in the same epoch and in a new one, by a client with all roles."""
    said: list[Any] = []
    send = Link.send

    def noting(link: Link, message: Any) -> bytes:
        said.append(message)
        return send(link, message)

    monkeypatch.setattr(Link, "send", noting)
    with site.inn.lab() as lab:
        assert hosted.campaign_on(lab, site.folder).run(trials=2).status == "finished"
    monkeypatch.undo()
    assert {message.kind for message in said} == {"hello", "run", "ack", "bye"}
    known = set(inside(site)._gate.jobs), dict(inside(site)._gate.acts)
    address = site.inn.address()
    last = max(message.epoch for message in said)
    link: Any = Link("cell", address, Session(said[0].store, last, 5.0), lambda: True, time.monotonic)
    deadline = time.monotonic() + 20.0
    for newer in (0, 1):
        for message in said:
            if message.kind == "bye":
                continue
            link._sent(message.replace(epoch=message.epoch + newer), deadline)
    link._sent(Look(), deadline)
    kinds: Counter[str] = Counter()
    while not kinds["seen"]:
        assert time.monotonic() < deadline
        found = link._receive(0.1)  # every answer, not only those that are due
        kinds[found[1].kind if found else ""] += 1
    link.close()
    assert kinds["refused"] >= 4
    gate = inside(site)._gate
    assert (set(gate.jobs), dict(gate.acts)) == known
    assert doses(site.folder) == Counter([1, 2])


def test_a_person_takes_the_station_in_the_middle_of_an_act(slow: Site) -> None:
    """The devices stop although the engine knows nothing of it; when it does, the act is unknown, and it is let out."""
    with slow.inn.lab(slow.address, lease=60.0) as lab:
        session = Run(lab, slow.folder, 2)
        until(lambda: doses(slow.folder))
        slow.cut()
        found = slow.inn.say("administrator", Take(by="Kim", because="a noise"))
        told = "Kim (key administrator) has taken the station by hand: a noise"
        assert (found.by_hand, found.reason, found.is_held) == (told, told, False)
        until(lambda: hosted.noted(slow.folder / "stops"))
        assert not bodies(slow.folder, ActEnded)
        slow.cut(is_cut=False)
        with pytest.raises(Exception, match="has taken the station by hand"):
            _raise(session)
    assert [body.outcome for body in bodies(slow.folder, ActEnded)] == ["unknown"]
    assert doses(slow.folder) == Counter([1])


def _raise(session: Run) -> None:
    ended = session.wait()
    raise RuntimeError(ended.reason)


def test_another_store_gets_a_station_from_an_administrator_only_and_not_while_it_is_held(site: Site) -> None:
    link = site.inn.link()
    transfer = Transfer(by="Kim", because="the old store is archived")
    assert site.inn.say("administrator", transfer).code == "busy"
    link.close()
    inside(site)._gate.is_held = False  # as when its lease has ended
    assert site.inn.say("engine", transfer).code == "role"
    assert (site.inn.say("administrator", transfer).store, site.inn.say("reader", Look()).epoch) == ("", 0)


def test_an_answer_of_another_boot_is_none(site: Site) -> None:
    link = site.inn.link()
    link.boot = "of yesterday"
    with pytest.raises(StationLost, match="it was started anew"):
        link.ask(step(link, job="of yesterday"))
    link.close()


def test_what_was_set_up_before_a_station_was_started_anew_is_not_relied_on(site: Site) -> None:
    """The next step of the same trial does not begin; those of other trials do."""
    with site.inn.lab(site.address, lease=10.0) as lab:
        station: Any = lab.stations["cell"]
        journal = MemoryJournal()
        versions = {"sdl": "0"}
        began = SessionStarted(session=1, is_virtual=False, host="here", pid=1, versions=versions)
        journal.append(Entry(began, "c"))
        station.enter(journal)

        def run(trial: int, name: str) -> Any:
            settings = sdl.Settings({"x": 0.5}, trial=trial, attempt=1)
            md: dict[str, JsonValue] = {"campaign": "c", "trial": trial, "attempt": 1, "step": name}
            return station.run(Job(partial(hosted.idle, lab, settings), md=md))

        assert run(1, "heat").error is None
        site.reopen()
        until(lambda: station._link.lost)
        error = run(1, "measure").error
        assert isinstance(error, DeviceError)
        assert "was started anew or latched since step heat of this trial" in str(error)
        assert run(2, "heat").error is None
        assert run(2, "measure").error is None


def test_a_station_is_not_taken_for_another_one(site: Site) -> None:
    link = Link("oven", site.inn.address(), Session("s", 1, 5.0), lambda: True, time.monotonic)
    with pytest.raises(StationRefused, match="this is station cell, and not oven"):
        link.open(20.0)
    link.close()
    assert site.inn.say("reader", Look()).epoch == 0


class Jumping(sdl.WallClock):
    """A wall clock that somebody sets, an hour back and forth."""

    def __init__(self) -> None:
        super().__init__()
        self.jump = 0.0

    def time(self) -> float:
        return super().time() + self.jump


def test_a_clock_that_is_set_ends_no_lease_and_makes_no_command_late(tmp_path: Path) -> None:
    clock = Jumping()
    inn = Inn(tmp_path, clock=clock)
    try:
        with inn.lab(lease=5.0) as lab:
            campaign = hosted.campaign_on(lab, tmp_path)
            for trials, jump in ((1, 3600.0), (2, -3600.0), (3, 0.0)):
                assert campaign.run(trials=trials).status == "finished"
                clock.jump = jump
    finally:
        inn.close()
    assert doses(tmp_path) == Counter([1, 2, 3])


def test_clocks_that_drift_apart_make_no_command_late_after_weeks() -> None:
    """The station's clock gains 100 µs a second; each answer is on its way for 1 to 20 ms."""
    offset = Offset()
    for beat in range(20_000):
        ours = 60.0 * beat
        theirs = 7.0 + ours * (1 + 1e-4)
        offset.note(theirs - 0.001 * (1 + beat % 20), ours)
        assert theirs - 0.5 < ours + offset.least < theirs
