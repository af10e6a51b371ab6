"""When a campaign ends: budgets, stopping rules, and what failures do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, cast, get_args, runtime_checkable

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from sdl.campaign.planner import TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.errors import ProblemError
from sdl.journal.records import FailureCategory
from sdl.lab.actions import ActionClass
from sdl.problem.units import to_unit
from sdl.problem.value import Tuple, Value


def _seconds(value: object) -> object:
    return to_unit(value, "s", name="lab_time") if isinstance(value, str) else value


class Budget(Value):
    """How much a campaign may use. None sets no limit.

    Parameters
    ----------
    trials
        Trials that are executed, failed ones included.
    lab_time
        Laboratory seconds, or text with a unit (``"5 days"``), summed over sessions. No trial starts after it.
    cost
        In the unit in which the experiment states its cost. A trial that would exceed it does not start.
    """

    if TYPE_CHECKING:

        def __init__(
            self, trials: int | None = None, *, lab_time: float | str | None = None, cost: float | None = None
        ) -> None: ...

    trials: Annotated[int, Field(ge=0)] | None = None
    lab_time: Annotated[float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    cost: Annotated[float, Field(ge=0)] | None = None
    positional: ClassVar[tuple[str, ...]] = ("trials",)

    def reason(self, view: CampaignView) -> str | None:
        """Say why nothing more may start, whatever was proposed; None while it may. See :meth:`trials_left` too."""
        if self.lab_time is not None and view.lab_seconds >= self.lab_time:
            return f"the budget of {self.lab_time / 3600:.6g} laboratory hours is used"
        if self.cost is not None and view.cost >= self.cost:
            return f"the budget of {self.cost:g} is used: {view.cost:g} spent"
        return None

    def trials_left(self, view: CampaignView) -> int | None:
        """Return how many more trials may be proposed; None without a budget of trials."""
        return None if self.trials is None else max(0, self.trials - view.n_counted)


@runtime_checkable
class StoppingRule(Protocol):
    """Says when there is no point in going on."""

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        ...


class TargetReached(Value):
    """Stop when the best trial is at least as good as *value*, in the unit of the first objective."""

    value: float = Field(kw_only=False)
    rule: Literal["target_reached"] = "target_reached"
    positional: ClassVar[tuple[str, ...]] = ("value",)

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        objective = view.problem.objectives[0]
        reached = [
            trial
            for trial in (view.pareto if len(view.problem.objectives) > 1 else _best(view))
            if trial.observation is not None
            and objective.score(trial.observation.outcomes[objective.outcome].value) >= objective.score(self.value)
        ]
        if not reached:
            return None
        return f"target reached: {reached[0].outcome} in trial {reached[0].number}"


class NoImprovement(Value):
    """Stop when the last *trials* completed trials brought nothing better."""

    trials: int = Field(ge=1, kw_only=False)
    rule: Literal["no_improvement"] = "no_improvement"
    positional: ClassVar[tuple[str, ...]] = ("trials",)

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        if view.completed_since_best < self.trials:
            return None
        return f"no improvement in the last {view.completed_since_best} completed trials"


class NoImprovementExpected(Value):
    """Stop when the planner itself expects no more: its last *patience* expected improvements lie below *below*.

    *below* is in the unit of the first objective. Planners that expect nothing (Sobol, a grid) never trigger it.
    """

    below: float = Field(gt=0, kw_only=False)
    patience: int = Field(default=3, ge=1, kw_only=False)
    rule: Literal["no_improvement_expected"] = "no_improvement_expected"
    positional: ClassVar[tuple[str, ...]] = ("below", "patience")

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        expected = [
            view.record(number).proposal.decision.expected_improvement
            for number in range(max(1, view.n_proposed - self.patience + 1), view.n_proposed + 1)
        ]
        if len(expected) < self.patience or any(value is None or value >= self.below for value in expected):
            return None
        return f"no improvement expected: {expected[-1]:.3g} at the next trial, less than {self.below:g}"


class NotWorthIt(Value):
    """Stop when trials are expected to gain less than they cost.

    The planner's expected improvement of the first objective, times *worth*, is compared with the price of the trial.
    Each of the last *patience* trials has to fall short. One trial may be worth less than its price where several
    together are worth theirs: patience is for that too.

    Parameters
    ----------
    worth
        What an improvement by one unit of the first objective is worth, in the campaign's unit of cost.
    price
        What a trial costs. None: what its decision states, or else what the trials so far have cost on average.
    patience
        How many trials in a row.
    """

    worth: float = Field(gt=0, kw_only=False)
    price: Annotated[float, Field(gt=0)] | None = None
    patience: int = Field(default=3, ge=1)
    rule: Literal["not_worth_it"] = "not_worth_it"
    positional: ClassVar[tuple[str, ...]] = ("worth",)

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        numbers = range(view.n_proposed - self.patience + 1, view.n_proposed + 1)
        if numbers.start < 1:
            return None
        gains = [view.record(number).proposal.decision.expected_improvement for number in numbers]
        prices = [self._price(view, number) for number in numbers]
        if any(gain is None or self.worth * gain >= price for gain, price in zip(gains, prices, strict=True)):
            return None
        gain, price, outcome = gains[-1] or 0.0, prices[-1], view.problem.objectives[0].outcome
        return (
            f"not worth its price: trial {numbers[-1]} was expected to improve {outcome} by {gain:.3g}, "
            f"worth {self.worth * gain:.3g}, and cost {price:.3g}"
        )

    def _price(self, view: CampaignView, number: int) -> float:
        stated = view.record(number).proposal.decision.price
        n_ended = view.counts[TrialState.COMPLETED] + view.counts[TrialState.FAILED]
        average = view.cost / n_ended if n_ended else 0.0
        return next(price for price in (self.price, stated, average) if price is not None)


def _best(view: CampaignView) -> tuple[Trial, ...]:
    return () if view.best is None else (view.best,)


class FailurePolicy(Value):
    """What failed trials do to the campaign.

    Parameters
    ----------
    retries
        How many more attempts a trial gets after a failure of a category in *retry_on*. After acts that may not be
        repeated, it gets one only where ``on_unknown`` says ``redo`` for them.
    retry_on
        The categories that another attempt may mend.
    max_in_a_row
        After so many failed trials in a row the campaign stops and says so.
    """

    retries: Annotated[int, Field(ge=0)] = 0
    retry_on: Tuple[FailureCategory] = (FailureCategory.DEVICE, FailureCategory.TIMEOUT, FailureCategory.READBACK)
    max_in_a_row: Annotated[int, Field(ge=1)] = 5

    def reason(self, view: CampaignView) -> str | None:
        """Return why the campaign should stop now, or None."""
        if view.failures_in_a_row < self.max_in_a_row:
            return None
        return f"{view.failures_in_a_row} failures in a row"


Choice = Literal["ask", "failed", "redo"]


class OnUnknown(Value):
    """What becomes of a trial of which nobody knows how far it came, by the class of what was being done.

    A trial with acts of several classes gets the most careful answer: ``ask`` before ``failed`` before ``redo``.

    Parameters
    ----------
    cumulative, irreversible, transfer
        ``ask`` a person; ``failed``: give it up; ``redo``: a new attempt, from the first step, with a fresh sample.
    consent
        Who agreed that such acts are done again, and what makes the sample a fresh one. ``redo`` needs it, and it
        counts for attempts that begin after it was recorded.
    reconcile
        Whether devices are asked first what they know themselves: see :class:`~sdl.lab.Evidence`.
    redos
        How often one trial is done again; then it is marked failed, so that a device that always hangs ends nowhere.
    """

    cumulative: Choice = "ask"
    irreversible: Choice = "ask"
    transfer: Choice = "ask"
    consent: str = ""
    reconcile: bool = True
    redos: Annotated[int, Field(ge=0)] = 10
    CLASSES: ClassVar[tuple[ActionClass, ...]] = (
        ActionClass.CUMULATIVE,
        ActionClass.IRREVERSIBLE,
        ActionClass.TRANSFER,
    )

    @model_validator(mode="after")
    def _check_consent(self) -> OnUnknown:
        if "redo" in {self.cumulative, self.irreversible, self.transfer} and not self.consent.strip():
            raise ProblemError(
                "on_unknown says redo, and nobody has agreed to it",
                hint='add consent="NAME: every attempt begins with a new substrate", or what else makes it a fresh one',
            )
        return self

    def for_class(self, action: ActionClass) -> Choice:
        """Return what becomes of a trial with an unknown act of that class."""
        choices: dict[ActionClass, Choice] = {
            ActionClass.CUMULATIVE: self.cumulative,
            ActionClass.IRREVERSIBLE: self.irreversible,
            ActionClass.TRANSFER: self.transfer,
        }
        return choices[action]

    @classmethod
    def of(cls, given: UnknownPolicy) -> OnUnknown:
        """Return *given* as a policy by class; a word stands for all classes."""
        if isinstance(given, OnUnknown):
            return given
        consent = 'on_unknown="redo" in the campaign' if given == "redo" else ""
        return cls(cumulative=given, irreversible=given, transfer=given, consent=consent)

    @classmethod
    def recorded(cls, given: JsonValue) -> OnUnknown:
        """Return the policy as a journal has it; one that asks where it has none."""
        if isinstance(given, str) and given in get_args(Choice):
            return cls.of(cast("Choice", given))
        return cls.from_data(given) if isinstance(given, dict) else cls()


UnknownPolicy = Choice | OnUnknown
"""What becomes of a trial that was cut off in an act that may not be repeated, or after one that its step cannot go on
after: a person is asked, it is marked failed, or it is done again."""
