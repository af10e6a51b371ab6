"""The scheduler: how fast it decides, and what scheduling ahead gains.

What is compared: decisions a second of processor time by the dispatching rule, for 48 works on 8 stations; and the rule
against scheduling ahead with CP-SAT (the extra ``schedule``), on random laboratories of five stations and six trials
whose steps have to begin within 1 to 10 minutes of one another: how long the trials take, and how many steps begin too
late. ``auto`` is what campaigns do by default. In half of the laboratories steps need and keep further stations. Steps
take as long as expected, or (--noise) a random share more or less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import harness
import numpy as np

from sdl.lab.schedule import Ahead, BatchRule, Decision, Key, StationState, Work, dispatch
from sdl.lab.schedule.ahead import EFFORT, WHEN
from sdl.lab.schedule.rehearsal import rehearse

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


def trials(rng: np.random.Generator, *, has_keeps: bool) -> list[list[Work]]:
    """Six trials of two campaigns, whose steps have windows of 1 to 10 minutes."""
    made: list[list[Work]] = []
    for campaign in "ab":
        steps: list[dict[str, Any]] = []
        for place in range(int(rng.integers(3, 5))):
            order = tuple(str(name) for name in rng.permutation(NAMES))
            n_own = int(rng.integers(1, 3))
            needs = ((order[n_own],),) if has_keeps and rng.random() < 0.4 else ()
            steps.append(
                {
                    "stations": order[:n_own],
                    "needs": needs,
                    "keeps": (order[n_own],) if needs and rng.random() < 0.5 else (),
                    "duration": float(rng.choice([300, 900, 1800, 3600])),
                    "within": {f"p{place - 1}": float(rng.choice([60, 300, 600]))} if place else {},
                }
            )
        made += [_trial(campaign, trial, steps) for trial in range(1, N_TRIALS // 2 + 1)]
    return made


def _trial(campaign: str, trial: int, steps: Sequence[dict[str, Any]]) -> list[Work]:
    return [Work(campaign=campaign, trial=trial, step=f"p{place}", **step) for place, step in enumerate(steps)]


def scheduled(
    given: Sequence[Sequence[Work]], states: Sequence[StationState], took: Mapping[Key, float], ahead: Ahead
) -> dict[str, Any]:
    """Let one laboratory be scheduled; return how that went."""

    def decide(
        now: float, works: Sequence[Work], stations: Sequence[StationState], usage: Mapping[str, float]
    ) -> Decision:
        return ahead.decide(now, works, stations, usage=usage)

    began = time.process_time()
    done = rehearse(given, states, took=took, decide=decide)
    cpu = time.process_time() - began
    return {"hours": done.seconds / 3600, "late": len(done.late), "cpu": cpu, "solved": ahead.n_solved}


def compare(seed: int, effort: float, noise: float) -> dict[str, Any]:
    """Let each way schedule one laboratory."""
    states = [StationState(name=name) for name in NAMES]
    rng = np.random.default_rng(seed)
    given = trials(rng, has_keeps=seed % 2 == 1)
    took = {work.key: work.duration * float(rng.uniform(1 - noise, 1 + noise)) for each in given for work in each}
    return {"seed": seed} | {when: scheduled(given, states, took, Ahead(when, effort=effort)) for when in WHEN}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--labs", type=int, default=12, help="how many random laboratories; 12 at first")
    parser.add_argument(
        "--effort", type=float, default=EFFORT, help=f"deterministic seconds of CP-SAT an event; {EFFORT} at first"
    )
    parser.add_argument("--noise", type=float, default=0.0, help="by which share steps take longer or less; 0 at first")
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
    effort = 0.02 if options.smoke else options.effort
    labs = [compare(seed, effort, options.noise) for seed in range(n_labs)]
    harness.print_table(
        f"The rule alone (never), and scheduling ahead, seeds 0 to {n_labs - 1}: hours, steps that began too late",
        ["seed", *WHEN, *(f"{when}, processor s" for when in WHEN)],
        [
            [
                lab["seed"],
                *(f"{lab[when]['hours']:.2f}, {lab[when]['late']}" for when in WHEN),
                *(f"{lab[when]['cpu']:.1f}" for when in WHEN),
            ]
            for lab in labs
        ],
    )
    ratio = {when: statistics.median(lab[when]["hours"] / lab["never"]["hours"] for lab in labs) for when in WHEN}
    late = {when: sum(lab[when]["late"] for lab in labs) for when in WHEN}
    print(f"Length by that of the rule, median: { {when: round(each, 3) for when, each in ratio.items()} }.")
    print(f"Steps that began too late: {late}.")
    found_all = {"environment": found, "speed": speed, "labs": labs, "median_ratio": ratio, "late": late}
    harness.write_json(options.json, found_all)


if __name__ == "__main__":
    main()
