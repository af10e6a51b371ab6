"""Which step of which trial runs next, and where. Values in, values out: no clock, no threads, no instruments."""

from sdl.lab.schedule.ahead import Ahead, Schedule, schedule_ahead
from sdl.lab.schedule.calendar import Calendar
from sdl.lab.schedule.dispatching import dispatch
from sdl.lab.schedule.durations import Durations, Estimate
from sdl.lab.schedule.solving import Placed
from sdl.lab.schedule.values import BatchRule, Decision, Holder, Key, Start, StationState, Wait, Work

__all__ = [
    "Ahead",
    "BatchRule",
    "Calendar",
    "Decision",
    "Durations",
    "Estimate",
    "Holder",
    "Key",
    "Placed",
    "Schedule",
    "Start",
    "StationState",
    "Wait",
    "Work",
    "dispatch",
    "schedule_ahead",
]
