"""``sdl approve``: a person approves trials that wait for it, or refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdl.campaign.approvals import Approval
from sdl.campaign.autonomy import answer_bodies, open_requests
from sdl.campaign.identity import signed
from sdl.campaign.view import CampaignView
from sdl.commands.facts import point_text, prediction_text
from sdl.commands.output import say, title
from sdl.commands.resolve import place_of
from sdl.commands.stores import reading, view_of
from sdl.errors import CampaignError, ProblemError
from sdl.export import words
from sdl.journal import open_journal
from sdl.journal.orders import ApprovalAnswer
from sdl.journal.records import Entry
from sdl.problem.value import listing


def approve(given: Sequence[str], *, by: str | None, because: str, is_refused: bool, campaign: str | None) -> None:
    """Record the answer of a person, or list what waits for one."""
    path, number = place_of(given)
    if by is None:
        if is_refused or because:
            raise ProblemError("who says so?", hint="add --by NAME; it stands in the journal")
        with reading(path) as journal:
            say_requests(view_of(journal, campaign), path)
        return
    answer: ApprovalAnswer = "refused" if is_refused else "approved"
    journal = open_journal(path)
    try:
        view = view_of(journal, campaign)
        request = chosen(view, number)
        actor = signed(by)
        said = answer_bodies(view, request.request, answer, by=by, because=because)
        journal.append(*(Entry(body, view.name, trial, actor=actor) for trial, bodies in said for body in bodies))
    finally:
        journal.close()
    trials = listing(request.asked.trials)
    say(f"trial{'s' if len(request.asked.trials) > 1 else ''} {trials} of {view.name}: {answer} by {by}")
    say("run the campaign again: it goes on")


def chosen(view: CampaignView, number: int | None) -> Approval:
    """Return the request that trial *number* belongs to, or the only one."""
    found = [each for each in open_requests(view) if number is None or number in each.asked.trials]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CampaignError(f"campaign {view.name} has no request that waits", hint="sdl status says how it stands")
    firsts = listing(each.asked.trials[0] for each in found)
    raise CampaignError(f"campaign {view.name} has {len(found)} requests", hint=f"name a trial: {firsts}")


def say_requests(view: CampaignView, path: Path) -> None:
    """Print what waits: what, why, for how much, and what is expected."""
    found = open_requests(view)
    for each in found:
        trials = each.asked.trials
        cost = f", cost {words.number(each.asked.cost)}" if each.asked.cost else ""
        many = "s" if len(trials) > 1 else ""
        title(f"trial{many} {listing(trials)} of campaign {view.name}: {each.asked.because}{cost}")
        for number in trials:
            proposal = view.record(number).proposal
            say(f"  {number}  {point_text(proposal.values, view.units)}")
            if proposal.decision.predicted:
                say(f"     expected  {prediction_text(proposal.decision.predicted, view.problem.outcomes)}")
            if proposal.decision.note:
                say(f"     why       {proposal.decision.note}")
    if found:
        say(f"answer: sdl approve {path} TRIAL --by NAME [--refuse --because TEXT]")
    else:
        say(f"campaign {view.name}: nothing waits for approval")
