"""What is under way: trials that are being executed, the runs that stations work on, and what they tell the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdl.campaign.planner import Suggestion
from sdl.lab import JobResult, Settings, Step
from sdl.lab.schedule import Work

Status = Literal["finished", "stopped", "aborted", "paused"]


@dataclass(eq=False)
class Run:
    """A step that a station works on, for one trial or for several.

    Parameters
    ----------
    step, station
        Which, and where.
    members
        Its trials. Documents and acts are recorded under the first of them.
    needs, keeps
        The stations that are held as well, and those that stay with the trials afterwards.
    setup_key
        What the station is made ready for.
    resumes
        Whether it is the rest of a step that was cut off.
    is_batch
        Whether its plan takes several settings, be it for one trial.
    setup_seconds
        What the changeover took; known when the step begins.
    """

    step: Step
    station: str
    members: tuple[int, ...]
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    setup_key: str = ""
    resumes: bool = False
    setup_seconds: float = 0.0

    def note_setup(self, seconds: float) -> None:
        """Note what the changeover took. From any thread, before the step ends."""
        self.setup_seconds = seconds

    @property
    def lead(self) -> int:
        """The trial that documents and acts are recorded under."""
        return self.members[0]

    @property
    def is_batch(self) -> bool:
        """Whether its plan takes several settings, be it for one trial."""
        return self.step.batch is not None

    @property
    def companions(self) -> tuple[int, ...]:
        """Its trials, where there are several."""
        return self.members if len(self.members) > 1 else ()

    @property
    def taken(self) -> tuple[str, ...]:
        """Every station that it takes."""
        return (self.station, *self.needs)


@dataclass(frozen=True)
class StepDone:
    """A station has ended a step."""

    run: Run
    result: JobResult


@dataclass(frozen=True)
class Planned:
    """The planner has answered, or failed for good."""

    suggestions: list[Suggestion]
    error: BaseException | None = None


@dataclass(frozen=True)
class Wake:
    """Somebody changed the loop's mind: look again."""


@dataclass
class ActiveTrial:
    """A trial that is being executed: where it stands in its experiment.

    Parameters
    ----------
    since
        When it became ready for its next step, in seconds of :meth:`~sdl.campaign.floor.Floor.now`.
    ended_at
        When each of its steps ended, in the same seconds.
    run
        What it is being treated by now.
    cut_off
        Where its next step was cut off, and with which other trials; the station is empty where none was.
    works
        What it asks of the schedule; None where that has to be worked out anew.
    was_down
        Whether the laboratory was down since its last step ended.
    is_looked_at
        Whether the condition of its next step has been looked at.
    """

    settings: Settings
    attempt: int
    since: float = 0.0
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    runs: list[str] = field(default_factory=list[str])
    positions: dict[str, str] = field(default_factory=dict[str, str])
    ended_at: dict[str, float] = field(default_factory=dict[str, float])
    kept: tuple[str, ...] = ()
    next_step: int = 0
    is_begun: bool = False
    resumes: bool = False
    cut_off: tuple[str, tuple[int, ...]] = ("", ())
    was_down: bool = False
    run: Run | None = None
    expected_end: float = 0.0
    works: tuple[Work, ...] | None = None
    is_looked_at: bool = False

    @property
    def is_on_station(self) -> bool:
        """Whether a station works on it."""
        return self.run is not None

    def due(self, within: Mapping[str, float]) -> float | None:
        """Return the latest start of a step with these windows, in UTC seconds; None where there is none."""
        ends = [self.ended_at[name] + seconds for name, seconds in within.items() if name in self.ended_at]
        return min(ends, default=None)
