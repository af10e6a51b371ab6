"""What every device must do: good ones pass, and each check finds the one that was broken for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stage import bench

import sdl
from sdl.devices import Selector
from sdl.simulators import ThinFilmLab
from sdl.testing import DeviceContract
from sdl.testing.device_checks import CHECKS, examine
from sdl.testing.device_subject import Promise, subjects_of


class TestTemperature(DeviceContract):
    stop_seconds = 1800.0  # a hot stage goes on drifting

    @pytest.fixture
    def lab(self) -> Iterator[sdl.Lab]:
        with ThinFilmLab(seed=1, clock=sdl.VirtualClock()) as made:
            yield made

    def device(self, lab: sdl.Lab) -> Any:
        return lab.sputter.temperature


class TestStage(DeviceContract):
    """A class of somebody's own, whose limits nobody can see from outside."""

    low, high, unit = 0.0, 100.0, "mm"

    @pytest.fixture
    def lab(self) -> Iterator[sdl.Lab]:
        with bench() as made:
            yield made


def found(check: str, wrong: str, **more: Any) -> tuple[str, str]:
    promise = Promise(low=0.0, high=100.0)
    with bench(wrong) as lab:
        (subject,) = subjects_of(lab, lab.stage, promises={"stage": promise}, **more)
        finding = examine(CHECKS[check], subject)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(
    ("check", "wrong", "reason"),
    [
        ("actions", "set is a reading", "declared as read"),
        ("actions", "declares too much", "trigger"),
        ("self-test", "out of order", "no air"),
        ("units", "no unit", "no units for stage"),
        ("units", "unknown unit", "furlongish"),
        ("units", "describes something else", "other"),
        ("units", "reads text", "no finite number"),
        ("units", "reads NaN", "no finite number"),
        ("timestamps", "other clock", "in the future"),
        ("timestamps", "no timestamp", "None"),
        ("limits", "takes anything", "not"),
        ("limits", "moves before it refuses", "it moved from 0"),
        ("readback", "half way", "is at 50"),
        ("readback", "too slow", "did not finish in time"),
        ("readback", "stale", "older than the command"),
        ("lies", "trusts itself", "tolerance"),
        ("stop", "does not stop", "still moves"),
        ("stop", "a stopped move goes on", "has not ended"),
        ("safe action", "no safe action", "declares none"),
        ("safe action", "unknown safe action", "run away"),
        ("safe action", "does not stop", "still moves"),
        ("time-out", "succeeds in silence", "says that set is done"),
        ("time-out", "hangs in silence", "neither failed nor succeeded"),
        ("reconnect", "shows what it knew", "fresh value"),
        ("reconnect", "stays lost", "lost"),
    ],
)
def test_each_check_finds_the_device_that_was_broken_for_it(check: str, wrong: str, reason: str) -> None:
    verdict, told = found(check, wrong)
    assert verdict == "failed", told
    assert reason in told


def switch(position: list[str], *, ignores: bool = False) -> Selector:
    async def get() -> str:
        return position[0] if not ignores else "vent"

    async def put(value: str) -> None:
        position[0] = value

    return Selector("valve", choices=("vent", "pump"), get=get, put=put, source="sim", timeout_s=5.0)


@pytest.mark.parametrize(("ignores", "verdict"), [(False, "passed"), (True, "failed")])
def test_what_is_set_to_names_is_checked_with_its_names(ignores: bool, verdict: str) -> None:
    position = ["vent"]
    with sdl.Lab("bench", clock=sdl.VirtualClock(), valve=switch(position, ignores=ignores)) as lab:
        (subject,) = subjects_of(lab)
        assert examine(CHECKS["readback"], subject).verdict == verdict
        assert examine(CHECKS["limits"], subject).verdict == "passed"
    assert position == ["pump"]
