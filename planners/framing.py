"""What stands around a planner's own choice: values that are settled already, batches that share some, and prices.

A planner answers a :class:`Question`. How a batch comes to its shared values, and that approximations of a target are
chosen one at a time, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdl.campaign.planner import History, HistoryEntry, Situation, Suggestion, TrialState
from sdl.journal.records import ParameterValue
from sdl.planners.domain import Domain
from sdl.problem import Price, Problem


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
    from sdl.planners.batches import in_batch  # noqa: PLC0415 # which stands on this module

    def one_by_one(question: Question) -> list[Suggestion]:
        return _one_by_one(question, answer) if question.problem.space.targets else answer(question)

    suggestions = in_batch(question, one_by_one)
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
