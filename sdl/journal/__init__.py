"""What happened: an append-only record of everything that a campaign decides, does and measures.

The store is loaded when it is asked for; the records alone cost no database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.lazy import importing

if TYPE_CHECKING:
    from sdl.journal.audit import Finding, VerifyReport, verify
    from sdl.journal.compare import VARYING, comparable_lines, digest
    from sdl.journal.memory import MemoryJournal
    from sdl.journal.place import Room
    from sdl.journal.protocol import Journal
    from sdl.journal.records import Artifact, Entry, Event
    from sdl.journal.store import SqlJournal, open_journal
    from sdl.journal.upkeep import backup, orphans, remove_orphans

_WHERE = {
    "Artifact": "records",
    "Entry": "records",
    "Event": "records",
    "Finding": "audit",
    "Journal": "protocol",
    "MemoryJournal": "memory",
    "Room": "place",
    "SqlJournal": "store",
    "VARYING": "compare",
    "VerifyReport": "audit",
    "backup": "upkeep",
    "comparable_lines": "compare",
    "digest": "compare",
    "open_journal": "store",
    "orphans": "upkeep",
    "remove_orphans": "upkeep",
    "verify": "audit",
}

__all__ = [
    "VARYING",
    "Artifact",
    "Entry",
    "Event",
    "Finding",
    "Journal",
    "MemoryJournal",
    "Room",
    "SqlJournal",
    "VerifyReport",
    "backup",
    "comparable_lines",
    "digest",
    "open_journal",
    "orphans",
    "remove_orphans",
    "verify",
]

__getattr__ = importing(__name__, {name: f".{module}" for name, module in _WHERE.items()})
