"""The beamline: optics in their limits, motors with lash and limits, faults, alignment and mapping."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import pytest
from bluesky.utils import MsgGenerator
from hypothesis import given
from hypothesis import strategies as st

import sdl
from sdl.devices.stubs import go
from sdl.errors import DeviceError, LimitError
from sdl.journal import MemoryJournal
from sdl.planners import SobolPlanner
from sdl.simulators import BeamlineFaults, BeamlineLab
from sdl.simulators.beamline_optics import (
    FWHM,
    HORIZONTAL,
    SLOPE_ERROR,
    VERTICAL,
    WAVELENGTH,
    Mirror,
    Setting,
    best_spot,
    plane,
    spot,
)

MIDDLE = {"v_gap": 400.0, "h_gap": 400.0, **{f"{m}_{w}": 0.0 for m in "vh" for w in ("pitch", "bend", "shift")}}


@pytest.mark.parametrize("mirror", [VERTICAL, HORIZONTAL])
def test_a_perfect_mirror_shows_the_source_the_slope_errors_and_the_wave(mirror: Mirror) -> None:
    expected = math.hypot(
        FWHM * mirror.source * mirror.q / mirror.p,
        FWHM * 2 * mirror.q * SLOPE_ERROR,
        0.88 * WAVELENGTH * mirror.q / 0.4e-3,
    )
    assert plane(mirror, Setting()).width == pytest.approx(expected, rel=1e-3)


@given(pitch=st.floats(-1.5e-4, 1.5e-4), bend=st.floats(-0.06, 0.06), gap=st.floats(5e-5, 9e-4))
def test_no_error_makes_the_spot_smaller_and_the_slit_only_takes(pitch: float, bend: float, gap: float) -> None:
    perfect, real = (plane(VERTICAL, s) for s in (Setting(gap=gap), Setting(pitch, bend, gap=gap)))
    assert real.width >= perfect.width * (1 - 1e-9)
    assert plane(VERTICAL, Setting(pitch, bend, gap=gap / 2)).share < real.share
    assert spot(Setting(pitch, bend, gap=gap), Setting()).density <= best_spot().density


def test_bend_makes_up_for_pitch() -> None:
    tilted = plane(VERTICAL, Setting(pitch=6e-5)).width
    together = min(plane(VERTICAL, Setting(pitch=6e-5, bend=0.001 * n)).width for n in range(40))
    assert together < 0.2 * tilted
    assert together > plane(VERTICAL, Setting()).width  # coma stays


def test_a_mirror_beside_the_beam_gives_no_beam() -> None:
    assert plane(HORIZONTAL, Setting(shift=2e-3)).share == 0
    with BeamlineLab(seed=1) as lab:
        blind = lab.truth({**MIDDLE, "h_shift": 500.0, "v_shift": 500.0, "h_gap": 50.0, "v_gap": 50.0})
    assert blind < lab.best() - 3


def test_offsets_follow_from_the_seed() -> None:
    found: list[float] = []
    for seed in (1, 1, 2):
        with BeamlineLab(seed=seed) as lab:
            found.append(lab.truth(MIDDLE))
    assert found[0] == found[1] != found[2]
    assert max(found) < BeamlineLab.best() - 0.5


def measured(lab: BeamlineLab, values: Mapping[str, float], trial: int = 1) -> float:
    lab.prepare(trial, 1)
    return float(lab.run(lab.align, values)["log_density"])


def test_a_setting_takes_seconds_and_measures_the_truth_from_wherever_the_motors_come() -> None:
    elsewhere = {**MIDDLE, "v_pitch": 140.0, "v_bend": 5.0, "h_pitch": 140.0}
    with BeamlineLab(seed=5) as lab:
        first = measured(lab, MIDDLE)
        start = lab.clock.time()
        measured(lab, elsewhere)
        assert 2 < lab.clock.time() - start < 20
        assert measured(lab, MIDDLE) == pytest.approx(first, abs=1e-3)
        assert first == pytest.approx(lab.truth(MIDDLE), abs=0.05)


def test_soft_limits_and_a_stalled_axis() -> None:
    with BeamlineLab(seed=1) as lab, pytest.raises(LimitError, match="v_pitch"):
        measured(lab, {**MIDDLE, "v_pitch": 151.0})
    with (
        BeamlineLab(seed=1, faults=BeamlineFaults(stall=1.0)) as lab,
        pytest.raises(DeviceError, match="dead-band"),
    ):
        measured(lab, {**MIDDLE, "v_pitch": 50.0})


def test_a_motor_waits_as_long_as_its_velocity_says() -> None:
    def far(lab: Any, _: Mapping[str, Any]) -> MsgGenerator[None]:
        yield from go(lab.v_pitch, 100.0, timeout=60)

    with BeamlineLab(seed=1) as lab:
        start = lab.clock.time()
        lab.run(far)
        assert 100 / 40 < lab.clock.time() - start < 100 / 40 + 1


def test_a_lost_beam_is_seen_as_dark() -> None:
    with BeamlineLab(seed=5, faults=BeamlineFaults(beam_dump=0.5)) as lab:
        seen = [measured(lab, MIDDLE, trial) for trial in range(1, 13)]
        assert 0 < sum(value < lab.truth(MIDDLE) - 2 for value in seen) < 12


def test_counting_is_as_noisy_as_counts_are() -> None:
    with BeamlineLab(seed=5) as lab:
        settings = {"sample_x": 40.0, "sample_y": 60.0}
        counts: list[float] = []
        for trial in range(1, 21):
            lab.prepare(trial, 1)
            counts.append(lab.run(lab.map_point, settings)["signal"].value)
    assert statistics.stdev(counts) == pytest.approx(math.sqrt(statistics.fmean(counts)), rel=0.6)


def test_a_short_campaign_repeats_itself() -> None:
    def run() -> list[object]:
        with BeamlineLab(seed=3) as lab:
            campaign = sdl.Campaign(
                "alignment",
                space=lab.space(),
                objective=lab.objective,
                planner=SobolPlanner(seed=1),
                experiment=lab.align,
                lab=lab,
                journal=MemoryJournal(),
                progress=False,
            )
            campaign.run(trials=6)
            return [trial.observation.outcomes for trial in campaign.trials if trial.observation is not None]

    assert run() == run()
