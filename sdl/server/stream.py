"""Live events: what the journal records, sent to all who watch, each as far as they may see it.

One task reads the journal for everybody, and writes what is new once for all who see the same campaigns, so that a
hundred who watch cost the campaigns little more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdl.errors import JournalError
from sdl.journal.records import Event
from sdl.server import models
from sdl.server.dossiers import Dossier
from sdl.server.house import House
from sdl.server.identities import Identity

log = logging.getLogger("sdl.server")

PERIOD = 0.1
"""Wall seconds between two looks at the journal, where few watch."""

SENDS = 100
"""Lines that are written to per wall second at most, where many watch: what is new goes to each in larger parts."""

KEEP_ALIVE = 15.0
"""Wall seconds after which a comment says that the line is not dead."""

MAX_WAITING = 300
"""Looks at the journal whose events wait for one who reads slowly, before the line is cut; who comes back resumes."""

MAX_WATCHERS = 500

PER_IDENTITY = 50
"""Lines that one identity may hold."""

PAGE = 500
"""Events that are read at a time for somebody who resumes."""

Sees = tuple[str, str, str | None]
"""The name and the token of somebody, and the only campaign that they watch."""

LABORATORY = frozenset(("safety.tripped", "safety.latched", "safety.rearmed"))
"""Events that concern everybody, whatever campaign ran then."""

OF_SOMEBODY = ("sample.", "task.")
"""Events that tell of a campaign, even where they name none: samples are called as campaigns are."""


def is_sent(event: Event, known: Mapping[str, Dossier]) -> bool:
    """Whether somebody who knows these campaigns is sent *event*."""
    if event.kind == "document":
        return False
    is_everybodys = event.campaign == "" and not event.kind.startswith(OF_SOMEBODY)
    return event.campaign in known or is_everybodys or event.kind in LABORATORY


def event_info(event: Event, known: Mapping[str, Dossier]) -> models.EventInfo:
    """Return an event for somebody who knows these campaigns."""
    dossier = known.get(event.campaign)
    body: dict[str, Any] = json.loads(event.text)
    body.pop("kind", None)
    return models.EventInfo(
        sequence=event.sequence,
        campaign=None if dossier is None else dossier.id,
        campaign_name="" if dossier is None else dossier.name,
        trial=event.trial if dossier is not None else None,
        kind=event.kind,
        actor=event.actor,
        time=event.time,
        body=body,
    )


def event_infos(house: House, known: Mapping[str, Dossier], after: int, limit: int) -> list[models.EventInfo]:
    """Return at most *limit* events of the *known* campaigns after number *after*."""
    found: list[models.EventInfo] = []
    only = next(iter(known)) if len(known) == 1 else None
    for event in house.journal.read(after, campaign=only):
        if event.campaign in known and event.kind != "document":
            found.append(event_info(event, known))
            if len(found) == limit:
                break
    return found


def written(event: Event, known: Mapping[str, Dossier]) -> bytes:
    """Return an event as it goes over the wire."""
    data = event_info(event, known).to_json()
    return f"id: {event.sequence}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _hello(sequence: int) -> bytes:
    return f'id: {sequence}\nevent: hello\ndata: {{"sequence":{sequence}}}\n\n'.encode()


@dataclass(eq=False)
class Watcher:
    """Somebody who watches.

    Parameters
    ----------
    who
        Who it is.
    campaign
        The name of the only campaign that is watched; None: all that they may see.
    """

    who: Identity
    campaign: str | None
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))

    @property
    def sees(self) -> Sees:
        """What tells apart those who are sent different things."""
        return self.who.name, self.who.token, self.campaign

    def offer(self, data: bytes) -> bool:
        """Put what goes over the wire into the queue; say whether there was room."""
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    def let_go(self) -> None:
        """End the line. What waits goes too: a gap would never be filled, and who resumes is sent all of it."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(b"")


