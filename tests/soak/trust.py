"""How well faults of measurement are found: miss rate, false alarms, and trials to detection, in simulated campaigns.

    python tests/soak/trust.py [--campaigns 50] [--trials 60] [--every 4] [--noise 0.02]

A meter is read once in half an hour while a planner that fills the space proposes the points. A fault begins after a
third of the trials. An alarm is the first trial that is not valid, a pause included. A campaign is missed when none
comes between the beginning of the fault and the end.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

import sdl
from sdl.campaign import Control, QualityControl, Replicates
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.journal import MemoryJournal
from sdl.journal.trust import Quality
from sdl.lab.clock import current_time
from sdl.simulators import Bubble, CloggedLine, Drift, FaultyInstrument, FlatLine, Spikes, StuckSensor
from sdl.simulators.faults import Fault

HOURS_PER_TRIAL = 0.5


class Meter:
    """A device that reads 10 + 5 x, with noise that is a share of the value, through an instrument with faults."""

    name = "meter"
    parent = None

    def __init__(self, noise: float, seed: int, faults: Sequence[Fault]) -> None:
        self.noise = noise
        self.x = 0.0
        self.rng = np.random.default_rng(seed)
        self.instrument = FaultyInstrument(self, faults, seed=seed)

    def read(self) -> dict[str, Any]:
        return {"meter": {"value": float(str(self.instrument.answer("READ?"))), "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"meter": {"source": "simulated", "dtype": "number", "shape": []}}

    def answer(self, line: str) -> str:
        return f"{(10.0 + 5.0 * self.x) * (1.0 + self.noise * self.rng.standard_normal()):.6g}"


FAULTS: Mapping[str, Callable[[float], Sequence[Fault]]] = {
    "none": lambda at: (),
    "drift 1 %/h": lambda at: (Drift(per_hour=0.01, begins=at),),
    "drift 5 %/h": lambda at: (Drift(per_hour=0.05, begins=at),),
    "stuck sensor": lambda at: (StuckSensor(begins=at),),
    "flat line": lambda at: (FlatLine(reading=12.0, begins=at),),
    "spikes 20 %": lambda at: (Spikes(probability=0.2, size=0.5, begins=at),),
    "bubble 4 h": lambda at: (Bubble(share=0.5, lasts=4.0, begins=at),),
    "clogged line": lambda at: (CloggedLine(hours=10.0, begins=at),),
}


@dataclass(frozen=True)
class Plan:
    """What every campaign is like."""

    trials: int = 60
    every: int = 4
    noise: float = 0.02
    at_start: int = 5
    is_repeated: bool = True

    @property
    def begins(self) -> float:
        """Hours until a fault begins."""
        return HOURS_PER_TRIAL * (self.trials // 3)


@dataclass(frozen=True)
class Found:
    """What became of one campaign: the first trial under the fault, and the first alarms before and after it."""

    first_bad: int
    false_alarm: int | None
    alarm: int | None


def campaign(fault: str, seed: int, plan: Plan) -> Found:
    """Run one campaign and look for alarms."""
    meter = Meter(plan.noise, seed, FAULTS[fault](plan.begins))

    def measure(lab: sdl.Lab, s: sdl.Settings) -> Generator[Any, Any, Any]:
        yield from bps.sleep(3600.0 * HOURS_PER_TRIAL)
        meter.x = s.number("x")
        reading = yield from bps.trigger_and_read([lab.meter])
        return {"signal": sdl.Measurement(reading["meter"]["value"], "V")}

    lab = sdl.Lab("meter", clock=sdl.VirtualClock(), meter=meter)
    control = Control(every=plan.every, values={"x": 0.5}, at_start=plan.at_start)
    quality = QualityControl(controls=(control,), replicates=Replicates(every=plan.every) if plan.is_repeated else None)
    run = sdl.Campaign(
        "meter",
        space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        objective=sdl.Maximize("signal", unit="V"),
        planner=SpaceFillingFallback(),
        experiment=measure,
        lab=lab,
        seed=seed,
        journal=MemoryJournal(),
        quality=quality,
        planner_place="thread",
        progress=False,
    )
    try:
        run.run(trials=plan.trials)
    finally:
        lab.close()
    return _found(run, plan)


def _found(run: sdl.Campaign, plan: Plan) -> Found:
    first_bad = round(plan.begins / HOURS_PER_TRIAL) + 1
    # A verdict that came later counts where it came from: at the trial that gave rise to it.
    alarms = [trial.number for trial in run.trials if run.view.record(trial.number).was_doubted]
    assert all(trial.verdict.quality is not Quality.INVALID for trial in run.trials)
    early = [number for number in alarms if number < first_bad]
    late = [number for number in alarms if number >= first_bad]
    return Found(first_bad, early[0] if early else None, late[0] if late else None)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    n: int
    n_missed: int
    n_false: int
    delays: Sequence[int]

    def __str__(self) -> str:
        delays = sorted(self.delays)
        median = f"{statistics.median(delays):.0f}" if delays else "-"
        ninth = f"{delays[min(len(delays) - 1, int(0.9 * len(delays)))]}" if delays else "-"
        missed = "-" if self.fault == "none" else f"{self.n_missed / self.n:.0%}"
        return f"{self.fault:14} {self.n:9} {missed:>7} {self.n_false / self.n:12.0%} {median:>8} {ninth:>6}"


HEADING = f"{'fault':14} {'campaigns':>9} {'missed':>7} {'false alarm':>12} {'median':>8} {'90 %':>6}"


def row(fault: str, n: int, plan: Plan) -> Row:
    """Run *n* campaigns with *fault*."""
    found = [campaign(fault, seed, plan) for seed in range(n)]
    if fault == "none":  # every alarm is false
        return Row(fault, n, 0, sum(each.alarm is not None or each.false_alarm is not None for each in found), ())
    delays = [each.alarm - each.first_bad + 1 for each in found if each.alarm is not None]
    return Row(fault, n, n - len(delays), sum(each.false_alarm is not None for each in found), delays)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=50)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--noise", type=float, default=0.02)
    options = parser.parse_args()
    plan = Plan(options.trials, options.every, options.noise)
    print(f"{plan}\nmedian, 90 %: trials of all kinds from the beginning of the fault to the first doubt\n{HEADING}")
    for fault in FAULTS:
        print(row(fault, options.campaigns, plan), flush=True)


if __name__ == "__main__":
    main()
