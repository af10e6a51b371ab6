"""Transports of the protocols above a line: HTTP, VISA, Modbus, OPC UA and SiLA 2.

Each speaks its protocol below, and text above: a driver asks ``HOLDING? 1 int16/10`` or ``READ ns=2;s=Oven.Setpoint``
as it would ask any instrument, so the parts of :mod:`sdl.devices.driver`, simulated instruments and recordings serve
all of them.
"""

from sdl.devices.lines.address import line_to
from sdl.devices.lines.http import HttpTransport
from sdl.devices.lines.modbus import ModbusRequest, ModbusTransport
from sdl.devices.lines.opcua import OpcUaTransport
from sdl.devices.lines.sila import SilaTransport
from sdl.devices.lines.visa import VisaTransport

__all__ = [
    "HttpTransport",
    "ModbusRequest",
    "ModbusTransport",
    "OpcUaTransport",
    "SilaTransport",
    "VisaTransport",
    "line_to",
]
