"""Kill a station in a process of its own, many times: station_kills.py [--kills N] [--random N] [--folder PATH].

``--kills`` at each of the named places around an act, ``--random`` after a random time. The instruments' own notes are
compared with the journal: nothing is done twice, and nothing is recorded as done that was not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import hosted  # pyright: ignore[reportMissingImports] # beside the tests, whose folder is added above
from test_remote_kills import (  # pyright: ignore[reportMissingImports] # as above
    Nursery,
    bodies,
    doses,
    lab_of,
    view_of,
)

from sdl.campaign.budget import FailurePolicy
from sdl.journal.acts import ActEnded, ActResolved

PLACES = (
    "station.before_started",
    "station.after_started",
    "guard.after_act",
    "station.before_done",
    "station.after_done",
)
BATCH = 50
"""Kills in one campaign."""


def batch(nursery: Nursery, points: list[str], n_random: int, seed: int) -> Counter[str]:
    """Run one campaign whose station is killed at each of *points*, or *n_random* times; count what came of it."""
    with tempfile.TemporaryDirectory(prefix="sdl-") as name:
        folder = Path(name)
        lab, child = lab_of(nursery, folder, points, seconds=0.02)
        over = threading.Event()
        killer = threading.Thread(target=kill_now_and_then, args=(child, n_random, random.Random(seed), over))
        killer.start()
        try:
            with lab:
                campaign = hosted.campaign_on(lab, folder, resume=True, on_failure=FailurePolicy(max_in_a_row=10**6))
                status = campaign.run(trials=max(len(points), 20 * n_random) + 1).status
        finally:
            over.set()
            killer.join()
        return checked(folder, status, len(child.pids) - 1)


def kill_now_and_then(child: Any, n: int, chance: random.Random, over: threading.Event) -> None:
    """Kill the station *n* times, after a random time each."""
    for _ in range(n):
        if over.wait(chance.uniform(0.05, 0.6)):
            return
        pid = child.pid
        if pid is not None and child.is_alive:
            os.kill(pid, signal.SIGKILL)


def checked(folder: Path, status: str, n_kills: int) -> Counter[str]:
    """Compare the notes of the instruments with the journal."""
    true = doses(folder)
    acts = bodies(folder, ActEnded)
    done = {body.act for body in acts if body.outcome == "done"}
    resolved = bodies(folder, ActResolved)
    done |= {body.act for body in resolved if body.answer == "happened"}
    denied = {body.act for body in resolved if body.answer == "did_not_happen"}
    n_done = Counter(int(act.partition(".")[0]) for act in done)
    found: Counter[str] = Counter({"kills": n_kills, "trials": len(view_of(folder).trials)})
    found["duplicates"] = sum(n - 1 for n in true.values() if n > 1)
    found["done without an act"] = sum((n_done - true).values())
    found["unknown"] = (
        sum(body.outcome == "unknown" for body in acts)
        - len(denied)
        - sum(body.answer == "happened" for body in resolved)
    )
    found["not finished"] = int(status != "finished")
    return found


def main() -> int:
    """Run, print, and say with the exit code whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="at each named place")
    parser.add_argument("--random", type=int, default=500, help="at random times")
    options = parser.parse_args()
    nursery, began, total = Nursery(), time.monotonic(), Counter[str]()
    try:
        for place in PLACES:
            for first in range(0, options.kills, BATCH):
                total += batch(nursery, [f"{place}:1"] * min(BATCH, options.kills - first), 0, 0)
            print(f"{place}: {dict(total)}", flush=True)
        for first in range(0, options.random, BATCH):
            total += batch(nursery, [], min(BATCH, options.random - first), first)
        print(f"{dict(total)} in {time.monotonic() - began:.0f} s")
    finally:
        nursery.close()
    return int(any(total[what] for what in ("duplicates", "done without an act", "not finished")))


if __name__ == "__main__":
    sys.exit(main())
