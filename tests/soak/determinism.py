"""One seed, one journal: two campaigns on one laboratory, run again and again while the machine is busy.

``python tests/soak/determinism.py [TIMES] [TRIALS] [THREADS]`` runs it TIMES times (20) with TRIALS trials each (20),
while THREADS threads (4) burn processor time, and compares all that the journal says with what it said at first.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "campaign"))

from test_together import a_busy_machine, whole_laboratory  # pyright: ignore[reportMissingImports]


def main(times: str = "20", trials: str = "20", threads: str = "4") -> int:
    """Compare; return how many runs differed."""
    began = time.monotonic()
    first = whole_laboratory(int(trials))
    print(f"{len(first)} events in {time.monotonic() - began:.1f} s on a quiet machine", flush=True)
    n_different = 0
    with a_busy_machine(int(threads)):
        for number in range(1, int(times) + 1):
            again = whole_laboratory(int(trials))
            differing = next((pair for pair in zip(first, again, strict=False) if pair[0] != pair[1]), None)
            n_different += again != first
            print(f"run {number}: {'the same' if again == first else f'differs: {differing}'}", flush=True)
    print(f"{n_different} of {times} runs differed, in {time.monotonic() - began:.0f} s")
    return n_different


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
