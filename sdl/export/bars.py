"""What each station did, and when, as the journal tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdl.journal.protocol import Journal
from sdl.journal.records import Event, StepEnded, StepStarted

STEP_KINDS = frozenset(("step.started", "step.ended"))
"""The events that bars are made of."""


@dataclass(frozen=True)
class Bar:
    """That a station was taken.

    Parameters
    ----------
    station
        Which.
    begin, end
        UTC seconds.
    step, trials
        For what, and for which trials.
    run_on
        The station that ran the step; another one than *station* where this one was only held for it.
    is_success
        Whether the step ended well.
    setup
        Seconds at the begin that went into making the station ready.
    """

    station: str
    begin: float
    end: float
    step: str
    trials: tuple[int, ...]
    run_on: str
    is_success: bool = True
    setup: float = 0.0

    @property
    def is_run(self) -> bool:
        """Whether the station ran the step itself."""
        return self.station == self.run_on


class Course:
    """What the stations did for one campaign, folded from its events."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int | None, str, int], float] = {}
        self._last: dict[str, tuple[tuple[str, float, int], int]] = {}
        self._bars: list[Bar] = []

    def take(self, event: Event) -> None:
        """Take in one event; any other than begin and end of a step says nothing."""
        body = event.body
        if isinstance(body, StepStarted):
            self._begun[event.trial, body.step, body.attempt] = event.time.timestamp()
        elif isinstance(body, StepEnded):
            begin = self._begun.pop((event.trial, body.step, body.attempt), None)
            if begin is not None:
                self._add(event, body, begin)

    @property
    def bars(self) -> Sequence[Bar]:
        """Everything that has ended, in the order it did. What never ended is left out."""
        return self._bars

    def _add(self, event: Event, body: StepEnded, begin: float) -> None:
        trials = body.members or ((event.trial,) if event.trial is not None else ())
        for station in (body.station, *body.needs):
            # The members of a batch tell of one run each, one after the other: it is one bar.
            key = (body.step, round(begin, 3), trials[0] if trials else 0)
            known = self._last.get(station)
            place = known[1] if known is not None and known[0] == key else len(self._bars)
            bar = Bar(
                station=station,
                begin=begin,
                end=event.time.timestamp(),
                step=body.step,
                trials=trials,
                run_on=body.station,
                is_success=body.is_success and (place == len(self._bars) or self._bars[place].is_success),
                setup=body.setup_seconds if station == body.station else 0.0,
            )
            self._bars[place : place + 1] = [bar]
            self._last[station] = (key, place)


def bars_of(journal: Journal, campaign: str) -> list[Bar]:
    """Read what the stations did for *campaign*, in the order it ended. What never ended is left out."""
    course = Course()
    for event in journal.read(campaign=campaign, kinds=STEP_KINDS):
        course.take(event)
    return [*course.bars]
