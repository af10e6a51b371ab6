"""Finding the store that a command is about, and looking into it."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import cast

from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError, JournalError, JournalNotFound
from sdl.journal import SqlJournal, open_journal
from sdl.journal.store import LOCK

SUFFIX = ".sdl"


def stores_in(folder: Path) -> list[Path]:
    """Return the stores in *folder*, in the order of their names."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_dir())


def find_store(given: Path | None) -> Path:
    """Return the store *given*, or the only one in the current folder.

    Raises
    ------
    JournalNotFound
        There is none.
    JournalError
        There are several, or *given* is something else.
    """
    if given is None:
        return _only_store(stores_in(Path()))
    if not given.exists():
        beside = given.with_name(given.name + SUFFIX)
        hint = f"did you mean {beside}?" if beside.is_dir() else _what_there_is(given.parent)
        raise JournalNotFound(f"there is no store {given}", hint=hint)
    if not given.is_dir():
        raise JournalError(f"{given} is a file, and a store is a folder", hint=_what_there_is(given.parent))
    return given


def _only_store(found: Sequence[Path]) -> Path:
    if not found:
        raise JournalNotFound(
            "there is no store (*.sdl) in this folder", hint="name one, go to its folder, or make one with sdl demo"
        )
    if len(found) > 1:
        raise JournalError(
            f"there are {len(found)} stores in this folder", hint=f"name one of {', '.join(map(str, found))}"
        )
    return found[0]


def _what_there_is(folder: Path) -> str:
    found = stores_in(folder) if folder.is_dir() else []
    return f"{folder} holds {', '.join(path.name for path in found)}" if found else f"{folder} holds no store"


@contextlib.contextmanager
def reading(path: Path) -> Generator[SqlJournal]:
    """Open the store at *path* for reading, which works while another process writes to it."""
    journal = open_journal(path, mode="read")
    try:
        yield journal
    finally:
        journal.close()


def view_of(journal: SqlJournal, campaign: str | None) -> CampaignView:
    """Fold the campaign of that name, or the only one of *journal*."""
    names = journal.campaigns
    if campaign is None and len(names) > 1:
        raise CampaignError(
            f"{journal.path} holds {len(names)} campaigns", hint=f"say --campaign with one of {', '.join(names)}"
        )
    if not names:
        raise CampaignError(f"{journal.path} holds no campaign yet", hint="run one")
    return CampaignView.of(journal, campaign)


def holder_of(path: Path) -> dict[str, object] | None:
    """Return who writes to the store at *path*: ``pid`` and ``host`` where they are known; None where nobody does.

    A store that was closed in order has an empty lock file, and nothing more is done then. Otherwise the kernel is
    asked, by taking the lock together with other readers for an instant.
    """
    try:
        with (path / LOCK).open("rb") as file:
            signature = file.read(4096)
            if not signature or not _is_locked(file.fileno()):
                return None
    except OSError:  # no lock file, or none that may be read: nobody that we could know of
        return None
    with contextlib.suppress(ValueError):
        holder: object = json.loads(signature)
        if isinstance(holder, dict):
            return cast("dict[str, object]", holder)
    return {}


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
