"""``sdl users``, ``sdl approve`` and ``sdl serve``: who may do what, and who has said yes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from door import Pen, film_problem, is_one_line, sdl

from sdl.campaign.recorder import process_user
from sdl.journal import open_journal
from sdl.journal.orders import ApprovalAsked, ApprovalGiven
from sdl.problem import Measurement
from sdl.server.identities import UsersFile

TOKEN = re.compile(r"^sdl_[\w-]{43}$", re.M)


def test_users_are_made_listed_given_new_tokens_and_taken_away(here: Path) -> None:
    assert "nobody is known in server" in sdl("users", "list").stdout
    made = sdl("users", "add", "sato", "--role", "submit", "--group", "films").stdout
    (token,) = TOKEN.findall(made)
    assert "shown once" in made
    assert sdl("users", "add", "bot", "--role", "submit", "--agent", "--autonomy", "1").exit_code == 0
    listed = sdl("users", "list").stdout
    assert re.search(r"^sato +person +submit +films +2$", listed, re.M)
    assert re.search(r"^bot +agent +submit +1$", listed, re.M)
    assert token not in listed
    users = UsersFile(here / "server")
    assert users.read().holding(token) is not None
    (renewed,) = TOKEN.findall(sdl("users", "token", "sato").stdout)
    assert users.read().holding(token) is None
    assert users.read().holding(renewed) is not None
    assert "sato is nobody here any more" in sdl("users", "remove", "sato").stdout
    assert users.read().holding(renewed) is None
    for words, what in (
        (("add", "bot", "--role", "read"), "there is a user 'bot' already"),
        (("add", "x", "--role", "operate", "--agent"), "is an agent"),
        (("add", "engine", "--role", "read"), "part of the engine"),
        (("remove", "sato"), "there is no user 'sato'"),
        (("token", "sato"), "there is no user 'sato'"),
    ):
        refused = sdl("users", *words)
        assert refused.exit_code == 2
        assert is_one_line(refused.stderr)
        assert what in refused.stderr


@pytest.fixture
def asked(here: Path) -> Path:
    """A store with a campaign whose trials 2 and 3 wait for approval."""
    path = here / "films.sdl"
    journal = open_journal(path)
    pen = Pen(journal, "films")
    pen.open(film_problem(), autonomy={"level": 2})
    pen.propose(1, 0.1)
    pen.complete(1, resistance=Measurement(100.0, "ohm"))
    pen.propose(2, 0.5, note="Most is to be gained here.")
    pen.propose(3, 0.6)
    pen.write(ApprovalAsked(request="films/2", level=2, trials=(2, 3), because="each batch is approved", cost=5.0))
    journal.close()
    return path


def test_what_waits_is_listed_and_approved_in_somebodys_name(asked: Path) -> None:
    listed = sdl("approve").stdout
    assert re.search(r"^trials 2.*3 of campaign films: each batch is approved, cost 5$", listed, re.M)
    assert "why       Most is to be gained here." in listed
    refused = sdl("approve", asked, "1", "--by", "Lee")
    assert "no request that waits" in refused.stderr
    assert "approved by Lee" in sdl("approve", asked, "3", "--by", "Lee").stdout
    assert "nothing waits for approval" in sdl("approve").stdout
    with open_journal(asked, mode="read") as journal:
        (given,) = journal.read(kinds=("approval.given",))
    assert isinstance(given.body, ApprovalGiven)
    assert (given.actor, given.body.answer) == (f"Lee (account {process_user()})", "approved")
    assert "no request that waits" in sdl("approve", "--by", "Lee").stderr  # once is enough


def test_a_refusal_needs_a_name_and_a_reason_and_ends_the_trials(asked: Path) -> None:
    assert "who says so?" in sdl("approve", asked, "2", "--refuse").stderr
    assert sdl("approve", asked, "2", "--by", "Lee", "--refuse").exit_code == 2
    assert "refused by Lee" in sdl("approve", asked, "2", "--by", "Lee", "--refuse", "--because", "too hot").stdout
    with open_journal(asked, mode="read") as journal:
        ended = [(event.trial, event.kind) for event in journal.read(kinds=("trial.abandoned",))]
    assert ended == [(2, "trial.abandoned"), (3, "trial.abandoned")]


def test_a_server_that_others_could_misuse_does_not_start(here: Path) -> None:
    for words, what in (
        (("thin-film", "--host", "0.0.0.0"), "nobody is known here"),
        (("nowhere.yaml",), "there is no laboratory file"),
        (("thin-film", "--certificate", here / "no.crt", "--host", "0.0.0.0"), "nobody is known here"),
    ):
        refused = sdl("serve", *words)
        assert refused.exit_code != 0
        assert is_one_line(refused.stderr)
        assert what in refused.stderr
    sdl("users", "add", "ada", "--role", "admin")
    assert "in the clear" in sdl("serve", "thin-film", "--host", "0.0.0.0").stderr
    (here / "server" / "users.json").chmod(0o644)
    assert "can be read by others" in sdl("serve", "thin-film", "--host", "0.0.0.0").stderr
    assert not (here / "server" / "journal.sdl").exists()
