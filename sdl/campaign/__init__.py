"""The loop: campaigns, trials, the planner protocol, budgets and decisions."""

from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import (
    Budget,
    FailurePolicy,
    NoImprovement,
    NoImprovementExpected,
    NotWorthIt,
    OnUnknown,
    StoppingRule,
    TargetReached,
    UnknownPolicy,
)
from sdl.campaign.campaign import Campaign, Ended, run_together
from sdl.campaign.chart import Expected
from sdl.campaign.planner import (
    Checking,
    Explainer,
    History,
    HistoryEntry,
    Planner,
    Predictor,
    Situation,
    Suggestion,
    TrialState,
)
from sdl.campaign.quality import Control, QualityControl, Replicates
from sdl.campaign.recorder import Observer
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView

__all__ = [
    "Autonomy",
    "Budget",
    "Campaign",
    "CampaignView",
    "Checking",
    "Control",
    "Ended",
    "Expected",
    "Explainer",
    "FailurePolicy",
    "History",
    "HistoryEntry",
    "NoImprovement",
    "NoImprovementExpected",
    "NotWorthIt",
    "Observer",
    "OnUnknown",
    "Planner",
    "Predictor",
    "QualityControl",
    "Replicates",
    "Situation",
    "StoppingRule",
    "Suggestion",
    "TargetReached",
    "Trial",
    "TrialState",
    "UnknownPolicy",
    "run_together",
]
