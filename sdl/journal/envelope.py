"""From an entry to an event: time, identity and the hash chain, whatever keeps the events."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib import metadata

from pydantic_core import PydanticSerializationError

from sdl.errors import JournalError
from sdl.journal.protocol import TimeSource
from sdl.journal.records import Entry, Event

Head = tuple[int, str]
"""The sequence number and the hash of an event."""

GENESIS: Head = (0, "0" * 64)
"""The head of an empty journal."""

_canonical = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class SystemTime:
    """The clocks of this machine."""

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class Stamp:
    """What a journal adds to every entry of one process.

    Parameters
    ----------
    time_source
        Where times come from; the machine's clocks by default.
    boot_id
        Tells the processes apart that wrote to one journal; a new UUID by default.
    version
        The software that writes; the version of sdl by default.
    """

    def __init__(
        self, time_source: TimeSource | None = None, *, boot_id: str | None = None, version: str | None = None
    ) -> None:
        self.time_source = time_source or SystemTime()
        self.boot_id = boot_id or str(uuid.uuid4())
        self.version = version or software_version()

    def events(self, entries: Iterable[Entry], head: Head) -> list[Event]:
        """Return the events that *entries* become after *head*. Raises JournalError for text that is no Unicode."""
        timestamp = datetime.fromtimestamp(self.time_source.time(), UTC).isoformat(timespec="microseconds")
        monotonic = self.time_source.monotonic()
        events: list[Event] = []
        for entry in entries:
            event = self._event(entry, head, timestamp, monotonic)
            head = (event.sequence, event.hash)
            events.append(event)
        return events

    def _event(self, entry: Entry, head: Head, timestamp: str, monotonic: float) -> Event:
        last, previous = head
        kind = entry.body.kind
        try:
            text = entry.body.model_dump_json()
            fields = (last + 1, entry.campaign, entry.trial, kind, entry.actor, timestamp, monotonic)
            unsealed = Event(*fields, self.boot_id, self.version, text, previous, "")
            return Event(*unsealed[:-1], chain_hash(unsealed))
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise JournalError(
                f"a {kind} entry of campaign {entry.campaign!r} is no valid Unicode text: {error}",
                hint="nothing was recorded; replace the characters that cannot be encoded",
            ) from error


def chain_hash(event: Event) -> str:
    """Return the hash that *event* should carry, in hexadecimal.

    It is the SHA-256 of the UTF-8 text made of the previous hash, the JSON array of the nine fields from ``sequence``
    to ``version`` (no spaces, characters outside ASCII as they are), and the body as it is stored. The array ends where
    its bracket closes, so no two different rows give one text.
    """
    text = event.previous_hash + _canonical(event[:9]) + event.text
    return hashlib.sha256(text.encode()).hexdigest()


def is_unchanged(event: Event) -> bool:
    """Say whether *event* carries the hash that it should; what a damaged row may hold is never an error."""
    try:
        return chain_hash(event) == event.hash
    except (ValueError, TypeError):  # what stands there is no longer text, or no longer a number
        return False


@cache
def software_version() -> str:
    """Return the version of the installed sdl."""
    return metadata.version("sdl")
