"""Kinds of instruments: which drivers are of which kind, for type checkers and at run time."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from ophyd_async.sim import SimMotor

from sdl.devices import (
    BeamCamera,
    BoxFurnace,
    Chromatograph,
    Diffractometer,
    Dispenser,
    Limits,
    LiquidHandler,
    Motor,
    PlateReader,
    Potentiostat,
    Spectrometer,
    SputterSource,
    TransferRobot,
    kinds,
    vendors,
)
from sdl.devices.kinds import (
    KINDS,
    Balance,
    Camera,
    Chromatography,
    Depositing,
    Dosing,
    Furnace,
    Heater,
    MassFlowController,
    PowerSupply,
    Pump,
    RobotArm,
    Scanning,
    Setting,
    SourceMeter,
    Stirrer,
    SyringePump,
    Valve,
    check_kind,
    kinds_of,
)
from sdl.errors import LabError
from sdl.simulators.transport import SimulatedTransport


class Nobody:
    def answer(self, line: str) -> str:
        raise AssertionError(f"a kind is found out without asking, and this was asked: {line}")


LINE = SimulatedTransport(Nobody())

# What a type checker reads: each of these is of its kind without a base class.
SYRINGE_PUMP: SyringePump = vendors.NewEraNE1000(LINE, diameter_mm=20.0, volume_ml=20.0)
PUMP: Pump = SYRINGE_PUMP
VALVE: Valve = vendors.ViciValve(LINE)
BALANCE: Balance = vendors.MettlerSicsBalance(LINE)
OVEN: Heater = vendors.Eurotherm3200(LINE)
PLATE: Heater = vendors.IkaPlate(LINE)
STAGE: Heater = SputterSource(LINE)
STIRRER: Stirrer = vendors.IkaPlate(LINE)
FURNACE: Furnace = BoxFurnace(LINE)
GAS: MassFlowController = vendors.AlicatMC(LINE)
SOURCE_METER: SourceMeter = vendors.Keithley2450(LINE)
SUPPLY: PowerSupply = vendors.KeysightE36312A(LINE).output_1
SPUTTER: Depositing = SputterSource(LINE)
DISPENSER: Dosing = Dispenser(LINE, materials={"water": Limits(0.1, 10.0)}, unit="mL")
DIFFRACTOMETER: Scanning = Diffractometer(LINE, n_angles=100)
SPECTROMETER: kinds.Spectrometer = Spectrometer(LINE, wavelengths=(400.0, 500.0))
POTENTIOSTAT: kinds.Potentiostat = Potentiostat(LINE)
PLATE_READER: kinds.PlateReader = PlateReader(LINE)
LIQUID_HANDLER: kinds.LiquidHandler = LiquidHandler(LINE)
CHROMATOGRAPH: Chromatography = Chromatograph(LINE, analytes={"hydrogen": "mmol"})
CAMERA: Camera = BeamCamera(LINE)
ROBOT: RobotArm = TransferRobot(LINE)
MOTOR: Setting = Motor(LINE, axis="x", name="x", unit="mm", limits=Limits(0.0, 1.0), tolerance=0.1)

OF: list[tuple[object, type]] = [
    (SYRINGE_PUMP, SyringePump),
    (PUMP, Pump),
    (VALVE, Valve),
    (BALANCE, Balance),
    (OVEN, Heater),
    (PLATE, Heater),
    (STAGE, Heater),
    (STIRRER, Stirrer),
    (FURNACE, Furnace),
    (GAS, MassFlowController),
    (SOURCE_METER, SourceMeter),
    (SUPPLY, PowerSupply),
    (SPUTTER, Depositing),
    (DISPENSER, Dosing),
    (DIFFRACTOMETER, Scanning),
    (SPECTROMETER, kinds.Spectrometer),
    (POTENTIOSTAT, kinds.Potentiostat),
    (PLATE_READER, kinds.PlateReader),
    (LIQUID_HANDLER, kinds.LiquidHandler),
    (CHROMATOGRAPH, Chromatography),
    (CAMERA, Camera),
    (ROBOT, RobotArm),
]


@pytest.mark.parametrize(("device", "kind"), OF, ids=lambda value: getattr(value, "__name__", ""))
def test_a_driver_is_of_its_kind(device: object, kind: type) -> None:
    check_kind(device, kind)


def test_every_kind_has_a_driver() -> None:
    assert {kind for _, kind in OF} == set(KINDS)


def test_the_reference_shows_every_kind_with_its_drivers() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "devices.md"
    rows = [row.split("|") for row in page.read_text(encoding="utf-8").splitlines() if row.startswith("| `")]
    shown = {row[1].strip(" `"): row[3] for row in rows}
    for device, kind in OF:
        assert f"`{type(device).__name__}`" in shown[kind.__name__]
        assert kind.__name__ in kinds_of(device)


def test_a_driver_may_be_of_several_kinds() -> None:
    assert kinds_of(PLATE) == ("Heater", "Stirrer")
    assert kinds_of(SYRINGE_PUMP) == ("Pump", "SyringePump")
    assert kinds_of(SPUTTER) == ("Heater", "Depositing")
    assert kinds_of(object()) == ()


def test_what_is_missing_is_named() -> None:
    class Half:
        def __init__(self) -> None:
            self.name = "half"
            self.infuse = SYRINGE_PUMP.infuse
            self.rate = vendors.IkaPlate(LINE).speed

    with pytest.raises(LabError) as raised:
        check_kind(Half(), SyringePump)
    assert raised.value.message == "half is no SyringePump: its rate is in rpm, which is no mL/min; it has no withdraw"


def test_an_act_of_another_class_is_another_kind() -> None:
    class Lamp:
        name = "lamp"
        action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

        def __init__(self) -> None:
            self.shutter, self.power = self, vendors.KeysightE36312A(LINE).output_1.voltage

        def set(self, value: float) -> None: ...
        def stop(self, success: bool = True) -> None: ...

    with pytest.raises(LabError) as raised:
        check_kind(Lamp(), Depositing)
    assert "its power is in V, which is no W" in raised.value.message
    assert "to set its shutter is set_absolute, not cumulative" in raised.value.message


def test_an_ophyd_device_may_be_a_part() -> None:
    class Stage:
        def __init__(self) -> None:
            self.name = "stage"
            self.speed = SimMotor(name="speed")

    assert kinds_of(Stage()) == ("Stirrer",)
