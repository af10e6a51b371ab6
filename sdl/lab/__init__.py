"""Where it happens: the laboratory, its stations, its clock, and the experiments that it runs."""

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
