"""What reports and commands tell of control samples and verdicts."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import sdl
from sdl.campaign import Control, Expected, QualityControl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.view import CampaignView
from sdl.commands.status import status
from sdl.export.report import write_report


def measured(lab: sdl.Lab, s: sdl.Settings) -> Generator[Any, Any, Any]:
    """A signal that drifts from the twelfth trial on."""
    yield from ()
    drift = 0.012 * max(0, s.trial - 12)
    return {"signal": sdl.Measurement(1.0 + 0.01 * (-1) ** s.trial + drift + 1e-5 * s.trial, "V")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A campaign that paused because its control sample drifted."""
    known = {"signal": Expected(mean=1.0, standard_deviation=0.012)}
    lab = sdl.Lab("bench", stations={"bench": []}, clock=sdl.VirtualClock())
    path = tmp_path / "drifting.sdl"
    campaign = sdl.Campaign(
        "drifting",
        space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        objective=sdl.Maximize("signal", unit="V"),
        planner=SpaceFillingFallback(),
        experiment=measured,
        lab=lab,
        journal=path,
        quality=QualityControl(controls=(Control(every=2, values={"x": 0.5}, expected=known, name="reference"),)),
        planner_place="thread",
        progress=False,
    )
    assert campaign.run(trials=30).status == "paused"
    lab.close()
    return path


def test_the_report_shows_the_control_chart_and_the_evidence(store: Path, tmp_path: Path) -> None:
    with sdl.open_journal(store, mode="read") as journal:
        view = CampaignView.of(journal)
        written = write_report(view, tmp_path / "report.html", journal=journal)
    page = written[0].read_text()
    assert "Can the data be trusted?" in page
    assert "Results that cannot be trusted" in page
    assert "control chart reference, signal" in page
    assert "report-control-1-1.png" in [path.name for path in written]
    best = view.best
    assert best is not None
    assert best.verdict.quality.value == "valid"


def test_status_says_that_the_control_is_out(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(store, as_json=False)
    said = capsys.readouterr().out
    assert "paused (3 results in a row cannot be trusted" in said
    assert "reference" in said
    assert "signal out:" in said
    status(store, as_json=True)
    assert '"suspect": ' in capsys.readouterr().out
