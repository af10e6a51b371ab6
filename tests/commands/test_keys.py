"""``sdl keys``, ``sdl panel`` and ``sdl station --listen``, as people use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from door import is_one_line, sdl

from sdl.lab.remote.book import Book
from sdl.lab.remote.keys import key_pair


def test_keys_are_made_listed_allowed_and_revoked_and_no_secret_is_shown(here: Path) -> None:
    said = [sdl("keys"), sdl("keys", "make", "cell"), sdl("keys", "make", "engine", "--folder", "elsewhere")]
    said.append(sdl("keys", "allow", "engine", "elsewhere/engine.public", "--role", "operate", "--role", "read"))
    listed = json.loads(sdl("keys", "--json").stdout)
    assert [(key["name"], key["is_own"]) for key in listed["keys"]] == [("cell", True)]
    assert [(client["name"], client["roles"]) for client in listed["allowed"]] == [("engine", ["operate", "read"])]
    said += [sdl("keys"), sdl("keys", "revoke", "engine")]
    assert json.loads(sdl("keys", "--json").stdout)["allowed"] == []
    assert all(each.exit_code == 0 for each in said)
    for folder, name in (("keys", "cell"), ("elsewhere", "engine")):
        secret = key_pair(here / folder, name).secret.decode()
        assert all(secret not in each.output for each in said)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("keys", "make"), "takes a name, and no role"),
        (("keys", "forge", "x"), "it knows make, allow, revoke"),
        (("keys", "allow", "engine", "x" * 40), "at least one --role"),
        (("keys", "allow", "engine", "short", "--role", "read"), "what was given has no key"),
        (("keys", "revoke", "engine"), "sdl keys lists who is allowed"),
        (("panel", "cell"), "has no station cell"),
        (("panel", "cell", "--take", "--give-back", "--by", "Kim", "--because", "x"), "one of --take"),
        (("panel", "cell", "--take", "--by", "Kim"), "gives a reason"),
        (("panel", "cell", "--at", "tcp://127.0.0.1:1"), "sdl keys make"),
        (("station", "x:Y", "--station", "cell", "--listen", "tcp://0.0.0.0:5555"), "without keys"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_done_is_told_in_one_line_with_the_way_out(words: tuple[str, ...], told: str) -> None:
    done = sdl(*words)
    assert done.exit_code != 0
    assert is_one_line(done.stderr)
    assert told in done.stderr


def test_a_person_takes_a_station_whose_process_does_not_run_and_gives_it_back(here: Path) -> None:
    (here / "stations").mkdir(mode=0o700)
    Book(here / "stations" / "cell.book").close()
    who = ("--by", "Kim", "--because", "a noise")
    taken = sdl("panel", "cell", "--take", *who)
    assert taken.exit_code == 0, taken.output
    assert "Kim (account " in taken.stdout
    again = sdl("panel", "cell", "--take", *who)
    assert "has taken the station by hand: a noise" in again.stderr
    assert sdl("panel", "cell", "--give-back", *who).exit_code == 0
    seen = json.loads(sdl("panel", "cell", "--json").stdout)
    assert (seen["by_hand"], bool(seen["latch"])) == ("", True)  # arming is another act
    book = Book(here / "stations" / "cell.book")
    kinds = [record["kind"] for record in book.records()]
    book.close()
    assert kinds == ["take", "latch", "give"]
