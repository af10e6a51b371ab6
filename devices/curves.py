"""What an instrument reports as curves: spectra, voltammograms, the wells of a plate."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from bluesky.protocols import Reading, Status
from event_model.documents.event_descriptor import DataKey

from sdl.devices.driver import Action, Instrument
from sdl.errors import DeviceError
from sdl.lab.actions import ActionClass
from sdl.lab.clock import current_time


class Curves:
    """Arrays that an instrument measures when it is triggered (Triggerable, Readable).

    Parameters
    ----------
    name
        Of the device.
    measure
        Does the measurement; returns the numbers of each data key.
    units
        Data key -> unit; the empty string for plain numbers.
    n_points
        How many numbers each of them has.
    source
        For the description.
    """

    action_classes: ClassVar[Mapping[str, ActionClass]] = {"trigger": ActionClass.READ}
    safe_action: ClassVar[str] = "finish_step_then_hold"

    def __init__(
        self,
        name: str,
        measure: Callable[[], Awaitable[Mapping[str, Sequence[float]]]],
        *,
        units: Mapping[str, str],
        n_points: int,
        source: str,
        parent: object | None = None,
    ) -> None:
        self.name = name
        self.parent = parent
        self.n_points = n_points
        self._measure = measure
        self._units = dict(units)
        self._source = source
        self._last: dict[str, Reading[list[float]]] | None = None

    def trigger(self) -> Status:
        """Begin a measurement; :meth:`read` then gives its result."""
        return Action(self._take(), f"{self.name} measurement")

    def read(self) -> dict[str, Reading[list[float]]]:
        """Return the result of the last trigger. Raises DeviceError if there was none, or if it failed."""
        if self._last is None:
            raise DeviceError(f"{self.name} has no measurement to read", hint="trigger it first")
        return dict(self._last)

    def describe(self) -> dict[str, DataKey]:
        """Return the data keys: dtype, shape, source, units."""
        return {
            key: {"dtype": "array", "shape": [self.n_points], "source": self._source, "units": unit}
            for key, unit in self._units.items()
        }

    async def _take(self) -> None:
        self._last = None
        found = await self._measure()
        self._last = {key: {"value": list(found[key]), "timestamp": current_time()} for key in self._units}


async def numbers(line: Instrument, question: str, n: int) -> list[float]:
    """Return the answer to *question* as *n* finite numbers. Raises DeviceError for anything else."""
    answer = await line.ask(question)
    try:
        found = [float(word) for word in answer.split()]
    except ValueError:
        found = []
    if len(found) != n or not all(map(math.isfinite, found)):
        raise line.nonsense(question, answer, f"{n} numbers")
    return found
