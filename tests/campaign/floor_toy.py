"""A laboratory with a coater, furnaces, a robot and a meter, whose steps only take time, for the tests of schedules."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
from toy import Detector, LinePlanner, Motor, ToyLab

import sdl
from sdl.campaign import History, Situation, Suggestion
from sdl.journal import Journal, MemoryJournal
from sdl.journal.records import Event, StepEnded, StepStarted
from sdl.problem import Problem

Plan = Generator[Any, Any, Any]
HOUR = 3600.0


class FloorLab(sdl.Lab):
    """Stations coater, furnace1, furnace2, robot, meter; each has a motor of its name that moves at once."""

    is_simulated = True

    def __init__(self, *, clock: Any = None, keeps_state: bool = False, door: Any = None, **options: Any) -> None:
        devices: dict[str, Any] = {name: Motor(f"{name}_motor", 0.0) for name in NAMES}
        devices["eye"] = Detector("eye", devices["meter"])
        stations: dict[str, list[str]] = {f"{name}_station": [name] for name in NAMES}
        stations["meter_station"].append("eye")
        if door is not None:
            devices["door"] = door
            stations["meter_station"].append("door")
        self._keeps_state = keeps_state
        super().__init__(
            "floor",
            stations={name.removesuffix("_station"): share for name, share in stations.items()},
            kinds={"furnace": ["furnace1", "furnace2"]},
            clock=clock or sdl.VirtualClock(),
            **devices,
            **options,
        )
        ToyLab.made.append(self)  # type: ignore[arg-type] # it is closed with them

    @property
    def keeps_state(self) -> bool:
        return self._keeps_state


NAMES = ("coater", "furnace1", "furnace2", "robot", "meter")


def lasting(seconds: float, result: Mapping[str, Any] | None = None) -> Callable[[Any, Any], Plan]:
    """Return a plan that takes so long."""

    def wait(lab: Any, s: sdl.Settings) -> Plan:
        yield from bps.sleep(seconds)
        return result

    return wait


def batch_lasting(seconds: float) -> Callable[[Any, Any], Plan]:
    """Return a plan for several samples that returns, for each, its place in the batch."""

    def treat(lab: Any, batch: Sequence[sdl.Settings]) -> Plan:
        yield from bps.sleep(seconds)
        return [{"place": index, "of": len(batch)} for index, _ in enumerate(batch)]

    return treat


def measuring(seconds: float) -> Callable[[Any, Any], Plan]:
    """Return a plan that takes so long, and measures the signal."""

    def measure(lab: Any, s: sdl.Settings) -> Plan:
        yield from bps.sleep(seconds)
        return {"signal": sdl.Measurement((s.number("x") - 0.3) ** 2, "V")}

    return measure


SPACE = sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0), temperature=sdl.Discrete([500.0, 600.0]))


class TwoTemperatures(LinePlanner):
    """Proposes 0.05, 0.10, …, and the temperatures in turn: so many of each."""

    each: int = 1

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        line = super().suggest(problem, history, n, situation=situation, seed=seed)
        first = len(history.entries)
        temperatures = [500.0 if ((first + index) // self.each) % 2 == 0 else 600.0 for index in range(n)]
        return [
            suggestion.replace(values={**suggestion.values, "temperature": temperature})
            for suggestion, temperature in zip(line, temperatures, strict=True)
        ]


def floor_campaign(*steps: sdl.Step, lab: FloorLab | None = None, name: str = "floor", **changes: Any) -> sdl.Campaign:
    """Make a quiet campaign of these steps."""
    options: dict[str, Any] = {
        "space": SPACE,
        "objective": sdl.Minimize("signal", unit="V"),
        "planner": TwoTemperatures(),
        "experiment": sdl.Experiment(*steps, evaluate=last_signal) if steps else None,
        "lab": lab or FloorLab(),
        "journal": MemoryJournal(),
        "progress": False,
        "schedule_ahead": "never",
    }
    return sdl.Campaign(name, **(options | changes))


def last_signal(results: Mapping[str, Any], s: sdl.Settings) -> Mapping[str, Any]:
    """Return the signal that was measured last."""
    return next(result for result in reversed(list(results.values())) if result and "signal" in result)


class Course:
    """When the steps of a journal began and ended, in seconds from its first event."""

    def __init__(self, journal: Journal) -> None:
        events = list(journal.read())
        self._zero = events[0].time.timestamp()
        self.began: dict[tuple[int, str], float] = {}
        self.ended: dict[tuple[int, str], float] = {}
        self.starts: dict[tuple[int, str], StepStarted] = {}
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        seconds = event.time.timestamp() - self._zero
        match event.body:
            case StepStarted() as body:
                self.began[event.trial or 0, body.step] = seconds
                self.starts[event.trial or 0, body.step] = body
            case StepEnded() as body:
                self.ended[event.trial or 0, body.step] = seconds
            case _:
                pass
