"""What a planner is: a pure function from a problem and a history to suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, Self, runtime_checkable

from pydantic import Field

from sdl.journal.beliefs import ModelSummary
from sdl.journal.records import Decision, Observation, ParameterValue, Prediction
from sdl.journal.trust import Role, Verdict
from sdl.problem import Price, Problem
from sdl.problem.value import FrozenMap, Tuple, Value

NOT_JUDGED = Verdict()
"""Nothing was looked at, and nothing is known to be wrong."""


class TrialState(StrEnum):
    """The life of a trial.

    ::

            +----------- another attempt ----+--------- redo ---------+
            v                                |                        |
        PROPOSED --start--> RUNNING --failure, to be retried          |
            |                  |                                      |
            |                  +--observation--> COMPLETED            |
            |                  +--failure------> FAILED <--as failed--+
            |                  +--crash--------> UNKNOWN -------------+
            +--give up-------------------------> ABANDONED <--give up-+

    COMPLETED, FAILED and ABANDONED are final. PROPOSED, RUNNING and UNKNOWN are *pending*: planners condition on them.
    """

    PROPOSED = "proposed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the trial."""
        return self in FINAL


FINAL = frozenset({TrialState.COMPLETED, TrialState.FAILED, TrialState.ABANDONED})


class HistoryEntry(Value):
    """What a planner may know of one trial: its values, its state, and its observation where it has one.

    A trial whose observation is suspect is handed on as one that nobody knows the outcome of: UNKNOWN, without the
    observation, and with the verdict that says why. What is invalid is no part of a history.
    """

    trial: int
    values: FrozenMap[ParameterValue]
    state: TrialState
    observation: Observation | None = None
    failure: str | None = None
    role: Role = Role.SEARCH
    verdict: Verdict = NOT_JUDGED
    origin: str = ""
    """The name of the set of prior data that it belongs to; empty for the campaign's own trials."""
    cost: float = 0.0
    """What it cost, in the campaign's unit of cost."""
    planner: str = ""
    """Who proposed it, as its decision says; empty for prior data."""

    def measures(self, outcomes: Iterable[str]) -> bool:
        """Tell whether all *outcomes* were measured."""
        return self.observation is not None and all(name in self.observation.outcomes for name in outcomes)


class Comparison(Value):
    """A person likes the outcomes of one trial better than those of another."""

    better: int
    worse: int


class History(Value):
    """All trials that a planner may learn from, oldest first; seed data come before the campaign's own.

    *comparisons* are what a person has said of pairs of them.
    """

    if TYPE_CHECKING:

        def __init__(self, entries: Sequence[HistoryEntry] = (), *, comparisons: Sequence[Comparison] = ()) -> None: ...

    entries: Tuple[HistoryEntry] = Field(default=(), kw_only=False)
    comparisons: Tuple[Comparison] = ()
    positional: ClassVar[tuple[str, ...]] = ("entries",)

    @classmethod
    def of(
        cls,
        entries: tuple[HistoryEntry, ...],
        *,
        comparisons: tuple[Comparison, ...] = (),
        pending: tuple[HistoryEntry, ...],
    ) -> Self:
        """Return the history of *entries* that are known to be valid; *pending* are those of them that are not final.

        Nothing is checked, so that a long history costs no more than its copy.
        """
        made = cls.model_construct(entries=entries, comparisons=comparisons)
        vars(made)["pending"] = pending
        return made

    @cached_property
    def completed(self) -> tuple[HistoryEntry, ...]:
        """The trials with an observation."""
        return tuple(entry for entry in self.entries if entry.state is TrialState.COMPLETED)

    @cached_property
    def failed(self) -> tuple[HistoryEntry, ...]:
        """The trials that were executed and gave no observation."""
        return tuple(entry for entry in self.entries if entry.state is TrialState.FAILED)

    @cached_property
    def pending(self) -> tuple[HistoryEntry, ...]:
        """The trials whose outcome is not known yet: proposed, running or unknown."""
        return tuple(entry for entry in self.entries if not entry.state.is_final)


