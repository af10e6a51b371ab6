"""How many decisions a second the scheduler makes: 8 stations, 50 works, with windows and without.

python benchmarks/scheduler.py
"""

from __future__ import annotations

import time

from sdl.lab.schedule import BatchRule, StationState, Work, dispatch

STATIONS = ("coater", "furnace1", "furnace2", "robot", "xrd", "weigh", "grind", "store")
N_DECISIONS = 300


def works(n_trials: int, *, has_windows: bool) -> list[Work]:
    """Five steps a trial; half of the trials have begun, and wait in the middle."""
    found: list[Work] = []
    for trial in range(1, n_trials + 1):
        steps = [
            Work(campaign="c", trial=trial, step="weigh", stations=("weigh",), duration=600, needs=(("robot",),)),
            Work(campaign="c", trial=trial, step="coat", stations=("coater",), duration=1800),
            Work(
                campaign="c",
                trial=trial,
                step="anneal",
                stations=("furnace1", "furnace2"),
                duration=7200,
                within={"coat": 900.0} if has_windows else {},
                batch=BatchRule(size=4, patience=1800),
            ),
            Work(campaign="c", trial=trial, step="grind", stations=("grind",), duration=300, needs=(("robot",),)),
            Work(campaign="c", trial=trial, step="xrd", stations=("xrd",), duration=3600),
        ]
        found += as_told(steps[trial % 3 :])
    return found


def as_told(steps: list[Work]) -> list[Work]:
    """Say of every step what has to come first."""
    names = [step.step for step in steps]
    return [step.replace(after=tuple(names[:place])) for place, step in enumerate(steps)]


def states(n_busy: int) -> list[StationState]:
    """Some stations run something."""
    return [
        StationState(name=name, busy_until=1000.0 if place < n_busy else None) for place, name in enumerate(STATIONS)
    ]


def seconds_per_decision(*, has_windows: bool, n_busy: int) -> float:
    """Time one decision, as the mean of many."""
    given, stations = works(12, has_windows=has_windows), states(n_busy)
    begin = time.process_time()
    for _ in range(N_DECISIONS):
        dispatch(10.0, given, stations)
    return (time.process_time() - begin) / N_DECISIONS


def main() -> None:
    print(f"{len(works(12, has_windows=True))} works of 12 trials, {len(STATIONS)} stations")
    for has_windows in (False, True):
        for n_busy in (8, 6, 0):
            seconds = seconds_per_decision(has_windows=has_windows, n_busy=n_busy)
            words = "with windows" if has_windows else "without windows"
            print(
                f"  {words}, {n_busy} stations busy: {seconds * 1e3:.2f} ms, {1 / seconds:,.0f} decisions a second of processor time"
            )


if __name__ == "__main__":
    main()
