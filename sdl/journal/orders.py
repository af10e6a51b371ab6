"""What the journal says of people and their orders: who submitted what, who may see it, and who approved which trials.

The actor of the event is the person, or the agent.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from sdl.errors import ProblemError
from sdl.problem.value import FrozenMap, Tuple, Value

Scope = Literal["private", "group", "open"]
"""Who may see a campaign: its owner; the groups that it names; everybody who may read."""

OrderWord = Literal["start", "pause", "resume", "stop", "abort", "cancel"]
"""What may be ordered of a campaign."""

ApprovalAnswer = Literal["approved", "refused"]
"""How a request is answered."""

TaskAnswer = Literal["done", "failed"]
"""What became of a task."""


class Visibility(Value):
    """Who may see a campaign beside its owner and those who answer for the laboratory.

    Parameters
    ----------
    scope
        ``private``: nobody. ``group``: the members of *groups*. ``open``: everybody who may read.
    groups
        Which; for an open campaign, those that see it before the *embargo* ends.
    embargo
        The first day, in UTC, on which an open campaign is open.
    """

    scope: Scope = Field(default="private", kw_only=False)
    groups: Tuple[Annotated[str, Field(max_length=100)]] = Field(default=(), max_length=50)
    embargo: dt.date | None = None
    positional: ClassVar[tuple[str, ...]] = ("scope",)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.scope == "group" and not self.groups:
            raise ProblemError("a campaign for a group names none", hint='add groups: ["films"]')
        if self.scope == "private" and self.groups:
            raise ProblemError("a private campaign is for no group", hint="say scope: group")
        if self.scope != "open" and self.embargo is not None:
            raise ProblemError(f"an embargo until {self.embargo} ends nothing", hint="say scope: open")
        return self


class CampaignSubmitted(Value):
    """Somebody hands in a campaign file. The actor owns the campaign.

    Parameters
    ----------
    id
        What it is called from outside: no one guesses it.
    file
        The text, as it was handed in.
    lab
        The laboratory that is to run it.
    settings
        What was settled at the door: the highest level of autonomy.
    rehearsal
        What was predicted then.
    """

    kind: Literal["campaign.submitted"] = "campaign.submitted"
    id: str
    file: str
    lab: str
    visibility: Visibility = Visibility()
    priority: int = 0
    is_agent: bool = False
    settings: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])
    rehearsal: JsonValue = None


class CampaignOrdered(Value):
    """Somebody orders what is to become of a campaign."""

    kind: Literal["campaign.ordered"] = "campaign.ordered"
    order: OrderWord
    because: str = ""


class CampaignShared(Value):
    """Somebody changes who may see a campaign."""

    kind: Literal["campaign.shared"] = "campaign.shared"
    visibility: Visibility


class AutonomySet(Value):
    """Somebody changes how much a campaign may do without asking; the fields are those of :class:`~sdl.Autonomy`."""

    kind: Literal["campaign.autonomy"] = "campaign.autonomy"
    autonomy: FrozenMap[JsonValue]
    because: str = ""


class ApprovalAsked(Value):
    """Trials may not begin before somebody has approved them.

    Parameters
    ----------
    request
        What the answer names.
    level
        The level of autonomy that asks.
    trials
        Which; what is proposed, why, and what is expected stands in their proposals.
    because
        Why it is asked.
    cost
        What they cost together, in the campaign's unit of cost.
    """

    kind: Literal["approval.asked"] = "approval.asked"
    request: str
    level: int
    trials: Tuple[int]
    because: str
    cost: float = 0.0


class ApprovalGiven(Value):
    """Somebody has answered. The actor says who. Trials that are refused are abandoned."""

    kind: Literal["approval.given"] = "approval.given"
    request: str
    answer: ApprovalAnswer
    because: str = ""


class StationStopped(Value):
    """Somebody aborts the step that runs on a station; ``*`` stands for all of them."""

    kind: Literal["station.stopped"] = "station.stopped"
    station: str
    because: str


class TaskAsked(Value):
    """A person is asked to do something by hand.

    Parameters
    ----------
    task
        What the answer names.
    person
        The name of the device that stands for the person.
    text
        What is to be done.
    expected_seconds
        How long it is expected to take.
    """

    kind: Literal["task.asked"] = "task.asked"
    task: str
    person: str
    text: str
    expected_seconds: float = 0.0


class TaskAnswered(Value):
    """Somebody says what became of a task. The actor says who."""

    kind: Literal["task.answered"] = "task.answered"
    task: str
    answer: TaskAnswer
    note: str = ""


OrderBody = Annotated[
    CampaignSubmitted
    | CampaignOrdered
    | CampaignShared
    | AutonomySet
    | ApprovalAsked
    | ApprovalGiven
    | StationStopped
    | TaskAsked
    | TaskAnswered,
    Field(discriminator="kind"),
]

APPROVAL_KINDS = ("campaign.autonomy", "approval.asked", "approval.given")
"""What decides which trials may begin."""

ORDER_KINDS = ("campaign.submitted", "campaign.ordered", "campaign.shared", "station.stopped")
"""What people say of whole campaigns."""
