"""What the journal says of a station: when a step began in it, and which latches a person has opened."""

from __future__ import annotations

from collections.abc import Mapping

from sdl.journal.acts import ActIntended
from sdl.journal.protocol import Journal
from sdl.journal.records import StepStarted
from sdl.journal.safety import SAFETY_KINDS, LatchSet, Rearmed

_STEPS = ("step.started", "act.intended")


def mark_of(journal: Journal, campaign: str, trial: int, step: str, act: str = "") -> str:
    """Return the hash of the event by which the step began last: before *act* was intended, where that is given.

    It is the same whenever it is asked for, and after a backup was restored it is another one for each new trial.
    """
    mark = ""
    for event in journal.read(campaign=campaign, trial=trial, kinds=_STEPS):
        body = event.body
        if isinstance(body, StepStarted) and body.step == step:
            mark = event.hash
        elif isinstance(body, ActIntended) and body.act == act:
            break
    return mark


def hash_of(journal: Journal, number: int) -> str:
    """Return the hash of an event; empty where there is none of that number."""
    event = next(iter(journal.read(number - 1)), None)
    return event.hash if event is not None and event.sequence == number else ""


def rearmed_in(journal: Journal, lab: str, station: str) -> Mapping[str, tuple[str, str]]:
    """Return the latches of the link that a person has opened since, with who and why."""
    waiting: list[str] = []
    found: dict[str, tuple[str, str]] = {}
    for event in journal.read(kinds=SAFETY_KINDS):
        body = event.body
        if isinstance(body, LatchSet) and (body.lab, body.station) == (lab, station):
            waiting += latches_of(body.reason)
        elif isinstance(body, Rearmed) and (body.lab, body.station) == (lab, station):
            found.update(dict.fromkeys(waiting, (event.actor, body.because)))
            waiting.clear()
    return found


def latches_of(reason: str) -> tuple[str, ...]:
    """Return the latch that a reason names at its end, if it does."""
    return (reason[:-1].rpartition("[")[2],) if reason.endswith("]") else ()
