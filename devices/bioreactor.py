"""A block of mini-reactors that cultivate side by side, each with a recipe of its own.

A :class:`~sdl.devices.tasks.TaskInstrument` with these commands:

=============================  =======================================================================================
``RECIPE V7 glucose=10 ...``   what the reactor with the vessel V7 is to do
``GROW 30 V7 V8``              cultivate V7 and V8 for 30 h, each after its recipe
``OFFGAS? V7``                 what off-gas and optical density say of V7: ``biomass co2 titre``, in g/L, mmol/(L h) and
                               g/L; the titre by a soft sensor that was trained on earlier cultivations
=============================  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Limits, Pause, Sensor
from sdl.devices.stubs import go, record
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, LimitError
from sdl.lab.envelope import as_number
from sdl.problem import Measurement

Culture = tuple[float, tuple[tuple[str, Mapping[str, float]], ...]]
"""Hours, and the vessels with their recipes."""


HOURS = Limits(1.0, 120.0)


class BioreactorBlock:
    """Driver of the block.

    Parameters
    ----------
    transport
        The line to its controller.
    settings
        What a recipe has, with the range of each.
    reactors
        How many vessels it takes.
    hours
        The range of a cultivation.
    dirty_rate
        CO2, mmol/(L h), above which a reactor is contaminated: nothing in it breathes so much.
    name
        Prefix of the parts' names.

    Attributes
    ----------
    culture
        Activity: ``set((hours, ((vessel, recipe), ...)))``.
    offgas
        Sensor: biomass, CO2 and estimated titre of the vessel that :meth:`estimate` asks for.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        settings: Mapping[str, Limits],
        reactors: int = 8,
        hours: Limits = HOURS,
        dirty_rate: float = 400.0,
        name: str = "reactors",
    ) -> None:
        self.name = name
        self.parent = None
        self.settings: Mapping[str, Limits] = MappingProxyType(dict(settings))
        self.reactors = reactors
        self.hours = hours
        self.dirty_rate = dirty_rate
        self._line = TaskInstrument(name, transport)
        self._vessel = ""
        self.culture: Activity[Culture] = Activity(
            f"{name}_culture",
            self._grow,
            halt=self._line.halt,
            check=self._check,
            action_class="irreversible",
            parent=self,
        )
        self.offgas = Sensor(
            f"{name}_offgas",
            self._read,
            units={f"{name}_biomass": "g/L", f"{name}_co2": "mmol/L/h", f"{name}_titre": "g/L"},
            source=f"{transport.name} OFFGAS?",
            parent=self,
        )

    def grow(self, recipes: Mapping[str, Mapping[str, float]], *, hours: float) -> MsgGenerator[None]:
        """Plan stub: cultivate for *hours*; *recipes* are those of the vessels."""
        culture = tuple((vessel, dict(recipe)) for vessel, recipe in recipes.items())
        yield from go(self.culture, (float(hours), culture), timeout=3600 * (hours + 6))

    def estimate(self, vessel: str) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: biomass and titre of one reactor by its off-gas, at no cost, and not exactly.

        Raises DeviceError for a contaminated reactor. Empty where the plan is walked without a device.
        """
        self._vessel = vessel
        readings = yield from record([self.offgas], self.name, timeout=60)
        if not readings:
            return {}
        biomass, co2, titre = (float(readings[f"{self.name}_{key}"]["value"]) for key in ("biomass", "co2", "titre"))
        if co2 > self.dirty_rate:
            raise DeviceError(
                f"{self.name}: {vessel} gives {co2:.0f} mmol/L/h of CO2, it is contaminated",
                hint="sterilise the reactor and begin the trial again",
            )
        return {"biomass": Measurement(biomass, "g/L"), "estimate": Measurement(titre, "g/L")}

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the block work again after a fault."""
        yield from self._line.reset()

    def _check(self, culture: Culture) -> None:
        hours, recipes = culture
        _within(hours, self.hours, f"the hours of {self.name}")
        if not 1 <= len(recipes) <= self.reactors:
            raise LimitError(f"{self.name} has {self.reactors} reactors, got {len(recipes)} vessels")
        for vessel, recipe in recipes:
            check_name(vessel, f"a vessel of {self.name}")
            if set(recipe) != set(self.settings):
                raise LimitError(f"a recipe of {self.name} has {', '.join(self.settings)}, got {', '.join(recipe)}")
            for setting, value in recipe.items():
                _within(value, self.settings[setting], f"{setting} of {self.name}")

    async def _grow(self, culture: Culture, pause: Pause) -> None:
        hours, recipes = culture
        for vessel, recipe in recipes:
            words = " ".join(f"{name}={value:.6g}" for name, value in recipe.items())
            await self._line.command(f"RECIPE {vessel} {words}")
        vessels = " ".join(vessel for vessel, _ in recipes)
        await self._line.perform(f"GROW {hours:.6g} {vessels}", pause, timeout_s=3600 * (hours + 5))

    async def _read(self) -> dict[str, float]:
        question = f"OFFGAS? {self._vessel}"
        answer = await self._line.ask(question)
        try:
            biomass, rate, titre = map(float, answer.split())
        except ValueError:
            raise self._line.nonsense(question, answer, "three numbers") from None
        return {f"{self.name}_biomass": biomass, f"{self.name}_co2": rate, f"{self.name}_titre": titre}


def _within(value: object, limits: Limits, what: str) -> None:
    number = as_number(value)
    if number is None or not limits.low <= number <= limits.high:
        raise LimitError(f"{what} were told {value!r}, the limits are {limits.low:g} to {limits.high:g}")
