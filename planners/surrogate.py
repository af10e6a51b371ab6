# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""The Gaussian processes of all outcomes as one BoTorch model. GPyTorch has no type information; it stays in here."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import ceil
from typing import Protocol

import numpy as np
import torch
from botorch.acquisition.multi_objective import logei
from botorch.exceptions.errors import BotorchError
from botorch.exceptions.warnings import BotorchWarning
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.settings import validate_input_scaling
from botorch.utils.sampling import manual_seed
from gpytorch.utils.warnings import GPInputWarning
from linear_operator.utils.errors import NanError, NotPSDError
from linear_operator.utils.warnings import NumericalWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no type information

from sdl.journal.records import Prediction
from sdl.planners.encoding import Array
from sdl.planners.field import Field
from sdl.planners.gaussian_process import CachedGaussianProcess, to_tensor
from sdl.planners.goals import scores
from sdl.planners.many import field_of
from sdl.planners.outcome import OutcomeFit
from sdl.planners.warp import normal_nodes
from sdl.problem import Objective, OutcomeConstraint

NUMERICAL_ERRORS: tuple[type[Exception], ...] = (
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined] # pyright: ignore[reportPrivateImportUsage] # it is public
    NanError,
    NotPSDError,
    BotorchError,
    ArithmeticError,
)
"""What ill-conditioned data can end in, in NumPy, PyTorch, GPyTorch and BoTorch."""

KNOWN_WARNINGS = (NumericalWarning, GPInputWarning, BotorchWarning)

ENOUGH = 20
"""So many measurements can tell where 95 % of them lie."""

IN_95_PERCENT = 1.959964
"""Half the width of the interval that holds 95 % of a normal variable, in its deviations."""

STRETCH = (0.5, 2.0)
"""Limits of the factor that predicted deviations are multiplied by."""

CHUNK = 512
"""How many rows are predicted at a time: bounds the memory for their joint covariance."""


@contextmanager
def calm(seed: int) -> Generator[None]:
    """Run PyTorch on one thread, from *seed*, without a compiler and without the warnings that are dealt with here."""
    # The first hypervolume improvement would compile C++ for a minute.
    logei._load_attempted = True  # pyright: ignore[reportPrivateUsage] # there is no public switch
    n_threads = torch.get_num_threads()
    with _without_known_warnings(), validate_input_scaling(False), manual_seed(seed), threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


@contextmanager
def _without_known_warnings() -> Generator[None]:
    """Drop numerical warnings and BoTorch's; issue all others afterwards.

    Numerical warnings tell of jitter added to a matrix, which is the first step of the ladder that ends in a
    space-filling suggestion; BoTorch's tell of inputs and optimisers that are checked afterwards. BoTorch overrides
    filters, so that its warnings can only be recorded.
    """
    with warnings.catch_warnings(record=True) as caught:
        for category in KNOWN_WARNINGS:
            warnings.simplefilter("ignore", category)
        yield
    for warning in caught:
        if not issubclass(warning.category, KNOWN_WARNINGS):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class Restoring(Protocol):
    """Knows on what scale the measurement at a row would come."""

    def restored(self, row: Array, prediction: Prediction) -> Prediction:
        """Return *prediction*, made on the common scale, on the row's own."""
        ...


