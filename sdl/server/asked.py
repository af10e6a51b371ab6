"""What the server is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdl.campaign.autonomy import Level, Range
from sdl.campaign.budget import Budget
from sdl.journal.acts import ActAnswer
from sdl.journal.orders import ApprovalAnswer, OrderWord, TaskAnswer, Visibility
from sdl.journal.trust import Quality
from sdl.problem.value import FrozenMap, Tuple, Value
from sdl.server.identities import Role

Text = Annotated[str, Field(max_length=2000)]
"""What a person writes."""

Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
"""What a person must say."""

Name = Annotated[str, Field(max_length=200)]

File = Annotated[str, Field(min_length=1, max_length=500_000)]
"""The text of a campaign file."""


class Submission(Value):
    """A campaign file that is handed in: YAML. ``start`` queues it at once."""

    file: File
    start: bool = True
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    visibility: Visibility = Visibility()


class FileOnly(Value):
    """A campaign file."""

    file: File


class Order(Value):
    """What is to become of a campaign, and why."""

    order: OrderWord
    because: Text = ""


class Because(Value):
    """Why something is done."""

    because: Reason


class AutonomyOrder(Value):
    """How much a campaign may do without asking from now on, and why."""

    level: Level
    envelope: Annotated[FrozenMap[Range], Field(max_length=1000)] = Field(default_factory=dict[str, Range])
    budget: Budget = Budget()
    because: Reason


class CommentOrder(Value):
    """Something that somebody wants on record."""

    text: Reason
    trial: Annotated[int, Field(ge=1)] | None = None


class TaskReply(Value):
    """What became of a task, and what there is to note."""

    answer: TaskAnswer
    note: Text = ""


class VerdictOrder(Value):
    """Whether the result of a trial can be trusted, and why."""

    quality: Quality
    because: Reason


class ActReply(Value):
    """What a person has found out about a trial that was cut off, and what is to become of it.

    ``act`` names one act; without it the answer is for all that nobody knows of.
    """

    answer: ActAnswer | None = None
    then: Literal["redo", "failed", "abandoned"] | None = None
    act: Name | None = None
    because: Reason


class ApprovalReply(Value):
    """The answer to a request for approval."""

    answer: ApprovalAnswer
    because: Text = ""


class StockEntry(Value):
    """What a person has counted, added, cleared away or seen; see the fields of ``sdl stock``."""

    action: Literal["count", "add", "clear", "mark"]
    material: Name = ""
    amount: Name = ""
    lot: Name = ""
    expires: Name | None = None
    tolerance: Name | None = None
    place: Name = ""
    sample: Name = ""
    state: Name = ""
    because: Text = ""


class NewUser(Value):
    """An identity that is to be made."""

    name: Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]
    roles: Tuple[Role]
    kind: Literal["person", "agent"] = "person"
    groups: Tuple[Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]] = Field(default=(), max_length=50)
    autonomy: Annotated[int, Field(ge=0, le=4)] = 2
