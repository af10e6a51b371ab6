"""What a journal is, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sdl.journal.records import Artifact, Entry, Event


class TimeSource(Protocol):
    """Where event times come from. Every clock of ``sdl.lab`` is one."""

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class Journal(Protocol):
    """An append-only record. Appending is safe from any thread; reading gives rows in order."""

    def append(self, *entries: Entry) -> Sequence[Event]:
        """Record *entries* together, durably, or none of them; return the events that they became."""
        ...

    def hold(self) -> AbstractContextManager[object]:
        """Let no other thread append until the block ends: what is decided there by what the journal says still holds.

        Campaigns that share a store share its stock, and two of them must not set aside the same bottle.
        """
        ...

    def read(
        self,
        after: int = 0,
        *,
        campaign: str | None = None,
        trial: int | None = None,
        kinds: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield the events with a sequence number greater than *after*, oldest first, that match every filter given."""
        ...

    def put(self, data: bytes, *, name: str, media_type: str = "application/octet-stream") -> Artifact:
        """Keep *data* as a file named by its SHA-256, durably, before any event mentions it."""
        ...

    def get(self, artifact: Artifact) -> bytes:
        """Return the bytes of *artifact*, verified against its hash."""
        ...

    def keep_time(self, time_source: TimeSource) -> None:
        """Take the time of events from *time_source* from now on: a campaign goes by its laboratory's clock."""
        ...

    @property
    def shortage(self) -> str:
        """Why nothing new should be begun, in words: there is too little room for what comes of it. Empty: go on."""
        ...

    @property
    def head(self) -> tuple[int, str]:
        """The sequence number and the hash of the last event, ``(0, "0" * 64)`` for an empty journal."""
        ...

    @property
    def campaigns(self) -> Sequence[str]:
        """The names of the campaigns in this journal, oldest first."""
        ...

    def close(self) -> None:
        """Release the lock and the files."""
        ...
