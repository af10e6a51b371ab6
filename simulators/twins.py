"""The twins that come with sdl, by name: what ``sdl demo`` lists and starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Twin:
    """A simulated laboratory that can be started by name.

    Parameters
    ----------
    summary
        One line for a list.
    module, attribute
        Where its class is; not imported before :meth:`load`. The class takes ``seed=``, and has ``space()``,
        ``objective`` and a plan ``deposit_and_measure`` or as *plan* names it.
    plan
        The name of the plan.
    """

    summary: str
    module: str
    attribute: str
    plan: str

    def load(self) -> Any:
        """Return the laboratory's class."""
        return getattr(import_module(self.module), self.attribute)


TWINS: Mapping[str, Twin] = MappingProxyType(
    {
        "thin-film": Twin(
            "sputter Nb-doped TiO2 films, minimise their resistance (3 knobs, about 2 laboratory hours a trial)",
            "sdl.simulators.thin_film",
            "ThinFilmLab",
            "deposit_and_measure",
        ),
        "mobile-chemist": Twin(
            "mix photocatalysts, maximise hydrogen (10 components, about 100 laboratory minutes a vial)",
            "sdl.simulators.mobile_chemist",
            "MobileChemistLab",
            "make_and_measure",
        ),
        "beamline": Twin(
            "align focusing mirrors, maximise the density of the spot (8 axes, about 5 laboratory seconds a setting)",
            "sdl.simulators.beamline",
            "BeamlineLab",
            "align",
        ),
        "powder-synthesis": Twin(
            "make oxide powders, maximise the target's share (14 targets, recipes; about 15 laboratory hours each)",
            "sdl.simulators.powder_synthesis",
            "PowderLab",
            "make_and_measure",
        ),
        "electrolytes": Twin(
            "mix electrolytes, maximise their conductivity (594 candidates, about 25 laboratory minutes each)",
            "sdl.simulators.electrolytes",
            "ElectrolyteLab",
            "mix_and_measure",
        ),
        "bioprocess": Twin(
            "cultivate bacteria, maximise the titre (5 knobs, about 34 laboratory hours a cultivation)",
            "sdl.simulators.bioprocess",
            "BioprocessLab",
            "grow_and_measure",
        ),
    }
)
"""Name -> twin."""
