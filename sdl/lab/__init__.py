"""Where it happens: the laboratory, its stations, its clock, and the experiments that it runs."""

from sdl.lab.clock import Clock, Mailbox, WallClock, current_time
from sdl.lab.experiment import Experiment, Settings, Step
from sdl.lab.job import Job, JobResult
from sdl.lab.lab import Lab
from sdl.lab.station import Station
from sdl.lab.virtual import VirtualClock

__all__ = [
    "Clock",
    "Experiment",
    "Job",
    "JobResult",
    "Lab",
    "Mailbox",
    "Settings",
    "Station",
    "Step",
    "VirtualClock",
    "WallClock",
    "current_time",
]
