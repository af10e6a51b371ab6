"""Recording: what the loop decides and the stations do, in the journal first, then for everybody who looks on."""

from __future__ import annotations

import os
import platform
import pwd
import socket
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Protocol

from sdl.campaign.view import CampaignView
from sdl.failpoints import fail_point
from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.protocol import Journal
from sdl.journal.records import Body, Comment, DocumentEmitted, Entry, Event, SessionStarted

HELD_DOCUMENTS = frozenset({"start", "descriptor", "stop"})
"""What says nothing by itself, and waits for what it belongs to."""


JUMP_SECONDS = 2.0
"""A clock that was set by more than this is told of in the journal."""


class Observer(Protocol):
    """Is told of every event after it is recorded."""

    def notify(self, event: Event, view: CampaignView) -> None:
        """Look at *event*; *view* has taken it in already. Called by the campaign's thread: be quick."""
        ...

    def close(self, view: CampaignView) -> None:
        """The session has ended."""
        ...


def session_started(session: int, *, is_virtual: bool) -> SessionStarted:
    """Return the event that opens a session: where it runs, and on which versions."""
    return SessionStarted(
        session=session,
        is_virtual=is_virtual,
        host=socket.gethostname(),
        pid=os.getpid(),
        versions=installed(),
        user=process_user(),
    )


def process_user() -> str:
    """Return the name of the user whose process this is, or the number where it has no name.

    The operating system says so; what the environment says (``USER``, ``LOGNAME``) anybody can set.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def installed() -> dict[str, str]:
    """Return the versions of what decides how a campaign runs."""
    packages = ("sdl", "bluesky", "ophyd", "botorch", "torch", "numpy", "pydantic")
    return {name: metadata.version(name) for name in packages} | {"python": platform.python_version()}


class Recorder:
    """Appends to the journal, then lets the view and the observers know. One campaign's, for one session."""

    def __init__(self, view: CampaignView, journal: Journal, observers: Sequence[Observer]) -> None:
        self._view = view
        self._journal = journal
        self._observers = observers
        self._held: dict[int, list[Entry]] = {}
        self._offset: float | None = None
        self._acted: defaultdict[int, deque[Event]] = defaultdict(deque)

    def record(self, *bodies: Body, trial: int | None = None, actor: str = "engine") -> None:
        """Record *bodies* together, after the documents of the trial that were held back."""
        entries = [Entry(body=body, campaign=self._view.name, trial=trial, actor=actor) for body in bodies]
        if trial is not None:
            self.take_in(trial)
        held = [] if trial is None else self._held.pop(trial, [])
        self.append(*held, *entries)

    def record_together(self, bodies: Sequence[tuple[int, Sequence[Body]]], *, actor: str = "engine") -> None:
        """Record the bodies of several trials: all of them or none, each after what was held back for its trial."""
        entries: list[Entry] = []
        for trial, those in bodies:
            self.take_in(trial)
            entries += self._held.pop(trial, [])
            entries += [Entry(body=body, campaign=self._view.name, trial=trial, actor=actor) for body in those]
        self.append(*entries)

    @property
    def campaign(self) -> str:
        """The name of the campaign."""
        return self._view.name

    def pass_on(self, event: Event) -> None:
        """Let the observers know of what another thread has recorded; the view folds nothing of it."""
        for observer in self._observers:
            observer.notify(event, self._view)

    @property
    def sequence(self) -> int:
        """The number of the last event that the view has taken in."""
        return self._view.sequence

    def append(self, *entries: Entry) -> None:
        """Record *entries* together. Only the campaign's thread calls this: the view sees events in their order."""
        fail_point("recorder.before_append")
        events = self._journal.append(*entries)
        fail_point("recorder.before_announcement")
        self._announce(events)
        jumped = [jump for event in events if abs(jump := self._jump(event)) > JUMP_SECONDS]
        if jumped:
            text = f"the clock jumped by {sum(jumped):+.1f} s before event {events[-1].sequence}"
            self._announce(self._journal.append(Entry(body=Comment(text=text), campaign=self._view.name)))

    def _announce(self, events: Sequence[Event]) -> None:
        for event in events:
            self._view.apply(event)
            for observer in self._observers:
                observer.notify(event, self._view)

    def _jump(self, event: Event) -> float:
        """Return by how many seconds the time of day has parted from the monotonic time since the last event."""
        last = self._offset
        self._offset = event.time.timestamp() - event.monotonic
        return 0.0 if last is None else self._offset - last

    def record_document(self, trial: int, name: str, document: Mapping[str, Any]) -> None:
        """Record a bluesky document. Called on a RunEngine's loop: only the journal is touched, which is thread-safe.

        What says nothing by itself is synced to the disk together with what it belongs to: a run's start and its
        descriptors with its first event, its stop with the end of the step. A run that a crash cut off before its
        first event leaves no document, and so none that is open.
        """
        body = DocumentEmitted(name=name, document=document)
        entry = Entry(body=body, campaign=self._view.name, trial=trial, actor="station")
        if name in HELD_DOCUMENTS:
            self._held.setdefault(trial, []).append(entry)
            return
        fail_point("recorder.before_document")
        self._journal.append(*self._held.pop(trial, []), entry)
        fail_point("recorder.after_document")

    def record_act(self, trial: int, body: ActIntended | ActEnded) -> None:
        """Record an act that may not be repeated, before it or after it. Called on a RunEngine's loop."""
        entry = Entry(body=body, campaign=self._view.name, trial=trial, actor="station")
        fail_point("recorder.before_act")
        self._acted[trial].extend(self._journal.append(entry))
        fail_point("recorder.after_act")

    def take_in(self, trial: int) -> None:
        """Let the view and the observers know of the recorded acts of *trial*. Called by the campaign's thread."""
        acted = self._acted.pop(trial, None)
        while acted:
            event = acted.popleft()
            self._view.take_act(event)
            for observer in self._observers:
                observer.notify(event, self._view)

    def close(self) -> None:
        """Tell the observers that the session has ended."""
        for observer in self._observers:
            observer.close(self._view)
