"""``sdl verdict``: a person's word on a result, and how ``sdl show`` tells of it."""

from __future__ import annotations

import json
from pathlib import Path

from door import is_one_line, sdl

from sdl.campaign.recorder import process_user
from sdl.journal import open_journal, verify
from sdl.journal.trust import TrialJudged

WHO = f"(account {process_user()})"


def test_a_verdict_is_a_new_event_with_a_name_and_a_reason(films: Path) -> None:
    assert json.loads(sdl("status", films, "--json").stdout)["campaigns"][0]["best"]["trial"] == 2
    given = sdl("verdict", films, "2", "invalid", "--by", "Ada", "--because", "the probe had no contact")
    assert given.exit_code == 0
    assert f"trial 2 is invalid, says Ada {WHO}; before: valid" in given.stdout
    sdl("verdict", films, "2", "suspect", "--by", "Ben", "--because", "one tip had")
    with open_journal(films, mode="read") as journal:
        events = [event for event in journal.read(trial=2) if isinstance(event.body, TrialJudged)]
        assert [event.actor for event in events] == [f"Ada {WHO}", f"Ben {WHO}"]
    assert not verify(films).problems
    assert json.loads(sdl("status", films, "--json").stdout)["campaigns"][0]["best"]["trial"] == 1
    shown = sdl("show", "2", films).stdout
    assert f"suspect, Ben {WHO}: one tip had" in shown
    assert f"trial 2: Ben {WHO}: one tip had" in sdl("status", films).stdout


def test_a_trial_without_a_result_has_nothing_to_judge(films: Path) -> None:
    refused = sdl("verdict", films, "3", "valid", "--by", "Ada", "--because", "it looked good")
    assert refused.exit_code != 0
    assert is_one_line(refused.stderr)
    assert "no result to judge" in refused.stderr


def test_a_verdict_needs_a_name(films: Path) -> None:
    refused = sdl("verdict", films, "2", "invalid", "--by", " ", "--because", "no")
    assert refused.exit_code != 0
    assert "needs a name and a reason" in refused.stderr
