"""The electrolyte laboratory: domes of conductivity, freezing points, faults, and goals that are no optima."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdl
from sdl.errors import DeviceError
from sdl.journal import MemoryJournal
from sdl.planners import RandomPlanner
from sdl.simulators import ElectrolyteFaults, ElectrolyteLab
from sdl.simulators.electrolyte_physics import MELTING, conductivity, crystals, freezing_point

shares = st.floats(0.0, 1.0)


def test_conductivity_is_a_dome_in_salt_and_solvent() -> None:
    in_salt = [conductivity(0.3, 0.7, 0.0, 0.1 * n) for n in range(1, 30)]
    in_ec = [conductivity(0.05 * n, 1 - 0.05 * n, 0.0, 1.0) for n in range(21)]
    for values in (in_salt, in_ec):
        top = values.index(max(values))
        assert 0 < top < len(values) - 1
        assert values[: top + 1] == sorted(values[: top + 1])
        assert values[top:] == sorted(values[top:], reverse=True)
    assert 10 <= conductivity(0.5, 0.5, 0.0, 1.0) <= 12
    assert conductivity(0.3, 0.0, 0.7, 1.0) < conductivity(0.3, 0.7, 0.0, 1.0)


@given(share=st.floats(0.01, 0.99), solvent=st.sampled_from(sorted(MELTING)))
def test_pure_solvents_melt_where_they_do_and_dilution_lowers_it(share: float, solvent: str) -> None:
    pure = freezing_point(solvent, 1.0)
    assert pure == pytest.approx(MELTING[solvent][0] - 273.15)
    assert freezing_point(solvent, share) < pure


@given(ec=shares, celsius=st.floats(-60, 40))
def test_warming_melts_and_salt_helps(ec: float, celsius: float) -> None:
    _, below = crystals(ec, 1 - ec, 0.0, 1.0, celsius)
    assert crystals(ec, 1 - ec, 0.0, 1.0, celsius + 5)[1] <= below
    assert crystals(ec, 1 - ec, 0.0, 2.0, celsius)[1] <= below


def test_all_three_phases_are_in_the_pool() -> None:
    pool = ElectrolyteLab.phase_space().pool
    assert pool is not None
    counts = Counter(ElectrolyteLab.true_phase(pool.row(n)) for n in range(len(pool)))
    assert set(counts) == {0, 1, 2}
    assert min(counts.values()) > 0.05 * len(pool)


def measure(lab: ElectrolyteLab, values: Mapping[str, Any]) -> Any:
    return lab.run(lab.mix_and_measure, values)


def test_what_is_mixed_is_measured() -> None:
    point = {"ec": 0.3, "dmc": 0.5, "emc": 0.2, "salt": 1.2}
    with ElectrolyteLab(seed=1) as lab:
        start = lab.clock.time()
        first = measure(lab, point)["conductivity"].value
        assert 15 < (lab.clock.time() - start) / 60 < 40
        assert first == pytest.approx(lab.truth(point), rel=0.06)
        assert measure(lab, point)["conductivity"].value == first
        cold = {**point, "ec": 0.8, "dmc": 0.2, "emc": 0.0, "temperature": -30.0}
        assert measure(lab, cold)["phase"].value == lab.true_phase(cold) == 1


def test_a_bubble_fails_the_measurement() -> None:
    with (
        ElectrolyteLab(seed=1, faults=ElectrolyteFaults(bubble=1.0)) as lab,
        pytest.raises(DeviceError, match="bubble"),
    ):
        measure(lab, {"ec": 0.3, "dmc": 0.7, "emc": 0.0, "salt": 1.0})


def test_a_short_map_sees_the_phases_that_are_there() -> None:
    with ElectrolyteLab(seed=1) as lab:
        campaign = sdl.Campaign(
            "phases",
            space=lab.phase_space(),
            objective=lab.phase_objective,
            planner=RandomPlanner(seed=1),
            experiment=lab.mix_and_measure,
            lab=lab,
            journal=MemoryJournal(),
            progress=False,
        )
        campaign.run(trials=12)
        seen = [
            (t.observation.outcomes["phase"].value, lab.true_phase(t.values)) for t in campaign.trials if t.observation
        ]
    assert sum(found == true for found, true in seen) >= 11
    assert len({found for found, _ in seen}) > 1


def test_a_seed_repeats_a_campaign() -> None:
    def run() -> list[object]:
        with ElectrolyteLab(seed=2) as lab:
            campaign = sdl.Campaign(
                "salt",
                space=lab.space(),
                objective=lab.objective,
                planner=RandomPlanner(seed=1),
                experiment=lab.mix_and_measure,
                lab=lab,
                journal=MemoryJournal(),
                progress=False,
            )
            campaign.run(trials=4)
            return [t.observation.outcomes for t in campaign.trials if t.observation is not None]

    assert run() == run()
