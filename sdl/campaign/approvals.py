"""Which trials wait for somebody's approval, and what was answered: folded from the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from sdl.journal.orders import ApprovalAnswer, ApprovalAsked, ApprovalGiven, AutonomySet
from sdl.journal.records import Event

AUTONOMY = "autonomy"
"""The key of the settings that says how much a campaign may do without asking."""


WAITS = "waits for approval"


@dataclass
class Approval:
    """A request for approval, and its answer where there is one."""

    asked: ApprovalAsked
    asked_at: datetime
    answer: ApprovalAnswer | None = None
    by: str = ""
    because: str = ""
    answered_at: datetime | None = None

    @property
    def request(self) -> str:
        """What the answer names."""
        return self.asked.request


@dataclass
class Approvals:
    """What a view knows of approvals.

    Attributes
    ----------
    autonomy
        How much the campaign may do without asking: as a person has said last, or as its settings say; None where
        neither does.
    """

    autonomy: JsonValue = None
    requests: dict[str, Approval] = field(default_factory=dict[str, Approval])
    _of_trial: dict[int, Approval] = field(default_factory=dict[int, Approval])

    def settle(self, before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> None:
        """Take in new settings. What a person has said stays, unless they say something else than they did."""
        if now.get(AUTONOMY) != before.get(AUTONOMY):
            self.autonomy = now.get(AUTONOMY)

    def take(self, event: Event) -> None:
        """Take in an event of one of the kinds of approvals."""
        match event.body:
            case AutonomySet(autonomy=autonomy):
                self.autonomy = dict(autonomy)
            case ApprovalAsked() as asked:
                approval = Approval(asked, event.time)
                self.requests[asked.request] = approval
                self._of_trial.update(dict.fromkeys(asked.trials, approval))
            case ApprovalGiven(request=request) as given if request in self.requests:
                found = self.requests[request]
                found.answer, found.because = given.answer, given.because
                found.by, found.answered_at = event.actor, event.time
            case _:
                pass

    def of_trial(self, number: int) -> Approval | None:
        """Return the last request for trial *number*; None where nobody was asked."""
        return self._of_trial.get(number)

    def is_approved(self, number: int) -> bool:
        """Whether somebody has approved trial *number*."""
        found = self._of_trial.get(number)
        return found is not None and found.answer == "approved"

    def open(self, waits: Callable[[int], bool]) -> list[Approval]:
        """Return the requests without an answer for which any trial still *waits*, oldest first."""
        return [each for each in self.requests.values() if each.answer is None and any(map(waits, each.asked.trials))]

    def waiting(self, waits: Callable[[int], bool]) -> dict[int, str]:
        """Return the trials that wait for an approval, and that in words."""
        return {number: WAITS for each in self.open(waits) for number in each.asked.trials}
