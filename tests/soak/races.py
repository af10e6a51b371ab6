"""Races of two engines for one store, one of which is killed: races.py [--races N] [--seed S].

Both start at the same moment. One gets the store, the other waits for it; the first is killed at a fail point, chosen
at random among all that it passes. The other must take over without a hand, end the campaign, and do nothing twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "testing"))

from racing import race  # noqa: E402 # pyright: ignore[reportMissingImports] # beside the tests

from sdl.testing import KillHarness  # noqa: E402 # after the path is set


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found: Counter[str] = Counter()
    takeovers: list[float] = []
    ram = Path("/dev/shm")
    path = [HERE.parent / "testing"]
    with (
        tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name,
        KillHarness("dosing:main", path=path) as one,
        KillHarness("dosing:main", path=path) as other,
    ):
        places = one.places(Path(name) / "places")
        for number in range(given.races):
            folder, kill = Path(name) / str(number), f"{rng.choice(places)}:{rng.integers(1, 4)}"
            raced = race((one, other), folder, kill)
            found.update(races=1, kills=raced.was_killed, unfinished=not raced.is_done, bad=not raced.report.ok)
            takeovers += [] if raced.takeover is None else [raced.takeover]
            if not (raced.is_done and raced.report.ok):
                print(f"BAD {kill}: {raced}", flush=True)
            shutil.rmtree(folder)
    print(dict(found))
    if takeovers:
        median, worst = np.median(takeovers), max(takeovers)
        print(f"takeover after a kill: median {median:.2f} s, longest {worst:.2f} s of {len(takeovers)}")
    is_bad = bool(found["unfinished"] or found["bad"])
    print("FAILED" if is_bad else "one engine at a time, nothing lost, nothing done twice")
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