class Newsroom:
    """Reads the journal for all who watch. Lives on the loop of the server."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._watchers: set[Watcher] = set()
        self._sequence = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def open(self) -> None:
        """Begin to read. Called on the loop."""
        self._sequence = self._house.journal.head[0]
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        """Read no more, and let everybody who watches go."""
        self.let_go()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def let_go(self) -> None:
        """End every line."""
        self._is_closing = True
        for watcher in self._watchers:
            watcher.let_go()

    @property
    def n_watchers(self) -> int:
        """On how many lines somebody watches."""
        return len(self._watchers)

    def has_room(self, who: Identity) -> bool:
        """Whether *who* may watch by one more line."""
        n_own = sum(each.who.name == who.name for each in self._watchers)
        return len(self._watchers) < MAX_WATCHERS and n_own < PER_IDENTITY

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(max(PERIOD, len(self._watchers) / SENDS))
            try:
                if self._house.journal.head[0] > self._sequence:
                    await self._spread()
            except JournalError:  # closed: whoever watches is let go
                pass
            except Exception:  # the border: the next look may do
                log.exception("live events could not be read")
                self._let_go()

    def _let_go(self) -> None:
        """End all lines: whoever comes back is sent what was missed."""
        for watcher in [*self._watchers]:
            self._watchers.discard(watcher)
            watcher.let_go()

    async def _spread(self) -> None:
        events = await asyncio.to_thread(self._new)
        if events:
            self._sequence = events[-1].sequence
        watchers = [*self._watchers]  # whoever comes from now on has had these events
        sent = await asyncio.to_thread(self._written, events, {each.sees for each in watchers})
        for watcher in watchers:
            data = sent[watcher.sees]
            if data is None or (data and not watcher.offer(data)):
                self._watchers.discard(watcher)
                watcher.let_go()

    def _written(self, events: Iterable[Event], all_who_watch: Iterable[Sees]) -> dict[Sees, bytes | None]:
        """Return what each is sent of *events*; None for those whose token opens nothing any more.

        An event is written once for those who see its campaign, and once for those who do not.
        """
        told = [event for event in events if event.kind != "document"]
        texts: dict[tuple[int, bool], bytes] = {}

        def text(event: Event, known: Mapping[str, Dossier]) -> bytes:
            key = event.sequence, event.campaign in known
            if key not in texts:
                texts[key] = written(event, known)
            return texts[key]

        sent: dict[Sees, bytes | None] = {}
        for each in all_who_watch:
            known = self._known(each) if told else {}
            sent[each] = (
                None if known is None else b"".join(text(event, known) for event in told if is_sent(event, known))
            )
        return sent

    def _new(self) -> list[Event]:
        return [*self._house.journal.read(self._sequence)]

    async def watch(self, who: Identity, campaign: str | None, after: int | None) -> AsyncGenerator[bytes]:
        """Yield what goes over the wire: what was missed after number *after*, then what comes."""
        watcher = Watcher(who, campaign)
        self._watchers.add(watcher)
        try:
            last = self._sequence
            if after is None:
                yield _hello(last)
            else:
                async for data in self._missed(watcher, after, last):
                    yield data
            while not self._is_closing:
                data = await self._next(watcher)
                if not data:
                    return
                yield data
        finally:
            self._watchers.discard(watcher)

    async def _missed(self, watcher: Watcher, after: int, last: int) -> AsyncGenerator[bytes]:
        while after < last:
            page = await asyncio.to_thread(self._page, after, last)
            sent = await asyncio.to_thread(self._written, page, {watcher.sees})
            data = sent[watcher.sees]
            if data is None:
                watcher.let_go()
                return
            if data:
                yield data
            after = page[-1].sequence if page else last
        yield _hello(last)  # after what was missed: whoever loses the line before resumes where they were

    def _page(self, after: int, last: int) -> list[Event]:
        found: list[Event] = []
        for event in self._house.journal.read(after):
            if event.sequence > last or len(found) == PAGE:
                break
            found.append(event)
        return found

    async def _next(self, watcher: Watcher) -> bytes:
        """Return what comes next; nothing where the line has ended."""
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                data = await watcher.queue.get()
        except TimeoutError:
            return b": keep-alive\n\n"
        parts = [data]
        while parts[-1] and not watcher.queue.empty():
            parts.append(watcher.queue.get_nowait())
        if not parts[-1] and len(parts) > 1:
            watcher.let_go()  # once what was there before has been sent
        return b"".join(parts)

    def _known(self, sees: Sees) -> dict[str, Dossier] | None:
        """Return what somebody may see now; None for a token that was taken away."""
        name, token, campaign = sees
        now = {each.name: each for each in self._house.users.read().identities}.get(name)
        if now is None or now.token != token:
            return None
        return {each.name: each for each in self._house.seen_by(now) if campaign is None or each.name == campaign}
