"""Steps that take far longer than they should: said in the journal, once each, while they still run.

Whoever looks on (the progress, a server's notices, a report) sees it by that. Nothing is aborted: what a step may take
at most is its ``timeout``, and what its devices may take is their own.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from sdl.campaign.active import Run
from sdl.campaign.concluding import Concluding
from sdl.journal.records import Comment, Entry
from sdl.lab.schedule.values import SLACK

TIMES = 2.0
"""A step is told of when it has taken so many times what was expected."""


LEAST = 0.1
"""Seconds beyond what was expected before anybody is told: of what takes milliseconds nobody wants to hear."""


@dataclass
class _Watched:
    began: float
    expected: float | None  # seconds; None: nobody knows
    is_told: bool = False

    @property
    def due(self) -> float | None:
        """When it is to be told, by the monotonic clock: whoever sets the clock makes no step late."""
        if self.is_told or not self.expected:
            return None
        return self.began + max(TIMES * self.expected, self.expected + LEAST)


class Stalls(Concluding):
    """The part of the loop that sees steps that do not come to their end."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._watched: dict[Run, _Watched] = {}

    @abstractmethod
    def _expected(self, run: Run) -> float | None:
        """Return the seconds that *run* is expected to take; None where nobody knows."""

    @property
    def next_alarm(self) -> float | None:
        """When the next step is to be told of if it has not ended by then, in seconds of the floor."""
        runs = self._runs.values()
        now = self._lab.clock.monotonic()
        if self._watched.keys() != set(runs):
            self._watched = {run: self._watched.get(run) or _Watched(now, self._expected(run)) for run in runs}
        dues = [each.due for each in self._watched.values() if each.due is not None]
        return self._floor.now() + min(dues) - now if dues else None

    def _tell_stalls(self) -> None:
        """Record which steps have taken twice as long as expected."""
        now = self._lab.clock.monotonic()
        for run, each in self._watched.items():
            if run in self._runs.values() and each.due is not None and now >= each.due - SLACK:
                each.is_told = True
                text = (
                    f"step {run.step.name!r} has run for {now - each.began:.0f} s on {run.station}, and "
                    f"{each.expected:.0f} s were expected: look whether it still does something"
                )
                # Not with the documents that wait for the end of the step: its own thread keeps those.
                self._recorder.append(Entry(Comment(text=text), self.view.name, run.lead, actor="watcher"))
