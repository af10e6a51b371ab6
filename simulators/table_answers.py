"""What a laboratory that answers from a table knows: which designs there are, and what is measured at each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from sdl.errors import PointError
from sdl.journal.tables import OutcomeColumn, ParameterColumn, Row, Table
from sdl.problem import (
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    Measurement,
    Mixture,
    Parameter,
    ParameterValue,
    SearchSpace,
)
from sdl.problem.value import FrozenMap, Value
from sdl.simulators.emulator import Emulator

Values = Mapping[str, ParameterValue]


class SurfaceReport(Value):
    """How far an emulator can be trusted for one outcome.

    ``error`` is the root mean square of what it misses a design by when that design is left out, in ``unit``;
    ``explained`` is the share of the outcome's variance that it predicts then. ``noise`` is the standard deviation of
    repeated measurements in the table, and 0 where nothing was repeated.
    """

    unit: str | None
    error: float
    explained: float
    noise: float


class EmulatorReport(Value):
    """What an emulator was fitted to, and how well."""

    n_designs: int
    method: str = "Gaussian process, Matern 5/2; errors by leaving out one design at a time"
    outcomes: FrozenMap[SurfaceReport]


class Answers(Protocol):
    """Where a table's laboratory takes its answers from."""

    @property
    def space(self) -> SearchSpace:
        """What can be measured."""
        ...

    @property
    def report(self) -> EmulatorReport | None:
        """How good the answers are, None where they are rows of the table."""
        ...

    def measure(self, values: Values, rng: np.random.Generator) -> dict[str, Measurement]:
        """Return what one measurement at *values* gives. Raises PointError where there is none."""
        ...

    def truth(self, points: Sequence[Values]) -> list[dict[str, float]]:
        """Return the outcomes without noise, for every point. Raises PointError where there are none."""
        ...

    def candidates(self) -> list[Values]:
        """Return the points among which the best is looked for."""
        ...


class PoolAnswers:
    """Answers with rows of the table."""

    report = None

    def __init__(self, table: Table) -> None:
        self._table = table
        self._designs = designs_of(table)
        columns = {name: tuple(key[i] for key in self._designs) for i, name in enumerate(table.schema.parameters)}
        parameters = parameters_of(table)
        varied = {name: values for name, values in columns.items() if not isinstance(parameters[name], Fixed)}
        self.space = SearchSpace(parameters, pool=CandidatePool(varied) if varied else None)

    def measure(self, values: Values, rng: np.random.Generator) -> dict[str, Measurement]:
        """Return one of the design's rows, or the mean of them, as the schema says."""
        rows = self._rows(values)
        if self._table.schema.replicates == "mean" and len(rows) > 1:
            return {name: self._mean(name, rows) for name in self._table.schema.outcomes}
        row = rows[int(rng.integers(len(rows)))]
        return {
            name: Measurement(row.outcomes[name], column.unit, standard_error=row.errors.get(name))
            for name, column in self._table.schema.outcomes.items()
        }

    def truth(self, points: Sequence[Values]) -> list[dict[str, float]]:
        """Return the means over the rows of each design."""
        return [
            {name: mean_and_spread(self._rows(point), name)[0] for name in self._table.schema.outcomes}
            for point in points
        ]

    def candidates(self) -> list[Values]:
        """Return every design of the table."""
        return [dict(zip(self._table.schema.parameters, key, strict=True)) for key in self._designs]

    def _rows(self, values: Values) -> Sequence[Row]:
        key = tuple(values.get(name, math.nan) for name in self._table.schema.parameters)
        if key not in self._designs:
            raise PointError(
                f"{dict(values)} is none of the {len(self._designs)} designs of {self._table.path.name}",
                hint="choose points of the laboratory's pool, or mode='emulator' to answer between them",
            )
        return self._designs[key]

    def _mean(self, name: str, rows: Sequence[Row]) -> Measurement:
        mean, spread = mean_and_spread(rows, name)
        n = len(rows)
        unit = self._table.schema.outcomes[name].unit
        return Measurement(mean, unit, standard_error=spread / math.sqrt(n), n_replicates=n)


