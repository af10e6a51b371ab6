"""``sdl report`` of a campaign at a served laboratory: written here, from what the laboratory tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign.planner import Predictor
from sdl.campaign.planning import spec_of
from sdl.campaign.view import CampaignView
from sdl.commands.exports import check_writable, predictor_of
from sdl.commands.line import Line
from sdl.commands.output import say, tell
from sdl.commands.served import chosen
from sdl.errors import CampaignError
from sdl.journal import MemoryJournal
from sdl.journal.envelope import Head
from sdl.journal.records import Entry, read_body

if TYPE_CHECKING:
    from sdl.server.models import EventInfo

OWN_PLANNERS = "sdl.planners."
"""Where the planners are that may be asked again here: a laboratory far away does not say what this machine imports."""


class ToldTimes:
    """A clock that says when each event was recorded."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        """Return it."""
        return self.now

    def monotonic(self) -> float:
        """Return it: the laboratory's own monotonic clock is not told."""
        return self.now


class ToldJournal(MemoryJournal):
    """What a laboratory tells of a campaign, with the head of its own journal to verify against."""

    def __init__(self, events: Iterable[EventInfo], told_head: Head) -> None:
        times = ToldTimes()
        super().__init__(time_source=times)
        self._told_head: Head | None = None
        for event in events:
            times.now = event.time.timestamp()
            text = json.dumps({"kind": event.kind, **event.body})
            body = read_body(text, event.sequence, event.kind)
            self.append(Entry(body, event.campaign_name, event.trial, actor=event.actor))
        self._told_head = told_head

    @property
    def head(self) -> Head:
        """The sequence number and the hash of the last event of the laboratory's own journal."""
        return self._told_head or super().head


def report(line: Line, output: Path | None, *campaign: str | Path | None) -> None:
    """Write the report of a campaign and say which files were made."""
    from sdl.export.report import write_report

    with line.client() as client:
        of = chosen(client, *campaign)
        path = Path(f"{Path(of.name).name or 'report'}.html") if output is None else output
        check_writable(path)
        head = client.lab().head
        journal = ToldJournal(client.record(of.id), (head.sequence, head.hash))
    view = CampaignView(of.name)
    view.catch_up(journal)
    if view.opened is None:
        raise CampaignError(f"campaign {of.name} has not begun", hint="it is queued, or was not started")
    for written in write_report(view, path, predictor=_predictor(view), journal=journal):
        say(str(written))


def _predictor(view: CampaignView) -> Predictor | None:
    spec = spec_of(view.planner)
    if spec is not None and spec.module.startswith(OWN_PLANNERS):
        return predictor_of(view)
    tell("the report goes without slices of the model: they are drawn by planners of sdl alone")
    return None
