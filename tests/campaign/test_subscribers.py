"""Our documents are what event-model says, and whoever looks on gets them without being able to disturb."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no types
import pytest
from bluesky.callbacks import LiveTable
from bluesky.callbacks.core import CallbackBase
from bluesky.callbacks.zmq import RemoteDispatcher
from event_model import DocumentNames, schema_validators
from event_model.documents import RunStart
from toy import ToyLab, bodies, toy_campaign

import sdl
from sdl.commands.run import run
from sdl.errors import LabError, ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.records import Comment, DocumentEmitted
from sdl.lab.documents import NotFinite, plain
from sdl.lab.stream import DocumentStream
from sdl.lab.subscribers import Subscribers
from sdl.planners import SobolPlanner
from sdl.simulators import MobileChemistLab, ThinFilmLab

Told = tuple[str, dict[str, Any]]


def documents(journal: Any) -> list[Told]:
    found = bodies(journal, DocumentEmitted)
    return [(each.name, plain(each.document)) for each in found]


def test_a_late_subscriber_hears_no_part_of_a_run_that_had_begun() -> None:
    heard: list[str] = []
    subscribers = Subscribers(is_virtual=True)

    def tell(run: str, *names: str) -> None:
        for name in names:
            event = {"descriptor": f"{run}-d", "data": {}}
            key = {"start": {}, "event": event}.get(name, {"run_start": run, "data_keys": {}})
            uid = {"start": run, "descriptor": f"{run}-d"}.get(name, f"{run}-{name}")
            subscribers.publish(name, {"uid": uid, **key})

    subscribers.add(lambda _name, _document: None, "all")
    tell("early", "start", "descriptor")
    subscribers.add(lambda _name, document: heard.append(document["uid"]), "all")
    tell("late", "start")
    tell("early", "event", "stop")
    tell("late", "descriptor", "event", "stop")
    assert subscribers.settle() == []
    subscribers.close()
    assert heard == ["late", "late-d", "late-event", "late-stop"]


def check_against_schemas(told: list[Told]) -> Counter[str]:
    """Validate each document as bluesky would write it, and that each belongs to what came before."""
    known: set[str] = set()
    for name, document in told:
        schema_validators[DocumentNames[name]].validate(document)
        known.add(document["uid"])
        assert document.get("run_start", document["uid"]) in known
        assert document.get("descriptor", document["uid"]) in known
    return Counter(name for name, _ in told)


def test_every_document_of_a_campaign_is_valid() -> None:
    journal = MemoryJournal()
    with ThinFilmLab(seed=3) as lab:
        campaign = sdl.Campaign(
            "films",
            space=lab.space(),
            objective=lab.objective,
            planner=SobolPlanner(),
            experiment=lab.deposit_and_measure,
            lab=lab,
            journal=journal,
            progress=False,
        )
        campaign.run(trials=3)
    told = documents(journal)
    n = check_against_schemas(told)
    assert n["start"] == n["stop"] >= 3
    assert n["event"] >= 3
    assert {document["campaign"] for name, document in told if name == "start"} == {"films"}
    assert [document["trial"] for name, document in told if name == "start"] == sorted([1, 2, 3] * (n["start"] // 3))


def test_callbacks_are_told_what_the_journal_has() -> None:
    told: list[Told] = []
    only_stops: list[Told] = []
    journal = MemoryJournal()
    with ToyLab() as lab:
        lab.subscribe(lambda name, document: told.append((name, document)))
        number = lab.subscribe(lambda name, document: only_stops.append((name, document)), "stop")
        toy_campaign(lab, journal=journal).run(trials=2)
        lab.unsubscribe(number)
        with pytest.raises(LabError, match="no callback has the number"):
            lab.unsubscribe(number)
        toy_campaign(lab, journal=journal).run(trials=3)
    assert told == documents(journal)
    assert [name for name, _ in only_stops] == ["stop", "stop"]


class Complaining(CallbackBase):
    def event(self, doc: Any) -> Any:
        raise ValueError("no room on the plot")


def test_a_callback_that_raises_is_told_of_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    journal = MemoryJournal()
    with ToyLab() as lab, caplog.at_level(logging.ERROR):
        lab.subscribe(Complaining())
        ended = toy_campaign(lab, journal=journal).run(trials=3)
    assert ended.status == "finished"
    (comment,) = bodies(journal, Comment)
    assert comment.text.startswith("callback Complaining failed 3 times, first: ValueError at a document 'event'")
    assert [record.message for record in caplog.records] == [
        "callback Complaining: ValueError at a document 'event': no room on the plot"
    ]


def test_a_slow_callback_holds_up_no_device() -> None:
    """On a wall clock: the campaign goes on while a callback hangs, and the end waits for it only so long."""
    hangs, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow(name: str, document: dict[str, Any]) -> None:
        seen.append(name)
        hangs.set()
        go_on.wait(60)

    with ToyLab(seconds=0.0, clock=sdl.WallClock()) as lab:
        lab.detector0.settle = 0.0
        lab.subscribe(slow)
        done = threading.Event()
        lab.subscribe(lambda name, document: done.set() if name == "stop" else None)
        campaign = toy_campaign(lab, planner_place="thread")
        runner = threading.Thread(target=campaign.run, kwargs={"trials": 1})
        runner.start()
        try:
            assert hangs.wait(60)  # each callback has a thread of its own
            assert done.wait(60), "the run did not end while a callback hung"
            assert seen == ["start"]
        finally:
            go_on.set()
            runner.join(60)
    assert seen == ["start", "descriptor", "event", "stop"]


def test_bluesky_s_live_table_looks_on() -> None:
    lines: list[str] = []
    with ToyLab() as lab:
        table: Any = LiveTable
        lab.subscribe(table(["detector0"], out=lines.append))
        toy_campaign(lab).run(trials=1)
    assert any("detector0" in line for line in lines)
    assert sum(line.startswith("|         1 |") for line in lines) == 1


def test_numbers_that_json_lacks_come_back_as_numbers() -> None:
    back = NotFinite()
    run = plain(RunStart(uid="r", time=0.0))
    key = {"source": "toy", "dtype": "number", "shape": []}
    for name, document in (
        ("start", run),
        ("descriptor", {"uid": "d", "run_start": "r", "data_keys": {"a": key, "b": {**key, "dtype": "string"}}}),
    ):
        assert back(name, document) is document
    data = plain({"a": math.nan, "b": "NaN"})
    told = back("event", {"descriptor": "d", "data": data})["data"]
    assert math.isnan(told["a"])
    assert told["b"] == "NaN"


class Viewer:
    """Bluesky's own RemoteDispatcher on a thread: what a live viewer is."""

    def __init__(self, address: str) -> None:
        self.told: list[Told] = []
        dispatcher: Any = RemoteDispatcher
        self._dispatcher = dispatcher(address.removeprefix("tcp://"), deserializer=msgpack.unpackb)
        self._dispatcher.subscribe(lambda name, document: self.told.append((name, document)))
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._dispatcher.start()

    def wait(self, is_there: Callable[[list[Told]], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_there(self.told):
            assert time.monotonic() < deadline, f"only {Counter(name for name, _ in self.told)} came"
            time.sleep(0.01)

    def close(self) -> None:
        loop = self._dispatcher.loop
        loop.call_soon_threadsafe(self._dispatcher._task.cancel)
        self._thread.join(60)


def test_a_viewer_in_another_process_gets_the_documents_in_msgpack() -> None:
    journal = MemoryJournal()
    with DocumentStream() as stream, ToyLab() as lab:
        viewer = Viewer(stream.address)
        try:
            while not any(name == "start" for name, _ in viewer.told):  # until it is connected
                stream("start", plain(RunStart(uid="hello", time=0.0)))
                time.sleep(0.02)
            lab.subscribe(stream)
            toy_campaign(lab, journal=journal).run(trials=2)
            viewer.wait(lambda told: sum(name == "stop" for name, _ in told) == 2)
        finally:
            viewer.close()
    told = [(name, document) for name, document in viewer.told if document["uid"] != "hello"]
    assert told == documents(journal)


@pytest.mark.parametrize(
    ("address", "says"),
    [("tcp://0.0.0.0:5578", "beyond this host"), ("127.0.0.1:5578", "no address"), ("tcp://127.0.0.1:http", "no addr")],
)
def test_a_stream_stays_on_this_host_unless_told(address: str, says: str) -> None:
    with pytest.raises(LabError, match=says):
        DocumentStream(address)


def test_an_address_that_is_taken_is_said() -> None:
    with DocumentStream() as stream, pytest.raises(LabError, match="cannot be published at"):
        DocumentStream(stream.address)


def test_documents_of_a_workflow_of_several_stations_are_valid() -> None:
    journal = MemoryJournal()
    with MobileChemistLab(seed=1) as lab:
        campaign = sdl.Campaign(
            "vials",
            space=lab.space(),
            objective=lab.objective,
            planner=SobolPlanner(),
            experiment=lab.experiment(),
            lab=lab,
            journal=journal,
            progress=False,
        )
        campaign.run(trials=2)
    n = check_against_schemas(documents(journal))
    assert n["start"] == n["stop"] > 2


def test_sdl_run_publishes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file, script = tmp_path / "films.yaml", tmp_path / "films.py"
    file.write_text("name: films\nlab: thin-film\nplanner: sobol\nbudget: {trials: 1}\n")
    script.write_text("")
    run(file, (), None, "tcp://127.0.0.1:0")
    assert "documents at tcp://127.0.0.1:" in capsys.readouterr().out
    with pytest.raises(ProblemError, match="a script says by itself"):
        run(script, (), None, "tcp://127.0.0.1:0")
