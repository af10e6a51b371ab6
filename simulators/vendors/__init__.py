"""Simulated instruments below the drivers of :mod:`sdl.devices.vendors`: they speak the published protocols.

They are made from the same manuals as the drivers, and tried against nothing else: a driver that works with them speaks
as its author has read the manual.
"""

from sdl.simulators.vendors.alicat_mc import SimulatedAlicatMC
from sdl.simulators.vendors.eurotherm_3200 import SimulatedEurotherm3200
from sdl.simulators.vendors.ika_plate import SimulatedIkaPlate
from sdl.simulators.vendors.keithley_2450 import SimulatedKeithley2450
from sdl.simulators.vendors.keysight_e36312a import SimulatedKeysightE36312A
from sdl.simulators.vendors.mettler_sics import SimulatedSicsBalance
from sdl.simulators.vendors.new_era_ne1000 import SimulatedNE1000
from sdl.simulators.vendors.registers import SimulatedRegisters
from sdl.simulators.vendors.scpi import SimulatedScpi
from sdl.simulators.vendors.vici_valve import SimulatedViciValve

__all__ = [
    "SimulatedAlicatMC",
    "SimulatedEurotherm3200",
    "SimulatedIkaPlate",
    "SimulatedKeithley2450",
    "SimulatedKeysightE36312A",
    "SimulatedNE1000",
    "SimulatedRegisters",
    "SimulatedScpi",
    "SimulatedSicsBalance",
    "SimulatedViciValve",
]
