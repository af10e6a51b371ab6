"""The attempt at a trial that is under way: its steps, and its acts that may not be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from sdl.journal.acts import ActEnded, ActIntended, ActResolved
from sdl.journal.records import Event, StepEnded, StepSkipped, StepStarted
from sdl.lab.actions import ActionClass, ActRecord


@dataclass
class Trace:
    """What the journal says of an attempt that has no end yet.

    Parameters
    ----------
    attempt
        Which one it is.
    policy
        What was recorded as ``on_unknown`` when it began.
    finished
        The events of the steps that ended well, in order.
    skipped
        The steps that were skipped.
    step
        The event of the step that was begun and has not ended well; None between two steps.
    acts
        Everything in it that may not be repeated, by id, in order.
    unknown_cost
        What was booked when it became unknown.
    """

    attempt: int = 1
    policy: JsonValue = None
    finished: list[Event] = field(default_factory=list[Event])
    skipped: list[str] = field(default_factory=list[str])
    step: Event | None = None
    acts: dict[str, ActRecord] = field(default_factory=dict[str, ActRecord])
    unknown_cost: float = 0.0

    @property
    def steps_done(self) -> list[StepEnded]:
        """How the steps ended that ended well."""
        return [event.body for event in self.finished if isinstance(event.body, StepEnded)]

    @property
    def ends(self) -> list[tuple[StepEnded, float]]:
        """How those steps ended, and when, in UTC seconds."""
        return [(event.body, event.time.timestamp()) for event in self.finished if isinstance(event.body, StepEnded)]

    @property
    def names_done(self) -> list[str]:
        """The names of the steps that ended well, or were skipped."""
        return [*(ended.step for ended in self.steps_done), *self.skipped]

    @property
    def step_begun(self) -> StepStarted | None:
        """The step that was begun and has not ended well."""
        body = None if self.step is None else self.step.body
        return body if isinstance(body, StepStarted) else None

    @property
    def unknown(self) -> list[ActRecord]:
        """The acts that may have happened, and of which nobody knows."""
        return [act for act in self.acts.values() if act.is_unknown]

    @property
    def begun(self) -> list[ActRecord]:
        """The acts that happened, or may have, or failed half way."""
        return [act for act in self.acts.values() if act.has_happened is not False]

    def of_step(self, step: str) -> list[ActRecord]:
        """Return the acts of one step."""
        return [act for act in self.acts.values() if act.step == step]

    def fold_step(self, event: Event) -> None:
        """Take in that a step began, how it ended, or that it was skipped."""
        match event.body:
            case StepEnded() as ended:
                if ended.is_success:
                    self.finished.append(event)
                    self.step = None
            case StepSkipped() as skipped:
                self.skipped.append(skipped.step)
            case _:
                self.step = event

    def fold_act(self, event: Event) -> None:
        """Take in what happened to an act. Taking it in twice changes nothing."""
        match event.body:
            case ActIntended() as intended:
                self.acts.setdefault(intended.act, record_of(intended, event))
            case ActEnded() as ended if ended.act in self.acts:
                self.acts[ended.act] = replace(self.acts[ended.act], outcome=ended.outcome, reason=ended.reason)
            case ActResolved() as resolved if resolved.act in self.acts:
                self.acts[resolved.act] = replace(
                    self.acts[resolved.act],
                    answer=resolved.answer,
                    evidence=resolved.evidence,
                    answered_by=event.actor,
                )
            case _:
                pass


def record_of(intended: ActIntended, event: Event) -> ActRecord:
    """Return the record of an act that was just intended."""
    return ActRecord(
        act=intended.act,
        trial=event.trial or 0,
        attempt=intended.attempt,
        step=intended.step,
        station=intended.station,
        device=intended.device,
        verb=intended.verb,
        action_class=ActionClass(intended.action_class),
        arguments=intended.arguments,
        intended_at=event.time.timestamp(),
    )


def policy_of(settings: Mapping[str, JsonValue]) -> JsonValue:
    """Return the policy for unknown trials among a campaign's recorded settings."""
    return settings.get("on_unknown")
