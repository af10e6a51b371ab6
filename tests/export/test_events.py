"""What leaves a store can be checked by a program that knows nothing of sdl, and nothing is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from independent import intents, problems
from typer.testing import CliRunner

import sdl
from sdl.commands.app import app
from sdl.journal import open_journal
from sdl.journal.acts import ActIntended
from sdl.planners import SobolPlanner
from sdl.simulators import ThinFilmLab


def test_every_event_and_every_intent_is_exported_once_and_the_chain_can_be_checked_elsewhere(tmp_path: Path) -> None:
    store, file = tmp_path / "films.sdl", tmp_path / "events.jsonl"
    with ThinFilmLab(seed=3) as lab:
        sdl.Campaign(
            "films",
            space=lab.space(),
            objective=ThinFilmLab.objective,
            planner=SobolPlanner(),
            experiment=ThinFilmLab.deposit_and_measure,
            lab=lab,
            journal=store,
            progress=False,
        ).run(trials=2)
    done = CliRunner().invoke(app, ["export", str(store), "--events", str(file)])
    assert done.exit_code == 0
    lines = file.read_text(encoding="utf-8").splitlines()
    with open_journal(store, "read") as journal:
        events = list(journal.read())
    assert problems(lines) == []
    assert [json.loads(line)["hash"] for line in lines] == [event.hash for event in events]
    known = [event.body.act for event in events if isinstance(event.body, ActIntended)]
    assert intents(lines) == known
    assert len(set(known)) == len(known) > 0


def test_the_checker_finds_what_was_changed(tmp_path: Path) -> None:
    """Without this, the test above could pass because the checker sees nothing."""
    event: dict[str, Any] = {
        "sequence": 1,
        "actor": "",
        "text": "{}",
        "kind": "comment",
        "hash": "",
        "previous_hash": "",
    }
    event |= dict.fromkeys(("campaign", "trial", "timestamp", "monotonic", "boot_id", "version"))
    assert problems([json.dumps(event)]) == ["event 1 does not match its hash", "event 1 says not who"]
