"""What the drivers of real instruments do beyond the contract: units, refusals, alarms, counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import bluesky.protocols as bp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.devices import Limits
from sdl.devices import vendors as real
from sdl.devices.vendors.new_era_ne1000 import four
from sdl.errors import DeviceError, DeviceTimeout, LimitError, ReadbackError, SdlError
from sdl.simulators import vendors as simulated
from sdl.simulators.transport import Reply, SimulatedTransport

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def done(status: bp.Status) -> None:
    """Wait for a status, raise what went wrong."""
    event = asyncio.Event()
    status.add_callback(lambda _: event.set())
    await event.wait()
    if (error := status.exception()) is not None:
        raise error


class Instead:
    """Answers some lines otherwise than the instrument would, and keeps what was said."""

    def __init__(self, instrument: Any, **answers: str | Reply) -> None:
        self.instrument = instrument
        self.answers: dict[str, str | Reply] = answers
        self.heard: list[str] = []

    def answer(self, line: str) -> str | Reply:
        self.heard.append(line)
        return self.answers.get(line) or self.instrument.answer(line)


def line(instrument: Any, timeout_s: float = 60.0) -> SimulatedTransport:
    return SimulatedTransport(instrument, name="bench", timeout_s=timeout_s)


# --- SCPI -------------------------------------------------------------------------------------------------------------


def test_a_source_measures_its_resistor_and_says_when_it_is_at_its_limit(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedKeithley2450(ohms=1000.0)
        smu = real.Keithley2450(line(instrument), current_limit_a=0.005, is_four_wire=True)
        await done(smu.voltage.set(2.5))
        with pytest.raises(DeviceError, match="while its output is off"):
            await done(smu.current.trigger())
        await done(smu.output.set("on"))
        await done(smu.current.trigger())
        readings = smu.current.read()
        assert readings["smu_current"]["value"] == pytest.approx(2.5e-3)
        assert readings["smu_voltage_measured"]["value"] == pytest.approx(2.5)
        await done(smu.voltage.set(10.0))
        with pytest.raises(DeviceError, match=r"current limit: 0.005 A at 5 V"):
            await done(smu.current.trigger())
        assert instrument.settings["SENS:CURR:RSEN"] == "ON"
        assert "MODEL 2450" in await smu.self_test()

    virtually(main())


def test_an_instrument_with_scpi_says_why_it_refuses_and_later_commands_are_not_blamed(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedKeysightE36312A()
        supply = real.KeysightE36312A(line(instrument), voltages={2: Limits(0.0, 12.0)})
        await done(supply.output_2.voltage.set(5.0))
        assert instrument.outputs[2].protection == pytest.approx(13.2)
        instrument.errors += ['-350,"Queue overflow"', '-113,"Undefined header"']
        with pytest.raises(DeviceError, match=r"refused 'OUTP ON,\(@2\)': -350"):
            await done(supply.output_2.switch.set("on"))
        await done(supply.output_2.switch.set("on"))
        assert await supply.output_2.measured_voltage.value() == pytest.approx(5.0)
        assert await supply.output_2.measured_current.value() == pytest.approx(0.1)
        with pytest.raises(LimitError, match="0 to 12 V"):
            supply.output_2.voltage.set(13.0)

    virtually(main())


def test_a_tripped_protection_is_told(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedKeysightE36312A()
        supply = real.KeysightE36312A(line(instrument))
        await supply.self_test()
        instrument.outputs[1].is_tripped = True
        with pytest.raises(DeviceError, match="supply_1 has tripped its over-voltage protection"):
            await done(supply.output_1.switch.set("on"))
        with pytest.raises(DeviceError, match="over-voltage"):
            await supply.self_test()

    virtually(main())


def test_another_instrument_than_expected_is_told_nothing(virtually: Run) -> None:
    async def main() -> None:
        other = Instead(simulated.SimulatedKeithley2450())
        supply = real.KeysightE36312A(line(other))
        with pytest.raises(DeviceError, match=r"supply is to be 'E36312A', and simulated://bench answers 'KEITHLEY"):
            await done(supply.output_1.switch.set("on"))
        assert other.heard == ["*IDN?"]

    virtually(main())


# --- the balance ------------------------------------------------------------------------------------------------------


def test_a_balance_waits_until_it_is_stable_tares_and_converts(virtually: Run) -> None:
    async def main() -> None:
        scale = simulated.SimulatedSicsBalance(settling_s=4.0)
        balance = real.MettlerSicsBalance(line(scale), unit="mg")
        scale.put(25.0)
        await done(balance.tare.set("now"))
        scale.put(25.5)
        start = asyncio.get_running_loop().time()
        await done(balance.mass.trigger())
        assert asyncio.get_running_loop().time() - start > 4.0
        assert balance.mass.read()["balance_mass"]["value"] == pytest.approx(500.0)
        with pytest.raises(LimitError, match="'later'"):
            balance.zero.set("later")

    virtually(main())


@pytest.mark.parametrize(
    ("command", "answer", "text"),
    [
        ("S", "S I", "cannot do it now"),
        ("S", "S +", "is overloaded"),
        ("S", "S -", "is underloaded"),
        ("S", "EL", "cannot execute it: 'S'"),
        ("S", "S S 12.0", "expected a number and a unit"),
        ("S", "S S twelve g", "expected a number and a unit"),
        ("S", "S D     12.0000 g", "expected a stable weight"),
        ("S", "S S     12.0000 ml", "balance_mass"),
        ("S", "I4 A", "expected an answer to S"),
        ("I4", 'I4 A "B9999"', "is to be"),
    ],
)
def test_what_a_balance_says_otherwise_is_no_weight(virtually: Run, command: str, answer: str, text: str) -> None:
    async def main() -> None:
        scale = Instead(simulated.SimulatedSicsBalance(), **{command: answer})
        balance = real.MettlerSicsBalance(line(scale), serial_number="B0210")
        with pytest.raises(SdlError, match=text):
            await done(balance.mass.trigger())

    virtually(main())


# --- the syringe pump -------------------------------------------------------------------------------------------------


def syringe(instrument: Any, **settings: Any) -> real.NewEraNE1000:
    return real.NewEraNE1000(line(instrument), diameter_mm=19.05, volume_ml=20.0, **settings)


def test_a_pump_moves_what_it_was_told_and_counts_it(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedNE1000()
        pump = syringe(instrument)
        await done(pump.rate.set(3.0))
        start = asyncio.get_running_loop().time()
        await done(pump.infuse.set(1.5))
        assert 30 <= asyncio.get_running_loop().time() - start < 40
        assert instrument.counted == {"INF": 1.5, "WDR": 0.0}
        assert instrument.diameter == 19.05
        await done(pump.withdraw.set(1.25))
        await done(pump.infuse.set(0.5))
        assert instrument.counted == {"INF": 0.5, "WDR": 1.25}

    virtually(main())


def test_a_pump_that_is_stopped_says_how_much_it_was(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedNE1000()
        pump = syringe(instrument)
        await done(pump.rate.set(1.0))
        status = pump.infuse.set(5.0)
        await asyncio.sleep(60)
        await pump.infuse.stop()
        with pytest.raises(DeviceError, match=r"was stopped after (1|0.99\d|1.0\d*) of 5 mL"):
            await done(status)
        assert instrument.state == "P"
        await done(pump.infuse.set(0.1))  # a paused pump is reset first, or it would go on with the rest
        assert instrument.counted["INF"] == pytest.approx(0.1)

    virtually(main())


@pytest.mark.parametrize(
    ("answers", "kind", "text"),
    [
        ({"00RUN": "\x0200A?S"}, DeviceError, "alarm S: it is stalled"),
        ({"00VOL5.000": "\x0200S?OOR"}, DeviceError, "refused 'VOL5.000': out of its range"),
        ({"00DIS": "\x0200SI4.200W0.000ML"}, ReadbackError, "has moved 4.2 mL, and was told 5 mL"),
        ({"00DIS": "\x0200SI5000.W0.000UL"}, None, ""),
        ({"00DIS": "\x0200Smuch"}, DeviceError, "expected the volumes"),
        ({"00": "\x0207S"}, DeviceError, "expected an answer of the pump 00"),
        ({"00": "\x0200I"}, DeviceError, "is pumping already"),
        ({"00RAT": "\x0200S5.000UH"}, DeviceError, "expected a rate in mL/min"),
    ],
)
def test_what_goes_wrong_at_a_pump(
    virtually: Run, answers: dict[str, str], kind: type[SdlError] | None, text: str
) -> None:
    async def main() -> None:
        pump = syringe(Instead(simulated.SimulatedNE1000(), **answers))
        if kind is None:
            await done(pump.infuse.set(5.0))
            return
        with pytest.raises(kind, match=text):
            await done(pump.infuse.set(5.0))

    virtually(main())


def test_a_pump_that_does_not_end_is_stopped(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedNE1000()
        pump = syringe(instrument)
        await done(pump.rate.set(2.0))
        status = pump.infuse.set(1.0)
        await asyncio.sleep(5)
        instrument.rate = 0.001
        with pytest.raises(DeviceTimeout, match="should have needed 30 s; it was stopped"):
            await done(status)
        assert instrument.state == "P"

    virtually(main())


def test_pumps_that_share_a_line_have_addresses(virtually: Run) -> None:
    class Both:
        def __init__(self) -> None:
            self.pumps = [simulated.SimulatedNE1000(), simulated.SimulatedNE1000(7)]

        def answer(self, line: str) -> str:
            return "".join(pump.answer(line) for pump in self.pumps)

    async def main() -> None:
        both = Both()
        shared = line(both)
        first = real.NewEraNE1000(shared, diameter_mm=10.0, volume_ml=5.0)
        second = real.NewEraNE1000(shared, diameter_mm=20.0, volume_ml=20.0, address=7, name="other")
        await asyncio.gather(done(first.infuse.set(0.5)), done(second.withdraw.set(1.0)))
        assert [pump.counted for pump in both.pumps] == [{"INF": 0.5, "WDR": 0.0}, {"INF": 0.0, "WDR": 1.0}]

    virtually(main())


@settings(max_examples=30)
@given(st.floats(0.001, 9999, allow_nan=False))
def test_a_pump_is_told_four_digits_at_most(value: float) -> None:
    text = four(value)
    assert len(text.replace(".", "")) <= 4
    assert abs(float(text) - value) <= max(0.0005, 0.0005 * value) * 1.001


# --- controllers ------------------------------------------------------------------------------------------------------


def test_an_oven_ramps_at_its_own_rate_and_a_broken_sensor_is_no_reading(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedEurotherm3200()
        oven = real.Eurotherm3200(line(instrument))
        await done(oven.rate.set(10.0))
        start = asyncio.get_running_loop().time()
        await done(oven.temperature.set(120))
        assert asyncio.get_running_loop().time() - start > 600
        status = oven.temperature.set(200)
        await asyncio.sleep(60)
        instrument.is_sensor_broken = True
        with pytest.raises(DeviceError, match="oven reports a broken sensor"):
            await done(status)

    virtually(main())


@pytest.mark.parametrize(
    ("set_up", "text"),
    [
        ({"state": "MOV"}, "reports MOV: mass flow beyond its range"),
        ({"state": "ADC LCK"}, "reports ADC"),
        ({"gas": "Ar"}, "reckons with Ar, not with N2"),
        ({"_full_scale": 20.0}, r"answered '\?'"),
    ],
)
def test_a_flow_controller_that_is_not_in_order_sets_nothing(virtually: Run, set_up: dict[str, Any], text: str) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedAlicatMC()
        vars(instrument).update(set_up)
        gas = real.AlicatMC(line(instrument), full_scale=100.0)
        with pytest.raises(DeviceError, match=text):
            await done(gas.flow.set(50.0))

    virtually(main())


def test_a_locked_display_and_a_total_in_the_frame_do_no_harm(virtually: Run) -> None:
    async def main() -> None:
        frame = "A +014.70 +025.00 +02.004 +02.004 02.000 +0000012.5 N2 LCK"
        gas = real.AlicatMC(line(Instead(simulated.SimulatedAlicatMC(), A=frame)))
        assert (await gas.flow.read())["gas_flow"]["value"] == 2.004
        assert (await gas.temperature.read())["gas_temperature"]["value"] == 25.0

    virtually(main())


def test_a_plate_is_asked_whether_it_took_its_set_point(virtually: Run) -> None:
    async def main() -> None:
        instrument = simulated.SimulatedIkaPlate()
        plate = real.IkaPlate(line(instrument))
        await asyncio.gather(done(plate.temperature.set(60)), done(plate.speed.set(400)))
        assert instrument.is_on == {1: True, 4: True}
        await asyncio.gather(done(plate.temperature.set(20)), done(plate.speed.set(0)))
        assert instrument.is_on == {1: False, 4: False}
        deaf = real.IkaPlate(line(Instead(simulated.SimulatedIkaPlate(), IN_SP_1="25.0 1")))
        with pytest.raises(DeviceError, match="plate was told the set-point 60, and has 25"):
            await done(deaf.temperature.set(60))
        other = real.IkaPlate(line(Instead(simulated.SimulatedIkaPlate(), IN_PV_4="25.0 1")))
        with pytest.raises(DeviceError, match="the quantity"):
            await other.speed.read()

    virtually(main())


@pytest.mark.parametrize(
    ("n", "target", "is_legacy"), [(10, "7", False), (10, "10", True), (2, "B", False), (2, "B", True)]
)
def test_a_valve_turns_and_says_where_it_is(virtually: Run, n: int, target: str, is_legacy: bool) -> None:
    async def main() -> None:
        valve = real.ViciValve(line(simulated.SimulatedViciValve(n, is_legacy=is_legacy)), n_positions=n)
        await done(valve.position.set(target))
        assert (await valve.position.read())["valve_position"]["value"] == target
        assert valve.position.describe()["valve_position"]["dtype"] == "string"
        assert target in await valve.self_test()
        with pytest.raises(LimitError, match="was told 'C'"):
            valve.position.set("C")

    virtually(main())


def test_a_valve_that_sticks_has_failed(virtually: Run) -> None:
    async def main() -> None:
        valve = real.ViciValve(line(Instead(simulated.SimulatedViciValve(), CP="CP03")))
        with pytest.raises(DeviceTimeout, match="is at '3', 10 s after it was told '5'"):
            await done(valve.position.set("5"))
        status = valve.position.set("5")
        await asyncio.sleep(1)
        await valve.position.stop()
        with pytest.raises(DeviceError, match="was stopped at '3'"):
            await done(status)
        wrong = real.ViciValve(line(simulated.SimulatedViciValve(6)))
        with pytest.raises(DeviceError, match="is to have 10 positions, and says 'NP06'"):
            await wrong.self_test()

    virtually(main())
