"""What exploring planners learn from a history, and the suggestions that follow.

Numerical failure is met as in :mod:`sdl.planners.proposal`: assumed hyper-parameters, then points far from all others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdl.campaign.planner import History, Suggestion
from sdl.errors import PlannerError
from sdl.journal.records import Decision, ParameterValue, RunnerUp
from sdl.planners.criteria import (
    N_REFERENCES,
    Belief,
    Border,
    Criterion,
    borders_of,
    doubt_reduction,
    stein_novelty,
    variance_reduction,
)
from sdl.planners.domain import Domain
from sdl.planners.encoding import Array, Encoding
from sdl.planners.explaining import influences, summaries, warnings_of
from sdl.planners.maximise import Ranking, maximise
from sdl.planners.numerics import normal_cdf, normal_draws
from sdl.planners.outcome import OutcomeData
from sdl.planners.proposal import LADDER, FitOutcome, Request, model_of, noted
from sdl.planners.space_filling import spread_points
from sdl.planners.surrogate import NUMERICAL_ERRORS, Surrogate, single_threaded
from sdl.problem import Problem

Limits = Mapping[str, tuple[float, float]]
"""Lower and upper limit of outcomes, in their units; infinite where there is none."""

Points = Sequence[Mapping[str, ParameterValue]]

MAX_CLASSES = 12
"""So many of the most frequent classes are modelled."""

N_DRAWS = 8
"""Draws of what a point may give, for Stein novelty."""


class Learned(ABC):
    """What was learned: it says what would teach most, and why."""

    name: str

    @abstractmethod
    def worth(self, pending: Array, references: Array) -> Callable[[Array], Array]:
        """Return how much a measurement at rows teaches, given that trials at *pending* will be measured."""

    @abstractmethod
    def explained(self, decision: Decision, ranking: Ranking) -> Decision:
        """Fill in why the best of *ranking* was chosen."""


Learn = Callable[[Request, FitOutcome], Learned]


def propose(request: Request, n: int, decision: Decision, learn: Learn) -> list[Suggestion]:
    """Return up to *n* suggestions, one by one, each knowing of those before it; *decision* is filled in for each."""
    with single_threaded():
        reason = ""
        for fit_one, note in LADDER:
            try:
                return _choose(learn(request, fit_one), request, n, noted(decision, note))
            except NUMERICAL_ERRORS as error:
                reason = f"{type(error).__name__}: {error}"
    points = spread_points(request.domain, request.avoid, n, np.random.default_rng(request.seed))
    note = f"Chosen far from all other points, because no model could be computed ({reason})."
    return [Suggestion(values=point, decision=noted(decision, note)) for point in points]


def _choose(learned: Learned, request: Request, n: int, decision: Decision) -> list[Suggestion]:
    suggestions: list[Suggestion] = []
    references = references_of(request.domain, np.random.default_rng([request.seed, 1]))
    nowhere = np.zeros((0, references.shape[1]))
    for number in range(n):
        worth = learned.worth(request.known.pending, references)
        criterion = Criterion(learned.name, worth, request.known.observed, request.known.failed)
        rng = np.random.default_rng([request.seed, 2, number])
        ranking = maximise(criterion, request.domain, request.avoid, nowhere, rng)
        if not ranking.best:
            break
        best = ranking.best[0]
        filled = decision.replace(acquisition=best.value, acquisition_name=criterion.name)
        suggestions.append(Suggestion(values=best.point, decision=learned.explained(filled, ranking)))
        request = request.with_pending(best.row)
    return suggestions


def references_of(domain: Domain, rng: np.random.Generator, n: int = N_REFERENCES) -> Array:
    """Return rows that stand for the whole of what may be chosen."""
    if domain.is_listable:
        nothing = np.zeros((0, domain.encoding.n_columns))
        return domain.unseen(nothing, n, rng).rows
    return domain.draw(n, rng)


# --- functions and sets -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LearnedFunction(Learned):
    """The outcomes as functions: what is sought is the greatest loss of their integrated variance."""

    request: Request
    surrogate: Surrogate
    name: str = "log integrated variance reduction"

    @classmethod
    def of(cls, request: Request, fit_one: FitOutcome) -> LearnedFunction:
        """Fit every outcome of the problem."""
        return cls(request, request.fit(fit_one))

    def worth(self, pending: Array, references: Array) -> Callable[[Array], Array]:
        """See :class:`Learned`."""
        return variance_reduction(self._beliefs(pending), references)

    def _beliefs(self, pending: Array) -> list[Belief]:
        return [Belief.of(fit, pending) for fit in self.surrogate.fits.values()]

    def explained(self, decision: Decision, ranking: Ranking) -> Decision:
        """Fill in predictions, influences, models and runners-up."""
        rows = np.array([ranked.row for ranked in ranking.best])
        predicted = self.surrogate.predict(rows)
        models = summaries(self.surrogate, self.request.problem)
        others = zip(ranking.best[1:], predicted[1:], strict=True)
        runners_up = [RunnerUp(values=r.point, acquisition=r.value, predicted=p) for r, p in others]
        return decision.replace(
            predicted=predicted[0],
            influences=influences(self.surrogate, self.request.problem.objectives[0], rows[:1]),
            models=models,
            runners_up=tuple(runners_up),
            note=" ".join(filter(None, [decision.note, self._sentence(rows), *warnings_of(models), ranking.note])),
        )

    def _sentence(self, rows: Array) -> str:  # noqa: ARG002 # what others say depends on the rows
        return "A measurement here takes away most of the doubt about the outcome over the whole space."


@dataclass(frozen=True)
class LearnedSet(LearnedFunction):
    """The set where outcomes keep limits: what is sought is the greatest loss of doubt about who belongs to it."""

    limits: Limits | None = None
    name: str = "log misclassification reduction"

    def worth(self, pending: Array, references: Array) -> Callable[[Array], Array]:
        """See :class:`Learned`."""
        borders: list[Border] = []
        for name, (lower, upper) in (self.limits or {}).items():
            borders += borders_of(Belief.of(self.surrogate.fits[name], pending), lower, upper)
        if not borders:
            raise PlannerError(
                "no limit of the set can be reached on the scale that the outcomes have shown",
                hint="look at the limits, and at the units of the outcomes",
            )
        return doubt_reduction(borders, references)

    def _sentence(self, rows: Array) -> str:
        chance = float(membership(self.surrogate, self.limits or {}, rows[:1])[0])
        return f"Belongs to the set with a chance of {chance:.0%}; a measurement here settles most of what is open."


def membership(surrogate: Surrogate, limits: Limits, rows: Array) -> Array:
    """Return the chance that the outcomes at *rows* keep all *limits*, without noise, shape (n,)."""
    means, deviations = surrogate.latent(rows)
    chance = np.ones(len(rows))
    for name, bounds in limits.items():
        number = surrogate.names.index(name)
        levels = surrogate.fits[name].warp.forward(np.array(bounds))
        below = [normal_cdf((level - means[:, number]) / deviations[:, number]) for level in levels]
        chance *= np.maximum(below[1] - below[0], 0.0)
    return chance


def memberships(problem: Problem, history: History, limits: Limits, points: Points) -> Array:
    """Return the chance that each of *points* keeps *limits*. Raises what :func:`model_of` raises."""
    with single_threaded():
        return membership(model_of(problem, history), limits, Encoding(problem.space).encode(points))


@dataclass(frozen=True)
class LearnedReach(LearnedFunction):
    """What outcomes there are: what is sought is an outcome unlike those known."""

    name: str = "log Stein novelty"

    def worth(self, pending: Array, references: Array) -> Callable[[Array], Array]:  # noqa: ARG002 # needs none
        """See :class:`Learned`."""
        surrogate, fits = self.surrogate, list(self.surrogate.fits.values())
        measured = np.stack([fit.warp.backward(fit.data.targets) for fit in fits], axis=1)
        centre, spread = measured.mean(axis=0), measured.std(axis=0)
        spread = np.where(spread > 1e-12 * np.abs(measured).max(axis=0), spread, 1.0)
        normals = normal_draws(len(fits), N_DRAWS, self.request.seed)

        def outcomes(rows: Array, draws: Array) -> Array:
            means, deviations = surrogate.latent(rows)
            columns = [
                fit.warp.backward(means[:, i] + deviations[:, i] * draws[i][:, None]) for i, fit in enumerate(fits)
            ]
            with np.errstate(over="ignore", invalid="ignore"):
                found = (np.stack(columns, axis=2) - centre) / spread
            return np.asarray(np.clip(np.nan_to_num(found), -1e6, 1e6))

        expected = outcomes(pending, np.zeros((len(fits), 1)))[0] if len(pending) else np.zeros((0, len(fits)))
        known = np.vstack([(measured - centre) / spread, expected])
        return stein_novelty(known, lambda rows: outcomes(rows, normals), _bandwidth(known))

    def _sentence(self, rows: Array) -> str:  # noqa: ARG002 # says what holds for all
        return "The outcome expected here is unlike those known."


def _bandwidth(known: Array) -> float:
    """Return how close two standardised outcomes are alike: the more are known, the closer; Scott's rule."""
    n, k = known.shape
    return float(n ** (-1.0 / (k + 4)))


