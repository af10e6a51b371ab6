"""Kill a campaign at every fail point and at random moments, many times: kills.py [--places N] [--random N] [--seed N].

Prints a table, and fails when anything acknowledged was lost, done twice, or not as the store says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from sdl.testing import Acknowledgements, Killed, KillHarness, TruthJournal, check

HERE = Path(__file__).parent


def at_places(harness: KillHarness, folder: Path, wanted: int) -> Iterator[Killed]:
    """Every place at its first passage, then at its second, ...; when there are no more, with two kills in a row."""
    places = list(harness.places(folder / "places"))
    n, rng = 0, np.random.default_rng(1)
    open_places = dict.fromkeys(places)
    for hit in count(1):
        for place in list(open_places):
            if n >= wanted:
                return
            case = harness.until_done(folder / f"{place}-{hit}", f"{place}:{hit}")
            if case.n_kills == 0:
                del open_places[place]  # it is not passed so often
                shutil.rmtree(case.folder)
                continue
            n += case.n_kills
            yield case
        if not open_places:
            break
    print(f"every place at every passage: {n} kills; the rest are two kills in a row", flush=True)
    while n < wanted:
        kills = [f"{rng.choice(places)}:{rng.integers(1, 4)}" for _ in range(2)]
        case = harness.until_done(folder / f"pair-{n}-{rng.integers(1 << 30)}", *kills)
        n += case.n_kills
        yield case


def at_random(harness: KillHarness, folder: Path, wanted: int, seed: int) -> Iterator[Killed]:
    """At uniformly random moments of a run's length."""
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    harness.run(folder / "whole")
    longest = time.perf_counter() - started
    n = 0
    while n < wanted:
        case = harness.until_done(folder / f"random-{n}-{rng.integers(1 << 30)}", float(rng.uniform(0.0, longest)))
        n += case.n_kills
        yield case


def judged(cases: Iterator[Killed], what: str) -> Counter[str]:
    """Count what became of the cases, and name the bad ones."""
    found: Counter[str] = Counter()
    started = time.perf_counter()
    for case in cases:
        report = check(
            case.folder / "store.sdl",
            truth=TruthJournal(case.folder / "truth.jsonl"),
            acknowledged=Acknowledgements(case.folder / "acknowledged.jsonl"),
            are_runs_closed=True,
        )
        found["kills"] += case.n_kills
        found["campaigns"] += 1
        found["not finished"] += not case.is_done
        found["acknowledged lost"] += bool(report.lost)
        found["done twice"] += bool(report.duplicates)
        found["unsound"] += bool(report.problems)
        found["acts untrue"] += bool(report.untrue or report.unintended)
        found["runs open"] += bool(report.open_runs)
        if not (report.ok and case.is_done):
            print(f"BAD {case.kills} {case.endings}: {report}", flush=True)
        shutil.rmtree(case.folder)
    seconds = time.perf_counter() - started
    print(f"{what}: {dict(found)} in {seconds:.0f} s ({seconds / max(found['kills'], 1):.2f} s a kill)", flush=True)
    return found


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=1000, help="kills at fail points")
    parser.add_argument("--random", type=int, default=1000, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ram = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name,
        KillHarness("dosing:main", path=[HERE.parent / "testing"]) as harness,
    ):
        folder = Path(name)
        totals = judged(at_places(harness, folder / "places", given.places), "at fail points")
        totals += judged(at_random(harness, folder / "random", given.random, given.seed), "at random moments")
    bad = {what: n for what, n in totals.items() if n and what not in {"kills", "campaigns"}}
    print(f"{totals['kills']} kills (zero failures bound the rate below {3 / max(totals['kills'], 1):.2%} at 95 %)")
    print(f"FAILED: {bad}" if bad else "nothing lost, nothing done twice")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