class EmulatorAnswers:
    """Answers with functions fitted to the table; with the noise of its repeated measurements where the schema draws.

    Parameters
    ----------
    table
        What they are fitted to.
    seed
        Of the fit, and of the points among which the best is looked for.
    """

    N_CANDIDATES = 4096

    def __init__(self, table: Table, *, seed: int) -> None:
        self._table = table
        self._seed = seed
        self._designs = designs_of(table)
        schema = table.schema
        constraints = [] if schema.mixture is None else [Mixture(schema.mixture.names, schema.mixture.total)]
        self.space = SearchSpace(parameters_of(table), constraints=constraints)
        points = [dict(zip(schema.parameters, key, strict=True)) for key in self._designs]
        means = {name: [mean_and_spread(rows, name)[0] for rows in self._designs.values()] for name in schema.outcomes}
        logs = [name for name, column in schema.parameters.items() if column.log]
        self._emulator = Emulator(points, means, logs=logs, seed=seed)
        self.report = EmulatorReport(
            n_designs=len(points),
            outcomes={name: self._surface_report(name, column) for name, column in schema.outcomes.items()},
        )

    def measure(self, values: Values, rng: np.random.Generator) -> dict[str, Measurement]:
        """Return the fitted outcomes, with noise as the table has it."""
        found: dict[str, Measurement] = {}
        for name, value in self.truth([values])[0].items():
            column = self._table.schema.outcomes[name]
            noise = self.report.outcomes[name].noise if self._table.schema.replicates == "draw" else 0.0
            found[name] = Measurement(clipped(value + noise * float(rng.standard_normal()), column), column.unit)
        return found

    def truth(self, points: Sequence[Values]) -> list[dict[str, float]]:
        """Return the fitted outcomes."""
        for point in points:
            self.space.check(point)
        predicted = self._emulator.predict(points)
        columns = self._table.schema.outcomes
        return [
            {name: clipped(float(predicted[name][i]), columns[name]) for name in columns} for i in range(len(points))
        ]

    def candidates(self) -> list[Values]:
        """Return points drawn evenly from the space, and the designs of the table that belong to it."""
        drawn = self.space.sample(self.N_CANDIDATES, np.random.default_rng(self._seed))
        designs = (dict(zip(self._table.schema.parameters, key, strict=True)) for key in self._designs)
        return [*drawn, *(design for design in designs if self.space.contains(design))]

    def _surface_report(self, name: str, column: OutcomeColumn) -> SurfaceReport:
        surface = self._emulator.surfaces[name]
        noise = pooled_noise(list(self._designs.values()), name)
        return SurfaceReport(unit=column.unit, error=surface.error, explained=surface.explained, noise=noise)


def designs_of(table: Table) -> dict[tuple[ParameterValue, ...], list[Row]]:
    """Return the different designs of a table, in its order, each with its rows."""
    designs: dict[tuple[ParameterValue, ...], list[Row]] = {}
    for row in table.rows:
        designs.setdefault(tuple(row.values[name] for name in table.schema.parameters), []).append(row)
    return designs


def parameters_of(table: Table) -> dict[str, Parameter]:
    """Return the parameters that span the table; a column with one value becomes Fixed."""
    return {
        name: _parameter(column, {row.values[name] for row in table.rows})
        for name, column in table.schema.parameters.items()
    }


def _parameter(column: ParameterColumn, values: set[ParameterValue]) -> Parameter:
    if len(values) == 1:
        return Fixed(next(iter(values)), unit=column.unit)
    match column.kind:
        case "categorical":
            return Categorical(tuple(sorted(str(value) for value in values)))
        case "discrete":
            return Discrete(sorted(float(value) for value in values), unit=column.unit)
        case "continuous":
            numbers = [float(value) for value in values]
            return Continuous(min(numbers), max(numbers), unit=column.unit, log=column.log)


def mean_and_spread(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """Return mean and sample standard deviation of an outcome; the second is 0 for one row."""
    values = [row.outcomes[name] for row in rows]
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else 0.0


def pooled_noise(designs: Sequence[Sequence[Row]], name: str) -> float:
    """Return the standard deviation within designs, pooled over all that were repeated; 0 where none was."""
    freedom = sum(len(rows) - 1 for rows in designs)
    squares = math.fsum(mean_and_spread(rows, name)[1] ** 2 * (len(rows) - 1) for rows in designs)
    return math.sqrt(squares / freedom) if freedom else 0.0


def clipped(value: float, column: OutcomeColumn) -> float:
    """Return *value* within what the outcome can be at all."""
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    return min(max(value, low), high)
