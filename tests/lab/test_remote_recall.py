"""What the engine makes of a station's answer about an act."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import hosted
import pytest

from sdl.lab import ActRecord
from sdl.lab.actions import ActionClass
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
