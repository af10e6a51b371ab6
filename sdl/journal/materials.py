"""What the journal says of samples and materials: the bodies of these events.

Amounts stand in the unit with which the material was first added. Who counted or added something by hand is the actor
of the event.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from sdl.problem.amount import Amount
from sdl.problem.value import Tuple, Value

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
"""A day as ISO 8601 writes it."""


class SampleState(StrEnum):
    """How a sample stands."""

    FRESH = "fresh"  # made, and nothing done to it so far
    IN_PROCESS = "in process"  # between its first step and its result
    MEASURED = "measured"  # its trial has a result
    CONSUMED = "consumed"  # used up, or thrown away
    SUSPECT = "suspect"  # something failed or was cut off: a person has to look at it


class MaterialAdded(Value):
    """Some of a material came into the laboratory: the opening balance of a lot, or more of it."""

    kind: Literal["material.added"] = "material.added"
    material: str
    lot: str = ""
    form: Literal["reagent", "consumable"]
    amount: Amount
    expires: Day | None = None
    because: str = ""


class MaterialReserved(Value):
    """Material is set aside for a step of the trial; nobody else can have it."""

    kind: Literal["material.reserved"] = "material.reserved"
    material: str
    lot: str = ""
    step: str
    amount: Amount


class MaterialReleased(Value):
    """What was set aside for a step was not touched, and is free again."""

    kind: Literal["material.released"] = "material.released"
    material: str
    lot: str = ""
    step: str
    because: str = ""


class MaterialConsumed(Value):
    """A step has ended and used *amount* of what was set aside for it; the rest is free again."""

    kind: Literal["material.consumed"] = "material.consumed"
    material: str
    lot: str = ""
    step: str
    amount: Amount
    how: Literal["done", "failed", "aborted", "unknown"]


class MaterialCounted(Value):
    """A person looked how much there is. The ledger goes on from that number, and books the difference."""

    kind: Literal["material.counted"] = "material.counted"
    material: str
    lot: str = ""
    amount: Amount
    because: str


class RackAdded(Value):
    """A rack, or a plate, with positions for samples."""

    kind: Literal["rack.added"] = "rack.added"
    rack: str
    positions: Tuple[str]
    is_reusable: bool = True


class SampleMade(Value):
    """A sample begins to be: its trial is the event's."""

    kind: Literal["sample.made"] = "sample.made"
    sample: str
    step: str | None = None


class PositionHeld(Value):
    """A sample is about to be brought to a position, which is kept free for it."""

    kind: Literal["position.held"] = "position.held"
    sample: str
    position: str


class SampleMoved(Value):
    """A sample is at *position* and nowhere else; None: it was taken out."""

    kind: Literal["sample.moved"] = "sample.moved"
    sample: str
    position: str | None
    because: str = ""


class SampleMarked(Value):
    """A sample has another state than the course of its trial says."""

    kind: Literal["sample.marked"] = "sample.marked"
    sample: str
    state: SampleState
    because: str


class StepWaiting(Value):
    """A step does not start, for want of what is *missing*."""

    kind: Literal["step.waiting"] = "step.waiting"
    step: str
    missing: Tuple[str]


MaterialBody = (
    MaterialAdded
    | MaterialReserved
    | MaterialReleased
    | MaterialConsumed
    | MaterialCounted
    | RackAdded
    | SampleMade
    | PositionHeld
    | SampleMoved
    | SampleMarked
    | StepWaiting
)
"""The body of an event of the ledger."""
