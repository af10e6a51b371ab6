"""What the history says about one outcome, and the Gaussian process that explains it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdl.campaign.planner import HistoryEntry
from sdl.planners.encoding import Array, Encoding
from sdl.planners.evidence import (
    NOISE_CEILING,
    Hyperparameters,
    TrainingSet,
    default_hyperparameters,
    fit,
    starting_points,
)
from sdl.planners.repeats import noise_by_repeats
from sdl.planners.warp import Scale, Wanted, Warp, possible_scales

BENT_MARGIN = 2.0
"""A scale that is not linear must beat the linear one by so much log evidence: odds of 7 to 1."""

MANY = 200
"""Beyond so many observations scale and hyper-parameters are fitted to a part of them first."""

MAX_ITERATIONS = 100
FEW_ITERATIONS = 6
"""Iterations of a fit, and of one that begins with what was fitted to a part."""


@dataclass(frozen=True)
class OutcomeData:
    """The measurements of one outcome.

    Parameters
    ----------
    rows
        Where, shape (n, columns).
    values
        What, in the outcome's unit, shape (n,).
    errors
        Standard errors in the same unit, shape (n,); 0 where none is known.
    trials
        The trial that each belongs to, negative for prior data; empty where it does not matter.
    wanted
        Which end of the outcome is sought.
    """

    rows: Array
    values: Array
    errors: Array
    trials: tuple[int, ...] = ()
    wanted: Wanted = None

    @classmethod
    def of(
        cls, encoding: Encoding, entries: Sequence[HistoryEntry], outcome: str, wanted: Wanted = None
    ) -> OutcomeData:
        """Gather the measurements of *outcome* from *entries*, leaving out entries that lack it."""
        triples = [
            (e.trial, e.values, e.observation.outcomes[outcome])
            for e in entries
            if e.observation and outcome in e.observation.outcomes
        ]
        values = np.array([measured.value for *_, measured in triples], dtype=np.float64)
        errors = np.array([measured.standard_error or 0.0 for *_, measured in triples], dtype=np.float64)
        rows = encoding.encode([point for _, point, _ in triples])
        return cls(rows, values, errors, tuple(trial for trial, *_ in triples), wanted)

    @property
    def origins(self) -> Array:
        """1 for prior data and 0 for the campaign's own, shape (n, 1); no columns where all are of one kind."""
        is_prior = np.array([trial < 0 for trial in self.trials], dtype=np.float64)
        return is_prior[:, None] if 0.0 < is_prior.sum() < len(is_prior) else np.zeros((len(self.values), 0))

    def part(self, n: int) -> OutcomeData:
        """Return *n* of the measurements, evenly over time."""
        chosen = np.unique(np.linspace(0, len(self.values) - 1, n).astype(np.intp))
        trials = tuple(self.trials[int(number)] for number in chosen if self.trials)
        return OutcomeData(self.rows[chosen], self.values[chosen], self.errors[chosen], trials, self.wanted)


@dataclass(frozen=True)
class OutcomeFit:
    """A Gaussian process for one outcome: scale, standardised data, hyper-parameters, and whose the data are."""

    warp: Warp
    data: TrainingSet
    hyperparameters: Hyperparameters
    trials: tuple[int, ...] = ()

    @property
    def noise(self) -> Array:
        """Variance of the noise of each observation, standardised, shape (n,)."""
        return self.data.known_noise + self.hyperparameters.noise

    @property
    def next_noise(self) -> float:
        """Variance of the noise to expect of the next observation, standardised."""
        return float(np.median(self.data.known_noise)) + self.hyperparameters.noise

    @property
    def lengthscales(self) -> Array:
        """The lengthscale of every column, shape (columns,)."""
        return self.hyperparameters.lengthscales[self.data.groups]


def fit_outcome(measured: OutcomeData, encoding: Encoding) -> OutcomeFit:
    """Fit the scale and the hyper-parameters of an outcome with at least one measurement.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where no hyper-parameters give a finite evidence.
    """
    few = measured.part(MANY)
    first, *others = starting_points(encoding.n_parameters + few.origins.shape[1])
    fits = [_fitted(scale, few, encoding, [first]) for scale in possible_scales(few.values, few.wanted)]
    best = max(fits, key=lambda fit: _evidence(fit, few))
    if not _evidence(best, few) > _evidence(fits[0], few) + BENT_MARGIN:
        best = fits[0]
    again = _fitted(best.warp.scale, few, encoding, others)
    best = max(best, again, key=lambda fit: fit.hyperparameters.log_posterior)
    if len(measured.values) <= MANY:
        return best
    start = best.hyperparameters.theta
    return _fitted(best.warp.scale, measured, encoding, [start], max_iterations=FEW_ITERATIONS)


def _fitted(
    scale: Scale,
    measured: OutcomeData,
    encoding: Encoding,
    starts: Sequence[Array],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> OutcomeFit:
    """Fit on one scale, from every one of *starts*."""
    warp = Warp.of(scale, measured.values)
    data = _standardised(measured, warp, encoding)
    return OutcomeFit(warp, data, fit(data, starts, max_iterations=max_iterations), measured.trials)


def plain_outcome(measured: OutcomeData, encoding: Encoding) -> OutcomeFit:
    """Return a Gaussian process that asks nothing of the numbers: linear scale, assumed hyper-parameters."""
    warp = Warp.of(Scale.LINEAR, measured.values)
    data = _standardised(measured, warp, encoding)
    return OutcomeFit(warp, data, default_hyperparameters(data), measured.trials)


def _evidence(fit: OutcomeFit, measured: OutcomeData) -> float:
    """Return the log density of the outcomes themselves: that of the standardised values, times the Jacobian."""
    return fit.hyperparameters.log_posterior + float(np.log(fit.warp.slope(measured.values)).sum())


def _standardised(measured: OutcomeData, warp: Warp, encoding: Encoding) -> TrainingSet:
    """Return the data on the warp's scale; standard errors are carried over by its slope."""
    noise = np.minimum((measured.errors * warp.slope(measured.values)) ** 2, NOISE_CEILING)
    has_origins = measured.origins.shape[1] > 0
    rows, targets = np.hstack([measured.rows, measured.origins]), warp.forward(measured.values)
    return TrainingSet(
        rows,
        targets,
        noise,
        np.append(encoding.groups, [encoding.n_parameters] * has_origins).astype(np.intp),
        encoding.is_finite,
        has_origins,
        noise_by_repeats(rows, targets, noise),
    )
