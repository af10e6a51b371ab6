"""Flip random bits of a store's database: bit_flips.py [--flips N] [--seed N]. None may pass unseen."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from sdl.errors import JournalError
from sdl.journal import open_journal, verify
from sdl.testing.journal import comment


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng, counts = np.random.default_rng(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store.sdl"
        with open_journal(store) as journal:
            journal.append(*(comment(f"{i} {'x' * 200}", trial=i) for i in range(300)))
            true = list(journal.read())
        database = store / "journal.db"
        whole = database.read_bytes()
        for _ in range(given.flips):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
            database.write_bytes(damaged)
            for left in ("-wal", "-shm"):
                (store / f"journal.db{left}").unlink(missing_ok=True)
            counts[verdict(store, true)] += 1
    print(dict(counts))
    return 1 if counts["accepted silently"] else 0


def verdict(store: Path, true: object) -> str:
    """Say whether the damage is found; a bit in space that is not used changes nothing."""
    try:
        if not verify(store).ok:
            return "found"
        with open_journal(store, "read") as journal:
            return "without effect" if list(journal.read()) == true else "accepted silently"
    except JournalError:
        return "found"


if __name__ == "__main__":
    sys.exit(main())
