"""Make data.csv: twelve films of the simulated laboratory ``ThinFilmLab``.

Run from the clone: ``python seeds/thin-film-prior/make.py``. It writes the same file every time.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from sdl.problem import Continuous
from sdl.simulators import ThinFilmLab

# Not a seed that demonstrations use: a campaign must not meet the very films that it was told of.
SEED = 20_111
N_RUNS = 12


def conditions() -> list[dict[str, float]]:
    """Return a Latin hypercube of the laboratory's space, rounded as a person would set the knobs."""
    rng = np.random.default_rng(SEED)
    columns: dict[str, list[float]] = {}
    for name, parameter in ThinFilmLab.space().parameters.items():
        assert isinstance(parameter, Continuous)
        shares = (rng.permutation(N_RUNS) + rng.uniform(size=N_RUNS)) / N_RUNS
        columns[name] = [_at(parameter, float(share)) for share in shares]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _at(parameter: Continuous, share: float) -> float:
    low, high = parameter.low, parameter.high
    value = low * (high / low) ** share if parameter.log else low + (high - low) * share
    return float(f"{value:.2g}") if parameter.log else round(value / 5.0) * 5.0


def table() -> str:
    """Run the laboratory and return the CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "oxygen (Pa)", "temperature (degC)", "power (W)", "resistance (ohm)", "error (ohm)"])
    with ThinFilmLab(seed=SEED) as lab:
        for run, values in enumerate(conditions(), 1):
            lab.prepare(run, 1)
            film = lab.run(lab.deposit_and_measure, values)["resistance"]
            settings = [f"{values[name]:g}" for name in ("oxygen", "temperature", "power")]
            writer.writerow([run, *settings, f"{film.value:.5g}", f"{film.standard_error:.2g}"])
    return text.getvalue()


if __name__ == "__main__":
    (Path(__file__).parent / "data.csv").write_text(table(), encoding="utf-8")
