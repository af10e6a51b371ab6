"""Every driver of a real instrument keeps the contract of devices, above its simulated instrument."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from sdl.devices import vendors
from sdl.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.simulators import vendors as simulated
from sdl.simulators.transport import SimulatedTransport
from sdl.testing import DeviceContract


def lab_with(driver: Any, instrument: Any, **settings: Any) -> Lab:
    line = SimulatedTransport(instrument, name="bench", timeout_s=5.0)
    lab = Lab("bench", clock=VirtualClock(), device=driver(line, name="device", **settings))
    lab.run(nothing)  # it is connected before its line is cut, and its threads are there before a test
    return lab


def nothing(_: Lab, __: object) -> Generator[Any, Any, None]:
    yield from ()


class TestAlicatMC(DeviceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.AlicatMC, simulated.SimulatedAlicatMC())
        yield lab
        lab.close()


class TestEurotherm3200(DeviceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.Eurotherm3200, simulated.SimulatedEurotherm3200())
        yield lab
        lab.close()


class TestIkaPlate(DeviceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.IkaPlate, simulated.SimulatedIkaPlate())
        yield lab
        lab.close()


class TestKeithley2450(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.output": "on"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        instrument = simulated.SimulatedKeithley2450()
        instrument.is_on = True
        lab = lab_with(vendors.Keithley2450, instrument)
        yield lab
        lab.close()


class TestKeysightE36312A(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.output_1.switch": "on"}

    def device(self, lab: Lab) -> Any:
        """One of three outputs that are alike."""
        return lab.device.output_1

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.KeysightE36312A, simulated.SimulatedKeysightE36312A())
        yield lab
        lab.close()


class TestMettlerSicsBalance(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.zero": "now", "device.tare": "now"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.MettlerSicsBalance, simulated.SimulatedSicsBalance())
        yield lab
        lab.close()


class TestNewEraNE1000(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.infuse": 0.4, "device.withdraw": 0.2}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.NewEraNE1000, simulated.SimulatedNE1000(), diameter_mm=19.05, volume_ml=20.0)
        yield lab
        lab.close()


class TestViciValve(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.position": "7"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        lab = lab_with(vendors.ViciValve, simulated.SimulatedViciValve())
        yield lab
        lab.close()
