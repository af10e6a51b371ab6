"""What the journal says of interlocks: that one tripped, what is latched since, and who armed it again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdl.problem.value import FrozenMap, Tuple, Value

SafeActionKind = Literal["stop_now", "finish_step_then_hold", "hold_setpoint", "ramp_down"]
"""What a device may do when something is wrong."""


class InterlockTripped(Value):
    """An interlock was violated, or could not be shown to be met, and the devices were told to do what is safe.

    ``signals`` tells each signal as it was seen; ``actions`` what each device was told.
    """

    kind: Literal["safety.tripped"] = "safety.tripped"
    lab: str
    interlock: str
    reason: str
    signals: FrozenMap[str] = Field(default_factory=dict[str, str])
    actions: FrozenMap[SafeActionKind] = Field(default_factory=dict[str, SafeActionKind])


class LatchSet(Value):
    """From here on no step starts on the station, and no plan commands the devices, until a person arms it again."""

    kind: Literal["safety.latched"] = "safety.latched"
    lab: str
    station: str
    interlock: str
    devices: Tuple[str]
    reason: str


class Rearmed(Value):
    """A person has armed the station again. The actor is that person; nothing moves by this."""

    kind: Literal["safety.rearmed"] = "safety.rearmed"
    lab: str
    station: str
    because: str


SafetyBody = Annotated[InterlockTripped | LatchSet | Rearmed, Field(discriminator="kind")]

SAFETY_KINDS = ("safety.tripped", "safety.latched", "safety.rearmed")
