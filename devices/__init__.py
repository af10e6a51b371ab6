"""Drivers, one instrument a file, above transports that carry their lines."""

from sdl.devices.bioreactor import BioreactorBlock
from sdl.devices.chromatograph import Chromatograph
from sdl.devices.detector import BeamCamera, Counter
from sdl.devices.diffractometer import Diffractometer
from sdl.devices.dispenser import Dispenser
from sdl.devices.driver import Action, Activity, Gauge, Identity, Instrument, Knob, Limits, Pause, Sensor
from sdl.devices.electrolyte_cell import ElectrolyteCell
from sdl.devices.furnace import BoxFurnace
from sdl.devices.handling import BringSample, by_hand
from sdl.devices.mobile_robot import MobileRobot
from sdl.devices.motor import Motor
from sdl.devices.probe import FourPointProbe
from sdl.devices.recording import Exchange, RecordingTransport, ReplayTransport
from sdl.devices.robot import TransferRobot
from sdl.devices.scpi import ScpiInstrument
from sdl.devices.selector import Selector
from sdl.devices.sputter import SputterSource
from sdl.devices.tasks import TaskInstrument
from sdl.devices.transport import (
    GuardedTransport,
    LineTransport,
    SendingTransport,
    SerialTransport,
    TcpTransport,
    Transport,
)
from sdl.devices.treatment import Treater

__all__ = [
    "Action",
    "Activity",
    "BeamCamera",
    "BioreactorBlock",
    "BoxFurnace",
    "BringSample",
    "Chromatograph",
    "Counter",
    "Diffractometer",
    "Dispenser",
    "ElectrolyteCell",
    "Exchange",
    "FourPointProbe",
    "Gauge",
    "GuardedTransport",
    "Identity",
    "Instrument",
    "Knob",
    "Limits",
    "LineTransport",
    "MobileRobot",
    "Motor",
    "Pause",
    "RecordingTransport",
    "ReplayTransport",
    "ScpiInstrument",
    "Selector",
    "SendingTransport",
    "Sensor",
    "SerialTransport",
    "SputterSource",
    "TaskInstrument",
    "TcpTransport",
    "TransferRobot",
    "Transport",
    "Treater",
    "by_hand",
]
