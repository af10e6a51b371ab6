"""A laboratory that uses the driver: simulated, or the real instrument at a serial port."""

from sdl import Lab, VirtualClock
from sdl.devices import SerialTransport
from sdl.simulators import SimulatedTransport

from my_device import MyDevice
from simulated_my_device import SimulatedMyDevice

# What your laboratory allows, whatever the instrument can do.
LIMITS = {"my_device.temperature": (20, 150)}


class SimulatedLab(Lab):
    """The laboratory on a desk: what is done there leaves nothing behind."""

    is_simulated = True


def make_lab(*, simulated: bool = True, port: str = "/dev/ttyUSB0") -> Lab:
    """Return the laboratory."""
    if simulated:
        line = SimulatedTransport(SimulatedMyDevice(), name="my-device")
        return SimulatedLab("my-device", clock=VirtualClock(), limits=LIMITS, my_device=MyDevice(line))
    return Lab("my-device", limits=LIMITS, my_device=MyDevice(SerialTransport(port, baud=9600)))
