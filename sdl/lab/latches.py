"""Latches: what a trip leaves closed until a person arms it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sdl.errors import LabError
from sdl.journal.protocol import Journal
from sdl.journal.safety import SAFETY_KINDS, LatchSet, Rearmed

NOBODY = frozenset(("", "engine", "watcher", "station", "planner"))
"""Actors that are no person."""


@dataclass(frozen=True)
class Latch:
    """What is closed, since which event of the journal (0 where none knows of it yet), and in which campaign."""

    body: LatchSet
    sequence: int = 0
    campaign: str = ""

    @property
    def station(self) -> str:
        """The station on which no step starts."""
        return self.body.station

    def __str__(self) -> str:
        return f"station {self.station} is latched by the interlock {self.body.interlock!r}: {self.body.reason}"


def latches_in(journal: Journal, lab: str | None = None) -> Sequence[Latch]:
    """Return the latches of *lab* (of all laboratories, where None) that nobody has armed again, oldest first.

    Whatever campaign ran when they were set: the instruments are the same.
    """
    found: dict[tuple[str, str, str], Latch] = {}
    for event in journal.read(kinds=SAFETY_KINDS):
        body = event.body
        if isinstance(body, LatchSet):
            key = (body.lab, body.station, body.interlock)
            first = found.get(key, Latch(body, event.sequence, event.campaign))
            found[key] = replace(first, body=body)
        elif isinstance(body, Rearmed):
            found = {key: latch for key, latch in found.items() if key[:2] != (body.lab, body.station)}
    return [latch for latch in found.values() if lab is None or latch.body.lab == lab]


def check_person(by: str, because: str) -> None:
    """Raise :class:`~sdl.errors.LabError` unless a person and a reason are named."""
    if by.strip().lower() in NOBODY:
        raise LabError(f"{by!r} is no person who can answer for a station", hint="say who you are")
    if not because.strip():
        raise LabError(
            "whoever answers for a station gives a reason", hint="say what was found, and what was done about it"
        )
