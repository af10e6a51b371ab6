"""Kill campaigns that contend for three instruments, and go on: floor.py [--kills N] [--campaigns N] [--trials N].

Every case is one store: its campaigns are killed at random moments, resumed until they have come to their end, and then
judged by what the instruments noted. Prints a line a case and a table; fails when two acts overlapped on an instrument,
when a case did not end, or when a trial waited longer for a station than everybody before it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from sdl.testing import KillHarness, check

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "testing"))

from contending import TRIAL_SECONDS, outcome  # noqa: E402 # pyright: ignore[reportMissingImports] # it is beside the tests

IN_FLIGHT = 2
"""Trials of a campaign that are under way at once."""


def case(harness: KillHarness, folder: Path, size: tuple[int, int], seconds: list[float]) -> Counter[str]:
    """Run one store to its end, killed after each of *seconds*; return what became of it."""
    folder.mkdir()
    (folder / "size.json").write_text(json.dumps(size))
    killed = harness.until_done(folder, *seconds)
    found = outcome(folder)
    n_wanted, bound = size[0] * size[1], size[0] * IN_FLIGHT * TRIAL_SECONDS
    report = check(folder / "store.sdl")
    told: Counter[str] = Counter(
        {
            "cases": 1,
            "kills": killed.n_kills,
            "acts": found.n_acts,
            "trials": found.n_completed,
            "overlaps": len(found.overlaps),
            "not finished": not killed.is_done,
            "trials missing": max(n_wanted - found.n_completed, 0),
            "unsound": not report.ok,
            "waited too long": found.longest_wait > bound,
        }
    )
    print(f"longest wait {found.longest_wait:.0f} s of {bound:.0f} s, {dict(told)}", flush=True)
    if not killed.is_done or found.overlaps or not report.ok:
        print(f"BAD {killed.endings} {found.overlaps[:3]} {report}", flush=True)
    return told


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="kills of the whole process, at random moments")
    parser.add_argument("--campaigns", type=int, default=8)
    parser.add_argument("--trials", type=int, default=6, help="of each campaign in one case")
    parser.add_argument("--a-case", type=int, default=4, help="kills of one case")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng, ram, totals = np.random.default_rng(given.seed), Path("/dev/shm"), Counter[str]()
    size = (given.campaigns, given.trials)
    with (
        tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name,
        KillHarness("contending:main", path=[HERE.parent / "testing"], patience=600.0 + size[0] * size[1]) as harness,
    ):
        started = time.perf_counter()
        totals += case(harness, Path(name) / "whole", size, [])
        whole = time.perf_counter() - started
        print(f"without a kill: {whole:.0f} s", flush=True)
        while totals["kills"] < given.kills:
            seconds = [float(each) for each in rng.uniform(0.0, whole / 2, given.a_case)]
            totals += case(harness, Path(name) / "case", size, seconds)
            shutil.rmtree(Path(name) / "case")
        elapsed = time.perf_counter() - started
    bad = {what: n for what, n in totals.items() if n and what not in {"cases", "kills", "acts", "trials"}}
    print(f"{size[0]} campaigns x 3 instruments: {dict(totals)} in {elapsed:.0f} s")
    print(f"FAILED: {bad}" if bad else "no two acts overlapped, nobody was locked out, everybody was served")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
