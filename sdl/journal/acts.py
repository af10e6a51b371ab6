"""What the journal says of acts that may not be repeated, and of steps that a crash cut off."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from sdl.problem.value import Value

ActOutcome = Literal["done", "failed", "refused", "unknown"]
"""How an act ended. ``refused``: a limit or an interlock stood against it, and the device was not told."""

ActAnswer = Literal["happened", "did_not_happen", "cannot_tell"]
"""What can be found out about an act afterwards."""


class ActIntended(Value):
    """A device is about to do something that may not be repeated. Recorded before the device is told."""

    kind: Literal["act.intended"] = "act.intended"
    act: str
    step: str
    station: str
    attempt: int
    device: str
    verb: str
    action_class: Literal["cumulative", "irreversible", "transfer"]
    arguments: JsonValue = None


class ActEnded(Value):
    """The act has ended. Recorded when the device says so; ``unknown`` where it did not say."""

    kind: Literal["act.ended"] = "act.ended"
    act: str
    outcome: ActOutcome
    seconds: float
    reason: str = ""


class ActResolved(Value):
    """Somebody, or a probe, has found out what became of an act. The actor says who."""

    kind: Literal["act.resolved"] = "act.resolved"
    act: str
    answer: ActAnswer
    evidence: str


class StepRecovered(Value):
    """What the engine does with a step that was cut off, or does not do, and why.

    ``redo``: the step begins again. ``resume``: its plan for the rest runs. ``go_on``: the next step begins.
    ``restart``: the trial begins again. ``policy``: none of these is safe, and the policy for unknown trials decides.
    """

    kind: Literal["step.recovered"] = "step.recovered"
    attempt: int
    step: str
    action: Literal["redo", "resume", "go_on", "restart", "policy"]
    reason: str


ActBody = Annotated[ActIntended | ActEnded | ActResolved | StepRecovered, Field(discriminator="kind")]