# --- classes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LearnedClasses(Learned):
    """A map of classes: a Gaussian process for each, of +1 where it was found and -1 elsewhere.

    Classification by least squares, one class against the rest: Rasmussen and Williams, "Gaussian Processes for Machine
    Learning" (2006), section 6.5. What is sought is the greatest loss of doubt about where each process changes sign.
    """

    codes: tuple[float, ...]
    beliefs: tuple[Belief, ...]
    n_observed: int
    name: str = "log misclassification reduction"

    @classmethod
    def of(cls, measured: OutcomeData, encoding: Encoding, fit_one: FitOutcome) -> LearnedClasses:
        """Fit every class that was found."""
        codes, counts = np.unique(measured.values, return_counts=True)
        codes = np.sort(codes[np.argsort(-counts, kind="stable")[:MAX_CLASSES]])
        nothing = np.zeros((0, measured.rows.shape[1]))
        beliefs: list[Belief] = []
        for code in codes:
            signs = np.where(measured.values == code, 1.0, -1.0)
            fit = fit_one(OutcomeData(measured.rows, signs, np.zeros(len(signs)), measured.trials), encoding)
            beliefs.append(Belief.of(fit, nothing))
        return cls(tuple(float(code) for code in codes), tuple(beliefs), len(measured.values))

    def probabilities(self, rows: Array) -> Array:
        """Return the chance of each class at *rows*, shape (n, classes)."""
        columns: list[Array] = []
        for border in self._borders(self.beliefs):
            glance = border.belief.field.at(rows)
            columns.append(normal_cdf((glance.mean[:, 0] - border.level) / glance.deviation))
        chances = np.maximum(np.stack(columns, axis=1), 1e-12)
        return np.asarray(chances / chances.sum(axis=1, keepdims=True))

    def worth(self, pending: Array, references: Array) -> Callable[[Array], Array]:
        """See :class:`Learned`."""
        # Two classes have one border between them.
        beliefs = self.beliefs[:1] if len(self.beliefs) == 2 else self.beliefs
        return doubt_reduction(self._borders([Belief.of(b.fit, pending) for b in beliefs]), references)

    @staticmethod
    def _borders(beliefs: Sequence[Belief]) -> list[Border]:
        return [Border(belief, float(belief.fit.warp.forward(np.zeros(1))[0])) for belief in beliefs]

    def explained(self, decision: Decision, ranking: Ranking) -> Decision:
        """Fill in the likely classes and the runners-up."""
        chances = self.probabilities(ranking.best[0].row[None, :])[0]
        likely = [f"{self.codes[i]:g} ({chances[i]:.0%})" for i in np.argsort(-chances, kind="stable")[:3]]
        runners_up = tuple(RunnerUp(values=r.point, acquisition=r.value) for r in ranking.best[1:])
        sentences = [f"Class {', '.join(likely)}, by {self.n_observed} observations of {len(self.codes)} classes."]
        if len(self.codes) > max(4, self.n_observed // 2):
            sentences.append("Nearly every trial gave a class of its own: is this outcome a class?")
        note = " ".join(filter(None, [decision.note, *sentences, ranking.note]))
        return decision.replace(runners_up=runners_up, note=note)


def learn_classes(request: Request, fit_one: FitOutcome, outcome: str) -> LearnedClasses:
    """Fit the classes of *outcome*. Raises LinAlgError where only one class is known: it has no border."""
    encoding = request.domain.encoding
    entries = [entry for entry in request.history.completed if encoding.can_encode(entry.values)]
    return LearnedClasses.of(OutcomeData.of(encoding, entries, outcome), encoding, fit_one)


def class_probabilities(
    encoding: Encoding, history: History, outcome: str, points: Points
) -> tuple[tuple[float, ...], Array]:
    """Return the codes of the classes, and their chances at each of *points*, shape (points, classes)."""
    entries = [entry for entry in history.completed if encoding.can_encode(entry.values)]
    measured, reason = OutcomeData.of(encoding, entries, outcome), ""
    with single_threaded():
        for fit_one, _ in LADDER:
            try:
                learned = LearnedClasses.of(measured, encoding, fit_one)
                return learned.codes, learned.probabilities(encoding.encode(points))
            except NUMERICAL_ERRORS as error:
                reason = f"{type(error).__name__}: {error}"
    raise PlannerError(f"the classes cannot be modelled ({reason})", hint="look for repeats that contradict each other")
