"""``TableLab``: a laboratory that answers from a table of measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bluesky.utils import Msg
from pydantic import JsonValue

from sdl.errors import ProblemError
from sdl.journal.tables import TableSchema, read_table
from sdl.lab.clock import Clock
from sdl.lab.lab import Lab
from sdl.lab.station import WAIT_TIMEOUT
from sdl.lab.virtual import VirtualClock
from sdl.problem import Measurement, Objective, ParameterValue, Problem, SearchSpace
from sdl.simulators.table_answers import EmulatorAnswers, EmulatorReport, PoolAnswers
from sdl.simulators.table_station import MeasuringStation, TableInstrument
from sdl.simulators.transport import SimulatedTransport


class Best(NamedTuple):
    """The best point that a table's laboratory knows, and its outcomes without noise."""

    values: Mapping[str, ParameterValue]
    outcomes: Mapping[str, float]


class TableLab(Lab):
    """A simulated laboratory whose measurements come from a table.

    A measuring station takes a design in and measures it. As a *pool* the laboratory can measure the designs of the
    table and nothing else, and what it measures was measured once. As an *emulator* it can measure everywhere between
    them, and what it measures is the prediction of a function that was fitted to the table: :meth:`describe` says how
    good this function is, and the description of every run says that its numbers are predictions.

    Chance. Which replicate is drawn, and the noise of an emulator, follow from (seed, trial, attempt) alone, which a
    campaign sets through :meth:`prepare`.

    Parameters
    ----------
    table
        The CSV file, or the folder that holds the schema's ``file``.
    schema
        What its columns are: a :class:`~sdl.journal.tables.TableSchema`, or the path of a YAML or JSON file with one.
    seed
        Of all chance.
    mode
        ``pool`` or ``emulator``.
    minutes_per_measurement
        Laboratory time.
    clock
        A virtual clock by default.

    Attributes
    ----------
    schema, table
        What was read.
    station
        The driver of the measuring station; ``lab.station.measure(values)`` is a plan stub.
    """

    is_simulated = True

    def __init__(
        self,
        table: str | Path,
        schema: TableSchema | str | Path,
        *,
        seed: int = 0,
        mode: Literal["pool", "emulator"] = "pool",
        minutes_per_measurement: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        if mode not in {"pool", "emulator"}:
            raise ProblemError(f"a table answers as 'pool' or as 'emulator', got mode={mode!r}")
        if not minutes_per_measurement > 0:
            raise ProblemError(f"a measurement takes more than 0 minutes, got {minutes_per_measurement}")
        self.schema = schema if isinstance(schema, TableSchema) else TableSchema.load(schema)
        self.table = read_table(table, self.schema)
        self.seed = seed
        self.mode = mode
        self.minutes_per_measurement = minutes_per_measurement
        self._answers = PoolAnswers(self.table) if mode == "pool" else EmulatorAnswers(self.table, seed=seed)
        seconds = 60.0 * minutes_per_measurement
        self._instrument = TableInstrument(self._answers, name=self.schema.name, seconds=seconds, seed=seed)
        station = MeasuringStation(
            SimulatedTransport(self._instrument, name=self.schema.name),
            parameters={name: column.unit for name, column in self.schema.parameters.items()},
            outcomes={name: column.unit for name, column in self.schema.outcomes.items()},
            sources={name: self._source(name) for name in self.schema.outcomes},
            timeout_s=2.0 * seconds + 60.0,
        )
        super().__init__(
            self.schema.name,
            clock=clock or VirtualClock(),
            wait_timeout=max(WAIT_TIMEOUT, station.timeout_s + 60.0),
            station=station,
        )

    def prepare(self, trial: int, attempt: int) -> None:
        """Begin an attempt: its chance follows from its numbers."""
        self._instrument.prepare(f"{trial}.{attempt}")

    def describe(self) -> dict[str, JsonValue]:
        """Return what the journal keeps of the laboratory: the table, its digest, and how good the emulator is."""
        report = self.report
        return {
            **super().describe(),
            "seed": self.seed,
            "mode": self.mode,
            "minutes_per_measurement": self.minutes_per_measurement,
            "table": {
                "file": self.table.path.name,
                "sha256": hashlib.sha256(self.table.path.read_bytes()).hexdigest(),
                "n_rows": len(self.table.rows),
                "n_dropped": self.table.n_dropped,
                "origin": self.schema.origin,
                "replicates": self.schema.replicates,
            },
            "emulator": None if report is None else report.model_dump(mode="json"),
        }

    def space(self) -> SearchSpace:
        """Return what can be measured: the pool of the table's designs, or the range that they span."""
        return self._answers.space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the schema wants of the outcomes."""
        return self.schema.objectives

    @property
    def report(self) -> EmulatorReport | None:
        """How good the emulator is; None for a pool."""
        return self._answers.report

    @staticmethod
    def measure(lab: TableLab, s: Mapping[str, ParameterValue]) -> Generator[Msg, Any, dict[str, Measurement]]:
        """Plan: measure the design that *s* has. Give it to a campaign as its experiment."""
        station: MeasuringStation = lab.station
        return (yield from station.measure(s))

    def truth(self, values: Mapping[str, ParameterValue]) -> dict[str, float]:
        """Return the outcomes at *values* without noise: what benchmarks compare with.

        For a pool these are the means over the replicates. Raises PointError for a point that cannot be measured.
        """
        return self._answers.truth([values])[0]

    @cached_property
    def best(self) -> Best:
        """The best point by the first objective, and its outcomes without noise.

        For a pool this is the best design of the table; for an emulator the best of some thousand points, so a patient
        search can find a slightly better one.
        """
        objective = self._objectives()[0]
        return max(self._known, key=lambda known: objective.score(known.outcomes[objective.outcome]))

    @cached_property
    def front(self) -> tuple[Best, ...]:
        """The points that no other point beats in every objective, by falling score of the first."""
        problem = Problem(self.space(), self._objectives())
        ranked = sorted(((problem.score(known.outcomes), known) for known in self._known), key=lambda pair: pair[0])
        front: list[tuple[tuple[float, ...], Best]] = []
        for score, known in reversed(ranked):
            if not any(_dominates(other, score) for other, _ in front):
                front.append((score, known))
        return tuple(known for _, known in front)

    @cached_property
    def _known(self) -> Sequence[Best]:
        points = self._answers.candidates()
        return [Best(point, outcomes) for point, outcomes in zip(points, self._answers.truth(points), strict=True)]

    def _objectives(self) -> tuple[Objective, ...]:
        if not self.objectives:
            raise ProblemError(f"no outcome of {self.schema.name!r} has a goal", hint="add one to the schema")
        return self.objectives

    def _source(self, outcome: str) -> str:
        report = self.report
        if report is None:
            return f"table {self.schema.name}"
        fit = report.outcomes[outcome]
        unit = f" {fit.unit}" if fit.unit else ""
        return f"emulator of table {self.schema.name}: a prediction, {fit.error:.3g}{unit} off for designs left out"


def _dominates(other: Sequence[float], score: Sequence[float]) -> bool:
    """Whether *other* is at least as good everywhere, and better somewhere."""
    return tuple(other) != tuple(score) and all(a >= b for a, b in zip(other, score, strict=True))
