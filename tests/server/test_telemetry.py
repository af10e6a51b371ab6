"""Metrics and traces: what those see who watch a laboratory as they watch their other machines."""

from __future__ import annotations

from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from asking import Asking
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from sdl.errors import LabError
from sdl.export.spans import KINDS, Spans
from sdl.journal import MemoryJournal
from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.records import (
    Body,
    Entry,
    Failure,
    FailureCategory,
    SessionStarted,
    StepEnded,
    StepStarted,
    TrialFailed,
    TrialStarted,
)
from sdl.server.tracing import Tracing, provider


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_metrics_are_of_the_campaigns_that_one_sees(asking: Asking) -> None:
    campaign = asking.submit("ada", "measured", trials=2, level=4)
    asking.until("ada", campaign["id"], lambda found: found["state"] == "finished")
    answer = asking("ada", "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found["sdl_campaign_state", "measured", "finished"] == 1.0
    assert found["sdl_campaign_state", "measured", "running"] == 0.0
    assert found["sdl_trials", "measured", "completed"] == 2.0
    assert found["sdl_best", "measured", "resistance", "ohm"] > 0.0
    assert found["sdl_engine_up",] == 1.0
    assert found["sdl_journal_events_total",] == asking.journal.head[0]
    assert all(found["sdl_station_state", "idle", name] == 1.0 for name in asking.house.lab.stations)
    theirs = asking("reader", "GET", "/metrics").text
    assert "measured" not in theirs
    assert "sdl_engine_up 1.0" in theirs


def traced(*bodies: tuple[Body, int]) -> tuple[dict[str, Any], Spans]:
    """Return the spans that end, by name, of bodies of the trials of one campaign."""
    exporter = InMemorySpanExporter()
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(made.get_tracer("test"), "film lab")
    journal = MemoryJournal()
    for body, trial in bodies:
        journal.append(Entry(body, "films", trial or None))
    for event in journal.read(kinds=KINDS):
        spans.take(event)
    return {each.name: each for each in exporter.get_finished_spans()}, spans


ACT = ActIntended(
    act="1.1.1", step="make", station="chamber", attempt=1, device="gun", verb="set", action_class="irreversible"
)


def test_a_trial_its_steps_and_its_acts_are_one_trace() -> None:
    begun = (StepStarted(step="make", station="chamber", attempt=1), 1)
    failure = Failure(category=FailureCategory.DEVICE, reason="no plasma")
    found, spans = traced(
        (TrialStarted(attempt=1), 1),
        begun,
        (ACT, 1),
        (ActEnded(act="1.1.1", outcome="done", seconds=1.0), 1),
        (StepEnded(step="make", station="chamber", attempt=1, is_success=False, seconds=1.0, runs=("r",)), 1),
        (TrialFailed(failure=failure), 1),
    )
    trial, step, act = found["trial"], found["step make"], found["act gun.set"]
    assert step.parent.span_id == trial.context.span_id
    assert act.parent.span_id == step.context.span_id
    assert trial.context.trace_id == act.context.trace_id
    assert trial.start_time <= step.start_time <= act.start_time <= act.end_time <= step.end_time <= trial.end_time
    assert trial.attributes["sdl.campaign"] == "films"
    assert trial.status.description == "device: no plasma"
    assert act.status.is_ok
    assert spans.n_open == 0


def test_what_a_killed_process_left_open_ends_with_the_next_session() -> None:
    session = SessionStarted(session=2, is_virtual=False, host="h", pid=1, versions={})
    found, spans = traced((StepStarted(step="make", station="chamber", attempt=1), 1), (session, 0))
    assert found["trial"].status.description == "the process that ran it is gone"
    assert spans.n_open == 0


class Collector(HTTPServer):
    """Takes spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.got: list[tuple[str, bytes]] = []


class Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # its name
        """Say nothing."""


@pytest.fixture
def collector() -> Generator[Collector]:
    made = Collector()
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_spans_go_where_the_variables_say_and_nowhere_else(collector: Collector, monkeypatch: Any) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert provider("film lab") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    journal = MemoryJournal()
    with Tracing(journal, "film lab", provider("film lab")):
        journal.append(Entry(TrialStarted(attempt=1), "films", 1))
        failure = Failure(category=FailureCategory.DEVICE, reason="no plasma")
        journal.append(Entry(TrialFailed(failure=failure), "films", 1))
    ((path, data),) = collector.got
    assert path == "/v1/traces"
    assert b"no plasma" in data
    assert b"film lab" in data
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(LabError, match="traces need"):
        provider("film lab")
