"""Make dye.csv: a table that looks like measurements and is a formula, for examples and tests.

Run from the clone: ``python examples/tables/make.py``. The formula is invented; no dye was harmed or removed.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from pathlib import Path

import numpy as np

CATALYSTS = {"TiO2": (1.0, 5.0, 4.0), "ZnO": (0.7, 8.0, 2.5), "Fe2O3": (0.4, 3.5, 1.0)}  # activity, best pH, price
PH = (3.0, 5.0, 7.0, 9.0)
MINUTES = (10.0, 20.0, 40.0, 60.0)
N_REPLICATES = 2
NOISE = 1.5  # percentage points


def removed(catalyst: str, ph: float, minutes: float) -> float:
    """Return the share of the dye that is gone, in percent: first order in time, fastest at the catalyst's own pH."""
    activity, best_ph, _ = CATALYSTS[catalyst]
    rate = 0.06 * activity * math.exp(-(((ph - best_ph) / 3.0) ** 2))
    return 100.0 * (1.0 - math.exp(-rate * minutes))


def table() -> str:
    """Return the CSV text, the same every time."""
    rng = np.random.default_rng(11)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "catalyst", "pH", "time (min)", "removed (%)", "cost"])
    designs = itertools.product(CATALYSTS, PH, MINUTES, range(N_REPLICATES))
    for run, (catalyst, ph, minutes, _) in enumerate(designs, 1):
        measured = min(100.0, max(0.0, removed(catalyst, ph, minutes) + rng.normal(0.0, NOISE)))
        cost = CATALYSTS[catalyst][2] + 0.05 * minutes
        writer.writerow([run, catalyst, f"{ph:g}", f"{minutes:g}", f"{measured:.2f}", f"{cost:.2f}"])
    return text.getvalue()


if __name__ == "__main__":
    (Path(__file__).parent / "dye.csv").write_text(table(), encoding="utf-8")
