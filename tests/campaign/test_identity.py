"""Who did it: what the journal says of the one who acts comes from the process, not from what it was told."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no types
import pytest
from pydantic import ValidationError
from toy import bodies, toy_campaign
from typer.testing import CliRunner

from sdl.campaign.identity import signed
from sdl.campaign.recorder import process_user
from sdl.commands.app import app
from sdl.errors import LabError, SdlError
from sdl.journal import MemoryJournal, open_journal
from sdl.journal.acts import ActEnded
from sdl.journal.records import Entry, SessionStarted, TrialStarted
from sdl.journal.safety import LatchSet
from sdl.lab.remote.messages import Acted, Malformed, decode, encode


def test_a_session_has_the_user_whom_the_operating_system_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("USER", "LOGNAME", "USERNAME", "LNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "mallory")
    journal = MemoryJournal()
    toy_campaign(journal=journal).run(trials=1)
    (started,) = bodies(journal, SessionStarted)
    assert started.user == pwd.getpwuid(os.getuid()).pw_name != "mallory"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert process_user() == "4000000"


def test_every_event_of_a_campaign_has_an_actor() -> None:
    journal = MemoryJournal()
    toy_campaign(journal=journal).run(trials=2)
    assert {event.actor for event in journal.read()} <= {"engine", "station"}


@pytest.mark.parametrize("field", ["actor", "user", "by"])
def test_what_a_station_says_of_the_actor_is_refused(field: str) -> None:
    """A message has no such field, neither on the outside nor in what it carries."""
    acted = Acted(job="j", number=1, body=ActEnded(act="1.1.dose.1", outcome="done", seconds=1.0))
    assert decode(encode(acted)) == acted
    plain: dict[str, Any] = acted.model_dump(mode="json")
    inside = {**plain, "body": {**plain["body"], field: "mallory"}}
    for spoofed in ({**plain, field: "mallory"}, inside):
        with pytest.raises(Malformed):
            decode(msgpack.packb(spoofed) or b"")


def test_a_body_cannot_bring_an_actor_of_its_own() -> None:
    text = json.dumps({"act": "1.1.dose.1", "outcome": "done", "seconds": 1.0, "actor": "mallory"})
    with pytest.raises((ValidationError, SdlError)):
        ActEnded.model_validate_json(text)
    entry = Entry(ActEnded(act="1.1.dose.1", outcome="done", seconds=1.0), "c", 1)
    assert MemoryJournal().append(entry)[0].actor == "engine"


WHO = f"(account {pwd.getpwuid(os.getuid()).pw_name})"


def test_a_name_that_is_typed_leaves_the_account_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("USER", "LOGNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "mallory")
    assert signed("  Ada   Lovelace ") == f"Ada Lovelace {WHO}"


@pytest.mark.parametrize(
    "by", ["", " ", "engine", "Engine:reconcile", "Ada (account ada)", "Ada <a@b>", "A\u202eb", "\x1b[1mAda"]
)
def test_no_name_can_be_taken_for_another_account_or_for_the_program(by: str) -> None:
    with pytest.raises(LabError):
        signed(by)


def test_each_command_of_a_person_records_name_and_account(tmp_path: Path) -> None:
    path = tmp_path / "store.sdl"
    campaign = toy_campaign(journal=path)
    campaign.run(trials=2)
    said = ("--by", "Ada", "--because", "I looked")
    with open_journal(path) as journal:
        latch = LatchSet(lab="toy", station="toy", interlock="x", devices=(), reason="r")
        journal.append(Entry(latch, campaign.name), Entry(TrialStarted(attempt=2), campaign.name, 2))
        before = journal.head[0]
    for words in (
        ["verdict", str(path), "1", "suspect", *said],
        ["rearm", str(path), *said],
        ["stock", str(path), "add", "tip", "96", *said],
        ["resolve", str(path), "2", "--then", "failed", *said],
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert f"Ada {WHO}" in result.output or words[0] in {"stock", "resolve"}
    with open_journal(path, mode="read") as journal:
        actors = [event.actor for event in journal.read(before)]
    assert len(actors) >= 5
    assert set(actors) == {f"Ada {WHO}"}
