"""Where it happens: the laboratory, its stations, its clock, and the experiments that it runs.

Names are imported when they are first used: a command that asks for a key needs no laboratory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.lazy import importing

if TYPE_CHECKING:
    from sdl.journal.materials import SampleState
    from sdl.lab.actions import ActionClass, ActRecord, Evidence
    from sdl.lab.batch import Batch, Changeover
    from sdl.lab.clock import Clock, Mailbox, WallClock, current_time
    from sdl.lab.experiment import Experiment, Settings, Step, if_suspect
    from sdl.lab.interlocks import Interlock
    from sdl.lab.job import Job, JobResult
    from sdl.lab.lab import Lab
    from sdl.lab.ledger import Balance, Consumption, Ledger, LotBalance, Sample
    from sdl.lab.materials import Consumable, Plate, Rack, Reagent, Stock, Use
    from sdl.lab.person import Person, SimulatedPerson
    from sdl.lab.schedule.calendar import Calendar
    from sdl.lab.station import Station
    from sdl.lab.virtual import VirtualClock

_HOMES = {
    "sdl.journal.materials": ("SampleState",),
    "sdl.lab.actions": (
        "ActionClass",
        "ActRecord",
        "Evidence",
    ),
    "sdl.lab.batch": (
        "Batch",
        "Changeover",
    ),
    "sdl.lab.clock": (
        "Clock",
        "Mailbox",
        "WallClock",
        "current_time",
    ),
    "sdl.lab.experiment": (
        "Experiment",
        "Settings",
        "Step",
        "if_suspect",
    ),
    "sdl.lab.interlocks": ("Interlock",),
    "sdl.lab.job": (
        "Job",
        "JobResult",
    ),
    "sdl.lab.lab": ("Lab",),
    "sdl.lab.ledger": (
        "Balance",
        "Consumption",
        "Ledger",
        "LotBalance",
        "Sample",
    ),
    "sdl.lab.materials": (
        "Consumable",
        "Plate",
        "Rack",
        "Reagent",
        "Stock",
        "Use",
    ),
    "sdl.lab.person": (
        "Person",
        "SimulatedPerson",
    ),
    "sdl.lab.schedule.calendar": ("Calendar",),
    "sdl.lab.station": ("Station",),
    "sdl.lab.virtual": ("VirtualClock",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ActRecord",
    "ActionClass",
    "Balance",
    "Batch",
    "Calendar",
    "Changeover",
    "Clock",
    "Consumable",
    "Consumption",
    "Evidence",
    "Experiment",
    "Interlock",
    "Job",
    "JobResult",
    "Lab",
    "Ledger",
    "LotBalance",
    "Mailbox",
    "Person",
    "Plate",
    "Rack",
    "Reagent",
    "Sample",
    "SampleState",
    "Settings",
    "SimulatedPerson",
    "Station",
    "Step",
    "Stock",
    "Use",
    "VirtualClock",
    "WallClock",
    "current_time",
    "if_suspect",
]

__getattr__ = importing(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
