"""How much a point is worth to measure: which acquisition function a problem gets.

* One objective to minimise or maximise: log (noisy) expected improvement, with pending points and outcome
  constraints; while nothing measured keeps the constraints, the chance to keep them.
* A target: the log of how much nearer the outcome is expected to come than the best trial.
* Several objectives: log (noisy) expected hypervolume improvement (:mod:`sdl.planners.hypervolume`). What noise and
  pending trials leave open is drawn, as Daulton, Balandat and Bakshy do it in "Parallel Bayesian optimization of
  multiple noisy objectives with expected hypervolume improvement" (NeurIPS 2021).

All have a closed form given the draws (:mod:`sdl.planners.improvement`). BoTorch has the same functions; tests hold
the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdl.planners.domain import Mask
from sdl.planners.encoding import Array
from sdl.planners.field import Field
from sdl.planners.goals import reference_point, scores
from sdl.planners.hypervolume import Axis, EndAxis, Front, TargetAxis, boxes, stacked
from sdl.planners.improvement import Approach, Factor, Gain, Improvement, Limit
from sdl.planners.many import EXACT, believing
from sdl.planners.maximise import RowFunction
from sdl.planners.numerics import normal_draws
from sdl.planners.outcome import OutcomeFit
from sdl.planners.surrogate import Surrogate
from sdl.planners.warp import Warp
from sdl.problem import Objective, OutcomeConstraint, Problem, Target

LITTLE_NOISE = 0.01
"""Noise variance, in units of the outcome's, below which outcomes are where the model expects them."""

N_DRAWS = 64
"""Draws of what noise and pending trials leave open."""

N_FRONTS = 16
N_BOXES = 512
"""The same for several objectives: so many draws, or fewer where their fronts are cut into more boxes than this."""

MIN_FRONTS = 4

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
"""Of the sum over distances from a target."""

WITHIN = 1e-3
"""Where the best trial hits the target, its distance counts as this part of the spread of the outcome."""

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
    fits
        What the models are made of.
    """

    places: Array
    drawn: Mapping[str, Array]
    fields: Mapping[str, Field]
    fits: Mapping[str, OutcomeFit]

    @classmethod
    def of(cls, surrogate: Surrogate, names: Sequence[str], known: Evidence, n_draws: int, seed: int) -> _Scene:
        """Make *n_draws* draws of what noise and pending trials leave open, where it matters."""
        fits = {name: surrogate.fits[name] for name in names}
        if not len(known.pending) and all(float(fit.noise.max()) <= LITTLE_NOISE for fit in fits.values()):
            return cls(known.observed, {}, {name: surrogate.field(name) for name in fits}, fits)
        if len(known.observed) > EXACT:  # so many make certain what would be drawn
            fields = {name: believing(fit, surrogate.field(name), known.pending) for name, fit in fits.items()}
            return cls(known.observed, {}, fields, fits)
        places = np.unique(np.vstack([known.observed, known.pending]), axis=0)
        parts = np.split(normal_draws(len(fits) * len(places), n_draws, seed), len(fits))
        drawn = {name: surrogate.field(name).draw(places, part) for name, part in zip(fits, parts, strict=True)}
        return cls(places, drawn, {name: Field(fit, places, drawn[name]) for name, fit in fits.items()}, fits)

    def values(self, name: str) -> Array:
        """Return the outcome *name* at the places: in every draw, or else as the model expects it."""
        return self.drawn[name] if self.drawn else self.fields[name].at(self.places).mean

    def field(self, name: str, n: int) -> Field:
        """Return the model of the outcome *name* given the first *n* draws."""
        drawn = self.drawn.get(name)
        if drawn is None or drawn.shape[1] == n:
            return self.fields[name]
        return Field(self.fits[name], self.places, drawn[:, :n])

    def allowed(self, limited: Sequence[tuple[str, float, float]], known: Evidence) -> Mask:
        """Tell which places keep the limits, in every draw, shape (places, draws); without draws, as measured."""
        if not self.drawn:
            return known.feasible[:, None]
        shape = next(iter(self.drawn.values())).shape
        allowed = np.ones(shape, dtype=bool)
        for name, lower, upper in limited:
            allowed &= (self.drawn[name] >= lower) & (self.drawn[name] <= upper)
        return allowed


def acquisition_for(problem: Problem, surrogate: Surrogate, known: Evidence, *, seed: int) -> RowFunction:
    """Return the acquisition function that fits *problem* and what is *known*."""
    limited = [(c.outcome, *_bounds(c, surrogate)) for c in problem.outcome_constraints]
    is_lost = bool(limited) and not known.feasible.any()
    sought = [] if is_lost else [objective.outcome for objective in problem.objectives]
    names = list(dict.fromkeys([name for name, *_ in limited] + sought))
    n_draws = N_DRAWS if len(sought) < 2 else N_FRONTS
    scene = _Scene.of(surrogate, names, known, n_draws, seed)
    if is_lost:
        limits = [Limit(scene.fields[name], lower, upper) for name, lower, upper in limited]
        return Improvement("log probability of feasibility", limits, known.observed, known.failed)
    gain, called = _gain(problem, surrogate, scene, scene.allowed(limited, known), known)
    n_kept = gain.shape[0] if isinstance(gain, Front) else n_draws
    limits = [Limit(scene.field(name, n_kept), lower, upper) for name, lower, upper in limited]
    called = called.replace("Log", "LogN") if scene.drawn else called
    return Improvement(called, [gain, *limits], known.observed, known.failed)


def _gain(problem: Problem, surrogate: Surrogate, scene: _Scene, allowed: Mask, known: Evidence) -> tuple[Factor, str]:
    """Return what is to be improved, and what that is called."""
    objective = problem.objectives[0]
    if len(problem.objectives) > 1:
        return _front(problem, surrogate, scene, allowed, known), "LogEHVI"
    values = scene.values(objective.outcome)
    field, warp = scene.fields[objective.outcome], surrogate.fits[objective.outcome].warp
    if isinstance(objective, Target):
        bests = _bests(scores(objective, warp.backward(values)), allowed)
        nearest = np.minimum(bests, -WITHIN * _size(surrogate, objective))
        return _approach(objective, field, warp, nearest, np.zeros_like(nearest)), "LogEI"
    sign = _sign(objective)
    return Gain(field, sign, _bests(sign * values, allowed)), "LogEI"


def _sign(objective: Objective) -> float:
    return float(scores(objective, np.ones(1))[0])


def _bests(values: Array, allowed: Mask) -> Array:
    """Return the best of the allowed *values* in every draw; the worst of all where none is allowed."""
    return np.asarray(np.where(allowed, values, values.min(axis=0)).max(axis=0))


def _approach(objective: Target, field: Field, warp: Warp, lows: Array, highs: Array) -> Approach:
    """Return what is gained between two scores, shape (draws,): both are minus a distance."""
    halves = 0.5 * (highs - lows)[:, None]
    distances = -(0.5 * (highs + lows)[:, None] + halves * NODES)
    low, high = objective.range
    return Approach(field, warp.forward(low - distances), warp.forward(high + distances), halves * WEIGHTS)


# --- several objectives -----------------------------------------------------------------------------------------------


def _front(problem: Problem, surrogate: Surrogate, scene: _Scene, allowed: Mask, known: Evidence) -> Front:
    """Return the gain in hypervolume. An end is scored on the model's scale, a target by its distance in units."""
    floor = _floor(problem, surrogate, known)
    points = np.stack([_scored(o, surrogate, scene.values(o.outcome)) for o in problem.objectives], axis=2)
    cut: list[tuple[Array, Array]] = []
    for number in range(points.shape[1]):
        cut.append(boxes(points[allowed[:, number], number], floor))
        if number + 1 >= MIN_FRONTS and sum(len(lows) for lows, _ in cut) > N_BOXES:
            break
    n_kept = len(cut)
    lows, highs = stacked(cut)
    axes = [
        _axis(o, surrogate, scene.field(o.outcome, n_kept), lows[:, :, number], highs[:, :, number])
        for number, o in enumerate(problem.objectives)
    ]
    return Front(tuple(axes), lows.shape[:2])


