"""``sdl resolve``, and what ``sdl status`` and ``sdl show`` say of acts that a crash cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from door import Pen, film_problem, is_one_line, sdl

from sdl.campaign import CampaignView
from sdl.campaign.identity import signed
from sdl.campaign.progress import ask_about_act
from sdl.campaign.recovery import ActVerdict
from sdl.commands.border import ExitCode
from sdl.journal import open_journal, verify
from sdl.journal.acts import ActEnded, ActIntended, ActResolved
from sdl.journal.records import TrialUnknown

SAID = ("--by", "Kim", "--because", "the film is blue")


def intended(trial: int, n: int) -> ActIntended:
    return ActIntended(
        act=f"{trial}.1.deposit.{n}",
        step="deposit",
        station="chamber",
        attempt=1,
        device="sputter.shutter",
        verb="set",
        action_class="cumulative",
        arguments={"args": [1200.0], "unit": "s"},
    )


@pytest.fixture
def cut(here: Path) -> Path:
    """A store of a campaign that was killed: trial 1 is unknown with two acts, trial 2 was running with one."""
    path = here / "films.sdl"
    with open_journal(path) as journal:
        pen = Pen(journal, "films")
        pen.open(film_problem(), on_unknown="ask")
        for trial in (1, 2):
            pen.propose(trial, 0.1 * trial)
            pen.begin(trial)
            pen.write(intended(trial, 1), trial=trial)
        pen.write(ActEnded(act="1.1.deposit.1", outcome="unknown", seconds=60.0, reason="no answer"), trial=1)
        pen.write(intended(1, 2), trial=1)
        pen.write(TrialUnknown(attempt=1, reason="the controller is silent", cost=2.0), trial=1)
    return path


def view_of(path: Path) -> CampaignView:
    with open_journal(path, mode="read") as journal:
        return CampaignView.of(journal)


def answers_of(path: Path) -> list[tuple[str, str, str, str]]:
    with open_journal(path, mode="read") as journal:
        found = [(event.actor, event.body) for event in journal.read(kinds={"act.resolved"})]
    return [(body.act, body.answer, body.evidence, who) for who, body in found if isinstance(body, ActResolved)]


def test_without_an_answer_it_lists_what_there_is_to_find_out(cut: Path) -> None:
    shown = sdl("resolve")
    assert shown.exit_code == 0
    for words in (
        "trial 1 of campaign films: unknown",
        "the controller is silent",
        "act 1.1.deposit.1: sputter.shutter.set(1200 s) (cumulative), intended 20",
        "it ended as unknown; no answer",
        "act 1.1.deposit.2: sputter.shutter.set(1200 s) (cumulative)",
        "trial 2 of campaign films: running",
        "--answer happened|did-not-happen|cannot-tell --by NAME --because TEXT",
    ):
        assert words in shown.output
    assert "trial 1" not in sdl("resolve", cut, "2").output


def test_an_answer_is_kept_with_its_name_and_reason(cut: Path) -> None:
    told = sdl("resolve", cut, "1", "--answer", "happened", *SAID)
    assert told.exit_code == 0, told.output
    assert "happened, says Kim" in told.output
    assert answers_of(cut) == [
        ("1.1.deposit.1", "happened", "the film is blue", signed("Kim")),
        ("1.1.deposit.2", "happened", "the film is blue", signed("Kim")),
    ]
    assert not view_of(cut).trace(1).unknown
    assert verify(cut).ok
    again = sdl("resolve", cut, "1", "--answer", "happened", *SAID)
    assert again.exit_code != 0
    assert is_one_line(again.stderr)


def test_one_act_at_a_time(cut: Path) -> None:
    told = sdl("resolve", cut, "1", "--act", "1.1.deposit.2", "--answer", "did-not-happen", *SAID)
    assert "1 more to be answered" in told.output
    assert [answer[:2] for answer in answers_of(cut)] == [("1.1.deposit.2", "did_not_happen")]


def test_a_trial_that_is_only_known_to_have_run_is_resolved_too(cut: Path) -> None:
    told = sdl("resolve", "2", "--answer", "cannot-tell", *SAID)
    assert told.exit_code == 0, told.output
    assert "trial 2 is marked failed" in told.output
    assert [answer[:2] for answer in answers_of(cut)] == [("2.1.deposit.1", "cannot_tell")]


@pytest.mark.parametrize(("then", "state"), [("redo", "proposed"), ("failed", "failed"), ("abandoned", "abandoned")])
@pytest.mark.parametrize("trial", [1, 2])
def test_a_person_may_say_what_becomes_of_the_trial(cut: Path, then: str, state: str, trial: int) -> None:
    told = sdl("resolve", cut, str(trial), "--answer", "did-not-happen", "--then", then, *SAID)
    assert told.exit_code == 0, told.output
    view = view_of(cut)
    assert view.trial(trial).state == state
    assert view.trial(3 - trial).state in {"unknown", "running"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--answer", "happened", *SAID), "2 unknown trials"),
        (("7", "--answer", "happened", *SAID), "no trial 7"),
        (("1", "--answer", "happened", "--by", "Kim"), "--because"),
        (("1", "--answer", "happened", "--because", "x", "--by", " "), "--by"),
        (("1", "--act", "9", "--answer", "happened", *SAID), "no act 9"),
        (("1", "2", "3"), "too many words"),
        (("films.sdl", "first"), "'first' is no number of a trial"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(cut: Path, words: Any, said: str) -> None:
    refused = sdl("resolve", *words)
    assert refused.exit_code == ExitCode.USAGE, refused.output
    assert said in refused.stderr
    assert is_one_line(refused.stderr)
    assert answers_of(cut) == []


def test_while_a_campaign_runs_on_the_store_nothing_is_answered(cut: Path) -> None:
    with open_journal(cut):
        refused = sdl("resolve", cut, "1", "--answer", "happened", *SAID)
    assert refused.exit_code == ExitCode.LOCKED


def test_status_and_show_tell_of_unknown_acts(cut: Path) -> None:
    status = sdl("status", cut).output
    assert "act 2.1.deposit.1: sputter.shutter.set(1200 s) (cumulative)" in status
    unknown = json.loads(sdl("status", cut, "--json").output)["campaigns"][0]["unknown"]
    assert [[act["act"] for act in trial["acts"]] for trial in unknown] == [
        ["1.1.deposit.1", "1.1.deposit.2"],
        ["2.1.deposit.1"],
    ]
    sdl("resolve", cut, "1", "--answer", "happened", *SAID)
    assert (
        f"it ended as unknown; no answer; happened, says {signed('Kim')}; the film is blue"
        in sdl("show", "1", cut).output
    )
    (first, _) = json.loads(sdl("show", "1", cut, "--json").output)["acts"]
    assert (first["answer"], first["answered_by"], first["is_unknown"]) == ("happened", signed("Kim"), False)


def test_the_terminal_shows_what_was_intended_and_takes_one_of_three_answers(
    cut: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    view = view_of(cut)
    act = view.trace(1).acts["1.1.deposit.1"]
    answers = iter(["perhaps", "H", "", "the film is blue", "Kim"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert ask_about_act(view.trial(1), act) == ActVerdict("happened", "the film is blue", signed("Kim"))
    shown = capsys.readouterr().out
    assert "sputter.shutter.set(1200 s) (cumulative)" in shown
    assert "it ended as unknown; no answer" in shown
    answers = iter(["l"])
    assert ask_about_act(view.trial(1), act) is None
