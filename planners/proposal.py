"""From history to suggestion with Gaussian processes: fit, choose by acquisition, explain.

Numerical failure is met in steps. A matrix that cannot be factorised gets more and more jitter. Where that does not
help, or numbers overflow, the model is replaced by one with assumed hyper-parameters on a linear scale. Where that
fails too, the suggestion fills the space, and its note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sdl.campaign.planner import History, HistoryEntry, Suggestion
from sdl.errors import PlannerError
from sdl.journal.beliefs import ModelSummary
from sdl.journal.records import Decision, ParameterValue, Prediction
from sdl.planners.acquisition import Evidence, acquisition_for
from sdl.planners.alignment import align
from sdl.planners.assumed import NOTHING, Assumed
from sdl.planners.domain import Domain
from sdl.planners.encoding import Array, Encoding
from sdl.planners.explaining import explained, summaries
from sdl.planners.fitting import fit_outcome, plain_outcome
from sdl.planners.goals import pareto_mask
from sdl.planners.maximise import RowFunction, maximise
from sdl.planners.outcome import OutcomeData, OutcomeFit
from sdl.planners.price import Spending, at_target, priced, weighed
from sdl.planners.robust import Risk, around, measured_around, robust_improvement, told_of
from sdl.planners.space_filling import placed, spread_points, tried_rows
from sdl.planners.surrogate import NUMERICAL_ERRORS, Surrogate, single_threaded
from sdl.planners.utility import Utility, utility_improvement
from sdl.planners.warp import Wanted
from sdl.problem import Maximize, Minimize, Objective, Problem

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
    assumed
        What is assumed of outcomes, by name.
    spending
        What trials cost; None where it does not count.
    risk
        How far set-points are missed; None where they are not.
    utility
        What a person prefers; None where nobody was asked.
    """

    problem: Problem
    history: History
    domain: Domain
    known: Evidence
    avoid: Array
    seed: int
    assumed: Mapping[str, Assumed] = field(default_factory=dict[str, Assumed])
    spending: Spending | None = None
    risk: Risk | None = None
    utility: Utility | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        history: History,
        domain: Domain,
        seed: int,
        assumed: Mapping[str, Assumed] | None = None,
    ) -> Request:
        """Gather what *history* says."""
        rows = domain.encoding.encode
        complete = [e for e in placed(domain, history.completed) if e.observation and e.measures(problem.outcomes)]
        known = Evidence(
            observed=rows([entry.values for entry in complete]),
            feasible=np.array(
                [problem.is_feasible(e.observation.outcomes) for e in complete if e.observation], dtype=bool
            ),
            pending=rows([entry.values for entry in placed(domain, history.pending)]),
            failed=rows([entry.values for entry in placed(domain, history.failed)]),
        )
        return cls(problem, history, domain, known, tried_rows(domain, history), seed, assumed or {})

    def with_pending(self, row: Array) -> Request:
        """Return the request for the next point of a batch, after *row* was chosen."""
        known = replace(self.known, pending=np.vstack([self.known.pending, row]))
        return replace(self, known=known, avoid=np.vstack([self.avoid, row]))

    def paying(self, spending: Spending | None, risk: Risk | None) -> Request:
        """Return the request with what trials cost, and how far set-points are missed."""
        return replace(self, spending=spending, risk=risk)

    def fit(self, fit_one: FitOutcome) -> Surrogate:
        """Fit a Gaussian process to every outcome."""
        return fit_surrogate(self.problem, self.history, self.domain.encoding, fit_one, self.assumed)


def fit_surrogate(
    problem: Problem,
    history: History,
    encoding: Encoding,
    fit_one: FitOutcome,
    assumed: Mapping[str, Assumed],
) -> Surrogate:
    """Fit a Gaussian process to every outcome that *problem* names."""
    entries = [entry for entry in history.completed if encoding.can_encode(entry.values)]
    ends: dict[str, Wanted] = {objective.outcome: _wanted(objective) for objective in problem.objectives}
    measured = {
        name: OutcomeData.of(encoding, entries, name, ends.get(name), assumed.get(name, NOTHING))
        for name in problem.outcomes
    }
    aligned = {name: align(each, encoding) for name, each in measured.items()}
    return Surrogate({name: fit_one(each.data, encoding) for name, each in aligned.items()}, aligned)


def _wanted(objective: Objective) -> Wanted:
    match objective:
        case Minimize():
            return "low"
        case Maximize():
            return "high"
        case _:
            return None


def propose(request: Request, n: int, decision: Decision) -> list[Suggestion]:
    """Return up to *n* suggestions, one by one, each knowing of those before it; *decision* is filled in for each."""
    with single_threaded():
        reason = ""
        for fit_one, note in LADDER:
            try:
                return _propose_with(request.fit(fit_one), request, n, noted(decision, note))
            except NUMERICAL_ERRORS as error:
                reason = f"{type(error).__name__}: {error}"
    points = spread_points(request.domain, request.avoid, n, np.random.default_rng(request.seed))
    note = f"Chosen far from all other points, because no model could be computed ({reason})."
    return [Suggestion(values=point, decision=noted(decision, note)) for point in points]


