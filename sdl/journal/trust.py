"""What the journal says of data that can be trusted: verdicts, and trials that are made to judge others."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sdl.problem.value import Tuple, Value


class Role(StrEnum):
    """What a trial is made for."""

    SEARCH = "search"  # the planner proposed it
    CONTROL = "control"  # a recipe that should always come out alike
    BLANK = "blank"  # a measurement of nothing
    REPLICATE = "replicate"  # another trial once more


class Quality(StrEnum):
    """Whether a measurement can be trusted."""

    VALID = "valid"
    SUSPECT = "suspect"
    INVALID = "invalid"

    @property
    def badness(self) -> int:
        """0 for valid, 1 for suspect, 2 for invalid."""
        return list(Quality).index(self)


class Finding(Value):
    """One reason not to trust a measurement.

    Parameters
    ----------
    source
        Who found it: ``control chart reference``, ``check by_eye``, ``replicates``, ``stuck sensor``, or a person.
    quality
        How bad it is.
    text
        The evidence, with its numbers.
    trial
        The trial that gave rise to it, where that is another one.
    """

    source: str
    quality: Quality
    text: str
    trial: int | None = None


class Verdict(Value):
    """Whether the observation of a trial can be trusted, and why.

    Parameters
    ----------
    quality
        ``valid``, ``suspect`` or ``invalid``.
    findings
        What speaks against it; for one that is valid after all, what was found once and has been cleared up.
    checked
        What has been looked at. Empty: nothing.
    """

    quality: Quality = Field(default=Quality.VALID, kw_only=False)
    findings: Tuple[Finding] = ()
    checked: Tuple[str] = ()
    positional: ClassVar[tuple[str, ...]] = ("quality",)

    def __str__(self) -> str:
        reasons = "; ".join(f"{finding.source}: {finding.text}" for finding in self.findings)
        return f"{self.quality}: {reasons}" if reasons else str(self.quality)


class TrialAssigned(Value):
    """The trial was proposed by the engine, to judge others. It follows the proposal, and belongs to it.

    Parameters
    ----------
    series
        The name of the control sample or blank; empty for a replicate.
    of
        The trial that a replicate repeats.
    is_again
        Whether a control was out, and is made once more at once.
    """

    kind: Literal["trial.assigned"] = "trial.assigned"
    role: Role
    series: str = ""
    of: int | None = None
    is_again: bool = False


class TrialJudged(Value):
    """A verdict on the trial's observation; the last one holds. The actor says who judged."""

    kind: Literal["trial.judged"] = "trial.judged"
    verdict: Verdict


TrustBody = Annotated[TrialAssigned | TrialJudged, Field(discriminator="kind")]

TRUST_KINDS = ("trial.assigned", "trial.judged")
