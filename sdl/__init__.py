"""A closed-loop engine for self-driving laboratories: planners propose, bluesky executes, a journal keeps it all."""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING

from sdl.lazy import importing

__version__ = "0.1.0"

# The rooms devices/, planners/ and simulators/ lie beside this folder and are
# installed as sub-packages of sdl. Run from the clone, python finds this folder
# first; this line lets it find the installed rooms as well.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from sdl.campaign import (
        Autonomy,
        Budget,
        Campaign,
        Control,
        Expected,
        FailurePolicy,
        NoImprovement,
        NoImprovementExpected,
        NotWorthIt,
        OnUnknown,
        QualityControl,
        Replicates,
        TargetReached,
        Trial,
        TrialState,
        run_together,
    )
    from sdl.errors import SdlError
    from sdl.journal import open_journal
    from sdl.journal.seeds import load_seed
    from sdl.lab import (
        Batch,
        Calendar,
        Changeover,
        Consumable,
        Experiment,
        Lab,
        Plate,
        Rack,
        Reagent,
        Settings,
        Step,
        Stock,
        Use,
        VirtualClock,
        WallClock,
        if_suspect,
    )
    from sdl.problem import (
        AtMost,
        CandidatePool,
        Categorical,
        Continuous,
        Discrete,
        Fixed,
        LinearConstraint,
        Maximize,
        Measurement,
        Minimize,
        Mixture,
        OutcomeConstraint,
        Price,
        Problem,
        SearchSpace,
        Target,
    )
    from sdl.server.client import Client

_HOMES = {
    "sdl.campaign": (
        "Autonomy",
        "Budget",
        "Campaign",
        "Control",
        "Expected",
        "FailurePolicy",
        "NoImprovement",
        "NoImprovementExpected",
        "NotWorthIt",
        "OnUnknown",
        "QualityControl",
        "Replicates",
        "TargetReached",
        "Trial",
        "TrialState",
        "run_together",
    ),
    "sdl.errors": ("SdlError",),
    "sdl.server.client": ("Client",),
    "sdl.journal": ("open_journal",),
    "sdl.journal.seeds": ("load_seed",),
    "sdl.lab": (
        "Batch",
        "Calendar",
        "Changeover",
        "Consumable",
        "Experiment",
        "Lab",
        "Plate",
        "Rack",
        "Reagent",
        "Settings",
        "Step",
        "Stock",
        "Use",
        "VirtualClock",
        "WallClock",
        "if_suspect",
    ),
    "sdl.problem": (
        "AtMost",
        "CandidatePool",
        "Categorical",
        "Continuous",
        "Discrete",
        "Fixed",
        "LinearConstraint",
        "Maximize",
        "Measurement",
        "Minimize",
        "Mixture",
        "OutcomeConstraint",
        "Price",
        "Problem",
        "SearchSpace",
        "Target",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AtMost",
    "Autonomy",
    "Batch",
    "Budget",
    "Calendar",
    "Campaign",
    "CandidatePool",
    "Categorical",
    "Changeover",
    "Client",
    "Consumable",
    "Continuous",
    "Control",
    "Discrete",
    "Expected",
    "Experiment",
    "FailurePolicy",
    "Fixed",
    "Lab",
    "LinearConstraint",
    "Maximize",
    "Measurement",
    "Minimize",
    "Mixture",
    "NoImprovement",
    "NoImprovementExpected",
    "NotWorthIt",
    "OnUnknown",
    "OutcomeConstraint",
    "Plate",
    "Price",
    "Problem",
    "QualityControl",
    "Rack",
    "Reagent",
    "Replicates",
    "SdlError",
    "SearchSpace",
    "Settings",
    "Step",
    "Stock",
    "Target",
    "TargetReached",
    "Trial",
    "TrialState",
    "Use",
    "VirtualClock",
    "WallClock",
    "if_suspect",
    "load_seed",
    "open_journal",
    "run_together",
]

__getattr__ = importing(__name__, _HOME_OF)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
