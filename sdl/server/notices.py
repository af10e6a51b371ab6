"""What people are told of without being asked: which events of the journal are worth a message, and to whom it goes.

Everything here is a fold over the journal: after a restart the same events give the same notices.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from sdl.errors import ProblemError
from sdl.journal.orders import ApprovalAsked
from sdl.journal.records import Event, SessionEnded, StepEnded, StepStarted, TrialFailed, TrialUnknown
from sdl.journal.safety import LatchSet
from sdl.lab.schedule.durations import CHANGEOVER, ENOUGH, Durations
from sdl.problem.value import Tuple, Value
from sdl.server.machine import is_local

Occasion = Literal["failed", "unknown", "approval", "target", "silent", "task", "ended", "latched"]
"""When somebody is told: a trial failed; nobody knows how far one came; an approval is asked for; a target is reached;
a step takes twice as long as expected; a person is asked to do something; a campaign ended before its time; a station
was closed by an interlock."""

KINDS = (
    "trial.failed",
    "trial.unknown",
    "approval.asked",
    "task.asked",
    "safety.latched",
    "session.started",
    "session.ended",
    "step.started",
    "step.ended",
)
"""The kinds of events that notices come from."""

TIMES = 2.0
"""A step is silent when it takes so many times what is expected."""

SILENT_AGAIN = 60.0
"""Seconds between two notices of the same silent step, at least: it is looked at every second."""

TARGET = "target reached"
"""What the reason of a session begins with that ended because its target was reached."""

HOUR = 3600.0


class MailServer(Value):
    """Who takes e-mail.

    Parameters
    ----------
    host, port, security
        Where, and how the line is kept from others: ``starttls`` (587), ``tls`` (465); ``none`` on this machine only.
    sender
        Whom it comes from.
    user, password_file
        Who sends it; the password stands alone in a file that only its owner can read.
    certificate
        The file of a certificate that this machine does not know.
    """

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[str, Field(pattern=r"^[^\s@,<>]+@[^\s@,<>]+$")]
    user: str | None = None
    password_file: str | None = None
    certificate: str | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.security == "none" and not is_local(self.host):
            raise ProblemError(f"mail to {self.host} would cross the network in the clear", hint="security: starttls")
        if (self.user is None) != (self.password_file is None):
            raise ProblemError("a mail server takes a user and a password_file, or neither")
        return self


class NoticeRule(Value):
    """Who is told of what.

    Parameters
    ----------
    when
        The occasions.
    mail
        Addresses.
    webhook
        A URL that gets the notice as JSON.
    secret_file
        Holds a secret that signs what the webhook gets (``X-SDL-Signature``: HMAC-SHA256 of the body).
    campaigns
        Only these; empty: all.
    again_after
        Seconds in which the like is not told again: another failure of the same campaign, the same silent step.
    silent_after
        Seconds that a step may take of which it is not known how long it takes.
    """

    when: Annotated[Tuple[Occasion], Field(min_length=1)]
    mail: Tuple[Annotated[str, Field(pattern=r"^[^\s@,<>]+@[^\s@,<>]+$")]] = ()
    webhook: str | None = None
    secret_file: str | None = None
    campaigns: Tuple[str] = ()
    again_after: Annotated[float, Field(ge=0)] = HOUR
    silent_after: Annotated[float, Field(gt=0)] = 6 * HOUR

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if bool(self.mail) == (self.webhook is not None):
            raise ProblemError("a rule has addresses of mail, or a webhook", hint="write two rules for both")
        if self.secret_file is not None and self.webhook is None:
            raise ProblemError("a secret_file signs what a webhook gets", hint="leave it out")
        if self.webhook is not None:
            _check_webhook(self.webhook)
        return self

    @property
    def place(self) -> str:
        """Where it goes, without what may be a secret in an address."""
        return ", ".join(self.mail) or str(urlsplit(self.webhook or "").hostname)


def _check_webhook(url: str) -> None:
    """Raise ProblemError for what nothing could be sent to; it does not say the path, which is often a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ProblemError(f"a webhook has an address that is none: {error}", hint="https://...") from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local(host))
    if not is_safe or not host or port == 0:
        raise ProblemError(f"a webhook at {parts.scheme}://{host} is none", hint="https://...")
    if not url.isascii() or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise ProblemError(f"the webhook at {host} has signs that no address has", hint="write them as %20, %C3%A9")
    if "@" in parts.netloc:
        raise ProblemError(f"the webhook at {host} names a user, who is not sent", hint="sign it: secret_file: ...")


class Notices(Value):
    """Who is told of what, and by which mail server."""

    rules: Tuple[NoticeRule] = ()
    mail: MailServer | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.mail is None and any(rule.mail for rule in self.rules):
            raise ProblemError(
                "notices go by mail, and there is no mail server", hint="add mail: {host: ..., sender: ...}"
            )
        return self


class Notice(NamedTuple):
    """Something worth a message.

    Parameters
    ----------
    sequence
        The event that it is about: receivers drop what they have had.
    occasion, campaign, trial, text, time
        What happened, to whom, when.
    key
        Notices with the same key are about the like.
    """

    sequence: int
    occasion: Occasion
    campaign: str
    trial: int | None
    text: str
    time: dt.datetime
    key: str


