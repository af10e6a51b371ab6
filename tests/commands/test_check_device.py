"""``sdl check-device``: a table for a person, JSON for a program, and nothing acts unasked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from door import is_one_line, sdl

PUMP = """
import sdl
from sdl.devices import Instrument, Knob, Limits
from sdl.simulators import SimulatedTransport


class SimulatedPump:
    def __init__(self):
        self.rate = 0.0

    def answer(self, line):
        if line.startswith("RATE "):
            self.rate = float(line.split()[1])
        return f"{self.rate:.4f}" if line == "RATE?" else "OK"


class Pump:
    simulated_by = "pumps:SimulatedPump"

    def __init__(self, transport, *, name="pump", lowest=0.0):
        self.name = name
        line = Instrument(name, transport)
        self.rate = Knob(f"{name}_rate", instrument=line, setter="RATE {:.3f}", question="RATE?", stopper="STOP",
                         unit="ml/min", limits=Limits(lowest, 10), tolerance=0.01, timeout_s=20, poll_s=0.1)


class Foreign:
    name, parent = "foreign", None

    def __init__(self):
        self.told = []

    def set(self, value):
        raise AssertionError("it was told something on the bench")


def bench():
    return sdl.Lab("bench", pump=Pump(SimulatedTransport(SimulatedPump())))
"""


@pytest.fixture(autouse=True)
def _pumps(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "pumps.py").write_text(PUMP)
    monkeypatch.delitem(sys.modules, "pumps", raising=False)


def test_a_driver_is_checked_above_its_simulated_instrument() -> None:
    done = sdl("check-device", "pumps:Pump", "--option", "lowest=1")
    assert done.exit_code == 0, done.output
    assert "pump.rate  limits       passed          outside of 1 to 10" in done.stdout
    assert "10 passed, 1 not applicable" in done.stdout  # it has no self-test


def test_what_is_wrong_is_said_to_a_program_too() -> None:
    done = sdl("check-device", "pumps:Foreign", "--simulated", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    verdicts = {finding["check"]: finding["verdict"] for finding in told["findings"]}
    assert not told["ok"]
    assert verdicts["actions"] == verdicts["safe action"] == "failed"
    assert verdicts["readback"] == "not applicable"


def test_on_a_bench_nothing_acts_before_somebody_has_agreed() -> None:
    done = sdl("check-device", "pumps:bench", "--bench", input="n\n")
    assert done.exit_code == 1
    assert "pump.rate goes to 1 and back to 0" in done.stdout
    assert "nobody has agreed that instruments act" in done.stderr
    assert "readback" not in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pumps:Foreign"], "say --simulated or --bench"),
        (["pumps:Pump", "--bench"], "--option transport=tcp://HOST:PORT"),
        (["pumps:Pump", "--bench", "--option", "transport=somewhere"], "no address of an instrument"),
        (["pumps:Pump", "--option", "speed=3"], "it takes transport, name, lowest"),
        (["pumps:Pump", "--value", "flow=3"], "there are pump.rate"),
        (["pumps:Pump", "--limits", "rate=3"], "LOW:HIGH"),
        (["pumps:Pomp"], "pumps has no Pomp"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(words: list[str], told: str) -> None:
    done = sdl("check-device", *words)
    assert done.exit_code in {1, 2}
    assert is_one_line(done.stderr), done.output
    assert told in done.stderr
