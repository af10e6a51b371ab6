"""Many power losses: power_loss.py [--images N] [--seed N]. Fails when one of them takes what was acknowledged."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from sdl.errors import JournalError
from sdl.journal import open_journal, sqlite, verify
from sdl.journal.records import DocumentEmitted, Entry
from sdl.testing import Disk, PowerLoss, power_losses, recorded_disk
from sdl.testing.journal import comment

SYNCHRONOUS = {"FULL": 2, "NORMAL": 1, "OFF": 0}


def work(path: Path, disk: Disk, rng: np.random.Generator) -> None:
    """A few sessions with artifacts, of random length."""
    for session in range(int(rng.integers(1, 4))):
        with open_journal(path) as journal:
            for i in range(int(rng.integers(3, 25))):
                entries = [comment(f"{session} {i} {part}") for part in range(int(rng.integers(1, 5)))]
                if rng.random() < 0.2:
                    artifact = journal.put(rng.bytes(int(rng.integers(1, 5000))), name="n").model_dump(mode="json")
                    entries.append(Entry(DocumentEmitted(name="event", document={"data": artifact}), "alpha", 1))
                for event in journal.append(*entries):
                    disk.acknowledge((event.sequence, event.hash))


def fate(loss: PowerLoss) -> str:
    """Start again on what is left."""
    try:
        with open_journal(loss.path) as journal:
            journal.append(comment("and on"))
            found = {(event.sequence, event.hash) for event in journal.read()}
    except JournalError:
        return "corrupt"
    if not verify(loss.path).ok:
        return "corrupt"
    return "sound" if set(loss.acknowledged) <= found else "lost"


def tried(synchronous: str, n: int, seed: int, folder: Path) -> Counter[str]:
    """Count the fates of *n* images, fifty of each history."""
    pragmas = {"journal_mode": "wal", "synchronous": SYNCHRONOUS[synchronous], "wal_autocheckpoint": 30}
    sqlite._WRITER_PRAGMAS = pragmas  # type: ignore[assignment] # pyright: ignore[reportPrivateUsage]
    found: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    for history in range(-(-n // 50)):
        store = folder / f"{synchronous}-{history}.sdl"
        with recorded_disk() as disk:
            work(store, disk, rng)
        for loss in power_losses(disk.log, store, folder / "image", n=min(50, n - 50 * history), rng=rng):
            found[fate(loss)] += 1
    return found


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ram = Path("/dev/shm")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else None) as name:
        counts: dict[str, Counter[str]] = {}
        for which, n in (("FULL", given.images), ("NORMAL", 200), ("OFF", 200)):
            counts[which] = tried(which, n, given.seed, Path(name))
            print(f"synchronous={which}: {dict(counts[which])}", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    is_good = counts["FULL"] == {"sound": given.images} and counts["NORMAL"]["lost"] and counts["OFF"]["corrupt"]
    print("every acknowledged event survived, and the images tell less syncing" if is_good else "FAILED")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