def model_of(problem: Problem, history: History, assumed: Mapping[str, Assumed] | None = None) -> Surrogate:
    """Return the model of everything that *history* says. To be called, and asked, under :func:`single_threaded`.

    Raises
    ------
    PlannerError
        No model can be computed.
    """
    encoding, reason = Encoding(problem.space), ""
    for fit_one, _ in LADDER:
        try:
            surrogate = fit_surrogate(problem, history, encoding, fit_one, assumed or {})
            surrogate.predict(encoding.encode([entry.values for entry in history.completed[:1]]))
        except NUMERICAL_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return surrogate
    raise PlannerError(f"the history cannot be modelled ({reason})", hint="look for outcomes of absurd size")


def predict(
    problem: Problem,
    history: History,
    points: Sequence[Mapping[str, ParameterValue]],
    assumed: Mapping[str, Assumed] | None = None,
) -> list[dict[str, Prediction]]:
    """Return a prediction of every outcome at each of *points*. Raises what :func:`model_of` raises."""
    with single_threaded():
        return model_of(problem, history, assumed).predict(Encoding(problem.space).encode(points))


def explain(
    problem: Problem, history: History, domain: Domain, assumed: Mapping[str, Assumed] | None = None
) -> dict[str, ModelSummary]:
    """Return what the models of everything that *history* says are like, Sobol's indices included."""
    with single_threaded():
        return summaries(model_of(problem, history, assumed), problem, domain)


def _propose_with(surrogate: Surrogate, request: Request, n: int, decision: Decision) -> list[Suggestion]:
    suggestions: list[Suggestion] = []
    for number in range(n):
        known = at_target(request.known, request.domain.encoding)
        value = _value(request, surrogate, known, request.seed + number)
        acquisition = weighed(value, surrogate, request.domain.encoding, request.known.pending, request.spending)
        rng = np.random.default_rng([request.seed, number])
        centres = _best_rows(surrogate, request.problem, known)
        ranking = maximise(acquisition, request.domain, request.avoid, centres, rng)
        ranking = measured_around(acquisition, ranking, request.domain, request.avoid)
        if not ranking.best:
            break
        filled = explained(
            decision.replace(acquisition_name=acquisition.name),
            surrogate,
            request.problem,
            known.observed[known.feasible],
            ranking,
        )
        filled = told_of(request.risk, priced(filled, acquisition, ranking.best[0]))
        if request.utility is not None:
            filled = filled.replace(expected_improvement=None)  # which speaks of the first objective
        suggestions.append(Suggestion(values=ranking.best[0].point, decision=filled))
        request = request.with_pending(ranking.best[0].row)
    return suggestions


def _value(request: Request, surrogate: Surrogate, known: Evidence, seed: int) -> RowFunction:
    """Return how much a measurement is worth, what it costs left aside."""
    if request.utility is not None:
        return utility_improvement(request.utility, surrogate, known)
    if request.risk is None:
        return acquisition_for(request.problem, surrogate, known, seed=seed)
    return robust_improvement(request.problem, surrogate, request.domain.encoding, known, request.risk)


def recommended(
    problem: Problem, history: History, risk: Risk | None, assumed: Mapping[str, Assumed] | None = None
) -> HistoryEntry:
    """Return the trial that the model expects the best score of, around it where there is a *risk*.

    Raises
    ------
    PlannerError
        No trial keeps the constraints and was measured at what counts, or what :func:`model_of` raises.
    """
    encoding, objective = Encoding(problem.space), problem.objectives[0]
    entries = [
        entry
        for entry in history.completed
        if entry.trial > 0
        and entry.observation
        and encoding.can_encode(entry.values)
        and entry.measures(problem.outcomes)
        and problem.space.counts(entry.values)
        and problem.is_feasible(entry.observation.outcomes)
    ]
    if not entries:
        raise PlannerError("there is no trial to recommend", hint="run trials that keep the constraints")
    with single_threaded():
        surrogate, rows = model_of(problem, history, assumed), encoding.encode([entry.values for entry in entries])
        if risk is None:
            expected = surrogate.expected_score(objective, rows)
        else:
            expected = around(problem, surrogate, encoding, rows[:0], risk).score(rows)[0]
    return entries[int(expected.argmax())]


def _best_rows(surrogate: Surrogate, problem: Problem, known: Evidence) -> Array:
    """Return the rows of the best trials by the model's expectation; of several objectives, of the front."""
    rows = known.observed[known.feasible] if known.feasible.any() else known.observed
    scores = np.stack([surrogate.expected_score(o, rows) for o in problem.objectives], axis=1)
    if scores.shape[1] > 1:
        return rows[pareto_mask(scores)]
    return rows[np.argsort(-scores[:, 0], kind="stable")[:N_CENTRES]]


def noted(decision: Decision, note: str) -> Decision:
    """Return *decision* with *note* at the end of its own."""
    return decision.replace(note=f"{decision.note} {note}".strip()) if note else decision
