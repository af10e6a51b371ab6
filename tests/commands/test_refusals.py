"""Whatever is asked wrongly ends in one line and an exit code."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from door import is_one_line, sdl, write_store
from hypothesis import given
from hypothesis import strategies as st

from sdl.commands.border import ExitCode, exit_code_of, explained, guarded, without_debug
from sdl.commands.output import say, spare_signs
from sdl.errors import JournalCorrupt, JournalLocked, ProblemError, TransportError
from sdl.journal import open_journal

ON_A_STORE = {
    "status": ["status"],
    "status --json": ["status", "--json"],
    "show": ["show", "1"],
    "show --json": ["show", "1", "--json"],
    "report": ["report"],
    "export": ["export", "--csv", "table.csv"],
    "verify": ["verify"],
}
on_a_store = pytest.mark.parametrize("words", ON_A_STORE.values(), ids=ON_A_STORE)


def refused(*words: str | Path) -> tuple[int, str]:
    """Run a command that must be refused; return its code and its one line."""
    done = sdl(*words)
    assert is_one_line(done.stderr), done.output
    assert done.stdout == ""
    return done.exit_code, done.stderr


@on_a_store
def test_no_store_here(here: Path, words: list[str]) -> None:
    code, line = refused(*words)
    assert code == ExitCode.USAGE
    assert "there is no store (*.sdl) in this folder" in line


@on_a_store
def test_several_stores_here(films: Path, words: list[str]) -> None:
    write_store(Path("more.sdl"))
    code, line = refused(*words)
    assert code == ExitCode.USAGE
    assert "name one of films.sdl, more.sdl" in line


@on_a_store
def test_no_such_store(films: Path, words: list[str]) -> None:
    code, line = refused(*words, "film.sdl")
    assert code == ExitCode.USAGE
    assert "there is no store film.sdl (. holds films.sdl)" in line
    assert "did you mean films.sdl?" in refused(*words, "films")[1]


@on_a_store
def test_a_file_in_place_of_a_store(here: Path, words: list[str]) -> None:
    (here / "notes.txt").write_text("hello")
    code, line = refused(*words, "notes.txt")
    assert code == ExitCode.USAGE
    assert "notes.txt is a file, and a store is a folder" in line


@on_a_store
def test_a_folder_that_is_no_store(here: Path, words: list[str]) -> None:
    (here / "photos.sdl").mkdir()
    code, line = refused(*words)
    assert code == ExitCode.USAGE
    assert "photos.sdl is a folder, but not a store" in line


@on_a_store
def test_a_store_of_another_version(films: Path, words: list[str]) -> None:
    import sqlite3

    connection = sqlite3.connect(films / "journal.db")
    connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    connection.commit()
    connection.close()
    code, line = refused(*words)
    assert code == ExitCode.USAGE
    assert "schema version 999" in line


@on_a_store
def test_a_damaged_database(films: Path, words: list[str]) -> None:
    database = films / "journal.db"
    for name in ("journal.db-wal", "journal.db-shm"):
        (films / name).unlink(missing_ok=True)
    data = bytearray(database.read_bytes())
    data[4096:] = os.urandom(1) * (len(data) - 4096)
    database.write_bytes(data)
    done = sdl(*words)
    assert done.exit_code in {ExitCode.FAILED, ExitCode.USAGE}
    assert "Traceback" not in done.output
    assert is_one_line(done.stderr) or (words[0] == "verify" and "NOT SOUND" in done.stdout)


@on_a_store
def test_what_is_no_database(films: Path, words: list[str]) -> None:
    for path in films.glob("journal.db*"):
        path.unlink()
    (films / "journal.db").write_bytes(b"this is no database" * 400)
    done = sdl(*words)
    assert done.exit_code in {ExitCode.FAILED, ExitCode.USAGE}
    assert "Traceback" not in done.output
    assert is_one_line(done.stderr) or (words[0] == "verify" and "NOT SOUND" in done.stdout)


@pytest.mark.parametrize("words", [words for words in ON_A_STORE.values() if words != ["report"]], ids=" ".join)
def test_looking_is_allowed_while_somebody_writes(films: Path, words: list[str]) -> None:
    with open_journal(films):
        assert sdl(*words).exit_code == ExitCode.FINE


def test_a_locked_store(here: Path) -> None:
    """Somebody else writes; whoever wants to write as well is told so, with a code of its own."""
    with open_journal(here / "thin-film.sdl"):
        code, line = refused("demo", "thin-film", "--trials", "1", "--planner", "random")
    assert code == ExitCode.LOCKED
    assert "thin-film.sdl is open for writing" in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["shw", "1"], "Did you mean 'show'?"),
        (["status", "--jason"], "No such option: --jason"),
        (["show"], "Missing argument 'TRIAL' (see sdl show --help)"),
        (["show", "best"], "Invalid value for 'TRIAL'"),
        (["show", "1", "a.sdl", "b.sdl"], "unexpected extra argument"),
        (["export"], "--csv FILE"),
        (["demo", "thick-film"], "there is no simulated laboratory 'thick-film' (there is thin-film, mobile-chemist, "),
        (["demo", "thin-film", "--trials", "0"], "--trials"),
        (["demo", "thin-film", "--planner", "oracle"], "oracle"),
        (["demo", "thin-film", "--in-flight", "none"], "--in-flight"),
        (["run"], "Missing argument"),
        (["run", "nowhere.py"], "there is no file nowhere.py"),
        (["run", "."], "is a folder"),
        (["run", "notes.txt"], "neither a script (.py) nor a campaign file (.yaml)"),
        (["new"], "Missing argument 'LAB|driver'"),
        (["doctor", "everything"], "unexpected extra argument"),
    ],
)
def test_unknown_words(here: Path, words: list[str], part: str) -> None:
    (here / "notes.txt").write_text("hello")
    code, line = refused(*words)
    assert code == ExitCode.USAGE
    assert part in line


def test_a_folder_that_cannot_be_written(films: Path) -> None:
    for words in (["report", "--output", "no/where.html"], ["export", "--csv", "no/where.csv"]):
        code, line = refused(*words)
        assert code == ExitCode.USAGE
        assert "there is no folder no" in line
    assert "films.sdl is a folder" in refused("export", "--csv", "films.sdl")[1]


# --- the border itself ------------------------------------------------------------------------------------------------


def test_traceback_on_request(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--debug", "status"], ["status", "--debug"]):
        done = sdl(*words)
        assert "Traceback" in done.stderr
        assert done.stderr.rstrip().splitlines()[-1].startswith("sdl: there is no store")
    monkeypatch.setenv("SDL_DEBUG", "1")
    assert "Traceback" in sdl("status").stderr
    monkeypatch.setenv("SDL_DEBUG", "0")
    assert "Traceback" not in sdl("status").stderr


@given(st.lists(st.sampled_from(["--debug", "--", "show", "3"])))
def test_debug_is_taken_out_of_what_is_ours(words: list[str]) -> None:
    left, is_debugging = without_debug(words)
    ours, script = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, [])
    assert left == [word for word in ours if word != "--debug"] + script
    assert is_debugging == ("--debug" in ours)


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (JournalLocked("x is locked", hint="wait"), ExitCode.LOCKED, "x is locked (wait)"),
        (JournalCorrupt("x is damaged"), ExitCode.FAILED, "x is damaged"),
        (TransportError("x does not answer"), ExitCode.FAILED, "x does not answer"),
        (ProblemError("x\nis\twrong\x1b[31m"), ExitCode.USAGE, "x is wrong"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), ExitCode.USAGE, "x: No such file"),
        (ModuleNotFoundError("No module named 'x'"), ExitCode.FAILED, "sdl doctor"),
        (ZeroDivisionError("x"), ExitCode.FAILED, "ZeroDivisionError: x"),
    ],
)
def test_every_error_is_one_line(
    error: Exception, code: ExitCode, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert guarded(fail, is_debugging=False) == code == exit_code_of(error)
    line = capsys.readouterr().err
    assert is_one_line(line)
    assert part in line
    assert "\x1b" not in line
    assert explained(error)[0]


def test_interruption(here: Path) -> None:
    (here / "wait.py").write_text("raise KeyboardInterrupt")
    done = sdl("run", "wait.py")
    assert done.exit_code == ExitCode.INTERRUPTED
    assert is_one_line(done.stderr)


def test_nobody_reads_the_output(films: Path) -> None:
    """``sdl show 1 --json | head -1`` ends without a word on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sdl", "show", "2", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == ExitCode.FAILED
    assert error == b""


def test_colour_only_where_it_is_wanted(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in sdl("verify").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in sdl("verify").stdout
    json.loads(sdl("status", "--json").stdout)


def test_signs_that_the_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    spare_signs()
    say("12 ± 1 Ω")
    sys.stdout.flush()
    assert written.getvalue() == b"12 ? 1 ?\n"


def test_what_is_light_stays_light(here: Path) -> None:
    """For ``--help`` the commands' signatures alone are imported; ``doctor`` looks for torch without loading it."""
    code = """
import sys
from sdl.commands.app import app
heavy = {"torch", "bluesky", "ophyd", "ophyd_async", "sqlalchemy", "pint", "matplotlib", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from sdl.commands.doctor import doctor
doctor(as_json=True, deep=False)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]


def test_help_fits_on_its_lines() -> None:
    said = sdl("--help").stdout
    assert said.count("...") == 1  # of the usage line; no summary is cut off
    for command in ("demo", "run", "status", "show", "report", "export", "verify", "new", "doctor"):
        assert f"\n  {command} " in said
        assert sdl(command, "--help").exit_code == 0
    assert sdl().stdout == said
    assert sdl("--version").stdout.startswith("sdl 0.")
