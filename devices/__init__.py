"""Drivers, one instrument a file, above transports that carry their lines."""

from sdl.devices.bioreactor import BioreactorBlock
from sdl.devices.chromatograph import Chromatograph
from sdl.devices.curves import Curves
from sdl.devices.detector import BeamCamera, Counter
from sdl.devices.diffractometer import Diffractometer
from sdl.devices.dispenser import Dispenser
from sdl.devices.driver import Action, Activity, Gauge, Identity, Instrument, Knob, Limits, Pause, Sensor
from sdl.devices.electrolyte_cell import ElectrolyteCell
from sdl.devices.furnace import BoxFurnace
from sdl.devices.handling import BringSample, by_hand
from sdl.devices.liquid_handler import LiquidHandler
from sdl.devices.mobile_robot import MobileRobot
from sdl.devices.motor import Motor
from sdl.devices.plate_reader import PlateReader
from sdl.devices.potentiostat import Hold, Potentiostat, Sweep
from sdl.devices.probe import FourPointProbe
from sdl.devices.recording import Exchange, RecordingTransport, ReplayTransport
from sdl.devices.robot import TransferRobot
from sdl.devices.scpi import ScpiInstrument
from sdl.devices.selector import Selector
from sdl.devices.spectrometer import Spectrometer, absorbances
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
    "Curves",
    "Diffractometer",
    "Dispenser",
    "ElectrolyteCell",
    "Exchange",
    "FourPointProbe",
    "Gauge",
    "GuardedTransport",
    "Hold",
    "Identity",
    "Instrument",
    "Knob",
    "Limits",
    "LineTransport",
    "LiquidHandler",
    "MobileRobot",
    "Motor",
    "Pause",
    "PlateReader",
    "Potentiostat",
    "RecordingTransport",
    "ReplayTransport",
    "ScpiInstrument",
    "Selector",
    "SendingTransport",
    "Sensor",
    "SerialTransport",
    "Spectrometer",
    "SputterSource",
    "Sweep",
    "TaskInstrument",
    "TcpTransport",
    "TransferRobot",
    "Transport",
    "Treater",
    "absorbances",
    "by_hand",
]
