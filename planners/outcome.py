"""What the history says about one outcome, and the Gaussian process that was fitted to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdl.campaign.planner import HistoryEntry
from sdl.planners.assumed import NOTHING, Assumed, Offset
from sdl.planners.encoding import Array, Encoding
from sdl.planners.evidence import Hyperparameters, TrainingSet
from sdl.planners.field import Differences
from sdl.planners.kernel import Kernel, Term
from sdl.planners.noise import NoiseModel
from sdl.planners.warp import Wanted, Warp


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
    sets
        The names of the sets of prior data that they come from, empty for the campaign's own; none at all where it does
        not matter.
    assumed
        What is known of the outcome beside them.
    """

    rows: Array
    values: Array
    errors: Array
    trials: tuple[int, ...] = ()
    wanted: Wanted = None
    sets: tuple[str, ...] = ()
    assumed: Assumed = NOTHING

    @classmethod
    def of(
        cls,
        encoding: Encoding,
        entries: Sequence[HistoryEntry],
        outcome: str,
        wanted: Wanted = None,
        assumed: Assumed = NOTHING,
    ) -> OutcomeData:
        """Gather the measurements of *outcome* from *entries*, leaving out entries that lack it."""
        known = [
            (entry, entry.observation.outcomes[outcome])
            for entry in entries
            if entry.observation and outcome in entry.observation.outcomes
        ]
        values = np.array([measured.value for _, measured in known], dtype=np.float64)
        errors = np.array([measured.standard_error or 0.0 for _, measured in known], dtype=np.float64)
        rows = encoding.encode([entry.values for entry, _ in known])
        sets = tuple((entry.origin or "prior") if entry.trial < 0 else "" for entry, _ in known)
        return cls(rows, values, errors, tuple(entry.trial for entry, _ in known), wanted, sets, assumed)

    @property
    def set_names(self) -> tuple[str, ...]:
        """The sets of prior data, in order of appearance; none where all data are of one kind."""
        kinds = tuple(dict.fromkeys(self.sets))
        return tuple(kind for kind in kinds if kind) if len(kinds) > 1 else ()

    @property
    def origins(self) -> Array:
        """A column for each set of prior data: 1 for those that belong to it. Shape (n, sets)."""
        kinds = np.array(self.sets, dtype=np.str_)
        columns = [(kinds == name).astype(np.float64) for name in self.set_names]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.values), 0))

    @property
    def times(self) -> Array:
        """When each was measured, by order: from -1, the first and prior data, to 0, the last. Shape (n, 1)."""
        is_own = np.array([not name for name in self.sets] or [True] * len(self.values))
        order = np.cumsum(is_own) - is_own.sum()
        return np.where(is_own, order / max(int(is_own.sum()), 1), -1.0)[:, None]


@dataclass(frozen=True)
class OutcomeFit:
    """A Gaussian process for one outcome: scale, standardised data, hyper-parameters, and whose the data are."""

    warp: Warp
    data: TrainingSet
    hyperparameters: Hyperparameters
    trials: tuple[int, ...] = ()
    sets: tuple[str, ...] = ()
    offset: Offset | None = None
    differences: Differences | None = None
    drifts: bool = False
    noise_model: NoiseModel | None = None
    discounted: tuple[int, ...] = ()
    prior_weight: float | None = None

    @cached_property
    def kernel(self) -> Kernel:
        """The covariance of the function without noise."""
        data, lengthscales = self.data, self.lengthscales
        columns = [np.flatnonzero(np.isin(data.groups, groups)) for groups in data.parts]
        pairs = zip(columns, self.hyperparameters.amplitudes, strict=True)
        is_whole = len(columns) == 1 and len(columns[0]) == len(data.groups)
        terms = [Term(None if is_whole else part, 1.0 / lengthscales[part], amplitude) for part, amplitude in pairs]
        return Kernel(terms, len(data.groups))

    @property
    def noise(self) -> Array:
        """Variance of the noise of each observation, standardised, shape (n,)."""
        return self.data.noise_of(self.hyperparameters.noise)

    @property
    def next_noise(self) -> float:
        """Variance of the noise to expect of the next observation wherever it is, standardised."""
        return float(np.median(self.data.known_noise)) + self.hyperparameters.noise

    def noise_at(self, rows: Array) -> Array:
        """Return the variance of the noise to expect of an observation at each of *rows*, standardised, shape (n,)."""
        factors = np.ones(len(rows)) if self.noise_model is None else self.noise_model.factors(rows)
        return np.asarray(float(np.median(self.data.known_noise)) + self.hyperparameters.noise * factors)

    @property
    def lengthscales(self) -> Array:
        """The lengthscale of every column, shape (columns,)."""
        return self.hyperparameters.lengthscales[self.data.groups]
