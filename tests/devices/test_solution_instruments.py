"""Liquid handler, plate reader, spectrometer and potentiostat: their contracts, and what they really measure."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from sdl.devices import Hold, Limits, LiquidHandler, PlateReader, Potentiostat, Spectrometer, Sweep, absorbances
from sdl.devices.spectrometer import WAVELENGTHS
from sdl.devices.stubs import message
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.lab import Lab
from sdl.lab.virtual import VirtualClock
from sdl.simulators.solution_instruments import (
    Deck,
    LiquidHandlerTwin,
    PlateReaderTwin,
    PotentiostatTwin,
    SpectrometerTwin,
    stocked,
)
from sdl.simulators.solution_physics import CALIBRATED, FARADAY, GAS, constant, current, shown
from sdl.simulators.transport import SimulatedTransport
from sdl.testing import DeviceContract

POTENTIAL, DIFFUSION, AREA = (CALIBRATED[name][0] for name in ("potential", "diffusion", "area"))


def deck() -> Deck:
    return stocked(seed=3)


def handler(on: Deck, **changes: Any) -> LiquidHandler:
    return LiquidHandler(SimulatedTransport(LiquidHandlerTwin(on, **changes)))


def reader(on: Deck) -> PlateReader:
    return PlateReader(SimulatedTransport(PlateReaderTwin(on)))


def spectrometer(on: Deck, **changes: Any) -> Spectrometer:
    twin = SpectrometerTwin(on, "cuvette", wavelengths=WAVELENGTHS, **changes)
    return Spectrometer(SimulatedTransport(twin), wavelengths=WAVELENGTHS)


def potentiostat(on: Deck, **changes: Any) -> Potentiostat:
    return Potentiostat(SimulatedTransport(PotentiostatTwin(on, "cell", **changes)))


def tried(plan: Any, **devices: Any) -> Any:
    """Run *plan* of the laboratory in a run of its own, and return what it returns."""

    found: list[Any] = []

    def keep(lab: Any) -> Any:
        found.append((yield from plan(lab)))

    def whole(lab: Any, _: object) -> Any:
        yield message("open_run")
        yield from keep(lab)
        yield message("close_run")

    with Lab("bench", clock=VirtualClock(), **devices) as lab:
        lab.run(whole)
    return found[-1]


# --- the contract -----------------------------------------------------------------------------------------------------


def nothing(_: Lab, __: object) -> Generator[Any, Any, None]:
    yield from ()


def bench(**devices: Any) -> Iterator[Lab]:
    lab = Lab("bench", clock=VirtualClock(), **devices)
    lab.run(nothing)  # it is connected before its line is cut, and its threads are there before a test
    yield lab
    lab.close()


class TestSpectrometer(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.lamp": "on"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        twin = SpectrometerTwin(deck(), "cuvette", wavelengths=WAVELENGTHS)
        line = SimulatedTransport(twin, timeout_s=5.0)
        yield from bench(device=Spectrometer(line, wavelengths=WAVELENGTHS, integration=Limits(1.0, 100.0)))


class TestPotentiostat(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.technique": Hold(0.6, 20.0)}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        twin = PotentiostatTwin(deck(), "cell")
        yield from bench(device=Potentiostat(SimulatedTransport(twin, timeout_s=5.0)))


class TestPlateReader(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.tray": "in"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        twin = PlateReaderTwin(deck())
        yield from bench(device=PlateReader(SimulatedTransport(twin, timeout_s=5.0)))


class TestLiquidHandler(DeviceContract):
    values: ClassVar[Mapping[str, object]] = {"device.pipetting": ("water", "A1", 20.0), "device.tip": "new"}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls) -> Iterator[Lab]:
        twin = LiquidHandlerTwin(deck())
        twin.has_tip = True
        yield from bench(device=LiquidHandler(SimulatedTransport(twin, timeout_s=5.0)))


# --- what they measure ------------------------------------------------------------------------------------------------


def test_what_was_pipetted_is_what_the_reader_sees() -> None:
    """Beer and Lambert: 20 uL of dye of 1 mmol/L in 200 uL, on a path of volume over cross-section."""

    def plan(lab: Any) -> Any:
        yield from lab.handler.pipette("water", {"A1": 180.0, "B1": 200.0})
        yield from lab.handler.pipette("dye", {"A1": 20.0, "C1": 250.0})
        return (yield from lab.reader.measure(wavelength=520.0))

    on = deck()
    found = tried(plan, handler=handler(on), reader=reader(on))
    expected = constant("epsilon") * 20e-9 / 0.32 * 1e3  # moles over area, with 1000 cm^3 in a litre
    assert found["A1"].value == pytest.approx(expected, rel=0.1)
    assert abs(found["B1"].value) < 0.02
    assert "C1" not in found  # over its range: no number is made up for it
    assert on.places["C1"].volume_ul == pytest.approx(250.0, abs=6.0)  # in two strokes


def test_stray_light_bounds_what_can_be_shown() -> None:
    assert shown(0.5) == pytest.approx(0.5, abs=1e-3)
    assert shown(6.0) == pytest.approx(4.0, abs=0.01)


def test_a_spectrum_with_dark_and_reference_gives_the_band_of_the_dye() -> None:
    def plan(lab: Any) -> Any:
        black = yield from lab.eye.dark()
        light = yield from lab.eye.measure()
        return black, light

    def blank(lab: Any) -> Any:
        yield from lab.eye.dark()
        return (yield from lab.eye.measure())

    black, light = tried(plan, eye=spectrometer(deck()))
    empty = deck()
    empty.places["cuvette"].nanomoles = 0.0
    found = absorbances(light, tried(blank, eye=spectrometer(empty)), black)
    assert WAVELENGTHS[int(np.argmax(found))] == pytest.approx(520.0, abs=10.0)
    assert max(found) == pytest.approx(constant("epsilon") * 5e-5, rel=0.1)


def test_a_saturated_spectrum_is_no_data_and_a_lamp_that_does_not_ignite_is_a_fault() -> None:
    def long(lab: Any) -> Any:
        yield from lab.eye.dark()
        lab.eye._line.transport.instrument.integration_ms = 500.0
        return (yield from lab.eye.measure())

    with pytest.raises(DeviceError, match="is saturated at"):
        tried(long, eye=spectrometer(deck()))
    with pytest.raises(DeviceTimeout, match="is at 'off', 10 s after it was told 'on'"):
        tried(lambda lab: lab.eye.dark(), eye=spectrometer(deck(), lamp_fails=True))


def test_the_lamp_is_on_again_after_a_dark_spectrum_that_failed() -> None:
    eye = spectrometer(deck())
    twin: Any = eye._line.transport.instrument  # type: ignore[attr-defined] # a simulated transport
    twin._acquire = lambda: "ERR 50 shutter"
    with pytest.raises(DeviceError, match="error 50: shutter"):
        tried(lambda lab: lab.eye.dark(), eye=eye)
    assert twin.lit_since is not None


def test_a_sweep_has_the_peak_of_randles_and_sevcik_and_a_step_decays_as_cottrell_says() -> None:
    rate, molar = 0.1, 1e-3
    sweep = Sweep(0.0, 0.8, rate)
    found = tried(lambda lab: lab.cell.run(sweep), cell=potentiostat(deck()))
    peak = 0.4463 * FARADAY * AREA * molar * 1e-3 * math.sqrt(FARADAY * rate * DIFFUSION / (GAS * 298.15))
    charging = constant("double_layer") * AREA * rate
    i = np.array(found["current"])
    assert i.max() - charging == pytest.approx(peak, rel=0.03)
    apart = found["potential"][int(i.argmax())] - found["potential"][int(i.argmin())]
    assert apart == pytest.approx(0.059, abs=0.006)
    step = np.full(20_000, POTENTIAL + 0.5)
    late = current(step, 1e-3, molar)[-1]
    assert late == pytest.approx(FARADAY * AREA * molar * 1e-3 * math.sqrt(DIFFUSION / (math.pi * 20.0)), rel=0.01)


@pytest.mark.parametrize("sweep", [Sweep(0.0, 0.8, 0.0), Sweep(0.0, 0.8, 0.1, cycles=1.5)])  # type: ignore[arg-type]
def test_a_sweep_that_cannot_be_is_refused(sweep: Sweep) -> None:
    with pytest.raises(LimitError, match="was told"):
        tried(lambda lab: lab.cell.run(sweep), cell=potentiostat(deck()))


def test_more_current_than_it_can_give_is_a_fault_and_no_trace() -> None:
    with pytest.raises(DeviceError, match="71 current overload"):
        tried(lambda lab: lab.cell.run(Sweep(0.0, 0.8, 0.1)), cell=potentiostat(deck(), range_a=1e-6))


def test_what_no_cell_and_no_tip_can_stand_is_refused() -> None:
    on = deck()
    techniques: list[Any] = [Sweep(0.0, 3.0, 0.1), Sweep(0.0, 0.8, 50.0), Sweep(0.1, 0.1, 0.1), Hold(0.5, 0.0), "hold"]
    for technique in techniques:
        with pytest.raises(LimitError):
            potentiostat(on).technique.check_value(technique)
    for transfer in (("water", "A1", 500.0), ("water", "A1", math.nan), ("the water", "A1", 20.0)):
        with pytest.raises(LimitError):
            handler(on).pipetting.check_value(transfer)
    with pytest.raises(LimitError):
        handler(on).tip.check_value("old")


@pytest.mark.parametrize(
    ("transfers", "changes", "why"),
    [
        ([("dye", "A1", 200.0), ("dye", "A1", 200.0)], {}, "43 the target would overflow"),
        ([("A1", "B1", 100.0)], {}, "42 it drew air"),
        ([("dye", "Z9", 100.0)], {}, "no place Z9"),
        ([("dye", "A1", 100.0)], {"blocked": 1.0}, "41 the tip is blocked"),
        ([("dye", "A1", 100.0)], {"n_tips": 0}, "no tips left"),
    ],
)
def test_what_goes_wrong_on_a_deck_ends_the_transfer(transfers: Any, changes: dict[str, Any], why: str) -> None:
    def plan(lab: Any) -> Any:
        for source, target, volume in transfers:
            yield from lab.handler.pipette(source, {target: volume})

    with pytest.raises(DeviceError, match=why):
        tried(plan, handler=handler(deck(), **changes))
