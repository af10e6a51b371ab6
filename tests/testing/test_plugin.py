"""The pytest plugin, as a user meets it, and the contract of devices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dosing import Ended, campaign

import sdl
from sdl.lab.clock import current_time
from sdl.simulators import ThinFilmLab
from sdl.testing import DeviceContract, Faults


@pytest.mark.seeded_faults(4)
def test_a_campaign_keeps_its_promises_under_faults(faults: Faults) -> None:
    report = faults.run(lambda store: campaign(store.parent, "failed", journal=store, progress=False), trials=3)
    assert report.n_events > 20


def test_the_fixtures_are_there(virtual_clock: sdl.VirtualClock, lab: sdl.Lab) -> None:
    assert isinstance(lab, ThinFilmLab)
    assert lab.clock is virtual_clock


def test_the_plugin_costs_those_nothing_who_do_not_use_it(tmp_path: Path) -> None:
    code = (
        "import sys, sdl.testing.plugin; print([m for m in sys.modules if m.split('.')[0] in "
        "{'bluesky', 'numpy', 'sqlalchemy', 'torch', 'pydantic'}])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


# --- the contract -----------------------------------------------------------------------------------------------------


class OnThinFilm(DeviceContract):
    @pytest.fixture
    def lab(self) -> Iterator[sdl.Lab]:
        with ThinFilmLab(seed=1, clock=sdl.VirtualClock()) as made:
            yield made


class TestPower(OnThinFilm):
    low, high, unit, tolerance = 20.0, 300.0, "W", 1.0

    def device(self, lab: sdl.Lab) -> Any:
        return lab.sputter.power


class TestTemperature(OnThinFilm):
    low, high, unit, tolerance, longest = 20.0, 500.0, "degC", 2.0, 14_400.0
    stop_seconds = 1800.0  # a hot stage goes on drifting

    def device(self, lab: sdl.Lab) -> Any:
        return lab.sputter.temperature


class Stage:
    """Moves 10 mm a second between 0 and 100 mm; ``wrong`` says what is the matter with it."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}
    tolerance = 1e9  # the laboratory's own check of the readback is not what is tested here

    def __init__(self, wrong: str = "") -> None:
        self.name = "stage"
        self.wrong = wrong
        self.position = 0.0
        self._task: asyncio.Task[None] | None = None

    def set(self, value: float) -> Ended:
        if self.wrong != "no limits" and not 0.0 <= value <= 100.0:
            raise ValueError(f"{value} mm is outside 0 to 100 mm")
        ended = Ended(self._move(float(value)))
        self._task = ended._task  # pyright: ignore[reportPrivateUsage]
        return ended

    async def _move(self, value: float) -> None:
        if self.wrong == "too slow":
            await asyncio.sleep(5000.0)
        if self.wrong == "half way":
            value /= 2
        while abs(value - self.position) > 1e-9:
            step = max(-1.0, min(1.0, value - self.position))
            await asyncio.sleep(abs(step) / 10)
            self.position += step

    def stop(self, *, success: bool = True) -> None:
        if self._task is not None and self.wrong != "no stop":
            self._task.cancel()

    def read(self) -> dict[str, Any]:
        late = 1e6 if self.wrong == "stale" else 0.0
        value = "3.5" if self.wrong == "text" else self.position
        return {"stage": {"value": value, "timestamp": current_time() - late}}

    def describe(self) -> dict[str, Any]:
        units = {} if self.wrong == "no unit" else {"units": "mm"}
        return {"stage": {"source": "sim", "dtype": "number", "shape": [], **units}}


class OfStage(DeviceContract):
    low, high, unit, tolerance, longest = 0.0, 100.0, "mm", 0.01, 60.0

    def device(self, lab: sdl.Lab) -> Any:
        return lab.stage


class TestStage(OfStage):
    @pytest.fixture
    def lab(self) -> Iterator[sdl.Lab]:
        with sdl.Lab("bench", clock=sdl.VirtualClock(), stage=Stage()) as made:
            yield made


MOVE, READ = "test_it_goes_where_it_is_sent_in_time", "test_its_readings_say_unit_and_time"


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        ("half way", MOVE),
        ("too slow", MOVE),
        ("stale", READ),
        ("text", READ),
        ("no unit", READ),
        ("no stop", "test_it_stops_while_it_moves"),
        ("no limits", "test_what_lies_outside_its_limits_is_refused_and_moves_nothing"),
    ],
)
def test_the_contract_finds_a_broken_device(wrong: str, test: str) -> None:
    with sdl.Lab("bench", clock=sdl.VirtualClock(), stage=Stage(wrong)) as lab:
        arguments = ("above",) if "limits" in test else ()
        with pytest.raises((AssertionError, sdl.SdlError, pytest.fail.Exception)):
            getattr(OfStage(), test)(lab, *arguments)
