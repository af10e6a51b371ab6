"""``sdl verdict``: a person says whether the result of a trial can be trusted."""

from __future__ import annotations

from pathlib import Path

from sdl.campaign.identity import signed
from sdl.commands.output import say
from sdl.commands.stores import view_of
from sdl.errors import CampaignError, ProblemError
from sdl.journal import open_journal
from sdl.journal.records import Entry
from sdl.journal.trust import Finding, Quality, TrialJudged, Verdict


def verdict(store: Path, number: int, quality: Quality, *, by: str, because: str, campaign: str | None) -> None:
    """Record the verdict of a named person on trial *number*; the earlier ones stay in the journal."""
    if not (by.strip() and because.strip()):
        raise ProblemError("a verdict needs a name and a reason", hint="add --by NAME --because TEXT")
    by = signed(by)
    journal = open_journal(store, mode="write")
    try:
        view = view_of(journal, campaign)
        record = view.record(number)
        if record.observation is None:
            raise CampaignError(
                f"trial {number} of {view.name} is {record.state.value}: it has no result to judge",
                hint="a verdict is about what was measured; for trials that were cut off there is sdl resolve",
            )
        before = record.verdict
        finding = Finding(source=by, quality=quality, text=because)
        body = TrialJudged(verdict=Verdict(quality, findings=(finding,), checked=before.checked))
        journal.append(Entry(body=body, campaign=view.name, trial=number, actor=by))
    finally:
        journal.close()
    say(f"trial {number} is {quality.value}, says {by}; before: {before}")
    say("The next session of the campaign goes by it.")
