"""A measuring station, and the instrument below it that answers from a table.

It talks in lines, ``OK`` and ``ERR`` as in :mod:`sdl.devices.driver`:

======================  ==============================================================================================
``*IDN?``               who it is
``LOAD {"pH": 7}``      take the design in as a sample: JSON, parameter to value, in the units of the schema
``MEASURE``             begin to measure what is loaded
``STATE?``              ``EMPTY``, ``LOADED``, ``BUSY 120`` (seconds left) or ``DONE``
``RESULT?``             JSON: outcome to ``[value, unit, standard error or null, number of replicates]``
``STOP``                stop measuring; the sample stays loaded
======================  ==============================================================================================
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import numpy as np
from bluesky.protocols import Reading, Status
from bluesky.utils import MsgGenerator
from event_model.documents.event_descriptor import DataKey

from sdl.devices.driver import Action, Activity, Instrument, Pause, data_key, reading
from sdl.devices.stubs import go, record
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, DeviceTimeout, LimitError, PointError
from sdl.lab.actions import ActionClass
from sdl.problem import Measurement, ParameterValue
from sdl.simulators.table_answers import Answers, Values


class TableInstrument:
    """The simulated instrument.

    The noise of a measurement follows from the seed, the sample's label and how often a sample with this label was
    measured before, and from nothing else that happened.

    Parameters
    ----------
    answers
        What is measured where.
    name
        What it answers to ``*IDN?``.
    seconds
        How long a measurement takes.
    seed
        Of the noise.
    """

    def __init__(self, answers: Answers, *, name: str, seconds: float, seed: int) -> None:
        self._answers = answers
        self._name = name
        self._seconds = seconds
        self._seed = seed
        self._values: dict[str, ParameterValue] | None = None
        self._found: dict[str, Measurement] = {}
        self._done_at: float | None = None
        self.prepare("")
        self._verbs: dict[str, Callable[[str], str]] = {
            "*IDN?": lambda _: f"sdl,measuring station,{self._name},1",
            "LOAD": self._load,
            "MEASURE": self._measure,
            "STATE?": lambda _: self._state(),
            "RESULT?": self._result,
            "STOP": self._stop,
        }

    def prepare(self, label: str) -> None:
        """Begin the noise of a new sample: *label* tells samples apart."""
        self._label = zlib.crc32(label.encode())
        self._n_measured = 0

    def answer(self, line: str) -> str:
        """Answer one line. Called on the loop."""
        word, _, rest = line.partition(" ")
        verb = self._verbs.get(word)
        return f"ERR 1 unknown command {word[:20]}" if verb is None else verb(rest)

    def _load(self, text: str) -> str:
        if self._is_busy:
            return "ERR 2 busy"
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            return "ERR 3 no design"
        try:
            self._answers.truth([cast("Values", values)])
        except PointError as error:
            return f"ERR 4 {error}"
        self._values, self._done_at = cast("dict[str, ParameterValue]", values), None
        return "OK"

    def _measure(self, _: str) -> str:
        if self._values is None:
            return "ERR 5 nothing is loaded"
        if self._is_busy:
            return "ERR 2 busy"
        rng = np.random.default_rng([self._seed, self._label, self._n_measured])
        self._found = self._answers.measure(self._values, rng)
        self._n_measured += 1
        self._done_at = asyncio.get_running_loop().time() + self._seconds
        return "OK"

    def _stop(self, _: str) -> str:
        if self._is_busy:
            self._done_at = None
        return "OK"

    @property
    def _is_busy(self) -> bool:
        return self._state().startswith("BUSY")

    def _state(self) -> str:
        if self._values is None:
            return "EMPTY"
        if self._done_at is None:
            return "LOADED"
        left = self._done_at - asyncio.get_running_loop().time()
        return f"BUSY {left:.6g}" if left > 0 else "DONE"

    def _result(self, _: str) -> str:
        if self._state() != "DONE":
            return "ERR 6 nothing is measured"
        return json.dumps(
            {name: [m.value, m.unit, m.standard_error, m.n_replicates] for name, m in self._found.items()}
        )


class MeasuringStation:
    """Driver of a station that takes a design in and measures it.

    Parameters
    ----------
    transport
        The line to it.
    name
        Prefix of the parts' names.
    parameters
        What a design has, each with its unit: None for plain numbers and for texts.
    outcomes
        What it measures, each with its unit.
    sources
        Where the numbers of each outcome come from, for the description of every run.
    timeout_s
        After which a measurement has failed.

    Attributes
    ----------
    sample
        Activity: ``set(values)`` takes a design in and measures it.
    result
        What was measured last (Triggerable, Readable).
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "station",
        parameters: Mapping[str, str | None],
        outcomes: Mapping[str, str | None],
        sources: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self.name = name
        self.parent = None
        self.timeout_s = timeout_s
        self._line = Instrument(name, transport)
        self._parameters = tuple(parameters)
        self.sample: Activity[Values] = Activity(
            f"{name}_sample",
            self._measure,
            halt=self._halt,
            check=self._check,
            action_class=ActionClass.IRREVERSIBLE,  # a sample is made and used up
            safe_action="finish_step_then_hold",
            parent=self,
        )
        self.result = StationResult(self, {**parameters, **outcomes}, sources)
        self.loaded: Values = {}

    def measure(self, values: Values) -> MsgGenerator[dict[str, Measurement]]:
        """Plan stub: take a design in, measure it, record the event, return the outcomes.

        Parameters
        ----------
        values
            Parameter to value, in the station's units; the settings of a plan will do. What a design does not have is
            left out.

        Returns
        -------
        Outcome to Measurement. Empty where the plan is walked without a device.
        """
        design = {name: values[name] for name in self._parameters if name in values}
        yield from go(self.sample, design, timeout=self.timeout_s + 60.0)
        readings = yield from record([self.result], timeout=60.0)
        return self.result.measurements if readings else {}

    async def outcomes(self) -> dict[str, Measurement]:
        """Ask for what was measured last. Raises DeviceError where nothing was."""
        answer = await self._line.ask("RESULT?")
        try:
            found = cast("dict[str, list[Any]]", json.loads(answer))
            return {
                name: Measurement(value, unit, standard_error=error, n_replicates=n)
                for name, (value, unit, error, n) in found.items()
            }
        except (ValueError, TypeError, AttributeError):
            raise self._line.nonsense("RESULT?", answer, "outcomes as JSON") from None

    def _check(self, values: Values) -> None:
        if set(values) != set(self._parameters):
            raise LimitError(
                f"{self.name} takes a design of {', '.join(self._parameters)}, got {', '.join(values) or 'nothing'}"
            )

    async def _measure(self, values: Values, pause: Pause) -> None:
        await self._line.command(f"LOAD {json.dumps(dict(values))}")
        self.loaded = dict(values)
        await self._line.command("MEASURE")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while (state := await self._line.ask("STATE?")) != "DONE":
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name}: a measurement is not done after {self.timeout_s:g} s")
            if await pause.sleep(self._seconds_left(state)):
                raise DeviceError(f"{self.name}: the measurement was stopped")

    def _seconds_left(self, state: str) -> float:
        word, _, left = state.partition(" ")
        if word != "BUSY":
            raise DeviceError(f"{self.name}: the measurement was ended by someone else, the state is {state}")
        return min(float(left) + 0.1, 600.0)

    async def _halt(self) -> None:
        await self._line.command("STOP")


