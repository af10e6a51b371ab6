"""Devices of ophyd and ophyd-async in a laboratory, as they are: their verbs are known from their bases."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import ophyd
import pytest
from ophyd.sim import SynAxis, SynGauss
from ophyd_async.core import AsyncStatus, StandardReadable
from ophyd_async.sim import SimMotor

import sdl
from sdl.errors import LabError, LimitError
from sdl.lab.actions import ActionClass
from sdl.testing import DeviceContract
from sdl.testing.device_checks import CHECKS, examine
from sdl.testing.device_subject import subjects_of


class Shutter(StandardReadable):
    """A device of somebody's own on ophyd-async's base: nobody knows what its ``set`` does to a sample."""

    @AsyncStatus.wrap
    async def set(self, value: float) -> None:
        await asyncio.sleep(0)


class AxisWithUnit(ophyd.SoftPositioner):  # type: ignore[misc] # it has no types
    """A positioner of ophyd."""


def ophyd_lab() -> sdl.Lab:
    axis: Any = AxisWithUnit(name="axis", egu="mm", limits=(0, 10), init_pos=0.0)
    return sdl.Lab("ophyd", axis=axis, safe_actions={"axis": "stop_now"})


def async_lab() -> sdl.Lab:
    return sdl.Lab("async", x=SimMotor("x"), limits={"x": (0, 1)}, safe_actions={"x": "stop_now"})


class TestOphydPositioner(DeviceContract):
    stop_seconds = 0.1

    @pytest.fixture
    def lab(self) -> Iterator[sdl.Lab]:
        with ophyd_lab() as made:
            yield made


@pytest.mark.parametrize("check", ["actions", "units", "limits", "readback", "lies"])
def test_a_motor_of_ophyd_async_keeps_the_contract(check: str) -> None:
    with async_lab() as lab:
        (subject,) = subjects_of(lab)
        finding = examine(CHECKS[check], subject)
    assert finding.verdict == "passed", finding.reason


def test_both_kinds_work_in_one_plan() -> None:
    motor: Any = SynAxis(name="motor")
    detector: Any = SynGauss("detector", motor, "motor", center=3, Imax=10, sigma=1)

    def plan(lab: Any, s: Any) -> Generator[Any, Any, float]:
        yield from bps.mv(lab.motor, s["at"], lab.x, 0.5)
        found = yield from bps.trigger_and_read([lab.detector, lab.x])
        return float(found["detector"]["value"]) if found else 0.0

    with sdl.Lab("both", motor=motor, detector=detector, x=SimMotor("x"), limits={"motor": (0, 5)}) as lab:
        assert lab.run(plan, {"at": 3.0}) == pytest.approx(10)
        with pytest.raises(LimitError, match="allows 0 to 5"):
            lab.run(plan, {"at": 6.0})


def test_a_verb_that_nobody_knows_is_refused_until_it_is_declared() -> None:
    with pytest.raises(LabError) as refused:
        sdl.Lab("bench", shutter=Shutter("shutter"))
    assert 'Lab(..., actions={"shutter": {"set": "..."}})' in str(refused.value)
    with sdl.Lab("bench", shutter=Shutter("shutter"), actions={"shutter": {"set": "cumulative"}}) as lab:
        assert lab.stations["bench"].actions.of(lab.shutter, "set") is ActionClass.CUMULATIVE
