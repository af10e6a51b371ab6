"""What goes over the wire to a station, and what is refused before anything goes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bluesky.plan_stubs as bps
import hosted
import numpy as np
import pytest
import zmq
from guests import say
from hypothesis import given
from hypothesis import strategies as st

import sdl
from sdl.errors import DeviceError, LabError
from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.trust import Quality
from sdl.lab import Interlock
from sdl.lab.job import Job, JobResult
from sdl.lab.remote import host
from sdl.lab.remote.attempt import Attempt
from sdl.lab.remote.data import error_from_data, error_to_data, from_data, given_from_data, given_to_data, to_data
from sdl.lab.remote.errand import Errand
from sdl.lab.remote.link import Link, Session, StationRefused
from sdl.lab.remote.messages import (
    MAX_MESSAGE,
    Accepted,
    Ack,
    Acted,
    Ask,
    Beat,
    Event,
    Finished,
    Look,
    Malformed,
    Run,
    decode,
    encode,
)
from sdl.lab.remote.plans import taken_apart
from sdl.lab.remote.server import StationServer
from sdl.lab.remote.sockets import Address, check_point, connected, prepare_folder
from sdl.lab.remote.stream import Stream
from sdl.problem import units


@given(st.binary(max_size=200))
def test_garbage_is_no_message(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_a_message_is_the_same_on_the_other_side_and_strict() -> None:
    beat = Beat(store="s", epoch=3, boot="b")
    assert decode(encode(beat)) == beat
    assert decode(encode(beat)).kind == "beat"
    import msgpack  # type: ignore[import-untyped]

    for wrong in ({"epoch": "3"}, {"epoch": True}, {"more": 1}, {"kind": "shell"}):
        with pytest.raises(Malformed):
            decode(msgpack.packb({**beat.model_dump(), **wrong}) or b"")


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(LabError, match="bytes"):
        encode(Beat(store="s" * MAX_MESSAGE, epoch=1, boot="b"))


def test_what_cannot_be_sent_fails_in_the_step_and_takes_no_number() -> None:
    stream = Stream(lambda: None, time.monotonic)
    work = Attempt(
        cast("Any", SimpleNamespace(job="j", setup="")), stream, cast("Any", None), threading.RLock(), time.monotonic
    )
    for odd in ("\ud800", "x" * MAX_MESSAGE, 2**70):
        with pytest.raises(LabError):
            work.document("event", {"data": odd})
    work.done(JobResult("x" * MAX_MESSAGE, None, ("run",), 0.0, 1.0, False))
    (event,) = stream.due()
    assert isinstance(event, Finished)
    assert event.number == 1
    assert "bytes" in (event.error or {})["message"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    import json

    assert from_data(json.loads(json.dumps(to_data(value), allow_nan=False))) == value


def test_measurements_quantities_and_arrays_come_back() -> None:
    value = {"m": sdl.Measurement(1.0, "V", standard_error=0.1), "a": np.arange(6.0).reshape(2, 3), "n": np.int64(3)}
    back = from_data(to_data(value))
    assert back["m"] == value["m"]
    assert np.array_equal(back["a"], np.arange(6.0).reshape(2, 3))
    assert back["n"].dtype == np.int64
    quantity = units.quantity(2.5, "mL")
    assert from_data(to_data(quantity)) == quantity
    with pytest.raises(LabError, match="cannot leave the station's process"):
        to_data(object())


def test_a_plan_elsewhere_is_told_of_its_samples_what_one_here_is() -> None:
    one = sdl.Settings({"x": 1.0}, trial=3, role="control", station="cell", results={"look": 1}, judge=_doubt)
    found = given_from_data(json.loads(json.dumps(given_to_data((one, sdl.Settings({"x": 2.0}, trial=4))))))
    assert isinstance(found, tuple)
    assert [each.trial for each in found] == [3, 4]
    assert (found[0].role, found[0].station, found[0].quality("look")) == ("control", "cell", Quality.SUSPECT)
    with pytest.raises(Malformed, match="batch of nothing"):
        given_from_data({"batch": []})


def _doubt(_: str) -> Quality:
    return Quality.SUSPECT


def test_errors_keep_their_kind() -> None:
    for error in (DeviceError("it clogged", hint="clean it"), ValueError("no")):
        back = error_from_data(error_to_data(error))
        assert type(back) is type(error)
        assert str(back) == str(error)
    odd = error_from_data({"type": "SystemExit", "message": "1", "hint": ""})
    assert type(odd) is LabError


def test_a_plan_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    import functools

    def inner(lab: Any, s: sdl.Settings) -> Any:
        yield

    lab, settings = hosted.HostedLab(str(tmp_path)), sdl.Settings({"x": 1.0})
    with pytest.raises(LabError, match="cannot import the plan"):
        taken_apart(Job(functools.partial(inner, lab, settings)))
    assert taken_apart(Job(functools.partial(hosted.dose, lab, settings)))[0] == "hosted:dose"
    lab.close()


def test_only_this_host(tmp_path: Path) -> None:
    for point in ("tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://10.0.0.1:1", "ipc://relative", "inproc://x"):
        with pytest.raises(LabError, match="a station cannot be at"):
            check_point(point)
    with pytest.raises(LabError, match="longer than"):
        Address.under(tmp_path / ("x" * 120), "cell")
    tmp_path.chmod(0o777)
    with pytest.raises(LabError, match="can be written by others"):
        prepare_folder(tmp_path)


def test_a_laboratory_that_cannot_be_in_two_processes_is_refused(tmp_path: Path) -> None:
    virtual = hosted.HostedLab(str(tmp_path), clock=sdl.VirtualClock())
    with pytest.raises(LabError, match="virtual time does not pass in two processes"):
        host(virtual, "hosted:HostedLab", folder=tmp_path / "stations")
    virtual.close()
    lab = hosted.HostedLab(str(tmp_path))
    lab.doser.safe_action = None
    with pytest.raises(LabError, match="nobody has said what doser of station cell does"):
        host(lab, "hosted:HostedLab", folder=tmp_path / "stations")
    lab.close()


def idle(lab: sdl.Lab, s: sdl.Settings) -> hosted.Plan:
    yield from bps.null()
    return 7


class TwoRooms(sdl.Lab):
    """A doser that an interlock holds to a detector, in two stations, and a third station with another doser."""

    def __init__(self, folder: str) -> None:
        place = Path(folder)
        super().__init__(
            "two rooms",
            stations={"cell": ["doser"], "eye": ["detector"], "store": ["other"]},
            interlocks=[Interlock("dark", require="detector < 5 V", acts_on=("doser",))],
            doser=hosted.Doser("doser", place, 0.02, has_probe=False),
            detector=hosted.Detector("detector", place),
            other=hosted.Doser("other", place, 0.02, has_probe=False),
        )


def test_the_other_stations_may_move_out(tmp_path: Path) -> None:
    """The rule is watched here all the same: no station in another process has a part in it."""
    with TwoRooms(str(tmp_path)) as lab:
        host(lab, "rooms:TwoRooms", stations=["store"], folder=tmp_path / "stations")
        hosted.note(tmp_path / "truth", value=0.3)
        assert lab.run(idle, station="cell") == 7
        hosted.note(tmp_path / "truth", value=3.0)  # the detector answers (3 - 0.3)²
        deadline = time.monotonic() + 10.0
        while not hosted.noted(tmp_path / "stops") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert hosted.noted(tmp_path / "stops")
        assert [latch.station for latch in lab.latches] == ["cell"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """A station on a thread; the folder of its sockets."""
    made = StationServer(hosted.HostedLab(str(tmp_path)), "cell", tmp_path / "stations")
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield tmp_path / "stations"
    made.end()
    thread.join()


def link_to(folder: Path, *, store: str = "s", epoch: int = 1) -> Link:
    session = Session(store, epoch, 5.0)
    link = Link("cell", Address.under(folder, "cell"), session, lambda: True, time.monotonic)
    try:
        link.open(60.0)
    except BaseException:
        link.close()
        raise
    return link


def step(link: Link, *, job: str = "job", sequence: int = 1, epoch: int = 1, expires: float = 5.0) -> Run:
    return Run(
        job=job,
        boot=link.boot,
        store="s",
        epoch=epoch,
        sequence=sequence,
        expires=link.expires(expires),
        plan="hosted:dose",
        settings={
            "values": {"x": 0.5},
            "units": {},
            "trial": 1,
            "attempt": 1,
            "results": {},
            "positions": {},
            "acts": [],
        },
        md={"campaign": "c", "trial": 1, "attempt": 1, "step": "dose"},
        timeout=None,
        n_acts_before=0,
        mark="m",
    )


def test_a_station_that_knows_other_rules_is_let_go_before_anything_moves(server: Path) -> None:
    with hosted.hosted_lab(server.parent, is_started_here=False) as lab:
        lab.add_interlocks(Interlock("enough", require="detector < 5 V", acts_on=("doser",)))
        with pytest.raises(LabError, match="station cell knows other limits, interlocks or safe actions"):
            hosted.campaign_on(lab, server.parent).run(trials=1)
    seen = say(Address.under(server, "cell").work, Look(), None)
    assert (seen.is_held, seen.latch) == (False, "")  # it misses nobody


def test_a_step_that_is_delivered_twice_late_or_from_a_dead_epoch_is_begun_once(server: Path) -> None:
    link = link_to(server)
    late = step(link, job="late", expires=-1.0)
    with pytest.raises(StationRefused, match="too late"):
        link.ask(late)
    first = step(link)
    assert link.ask(first) == Accepted(job="job")
    assert link.ask(first) == Accepted(job="job")
    assert link.event(5.0) is not None
    with pytest.raises(StationRefused, match="under way"):
        link.ask(step(link, job="other", sequence=1))
    # The engine never says that it has recorded the intent: nothing is done.
    assert link.ask(Ask(store="s", epoch=1, campaign="c", act="1.1.dose.1", mark="m")).state == "never"
    for act, mark in (("of another book", "m"), ("1.1.dose.1", "of a trial that a restored store has lost")):
        assert link.ask(Ask(store="s", epoch=1, campaign="c", act=act, mark=mark)).state == "missing"
    link.close()
    newer = link_to(server, epoch=2)
    with pytest.raises(StationRefused, match="epoch 1 is over"):
        newer.ask(first)
    newer.close()
    with pytest.raises(StationRefused, match="epoch 1 is over"):
        link_to(server, epoch=1)
    with pytest.raises(StationRefused, match="belongs to store s"):
        link_to(server, store="another")
    for store, epoch in (("another", 3), ("s", 1)):  # a restored store, too, is told the way out
        with pytest.raises(StationRefused, match="--transfer --by NAME --because TEXT"):
            link_to(server, store=store, epoch=epoch)
    assert not hosted.noted(server.parent / "truth")


def test_a_station_serves_on_after_garbage(server: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    address = Address.under(server, "cell")
    for point in (address.work, address.pulse):
        stranger = connected(context, point)
        deadline = time.monotonic() + 5.0
        while not stranger.poll(0, zmq.POLLOUT):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for frames in ([b""], [b"1", b"\xc1"], [b"1", b"2", b"3"], [b"1", b"\x80\x04]\x94."]):
            stranger.send_multipart(frames)
        stranger.close()
    context.term()
    link = link_to(server)
    assert link.boot
    link.close()


def lately(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30.0
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_station_whose_serving_fails_is_made_safe_and_latched(tmp_path: Path, monkeypatch: Any) -> None:
    made = StationServer(hosted.HostedLab(str(tmp_path)), "cell", tmp_path / "stations")
    errors: list[str] = []

    def serve() -> None:
        try:
            made.serve()
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    link = link_to(tmp_path / "stations")
    link.ask(step(link))
    monkeypatch.setattr(made, "_turn", (tmp_path / "none").read_bytes)
    thread.join(60.0)
    link.close()
    assert errors
    assert hosted.noted(tmp_path / "stops")
    again = StationServer(hosted.HostedLab(str(tmp_path)), "cell", tmp_path / "stations")
    thread = threading.Thread(target=again.serve)
    thread.start()
    assert "has failed" in again.look()[0].reason
    again.end()
    thread.join()


def test_a_heartbeat_that_fails_at_either_end_is_no_life(tmp_path: Path, monkeypatch: Any) -> None:
    made = StationServer(hosted.HostedLab(str(tmp_path)), "cell", tmp_path / "stations")
    thread = threading.Thread(target=made.serve)
    thread.start()
    first = link_to(tmp_path / "stations")
    monkeypatch.setattr(first, "_beat_to_say", lambda: Beat(store="\ud800", epoch=1, boot="b"))
    lately(lambda: "cannot be sent" in first.lost)
    first.close()
    session = Session("s", 2, 0.5)
    second = Link("cell", Address.under(tmp_path / "stations", "cell"), session, lambda: True, time.monotonic)
    monkeypatch.setattr(made, "_felt", lambda _letter: int("no"))
    second.open(60.0)
    lately(lambda: made.look()[0].latch)  # nobody hears it, and its lease ends
    second.close()
    made.end()
    thread.join()


class Wire:
    """A link that keeps what is sent over it."""

    session = Session("s", 1, 1.0)

    def __init__(self) -> None:
        self.sent: list[Ack] = []

    def send(self, message: Ack) -> None:
        self.sent.append(message)

    def expires(self, seconds: float) -> float:
        return seconds


class Kept:
    """A job, and what is recorded of it."""

    def __init__(self, number: int) -> None:
        self.recorded: list[Any] = []
        self.job = Job(
            lambda: iter(()),  # type: ignore[arg-type, return-value] # it is never run here
            md={"trial": number},
            on_document=lambda name, document: self.recorded.append((name, document)),
            on_act=self.recorded.append,
        )
        self.errand = Errand(self.job, time.monotonic)
        self.wire = Wire()

    def take(self, event: Event, job: str) -> Any:
        return self.errand.take(event, job, self.wire)  # type: ignore[arg-type] # as much of a link as it needs


def answers(job: str, act: str, value: float) -> list[Event]:
    """Return what a station says of a step with one act."""
    intended = ActIntended(
        act=act, step="dose", attempt=1, device="doser", action_class="cumulative", station="cell", verb="set"
    )
    return [
        Acted(job=job, number=1, body=intended),
        Acted(job=job, number=2, body=ActEnded(act=act, outcome="done", seconds=1.0)),
        Finished(job=job, number=3, value=value, error=None, runs=(), started=0.0, ended=1.0, is_aborted=False),
    ]


@given(st.integers(0, 2))
def test_answers_of_two_steps_that_are_swapped_are_taken_for_neither(n_before: int) -> None:
    """They come to the wrong step from a certain one on: no result, nothing recorded, and what was begun is unknown."""
    kept = {"a": Kept(1), "b": Kept(2)}
    said = {"a": answers("a", "1.1.dose.1", 1.0), "b": answers("b", "2.1.dose.1", 2.0)}
    for number in range(3):
        for job, other in (("a", "b"), ("b", "a")):
            event = said[job if number < n_before else other][number]
            assert kept[job].take(event, job) is None
    for each in kept.values():
        assert len(each.recorded) == len(each.wire.sent) == n_before
        each.errand.give_up("the station is lost")
        outcomes = [body.outcome for body in each.recorded if isinstance(body, ActEnded)]
        assert outcomes == [[], ["unknown"], ["done"]][n_before]


def test_answers_in_their_order_are_taken() -> None:
    """Without this, the test above could pass because nothing ever is."""
    kept = Kept(1)
    *before, last = answers("a", "1.1.dose.1", 1.5)
    assert [kept.take(event, "a") for event in before] == [None, None]
    assert kept.take(last, "a").value == 1.5