class StationResult:
    """The design that a station measured last, and its outcomes (Triggerable, Readable).

    The data keys are ``station_PARAMETER``, ``station_OUTCOME``, and ``station_OUTCOME_error`` for a standard error; a
    standard error that is not known is recorded as -1, because a data key is there in every event or in none.
    """

    UNKNOWN_ERROR = -1.0
    action_classes: ClassVar[Mapping[str, ActionClass]] = {"trigger": ActionClass.READ}
    safe_action: ClassVar[str] = "finish_step_then_hold"

    def __init__(self, station: MeasuringStation, units: Mapping[str, str | None], sources: Mapping[str, str]) -> None:
        self.name = f"{station.name}_result"
        self.parent = station
        self.measurements: dict[str, Measurement] = {}
        self._station = station
        self._units = dict(units)
        self._sources = dict(sources)

    def trigger(self) -> Status:
        """Begin to fetch the result; :meth:`read` then gives it."""
        return Action(self._fetch(), f"{self.name} fetching")

    async def _fetch(self) -> None:
        self.measurements = {}
        self.measurements = await self._station.outcomes()

    def read(self) -> dict[str, Reading[Any]]:
        """Return design and outcomes. Raises DeviceError if nothing was fetched, or if that failed."""
        if missing := [name for name in self._sources if name not in self.measurements]:
            raise DeviceError(f"{self.name} has no {', '.join(missing)} to read", hint="trigger it first")
        values: dict[str, Any] = dict(self._station.loaded)
        for name in self._sources:
            found = self.measurements[name]
            error = found.standard_error
            values |= {name: found.value, f"{name}_error": self.UNKNOWN_ERROR if error is None else error}
        return {self._key(name): cast("Reading[Any]", reading(value)) for name, value in values.items()}

    def describe(self) -> dict[str, DataKey]:
        """Return the data keys: dtype, shape, source, units."""
        keys = {name: data_key(f"{self.name} design", unit or "") for name, unit in self._units.items()}
        for name, value in self._station.loaded.items():
            if isinstance(value, str):
                keys[name] = {"dtype": "string", "shape": [], "source": f"{self.name} design"}
        for name, source in self._sources.items():
            keys |= {key: data_key(source, self._units[name] or "") for key in (name, f"{name}_error")}
        return {self._key(name): key for name, key in keys.items()}

    def _key(self, name: str) -> str:
        # bluesky's documents allow neither a dot nor a slash in the name of a data key.
        return f"{self._station.name}_{name}".replace(".", "_").replace("/", "_")
