"""What a person says of two trials: which of them they like better."""

from __future__ import annotations

from sdl.campaign.planner import TrialState
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError
from sdl.journal.records import TrialsCompared


def comparison(view: CampaignView, better: int, worse: int, by: str) -> TrialsCompared:
    """Return the answer as the journal keeps it.

    Raises
    ------
    CampaignError
        The two are one trial, one of them is not there or not completed, or nobody says so.
    """
    if better == worse:
        raise CampaignError(f"trial {better} is compared with itself", hint="name two trials")
    for number in (better, worse):
        state = view.record(number).state
        if state is not TrialState.COMPLETED:
            raise CampaignError(
                f"trial {number} is {state} and has no outcomes to compare", hint="compare completed trials"
            )
    if not by.strip():
        raise CampaignError("a comparison needs the name of the person who made it", hint="say by=NAME")
    return TrialsCompared(better=better, worse=worse, by=by.strip())