def _scored(objective: Objective, surrogate: Surrogate, standardised: Array) -> Array:
    if isinstance(objective, Target):
        return scores(objective, surrogate.fits[objective.outcome].warp.backward(standardised))
    return _sign(objective) * standardised


def _axis(objective: Objective, surrogate: Surrogate, field: Field, lows: Array, highs: Array) -> Axis:
    warp = surrogate.fits[objective.outcome].warp
    if not isinstance(objective, Target):
        return EndAxis(field, _sign(objective), warp, lows, highs)
    is_box = lows < 0.0
    flat_lows, flat_highs = (np.where(is_box, edge, default).ravel() for edge, default in ((lows, -1.0), (highs, 0.0)))
    return TargetAxis(_approach(objective, field, warp, flat_lows, np.minimum(flat_highs, 0.0)), is_box)


def _floor(problem: Problem, surrogate: Surrogate, known: Evidence) -> Array:
    """Return the scores that count for nothing: the user's reference point, or one that the trials tell."""
    rows = known.observed[known.feasible]
    means = np.stack([surrogate.expected_score(o, rows) for o in problem.objectives], axis=1)
    references = [None if o.reference is None else o.score(o.reference) for o in problem.objectives]
    reference = reference_point(references, means)
    return np.array(
        [_coordinate(o, surrogate, float(score)) for o, score in zip(problem.objectives, reference, strict=True)]
    )


def _coordinate(objective: Objective, surrogate: Surrogate, score: float) -> float:
    """Return where a score lies along the axis of *objective*, but not beyond all reach."""
    if isinstance(objective, Target):
        return max(score, UNREACHABLE * _size(surrogate, objective))
    sign = _sign(objective)
    place = surrogate.fits[objective.outcome].warp.forward(np.array([sign * score]))
    return float(np.clip(sign * place[0], UNREACHABLE, -UNREACHABLE))


def _size(surrogate: Surrogate, objective: Objective) -> float:
    """Return the spread of an outcome's measured values in its unit, 1 where they are equal but for rounding."""
    fit = surrogate.fits[objective.outcome]
    measured = fit.warp.backward(fit.data.targets)
    deviation = float(measured.std())
    return deviation if deviation > 1e-9 * float(np.abs(measured).max()) else 1.0


def _bounds(constraint: OutcomeConstraint, surrogate: Surrogate) -> tuple[float, float]:
    """Return the limits of an outcome on the model's scale; infinite where there is none."""
    warp = surrogate.fits[constraint.outcome].warp
    lower, upper = -np.inf, np.inf
    if constraint.lower is not None:
        lower = max(float(warp.forward(np.array([constraint.lower]))[0]), UNREACHABLE)
    if constraint.upper is not None:
        upper = max(float(warp.forward(np.array([constraint.upper]))[0]), UNREACHABLE)
    return lower, upper
