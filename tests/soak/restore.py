"""Restore drills: restore.py [--drills N] [--seed S].

A campaign runs in a process of its own; from here a backup is made at a random moment, while it writes. The backup is
checked, put into a place of its own, and the campaign goes on from it to its end. What was announced before the backup
must be in it, and nothing in it may be damaged, half there, or done twice by going on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sdl.errors import JournalError
from sdl.journal import backup
from sdl.testing import Acknowledgements, KillHarness, TruthJournal, check

HERE = Path(__file__).parent


def drill(harness: KillHarness, folder: Path, seconds: float) -> str:
    """Back up after *seconds* of a run, restore, go on; return what is wrong, or what became of it."""
    live, restored = folder / "live", folder / "restored"
    restored.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(harness.run, live)
        time.sleep(seconds)
        acknowledged = Acknowledgements(live / "acknowledged.jsonl").read()
        try:
            backup(live / "store.sdl", restored / "store.sdl")
        except JournalError as error:  # it has not begun
            running.result()
            return f"no store yet ({type(error).__name__})"
        running.result()
    report = check(restored / "store.sdl", acknowledged=acknowledged)
    if not report.ok:
        return f"BAD backup: {report}"
    if harness.run(restored).code != 0:
        return "BAD: it does not go on"
    report = check(restored / "store.sdl", truth=TruthJournal(restored / "truth.jsonl"), are_runs_closed=True)
    if report.problems or report.duplicates or report.unintended or report.open_runs:
        return f"BAD after it went on: {report}"
    return "sound, and went on"


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found: Counter[str] = Counter()
    ram = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name,
        KillHarness("dosing:main", path=[HERE.parent / "testing"]) as harness,
    ):
        began = time.perf_counter()
        harness.run(Path(name) / "whole")
        longest = time.perf_counter() - began
        for number in range(given.drills):
            folder = Path(name) / str(number)
            said = drill(harness, folder, float(rng.uniform(0.2, 1.0) * longest))
            found[said] += 1
            shutil.rmtree(folder)
    for said, n in found.most_common():
        print(f"{n:5d}  {said}")
    return int(any(said.startswith("BAD") for said in found))


if __name__ == "__main__":
    sys.exit(main())
