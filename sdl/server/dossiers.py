"""What the journal says of the campaigns that were handed in: whose they are, who may see them, how they stand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from sdl.journal.orders import (
    ORDER_KINDS,
    CampaignOrdered,
    CampaignShared,
    CampaignSubmitted,
    OrderWord,
    Visibility,
)
from sdl.journal.protocol import Journal
from sdl.journal.records import Event, SessionEnded
from sdl.server.identities import Identity, Role

CLOSED = "the server was closed"
"""The reason of sessions that go on when the server is started again."""

ENGINE = "engine"
"""Who orders what nobody has."""

State = Literal[
    "submitted", "queued", "running", "pausing", "paused", "finished", "stopped", "aborted", "cancelled", "error"
]
"""How a campaign stands."""

ORDERS: dict[str, tuple[OrderWord, ...]] = {
    "submitted": ("start", "cancel"),
    "queued": ("pause", "cancel"),
    "running": ("pause", "stop", "abort"),
    "pausing": ("abort",),
    "paused": ("resume", "stop", "cancel"),
    "stopped": ("resume", "cancel"),
    "aborted": ("resume", "cancel"),
    "error": ("resume", "cancel"),
    "finished": (),
    "cancelled": (),
}
"""What may be ordered of a campaign, by how it stands."""

OUTCOMES = {"pause": "paused", "stop": "stopped", "abort": "aborted", "cancel": "cancelled"}
"""How a campaign stands after an order."""

KINDS = (*ORDER_KINDS, "session.started", "session.ended")


@dataclass
class Dossier:
    """One campaign that was handed in.

    Parameters
    ----------
    name, owner, submitted_at
        What it is called in the journal, who handed it in, and when.
    submitted
        What was handed in.
    visibility
        Who may see it now.
    wants
        Whether it is to run as soon as there is room.
    outcome, reason
        How its last session ended, or what was ordered since; empty while it has not.
    held_by
        Who has ended or paused it in the place of its owner, until somebody lets it go on.
    """

    name: str
    owner: str
    submitted: CampaignSubmitted
    submitted_at: dt.datetime
    visibility: Visibility
    wants: bool = False
    outcome: str = ""
    reason: str = ""
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    is_open: bool = False
    order: CampaignOrdered | None = None
    ordered: Event | None = None
    held_by: str = ""

    @property
    def id(self) -> str:
        """What it is called from outside."""
        return self.submitted.id

    @property
    def settings(self) -> Mapping[str, JsonValue]:
        """What was settled at the door."""
        return self.submitted.settings

    def state(self, running: frozenset[str]) -> State:
        """Say how it stands, where those *running* run now."""
        if self.name in running:
            return "running" if self.wants else "pausing"
        if self.outcome in {"finished", "stopped", "aborted", "paused", "cancelled", "error"} and not self.wants:
            return self.outcome  # type: ignore[return-value] # one of these
        return "queued" if self.wants else "submitted"

    def is_held_from(self, who: Identity) -> bool:
        """Whether *who* may not let it go on, because somebody else has ended or paused it."""
        return bool(self.held_by) and self.held_by != who.name and not who.may([Role.OPERATE])

    def is_seen_by(self, who: Identity, day: dt.date) -> bool:
        """Whether *who* may see it on *day*."""
        if who.sees_everything or who.name == self.owner:
            return True
        shown = self.visibility
        if shown.scope == "open" and (shown.embargo is None or day >= shown.embargo):
            return True
        return shown.scope != "private" and bool(set(shown.groups) & set(who.groups))


@dataclass
class Dossiers:
    """All of them. Feed it events in order."""

    by_name: dict[str, Dossier] = field(default_factory=dict[str, Dossier])
    by_id: dict[str, Dossier] = field(default_factory=dict[str, Dossier])
    sequence: int = 0

    def catch_up(self, journal: Journal) -> None:
        """Take in what has been recorded since."""
        for event in journal.read(self.sequence, kinds=KINDS):
            self.sequence = event.sequence
            self._take(event)

    def end_all(self) -> None:
        """Count every session as ended: the process that ran them is gone. What was to run goes on."""
        for dossier in self.by_name.values():
            if dossier.is_open:
                dossier.is_open = False
                if not dossier.wants:
                    _stands_as_ordered(dossier)

    def _take(self, event: Event) -> None:
        body = event.body
        if isinstance(body, CampaignSubmitted):
            if event.campaign not in self.by_name:
                new = Dossier(event.campaign, event.actor, body, event.time, body.visibility)
                self.by_name[new.name] = self.by_id[new.id] = new
            return
        dossier = self.by_name.get(event.campaign)
        if dossier is None:
            return  # a campaign of the same store that nobody handed in
        match body:
            case CampaignShared(visibility=visibility):
                dossier.visibility = visibility
            case CampaignOrdered():
                _ordered(dossier, body, event)
            case SessionEnded():
                _ended(dossier, body, event)
            case _ if event.kind == "session.started":
                dossier.is_open, dossier.outcome, dossier.reason, dossier.ended_at = True, "", "", None
                dossier.started_at = dossier.started_at or event.time
            case _:
                pass


def _ordered(dossier: Dossier, body: CampaignOrdered, event: Event) -> None:
    is_late = not (dossier.is_open or dossier.wants) and body.order not in ORDERS[dossier.outcome or "submitted"]
    if is_late and dossier.outcome in {"finished", "cancelled"}:
        return
    dossier.order, dossier.ordered = body, event
    dossier.wants = body.order in {"start", "resume"}
    if dossier.wants:
        dossier.held_by = ""
    elif event.actor not in {dossier.owner, ENGINE}:
        dossier.held_by = event.actor
    if not (dossier.wants or dossier.is_open or is_late):
        _stands_as_ordered(dossier)


def _stands_as_ordered(dossier: Dossier) -> None:
    body, event = dossier.order, dossier.ordered
    if body is not None and event is not None:
        dossier.outcome = "error" if event.actor == ENGINE else OUTCOMES[body.order]
        dossier.reason, dossier.ended_at = said(body.order, event.actor, body.because), event.time


def _ended(dossier: Dossier, body: SessionEnded, event: Event) -> None:
    dossier.is_open = False
    if body.reason == CLOSED:
        return
    dossier.wants = False
    dossier.ended_at = event.time
    is_cancelled = dossier.order is not None and dossier.order.order == "cancel"
    dossier.outcome, dossier.reason = "cancelled" if is_cancelled else body.status, body.reason


def said(order: str, by: str, because: str) -> str:
    """Write an order as a reason."""
    return f"{OUTCOMES.get(order, order)} by {by}{f': {because}' if because else ''}"
