"""Trials, steps and acts as spans of OpenTelemetry: a trace for each attempt at a trial, folded from the journal.

A span has the times of the events that it comes from, so that it may be made while a campaign runs or years later. It
names things and says how they ended; what was chosen and measured is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdl.journal.acts import ActEnded, ActIntended
from sdl.journal.records import (
    AttemptFailed,
    Event,
    StepEnded,
    StepStarted,
    TrialFailed,
    TrialStarted,
    TrialUnknown,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

KINDS = (
    "session.started",
    "trial.started",
    "trial.attempt_failed",
    "trial.completed",
    "trial.failed",
    "trial.unknown",
    "trial.abandoned",
    "step.started",
    "step.ended",
    "act.intended",
    "act.ended",
)
"""The kinds of events that spans come from."""

Key = tuple[str, int | None]


@dataclass
class _Open:
    """An attempt at a trial that has begun, and what has begun in it."""

    span: Span
    steps: dict[str, Span] = field(default_factory=dict[str, "Span"])
    acts: dict[str, Span] = field(default_factory=dict[str, "Span"])

    def end(self, at: int) -> None:
        for each in (*self.acts.values(), *self.steps.values(), self.span):
            each.end(at)


class Spans:
    """Makes spans of events. Feed it events in order.

    Parameters
    ----------
    tracer
        Where they go.
    lab
        The name of the laboratory.
    """

    def __init__(self, tracer: Tracer, lab: str) -> None:
        self._tracer = tracer
        self._lab = lab
        self._open: dict[Key, _Open] = {}

    @property
    def n_open(self) -> int:
        """How many attempts have begun and not ended."""
        return len(self._open)

    def take(self, event: Event) -> None:
        """Take in an event."""
        if event.kind == "session.started":
            self._cut_off(event)
            return
        match event.body:
            case TrialStarted(attempt=attempt):
                self._begin(event, attempt)
            case StepStarted() as body:
                self._begin_step(event, body)
            case StepEnded() as body:
                self._end_step(event, body)
            case ActIntended() as body:
                self._begin_act(event, body)
            case ActEnded() as body:
                self._end_act(event, body)
            case _:
                self._end(event)

    def _span(self, name: str, event: Event, parent: Span | None, **more: str | int) -> Span:
        from opentelemetry.context import Context  # noqa: PLC0415 # an extra
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 # an extra

        known: dict[str, str | int] = {
            "sdl.lab": self._lab,
            "sdl.campaign": event.campaign,
            "sdl.trial": event.trial or 0,
        }
        named = {f"sdl.{key}": value for key, value in more.items()}
        where = Context() if parent is None else set_span_in_context(parent)
        return self._tracer.start_span(name, where, attributes={**known, **named}, start_time=_nanoseconds(event))

    # --- beginnings -----------------------------------------------------------------------------------------------

    def _begin(self, event: Event, attempt: int) -> _Open:
        made = _Open(self._span("trial", event, None, attempt=attempt))
        self._open[event.campaign, event.trial] = made
        return made

    def _of(self, event: Event, attempt: int) -> _Open:
        """Return the attempt that an event is of; one that began before anybody looked begins now."""
        return self._open.get((event.campaign, event.trial)) or self._begin(event, attempt)

    def _begin_step(self, event: Event, body: StepStarted) -> None:
        attempt = self._of(event, body.attempt)
        members = ",".join(map(str, body.members))
        more: dict[str, str | int] = {"station": body.station, "attempt": body.attempt, "members": members}
        attempt.steps[body.step] = self._span(f"step {body.step}", event, attempt.span, **more)

    def _begin_act(self, event: Event, body: ActIntended) -> None:
        attempt = self._of(event, body.attempt)
        parent = attempt.steps.get(body.step, attempt.span)
        more = {"act": body.act, "device": body.device, "verb": body.verb, "class": body.action_class}
        attempt.acts[body.act] = self._span(f"act {body.device}.{body.verb}", event, parent, **more)

    # --- ends -----------------------------------------------------------------------------------------------------

    def _end_step(self, event: Event, body: StepEnded) -> None:
        attempt = self._open.get((event.campaign, event.trial))
        span = None if attempt is None else attempt.steps.pop(body.step, None)
        if span is not None:
            span.set_attribute("sdl.runs", list(body.runs))
            _close(span, event, "" if body.is_success else "the step failed")

    def _end_act(self, event: Event, body: ActEnded) -> None:
        attempt = self._open.get((event.campaign, event.trial))
        span = None if attempt is None else attempt.acts.pop(body.act, None)
        if span is not None:
            _close(span, event, "" if body.outcome == "done" else f"it ended as {body.outcome}")

    def _end(self, event: Event) -> None:
        attempt = self._open.pop((event.campaign, event.trial), None)
        if attempt is None:
            return
        why = {"trial.abandoned": "abandoned"}.get(event.kind, "")
        match event.body:
            case TrialFailed(failure=failure) | AttemptFailed(failure=failure):
                why = f"{failure.category.value}: {failure.reason}"
            case TrialUnknown(reason=reason):
                why = f"unknown: {reason}"
            case _:
                pass
        attempt.span.set_attribute("sdl.end", event.kind.partition(".")[2])
        _mark(attempt.span, why)
        attempt.end(_nanoseconds(event))

    def _cut_off(self, event: Event) -> None:
        """End what a session before has left open: its process is gone."""
        for key in [key for key in self._open if key[0] == event.campaign]:
            attempt = self._open.pop(key)
            _mark(attempt.span, "the process that ran it is gone")
            attempt.end(_nanoseconds(event))


def _close(span: Span, event: Event, why: str) -> None:
    _mark(span, why)
    span.end(_nanoseconds(event))


def _mark(span: Span, why: str) -> None:
    """Say on a span what went wrong; nothing where nothing did."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 # an extra

    if why:
        span.set_status(Status(StatusCode.ERROR, why[:500]))


def _nanoseconds(event: Event) -> int:
    return round(event.time.timestamp() * 1e6) * 1000
