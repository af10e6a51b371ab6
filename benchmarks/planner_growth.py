"""How the time of a suggestion grows with the number of observations, compared with that after fifty.

CPU seconds of one suggestion in one process with one thread, of a function of six parameters with noise, after an
import and a first suggestion that are not counted.
"""

from __future__ import annotations

import time

import harness
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no type information

from sdl.campaign.planner import History, HistoryEntry, Situation, TrialState
from sdl.journal.records import Observation
from sdl.planners import BayesianPlanner
from sdl.problem import Continuous, Maximize, Measurement, Problem, SearchSpace

SIZES = (10, 50, 100, 200, 500, 1000, 2000, 5000)
FEW_SIZES = (50, 200, 1000)
REFERENCE = 50
DIMENSION = 6
NOISE = 0.05


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("sizes", nargs="*", type=harness.to_int, help="how many observations; 10 to 5,000 at first")
    options = parser.parse_args()
    found = harness.environment()
    harness.print_environment(found)
    sizes = options.sizes or ((REFERENCE,) if options.smoke else FEW_SIZES if options.quick else SIZES)
    suggest(20)
    reference = suggest(REFERENCE)
    seconds = {n: suggest(n) for n in sizes}
    harness.print_table(
        "CPU seconds of a suggestion",
        ["observations", "CPU s", f"times that after {REFERENCE}"],
        [[n, f"{taken:.3f}", f"{taken / reference:.2f}"] for n, taken in seconds.items()],
    )
    harness.write_json(options.json, {"environment": found, "seconds": {str(n): taken for n, taken in seconds.items()}})


def suggest(n: int) -> float:
    """Return the CPU seconds of a suggestion after *n* observations."""
    problem = Problem(SearchSpace({f"x{i}": Continuous(0.0, 1.0) for i in range(DIMENSION)}), Maximize("gain"))
    history = observations(problem, n)
    start = time.process_time()
    with threadpool_limits(limits=1):
        BayesianPlanner(n_initial=2).suggest(problem, history, 1, situation=Situation(), seed=0)
    return time.process_time() - start


def observations(problem: Problem, n: int) -> History:
    """Return *n* trials, half of them all over the space and half around the best place."""
    rng = np.random.default_rng(0)
    rows = rng.random((n, DIMENSION))
    rows[n // 2 :] = np.clip(0.4 + 0.1 * rng.standard_normal((n - n // 2, DIMENSION)), 0.0, 1.0)
    gains = np.exp(-2.0 * ((rows - 0.4) ** 2).sum(axis=1)) + 0.1 * np.sin(9.0 * rows[:, 0])
    gains += NOISE * rng.standard_normal(n)
    entries = [
        HistoryEntry(
            trial=number,
            values=dict(zip(problem.space.names, row, strict=True)),
            state=TrialState.COMPLETED,
            observation=Observation(outcomes={"gain": Measurement(value=gain)}),
        )
        for number, (row, gain) in enumerate(zip(rows.tolist(), gains.tolist(), strict=True), 1)
    ]
    return History(entries)


if __name__ == "__main__":
    main()
