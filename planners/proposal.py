"""From history to suggestion with Gaussian processes: fit, choose by acquisition, explain.

Numerical failure is met in steps. A matrix that cannot be factorised gets more and more jitter. Where that does not
help, or numbers overflow, the model is replaced by one with assumed hyper-parameters on a linear scale. Where that
fails too, the suggestion fills the space, and its note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdl.campaign.planner import History, Suggestion
from sdl.errors import PlannerError
from sdl.journal.records import Decision, ParameterValue, Prediction, RunnerUp
from sdl.planners.acquisition import Evidence, acquisition_for
from sdl.planners.domain import Domain
from sdl.planners.encoding import Array, Encoding
from sdl.planners.goals import pareto_mask
from sdl.planners.maximise import Ranked, Ranking, RowFunction, maximise
from sdl.planners.outcome import OutcomeData, OutcomeFit, fit_outcome, plain_outcome
from sdl.planners.space_filling import placed, spread_points, tried_rows
from sdl.planners.surrogate import NUMERICAL_ERRORS, Surrogate, calm
from sdl.planners.warp import Scale
from sdl.problem import Problem

N_CENTRES = 5
"""Near so many of the best trials the search looks more closely."""

FitOutcome = Callable[[OutcomeData, Encoding], OutcomeFit]

LADDER: tuple[tuple[FitOutcome, str], ...] = (
    (fit_outcome, ""),
    (plain_outcome, "The model could not be fitted to these numbers; lengthscales were assumed."),
)
"""The models that are tried one after the other, and what the note says of each."""


@dataclass(frozen=True)
class Request:
    """One question to the Bayesian planner, in coordinates.

    Parameters
    ----------
    problem, history, domain
        What is asked, what is known, what may be chosen.
    known
        The trials' rows, by state.
    avoid
        Rows that may not be proposed again.
    seed
        The source of chance.
    """

    problem: Problem
    history: History
    domain: Domain
    known: Evidence
    avoid: Array
    seed: int

    @classmethod
    def of(cls, problem: Problem, history: History, domain: Domain, seed: int) -> Request:
        """Gather what *history* says."""
        rows = domain.encoding.encode
        complete = [
            e for e in placed(domain, history.completed) if e.observation and _is_whole(problem, e.observation.outcomes)
        ]
        known = Evidence(
            observed=rows([entry.values for entry in complete]),
            feasible=np.array(
                [problem.is_feasible(e.observation.outcomes) for e in complete if e.observation], dtype=bool
            ),
            pending=rows([entry.values for entry in placed(domain, history.pending)]),
            failed=rows([entry.values for entry in placed(domain, history.failed)]),
        )
        return cls(problem, history, domain, known, tried_rows(domain, history), seed)

    def with_pending(self, row: Array) -> Request:
        """Return the request for the next point of a batch, after *row* was chosen."""
        known = replace(self.known, pending=np.vstack([self.known.pending, row]))
        return replace(self, known=known, avoid=np.vstack([self.avoid, row]))

    @property
    def can_be_modelled(self) -> bool:
        """Whether at least two different points were measured."""
        return len(np.unique(self.known.observed, axis=0)) >= 2

    def fit(self, fit_one: FitOutcome) -> Surrogate:
        """Fit a Gaussian process to every outcome."""
        return fit_surrogate(self.problem, self.history, self.domain.encoding, fit_one)


def fit_surrogate(problem: Problem, history: History, encoding: Encoding, fit_one: FitOutcome) -> Surrogate:
    """Fit a Gaussian process to every outcome that *problem* names."""
    entries = [entry for entry in history.completed if encoding.can_encode(entry.values)]
    return Surrogate({name: fit_one(OutcomeData.of(encoding, entries, name), encoding) for name in problem.outcomes})


def propose(request: Request, n: int, decision: Decision) -> list[Suggestion]:
    """Return up to *n* suggestions, one by one, each knowing of those before it; *decision* is filled in for each."""
    with calm(request.seed):
        reason = ""
        for fit_one, note in LADDER:
            try:
                return _propose_with(request.fit(fit_one), request, n, _noted(decision, note))
            except NUMERICAL_ERRORS as error:
                reason = f"{type(error).__name__}: {error}"
    points = spread_points(request.domain, request.avoid, n, np.random.default_rng(request.seed))
    note = f"Chosen far from all other points, because no model could be computed ({reason})."
    return [Suggestion(values=point, decision=_noted(decision, note)) for point in points]


def predict(
    problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
) -> list[dict[str, Prediction]]:
    """Return a prediction of every outcome at each of *points*.

    Raises
    ------
    PlannerError
        An outcome was never measured, or no model can be computed.
    """
    encoding = Encoding(problem.space)
    reason = ""
    with calm(0):
        for fit_one, _ in LADDER:
            try:
                return fit_surrogate(problem, history, encoding, fit_one).predict(encoding.encode(points))
            except NUMERICAL_ERRORS as error:
                reason = f"{type(error).__name__}: {error}"
    raise PlannerError(f"the history cannot be modelled ({reason})", hint="look for outcomes of absurd size")


def _propose_with(surrogate: Surrogate, request: Request, n: int, decision: Decision) -> list[Suggestion]:
    suggestions: list[Suggestion] = []
    for number in range(n):
        acquisition = acquisition_for(request.problem, surrogate, request.known, seed=request.seed + number)
        rng = np.random.default_rng([request.seed, number])
        centres = _best_rows(surrogate, request)
        ranking = maximise(acquisition, request.domain, request.avoid, centres, rng)
        if not ranking.best:
            break
        filled = _explained(decision, surrogate, request, acquisition, ranking)
        suggestions.append(Suggestion(values=ranking.best[0].point, decision=filled))
        request = request.with_pending(ranking.best[0].row)
    return suggestions


def _best_rows(surrogate: Surrogate, request: Request) -> Array:
    """Return the rows of the best trials by the model's expectation; of several objectives, of the front."""
    known = request.known
    rows = known.observed[known.feasible] if known.feasible.any() else known.observed
    scores = np.stack([surrogate.expected_score(o, rows) for o in request.problem.objectives], axis=1)
    if scores.shape[1] > 1:
        return rows[pareto_mask(scores)]
    return rows[np.argsort(-scores[:, 0], kind="stable")[:N_CENTRES]]


