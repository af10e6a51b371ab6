"""The scheduler: how fast it decides, and what planning ahead would gain.

What is compared: decisions a second of processor time by the dispatching rule, for 48 works on 8 stations; and the rule
against planning ahead with CP-SAT (the extra ``schedule``), on random laboratories of five stations and six trials
whose steps have to begin within 1 to 10 minutes of one another: how long the trials take, and how many windows break.
Steps take as long as expected. CP-SAT is asked anew at every event, with so much effort each time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import harness
import numpy as np

from sdl.lab.schedule import BatchRule, Decision, StationState, Work, dispatch, plan_ahead
from sdl.lab.schedule.rehearsal import Rehearsed, rehearse

# --- how fast ---------------------------------------------------------------------------------------------------------

STATIONS = ("coater", "furnace1", "furnace2", "robot", "xrd", "weigh", "grind", "store")


def many_works(n_trials: int, *, has_windows: bool) -> list[Work]:
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


def seconds_per_decision(n: int, *, has_windows: bool, n_busy: int) -> float:
    """Time one decision, as the mean of many."""
    given, stations = many_works(12, has_windows=has_windows), states(n_busy)
    begin = time.process_time()
    for _ in range(n):
        dispatch(10.0, given, stations)
    return (time.process_time() - begin) / n


# --- the rule and the solver ------------------------------------------------------------------------------------------

NAMES = ("s1", "s2", "s3", "s4", "s5")
N_TRIALS = 6


def trials(rng: np.random.Generator) -> list[list[Work]]:
    """Six trials of two campaigns, whose steps have windows of 1 to 10 minutes."""
    made: list[list[Work]] = []
    for campaign in "ab":
        plan = [
            (
                tuple(str(name) for name in rng.permutation(NAMES)[: int(rng.integers(1, 3))]),
                float(rng.choice([300, 900, 1800, 3600])),
                float(rng.choice([60, 300, 600])),
            )
            for _ in range(int(rng.integers(3, 5)))
        ]
        made += [_trial(campaign, trial, plan) for trial in range(1, N_TRIALS // 2 + 1)]
    return made


def _trial(campaign: str, trial: int, plan: Sequence[tuple[tuple[str, ...], float, float]]) -> list[Work]:
    return [
        Work(
            campaign=campaign,
            trial=trial,
            step=f"p{place}",
            stations=stations,
            duration=duration,
            within={f"p{place - 1}": window} if place else {},
        )
        for place, (stations, duration, window) in enumerate(plan)
    ]


def by_solver(given: Sequence[Sequence[Work]], states: Sequence[StationState], effort: float) -> Rehearsed:
    """Let CP-SAT decide, anew at every event."""

    def decide(
        now: float, works: Sequence[Work], stations: Sequence[StationState], usage: Mapping[str, float]
    ) -> Decision:
        return plan_ahead(now, works, stations, usage=usage, effort=effort).decision

    return rehearse(given, states, decide=decide)


def compare(seed: int, effort: float) -> dict[str, Any]:
    """Let both schedule one laboratory."""
    states = [StationState(name=name) for name in NAMES]
    given = trials(np.random.default_rng(seed))
    began = time.process_time()
    rule = rehearse(given, states)
    half = time.process_time()
    plan = by_solver(given, states, effort)
    return {
        "seed": seed,
        "rule": {"hours": rule.seconds / 3600, "broken": len(rule.late), "cpu": half - began},
        "cp-sat": {"hours": plan.seconds / 3600, "broken": len(plan.late), "cpu": time.process_time() - half},
    }


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--labs", type=int, default=12, help="how many random laboratories; 12 at first")
    parser.add_argument(
        "--effort", type=float, default=0.5, help="deterministic seconds of CP-SAT an event; 0.5 at first"
    )
    options = parser.parse_args()
    found = harness.environment()
    harness.print_environment(found)
    n_decisions = 5 if options.smoke else 300
    speed = [
        {
            "windows": has_windows,
            "busy": n_busy,
            "per_second": 1 / max(1e-9, seconds_per_decision(n_decisions, has_windows=has_windows, n_busy=n_busy)),
        }
        for has_windows in (False, True)
        for n_busy in (8, 6, 0)
    ]
    harness.print_table(
        "Decisions a second of processor time",
        ["windows", "stations busy", "decisions"],
        [[line["windows"], line["busy"], f"{line['per_second']:,.0f}"] for line in speed],
    )
    n_labs = 1 if options.smoke else 4 if options.quick else options.labs
    labs = [compare(seed, 0.02 if options.smoke else options.effort) for seed in range(n_labs)]
    harness.print_table(
        f"The rule and CP-SAT, seeds 0 to {n_labs - 1}",
        ["seed", "rule, hours", "broken", "CP-SAT, hours", "broken", "CP-SAT, processor s"],
        [
            [
                lab["seed"],
                f"{lab['rule']['hours']:.2f}",
                lab["rule"]["broken"],
                f"{lab['cp-sat']['hours']:.2f}",
                lab["cp-sat"]["broken"],
                f"{lab['cp-sat']['cpu']:.1f}",
            ]
            for lab in labs
        ],
    )
    ratio = statistics.median(lab["cp-sat"]["hours"] / lab["rule"]["hours"] for lab in labs)
    broken = {who: sum(lab[who]["broken"] for lab in labs) for who in ("rule", "cp-sat")}
    print(f"Length with CP-SAT by that of the rule, median: {ratio:.3f}. Broken windows: {broken}.")
    harness.write_json(
        options.json, {"environment": found, "speed": speed, "labs": labs, "median_ratio": ratio, "broken": broken}
    )


if __name__ == "__main__":
    main()
