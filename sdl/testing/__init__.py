"""Tools to test a laboratory with: contracts for planners, journals and devices of your own, and faults to inject.

pytest is needed only for what is asked for; importing this package does not import it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sdl.lazy import importing

if TYPE_CHECKING:
    from sdl.testing.checker import Acknowledgements, CheckReport, Truth, TruthJournal, check
    from sdl.testing.device import DeviceContract
    from sdl.testing.disturbances import (
        AdversarialPlanner,
        JumpingClock,
        disturbed,
        failing,
        hanging,
        reading,
        slow,
    )
    from sdl.testing.journal import JournalContract
    from sdl.testing.kills import Ending, Killed, KillHarness, Reached, failing_at
    from sdl.testing.planner import PlannerContract
    from sdl.testing.power import PowerLoss, power_losses
    from sdl.testing.seeded import Faults
    from sdl.testing.storage import Disk, FailAt, Operation, recorded_disk

_HOMES = {
    "checker": ("Acknowledgements", "CheckReport", "Truth", "TruthJournal", "check"),
    "device": ("DeviceContract",),
    "disturbances": ("AdversarialPlanner", "JumpingClock", "disturbed", "failing", "hanging", "reading", "slow"),
    "journal": ("JournalContract",),
    "kills": ("Ending", "KillHarness", "Killed", "Reached", "failing_at"),
    "planner": ("PlannerContract",),
    "power": ("PowerLoss", "power_losses"),
    "seeded": ("Faults",),
    "storage": ("Disk", "FailAt", "Operation", "recorded_disk"),
}
_WHERE = {name: f".{module}" for module, names in _HOMES.items() for name in names}
_CONTRACTS = ("device", "journal", "planner")

__all__ = [
    "Acknowledgements",
    "AdversarialPlanner",
    "CheckReport",
    "DeviceContract",
    "Disk",
    "Ending",
    "FailAt",
    "Faults",
    "JournalContract",
    "JumpingClock",
    "KillHarness",
    "Killed",
    "Operation",
    "PlannerContract",
    "PowerLoss",
    "Reached",
    "Truth",
    "TruthJournal",
    "check",
    "disturbed",
    "failing",
    "failing_at",
    "hanging",
    "power_losses",
    "reading",
    "recorded_disk",
    "slow",
]

# Under pytest, let it rewrite the assertions of the contracts too, so that a failure shows the values.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(*(f"{__name__}.{module}" for module in _CONTRACTS))

__getattr__ = importing(__name__, _WHERE)