# --- explaining -------------------------------------------------------------------------------------------------------


def _explained(
    decision: Decision, surrogate: Surrogate, request: Request, acquisition: RowFunction, ranking: Ranking
) -> Decision:
    rows = np.array([ranked.row for ranked in ranking.best])
    predicted = surrogate.predict(rows)
    sentence = _sentence(surrogate, request, predicted[0], acquisition.name)
    return _noted(decision, f"{sentence} {ranking.note}".strip()).replace(
        predicted=predicted[0],
        acquisition=ranking.best[0].value,
        acquisition_name=acquisition.name,
        expected_improvement=_expected_improvement(surrogate, request, rows[:1]),
        runners_up=tuple(_runner_up(*pair) for pair in zip(ranking.best[1:], predicted[1:], strict=True)),
    )


def _runner_up(ranked: Ranked, predicted: Mapping[str, Prediction]) -> RunnerUp:
    return RunnerUp(values=ranked.point, acquisition=ranked.value, predicted=predicted)


def _expected_improvement(surrogate: Surrogate, request: Request, rows: Array) -> float | None:
    """Return what the first objective can be expected to gain over the best feasible trial, which the model judges."""
    if not request.known.feasible.any():
        return None
    objective = request.problem.objectives[0]
    best = float(surrogate.expected_score(objective, request.known.observed[request.known.feasible]).max())
    chance = surrogate.chance_to_keep(request.problem.outcome_constraints, rows)
    return float((surrogate.expected_improvement(objective, rows, best) * chance)[0])


def _sentence(surrogate: Surrogate, request: Request, predicted: Mapping[str, Prediction], acquisition: str) -> str:
    """Say in words what is expected and by which model."""
    outcomes = ", ".join(_expected(name, unit, predicted[name]) for name, unit in request.problem.outcomes.items())
    bent = [f"{name} {fit.warp.scale}" for name, fit in surrogate.fits.items() if fit.warp.scale is not Scale.LINEAR]
    scales = f" ({', '.join(bent)})" if bent else ""
    n = len(request.known.observed)
    return f"Expected {outcomes}; greatest {acquisition} of Gaussian processes on {n} observations{scales}."


def _expected(name: str, unit: str | None, prediction: Prediction) -> str:
    value = f"{name} {prediction.mean:.4g} ± {prediction.standard_deviation:.2g}"
    return f"{value} {unit}" if unit else value


def _noted(decision: Decision, note: str) -> Decision:
    return decision.replace(note=f"{decision.note} {note}".strip()) if note else decision


def _is_whole(problem: Problem, outcomes: Mapping[str, object]) -> bool:
    return all(name in outcomes for name in problem.outcomes)
