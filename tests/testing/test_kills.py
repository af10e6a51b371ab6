"""kill -9 at every fail point and at random moments: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dosing import liquid_booked, liquid_given
from racing import Raced, race

from sdl.failpoints import fail_point
from sdl.journal import open_journal
from sdl.testing import Acknowledgements, CheckReport, Killed, KillHarness, Reached, TruthJournal, check, failing_at
from sdl.testing.journal import comment

HERE = Path(__file__).parent
N_RANDOM = 8


@pytest.fixture(scope="module")
def harness() -> Iterator[KillHarness]:
    with KillHarness("dosing:main", path=[HERE]) as made:
        yield made


@pytest.fixture(scope="module")
def places(harness: KillHarness, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return harness.places(tmp_path_factory.mktemp("places"))


def judge(case: Killed) -> CheckReport:
    """Compare what is left of a case, and throw it away."""
    assert case.is_done, (case.kills, case.endings, (case.folder / "output.txt").read_text()[-2000:])
    report = check(
        case.folder / "store.sdl",
        truth=TruthJournal(case.folder / "truth.jsonl"),
        acknowledged=Acknowledgements(case.folder / "acknowledged.jsonl"),
        are_runs_closed=True,
    )
    given, booked = liquid_given(TruthJournal(case.folder / "truth.jsonl")), liquid_booked(case.folder / "store.sdl")
    assert booked.contains(given), (case.kills, booked, given)
    shutil.rmtree(case.folder / "store.sdl")
    return report


def test_every_part_that_changes_state_has_fail_points(places: tuple[str, ...]) -> None:
    assert len(places) >= 25
    parts = {"journal", "artifact", "lock", "recorder", "loop", "guard", "provisions"}
    assert {place.partition(".")[0] for place in places} >= parts


def test_killed_at_every_fail_point(harness: KillHarness, places: tuple[str, ...], tmp_path: Path) -> None:
    """Every place, at its first or second passage, and again when the campaign goes on; more in tests/soak/kills.py."""
    cases = [
        harness.until_done(tmp_path / place, f"{place}:{1 + number % 2}", *([f"{place}:1"] if number % 3 == 0 else []))
        for number, place in enumerate(places)
    ]
    assert sum(case.n_kills for case in cases) >= len(places)
    bad = {case.kills: str(report) for case in cases if not (report := judge(case)).ok}
    assert not bad


def test_killed_at_random_moments(harness: KillHarness, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    cases = [harness.until_done(tmp_path / str(i), *rng.uniform(0.01, 0.3, size=2)) for i in range(N_RANDOM)]
    bad = {case.kills: str(report) for case in cases if not (report := judge(case)).ok}
    assert not bad


def test_of_two_engines_one_writes_and_the_other_takes_over_when_it_is_killed(
    harness: KillHarness, tmp_path: Path
) -> None:
    """They start at the same moment, and the other one waits; more in tests/soak/races.py."""
    kills = ["guard.before_act:1", "guard.after_act:2", "recorder.before_append:4", "journal.before_commit:9"]
    with KillHarness("dosing:main", path=[HERE]) as other:
        raced: list[Raced] = []
        while len(raced) < 5 * len(kills) and not any(each.was_killed for each in raced):  # who is first is chance
            raced += [race((harness, other), tmp_path / f"{len(raced)}-{kill}", kill) for kill in kills]
    assert all(each.is_done for each in raced)
    assert not [str(each.report) for each in raced if not each.report.ok]
    assert any(each.was_killed for each in raced)


def test_the_checker_finds_a_campaign_that_repeats_what_may_not_be_repeated(
    harness: KillHarness, tmp_path: Path
) -> None:
    """Without this, the tests above could pass because the checker sees nothing."""
    (tmp_path / "careless").touch()
    case = harness.until_done(tmp_path, "guard.before_end:2")
    assert case.n_kills == 1
    assert judge(case).duplicates == ("dispense 2 (2 times)",)


def test_a_place_can_fail_in_this_process() -> None:
    with failing_at("here", hit=2):
        fail_point("here")
        with pytest.raises(Reached, match="here:2"):
            fail_point("here")
        fail_point("here")


def test_the_checker_names_what_was_announced_and_is_gone(tmp_path: Path) -> None:
    with open_journal(tmp_path / "store.sdl") as journal:
        events = journal.append(comment("one"), comment("two"))
        heads = [(event.sequence, event.hash) for event in events]
    assert check(tmp_path / "store.sdl", acknowledged=heads).ok
    report = check(tmp_path / "store.sdl", acknowledged=[*heads, (3, "f" * 64)])
    assert report.lost == ("3:ffffffffffff",)
    assert "lost" in str(report)
