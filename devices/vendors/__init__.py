"""Drivers of real instruments, one a file, from their published command sets.

None of them has been tried on hardware by the authors; each module says so, and names the manual that its commands come
from. Each has a simulated instrument in :mod:`sdl.simulators.vendors` that speaks the same protocol. Try a driver with
``sdl check-device`` on that first, and on your instrument before you trust it.
"""

from sdl.devices.vendors.alicat_mc import AlicatMC
from sdl.devices.vendors.eurotherm_3200 import Eurotherm3200
from sdl.devices.vendors.ika_plate import IkaPlate
from sdl.devices.vendors.keithley_2450 import Keithley2450
from sdl.devices.vendors.keysight_e36312a import KeysightE36312A, SupplyOutput
from sdl.devices.vendors.mettler_sics import MettlerSicsBalance
from sdl.devices.vendors.new_era_ne1000 import NewEraNE1000
from sdl.devices.vendors.vici_valve import ViciValve

__all__ = [
    "AlicatMC",
    "Eurotherm3200",
    "IkaPlate",
    "Keithley2450",
    "KeysightE36312A",
    "MettlerSicsBalance",
    "NewEraNE1000",
    "SupplyOutput",
    "ViciValve",
]
