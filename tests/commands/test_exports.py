"""``sdl report``, ``sdl export``, ``sdl verify``."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from door import is_one_line, sdl

from sdl.commands.exports import beside
from sdl.journal import open_journal, verify


def test_report(demonstrated: Path) -> None:
    (demonstrated / "thin-film.html").unlink()
    done = sdl("report")
    assert done.exit_code == 0, done.stderr
    page, *pictures = done.stdout.split()
    assert page == "thin-film.html"
    assert "resistance" in Path(page).read_text(encoding="utf-8")
    assert pictures
    assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_report_elsewhere(films: Path) -> None:
    """The planner of this campaign is gone with the script that it stood in; the report comes without its model.

    It comes while somebody writes, too.
    """
    (films.parent / "out").mkdir()
    with open_journal(films):
        done = sdl("report", "--output", "out/page.html")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == "out/page.html"
    assert "no plasma" in Path("out/page.html").read_text(encoding="utf-8")


def test_export(films: Path) -> None:
    done = sdl("export", "--csv", "films.csv")
    assert done.stdout == "films.csv: 5 trials\n"
    rows = list(csv.DictReader(io.StringIO(Path("films.csv").read_text(encoding="utf-8"), newline="")))
    assert [row["state"] for row in rows] == ["completed", "completed", "failed", "unknown", "running"]
    assert rows[1]["resistance [ohm]"] == "40.0"


def test_export_to_standard_output(films: Path) -> None:
    done = sdl("export", "--csv", "-")
    assert len(list(csv.reader(io.StringIO(done.stdout)))) == 6


@pytest.mark.parametrize("words", [("--csv",), ("--events",)])
@pytest.mark.parametrize("place", [".", "no/such/place"])
def test_what_cannot_be_written_is_refused_in_one_line(films: Path, words: tuple[str, ...], place: str) -> None:
    done = sdl("export", *words, place)
    assert done.exit_code != 0
    assert is_one_line(done.stderr)


def test_a_backup_is_checked_and_its_head_is_told(films: Path) -> None:
    with open_journal(films):  # while somebody writes
        done = sdl("backup", films, "copies/monday.sdl")
    assert done.exit_code == 0, done.stderr
    head = done.stdout.split()[-1]
    assert sdl("verify", "copies/monday.sdl", "--expected-head", head).exit_code == 0
    again = sdl("backup", films, "copies/monday.sdl")
    assert again.exit_code != 0
    assert is_one_line(again.stderr)


def test_verify_a_sound_store(films: Path) -> None:
    found = verify(films)
    head = f"{found.head[0]}:{found.head[1]}"
    done = sdl("verify")
    assert done.exit_code == 0
    assert "films.sdl: sound" in done.stdout
    assert head in done.stdout
    for noted in (head, found.head[1], found.head[1].upper()):
        assert sdl("verify", "--expected-head", noted).exit_code == 0
    told = json.loads(sdl("verify", "--json").stdout)
    assert told["ok"]
    assert told["head"] == list(found.head)


def test_verify_an_earlier_head(films: Path) -> None:
    connection = sqlite3.connect(films / "journal.db")
    ((early,),) = connection.execute("SELECT hash FROM event WHERE sequence = 4").fetchall()
    connection.close()
    assert sdl("verify", "--expected-head", early).exit_code == 0
    assert sdl("verify", "--expected-head", f"4:{early}").exit_code == 0
    done = sdl("verify", "--expected-head", f"5:{early}")
    assert done.exit_code == 1
    assert "head: event 5 is not the one that was noted before" in done.stdout
    assert sdl("verify", "--expected-head", "0" * 64).exit_code == 1


def test_verify_a_store_that_somebody_improved(films: Path) -> None:
    connection = sqlite3.connect(films / "journal.db")
    connection.execute("DROP TRIGGER event_no_update")
    connection.execute("UPDATE event SET body = replace(body, '100.0', '10.0') WHERE kind = 'trial.completed'")
    connection.commit()
    connection.close()
    done = sdl("verify")
    assert done.exit_code == 1
    assert "films.sdl: NOT SOUND" in done.stdout
    assert "was changed after it was recorded" in done.stdout
    told = json.loads(sdl("verify", "--json").stdout)
    assert not told["ok"]
    assert {problem["check"] for problem in told["problems"]} >= {"hash", "schema"}


@pytest.mark.parametrize("head", ["12", "x:" + "0" * 64, "0" * 63, ""])
def test_what_is_no_head(films: Path, head: str) -> None:
    done = sdl("verify", "--expected-head", head)
    assert done.exit_code == 2
    assert is_one_line(done.stderr)
    assert "is no head" in done.stderr


@pytest.mark.parametrize(
    ("store", "page"), [("films.sdl", "films.html"), ("a/films", "a/films.html"), ("films.html", "films.html.html")]
)
def test_where_a_report_goes(store: str, page: str) -> None:
    assert beside(Path(store), ".html") == Path(page)


def test_where_a_report_goes_from_inside_the_store(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films)
    assert beside(Path(), ".html") == films.resolve().with_name("films.html")
