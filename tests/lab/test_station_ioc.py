"""`sdl station --as-ioc`: a client of EPICS in another process reads a station, and can write nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import campaign_on, hosted_lab

from sdl.lab.remote.ioc import LOOPBACK, STATES, StationIoc, state_of
from sdl.lab.remote.messages import Seen
from sdl.simulators.epics import client_environment, free_port

CLIENT = """
import asyncio, json
from aioca import FORMAT_CTRL, FORMAT_TIME, caget, caput

NAMES = ["Station", "State", "Busy", "Held", "Epoch", "Latched", "LatchReason", "Read:detector"]


async def main():
    values = await caget([f"st:{name}" for name in NAMES], format=FORMAT_TIME, timeout=30)
    told = {name: [+value, value.severity] for name, value in zip(NAMES, values)}
    for name in ("State", "Busy", "Epoch", "Read:detector"):
        refused = await caput(f"st:{name}", 1, wait=True, timeout=10, throw=False)
        told[f"write {name}"] = bool(refused.ok)
    told["after"] = str(await caget("st:Read:detector", timeout=10))
    told["units"] = (await caget("st:Read:detector", format=FORMAT_CTRL, timeout=10)).units
    first, later = await caget("st:Heartbeat", timeout=10), None
    while later is None or later == first:
        await asyncio.sleep(0.1)
        later = await caget("st:Heartbeat", timeout=10)
    told["beats"] = int(later - first)
    print(json.dumps(told))


asyncio.run(main())
"""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[int]:
    """A station in a process of its own, which says what it is on a port of its own."""
    (tmp_path / "stations").mkdir(mode=0o700)
    port = free_port()
    here = Path(__file__).parent
    command = [sys.executable, "-m", "sdl", "station", "hosted:HostedLab", "--station", "cell", "--as-ioc", "st:"]
    command += ["--folder", str(tmp_path / "stations"), "--options", json.dumps({"folder": str(tmp_path)})]
    environment = {**os.environ, "PYTHONPATH": str(here), "EPICS_CAS_SERVER_PORT": str(port)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "station cell of hosted" in process.stdout.readline()
        yield port
        process.terminate()
        assert process.wait(60) == 0


def ask(port: int) -> dict[str, Any]:
    environment = {**os.environ, **client_environment(port)}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_display_reads_a_station_and_writes_nothing(station: int, tmp_path: Path) -> None:
    with hosted_lab(tmp_path, is_started_here=False, lease=60.0) as lab:
        campaign = campaign_on(lab, tmp_path)
        campaign.run(trials=1)
        told = ask(station)
    observation = campaign.trials[0].observation
    assert observation is not None
    signal = observation.outcomes["signal"].value
    assert told["Station"] == ["cell", 0]
    assert told["State"][0] == 0
    assert [told[name][0] for name in ("Busy", "Latched")] == [0, 0]
    assert told["Epoch"][0] >= 1
    assert told["Read:detector"] == [pytest.approx(signal), 0]
    assert told["units"] == "V"
    assert not any(told[f"write {name}"] for name in ("State", "Busy", "Epoch", "Read:detector"))
    assert float(told["after"]) == pytest.approx(signal)
    assert told["beats"] >= 1


SEEN = Seen(
    station="a", boot="b", client="c", roles=(), store="", epoch=0, is_held=False, is_busy=True, latch="", reason=""
)


def test_a_reason_in_any_characters_and_a_look_that_fails_end_no_display(monkeypatch: Any) -> None:
    pytest.importorskip("caproto")
    monkeypatch.setenv("EPICS_CAS_SERVER_PORT", str(free_port()))
    for name, value in LOOPBACK.items():
        monkeypatch.setenv(name, value)
    looks = [SEEN]

    def look() -> tuple[Seen, bool]:
        if len(looks) == 2:
            looks.append(SEEN.replace(latch="x", reason="20 → 30 °C"))
            raise OSError("the look failed")
        return looks[-1], False

    ioc: Any = StationIoc("odd:", look)
    ioc.start()
    looks.append(SEEN)
    deadline = time.monotonic() + 30.0
    while ioc._pvs["LatchReason"].value != "20 ? 30 °C":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ioc.close()


def test_what_concerns_a_person_most_is_the_state() -> None:
    seen = SEEN
    assert STATES[state_of(seen, is_making_safe=False)] == "busy"
    assert STATES[state_of(seen.replace(is_busy=False), is_making_safe=False)] == "idle"
    assert STATES[state_of(seen.replace(latch="x"), is_making_safe=False)] == "latched"
    assert STATES[state_of(seen.replace(latch="x"), is_making_safe=True)] == "making safe"
    assert STATES[state_of(seen.replace(latch="x", by_hand="Ada"), is_making_safe=True)] == "by hand"
