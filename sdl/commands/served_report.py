"""``sdl report`` of a campaign at a served laboratory: written here, from what the laboratory tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign.file import PLANNERS
from sdl.campaign.planner import Predictor
from sdl.campaign.planning import functions_named, spec_of
from sdl.campaign.view import CampaignView
from sdl.commands.exports import check_writable, predictor_of
from sdl.commands.line import Line
from sdl.commands.output import say, tell
from sdl.commands.served import chosen
from sdl.errors import CampaignError
from sdl.journal import MemoryJournal
from sdl.journal.envelope import Head
from sdl.journal.records import Entry, read_body
from sdl.problem.value import listing

if TYPE_CHECKING:
    from sdl.server.models import EventInfo

OWN_PLANNERS = "sdl.planners."
OWN_NAMES = frozenset(target.partition(":")[2] for target in PLANNERS.values())
"""The planners that may be asked again here: no laboratory far away says what this machine imports."""


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
    for written in write_report(view, path, predictor=predictor_here(view), journal=journal):
        say(str(written))


def predictor_here(view: CampaignView) -> Predictor | None:
    """Return what draws the slices of the model; None where that would need code that a laboratory far away names."""
    spec = spec_of(view.planner)
    if spec is not None and spec.module.startswith(OWN_PLANNERS) and spec.name in OWN_NAMES:
        strangers = functions_named(spec.options)
        if not strangers:
            return predictor_of(view)
        tell(f"the report goes without slices of the model: they would need {listing(strangers)}, code from elsewhere")
        return None
    tell("the report goes without slices of the model: they are drawn by planners of sdl alone")
    return None
