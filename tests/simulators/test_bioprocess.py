"""The bioprocess: growth in its limits, overflow, eight reactors at once, two measurements, contamination."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdl
from sdl.errors import LimitError
from sdl.journal import MemoryJournal
from sdl.planners import SobolPlanner
from sdl.simulators import BioprocessFaults, BioprocessLab
from sdl.simulators.fermentation_physics import CALIBRATED, FEED, Recipe, ferment, rates

GOOD = {"glucose": 13.5, "growth": 0.42, "induction": 16.5, "inducer": 0.8, "temperature": 27.5}


def test_without_limits_it_grows_exponentially_and_overflows() -> None:
    early = ferment(Recipe(glucose=40.0, growth=0.05, induction=99.0, inducer=0.1, temperature=37.0), hours=5.0)
    growth, uptake, _, made = rates((early.biomass, 40.0, 0.0, 0.0, 1.0), 5.0, Recipe(40.0, 0.05, 99.0, 0.1, 37.0))
    assert early.biomass == pytest.approx(0.1 * math.exp(5.0 * growth), rel=0.05)
    assert early.acetate > 0
    carbon = made / uptake  # acetate and glucose hold equally much carbon per gram
    assert 0.05 < carbon < 0.13  # up to 9 % in the paper


def test_a_feed_below_the_critical_uptake_makes_no_acetate_and_eats_what_there_is() -> None:
    slow = ferment(Recipe(glucose=5.0, growth=0.1, induction=99.0, inducer=0.1, temperature=37.0))
    assert slow.acetate < 0.1
    assert slow.glucose < 0.5


def test_half_the_uptake_is_left_at_the_inhibition_constant() -> None:
    def uptake(acetate: float) -> float:
        return rates((1.0, 20.0, acetate, 0.0, 1.0), 0.0, Recipe(20.0, 0.2, 99.0, 0.1, 37.0))[1]

    assert uptake(CALIBRATED["inhibition"][0]) == pytest.approx(0.5 * uptake(0.0))


@given(glucose=st.floats(2, 30), growth=st.floats(0.05, 0.5), temperature=st.floats(22, 37))
@settings(max_examples=8)
def test_nothing_comes_from_nothing(glucose: float, growth: float, temperature: float) -> None:
    found = ferment(Recipe(glucose, growth, 10.0, 0.2, temperature), hours=20.0)
    most = CALIBRATED["yield"][0] * (glucose + FEED)  # as if all the feed's glucose had been eaten
    assert 0 < found.biomass < most
    assert 0 <= found.product < CALIBRATED["product"][0] * found.biomass + 1
    assert min(found.glucose, found.acetate, found.co2) >= 0


def campaign(lab: BioprocessLab, *, hopeless: float = 0.0, in_flight: int = 8) -> sdl.Campaign:
    return sdl.Campaign(
        "titre",
        space=lab.space(),
        objective=lab.objective,
        planner=SobolPlanner(seed=1),
        experiment=lab.experiment(hopeless),
        lab=lab,
        in_flight=in_flight,
        journal=MemoryJournal(),
        progress=False,
    )


def test_eight_grow_in_the_time_of_one() -> None:
    with BioprocessLab(seed=1) as lab:
        alone = campaign(lab)
        alone.run(trials=1)
    with BioprocessLab(seed=1) as lab:
        together = campaign(lab)
        together.run(trials=8)
        values = [t.observation.outcomes["titre"].value for t in together.trials if t.observation is not None]
        assert len(values) == 8
        assert all(
            value == pytest.approx(lab.truth(t.values), rel=0.25, abs=0.1)
            for value, t in zip(values, together.trials, strict=True)
        )
    assert together.view.lab_seconds < alone.view.lab_seconds + 8 * 45 * 60


def test_the_hopeless_are_not_measured_dearly() -> None:
    with BioprocessLab(seed=1) as lab:
        found = campaign(lab, hopeless=4.0)
        found.run(trials=8)
        errors: list[Any] = [
            t.observation.outcomes["titre"].standard_error for t in found.trials if t.observation is not None
        ]
        values = [t.observation.outcomes["titre"].value for t in found.trials if t.observation is not None]
    rough = [value for value, error in zip(values, errors, strict=True) if error > 0.1 * value]
    assert 0 < len(rough) < 8
    assert max(rough) < 8


def test_a_contaminated_reactor_fails_alone() -> None:
    with BioprocessLab(seed=5, faults=BioprocessFaults(contamination=0.3)) as lab:
        found = campaign(lab)
        found.run(trials=8)
        failed = [t for t in found.trials if t.observation is None]
    assert 0 < len(failed) < 8
    assert all(t.failure is not None and "contaminated" in t.failure.reason for t in failed)


def test_one_seed_one_result_and_limits() -> None:
    with BioprocessLab(seed=2) as lab:
        first = lab.run(lab.grow_and_measure, GOOD)["titre"]
        assert lab.run(lab.grow_and_measure, GOOD)["titre"] == first
        with pytest.raises(LimitError, match="temperature"):
            lab.run(lab.grow_and_measure, {**GOOD, "temperature": 45.0})
    with BioprocessLab(seed=3) as lab:
        assert lab.run(lab.grow_and_measure, GOOD)["titre"] != first
