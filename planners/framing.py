"""What stands around a planner's own choice: values that are settled already, batches that share some, and prices.

A planner answers a :class:`Question`. How a batch comes to its shared values, and that approximations of a target are
chosen one at a time, is the same for all of them.

In a batch that shares parameters (one furnace has one temperature, whatever lies in it) the first trial is chosen
freely. Its shared values, those of its runners-up and those of the best trial so far are candidates for the batch: for
each of them the batch is begun, one trial after the other with the shared values held, and the candidate whose trials
promise the most together is kept. What the second trial of a batch promises is counted given the first, so a shared
value that is good for one point and bad for all others does not win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion, TrialState
from sdl.journal.records import ParameterValue
from sdl.planners.domain import Domain
from sdl.problem import Price, Problem

N_CANDIDATES = 4
"""Sets of shared values that are compared."""

DEPTH = 3
"""Trials of the batch that each of them is judged by."""

Shared = Mapping[str, ParameterValue]


@dataclass(frozen=True)
class Question:
    """What a planner is asked.

    Parameters
    ----------
    problem, history, n, situation, seed
        As in :meth:`sdl.campaign.planner.Planner.suggest`.
    held
        Values of free parameters that are settled.
    """

    problem: Problem
    history: History
    n: int
    situation: Situation
    seed: int
    held: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])

    @property
    def domain(self) -> Domain:
        """What may be chosen."""
        return Domain(self.problem.space, self.situation.context, self.held)

    def holding(self, values: Mapping[str, ParameterValue]) -> Question:
        """Return the question with *values* settled too."""
        return replace(self, held={**self.held, **values})

    def after(self, suggestions: Sequence[Suggestion], n: int) -> Question:
        """Return the question for *n* more, as if *suggestions* were under way."""
        return replace(self, history=with_pending(self.history, suggestions), n=n)


Answer = Callable[[Question], list[Suggestion]]
"""A planner's own choice."""


def framed(question: Question, answer: Answer) -> list[Suggestion]:
    """Return what *answer* suggests, within the batch and with the prices of the situation."""

    def one_by_one(question: Question) -> list[Suggestion]:
        return _one_by_one(question, answer) if question.problem.space.targets else answer(question)

    suggestions = _in_batch(question, one_by_one)
    price = question.situation.price
    return suggestions if price is None else [_priced(suggestion, price) for suggestion in suggestions]


def _one_by_one(question: Question, answer: Answer) -> list[Suggestion]:
    """Return suggestions, each asked for as if those before it were under way: what is settled may change with each."""
    suggestions: list[Suggestion] = []
    for _ in range(question.n):
        more = answer(question.after(suggestions, 1))
        if not more:
            break
        suggestions += more
    return suggestions


def _priced(suggestion: Suggestion, price: Price) -> Suggestion:
    return suggestion.replace(decision=suggestion.decision.replace(price=price(suggestion.values)))


def with_pending(history: History, suggestions: Sequence[Suggestion]) -> History:
    """Return *history* with *suggestions* as trials that wait to be executed."""
    if not suggestions:
        return history
    first = 1 + max((entry.trial for entry in history.entries), default=0)
    waiting = tuple(
        HistoryEntry(trial=first + number, values=suggestion.values, state=TrialState.PROPOSED)
        for number, suggestion in enumerate(suggestions)
    )
    return History((*history.entries, *waiting), comparisons=history.comparisons)


# --- batches ----------------------------------------------------------------------------------------------------------


def _in_batch(question: Question, answer: Answer) -> list[Suggestion]:
    """Return suggestions that share what the batch of the situation asks for; as they come where there is none."""
    batch = question.situation.batch
    if batch is None:
        return answer(question)
    shared = [name for name in batch.shared if name in question.problem.space.free]
    question = question.holding({name: value for name, value in batch.fixed.items() if name in shared})
    missing = [name for name in shared if name not in batch.fixed]
    if not missing:
        return answer(question)
    first = answer(question.after([], 1))
    if not first or (question.n == 1 and batch.size == 1):
        return first
    begun = _best_begun(question, answer, first, missing, min(DEPTH, max(batch.size, question.n)))
    if len(begun) >= question.n:
        return begun[: question.n]
    held = question.holding({name: begun[0].values[name] for name in missing})
    return begun + answer(held.after(begun, question.n - len(begun)))


def _best_begun(
    question: Question, answer: Answer, first: list[Suggestion], missing: list[str], depth: int
) -> list[Suggestion]:
    """Return the first trials of the batch whose shared values promise most."""
    candidates = _candidates(question, first[0], missing)
    if len(candidates) < 2:
        return first
    found = [answer(question.holding(shared).after([], depth)) for shared in candidates]
    return max(found, key=_promise)


def _candidates(question: Question, first: Suggestion, missing: list[str]) -> list[Shared]:
    """Return different sets of shared values, that of the first suggestion first; none where it has no runners-up."""
    points = [first.values, *(runner_up.values for runner_up in first.decision.runners_up)]
    if first.decision.acquisition is None or len(points) < 2:
        return []
    best = _best_values(question)
    points += [] if best is None else [best]
    found: list[Shared] = []
    for point in points:
        shared = {name: point[name] for name in missing}
        if shared not in found:
            found.append(shared)
    return found[:N_CANDIDATES]


def _best_values(question: Question) -> Mapping[str, ParameterValue] | None:
    """Return the best trial by the first objective among the points of the space that keep the constraints."""
    problem = question.problem
    objective, space = problem.objectives[0], problem.space
    known = [
        (objective.score(entry.observation.outcomes[objective.outcome].value), entry)
        for entry in question.history.completed
        if entry.observation
        and entry.measures(problem.outcomes)
        and problem.is_feasible(entry.observation.outcomes)
        and space.contains(entry.values)
    ]
    return max(known, key=lambda pair: pair[0])[1].values if known else None


def _promise(suggestions: list[Suggestion]) -> float:
    """Return the log of what *suggestions* promise together; acquisition values are logarithms."""
    values = [s.decision.acquisition for s in suggestions if s.decision.acquisition is not None]
    return float(np.logaddexp.reduce(values)) if values else -np.inf
