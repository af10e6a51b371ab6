"""Where the trials of a campaign are: on which station, or waiting for what."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import JsonValue

from sdl.campaign.trace import Trace
from sdl.journal.records import Event, StepQueued, StepStarted
from sdl.problem.value import listing


class Whereabouts:
    """Folded from the events of steps."""

    def __init__(self) -> None:
        self._running: dict[int, Event] = {}
        self._queued: dict[int, Event] = {}

    def clear(self) -> None:
        """A new session begins."""
        self._running.clear()
        self._queued.clear()

    def begin(self, number: int, event: Event) -> None:
        """A station works on a trial."""
        self._running[number] = event
        self._queued.pop(number, None)

    def end(self, number: int) -> None:
        """No station works on it any more."""
        self._running.pop(number, None)

    def queue(self, number: int, event: Event) -> None:
        """It waits, and *event* says why."""
        self._queued[number] = event

    def go(self, number: int) -> None:
        """It waits no more."""
        self._queued.pop(number, None)

    def companions(self, number: int) -> Collection[int]:
        """Return the trials that share the present run of a trial, itself included."""
        begun = self._running.get(number)
        members = begun.body.members if begun is not None and isinstance(begun.body, StepStarted) else ()
        return members or (number,)

    @property
    def runs_now(self) -> tuple[Event, ...]:
        """The events with which the steps began that stations work on."""
        return tuple(self._running.values())

    @property
    def stations(self) -> Mapping[str, str]:
        """What each working station does now: station to ``trial 3: deposit``; idle ones are left out."""
        runs: dict[str, tuple[list[int], str]] = {}
        for number, event in self._running.items():
            body = event.body
            if isinstance(body, StepStarted):
                for name in (body.station, *body.needs):
                    runs.setdefault(name, ([], body.step))[0].append(number)
        return {
            name: f"trial{'s' if len(numbers) > 1 else ''} {listing(sorted(numbers))}: {step}"
            for name, (numbers, step) in runs.items()
        }

    def waiting(self, begun: Mapping[int, Trace], settings: Mapping[str, JsonValue]) -> Mapping[int, str]:
        """Return why each trial waits that no station works on: trial to a sentence.

        Parameters
        ----------
        begun
            What is known of the trials that were begun and have not ended.
        settings
            The campaign's, which name its steps.
        """
        found: dict[int, str] = {}
        busy = "; ".join(f"{name} has {text}" for name, text in self.stations.items())
        for number, trace in begun.items():
            if number not in self._running:
                step = next((name for name in _steps_of(settings) if name not in trace.names_done), "the next one")
                found[number] = f"step {step} waits for a free station{f' ({busy})' if busy else ''}"
        for number, event in self._queued.items():
            if isinstance(event.body, StepQueued):
                found[number] = f"step {event.body.step} {event.body.reason}"
        return dict(sorted(found.items()))


def _steps_of(settings: Mapping[str, JsonValue]) -> list[str]:
    steps = settings.get("steps")
    return [str(step) for step in steps] if isinstance(steps, list) else []
