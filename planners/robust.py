"""Goals that hold although set-points are not hit exactly.

A furnace asked for 500 degC is at 497 today and at 502 tomorrow. What a point is worth is then not its outcome but the
outcomes around it: their mean, or the mean of the worst of them (conditional value at risk). Both are taken over a
fixed sample of deviations, of which the Gaussian process knows the joint distribution. The mean over deviations is
normal, and its expected improvement exact; that of the worst part is drawn, and taken as normal. Source: Cakmak,
Astudillo, Frazier and Zhou, "Bayesian optimization of risk measures" (NeurIPS 2020).

Outcomes are averaged on the scale of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np

from sdl.errors import PlannerError
from sdl.journal.records import Decision
from sdl.planners.acquisition import Evidence
from sdl.planners.criteria import Belief, Criterion
from sdl.planners.domain import Candidates, Domain, is_near
from sdl.planners.encoding import Array, Encoding, NumberCode
from sdl.planners.goals import scores
from sdl.planners.improvement import log_improvement
from sdl.planners.maximise import Ranked, Ranking, RowFunction
from sdl.planners.numerics import normal_draws
from sdl.planners.surrogate import Surrogate
from sdl.problem import Continuous, Problem, Target

N_DEVIATIONS = 16
"""Points that stand for the spread around a set-point: eight, and their mirror images."""

N_DRAWS = 32
"""Draws of the outcomes at these points, for the worst of them."""

CHUNK = 512
"""Rows that are looked at together."""

MARGIN = 1.2
"""A point beside the best is measured in its place where it tells so many times more."""

JITTER = 1e-8

SMALLEST = 1e-9


@dataclass(frozen=True)
class Risk:
    """How far set-points are missed, and what of the outcomes counts.

    Parameters
    ----------
    spread
        Parameter to the standard deviation with which it is missed: in its unit, or relative for a logarithmic one.
    share
        The part of the outcomes that counts, the worst: 1 for all of them, 0.1 for the worst tenth.
    """

    spread: Mapping[str, float]
    share: float

    def deviations(self, encoding: Encoding, seed: int = 0) -> Array:
        """Return what is added to a row, shape (deviations, columns).

        Raises
        ------
        PlannerError
            A parameter with a spread is no continuous one.
        """
        codes = {code.name: code for code in encoding.codes if isinstance(code, NumberCode)}
        for name in self.spread:
            if not isinstance(encoding.space.parameters.get(name), Continuous):
                raise PlannerError(
                    f"missed_by names {name!r}, which is no continuous parameter",
                    hint="give one for parameters that are set and missed",
                )
        half = normal_draws(len(self.spread), N_DEVIATIONS // 2, seed)
        half *= np.sqrt(len(half[0]) / np.maximum((half**2).sum(axis=1, keepdims=True), SMALLEST))
        found = np.zeros((N_DEVIATIONS, encoding.n_columns))
        for normals, (name, deviation) in zip(half, self.spread.items(), strict=True):
            found[:, codes[name].start] = _size(codes[name], deviation) * np.concatenate([normals, -normals])
        return found


def _size(code: NumberCode, deviation: float) -> float:
    """Return a standard deviation in coordinates."""
    if code.is_log:
        return log(1.0 + deviation) / (log(code.high) - log(code.low))
    return deviation / (code.high - code.low)


class Around:
    """What is expected of the outcomes around rows: mean and deviation of the score that counts.

    Parameters
    ----------
    belief
        The model of the outcome, pending trials taken into account.
    sign
        1 where more is better, else -1.
    deviations
        What is added to a row, shape (k, columns).
    share
        The part of the outcomes that counts.
    """

    def __init__(self, belief: Belief, sign: float, deviations: Array, share: float) -> None:
        self._belief, self._sign, self._deviations = belief, sign, deviations
        self._n_worst = max(1, round(share * len(deviations)))
        self._normals = normal_draws(len(deviations), N_DRAWS, 0)
        spots = belief.field.kernel.spots(deviations)
        self._prior = belief.field.kernel.between(spots, spots)

    def score(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and deviation at *rows*, both of shape (n,)."""
        found = [(np.zeros(0), np.zeros(0))]
        found += [self._score(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        means, deviations = zip(*found, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def _score(self, rows: Array) -> tuple[Array, Array]:
        n, k = len(rows), len(self._deviations)
        around = (rows[:, None, :] + self._deviations[None, :, :]).reshape(n * k, -1)
        glance = self._belief.field.at(around)
        means = self._sign * glance.mean[:, 0].reshape(n, k)
        whitened = glance.whitened.reshape(n, k, -1)
        covariances = self._prior[None, :, :] - whitened @ whitened.transpose(0, 2, 1)
        if self._n_worst == k:
            variances = covariances.mean(axis=(1, 2))
            return means.mean(axis=1), np.sqrt(np.maximum(variances, SMALLEST**2))
        return self._worst(means, covariances)

    def teaching(self, row: Array) -> tuple[Array, Array]:
        """Return *row* and the rows around it, and how much a measurement at each tells of the mean around *row*.

        Rows of shape (1 + k, columns); the variance of the mean that each takes away, shape (1 + k,).
        """
        rows = np.clip(np.vstack([row, row + self._deviations]), 0.0, 1.0)
        glance = self._belief.field.at(rows)
        covariances = self._belief.field.covariance(glance, glance)
        with_mean = covariances[:, 1:].mean(axis=1)
        return rows, np.asarray(with_mean**2 / (glance.deviation**2 + self._belief.fit.next_noise))

    def _worst(self, means: Array, covariances: Array) -> tuple[Array, Array]:
        """Return mean and deviation of the mean of the worst scores, over draws."""
        values, vectors = np.linalg.eigh(covariances + JITTER * np.eye(covariances.shape[1]))
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        drawn = means[:, :, None] + roots @ self._normals
        worst = np.sort(drawn, axis=1)[:, : self._n_worst].mean(axis=1)
        return worst.mean(axis=1), np.maximum(worst.std(axis=1), SMALLEST)


def around(problem: Problem, surrogate: Surrogate, encoding: Encoding, pending: Array, risk: Risk) -> Around:
    """Return what is expected around rows for the objective of *problem*.

    Raises
    ------
    PlannerError
        There are several objectives, or a target.
    """
    objective = problem.objectives[0]
    if len(problem.objectives) > 1 or isinstance(objective, Target):
        raise PlannerError(
            "a spread of set-points is taken into account for one objective to minimise or maximise only",
            hint="leave missed_by= away, or state one such objective and constraints",
        )
    belief = Belief.of(surrogate.fits[objective.outcome], pending)
    sign = float(scores(objective, np.ones(1))[0])
    return Around(belief, sign, risk.deviations(encoding), risk.share)


def robust_improvement(
    problem: Problem, surrogate: Surrogate, encoding: Encoding, known: Evidence, risk: Risk
) -> RobustImprovement:
    """Return the expected improvement of what counts around a point, on that around the best trial."""
    expected = around(problem, surrogate, encoding, known.pending, risk)
    allowed = known.observed[known.feasible] if known.feasible.any() else known.observed
    best = float(expected.score(allowed)[0].max())

    def worth(rows: Array) -> Array:
        means, deviations = expected.score(rows)
        gains = deviations * np.exp(log_improvement((means - best) / deviations))
        return np.asarray(gains * surrogate.chance_to_keep(problem.outcome_constraints, rows))

    return RobustImprovement(expected, worth, known)


class RobustImprovement(Criterion):
    """The expected improvement of what counts around a point.

    Parameters
    ----------
    expected
        What is expected around rows.
    worth, known
        The improvement, and what it is judged by.
    """

    def __init__(self, expected: Around, worth: Callable[[Array], Array], known: Evidence) -> None:
        super().__init__("log robust EI", worth, known.observed, known.failed)
        self.expected = expected


def measured_around(acquisition: RowFunction, ranking: Ranking, domain: Domain, avoid: Array) -> Ranking:
    """Return *ranking* with the best point replaced by the one around it whose measurement tells most of it.

    A measurement at the point itself does not tell how outcomes are where it is missed; Cakmak et al. choose the
    deviation to be measured with the point, too.
    """
    if not isinstance(acquisition, RobustImprovement) or not ranking.best or domain.is_listable:
        return ranking
    best = ranking.best[0]
    rows, shares = acquisition.expected.teaching(best.row)
    rows = np.where(domain.smooth, rows, best.row)
    for number in np.argsort(-shares, kind="stable"):
        if shares[number] <= MARGIN * shares[0]:
            break
        point = domain.point(Candidates(rows[number : number + 1]), 0)
        if point is not None and domain.holds(rows[number : number + 1])[0] and not is_near(rows[number], avoid):
            return Ranking([Ranked(rows[number], point, best.value), *ranking.best], ranking.note)
    return ranking


def told_of(risk: Risk | None, decision: Decision) -> Decision:
    """Return *decision* with what was looked at; the improvement at the point itself was not."""
    if risk is None:
        return decision
    counts = "the mean" if risk.share == 1.0 else f"the worst {risk.share:.0%}"
    note = f"{decision.note} Chosen for {counts} of the outcomes where {', '.join(risk.spread)} are missed."
    return decision.replace(expected_improvement=None, exploration=None, note=note)
