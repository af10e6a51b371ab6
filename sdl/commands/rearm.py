"""``sdl rearm``: a person lets steps start again after an interlock has tripped."""

from __future__ import annotations

from pathlib import Path

from sdl.campaign.identity import signed
from sdl.campaign.safeguard import rearm as arm_again
from sdl.commands.output import say
from sdl.journal import open_journal
from sdl.lab.latches import check_person, latches_in


def rearm(store: Path, *, by: str, because: str, station: str | None) -> None:
    """Record who arms which station again, and why, and say what was latched."""
    check_person(by, because)
    by = signed(by)
    journal = open_journal(store, mode="write")
    try:
        latches = arm_again(journal, by=by, because=because, station=station)
        left = latches_in(journal)
    finally:
        journal.close()
    for latch in latches:
        say(f"armed again by {by}: {latch}")
    for latch in left:
        say(f"still closed: {latch}")
    say("Nothing has moved. Run the campaign to go on.")
