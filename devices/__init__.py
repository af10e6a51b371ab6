"""Drivers, one instrument a file, above transports that carry their lines."""

from sdl.devices.driver import Action, Activity, Gauge, Instrument, Knob, Limits, Pause, Sensor
from sdl.devices.handling import BringSample, by_hand
from sdl.devices.probe import FourPointProbe
from sdl.devices.robot import TransferRobot
from sdl.devices.sputter import SputterSource
from sdl.devices.transport import (
    LineTransport,
    RecordingTransport,
    ReplayTransport,
    SerialTransport,
    TcpTransport,
    Transport,
)

__all__ = [
    "Action",
    "Activity",
    "BringSample",
    "FourPointProbe",
    "Gauge",
    "Instrument",
    "Knob",
    "Limits",
    "LineTransport",
    "Pause",
    "RecordingTransport",
    "ReplayTransport",
    "Sensor",
    "SerialTransport",
    "SputterSource",
    "TcpTransport",
    "TransferRobot",
    "Transport",
    "by_hand",
]
