"""What a station is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from sdl.journal.acts import ActEnded, ActIntended

if TYPE_CHECKING:
    from bluesky.utils import Msg


def _ignore(_name: str, _document: dict[str, Any]) -> None:
    pass


def _unrecorded(_act: ActIntended | ActEnded) -> None:
    pass


def _forget(_result: JobResult) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """One attempt at one step.

    Parameters
    ----------
    plan
        Returns a fresh bluesky plan. It is called once for the dry walk, where any device has limits, and once for the
        execution.
    md
        Goes into the start document of every run of the job: campaign, trial, step, attempt.
    on_document
        Called with every bluesky document, in order, a few hundredths of a second after it comes and before the job is
        done: in virtual time on the loop's thread, on the wall clock on one that only records. Documents are plain JSON
        data. If it raises, the step fails with that error.
    on_act
        Called on the same thread before a device does what may not be repeated, and when that has ended. It returns
        when it has recorded it, and the plan waits for that; if it raises before an act, the device does not act.
    on_done
        Called once, from the station's worker thread, when the job has ended in whatever way.
    timeout
        Clock seconds for the whole job; None for no limit.
    n_acts_before
        How many such acts earlier jobs have begun in the same attempt at the same step; the next one is numbered on.
    needs
        The stations that are held for it: its plan may move their devices, where they are in the same process. An
        interlock that acts on one of them acts on this job.
    hold
        Called before the plan begins, on a thread that may wait: it makes sure of held stations in other processes, and
        raises where one cannot be had. None where all are here.
    """

    plan: Callable[[], Generator[Msg, Any, Any]]
    md: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    on_document: Callable[[str, dict[str, Any]], None] = _ignore
    on_act: Callable[[ActIntended | ActEnded], None] = _unrecorded
    on_done: Callable[[JobResult], None] = _forget
    timeout: float | None = None
    n_acts_before: int = 0
    needs: tuple[str, ...] = ()
    hold: Callable[[], None] | None = None


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Parameters
    ----------
    value
        What the plan returned; None where it failed.
    error
        Why it failed; None where it did not.
    runs
        The uids of the runs that the job opened, in order.
    started, ended
        UTC seconds by the laboratory's clock.
    is_aborted
        Whether it was ended by :meth:`Station.abort <sdl.lab.station.Station.abort>`.
    is_begun
        Whether the plan began: False where it was refused before any device was told anything.
    duration
        Seconds that it took, by a clock that nobody sets; None where only the times are known.
    """

    value: Any
    error: BaseException | None
    runs: tuple[str, ...]
    started: float
    ended: float
    is_aborted: bool
    is_begun: bool = True
    duration: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took; a clock that was set meanwhile does not change it, where that is known."""
        return self.ended - self.started if self.duration is None else self.duration
