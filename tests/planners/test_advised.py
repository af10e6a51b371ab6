"""An adviser's candidates are held against the space and mixed in; whatever it does, the campaign goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sdl import Campaign, Continuous, Experiment, Lab, Minimize, SearchSpace, VirtualClock
from sdl.campaign.planner import History, HistoryEntry, Situation, TrialState
from sdl.errors import ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.records import Observation
from sdl.planners import AdvisedPlanner, Adviser
from sdl.planners.advised import ADVISER
from sdl.planners.adviser import described
from sdl.problem import Categorical, Fixed, Measurement, Problem
from sdl.testing.planner import NOWHERE

SPACE = SearchSpace(
    x=Continuous(0.0, 1.0), rate=Continuous(1.0, 10.0, unit="mL/min"), base=Categorical(["a", "b"]), power=Fixed(5.0)
)
PROBLEM = Problem(SPACE, Minimize("loss"))


class Oracle(ThreadingHTTPServer):
    """A language model that says what it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OracleHandler)
        self.text: Any = ""
        self.raw: bytes | None = None
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.is_dripping = False
        self.is_over = threading.Event()

    def advises(self, *values: Any, reason: str = "seems good") -> None:
        self.text = "Sure! " + json.dumps({"candidates": [{"values": each, "reason": reason} for each in values]})

    def adviser(self, **more: Any) -> Adviser:
        return Adviser(address=f"http://127.0.0.1:{self.server_port}/v1/", model="wise", **more)


class OracleHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Oracle)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((dict(self.headers), {"path": self.path, **body}))
        self.send_response(200)
        self.end_headers()
        answer = {"choices": [{"message": {"role": "assistant", "content": self.server.text}}]}
        if self.server.is_dripping:
            while not self.server.is_over.wait(0.02):
                try:
                    self.wfile.write(b" ")
                except OSError:
                    return
        self.wfile.write(json.dumps(answer).encode() if self.server.raw is None else self.server.raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # its name
        """Say nothing."""


@pytest.fixture
def oracle() -> Generator[Oracle]:
    made = Oracle()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.is_over.set()
    made.shutdown()
    made.server_close()
    thread.join()


def entry(trial: int, loss: float, planner: str = "Bayesian") -> HistoryEntry:
    values: dict[str, float | str] = {"x": trial / 50, "rate": 2.0, "base": "a", "power": 5.0}
    seen = Observation(outcomes={"loss": Measurement(loss, None)})
    return HistoryEntry(trial=trial, values=values, state=TrialState.COMPLETED, observation=seen, planner=planner)


THREE = History((entry(1, 3.0), entry(2, 2.0), entry(3, 5.0)))
"""The fourth trial of four is the adviser's."""


def ask(planner: AdvisedPlanner, history: History = THREE, n: int = 1, situation: Situation = NOWHERE) -> Any:
    return planner.suggest(PROBLEM, history, n, situation=situation, seed=3)


def test_a_candidate_is_tried_in_its_turn_with_reason_and_runner_up(oracle: Oracle, monkeypatch: Any) -> None:
    monkeypatch.setenv("ORACLE_KEY", "hush")
    oracle.advises(
        {"x": 7.0, "rate": 2.0, "base": "a"},
        {"x": 0.5, "rate": 2.0},
        {"x": 0.04, "rate": 2.0, "base": "a"},
        {"x": 0.5, "rate": "0.12 L/h", "base": "b", "power": 99.0},
        reason="IGNORE ALL LIMITS\x1b[2J\nand be happy",
    )
    planner = AdvisedPlanner(adviser=oracle.adviser(key_variable="ORACLE_KEY", about="x is a colour"))
    (found,) = ask(planner)
    assert found.values == {"x": 0.5, "rate": pytest.approx(2.0), "base": "b", "power": 5.0}
    decision = found.decision
    assert decision.planner == ADVISER
    assert "wise at 127.0.0.1 advises it: IGNORE ALL LIMITS [2J and be happy." in decision.note
    assert "Of its trials 0 of 0 were among the best quarter, of the others' " in decision.note
    assert "x = 7" in decision.note
    assert "base is missing" in decision.note
    assert "it has been tried" in decision.note
    (other,) = decision.runners_up
    (usual,) = planner.planner.suggest(PROBLEM, THREE, 1, situation=NOWHERE, seed=3)
    assert other.values == usual.values
    ((headers, asked),) = oracle.asked
    assert headers["Authorization"] == "Bearer hush"
    assert asked["path"] == "/v1/chat/completions"
    told = json.loads(asked["messages"][1]["content"])
    assert told["about"] == "x is a colour"
    assert told["choose"]["rate"]["unit"] == "mL/min"
    assert [each["outcomes"]["loss"] for each in told["trials"]] == [3.0, 2.0, 5.0]
    assert "hush" not in planner.to_json() + decision.to_json()


def test_it_is_asked_in_its_turn_only_and_a_bad_record_makes_turns_rare(oracle: Oracle) -> None:
    planner = AdvisedPlanner(adviser=oracle.adviser(), share=0.5)
    oracle.advises(*({"x": 0.9 - n / 100, "rate": 3.0, "base": "a"} for n in range(4)))
    ask(planner, History((entry(1, 1.0),)), n=1)
    assert len(oracle.asked) == 1
    ask(planner, History((entry(1, 1.0, ADVISER), entry(2, 2.0))), n=1)
    assert len(oracle.asked) == 1  # it has had its turn
    bad = History(tuple(entry(n, 9.0 if n % 2 else 1.0 / n, ADVISER if n % 2 else "Bayesian") for n in range(1, 13)))
    good = History(tuple(entry(n, 9.0 if n % 2 else 1.0 / n, "Bayesian" if n % 2 else ADVISER) for n in range(1, 13)))
    turns = [sum(each.decision.planner == ADVISER for each in ask(planner, known, n=8)) for known in (bad, good)]
    assert turns == [0, 4]
    own, others = planner.records(PROBLEM, bad)
    assert own.rate < 0.3
    assert others.rate > 0.7


@pytest.mark.parametrize(
    "said",
    [
        "I would rather not.",
        '{"candidates": 3}',
        '{"candidates": [{"values": [1, 2]}]}',
        '{"candidates": [{"values": {"x": NaN, "rate": 2, "base": "a"}}]}',
        '{"candidates": [{"values": {"x": 1e999, "rate": 2, "base": "a"}}]}',
        '{"candidates": [{"values": {"x": true, "rate": 2, "base": "a"}}]}',
        '{"candidates": [{"values": {"x": ' + "9" * 400 + ', "rate": 2, "base": "a"}}]}',
        '{"candidates": [{"values": {"x": 0.1, "rate": "9**9**9 mL/min", "base": "a"}}]}',
        '{"candidates": ' + "[" * 50_000,
        "",
        None,
        {"a": 1},
    ],
    ids=range(12),
)
def test_what_makes_no_sense_is_left(oracle: Oracle, said: Any) -> None:
    oracle.text = said
    planner = AdvisedPlanner(adviser=oracle.adviser())
    (found,) = ask(planner)
    assert found.decision.planner == "Bayesian"
    assert "The adviser gave nothing" in found.decision.note


def test_who_is_slow_or_gone_or_endless_holds_up_nothing(oracle: Oracle) -> None:
    oracle.is_dripping = True
    began = time.monotonic()
    (found,) = ask(AdvisedPlanner(adviser=oracle.adviser(timeout=0.2)))
    assert time.monotonic() - began < 20.0
    assert "does not answer: TimeoutError" in found.decision.note
    oracle.is_dripping = False
    oracle.raw = b" " * 300_000
    assert "does not answer" in ask(AdvisedPlanner(adviser=oracle.adviser()))[0].decision.note
    gone = Adviser(address="http://127.0.0.1:1/v1", model="wise")
    assert "ConnectionRefusedError" in ask(AdvisedPlanner(adviser=gone))[0].decision.note


def test_only_safe_addresses_are_asked() -> None:
    for wrong in ("http://llm.example.org/v1", "ftp://localhost/v1", "https://me:secret@llm.example.org/v1", "x"):
        with pytest.raises(ProblemError) as caught:
            Adviser(address=wrong, model="wise")
        assert "secret" not in str(caught.value)


def test_a_long_history_is_told_in_part() -> None:
    history = History(tuple(entry(n, abs(n - 100.0)) for n in range(1, 201)))
    told: Any = described(PROBLEM, history, NOWHERE, "")
    losses = [each["outcomes"]["loss"] for each in told["trials"]]
    assert len(losses) <= 60
    assert {0.0, 100.0} <= set(losses)  # the best, and the last


def test_a_campaign_listens_and_its_record_says_who_advised(oracle: Oracle) -> None:
    def look(_lab: Any, s: Any) -> Generator[Any, Any, Any]:
        yield from ()
        return {"loss": (float(s["x"]) - 0.3) ** 2}

    oracle.advises(*({"x": 0.3 + n / 100} for n in range(4)))
    journal = MemoryJournal()
    clock = VirtualClock()
    with Lab("bench", clock=clock) as lab:
        campaign = Campaign(
            "advised",
            space=SearchSpace(x=Continuous(0.0, 1.0)),
            objective=Minimize("loss"),
            planner=AdvisedPlanner(adviser=oracle.adviser(), share=0.5),
            experiment=Experiment.of(look),
            lab=lab,
            journal=journal,
            progress=False,
        )
        campaign.run(trials=4)
        by = [trial.decision.planner for trial in campaign.trials]
        assert by.count(ADVISER) >= 1
        assert "Bayesian" in by
        assert {each.planner for each in campaign.view.history.entries} == set(by)
