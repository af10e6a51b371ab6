"""The mobile robotic chemist: its response surface, its stations and robot, faults, and a short campaign."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping
from typing import Any

import pytest
from bluesky.utils import MsgGenerator
from hypothesis import given
from hypothesis import strategies as st

import sdl
from sdl.devices.stubs import record
from sdl.errors import DeviceError, LimitError
from sdl.journal import MemoryJournal
from sdl.planners import SobolPlanner
from sdl.simulators import ChemistFaults, MobileChemistLab
from sdl.simulators.photocatalysis_physics import LIQUIDS, START, hydrogen_rate

BEST = {**dict.fromkeys(LIQUIDS, 0.0), "p10": 5.0, "cysteine": 1.25, "naoh": 1.0, "disilicate": 1.5}


def vials(lab: MobileChemistLab, mixtures: Mapping[int, Mapping[str, float]], attempt: int = 1) -> list[float]:
    """Return umol/h of a batch of vials: trial -> mixture."""
    batch = [sdl.Settings(mixture, trial=trial, attempt=attempt) for trial, mixture in mixtures.items()]

    def plan(lab: Any, _: Mapping[str, Any]) -> MsgGenerator[Any]:
        return (yield from lab.run_batch(lab, batch))

    return [result["hydrogen"].value for result in lab.run(plan)]


def test_the_published_gain_is_there_to_be_found() -> None:
    assert hydrogen_rate(START) == pytest.approx(3.5, abs=0.1)
    assert 21.05 < hydrogen_rate(BEST) < 25


@given(
    more=st.sampled_from(("sds", "pvp", "acid_red", "methylene_blue", "rhodamine")),
    ml=st.floats(0.05, 2.0),
    base=st.floats(0.0, 3.0),
)
def test_dyes_and_surfactants_harm_whatever_else_is_in(more: str, ml: float, base: float) -> None:
    mixture = {**START, "naoh": base}
    assert hydrogen_rate({**mixture, more: ml}) < hydrogen_rate(mixture)


def test_nothing_happens_without_catalyst_or_scavenger_and_less_without_sonication() -> None:
    assert hydrogen_rate({**BEST, "p10": 0.0}) == 0
    assert hydrogen_rate({**BEST, "cysteine": 0.0}) == 0
    assert hydrogen_rate(BEST, is_dispersed=False) < 0.8 * hydrogen_rate(BEST)


def test_a_batch_takes_its_time_and_measures_what_it_made() -> None:
    with MobileChemistLab(seed=1) as lab:
        start = lab.clock.time()
        found = vials(lab, dict.fromkeys(range(1, 17), BEST))
        hours = (lab.clock.time() - start) / 3600
    assert 6 < hours < 8
    assert statistics.fmean(found) == pytest.approx(hydrogen_rate(BEST), rel=0.05)
    assert 0.02 < statistics.stdev(map(math.log, found)) < 0.1


def test_a_vial_comes_out_the_same_alone_in_a_batch_and_after_a_restart() -> None:
    with MobileChemistLab(seed=3) as lab:
        together = vials(lab, {1: START, 2: BEST, 3: START})
    with MobileChemistLab(seed=3) as lab:
        assert vials(lab, {2: BEST}) == together[1:2]
        assert vials(lab, {2: BEST}, attempt=2) != together[1:2]


def test_the_robot_charges_before_its_battery_is_empty() -> None:
    with MobileChemistLab(seed=1) as lab:
        levels: list[float] = []

        def plan(lab: Any, s: Mapping[str, Any]) -> MsgGenerator[None]:
            for day in range(1, 7):
                yield from lab.run_batch(lab, [sdl.Settings(START, trial=day * 100 + n) for n in range(16)])
                reading = yield from record([lab.robot.battery], "battery", timeout=60)
                levels.extend(value["value"] for value in reading.values())

        lab.run(plan)
    assert min(levels) > 0
    assert any(later > earlier for earlier, later in itertools.pairwise(levels))


def test_a_leak_is_a_failure_and_the_laboratory_works_on() -> None:
    def reason(lab: MobileChemistLab, trial: int) -> str:
        try:
            vials(lab, {trial: START})
        except DeviceError as error:
            return error.message
        return ""

    with MobileChemistLab(seed=2, faults=ChemistFaults(leak=0.3)) as lab:
        reasons = [reason(lab, trial) for trial in range(1, 11)]
        assert [reason(lab, trial) for trial in (1, 2)] == reasons[:2]
    assert 0 < sum(map(bool, reasons)) < 10
    assert all("no peak" in text for text in reasons if text)


def test_limits_hold_before_anything_moves() -> None:
    with MobileChemistLab(seed=1) as lab, pytest.raises(LimitError, match="p10"):
        vials(lab, {1: {**START, "p10": 50.0}})


def test_batches_overlap_in_a_short_campaign() -> None:
    def hours(in_flight: int) -> float:
        with MobileChemistLab(seed=1) as lab:
            campaign = sdl.Campaign(
                "photocatalysis",
                space=lab.space(),
                objective=lab.objective,
                planner=SobolPlanner(seed=1),
                experiment=lab.experiment(size=4, patience="5 min"),
                lab=lab,
                in_flight=in_flight,
                journal=MemoryJournal(),
                progress=False,
            )
            campaign.run(trials=12)
            for trial in campaign.trials:
                assert trial.observation is not None
                assert sum(float(trial.values[name]) for name in LIQUIDS) <= 5.0
            return campaign.view.lab_seconds / 3600

    assert hours(12) < 0.7 * hours(4)
