"""Steps on an existing queue server: the campaign's record, lost answers, aborts, and a real server with its Redis."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import pytest
from queue_bench import FakeServer, SlowServer, queue_server_process, why_not

import sdl
from sdl.campaign import History, Situation, Suggestion
from sdl.errors import InterlockError, LabError
from sdl.journal import MemoryJournal
from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.records import DocumentEmitted
from sdl.journal.safety import LatchSet
from sdl.lab.actions import ActionClass, ActRecord
from sdl.lab.job import Job, JobResult
from sdl.lab.latches import Latch
from sdl.lab.listener import Runs
from sdl.lab.queueserver import QueuePlan, QueueServer, QueueServerStation, queue_server
from sdl.lab.stream import DocumentStream
from sdl.planners import SobolPlanner
from sdl.planners.space_filling import blank_decision
from sdl.problem import Problem

pytest.importorskip("bluesky_queueserver", reason="needs the client: pip install 'sdl[queueserver]'")

FAST = {"silence": 0.5, "documents_timeout": 0.5, "idle_timeout": 60.0}


def arguments(s: sdl.Settings) -> dict[str, Any]:
    return {"x": s["x"]}


def outcomes(runs: Runs) -> dict[str, sdl.Measurement]:
    (value,) = runs.data("detector")
    return {"signal": sdl.Measurement(value, "V")}


MEASURE = QueuePlan("measure", arguments, outcomes)


def campaign(lab: sdl.Lab, journal: MemoryJournal, **changes: Any) -> sdl.Campaign:
    options: dict[str, Any] = {"planner": SobolPlanner(), "planner_place": "thread", "on_unknown": "ask"}
    return sdl.Campaign(
        "queued",
        space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        objective=sdl.Minimize("signal", unit="V"),
        experiment=sdl.Experiment(sdl.Step("scan", MEASURE, station="queue")),
        lab=lab,
        journal=journal,
        progress=False,
        **{**options, **changes},
    )


class Listed:
    """Proposes three points; at the second one the plan fails."""

    name = "listed"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        x = (0.1, 0.95, 0.3)[len(history.entries)]
        return [Suggestion(values={"x": x}, decision=blank_decision(self.name, "1", history, seed, ""))]


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with DocumentStream() as stream:
        yield FakeServer(stream)


def lab_of(fake: FakeServer) -> sdl.Lab:
    """A laboratory whose queue server is *fake*: only the client that speaks to it is another."""
    lab = queue_server(sdl.Lab("beamline", stations={"queue": []}), "queue", "tcp://127.0.0.1:1", fake.stream.address)
    station: Any = lab.stations["queue"]
    station._server = QueueServer("tcp://127.0.0.1:1", fake.stream.address, **FAST)  # type: ignore[arg-type] # numbers
    station._client = lambda: contextlib.nullcontext(fake)
    return lab


def signal(trial: sdl.Trial) -> float:
    assert trial.observation is not None
    return trial.observation.outcomes["signal"].value


def acts(journal: MemoryJournal) -> list[str]:
    found = [event.body for event in journal.read(kinds=("act.intended", "act.ended"))]
    return [each.outcome if isinstance(each, ActEnded) else "intended" for each in found]


def test_a_campaign_runs_its_steps_on_a_queue_server(fake: FakeServer) -> None:
    journal = MemoryJournal()
    with lab_of(fake) as lab:
        made = campaign(lab, journal)
        assert made.run(trials=2).status == "finished"
    assert [str(trial.failure) for trial in made.trials if trial.failure] == []
    assert [signal(trial) for trial in made.trials] == pytest.approx(
        [(item["kwargs"]["x"] - 0.3) ** 2 for item in fake.requests]
    )
    assert acts(journal) == ["intended", "done"] * 2
    bodies = [event.body for event in journal.read(kinds=("document",))]
    told = [(each.name, each.document) for each in bodies if isinstance(each, DocumentEmitted)]
    assert [name for name, _ in told] == ["start", "descriptor", "event", "stop"] * 2
    starts = [document for name, document in told if name == "start"]
    assert [(start["campaign"], start["trial"], start["step"]) for start in starts] == [
        ("queued", 1, "scan"),
        ("queued", 2, "scan"),
    ]
    assert len({str(start["sdl_act"]) for start in starts}) == 2


def test_an_answer_that_is_lost_is_found_in_the_history_and_nothing_is_sent_again(fake: FakeServer) -> None:
    fake.loses_answer = True
    journal = MemoryJournal()
    with lab_of(fake) as lab:
        assert campaign(lab, journal).run(trials=1).status == "finished"
    assert len(fake.requests) == 1
    assert acts(journal) == ["intended", "done"]


def test_a_request_of_which_nobody_knows_leaves_the_trial_unknown(fake: FakeServer) -> None:
    fake.loses_request = True
    journal = MemoryJournal()
    with lab_of(fake) as lab:
        made = campaign(lab, journal)
        made.run(trials=1)
    assert made.trials[0].state == "unknown"
    assert len(fake.requests) == 1
    assert acts(journal) == ["intended", "unknown"]


def test_documents_that_are_lost_make_no_result(fake: FakeServer) -> None:
    fake.loses_documents = frozenset({"event"})
    journal = MemoryJournal()
    with lab_of(fake) as lab:
        made = campaign(lab, journal)
        made.run(trials=1)
    (trial,) = made.trials
    assert trial.state == "failed"
    assert "are lost" in str(trial.failure)
    assert acts(journal) == ["intended", "done"]
    assert len(fake.requests) == 1


def test_what_the_server_refuses_did_not_begin(fake: FakeServer) -> None:
    fake.refuses = "Plan 'measure' is not in the list of allowed plans."
    journal = MemoryJournal()
    with lab_of(fake) as lab:
        made = campaign(lab, journal)
        made.run(trials=1)
    assert "not in the list of allowed plans" in str(made.trials[0].failure)
    assert acts(journal) == ["intended", "refused"]


@pytest.mark.parametrize("when", ["before it is sent", "while it is sent", "overtaken"])
def test_an_abort_at_any_moment_ends_our_plan_and_no_other(when: str) -> None:
    done: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
    with DocumentStream() as stream:
        fake = SlowServer(stream, is_overtaken=when == "overtaken")
        with lab_of(fake) as lab:
            station: Any = lab.stations["queue"]

            def abort(_: object = None) -> None:
                station.abort("a person said so")
                station._aborter.join(10.0)

            if when != "before it is sent":
                fake.on_execute = abort
            plan: Any = functools.partial(MEASURE, lab, sdl.Settings({"x": 0.5}))
            on_act = abort if when == "before it is sent" else lambda _: None
            station.submit(Job(plan, md={"trial": 1, "step": "scan"}, on_act=on_act, on_done=done.put))
            result = done.get(timeout=60.0)
    assert result.is_aborted
    assert len(fake.requests) == (0 if when == "before it is sent" else 1)
    wanted = {"before it is sent": [], "while it is sent": ["re_pause", "re_abort"], "overtaken": ["re_pause"]}
    assert fake.told == wanted[when]


def test_an_abort_while_a_step_waits_for_another_station_leaves_the_plan_of_somebody_else_alone() -> None:
    done: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
    is_over = threading.Event()
    with DocumentStream() as stream:
        fake = SlowServer(stream, state="executing_queue", running={"name": "measure", "meta": {"owner": "another"}})
        with lab_of(fake) as lab:
            station: Any = lab.stations["queue"]

            def hold() -> None:
                station.abort("a person said so")
                is_over.wait(60.0)

            plan: Any = functools.partial(MEASURE, lab, sdl.Settings({"x": 0.5}))
            station.submit(Job(plan, md={"trial": 1, "step": "scan"}, on_done=done.put, needs=("arm",), hold=hold))
            result = done.get(timeout=30.0)  # before the other station has answered
            is_over.set()
            station._aborter.join(10.0)
    assert result.is_aborted
    assert (fake.told, fake.requests) == ([], [])


@pytest.mark.parametrize("when", ["while another one is asked", "while the server is busy"])
def test_a_plan_does_not_begin_when_a_station_that_it_holds_was_latched_meanwhile(when: str) -> None:
    done: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
    acts: list[object] = []
    with DocumentStream() as stream:
        fake = SlowServer(stream, state="executing_queue")
        with lab_of(fake) as lab:
            station: Any = lab.stations["queue"]

            def latch() -> None:
                body = LatchSet(lab="beamline", station="arm", interlock="door", devices=(), reason="open")
                lab.interlocks.latches.append(Latch(body))
                fake.state = "idle"

            def ask(method: str, **params: Any) -> dict[str, Any]:
                if method == "status" and when == "while the server is busy" and fake.state != "idle":
                    latch()
                return SlowServer.ask(fake, method, **params)

            station._client = lambda: contextlib.nullcontext(Namespace(ask=ask))
            plan: Any = functools.partial(MEASURE, lab, sdl.Settings({"x": 0.5}))
            hold = latch if when == "while another one is asked" else lambda: None
            station.submit(
                Job(plan, md={"step": "scan"}, on_act=acts.append, on_done=done.put, needs=("arm",), hold=hold)
            )
            result = done.get(timeout=60.0)
    assert isinstance(result.error, InterlockError)
    assert (acts, fake.requests) == ([], [])


def test_a_plan_ends_when_a_station_that_it_holds_is_lost() -> None:
    done: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
    with DocumentStream() as stream:
        fake = SlowServer(stream, is_overtaken=False)
        with lab_of(fake) as lab:
            station: Any = lab.stations["queue"]

            def lose(_: object = None) -> None:
                lab.lose("arm", "it was silent")
                station._aborter.join(10.0)

            fake.on_execute = lose
            plan: Any = functools.partial(MEASURE, lab, sdl.Settings({"x": 0.5}))
            station.submit(Job(plan, md={"trial": 1, "step": "scan"}, on_done=done.put, needs=("arm",)))
            result = done.get(timeout=60.0)
    assert "station arm, which the step holds, is lost: it was silent" in str(result.error)
    assert not result.is_aborted
    assert fake.told == ["re_pause", "re_abort"]


def test_what_cannot_be_is_said_at_once(fake: FakeServer) -> None:
    with pytest.raises(LabError, match="virtual time"):
        queue_server(
            sdl.Lab("a", stations={"q": []}, clock=sdl.VirtualClock()), "q", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"
        )
    with pytest.raises(LabError, match="no station 'r' without devices"):
        queue_server(sdl.Lab("a", stations={"q": []}), "r", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    with pytest.raises(LabError, match="beyond this host"):
        queue_server(sdl.Lab("a", stations={"q": []}), "q", "tcp://example.org:60615", "tcp://127.0.0.1:2")
    with (
        sdl.Lab("plain", stations={"q": []}) as lab,
        pytest.raises(LabError, match="the plan measure is a queue server's"),
    ):
        lab.run(MEASURE, {"x": 0.5})


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.timeout(600)  # most of it is a server that starts
def test_a_real_queue_server_with_its_redis(tmp_path: Path) -> None:
    """A campaign, a plan that fails, one that is aborted in the middle, and what the history says of them."""
    with queue_server_process(tmp_path) as bench:
        lab = queue_server(sdl.Lab("beamline", stations={"queue": []}), "queue", bench.control, bench.documents)
        journal = MemoryJournal()
        with lab:
            made = campaign(lab, journal, planner=Listed())
            made.run(trials=3)
            assert [trial.state for trial in made.trials] == ["completed", "failed", "completed"]
            assert made.best is not None
            assert signal(made.best) == 0.0
            assert "the lamp is gone" in str(made.trials[1].failure)
            assert acts(journal) == ["intended", "done", "intended", "failed", "intended", "done"]
            check_recall(journal, lab.stations["queue"])
            check_abort(lab)


def check_recall(journal: MemoryJournal, station: Any) -> None:
    """What the history says of each act, as a session after a crash would ask."""
    answers: list[str] = []
    for event in journal.read(kinds=("act.intended",)):
        assert isinstance(event.body, ActIntended)
        fields = event.body.model_dump(exclude={"kind", "action_class"})
        record = ActRecord(
            **fields, trial=event.trial or 0, action_class=ActionClass.IRREVERSIBLE, intended_at=event.time.timestamp()
        )
        answers.append(station.recall(record, "queued", may_probe=False).answer)
    assert answers == ["happened", "cannot_tell", "happened"]


def check_abort(lab: sdl.Lab) -> None:
    slow = QueuePlan("measure", lambda s: {"x": s["x"], "seconds": 300.0}, outcomes)
    started = threading.Event()
    lab.subscribe(lambda name, document: started.set(), "start")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            lab.run(slow, {"x": 0.2})
        except Exception as error:
            errors.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    assert started.wait(60)
    lab.stations["queue"].abort("enough")
    runner.join(120)
    assert [type(error).__name__ for error in errors] == ["StepAborted"]


def test_a_station_of_a_queue_server_is_a_station() -> None:
    with sdl.Lab("beamline", stations={"queue": []}) as lab:
        queue_server(lab, "queue", "tcp://127.0.0.1:9", "tcp://127.0.0.1:9")
        station = lab.stations["queue"]
        assert isinstance(station, QueueServerStation)
        assert not station.is_busy
        assert not station.is_started
