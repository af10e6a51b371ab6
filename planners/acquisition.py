# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""How much a point is worth to measure: which acquisition function a problem gets, and access to BoTorch's in NumPy.

* One objective to minimise or maximise: log (noisy) expected improvement in closed form, with pending points and
  outcome constraints (:mod:`sdl.planners.improvement`); while nothing measured keeps the constraints, the chance to
  keep them.
* A target: BoTorch's log noisy expected improvement by quasi-Monte-Carlo.
* Several objectives: BoTorch's log noisy expected hypervolume improvement. Source: Daulton, Balandat and Bakshy,
  "Parallel Bayesian optimization of multiple noisy objectives with expected hypervolume improvement" (NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.utils import get_default_partitioning_alpha
from botorch.acquisition.objective import GenericMCObjective
from botorch.generation.gen import gen_candidates_scipy
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from sdl.planners.domain import LinearForm, Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field
from sdl.planners.gaussian_process import to_tensor
from sdl.planners.goals import reference_point, score_with, scores
from sdl.planners.improvement import BY_FAILURE, BY_SUCCESS, Gain, Improvement, Limit
from sdl.planners.maximise import RowFunction
from sdl.planners.numerics import normal_draws
from sdl.planners.surrogate import Surrogate
from sdl.problem import Objective, OutcomeConstraint, Problem, Target

LITTLE_NOISE = 0.01
"""Noise variance, in units of the outcome's, below which the analytic expected improvement is exact enough."""

N_DRAWS = 64
"""Draws of what noise and pending trials leave open."""

N_SAMPLES = 128
"""Quasi-Monte-Carlo samples of the posterior."""

N_FRONTS = {2: 64}
N_FRONTS_OF_MANY = 16
"""The same for the hypervolume, by the number of objectives: each sample has its own front to be cut into boxes."""

CHUNK = 256
"""Rows that are evaluated at a time."""

PRECISION = 1e10
"""A climb ends when a step gains less than this many rounding errors, relatively: about 2e-6."""

UNREACHABLE = -30.0
"""A limit that a scale cannot hold (a resistance below zero), in standard deviations."""


@dataclass(frozen=True)
class Evidence:
    """What a request knows besides the model.

    Parameters
    ----------
    observed
        Rows of the completed trials, shape (n, columns).
    feasible
        Which of them keep the outcome constraints as measured.
    pending
        Rows of trials whose outcome is awaited, shape (m, columns).
    failed
        Rows of failed trials, shape (k, columns).
    """

    observed: Array
    feasible: Mask
    pending: Array
    failed: Array


class Acquisition:
    """An acquisition function on rows of coordinates.

    Parameters
    ----------
    function
        Larger is better; log-valued.
    name
        What decision records call it.
    is_costly
        Whether a value takes several times longer than the usual.
    """

    def __init__(self, function: AcquisitionFunction, name: str, *, is_costly: bool = False) -> None:
        self.name = name
        self.is_costly = is_costly
        self.max_candidates = 2_500 if is_costly else 10_000
        self._function = function

    def values(self, rows: Array) -> Array:
        """Return the value at each row, shape (n,); minus infinity where it is not a number."""
        found = [np.zeros(0)]
        with torch.no_grad():
            chunks = (rows[start : start + CHUNK, None, :] for start in range(0, len(rows), CHUNK))
            found += [self._function(to_tensor(chunk)).numpy() for chunk in chunks]
        return np.nan_to_num(np.concatenate(found), nan=-np.inf, posinf=-np.inf)

    def climb(self, starts: Array, movable: Mask, forms: Sequence[LinearForm], max_iterations: int) -> Array:
        """Return where a gradient search in the *movable* columns leads from each of *starts*, shape (n, columns)."""
        held = {int(column): to_tensor(starts[:, column]) for column in np.flatnonzero(~movable)}
        inequalities, equalities = _constraints(forms)
        options: dict[str, float] = {"maxiter": max_iterations}
        options |= {"max_optimization_problem_aggregation_size": 1} if forms else {"factr": PRECISION}
        found, _ = gen_candidates_scipy(
            to_tensor(starts[:, None, :]),
            self._function,
            lower_bounds=torch.zeros(starts.shape[1], dtype=torch.double),
            upper_bounds=torch.ones(starts.shape[1], dtype=torch.double),
            inequality_constraints=inequalities or None,
            equality_constraints=equalities or None,
            options=options,
            fixed_features=held or None,
        )
        climbed: Array = found[:, 0, :].detach().numpy()
        return climbed


def acquisition_for(problem: Problem, surrogate: Surrogate, known: Evidence, *, seed: int) -> RowFunction:
    """Return the acquisition function that fits *problem* and what is *known*."""
    is_lost = bool(problem.outcome_constraints) and not known.feasible.any()
    if is_lost or (len(problem.objectives) == 1 and not isinstance(problem.objectives[0], Target)):
        return _improvement(problem, surrogate, known, seed, is_lost=is_lost)
    function, name = _by_samples(problem, surrogate, known, seed)
    is_costly = isinstance(function, qLogNoisyExpectedHypervolumeImprovement)
    if len(known.failed):
        function, name = SuccessWeighted(function, known), f"{name} with chance of success"
    return Acquisition(function, name, is_costly=is_costly)


@dataclass(frozen=True)
class _Scene:
    """What the closed forms are made of.

    Parameters
    ----------
    places
        Rows of past trials; of pending ones too, where their outcomes are drawn.
    drawn
        The outcomes drawn there, shape (places, draws), standardised; empty where there is nothing to draw.
    fields
        The model of each outcome, given its draws.
    """

    places: Array
    drawn: Mapping[str, Array]
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, surrogate: Surrogate, names: Sequence[str], known: Evidence, seed: int) -> _Scene:
        """Draw what noise and pending trials leave open, where it matters."""
        fits = {name: surrogate.fits[name] for name in names}
        if not len(known.pending) and all(float(fit.noise.max()) <= LITTLE_NOISE for fit in fits.values()):
            return cls(known.observed, {}, {name: surrogate.field(name) for name in fits})
        places = np.unique(np.vstack([known.observed, known.pending]), axis=0)
        parts = np.split(normal_draws(len(fits) * len(places), N_DRAWS, seed), len(fits))
        drawn = {name: surrogate.field(name).draw(places, part) for name, part in zip(fits, parts, strict=True)}
        return cls(places, drawn, {name: Field(fit, places, drawn[name]) for name, fit in fits.items()})

    def values(self, name: str) -> Array:
        """Return the outcome *name* at the places: in every draw, or else as the model expects it."""
        return self.drawn[name] if self.drawn else self.fields[name].at(self.places).mean


