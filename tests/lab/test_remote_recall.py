"""What the engine makes of a station's answer about an act."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import hosted
import pytest

from sdl.journal import Entry, MemoryJournal
from sdl.journal.acts import ActIntended
from sdl.journal.records import StepStarted
from sdl.lab import ActRecord
from sdl.lab.actions import ActionClass
from sdl.lab.remote.history import mark_of
from sdl.lab.remote.messages import Answer
from sdl.lab.remote.sockets import Address
from sdl.lab.remote.station import RemoteStation

ACT = ActRecord("1.1.dose.1", 1, 1, "dose", "cell", "doser", "set", ActionClass.CUMULATIVE, None, 0.0)


@pytest.mark.parametrize("is_aborted", [False, True])
def test_an_act_that_does_not_come_to_its_end_keeps_no_recovery_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_aborted: bool
) -> None:
    asked = threading.Event()

    def ask(*_: Any) -> Answer:
        asked.set()
        return Answer(act=ACT.act, state="running")

    monkeypatch.setattr(RemoteStation, "_connected", lambda _: None)
    monkeypatch.setattr(RemoteStation, "_ask", ask)
    with hosted.HostedLab(str(tmp_path)) as lab:
        address = Address.under(tmp_path, "cell")
        grace = 60.0 if is_aborted else 0.3
        station = RemoteStation(lab.stations["cell"], lab, address, child=None, lease=1.0, grace=grace)

        def abort() -> None:
            asked.wait()
            if is_aborted:
                station.abort("enough")

        hand = threading.Thread(target=abort)
        hand.start()
        began = time.monotonic()
        found = station.recall(ACT, "c", may_probe=True)
        hand.join()
        station.close()
    assert time.monotonic() - began < 5.0
    assert found is not None
    assert found.answer == "cannot_tell"
    assert "has not come to its end" in found.text


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ("done", "happened"),
        ("never", "did_not_happen"),
        ("refused", "did_not_happen"),
        ("failed", "cannot_tell"),
        ("missing", "cannot_tell"),
    ],
)
def test_what_a_station_answers_and_what_the_engine_takes_it_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Any, answer: str
) -> None:
    monkeypatch.setattr(RemoteStation, "_connected", lambda _: None)
    monkeypatch.setattr(RemoteStation, "_ask", lambda *_: Answer(act=ACT.act, state=state))
    with hosted.HostedLab(str(tmp_path)) as lab:
        address = Address.under(tmp_path, "cell")
        station = RemoteStation(lab.stations["cell"], lab, address, child=None, lease=1.0)
        found = station.recall(ACT, "c", may_probe=False)
        station.close()
    assert found is not None
    assert found.answer == answer


def test_an_act_of_a_trial_that_a_restored_store_has_lost_is_not_taken_for_the_new_one() -> None:
    """Numbers come again after a restore, and so do the ids of acts. The event by which a step begins does not."""
    intended = ActIntended(
        act=ACT.act, step="dose", station="cell", attempt=1, device="doser", verb="set", action_class="cumulative"
    )
    marks: list[str] = []
    for _ in ("lost", "restored"):
        journal = MemoryJournal()
        began = journal.append(Entry(StepStarted(step="dose", station="cell", attempt=1), "c", 1))
        assert mark_of(journal, "c", 1, "dose") == began[0].hash
        journal.append(Entry(intended, "c", 1))
        again = journal.append(Entry(StepStarted(step="dose", station="cell", attempt=2), "c", 1))
        assert mark_of(journal, "c", 1, "dose") == again[0].hash
        marks.append(mark_of(journal, "c", 1, "dose", ACT.act))
        assert marks[-1] == began[0].hash
        assert mark_of(journal, "c", 2, "dose") == ""
    assert len(set(marks)) == 2
