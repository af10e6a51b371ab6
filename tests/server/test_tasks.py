"""What people do by hand: they are asked by the server, and somebody says that it is done."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from asking import Asking
from by_hand import FILE, bench_in

from sdl.errors import JournalError
from sdl.journal import MemoryJournal
from sdl.journal.records import Entry, Event
from sdl.lab import Person


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Generator[Asking]:
    with bench_in(tmp_path_factory.mktemp("bench")) as found:
        yield found


def next_task(bench: Asking, trial: int) -> dict[str, Any]:
    """Wait until somebody is asked to weigh for *trial*."""
    deadline = time.monotonic() + 90
    while not (found := [each for each in bench.get("kim", "/tasks")["tasks"] if each["trials"] == [trial]]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return dict(found[0])


@pytest.fixture(scope="module")
def task(bench: Asking) -> dict[str, Any]:
    """The first one: the threads of the laboratory live as long as it does."""
    assert bench("ada", "POST", "/campaigns", json={"file": FILE}).status_code == 201
    return next_task(bench, 1)


def test_a_person_is_asked_at_the_server_and_the_plan_waits_for_the_answer(bench: Asking, task: dict[str, Any]) -> None:
    assert (task["person"], task["text"]) == ("kim", "Weigh the powder of sample 1")
    assert bench.get("kim", "/inbox")["tasks"] == [task]
    assert bench.get("mori", "/tasks")["tasks"] == []  # of somebody else's campaign
    assert not bench.get("lee", "/tasks")["tasks"][0]["may_answer"]
    path, said = f"/tasks/{task['task']}", {"answer": "done", "note": "it was moist"}
    assert bench("lee", "POST", path, json=said).status_code == 403
    assert bench("kim", "POST", path, json={"answer": "done", "note": "failed: no"}).status_code == 422
    assert bench("kim", "POST", path, json=said).status_code == 200
    assert bench("kim", "POST", path, json=said).status_code == 404
    found = bench.until("ada", task["campaign"], lambda found: found["counts"]["completed"] == 1)
    assert found["best"][0]["outcomes"]["colour"]["value"] == len("it was moist")
    (asked, *_), (answered,) = bench.events("task.asked"), bench.events("task.answered")
    assert (asked.campaign, asked.trial, answered.actor) == ("by hand", 1, "kim")


def test_the_timeline_says_what_comes_next_and_when(bench: Asking) -> None:
    task = next_task(bench, 2)
    deadline = time.monotonic() + 90
    while len((found := bench.get("kim", "/timeline"))["bars"]) < 3:
        assert time.monotonic() < deadline  # a forecast is some seconds old
        time.sleep(0.1)
    assert [each["trials"] for each in found["bars"]] == [[1], [2], [3]]
    bars = {each["kind"]: each for each in found["bars"]}
    assert bars["now"]["expected_end"] == bars["planned"]["begin"]
    assert bars["planned"]["step"] == bars["past"]["step"] == task["step"]
    assert found["now"] < bars["planned"]["begin"] < bars["planned"]["end"]
    assert bench.get("mori", "/timeline")["bars"][-1]["trials"] == []  # of somebody else's campaign


def test_what_could_not_be_done_fails_the_step_and_what_is_stopped_waits_no_more(bench: Asking) -> None:
    task = next_task(bench, 2)
    answer = bench("kim", "POST", f"/tasks/{task['task']}", json={"answer": "failed", "note": "it was spilt"})
    assert answer.status_code == 200
    assert next_task(bench, 3)["person"] == "kim"
    reason = bench.get("ada", f"/campaigns/{task['campaign']}/trials/2")["failure"]["reason"]
    assert "it was spilt" in reason
    assert bench("kim", "POST", "/stop", json={"because": "smoke"}).status_code == 200
    bench.until("ada", task["campaign"], lambda found: found["state"] == "aborted")
    assert bench.get("kim", "/tasks")["tasks"] == []


def test_a_task_that_cannot_be_recorded_fails_its_step(bench: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would be told of it, and whoever did it could not say so."""

    class Full(MemoryJournal):
        def append(self, *entries: Entry) -> Sequence[Event]:
            raise JournalError("the disk is full")

    monkeypatch.setattr(bench.house.desk, "_journal", Full())
    answer = bench.house.desk.ask(Person("kim"), "Weigh it", 1.0)
    with pytest.raises(JournalError, match="full"):
        answer.result(60)
    assert bench.house.desk.waiting == []