def _improvement(problem: Problem, surrogate: Surrogate, known: Evidence, seed: int, *, is_lost: bool) -> Improvement:
    """Return what has a closed form: the expected improvement of one objective, or the chance to keep all limits."""
    objective = problem.objectives[0]
    limited = [(c.outcome, *_bounds(c, surrogate)) for c in problem.outcome_constraints]
    names = dict.fromkeys([name for name, *_ in limited] + ([] if is_lost else [objective.outcome]))
    scene = _Scene.of(surrogate, list(names), known, seed)
    limits = [Limit(scene.fields[name], lower, upper) for name, lower, upper in limited]
    if is_lost:
        return Improvement("log probability of feasibility", None, limits, known.observed, known.failed)
    sign = float(scores(objective, np.ones(1))[0])
    bests = _bests(sign * scene.values(objective.outcome), scene, limited, known)
    gain = Gain(scene.fields[objective.outcome], sign, bests)
    return Improvement("LogNEI" if scene.drawn else "LogEI", gain, limits, known.observed, known.failed)


def _bests(values: Array, scene: _Scene, limited: Sequence[tuple[str, float, float]], known: Evidence) -> Array:
    """Return the best of the allowed *values* in every draw; the worst of all where none is allowed."""
    allowed = np.ones(values.shape, dtype=bool)
    if not scene.drawn:
        allowed &= known.feasible[:, None]
    for name, lower, upper in limited if scene.drawn else ():
        allowed &= (scene.drawn[name] >= lower) & (scene.drawn[name] <= upper)
    return np.asarray(np.where(allowed, values, values.min(axis=0)).max(axis=0))


