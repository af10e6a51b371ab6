"""A laboratory on which four campaigns run for long, with faults by a seed: the soak, and a small test of the same."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import numpy as np
from floor_toy import HOUR, FloorLab, Plan, last_signal

import sdl
from sdl import Batch, Calendar, Changeover, Step, Use
from sdl.campaign import FailurePolicy, History, Situation, Suggestion
from sdl.journal import Journal
from sdl.journal.materials import MaterialAdded, MaterialConsumed
from sdl.journal.records import Decision, FailureCategory
from sdl.problem import Problem
from sdl.problem.value import Value
from sdl.testing.schedule import Opening, StepRule, check_schedule, intervals_of

GOLDEN = 0.618033988749895
NAMES = ("films", "wet", "powders", "checks")
SPACE = sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0), temperature=sdl.Discrete([500.0, 600.0]))
FAULTS = {"fails": 0.01, "fails half way": 0.005, "hangs": 0.002}
"""How often a step of a trial goes wrong, and how."""

RULES = {
    "films/take": StepRule(("robot",)),
    "films/coat": StepRule(("coater",), needs=(("robot",),), after=("take",)),
    "films/anneal": StepRule(("furnace1", "furnace2"), size=4, after=("coat",)),
    "films/measure": StepRule(("meter",), within={"anneal": 5400.0}, after=("anneal",)),
    "films/again": StepRule(("meter",), after=("measure",)),
    "films/put away": StepRule(("robot",), after=("measure",)),
    "wet/coat": StepRule(("coater",)),
    "wet/measure": StepRule(("meter",), needs=(("robot",),), within={"coat": 900.0}, after=("coat",)),
    "powders/fire": StepRule(("furnace1", "furnace2"), size=8),
    "powders/measure": StepRule(("meter",), after=("fire",)),
    "checks/measure": StepRule(("meter",)),
}
OPENING = {"meter": Opening(("04:00-24:00",), overrun=60.0)}
"""A measurement is declared to take 120 s and takes 96 to 156, so that it may be expected to take as little as 96."""


class GoldenPlanner(Value):
    """Fills the range evenly in steps of the golden ratio, eight trials a temperature; it takes no time to think."""

    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        return "golden"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        first = len(history.entries)
        decision = Decision(planner=self.name, version=self.version, seed=seed, n_observed=first, n_pending=0)
        return [
            Suggestion(
                values={"x": (GOLDEN * place) % 1.0, "temperature": 500.0 if place // 8 % 2 else 600.0},
                decision=decision,
            )
            for place in range(first, first + n)
        ]


class BusyLab(FloorLab):
    """The stations of the floor, the meter closed for four hours a day, with stock for so many trials a campaign."""

    def __init__(self, seed: int, n_trials: int) -> None:
        self.seed = seed
        stock = sdl.Stock(
            sdl.Reagent("ink", f"{8 * n_trials} mL", tolerance="2 %"),
            sdl.Consumable("substrate", 3 * n_trials),
            sdl.Rack("hotel", 16 + n_trials // 5),
        )
        super().__init__(calendars={"meter": Calendar(hours=("04:00-24:00",))}, stock=stock)


def taking(campaign: str, step: str, seconds: float, *, measures: bool = False) -> Callable[[Any, Any], Plan]:
    """Return a plan that takes about so long, and sometimes fails or hangs, by the laboratory's seed."""

    def plan(lab: Any, given: Any) -> Plan:
        settings: Sequence[sdl.Settings] = given if isinstance(given, tuple) else (given,)
        lead = settings[0]
        name = zlib.crc32(f"{campaign}/{step}".encode())
        rng = np.random.default_rng([lab.seed, name, lead.trial, lead.attempt])
        fault, length = float(rng.random()), seconds * float(rng.uniform(0.8, 1.3))
        if fault < FAULTS["fails"]:
            raise RuntimeError("it does not begin")
        yield from bps.sleep(length / 2)
        if fault < FAULTS["fails"] + FAULTS["fails half way"]:
            raise RuntimeError("it failed half way")
        yield from bps.sleep(1000 * HOUR if fault > 1 - FAULTS["hangs"] else length / 2)
        found = [{"signal": sdl.Measurement((s.number("x") - 0.3) ** 2, "V")} if measures else {} for s in settings]
        return found if isinstance(given, tuple) else found[0]

    return plan


