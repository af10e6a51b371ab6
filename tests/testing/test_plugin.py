"""The pytest plugin, as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dosing import campaign

import sdl
from sdl.simulators import ThinFilmLab
from sdl.testing import Faults


@pytest.mark.seeded_faults(4)
def test_a_campaign_keeps_its_promises_under_faults(faults: Faults) -> None:
    report = faults.run(lambda store: campaign(store.parent, "failed", journal=store, progress=False), trials=3)
    assert report.n_events > 20


def test_the_fixtures_are_there(virtual_clock: sdl.VirtualClock, lab: sdl.Lab) -> None:
    assert isinstance(lab, ThinFilmLab)
    assert lab.clock is virtual_clock


def test_the_plugin_costs_those_nothing_who_do_not_use_it(tmp_path: Path) -> None:
    code = (
        "import sys, sdl.testing.plugin; print([m for m in sys.modules if m.split('.')[0] in "
        "{'bluesky', 'numpy', 'sqlalchemy', 'torch', 'pydantic'}])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
