"""The planner that listens to an adviser: a language model's candidates among those of the Bayesian planner."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion
from sdl.errors import PlannerError, ProblemError
from sdl.journal.beliefs import ModelSummary
from sdl.journal.records import Decision, ParameterValue, Prediction, RunnerUp
from sdl.journal.trust import Role
from sdl.planners.adviser import Adviser, Candidate, plain, score
from sdl.planners.bayesian import BayesianPlanner
from sdl.planners.domain import Domain
from sdl.planners.first_points import named_points
from sdl.planners.framing import Question, with_pending
from sdl.planners.space_filling import blank_decision
from sdl.problem import Problem
from sdl.problem.value import FrozenMap, Value

ADVISER = "adviser"
"""What decision records call whoever an advised trial comes from."""

LONGEST = 100
"""Characters of a value that an adviser writes as a text."""

ENOUGH = 3
"""Trials of the adviser before its record counts."""

MOST = 0.5
"""The part of the trials that an adviser has at most."""

TOP = 0.25
"""A trial is a hit when it is among this part of the trials that were known with it."""


@dataclass(frozen=True)
class Record:
    """How often trials of one origin were hits."""

    n_trials: int = 0
    n_hits: int = 0

    @property
    def rate(self) -> float:
        """The expected rate of hits, before anything is known 1/2: the mean of a uniform prior's posterior."""
        return (1 + self.n_hits) / (2 + self.n_trials)

    def __str__(self) -> str:
        return f"{self.n_hits} of {self.n_trials}"


class AdvisedPlanner(Value):
    """Has an adviser propose a part of the trials, and the Bayesian planner the others.

    The Bayesian planner answers every question, so that an adviser which is slow, silent or wrong stops nothing. When
    it is the adviser's turn, the first of its candidates that is a new point of the space takes the place of a
    suggestion, which becomes the runner-up. How often it has a turn follows from its *share* and from its track record:
    how many of its trials were among the best quarter of those known by then, compared with the others' trials. The
    decision keeps the adviser's reason, what was refused, and both records.

    An adviser gives other answers to the same question: asked again for a replay, it may not repeat itself. Trials
    that fill a batch with shared values, and approximations of a target, are left to the Bayesian planner.

    Parameters
    ----------
    adviser
        Who is asked.
    share
        The part of the trials that an adviser has whose record is as good as the other's. A bad record brings it down
        to a quarter of it, a good one up to a half of all trials.
    planner
        The Bayesian planner.
    """

    adviser: Adviser
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    planner: BayesianPlanner = BayesianPlanner()
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "advised"

    def check(self, problem: Problem) -> None:
        """Raise PlannerError where the planner that is advised could not plan for *problem*."""
        self.planner.check(problem)

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return *n* suggestions; fewer where the space holds no more new points."""
        usual = list(self.planner.suggest(problem, history, n, situation=situation, seed=seed))
        n_turns = min(self._turns(problem, history, n), len(usual))
        if not n_turns or situation.batch is not None or problem.space.targets:
            return usual
        try:
            candidates = self.adviser.candidates(problem, history, situation)
        except PlannerError as error:
            return [_noted(each, f"The adviser gave nothing: {plain(error.message)}.") for each in usual]
        return self._mixed(Question(problem, history, n, situation, seed), usual, candidates, n_turns)

    def predict(
        self, problem: Problem, history: History, points: Sequence[FrozenMap[ParameterValue]]
    ) -> list[dict[str, Prediction]]:
        """Return what the Bayesian planner expects at each of *points*."""
        return self.planner.predict(problem, history, points)

    def explain(self, problem: Problem, history: History) -> dict[str, ModelSummary]:
        """Return what the Bayesian planner's models are like."""
        return dict(self.planner.explain(problem, history))

    def records(self, problem: Problem, history: History) -> tuple[Record, Record]:
        """Return the track record of the adviser, and that of the others."""
        counts = {True: [0, 0], False: [0, 0]}
        scores: list[float] = []
        for entry in history.completed:
            if not entry.measures(problem.outcomes):
                continue
            own = score(problem, entry)
            insort(scores, own)
            if _is_search(entry):
                better = len(scores) - bisect_right(scores, own)
                count = counts[_is_advised(entry)]
                count[0] += 1
                count[1] += better < TOP * len(scores)
        return Record(*counts[True]), Record(*counts[False])

    def _turns(self, problem: Problem, history: History, n: int) -> int:
        """Return how many of the next *n* trials are the adviser's."""
        own, others = self.records(problem, history)
        worth = own.rate / others.rate if own.n_trials >= ENOUGH else 1.0
        share = min(MOST, self.share * max(0.25, worth))
        trials = [entry for entry in history.entries if _is_search(entry)]
        n_had = sum(map(_is_advised, trials))
        return max(0, min(n, int(share * (len(trials) + n)) - n_had))

    def _mixed(
        self, question: Question, usual: list[Suggestion], candidates: Sequence[Candidate], n_turns: int
    ) -> list[Suggestion]:
        """Return *usual*, with up to *n_turns* of the last replaced by candidates."""
        history, domain = question.history, question.domain
        kept = usual[: len(usual) - n_turns]
        advised: list[Suggestion] = []
        refused: list[str] = []
        own, others = self.records(question.problem, history)
        for each in candidates:
            if len(advised) == n_turns:
                break
            point = _point(domain, with_pending(history, [*kept, *advised]), each)
            if isinstance(point, str):
                refused.append(point)
                continue
            record = f"Of its trials {own} were among the best quarter, of the others' {others}."
            said = f"{self.adviser.place} advises it{f': {each.reason}' if each.reason else ''}. {record}"
            decision = blank_decision(ADVISER, self.version, history, question.seed, said)
            predicted = self._expected(question, point) if usual[-1].decision.predicted else {}
            advised.append(Suggestion(values=point, decision=decision.replace(predicted=predicted)))
        rest = usual[len(kept) : len(usual) - len(advised)]
        more = f" Refused: {'; '.join(refused)}." if refused else ""
        if not advised:
            return [_noted(each, f"The adviser gave nothing that can be tried.{more}") for each in usual]
        replaced = usual[len(usual) - len(advised) :]
        return [*kept, *rest, *(_beside(pair[0], pair[1], more) for pair in zip(advised, replaced, strict=True))]

    def _expected(self, question: Question, point: dict[str, ParameterValue]) -> dict[str, Prediction]:
        """Return what the Bayesian planner's model expects at *point*; nothing where it has none."""
        try:
            return dict(self.planner.predict(question.problem, question.history, [point])[0])
        except PlannerError:
            return {}


