"""Named places where a process can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from sdl.failpoints import Kill, fail_point

SCRIPT = """
from sdl.failpoints import fail_point
for place in ("one", "two", "one", "two"):
    fail_point(place)
    print(place, flush=True)
"""


def run(**variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.replace("\n", " ").strip()


@pytest.mark.parametrize(
    ("point", "said"), [("one", ""), ("two:1", "one"), ("one:2", "one two"), ("two:2", "one two one")]
)
def test_a_process_dies_at_the_place_and_passage_named(point: str, said: str) -> None:
    assert run(SDL_FAILPOINT=point) == (-signal.SIGKILL, said)


def test_a_place_that_is_not_passed_kills_nobody(tmp_path: Path) -> None:
    assert run(SDL_FAILPOINT="three") == run() == (0, "one two one two")


def test_every_place_is_listed_once(tmp_path: Path) -> None:
    run(SDL_FAILPOINT_LOG=str(tmp_path / "places"))
    assert (tmp_path / "places").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("text", ["", ":1", "one:0", "one:x", "one:-1", "one:1:2"])
def test_a_point_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME:HIT"):
        Kill.parse(text)


def test_a_place_costs_next_to_nothing() -> None:
    """Less than a microsecond on a slow and busy machine; some 50 ns on an idle one."""
    assert min(timeit.repeat(lambda: fail_point("nowhere"), number=10_000, repeat=5)) < 10_000 * 1e-6
