"""Campaigns that contend for the same instruments, killed as a whole: nobody overlaps, and nobody waits for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from contending import TRIAL_SECONDS, main, outcome

from sdl.campaign.floor import Floor
from sdl.errors import LabError
from sdl.testing import Reached, failing_at

N_CAMPAIGNS, N_TRIALS = 3, 2


def sized(folder: Path) -> Path:
    (folder / "size.json").write_text(json.dumps([N_CAMPAIGNS, N_TRIALS]))
    return folder


def test_killed_campaigns_take_turns_at_the_instruments(tmp_path: Path) -> None:
    """More of it, with kills of the process and eight campaigns, in tests/soak/floor.py."""
    with pytest.raises(Reached), failing_at("loop.step_submitted", 7):
        main(str(sized(tmp_path)))
    main(str(tmp_path))
    found = outcome(tmp_path)
    assert found.overlaps == ()
    assert found.n_completed == N_CAMPAIGNS * N_TRIALS
    assert found.n_acts > N_CAMPAIGNS * N_TRIALS * 4  # what was cut off is done again, and noted again
    assert 0 < found.longest_wait <= 2 * N_CAMPAIGNS * TRIAL_SECONDS


def test_without_the_lease_of_further_stations_they_would_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this, the test above could pass because nobody ever meets."""
    begin: Callable[..., Any] = Floor.begin

    def careless(floor: Floor, campaign: str, run: Any, *args: Any, **options: Any) -> None:
        begin(floor, campaign, run, *args, **options)
        for name in run.taken:
            if name != run.station:
                floor.busy.pop(name)
        floor.kept.clear()

    monkeypatch.setattr(Floor, "begin", careless)
    monkeypatch.setattr(Floor, "keep", lambda *_: None)
    with suppress(LabError):  # a station that is given two steps refuses the second
        main(str(sized(tmp_path)))
    assert outcome(tmp_path).overlaps
