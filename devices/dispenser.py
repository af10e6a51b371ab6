"""A dispenser that doses materials, powders by mass or liquids by volume, into vessels.

A :class:`~sdl.devices.tasks.TaskInstrument` with one command more:

=============================  =======================================================================================
``DOSE V7 naoh=0.5 water=1``   dose so much of each material, in the dispenser's unit, into the vessel V7
=============================  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Limits
from sdl.devices.stubs import go
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.envelope import as_number

Dose = tuple[str, Mapping[str, float]]
"""A vessel, and how much of each material it gets."""


class Dispenser:
    """Driver of a dispenser.

    Parameters
    ----------
    transport
        The line to the controller.
    materials
        What it has, each with the smallest and the largest amount of one dose.
    unit
        Of the amounts: ``mg``, ``mL``.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time that one vessel may take.

    Attributes
    ----------
    dose
        Activity: ``set((vessel, {material: amount}))`` doses, once for each call. Zero amounts are left out.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        materials: Mapping[str, Limits],
        unit: str,
        name: str = "dispenser",
        timeout_s: float = 3600.0,
    ) -> None:
        self.name = name
        self.parent = None
        self.materials: Mapping[str, Limits] = MappingProxyType(dict(materials))
        self.unit = unit
        self._timeout_s = timeout_s
        self._line = TaskInstrument(name, transport)
        self.dose: Activity[Dose] = self._line.activity(
            "dose", _command, check=self._check, action_class="cumulative", timeout_s=timeout_s, parent=self
        )

    def dispense(self, vessel: str, amounts: Mapping[str, float]) -> MsgGenerator[None]:
        """Plan stub: dose *amounts*, in the dispenser's unit, into *vessel*."""
        given = {material: float(amount) for material, amount in amounts.items() if amount}
        if given:
            yield from go(self.dose, (vessel, given), timeout=self._timeout_s + 60)

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the dispenser work again after a fault."""
        yield from self._line.reset()

    def _check(self, dose: Dose) -> None:
        vessel, amounts = dose
        check_name(vessel, f"a vessel of {self.name}")
        for material, amount in amounts.items():
            limits = self.materials.get(material)
            if limits is None:
                raise LimitError(f"{self.name} has no {material!r}", hint=f"it has {', '.join(self.materials)}")
            number = as_number(amount)
            if number is None or not limits.low <= number <= limits.high:
                raise LimitError(
                    f"{self.name} was told to dose {amount!r} {self.unit} of {material}, "
                    f"its limits are {limits.low:g} to {limits.high:g} {self.unit}"
                )


def _command(dose: Dose) -> str:
    vessel, amounts = dose
    return f"DOSE {vessel} " + " ".join(f"{material}={amount:.6g}" for material, amount in amounts.items())
