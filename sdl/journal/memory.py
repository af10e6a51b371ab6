"""A journal in memory: for tests, benchmarks, and campaigns that nobody wants to keep."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Self

from sdl.errors import JournalCorrupt, JournalError
from sdl.journal.artifacts import describe
from sdl.journal.envelope import GENESIS, Head, Stamp
from sdl.journal.protocol import TimeSource
from sdl.journal.records import Artifact, Entry, Event


class MemoryJournal:
    """Keeps events and artifacts as long as the object lives. The parameters are those of :func:`open_journal`."""

    def __init__(
        self, *, time_source: TimeSource | None = None, boot_id: str | None = None, version: str | None = None
    ) -> None:
        self._stamp = Stamp(time_source, boot_id=boot_id, version=version)
        self._events: list[Event] = []
        self._artifacts: dict[str, bytes] = {}
        self._mutex = threading.RLock()
        self._is_closed = False

    @property
    def boot_id(self) -> str:
        """The id that events of this process carry."""
        return self._stamp.boot_id

    def append(self, *entries: Entry) -> Sequence[Event]:
        """Record *entries* together, or none of them; return the events that they became."""
        with self._mutex:
            self._require_open()
            events = self._stamp.events(entries, self.head)
            self._events.extend(events)
        return events

    def hold(self) -> AbstractContextManager[object]:
        """Let no other thread append until the block ends; see :class:`~sdl.journal.Journal`."""
        return self._mutex

    def read(
        self,
        after: int = 0,
        *,
        campaign: str | None = None,
        trial: int | None = None,
        kinds: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield the events with a sequence number greater than *after*, oldest first, that match every filter given.

        The journal is read as it is when the first event is asked for; what is appended meanwhile is left out.
        """
        self._require_open()
        for event in self._events[max(after, 0) :]:
            if (
                (campaign is None or event.campaign == campaign)
                and (trial is None or event.trial == trial)
                and (kinds is None or event.kind in kinds)
            ):
                yield event

    def keep_time(self, time_source: TimeSource) -> None:
        """Take the time of events from *time_source* from now on: a campaign goes by its laboratory's clock."""
        with self._mutex:
            self._stamp.time_source = time_source

    def put(self, data: bytes, *, name: str, media_type: str = "application/octet-stream") -> Artifact:
        """Keep *data* under its SHA-256."""
        self._require_open()
        artifact = describe(data, name=name, media_type=media_type)
        self._artifacts[artifact.sha256] = bytes(data)
        return artifact

    def get(self, artifact: Artifact) -> bytes:
        """Return the bytes of *artifact*, verified against its hash."""
        self._require_open()
        data = self._artifacts.get(artifact.sha256)
        if data is None or hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise JournalCorrupt(f"artifact {artifact.name!r} ({artifact.sha256}) is not in this journal")
        return data

    @property
    def shortage(self) -> str:
        """Empty: nobody counts the memory."""
        return ""

    @property
    def head(self) -> Head:
        """The sequence number and the hash of the last event, ``(0, "0" * 64)`` for an empty journal."""
        return (self._events[-1].sequence, self._events[-1].hash) if self._events else GENESIS

    @property
    def campaigns(self) -> Sequence[str]:
        """The names of the campaigns that were opened in this journal, oldest first."""
        return tuple(dict.fromkeys(event.campaign for event in self.read(kinds=("campaign.opened",))))

    def close(self) -> None:
        """Refuse everything from now on. What was recorded is gone with the object."""
        self._is_closed = True

    def _require_open(self) -> None:
        if self._is_closed:
            raise JournalError("the journal in memory is closed", hint="make a new one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
