"""Simulated laboratories, known truths, simulated instruments and the transport that reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.lazy import importing
from sdl.simulators.twins import TWINS, Twin

if TYPE_CHECKING:
    from sdl.journal.tables import TableSchema
    from sdl.simulators.beamline import BeamlineFaults, BeamlineLab
    from sdl.simulators.bioprocess import BioprocessFaults, BioprocessLab
    from sdl.simulators.electrolytes import ElectrolyteFaults, ElectrolyteLab
    from sdl.simulators.epics import FlowCellIoc
    from sdl.simulators.epics_lab import FlowCellLab
    from sdl.simulators.faults import (
        Bubble,
        CloggedLine,
        Drift,
        FaultyInstrument,
        FlatLine,
        Spikes,
        StuckSensor,
        afflict,
    )
    from sdl.simulators.mobile_chemist import ChemistFaults, MobileChemistLab
    from sdl.simulators.powder_synthesis import PowderFaults, PowderLab
    from sdl.simulators.served import ServedInstrument
    from sdl.simulators.table import TableLab
    from sdl.simulators.thin_film import ThinFilmLab
    from sdl.simulators.thin_film_instruments import Faults
    from sdl.simulators.transport import Reply, SimulatedTransport

_HOMES = {
    **dict.fromkeys(
        ("Bubble", "CloggedLine", "Drift", "FaultyInstrument", "FlatLine", "Spikes", "StuckSensor", "afflict"),
        "sdl.simulators.faults",
    ),
    **dict.fromkeys(("BeamlineFaults", "BeamlineLab"), "sdl.simulators.beamline"),
    **dict.fromkeys(("BioprocessFaults", "BioprocessLab"), "sdl.simulators.bioprocess"),
    "ChemistFaults": "sdl.simulators.mobile_chemist",
    **dict.fromkeys(("ElectrolyteFaults", "ElectrolyteLab"), "sdl.simulators.electrolytes"),
    "Faults": "sdl.simulators.thin_film_instruments",
    "FlowCellIoc": "sdl.simulators.epics",
    "FlowCellLab": "sdl.simulators.epics_lab",
    "MobileChemistLab": "sdl.simulators.mobile_chemist",
    **dict.fromkeys(("PowderFaults", "PowderLab"), "sdl.simulators.powder_synthesis"),
    "Reply": "sdl.simulators.transport",
    "ServedInstrument": "sdl.simulators.served",
    "SimulatedTransport": "sdl.simulators.transport",
    "TableLab": "sdl.simulators.table",
    "TableSchema": "sdl.journal.tables",
    "ThinFilmLab": "sdl.simulators.thin_film",
}

__all__ = [
    "TWINS",
    "BeamlineFaults",
    "BeamlineLab",
    "BioprocessFaults",
    "BioprocessLab",
    "Bubble",
    "ChemistFaults",
    "CloggedLine",
    "Drift",
    "ElectrolyteFaults",
    "ElectrolyteLab",
    "Faults",
    "FaultyInstrument",
    "FlatLine",
    "FlowCellIoc",
    "FlowCellLab",
    "MobileChemistLab",
    "PowderFaults",
    "PowderLab",
    "Reply",
    "ServedInstrument",
    "SimulatedTransport",
    "Spikes",
    "StuckSensor",
    "TableLab",
    "TableSchema",
    "ThinFilmLab",
    "Twin",
    "afflict",
]

__getattr__ = importing(__name__, _HOMES)