class Surrogate:
    """One Gaussian process per outcome, in the order of *fits*.

    Means and deviations called latent are on the standardised scales of the warps, and without noise.
    """

    def __init__(self, fits: Mapping[str, OutcomeFit], restoring: Mapping[str, Restoring] | None = None) -> None:
        self.fits = dict(fits)
        self._restoring = dict(restoring or {})
        self.names = tuple(fits)
        self._fields: dict[str, Field] = {}

    @cached_property
    def model(self) -> CachedGaussianProcess | ModelListGP:
        """The BoTorch model, which predicts standardised outcomes."""
        models = [CachedGaussianProcess(fit, self.field(name)) for name, fit in self.fits.items()]
        if len(models) == 1:
            return models[0]
        together = ModelListGP(*models)
        together.eval()
        return together

    def field(self, name: str) -> Field:
        """Return the posterior of the outcome *name*."""
        if name not in self._fields:
            self._fields[name] = field_of(self.fits[name])
        return self._fields[name]

    def latent(self, rows: Array) -> tuple[Array, Array]:
        """Return latent mean and standard deviation at *rows*, both of shape (n, outcomes)."""
        means, deviations = [np.zeros((0, len(self.names)))], [np.zeros((0, len(self.names)))]
        for chunk in np.array_split(rows, max(1, -(-len(rows) // CHUNK))):
            glances = [self.field(name).at(chunk) for name in self.names]
            means.append(np.hstack([glance.mean for glance in glances]))
            deviations.append(np.stack([glance.deviation for glance in glances], axis=1))
        mean, deviation = np.vstack(means), np.vstack(deviations)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise FloatingPointError("the model predicts values that are not finite")
        return mean, deviation

    def predict(self, rows: Array) -> list[dict[str, Prediction]]:
        """Return what the next measurement at each of *rows* is expected to give, its noise included."""
        means, deviations = self.latent(rows)
        found: list[dict[str, Prediction]] = [{} for _ in rows]
        for number, (name, fit) in enumerate(self.fits.items()):
            noisy = self.stretch(name) * np.sqrt(deviations[:, number] ** 2 + fit.noise_at(rows))
            moments = zip(*fit.warp.moments(means[:, number], noisy), strict=True)
            for row, prediction, (mean, deviation) in zip(rows, found, moments, strict=True):
                expected = Prediction(mean=float(mean), standard_deviation=float(deviation))
                own = self._restoring.get(name)
                prediction[name] = expected if own is None else own.restored(row, expected)
        return found

    def stretch(self, name: str) -> float:
        """Return by what factor predicted deviations are stretched so that 95 % intervals hold 95 %.

        Hyper-parameters are taken as certain, which makes intervals too narrow. How far 95 % of the measurements lie
        from what all others predict says by how much: the idea of the jackknife of Barber, Candès, Ramdas and
        Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49, 486 (2021).
        """
        errors, deviations = self.field(name).left_out()
        n = len(errors)
        if n < ENOUGH:
            return 1.0
        missed = np.sort(np.abs(errors / deviations))[min(n - 1, ceil(0.95 * (n + 1)) - 1)]
        return float(np.clip(missed / IN_95_PERCENT, *STRETCH))

    def expected_score(self, objective: Objective, rows: Array) -> Array:
        """Return the expected score of *objective* at *rows*, in its unit, without noise, shape (n,)."""
        scored, weights = self._scores(objective, rows)
        return scored @ weights

    def score_of_mean(self, objective: Objective, rows: Array) -> Array:
        """Return the score at *rows* if the model's mean, on its own scale, were the truth, shape (n,)."""
        means, _ = self.latent(rows)
        number = self.names.index(objective.outcome)
        return scores(objective, self.fits[objective.outcome].warp.backward(means[:, number]))

    def expected_improvement(self, objective: Objective, rows: Array, best: float) -> Array:
        """Return by how much the score at *rows* is expected to exceed *best*, in the objective's unit, shape (n,)."""
        scored, weights = self._scores(objective, rows)
        return np.maximum(scored - best, 0.0) @ weights

    def _scores(self, objective: Objective, rows: Array) -> tuple[Array, Array]:
        """Return scores at quantiles of the latent outcome, shape (n, quantiles), and the quantiles' weights."""
        means, deviations = self.latent(rows)
        number = self.names.index(objective.outcome)
        nodes, weights = normal_nodes()
        latent = means[:, number, None] + deviations[:, number, None] * nodes
        values = self.fits[objective.outcome].warp.backward(latent)
        return scores(objective, values), weights

    def chance_to_keep(self, constraints: Sequence[OutcomeConstraint], rows: Array) -> Array:
        """Return the probability that all *constraints* are kept at *rows*, shape (n,)."""
        means, deviations = self.latent(rows)
        chance = np.ones(len(rows))
        for limit in constraints:
            number = self.names.index(limit.outcome)
            bounds = [-np.inf if limit.lower is None else limit.lower, np.inf if limit.upper is None else limit.upper]
            levels = self.fits[limit.outcome].warp.forward(np.array(bounds))
            below = [(level - means[:, number]) / deviations[:, number] for level in levels]
            chance *= np.maximum(_normal_probability(below[1]) - _normal_probability(below[0]), 0.0)
        return chance


def _normal_probability(values: Array) -> Array:
    probability: Array = torch.special.ndtr(to_tensor(values)).numpy()
    return probability