class BatchShape(Value):
    """A batch that the suggestions will fill: one run of a furnace, or one library on a substrate.

    Parameters
    ----------
    size
        How many more trials it takes.
    shared
        The parameters that all of them must have in common.
    fixed
        The values of shared parameters that are settled, because the batch has begun to fill.
    """

    size: Annotated[int, Field(ge=1)]
    shared: Tuple[str] = ()
    fixed: FrozenMap[ParameterValue] = Field(default_factory=dict[str, ParameterValue])


class Situation(Value):
    """What the laboratory knows at the moment of asking.

    Parameters
    ----------
    context
        The current value of every contextual parameter, in its declared unit; suggestions carry these values unchanged.
    n_free_slots
        How many suggestions could start at once.
    n_trials_left
        How many more trials the budget allows; None without a budget of trials.
    price
        What a trial costs, where the experiment says it as a :class:`~sdl.Price`.
    cost_left, cost_budget
        How much of the budget of cost is left, trials under way taken off, and how much it was; None without one.
    batch
        The batch that the suggestions will fill; None where every trial is on its own.
    batches
        All batches that have begun to fill, the fullest first.
    stock
        How much of each material is left at most and not set aside, in the unit of its account.
    seconds_left
        How much of the budget of laboratory time is left; None without one.
    durations
        How long each step is expected to take, in seconds, where that is known.
    """

    context: FrozenMap[ParameterValue] = Field(default_factory=dict[str, ParameterValue])
    n_free_slots: Annotated[int, Field(ge=0)] = 1
    n_trials_left: Annotated[int, Field(ge=0)] | None = None
    price: Price | None = None
    cost_left: Annotated[float, Field(ge=0)] | None = None
    cost_budget: Annotated[float, Field(ge=0)] | None = None
    batch: BatchShape | None = None
    batches: Tuple[BatchShape] = ()
    stock: FrozenMap[float] = Field(default_factory=dict[str, float])
    seconds_left: Annotated[float, Field(ge=0)] | None = None
    durations: FrozenMap[float] = Field(default_factory=dict[str, float])


class Suggestion(Value):
    """Parameter values in their declared units, and the decision that led to them."""

    values: FrozenMap[ParameterValue]
    decision: Decision


@runtime_checkable
class Planner(Protocol):
    """Proposes what to try next.

    A planner has no hidden state: the same arguments give the same suggestions. A planner that is a
    :class:`~sdl.problem.value.Value` (a frozen pydantic model) can be kept in the journal, sent to a process of its
    own, and made again from a campaign file.
    """

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        ...

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> Sequence[Suggestion]:
        """Return *n* suggestions, all legal, or fewer where the space holds no more.

        Parameters
        ----------
        problem
            The search space, the objectives and the outcome constraints.
        history
            The trials so far; pending ones have no observation.
        n
            How many suggestions are wanted, at least 1.
        situation
            What the laboratory knows.
        seed
            The only source of chance.
        """
        ...


@runtime_checkable
class Predictor(Protocol):
    """A planner that can say what it expects elsewhere; reports draw slices of it."""

    def predict(
        self, problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
    ) -> Sequence[Mapping[str, Prediction]]:
        """Return, for each of *points*, a prediction of every outcome that the problem names."""
        ...


@runtime_checkable
class Checking(Protocol):
    """A planner that can say, before anything moves, that what it was told does not fit a problem."""

    def check(self, problem: Problem) -> None:
        """Raise :class:`~sdl.errors.PlannerError` where it could not plan for *problem*."""
        ...


@runtime_checkable
class Explainer(Protocol):
    """A planner that can say what its models are like; reports and ``sdl show`` tell of it."""

    def explain(self, problem: Problem, history: History) -> Mapping[str, ModelSummary]:
        """Return, for every outcome that the problem names, what the model of it is like."""
        ...
