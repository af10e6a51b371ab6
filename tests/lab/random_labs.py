"""Laboratories and campaigns at random, what they may do, and what came of them as the checker reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdl.lab.schedule import BatchRule, Calendar, StationState, Work
from sdl.lab.schedule.rehearsal import Rehearsed
from sdl.testing.schedule import Interval, Opening, StepRule

BEGIN = 1_767_225_600.0  # Thursday, 1 January 2026, midnight UTC


@dataclass
class RandomLab:
    """Stations, and the trials of one or two campaigns."""

    seed: int
    has_batches: bool = True
    has_keeps: bool = True
    has_calendars: bool = True
    has_needs: bool = True
    has_setups: bool = True
    trials: list[list[Work]] = field(default_factory=list)
    rules: dict[str, StepRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.names = [f"s{number}" for number in range(int(self.rng.integers(2, 7)))]
        self.calendars = {name: self._calendar() for name in self.names if self.has_calendars and self._is(0.2)}
        self.states = [StationState(name=name, calendar=self.calendars.get(name)) for name in self.names]
        for campaign in ("a", "b")[: int(self.rng.integers(1, 3))]:
            steps: list[dict[str, Any]] = []
            for place in range(int(self.rng.integers(1, 5))):
                steps.append(self._step(place, steps))
            self._campaign(campaign, steps)

    def _is(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def _calendar(self) -> Calendar:
        if self._is(0.5):
            return Calendar(hours=("Mon-Fri 08:00-18:00",), timezone="Europe/Paris")
        return Calendar(hours=("06:00-22:00",), runs_on=self._is(0.5))

    def _step(self, place: int, before: list[dict[str, Any]]) -> dict[str, Any]:
        order = [str(name) for name in self.rng.permutation(self.names)]
        n_own = int(self.rng.integers(1, min(3, len(order)) + 1))
        own, rest = tuple(order[:n_own]), order[n_own:]
        needs = (tuple(rest[: int(self.rng.integers(1, 3))]),) if self.has_needs and rest and self._is(0.4) else ()
        taken = [*own, *(name for group in needs for name in group)]
        keeps = tuple(name for name in taken if self._is(0.5)) if self.has_keeps and self._is(0.35) else ()
        batch = None
        if self.has_batches and not keeps and self._is(0.3):
            patience = float(self.rng.choice([0, 1800, 7200]))
            batch = BatchRule(size=int(self.rng.integers(2, 5)), least=int(self.rng.integers(1, 3)), patience=patience)
        within: dict[str, float] = {}
        if place > 0 and self._is(0.4):
            first = int(self.rng.integers(max(0, place - 2), place))
            between = sum(step["duration"] + step["setup"] for step in before[first + 1 :])
            within = {f"p{first}": between + float(self.rng.choice([60, 600, 1800]))}
        has_setup = self.has_setups and not within and self._is(0.3)
        return {
            "stations": own,
            "needs": needs,
            "keeps": keeps,
            "batch": batch,
            "duration": float(self.rng.choice([60, 300, 1200, 3600, 7200])),
            "within": within,
            "setup": 300.0 if has_setup else 0.0,
        }

    def _campaign(self, campaign: str, steps: list[dict[str, Any]]) -> None:
        for trial in range(1, int(self.rng.integers(2, 9))):
            release = BEGIN + (0.0 if self._is(0.6) else float(self.rng.integers(0, 20_000)))
            keys = [str(key) for key in self.rng.integers(0, 2, size=2)]
            self.trials.append(
                [
                    Work(
                        campaign=campaign,
                        trial=trial,
                        step=f"p{place}",
                        release=release,
                        batch_key=keys[0] if step["batch"] else "",
                        setup_key=keys[1] if step["setup"] else "",
                        **step,
                    )
                    for place, step in enumerate(steps)
                ]
            )
        for place, step in enumerate(steps):
            self.rules[f"{campaign}/p{place}"] = StepRule(
                stations=step["stations"],
                needs=step["needs"],
                size=step["batch"].size if step["batch"] else 1,
                within=step["within"],
                after=tuple(f"p{number}" for number in range(place)),
            )

    @property
    def opening(self) -> dict[str, Opening]:
        """The hours, for the checker."""
        return {name: Opening(each.hours, each.timezone, runs_on=each.runs_on) for name, each in self.calendars.items()}


def intervals(done: Rehearsed) -> Iterator[Interval]:
    """Write down what was done as the checker reads it."""
    for number, run in enumerate(done.runs):
        for campaign, trial, step in run.works:
            who = (campaign, trial, step)
            yield Interval(run.station, run.begin + run.setup, run.end, *who, run=str(number))
            if run.setup:
                yield Interval(run.station, run.begin, run.begin + run.setup, *who, role="setup", run=str(number))
            for need in run.needs:
                yield Interval(need, run.begin, run.end, *who, role="need", run=str(number))
    for station, begin, end, (campaign, trial) in done.kept:
        yield Interval(station, begin, end, campaign, trial, "", role="keep")