def step(campaign: str, name: str, seconds: float, *, measures: bool = False, **more: Any) -> Step:
    """Return a step that takes about so long."""
    plan = taking(campaign, name, seconds, measures=measures)
    return Step(name, plan, duration=seconds, timeout=4 * seconds + 600, **more)


def rinse(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.sleep(120)


def ink_for(s: sdl.Settings) -> list[Use]:
    return [Use("ink", f"{1 + s.number('x'):.3f} mL")]


def steps_of(name: str) -> tuple[Step, ...]:
    """Return the steps of a campaign."""
    if name == "films":
        return (
            step(name, "take", 60, station="robot", keeps="robot", uses=[Use("substrate")], needs_position="hotel"),
            step(
                name,
                "coat",
                300,
                station="coater",
                needs="robot",
                uses=ink_for,
                setup=Changeover(key=("temperature",), plan=rinse, duration=120),
            ),
            step(
                name,
                "anneal",
                2400,
                station="furnace",
                batch=Batch(4, shared=("temperature",), patience="30 min"),
            ),
            step(name, "measure", 120, measures=True, station="meter", within={"anneal": 5400}),
            step(
                name,
                "again",
                60,
                measures=True,
                station="meter",
                when=lambda s: s.results["measure"]["signal"].value < 0.05,
            ),
            step(name, "put away", 30, station="robot", ends_sample=True),
        )
    if name == "wet":
        return (
            step(name, "coat", 200, station="coater", uses=ink_for),
            step(name, "measure", 100, measures=True, station="meter", needs="robot", within={"coat": 900}),
        )
    if name == "powders":
        return (
            step(name, "fire", 3600, station="furnace", batch=Batch(8, shared=("temperature",), patience="1 h")),
            step(name, "measure", 120, measures=True, station="meter"),
        )
    return (step(name, "measure", 60, measures=True, station="meter"),)


def campaigns_on(lab: BusyLab, journal: Any, observer: Any = False, **changes: Any) -> list[sdl.Campaign]:
    """Return the four campaigns."""
    in_flight = {"films": 10, "wet": 3, "powders": 16, "checks": 1}
    retried = (FailureCategory.PLAN, FailureCategory.TIMEOUT)
    options: dict[str, Any] = {
        "space": SPACE,
        "objective": sdl.Minimize("signal", unit="V"),
        "lab": lab,
        "journal": journal,
        "on_failure": FailurePolicy(retries=1, retry_on=retried, max_in_a_row=1000),
        "progress": observer,
        "schedule_ahead": "never",
    }
    return [
        sdl.Campaign(
            name,
            planner=GoldenPlanner(),
            experiment=sdl.Experiment(*steps_of(name), evaluate=last_signal),
            in_flight=in_flight[name],
            share=1.0 + place,
            **(options | changes),
        )
        for place, name in enumerate(NAMES)
    ]


def wrongs(journal: Journal) -> list[str]:
    """Return what was done that may not be done, by one who knows neither scheduler nor engine."""
    stock: dict[str, float] = {}
    uses: list[tuple[float, str, float]] = []
    for event in journal.read(kinds=("material.added", "material.consumed")):
        match event.body:
            case MaterialAdded() as added:
                stock[added.material] = stock.get(added.material, 0.0) + added.amount.most
            case MaterialConsumed() as used:
                uses.append((event.time.timestamp(), used.material, used.amount.least))
            case _:
                pass
    return check_schedule(intervals_of(journal), RULES, opening=OPENING, stock=stock, uses=uses)