def _is_search(entry: HistoryEntry) -> bool:
    """Whether a planner chose the trial: prior data and controls are nobody's."""
    return entry.trial > 0 and entry.role is Role.SEARCH


def _is_advised(entry: HistoryEntry) -> bool:
    return entry.planner == ADVISER


def _noted(suggestion: Suggestion, note: str) -> Suggestion:
    decision = suggestion.decision
    return suggestion.replace(decision=decision.replace(note=" ".join(filter(None, (decision.note, note)))))


def _beside(advised: Suggestion, usual: Suggestion, more: str) -> Suggestion:
    """Return an advised suggestion that names the one in whose place it stands."""
    other: Decision = usual.decision
    runner_up = RunnerUp(values=usual.values, acquisition=other.acquisition, predicted=other.predicted)
    decision = advised.decision
    return advised.replace(
        decision=decision.replace(
            note=decision.note + more, runners_up=(runner_up,), models=other.models, price=other.price
        )
    )


def _point(domain: Domain, history: History, candidate: Candidate) -> dict[str, ParameterValue] | str:
    """Return the point of a candidate, or why it is none that can be tried."""
    wanted = {name for name in domain.space.free if name not in domain.context}
    values: dict[str, ParameterValue] = {}
    for name, value in candidate.values.items():
        if name not in wanted:
            continue  # what is fixed or given is not the adviser's
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number or (isinstance(value, str) and len(value) <= LONGEST)):
            return f"{name} has no value"
        values[name] = value if isinstance(value, (int, float)) else str(value)
    if missing := sorted(wanted - set(values)):
        return f"{', '.join(missing)} is missing"
    try:
        found = named_points(domain, history, [values], 1)
    except (ProblemError, PlannerError, ValueError, OverflowError) as error:
        return plain(str(error))
    return dict(found[0]) if found else "it has been tried, or is under way"
