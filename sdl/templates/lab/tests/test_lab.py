"""What must hold before this code is let near an instrument."""

import bluesky.plan_stubs as bps
import pytest
from campaign import make_campaign
from lab import make_lab
from plan import mix_and_measure

from sdl import SdlError


@pytest.fixture
def lab():
    with make_lab(simulated=True, seed=1) as made:
        yield made


def test_the_driver_moves_and_reads_back(lab):
    def warm_up(lab, s):
        yield from bps.mv(lab.cuvette.temperature, 40)
        return (yield from bps.rd(lab.cuvette.temperature))

    assert lab.run(warm_up) == pytest.approx(40, abs=0.2)


def test_a_measurement_has_a_standard_error(lab):
    measured = lab.run(mix_and_measure, {"temperature": 45, "ligand": 0.6})["absorbance"]
    assert 0 < measured.value < 2
    assert 0 < measured.standard_error < 0.1


@pytest.mark.parametrize("values", [{"temperature": 85, "ligand": 0.5}, {"temperature": 40, "ligand": 1.2}])
def test_what_is_not_allowed_is_refused_before_anything_moves(lab, values):
    with pytest.raises(SdlError, match="allows|fraction"):
        lab.run(mix_and_measure, values)


def test_the_same_seed_gives_the_same_measurement():
    found = []
    for _ in range(2):
        with make_lab(simulated=True, seed=1) as lab:
            lab.prepare(trial=3, attempt=1)
            found.append(lab.run(mix_and_measure, {"temperature": 30, "ligand": 0.4})["absorbance"])
    assert found[0] == found[1]


def test_a_campaign_of_one_trial(lab, tmp_path):
    campaign = make_campaign(lab, journal=tmp_path / "test.sdl", progress=False)
    campaign.run(trials=1)
    assert [trial.state for trial in campaign.trials] == ["completed"]
    assert campaign.best.observation.outcomes["absorbance"].value > 0
