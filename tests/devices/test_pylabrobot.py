"""PyLabRobot's own machines, on its own chatterbox backends, in a laboratory, a plan and a campaign."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import pytest

import sdl
from sdl import Experiment, Reagent, Step, Stock, Use
from sdl.devices.pylabrobot import Call, PyLabRobotDevice
from sdl.errors import DeviceError, LabError, LimitError
from sdl.journal import MemoryJournal
from sdl.journal.acts import ActIntended
from sdl.planners import SobolPlanner
from sdl.problem import Measurement

handling: Any = pytest.importorskip("pylabrobot.liquid_handling")
backends: Any = pytest.importorskip("pylabrobot.liquid_handling.backends")
pumps: Any = pytest.importorskip("pylabrobot.pumps")
scales: Any = pytest.importorskip("pylabrobot.scales")
resources: Any = pytest.importorskip("pylabrobot.resources")


def no_more_than_250(call: Call) -> None:
    volumes: Any = call.kwargs["vols"]
    if max(volumes) > 250:
        raise LimitError(f"a tip takes 250 uL, got {max(volumes):g} uL")


class Bench:
    """A liquid handler with tips and a plate whose first well is full, and a scale."""

    def __init__(self) -> None:
        deck = resources.STARLetDeck()
        tips, plate = resources.TIP_CAR_480_A00(name="tip carrier"), resources.PLT_CAR_L5AC_A00(name="plate carrier")
        tips[0] = self.tips = resources.hamilton_96_tiprack_300uL(name="tips")
        plate[0] = self.plate = resources.cor_96_wellplate_360uL_Fb(name="plate")
        deck.assign_child_resource(tips, rails=1)
        deck.assign_child_resource(plate, rails=10)
        self.plate.get_item("A1").tracker.set_volume(300)
        handler = handling.LiquidHandler(backend=backends.LiquidHandlerChatterboxBackend(num_channels=1), deck=deck)
        scale = scales.Scale("scale", 10, 10, 10, scales.chatterbox.ScaleChatterboxBackend(dummy_weight=1.5))
        self.handler = PyLabRobotDevice(handler, name="handler", checks={"aspirate": no_more_than_250})
        self.scale = PyLabRobotDevice(scale, name="scale")

    def lab(self, **more: Any) -> sdl.Lab:
        return sdl.Lab("bench", clock=sdl.VirtualClock(), handler=self.handler, scale=self.scale, **more)

    def dose(self, lab: Any, s: Any) -> Generator[Any, Any, Any]:
        yield from lab.handler.pick_up_tips(self.tips["A1"])
        yield from lab.handler.aspirate(self.plate["A1"], vols=[s["volume"]])
        yield from lab.handler.dispense(self.plate["B1"], vols=[s["volume"]])
        yield from lab.handler.return_tips()
        weighed = yield from bps.trigger_and_read([lab.scale.read_weight])
        weight = weighed["scale_read_weight"]["value"] if weighed else 0.0
        return {"weight": Measurement(weight, "g")}


@pytest.fixture
def bench() -> Iterator[Bench]:
    resources.set_volume_tracking(True)
    resources.set_tip_tracking(True)
    yield Bench()
    resources.set_volume_tracking(False)
    resources.set_tip_tracking(False)


def test_a_campaign_doses_and_the_ledger_knows_what_was_used(bench: Bench) -> None:
    journal = MemoryJournal()
    lab = bench.lab(stock=Stock(Reagent("dye", "0.3 mL")))
    step = Step("dose", bench.dose, uses=lambda s: [Use("dye", f"{s['volume']} uL")])
    campaign = sdl.Campaign(
        "doses",
        space=sdl.SearchSpace(volume=sdl.Continuous(40, 60, unit="uL")),
        objective=sdl.Maximize("weight", unit="g"),
        planner=SobolPlanner(),
        experiment=Experiment(step),
        lab=lab,
        journal=journal,
        progress=False,
    )
    campaign.run(trials=2)
    doses = [float(trial.values["volume"]) for trial in campaign.trials]
    used = [each.amount.to("uL").most for n in (1, 2) for each in campaign.ledger.consumed("doses", n)]
    assert [trial.state for trial in campaign.trials] == ["completed", "completed"]
    assert used == pytest.approx(doses)
    assert bench.plate.get_item("B1").tracker.get_used_volume() == pytest.approx(sum(doses))
    acts = [event.body for event in journal.read() if isinstance(event.body, ActIntended)]
    assert [act.device for act in acts][:3] == ["handler.pick_up_tips", "handler.aspirate", "handler.dispense"]
    assert "plate_well_A1" in str(acts[1].arguments)
    lab.close()


def test_what_its_machine_or_its_laboratory_refuses_fails_the_step(bench: Bench) -> None:
    def without_a_tip(lab: Any, _: Any) -> Generator[Any, Any, Any]:
        yield from lab.handler.aspirate(bench.plate["A1"], vols=[10])

    def too_much(lab: Any, _: Any) -> Generator[Any, Any, Any]:
        yield from lab.handler.pick_up_tips(bench.tips["A1"])
        yield from lab.handler.aspirate(bench.plate["A1"], vols=[260])

    with bench.lab() as lab:
        with pytest.raises(DeviceError, match="does not have a tip"):
            lab.run(without_a_tip)
        with pytest.raises(LimitError, match="250 uL"):
            lab.run(too_much)
    assert bench.tips.get_item("A1").has_tip(), "something moved before the plan was refused"


def test_what_nobody_has_declared_is_refused_with_the_line_to_write(bench: Bench) -> None:
    with pytest.raises(AttributeError, match=r'actions=\{"probe_tip_inventory": "..."\}'):
        _ = bench.handler.probe_tip_inventory
    with pytest.raises(AttributeError, match="no method 'aspirat'"):
        _ = bench.handler.aspirat
    with pytest.raises(LabError, match="no method purge"):
        PyLabRobotDevice(bench.scale, name="scale", actions={"purge": "cumulative"})


def test_a_pump_is_halted_when_its_step_is_stopped() -> None:
    said: list[object] = []

    class Backend(pumps.backend.PumpBackend):  # type: ignore[misc] # it has no types
        async def setup(self) -> None:
            said.append("setup")

        async def stop(self) -> None:
            said.append("stop")

        def run_revolutions(self, num_revolutions: float) -> None:
            said.append(num_revolutions)

        def run_continuously(self, speed: float) -> None:
            said.append(speed)

        def halt(self) -> None:
            said.append("halt")

    def pump_for_too_long(lab: Any, _: Any) -> Generator[Any, Any, Any]:
        yield from bps.abs_set(lab.pump.run_for_duration, Call((30, 600)), group="pump")
        yield from bps.sleep(5)
        yield from bps.stop(lab.pump.run_for_duration)
        yield from bps.wait("pump", timeout=60)

    pump = PyLabRobotDevice(pumps.Pump(backend=Backend()), name="pump")
    with sdl.Lab("bench", clock=sdl.VirtualClock(), pump=pump) as lab:
        with pytest.raises(DeviceError, match="was stopped on its way"):
            lab.run(pump_for_too_long)
        assert said == ["setup", 30, "halt"]
    assert said[-1] == "stop"
