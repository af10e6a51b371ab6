"""Faults of measurement, and how soon they are found: a small version of ``tests/soak/trust.py``."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdl.simulators import Bubble, CloggedLine, Drift, FaultyInstrument, FlatLine, Spikes, StuckSensor
from sdl.simulators.faults import Fault

SCRIPT = Path(__file__).parents[1] / "soak" / "trust.py"


@pytest.fixture(scope="module")
def trust() -> Any:
    """The soak script as a module."""
    spec = importlib.util.spec_from_file_location("soak_trust", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak_trust"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("fault", "within"), [("drift 5 %/h", 16), ("stuck sensor", 4), ("clogged line", 12)])
def test_a_fault_is_found_within_so_many_trials(trust: Any, fault: str, within: int) -> None:
    found = trust.row(fault, 2, trust.Plan(trials=36))
    assert found.n_missed == 0
    assert max(found.delays) <= within


def test_a_sound_campaign_raises_no_alarm(trust: Any) -> None:
    assert trust.row("none", 2, trust.Plan(trials=30)).n_false == 0


class Steady:
    """Says 10 V, and what it is."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def answer(self, line: str) -> str:
        return "ERR 1" if line == "BAD" else "acme,3000" if line == "*IDN?" else f"{10 + 0.01 * self.rng.normal():.4f}"


class Watch:
    """A loop whose time the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now


def read_at(monkeypatch: pytest.MonkeyPatch, fault: Fault, *hours: float, seed: int = 1) -> list[float]:
    watch = Watch()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: watch)
    faulty = FaultyInstrument(Steady(), [fault], seed=seed)
    found: list[float] = []
    for hour in hours:
        watch.now = 3600.0 * hour
        found.append(float(str(faulty.answer("READ?"))))
    assert faulty.answer("*IDN?") == "acme,3000"
    assert faulty.answer("BAD") == "ERR 1"
    return found


def test_each_fault_bends_readings_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = (0.0, 1.0, 3.0, 13.0)
    assert read_at(monkeypatch, Drift(per_hour=0.01, begins=2.0), *hours) == pytest.approx(
        [10, 10, 10.1, 11.1], abs=0.05
    )
    stuck = read_at(monkeypatch, StuckSensor(begins=2.0), *hours)
    assert stuck[1] == stuck[2] == stuck[3] != stuck[0]
    assert read_at(monkeypatch, FlatLine(reading=3.5, begins=2.0), *hours)[2:] == [3.5, 3.5]
    bubble = read_at(monkeypatch, Bubble(share=0.5, lasts=4.0, begins=2.0), *hours)
    assert 4.9 < bubble[2] < 7.6
    assert bubble[3] == pytest.approx(10, abs=0.05)
    assert read_at(monkeypatch, CloggedLine(hours=10.0, begins=3.0), *hours)[3] == pytest.approx(10 / math.e, abs=0.05)


def test_spikes_come_as_often_as_they_say_and_follow_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = tuple(np.arange(400) / 10)
    found = read_at(monkeypatch, Spikes(probability=0.2, size=0.5), *hours)
    n_spikes = sum(abs(value - 10) > 1 for value in found)
    assert 0.12 < n_spikes / 400 < 0.28
    assert found == read_at(monkeypatch, Spikes(probability=0.2, size=0.5), *hours)
