"""Latches: what a trip leaves closed until a person arms it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdl.errors import JournalError, LabError, SdlError
from sdl.journal.protocol import Journal
from sdl.journal.safety import SAFETY_KINDS, LatchSet, Rearmed
from sdl.journal.spare import Spare

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

    Whatever campaign ran when they were set: the instruments are the same. A latch that the journal could not take,
    because its disk failed, is kept beside it, and counts until a journal has it.
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
    for body in kept_aside(journal):
        found.setdefault((body.lab, body.station, body.interlock), Latch(body))
    return [latch for latch in found.values() if lab is None or latch.body.lab == lab]


def room_aside(journal: Journal) -> Spare | None:
    """Return the file beside *journal* for latches that it cannot take; None for one that is in no folder."""
    folder = getattr(journal, "path", None)
    return Spare(folder / "latches") if isinstance(folder, Path) and folder.is_dir() else None


def keep_aside(journal: Journal, bodies: Sequence[LatchSet]) -> bool:
    """Keep latches beside *journal*, which did not take them; say whether they outlive this process."""
    spare = room_aside(journal)
    if spare is None or not bodies:
        return False
    try:
        before = spare.kept().splitlines()
    except OSError:  # the disk fails, and the new ones matter most
        before = []
    return spare.keep("\n".join([*before, *(body.to_json() for body in bodies)]))


def kept_aside(journal: Journal) -> Sequence[LatchSet]:
    """Return the latches that are kept beside *journal*.

    Raises :class:`~sdl.errors.JournalError` where something is kept that cannot be read: it was a latch.
    """
    spare = room_aside(journal)
    try:
        text = "" if spare is None else spare.kept()
        return [LatchSet.from_json(line) for line in text.splitlines()]
    except OSError as error:
        raise JournalError(f"what is kept beside the journal cannot be read: {error}") from error
    except SdlError as error:
        assert spare is not None
        raise JournalError(
            f"{spare.path} keeps a latch that cannot be read: {error.message}",
            hint="an interlock has tripped while the disk failed: look at the laboratory, then delete that file",
        ) from error


def drop_aside(journal: Journal, is_settled: Callable[[LatchSet], bool]) -> None:
    """Keep those no longer beside *journal* that it has now, or that a person has opened."""
    spare, bodies = room_aside(journal), kept_aside(journal)
    left = [body for body in bodies if not is_settled(body)]
    if spare is not None and len(left) < len(bodies):
        spare.keep("\n".join(body.to_json() for body in left))


def check_person(by: str, because: str) -> None:
    """Raise :class:`~sdl.errors.LabError` unless a person and a reason are named."""
    if by.strip().lower() in NOBODY:
        raise LabError(f"{by!r} is no person who can answer for a station", hint="say who you are")
    if not because.strip():
        raise LabError(
            "whoever answers for a station gives a reason", hint="say what was found, and what was done about it"
        )
