"""Many trials over four campaigns on one laboratory, with faults: four_campaigns.py [--trials N] [--sessions N].

One process, virtual time, a store on disk. A coater, two furnaces, a robot and a meter that is closed by night; steps
that share runs, keep the robot, have windows and set-ups, use up stock; of every hundred steps about two fail or hang,
by the seed. Prints, for every tenth of the trials, how long an event of the journal took (trials of one campaign have
one step, of another six, and the short ones end first) and how much memory the process has; then whether the journal is
sound, and what an independent checker says of the schedule and the stock. Fails where anything is wrong, where a trial
takes more than --growth kB of memory after the first tenth, or an event more than --slower times what it took at first.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "campaign"))

from busy_lab import NAMES, BusyLab, campaigns_on, wrongs  # noqa: E402 # pyright: ignore[reportMissingImports]

import sdl  # noqa: E402
from sdl.campaign import CampaignView  # noqa: E402
from sdl.journal import open_journal, verify  # noqa: E402
from sdl.lab import Ledger  # noqa: E402

LAST = dt.date(2100, 1, 1)
ENDS = ("trial.completed", "trial.failed")


def memory() -> float:
    """Return the resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Scales:
    """Weighs the process after every so many trials that have ended."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.n = 0
        self.n_events = 0
        self.weights: list[float] = []
        self.seconds: list[float] = []
        self._cpu = time.process_time()

    def notify(self, event: Any, view: Any) -> None:
        """Count the trials that have ended."""
        self.n_events += 1
        if event.kind not in ENDS:
            return
        self.n += 1
        if self.n % self.every == 0:
            cpu = time.process_time()
            self.weights.append(memory())
            self.seconds.append((cpu - self._cpu) / self.n_events)
            per_trial, per_event = 1000 * (cpu - self._cpu) / self.every, 1000 * self.seconds[-1]
            print(
                f"{self.n:6d} trials: {per_trial:6.1f} ms of processor time each, {per_event:.2f} ms an event, "
                f"{self.weights[-1]:.0f} MB",
                flush=True,
            )
            self._cpu, self.n_events = cpu, 0

    def close(self, view: Any) -> None:
        """Nothing to end."""


def run(store: Path, given: argparse.Namespace, scales: Scales) -> list[str]:
    """Run all sessions; return how the campaigns ended."""
    ended: list[str] = []
    for session in range(1, given.sessions + 1):
        with BusyLab(given.seed, given.trials) as lab:
            campaigns = campaigns_on(lab, store, scales, schedule_ahead=given.ahead)
            trials = round(given.trials * session / given.sessions)
            ended = [f"{each.status}: {each.reason}" for each in sdl.run_together(*campaigns, trials=trials)]
            print(f"session {session}: {ended}", flush=True)
    return ended


def judged(store: Path, n_trials: int, ended: list[str]) -> list[str]:
    """Return what is wrong."""
    bad = [each for each in ended if not each.startswith("finished")]
    report = verify(store)
    bad += [str(problem) for problem in report.problems]
    with open_journal(store, "read") as journal:
        bad += wrongs(journal)
        for name in NAMES:
            view = CampaignView.of(journal, name)
            states = Counter(trial.state.value for trial in view.trials)
            why = Counter(trial.failure.category.value for trial in view.trials if trial.failure is not None)
            print(f"{name}: {dict(states)}, failed by {dict(why)}")
            if view.n_proposed < n_trials or set(states) - {"completed", "failed", "proposed"}:
                bad.append(f"{name}: {dict(states)}")
        ledger = Ledger.of(journal)
        print("; ".join(f"{name}: {ledger.balance(name, LAST).left} left" for name in ("ink", "substrate")))
        print(f"{journal.head[0]} events, {sum(file.stat().st_size for file in store.rglob('*')) / 1e6:.0f} MB on disk")
    return bad


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2500, help="of each of the four campaigns")
    parser.add_argument("--sessions", type=int, default=1, help="in so many sessions one after another")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--growth", type=float, default=4.0, help="kB of memory a trial, after the first tenth")
    parser.add_argument("--slower", type=float, default=1.5, help="the last tenth an event, against the second")
    parser.add_argument("--ahead", default="never", help="schedule_ahead of the campaigns")
    given = parser.parse_args()
    ram, scales = Path("/dev/shm"), Scales(max(1, 4 * given.trials // 10))
    with tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name:
        store, began = Path(name) / "soak.sdl", time.monotonic()
        ended = run(store, given, scales)
        print(f"{scales.n} trials in {time.monotonic() - began:.0f} s; looking at them", flush=True)
        bad = judged(store, given.trials, ended)
    grown = 100 * (scales.weights[-1] / scales.weights[0] - 1)
    each = 1000 * (scales.weights[-1] - scales.weights[0]) / (scales.every * (len(scales.weights) - 1))
    slower = scales.seconds[-1] / scales.seconds[1]
    print(f"memory grew by {grown:.1f} % after the first tenth, {each:.1f} kB a trial")
    print(f"an event of the last tenth took {slower:.2f} times the processor time of one of the second")
    is_long = given.trials >= 500  # before, the process is still warming up
    bad += [f"memory grew by {each:.1f} kB a trial"] if is_long and each > given.growth else []
    bad += [f"events took {slower:.2f} times as long at the end"] if is_long and slower > given.slower else []
    print("\n".join(["FAILED", *bad[:20]]) if bad else "all is as it may be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
