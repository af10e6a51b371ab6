"""The drivers of source, robot and probe, above simulated instruments and above recorded traffic."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import bluesky.protocols as bp
import pytest

from sdl.devices import FourPointProbe, RecordingTransport, ReplayTransport, SputterSource, TransferRobot
from sdl.devices.probe import mean_and_error
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.simulators.thin_film_instruments import Chamber, Faults, ProbeInstrument, RobotInstrument, SputterInstrument
from sdl.simulators.transport import Reply, SimulatedTransport

Run = Callable[[Coroutine[Any, Any, Any]], Any]
RECORDINGS = Path(__file__).parent / "recordings"


class Bench:
    """The three instruments and the drivers above them, outside any laboratory."""

    def __init__(self, **faults: float) -> None:
        self.chamber = Chamber(3, Faults(**faults))
        self.source = SputterInstrument(self.chamber)
        self.arm = RobotInstrument(self.chamber, self.source)
        self.sputter = SputterSource(SimulatedTransport(self.source, name="sputter"))
        self.robot = TransferRobot(SimulatedTransport(self.arm, name="robot"))
        self.probe = FourPointProbe(SimulatedTransport(ProbeInstrument(self.chamber), name="probe"))

    async def make_film(self, seconds: float = 1200.0) -> None:
        await done(self.robot.seat.set("stage"))
        await asyncio.gather(done(self.sputter.oxygen.set(0.08)), done(self.sputter.temperature.set(330)))
        await done(self.sputter.shutter.set(seconds))


async def done(status: bp.Status) -> None:
    """Wait for a status, raise what went wrong."""
    event = asyncio.Event()
    status.add_callback(lambda _: event.set())
    await event.wait()
    if (error := status.exception()) is not None:
        raise error


def test_a_film_is_made_carried_and_measured(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.make_film()
        assert await bench.sputter.exposed.value() == 1200.0
        await done(bench.sputter.mode.set("standby"))
        await done(bench.robot.seat.set("probe"))
        await done(bench.probe.resistance.trigger())
        readings = bench.probe.resistance.read()
        assert 30 < readings["probe_resistance"]["value"] < 55
        assert 0 < readings["probe_resistance_error"]["value"] < 5
        assert await bench.robot.places() == {"stage": "", "probe": "S0.1:used"}

    virtually(main())


def test_the_seats_do_only_what_is_missing(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        loop = asyncio.get_running_loop()
        await done(bench.robot.seat.set("stage"))
        start = loop.time()
        await done(bench.robot.seat.set("stage"))
        assert loop.time() - start < 1
        await bench.make_film(60)
        await done(bench.robot.seat.set("stage"))  # a used film on the stage gives way to a new substrate
        assert await bench.robot.places() == {"stage": "S0.2:new", "probe": ""}
        with pytest.raises(DeviceError, match="no film to measure"):
            await done(bench.robot.seat.set("probe"))

    virtually(main())


@pytest.mark.parametrize(
    ("transfer", "reason"),
    [
        (("stage", "probe"), "stage is empty"),
        (("cassette", "shelf"), "unknown place"),
        (("probe", "cassette"), "probe is empty"),
    ],
)
def test_impossible_transfers_are_refused(virtually: Run, transfer: tuple[str, str], reason: str) -> None:
    async def main() -> None:
        with pytest.raises(DeviceError, match=reason):
            await done(Bench().robot.arm.set(transfer))

    virtually(main())


def test_a_full_place_and_a_running_source_stop_the_robot(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        await done(bench.robot.arm.set(("cassette", "stage")))
        with pytest.raises(DeviceError, match="error 22: stage is occupied"):
            await done(bench.robot.arm.set(("cassette", "stage")))
        await done(bench.sputter.oxygen.set(0.1))
        exposure = bench.sputter.shutter.set(600)
        await asyncio.sleep(400)
        with pytest.raises(DeviceError, match="the source is running"):
            await done(bench.robot.arm.set(("stage", "probe")))
        await done(exposure)

    virtually(main())


def test_a_stopped_deposition_closes_the_shutter_and_has_failed(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        await done(bench.robot.seat.set("stage"))
        await done(bench.sputter.oxygen.set(0.1))
        exposure = bench.sputter.shutter.set(1200)
        await asyncio.sleep(300 + 600)
        assert bench.source.is_open
        await bench.sputter.shutter.stop()
        with pytest.raises(DeviceError, match="exposure was stopped, open for about"):
            await done(exposure)
        assert not bench.source.is_open
        assert 599 < await bench.sputter.exposed.value() < 602
        assert (await bench.robot.places())["stage"].endswith(":used")

    virtually(main())


def test_a_robot_that_was_stopped_works_again_after_a_reset(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        transfer = bench.robot.arm.set(("cassette", "stage"))
        await asyncio.sleep(100)
        await bench.robot.arm.stop()
        with pytest.raises(DeviceError, match="stopped on the way from cassette to stage"):
            await done(transfer)
        with pytest.raises(DeviceError, match="not before a reset"):
            await done(bench.robot.arm.set(("cassette", "stage")))
        messages: list[Any] = list(bench.robot.reset())
        await messages[0].args[0][0]()
        await done(bench.robot.arm.set(("cassette", "stage")))

    virtually(main())


def test_faults_are_device_errors_that_say_what_happened(virtually: Run) -> None:
    async def main() -> None:
        with pytest.raises(DeviceError, match=r"sample S0\.1 lost on the way to stage"):
            await Bench(robot_drop=1.0).make_film()
        with pytest.raises(DeviceError, match="the plasma did not light"):
            await Bench(no_plasma=1.0).make_film()
        bench = Bench(no_contact=1.0)
        await bench.make_film()
        await done(bench.robot.seat.set("probe"))
        with pytest.raises(DeviceError, match="no contact"):
            await done(bench.probe.resistance.trigger())

    virtually(main())


def test_the_source_refuses_what_makes_no_film(virtually: Run) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(DeviceError, match="no gas"):
            await done(bench.sputter.shutter.set(60))
        await done(bench.sputter.oxygen.set(0.1))
        with pytest.raises(DeviceError, match="no substrate"):
            await done(bench.sputter.shutter.set(60))
        await done(bench.robot.seat.set("stage"))
        exposure = bench.sputter.shutter.set(60)
        await asyncio.sleep(10)
        with pytest.raises(DeviceError, match="not during an exposure"):
            await done(bench.sputter.power.set(120))
        await done(exposure)

    virtually(main())


@pytest.mark.parametrize("line", ["", "SET:OXYGEN", "SET:OXYGEN x", "SET:OXYGEN 9", "EXPOSE -1", "EXPOSE 1 2", "HELP"])
def test_an_instrument_answers_an_error_to_what_it_cannot_read(virtually: Run, line: str) -> None:
    async def main() -> None:
        assert str(Bench().source.answer(line)).startswith("ERR ")

    virtually(main())


class Scripted:
    """Answers from a table."""

    def __init__(self, **answers: str | Reply) -> None:
        self.answers = answers

    def answer(self, line: str) -> str | Reply:
        return next((self.answers[key] for key in self.answers if line.startswith(key)), "OK")


def test_nonsense_from_the_controllers_is_a_device_error(virtually: Run) -> None:
    async def main() -> None:
        for answer in ("WARM 3", "OPEN soon", "", "IDLE", "ABORTED 5"):
            instrument = Scripted(**{"EXPOSE?": answer})
            with pytest.raises(DeviceError, match="sputter"):
                await done(SputterSource(SimulatedTransport(instrument)).shutter.set(60))
        for answer in ("LOST", "MOVING far", "MOVING"):
            instrument = Scripted(**{"STATE?": answer})
            with pytest.raises(DeviceError, match="robot"):
                await done(TransferRobot(SimulatedTransport(instrument)).arm.set(("stage", "probe")))
        with pytest.raises(DeviceError, match="expected stage="):
            await TransferRobot(SimulatedTransport(Scripted(**{"PLACES?": "here"}))).places()
        for tips, value in (("1", "-5"), ("0", "40"), ("1", "twelve")):
            instrument = Scripted(**{"ROUTE:TIPS": tips, "READ?": value})
            with pytest.raises(DeviceError, match="probe"):
                await done(FourPointProbe(SimulatedTransport(instrument)).resistance.trigger())

    virtually(main())


def test_what_never_ends_runs_into_its_time_limit(virtually: Run) -> None:
    async def main() -> None:
        source = SputterSource(SimulatedTransport(Scripted(**{"EXPOSE?": "OPEN 0"})), cleaning_s=300)
        with pytest.raises(DeviceTimeout, match="60 s is not done"):
            await done(source.shutter.set(60))
        robot = TransferRobot(SimulatedTransport(Scripted(**{"STATE?": "MOVING 5"})), timeout_s=100)
        with pytest.raises(DeviceTimeout, match="from stage to probe"):
            await done(robot.arm.set(("stage", "probe")))
        answers: dict[str, str | Reply] = {"ROUTE": "1", "READ?": Reply("1", None)}
        probe = FourPointProbe(SimulatedTransport(Scripted(**answers)))
        with pytest.raises(DeviceTimeout, match="READ"):
            await done(probe.resistance.trigger())

    virtually(main())


REFUSED: list[tuple[Callable[[Bench], Any], str]] = [
    (lambda b: b.sputter.shutter.set(0), "0 s, its limits are 1 to 86400 s"),
    (lambda b: list(b.sputter.deposit()), "either minutes or a duration"),
    (lambda b: list(b.sputter.deposit(5, duration="5 min")), "either minutes or a duration"),
    (lambda b: list(b.sputter.deposit(minutes=-1)), "its limits are"),
    (lambda b: b.sputter.mode.set("turbo"), "'turbo'"),
    (lambda b: b.robot.arm.set(("stage", "stage")), "twice"),
    (lambda b: b.robot.seat.set("shelf"), "'shelf'"),
    (lambda b: FourPointProbe(SimulatedTransport(b.arm), n_spots=1), "at least 2 spots"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_is_out_of_limits_is_refused_before_anything_moves(make: Callable[[Bench], Any], message: str) -> None:
    bench = Bench()
    with pytest.raises(LimitError, match=message):
        make(bench)


def test_a_duration_may_carry_its_unit() -> None:
    messages: list[Any] = list(Bench().sputter.deposit(duration="0.5 hour"))
    assert [message.args[0] for message in messages if message.command == "set"] == [1800.0]


def test_the_standard_error_is_that_of_the_mean() -> None:
    mean, error = mean_and_error([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert error == pytest.approx((5 / 3 / 4) ** 0.5)


async def talk(source: SputterSource, probe: FourPointProbe) -> float:
    """What is recorded: a move, a deposition, a measurement."""
    await done(source.power.set(120))
    await done(source.oxygen.set(0.08))
    await done(source.shutter.set(60))
    await done(probe.resistance.trigger())
    return float(probe.resistance.read()["probe_resistance"]["value"])


def test_the_drivers_say_what_they_said_when_it_was_recorded(virtually: Run) -> None:
    """Made with ``record_thin_film_drivers`` below; make it again when a driver is meant to talk differently."""

    async def main() -> None:
        lines = [ReplayTransport(RECORDINGS / f"{name}.jsonl") for name in ("sputter", "probe")]
        rows = [json.loads(row) for row in (RECORDINGS / "probe.jsonl").read_text().splitlines()]
        value = await talk(SputterSource(lines[0]), FourPointProbe(lines[1]))
        assert value == pytest.approx(statistics.fmean(float(r["response"]) for r in rows if r["request"] == "READ?"))
        assert [line.n_left for line in lines] == [0, 0]

    virtually(main())


async def record_thin_film_drivers() -> float:
    """Write the recordings anew."""
    bench = Bench()
    await done(bench.robot.seat.set("stage"))
    RECORDINGS.mkdir(exist_ok=True)
    source = RecordingTransport(SimulatedTransport(bench.source, name="sputter"), RECORDINGS / "sputter.jsonl")
    probe = RecordingTransport(
        SimulatedTransport(ProbeInstrument(bench.chamber), name="probe"), RECORDINGS / "probe.jsonl"
    )
    bench.chamber.places["probe"] = bench.chamber.places["stage"]  # one film, under the source and the tips alike
    value = await talk(SputterSource(source), FourPointProbe(probe))
    await source.close()
    await probe.close()
    return value