@dataclass(frozen=True)
class _Running:
    """A step that has begun; ``is_made_ready``: the station has to be made ready for it first."""

    event: Event
    body: StepStarted
    is_made_ready: bool

    @property
    def trials(self) -> str:
        return ", ".join(map(str, self.body.members)) or str(self.event.trial)


@dataclass
class Attention:
    """Reads events in order, and says which are worth a notice."""

    durations: Durations = field(default_factory=Durations)
    ready_for: dict[str, str] = field(default_factory=dict[str, str])
    """What each station was made ready for, by the last step that it ended."""
    running: dict[tuple[str, int | None, str], _Running] = field(
        default_factory=dict["tuple[str, int | None, str]", _Running]
    )

    def take(self, event: Event) -> Notice | None:
        """Take in an event; return what is to be told of it."""
        self.durations.take(event)
        match event.body:
            case StepStarted() as body:
                is_made_ready = bool(body.setup_key) and body.setup_key != self.ready_for.get(body.station)
                self.running[event.campaign, event.trial, body.step] = _Running(event, body, is_made_ready)
            case StepEnded() as body:
                self.running.pop((event.campaign, event.trial, body.step), None)
                if body.setup_key:
                    self.ready_for[body.station] = body.setup_key if body.is_success else ""
            case _ if event.kind in {"session.started", "session.ended"}:
                self.ready_for.clear()
                gone = [key for key in self.running if key[0] == event.campaign]
                for key in gone:
                    del self.running[key]
            case _:
                pass
        return _told(event)

    def silent(self, now: float, rule: NoticeRule) -> Generator[Notice]:
        """Yield what is to be told of steps that take too long at the time *now*, in seconds since 1970."""
        for each in self.running.values():
            event, body = each.event, each.body
            if body.members and event.trial != body.members[0]:
                continue  # of a run of several samples the first one speaks
            seconds = now - event.time.timestamp()
            limit, why = self._limit(each, rule)
            if seconds > limit:
                text = f"step {body.step} of trial {each.trials} has run for {seconds:.0f} s on {body.station}: {why}"
                key = f"silent {event.sequence}"
                yield Notice(event.sequence, "silent", event.campaign, event.trial, text, event.time, key)

    def _limit(self, each: _Running, rule: NoticeRule) -> tuple[float, str]:
        campaign, step, station = each.event.campaign, each.body.step, each.body.station
        found = self.durations.estimate(campaign, step, station)
        if found.n_seen < ENOUGH:
            return rule.silent_after, f"nobody knows how long it takes, and {rule.silent_after:.0f} s are allowed"
        if not each.is_made_ready:
            return TIMES * found.median, f"{found.median:.0f} s are usual"
        before = self.durations.estimate(campaign, CHANGEOVER.format(step), station).median
        return TIMES * (found.median + before), f"{found.median:.0f} s are usual, after {before:.0f} s to make it ready"


def _told(event: Event) -> Notice | None:
    """Return what is to be told of one event."""
    found = _said(event)
    if found is None:
        return None
    occasion, text, key = found
    return Notice(event.sequence, occasion, event.campaign, event.trial, text, event.time, f"{occasion} {key}")


def _said(event: Event) -> tuple[Occasion, str, str] | None:
    """Return the occasion, what is said, and what the like is known by."""
    name, trial = event.campaign, event.trial
    found: tuple[Occasion, str, str] | None = None
    match event.body:
        case TrialFailed(failure=failure):
            where = f" in step {failure.step}" if failure.step else ""
            found = "failed", f"trial {trial} failed{where} ({failure.category.value}): {failure.reason}", name
        case TrialUnknown(reason=reason):
            found = "unknown", f"nobody knows how far trial {trial} came: {reason}", f"{name} {trial}"
        case ApprovalAsked(request=request, trials=trials, because=because):
            found = "approval", f"trial {', '.join(map(str, trials))} waits for approval: {because}", request
        case LatchSet(station=station, reason=reason):
            found = "latched", f"station {station} is closed until a person has looked: {reason}", station
        case SessionEnded(status="finished", reason=reason) if reason.startswith(TARGET):
            found = "target", reason, name
        case SessionEnded(status="stopped" | "aborted" | "error" as status, reason=reason):
            found = "ended", f"the campaign {status}: {reason}", f"{name} {event.sequence}"
        case _ if event.kind == "task.asked":
            asked = json.loads(event.text)
            found = "task", f"{asked['person']} is asked: {asked['text']}", str(asked["task"])
        case _:
            pass
    return found


@dataclass
class Told:
    """What one rule has told, so that the like is not told again at once."""

    rule: NoticeRule
    last: dict[str, float] = field(default_factory=dict[str, float])
    held_back: dict[str, int] = field(default_factory=dict[str, int])

    def wanted(self, notice: Notice, now: float) -> Notice | None:
        """Return *notice* as it is to be told at the time *now*; None where it is not."""
        rule = self.rule
        if notice.occasion not in rule.when or (rule.campaigns and notice.campaign not in rule.campaigns):
            return None
        last = self.last.get(notice.key)
        pause = max(rule.again_after, SILENT_AGAIN) if notice.occasion == "silent" else rule.again_after
        if last is not None and now - last < pause:
            self.held_back[notice.key] = self.held_back.get(notice.key, 0) + 1
            return None
        self.last[notice.key] = now
        n = self.held_back.pop(notice.key, 0)
        more = f" (and {n} more of the kind since the last notice)" if n and notice.occasion != "silent" else ""
        return notice._replace(text=notice.text + more)
