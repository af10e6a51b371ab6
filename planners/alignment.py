"""What approximations of a target measure, carried over to the target's scale.

A quick instrument may read two thirds of what the slow one reads, and a tenth more. The Gaussian process knows but how
much the two resemble each other, so scale and offset are taken out first: each approximation's own model is asked where
the target was measured, and the target's values are regressed on its answers. What is left is for the kernel, as in
Kennedy and O'Hagan, "Predicting the output from a complex computer code when fast approximations are available",
Biometrika 87, 1 (2000), where a factor and a Gaussian process lead from each level to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sdl.journal.records import Prediction
from sdl.planners.encoding import ApproximationCode, Array, Encoding
from sdl.planners.fitting import fit_outcome
from sdl.planners.many import field_of
from sdl.planners.outcome import OutcomeData, OutcomeFit
from sdl.planners.surrogate import NUMERICAL_ERRORS

SCATTER = 0.3
"""What an approximation misses the target by beside scale and offset, in deviations of the target; before the data."""

FACTOR_PRIOR = (1.0, 0.7)
"""Mean and deviation of the factor between an approximation and the target, before the data."""

OFFSET_PRIOR = 3.0
"""Deviation of the offset, in deviations of the target."""

SMALLEST_FACTOR = 0.05
"""An approximation with a smaller factor, or a negative one, is left as it is: it tells little."""

Kind = tuple[float, ...]
"""The approximation columns of a row, which tell the choices apart."""


@dataclass(frozen=True)
class Line:
    """``target = offset + factor * approximation``."""

    offset: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True)
class Alignment:
    """The measurements of one outcome on the target's scale, and how each kind was brought there.

    Parameters
    ----------
    data
        The measurements, aligned.
    columns
        The numbers of the columns that tell the kinds apart.
    lines
        Kind to its line.
    """

    data: OutcomeData
    columns: tuple[int, ...] = ()
    lines: Mapping[Kind, Line] = field(default_factory=dict[Kind, Line])

    def restored(self, row: Array, prediction: Prediction) -> Prediction:
        """Return *prediction* at *row* as the row's own kind of measurement would give it."""
        line = self.lines.get(_kind(row, self.columns))
        if line is None:
            return prediction
        deviation = prediction.standard_deviation / line.factor
        return Prediction(mean=(prediction.mean - line.offset) / line.factor, standard_deviation=deviation)


def align(measured: OutcomeData, encoding: Encoding) -> Alignment:
    """Bring the measurements at approximations to the scale of the target; nothing changes where there are none."""
    columns = tuple(
        column
        for code in encoding.codes
        if isinstance(code, ApproximationCode)
        for column in range(code.start, code.start + code.width)
    )
    if not columns:
        return Alignment(measured)
    kinds = [_kind(row, columns) for row in measured.rows]
    target = np.array([not any(kind) for kind in kinds], dtype=bool)
    values, errors = measured.values.copy(), measured.errors.copy()
    lines: dict[Kind, Line] = {}
    for kind in sorted(set(kinds) - {(0.0,) * len(columns)}):
        own = np.array([each == kind for each in kinds], dtype=bool)
        lines[kind] = line = _line(_part(measured, own), _part(measured, target), columns, encoding)
        values[own], errors[own] = line.offset + line.factor * values[own], line.factor * errors[own]
    return Alignment(replace(measured, values=values, errors=errors), columns, lines)


def _kind(row: Array, columns: tuple[int, ...]) -> Kind:
    return tuple(float(round(row[column])) for column in columns)


def _part(measured: OutcomeData, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> OutcomeData:
    return OutcomeData(measured.rows[chosen], measured.values[chosen], measured.errors[chosen], wanted=measured.wanted)


def _line(own: OutcomeData, target: OutcomeData, columns: tuple[int, ...], encoding: Encoding) -> Line:
    """Regress the target on what *own* says at its places."""
    if len(own.values) < 3 or len(target.values) < 2 or np.ptp(own.values) <= 0.0:
        return Line()
    places = target.rows.copy()
    places[:, list(columns)] = own.rows[0, list(columns)]
    try:
        fit: OutcomeFit = fit_outcome(own, encoding)
        glance = field_of(fit).at(places)
    except NUMERICAL_ERRORS:
        return Line()
    told = fit.warp.backward(glance.mean[:, 0])
    doubt = np.abs(fit.warp.backward(glance.mean[:, 0] + glance.deviation) - told)
    return _regressed(told, doubt, target.values, float(own.values.std()))


def _regressed(told: Array, doubt: Array, values: Array, own_deviation: float) -> Line:
    """Return the most probable line from what was *told*, which is open by *doubt*, to the target's *values*."""
    size = max(float(values.std()), own_deviation)
    centre = float(told.mean())
    weights = 1.0 / ((SCATTER * size) ** 2 + doubt**2)
    basis = np.stack([np.ones(len(told)), told - centre], axis=1)
    location = np.array([centre, FACTOR_PRIOR[0]])
    precision = np.diag([(OFFSET_PRIOR * size) ** -2.0, FACTOR_PRIOR[1] ** -2.0])
    left, right = basis.T @ (weights[:, None] * basis) + precision, basis.T @ (weights * values) + precision @ location
    offset, factor = np.linalg.solve(left, right)
    if factor < SMALLEST_FACTOR or not np.isfinite(offset):
        return Line()
    return Line(float(offset - factor * centre), float(factor))