def _by_samples(problem: Problem, surrogate: Surrogate, known: Evidence, seed: int) -> tuple[AcquisitionFunction, str]:
    if len(problem.objectives) > 1:
        return _hypervolume_improvement(problem, surrogate, known, seed), "qLogNEHVI"
    return _noisy_expected_improvement(problem, surrogate, known, seed), "qLogNEI"


def _noisy_expected_improvement(
    problem: Problem, surrogate: Surrogate, known: Evidence, seed: int
) -> AcquisitionFunction:
    score = _scorer(problem.objectives[0], surrogate, is_bent=True)

    def objective(samples: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: N803, ARG001 # BoTorch's signature
        return score(samples)

    return qLogNoisyExpectedImprovement(
        surrogate.model,
        X_baseline=to_tensor(known.observed),
        sampler=_sampler(seed),
        objective=GenericMCObjective(objective),
        X_pending=_pending(known),
        constraints=_outcome_limits(problem, surrogate) or None,
        prune_baseline=True,
    )


def _hypervolume_improvement(problem: Problem, surrogate: Surrogate, known: Evidence, seed: int) -> AcquisitionFunction:
    """Return the hypervolume improvement of scores in the outcomes' own units, each divided by its range."""
    means = np.stack([surrogate.expected_score(o, known.observed) for o in problem.objectives], axis=1)
    widths = np.array([_size(surrogate, o) for o in problem.objectives])
    references = [None if o.reference is None else o.score(o.reference) for o in problem.objectives]
    reference = reference_point(references, means[known.feasible])
    scorers = [_scorer(o, surrogate, is_bent=False) for o in problem.objectives]

    def objective(samples: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: N803, ARG001 # BoTorch's signature
        scored = [score(samples) / width for score, width in zip(scorers, widths, strict=True)]
        return torch.stack(scored, dim=-1)

    return qLogNoisyExpectedHypervolumeImprovement(
        surrogate.model,
        ref_point=to_tensor(reference / widths),
        X_baseline=to_tensor(known.observed),
        sampler=_sampler(seed, N_FRONTS.get(len(scorers), N_FRONTS_OF_MANY)),
        objective=GenericMCMultiOutputObjective(objective),
        X_pending=_pending(known),
        constraints=_outcome_limits(problem, surrogate) or None,
        prune_baseline=True,
        alpha=get_default_partitioning_alpha(len(scorers)),
    )


def _sampler(seed: int, n: int = N_SAMPLES) -> SobolQMCNormalSampler:
    return SobolQMCNormalSampler(torch.Size([n]), seed=seed)


def _pending(known: Evidence) -> Tensor | None:
    return to_tensor(known.pending) if len(known.pending) else None


Scorer = Callable[[Tensor], Tensor]
"""Maps posterior samples, shape (..., outcomes), to scores, shape (...)."""


def _scorer(objective: Objective, surrogate: Surrogate, *, is_bent: bool) -> Scorer:
    """Return how samples are scored: on the model's own scale if *is_bent* and the goal is an end of it, else in units.

    Improvement on a logarithmic scale is improvement by a factor. For one objective that is the better aim, because
    it does not bet on rare great outcomes; hypervolumes and distances to a target are the user's, in his units.
    """
    number = surrogate.names.index(objective.outcome)
    warp = surrogate.fits[objective.outcome].warp
    if is_bent and not isinstance(objective, Target):
        return lambda samples: score_with(torch, objective, samples[..., number])
    size = 1.0 if not isinstance(objective, Target) or not is_bent else _size(surrogate, objective)
    return lambda samples: score_with(torch, objective, warp.backward_with(torch, samples[..., number])) / size


def _size(surrogate: Surrogate, objective: Objective) -> float:
    """Return the spread of an outcome's measured values in its unit, 1 where they are equal but for rounding."""
    fit = surrogate.fits[objective.outcome]
    measured = fit.warp.backward(fit.data.targets)
    deviation = float(measured.std())
    return deviation if deviation > 1e-9 * float(np.abs(measured).max()) else 1.0


def _outcome_limits(problem: Problem, surrogate: Surrogate) -> list[Scorer]:
    """Return functions of posterior samples that are negative where a limit is kept."""
    limits: list[Scorer] = []
    for constraint in problem.outcome_constraints:
        limits += _limits_of(constraint, surrogate)
    return limits


def _limits_of(constraint: OutcomeConstraint, surrogate: Surrogate) -> list[Scorer]:
    number = surrogate.names.index(constraint.outcome)
    lower, upper = _bounds(constraint, surrogate)
    limits: list[Scorer] = []
    if constraint.lower is not None:
        limits.append(lambda samples: lower - samples[..., number])
    if constraint.upper is not None:
        limits.append(lambda samples: samples[..., number] - upper)
    return limits


def _bounds(constraint: OutcomeConstraint, surrogate: Surrogate) -> tuple[float, float]:
    """Return the limits of an outcome on the model's scale; infinite where there is none."""
    warp = surrogate.fits[constraint.outcome].warp
    lower, upper = -np.inf, np.inf
    if constraint.lower is not None:
        lower = max(float(warp.forward(np.array([constraint.lower]))[0]), UNREACHABLE)
    if constraint.upper is not None:
        upper = max(float(warp.forward(np.array([constraint.upper]))[0]), UNREACHABLE)
    return lower, upper


class SuccessWeighted(AcquisitionFunction):
    """Adds the log of the chance that a trial succeeds; see :func:`sdl.planners.improvement.log_success`."""

    def __init__(self, base: AcquisitionFunction, known: Evidence) -> None:
        super().__init__(model=base.model)
        self._base = base
        self._completed = to_tensor(known.observed)
        self._failed = to_tensor(known.failed)

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803 # BoTorch's signature
        """Return the weighted acquisition value of *X*, shape (batch, 1, columns), shape (batch,)."""
        good, bad = self._near(X, self._completed), self._near(X, self._failed)
        weighted: Tensor = self._base(X) - torch.nn.functional.softplus(BY_FAILURE * bad - BY_SUCCESS * good)
        return weighted

    @staticmethod
    def _near(X: Tensor, rows: Tensor) -> Tensor:  # noqa: N803 # BoTorch's signature
        squared = ((X - rows) ** 2).sum(dim=-1)
        return torch.exp(-0.5 * squared / (0.01 * X.shape[-1])).sum(dim=-1)


def _constraints(
    forms: Sequence[LinearForm],
) -> tuple[list[tuple[Tensor, Tensor, float]], list[tuple[Tensor, Tensor, float]]]:
    """Return BoTorch's inequality and equality constraints: ``coefficients @ x >= bound`` and ``= bound``."""
    inequalities: list[tuple[Tensor, Tensor, float]] = []
    equalities: list[tuple[Tensor, Tensor, float]] = []
    for form in forms:
        columns, coefficients = torch.tensor(form.columns), to_tensor(form.coefficients)
        if form.lower == form.upper:
            equalities.append((columns, coefficients, form.lower))
            continue
        if np.isfinite(form.lower):
            inequalities.append((columns, coefficients, form.lower))
        if np.isfinite(form.upper):
            inequalities.append((columns, -coefficients, -form.upper))
    return inequalities, equalities
