"""Takes notices to people: by e-mail and to webhooks, each at least once, with the number of the event that it is of.

It runs in a thread of its own and reads the journal; nothing of a campaign waits for it. A place that does not answer
is tried again, later and later, and holds up no other. Addresses come from the laboratory's file alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import logging
import os
import smtplib
import ssl
import stat
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from sdl.errors import AccessError, JournalError, LabError
from sdl.journal.protocol import Journal
from sdl.lab import WallClock
from sdl.server.notices import KINDS, Attention, MailServer, Notice, NoticeRule, Notices, Told

log = logging.getLogger("sdl.server")

PERIOD = 1.0
"""Wall seconds between two looks at the journal."""

TIMEOUT = 10.0
"""Wall seconds that a place has to answer."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
"""Wall seconds until a place that does not answer is tried again; twice as long each time."""

MAX_WAITING = 1000
"""Notices that wait for one place; the oldest goes first."""

MAX_TEXT = 1000
"""Characters of a notice."""

STATE = "notices.json"
"""The file in the folder of a server that says what has been told."""


class Carrier(Protocol):
    """Takes one notice to a place; raises where it does not get there."""

    def __call__(self, notice: Notice) -> None:
        """Take it there."""
        ...


@dataclass
class Round:
    """One rule: what it has told, and what still waits."""

    told: Told
    carry: Carrier
    done: int
    since: int = 0
    """The rule is new: it has told nothing of what was before this event."""
    waiting: deque[Notice] = field(default_factory=lambda: deque[Notice](maxlen=MAX_WAITING))
    n_failed: int = 0
    again_at: float = 0.0

    @property
    def reached(self) -> int:
        """The last event up to which everything has been told."""
        events = [each.sequence for each in self.waiting if each.occasion != "silent"]
        return min(events) - 1 if events else self.done


class Postman:
    """Tells people what happens in a laboratory.

    Parameters
    ----------
    notices
        Who is told of what.
    journal
        What happens.
    folder
        Where it is kept what has been told, so that a restart tells nothing twice.
    lab
        The name of the laboratory.
    time
        Seconds since 1970 by the laboratory's clock.
    base
        The folder that secrets are looked for in.
    monotonic
        Wall seconds that never go back.
    """

    def __init__(
        self,
        notices: Notices,
        journal: Journal,
        folder: Path,
        *,
        lab: str,
        time: Callable[[], float],
        base: Path | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._journal = journal
        self._state = folder / STATE
        self._time = time
        self._monotonic = monotonic or WallClock().monotonic
        self._attention = Attention()
        self._sequence = 0
        self._is_over = threading.Event()
        self._until = float("inf")  # when no other notice is begun
        self._thread: threading.Thread | None = None
        self._written: Mapping[str, int] = {}
        reached, head = self._read_state(), journal.head[0]
        self._rounds = {
            _name(rule): Round(
                Told(rule),
                carrier(rule, notices.mail, lab, base or folder),
                done=min(reached.get(_name(rule), head), head),
                since=0 if _name(rule) in reached else head,
            )
            for rule in notices.rules
        }

    def __enter__(self) -> Self:
        if self._rounds:
            self._thread = threading.Thread(target=self._run, name="sdl-postman", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._until = self._monotonic() + TIMEOUT
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(3 * TIMEOUT)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(PERIOD)  # and go once more: the last trials have ended meanwhile
            try:
                self.go()
            except JournalError:  # closed
                return
            except Exception:  # the border: the next round may do
                log.exception("notices could not be told")

    def go(self) -> None:
        """Look once at what is new, and tell it. What cannot be told now waits."""
        for event in self._journal.read(self._sequence, kinds=KINDS):
            self._sequence = event.sequence
            notice = self._attention.take(event)
            if notice is not None:
                self._note(notice, notice.time.timestamp())
        now = self._time()
        for each in self._rounds.values():
            each.done = max(each.done, self._sequence)
            for notice in [*self._attention.silent(now, each.told.rule)]:
                found = each.told.wanted(notice, now)
                if found is not None:
                    each.waiting.append(found)
        while sum(self._tell(each) for each in self._rounds.values()):  # in turns: a slow place holds up no other's all
            pass
        self._write_state()

    def _note(self, notice: Notice, now: float) -> None:
        for each in self._rounds.values():
            found = None if notice.sequence <= each.since else each.told.wanted(notice, now)
            if found is not None and notice.sequence > each.done:  # what was told before a restart is only remembered
                each.waiting.append(found)

    def _tell(self, each: Round) -> bool:
        """Tell one place the oldest that waits for it; say whether it may be told more."""
        if not each.waiting or self._monotonic() < each.again_at or self._monotonic() > self._until:
            return False
        try:
            each.carry(each.waiting[0])
        except Exception as error:  # noqa: BLE001 # the border: whatever a place does, the others are told
            each.n_failed += 1
            wait = min(FIRST_WAIT * 2 ** (each.n_failed - 1), LONGEST_WAIT)
            each.again_at = self._monotonic() + wait
            log.warning("%s was not told (%s); tried again in %.0f s", each.told.rule.place, type(error).__name__, wait)
            return False
        each.waiting.popleft()
        each.n_failed, each.again_at = 0, 0.0
        return True

    # --- what has been told ---------------------------------------------------------------------------------------

    def _read_state(self) -> Mapping[str, int]:
        try:
            found: dict[str, int] = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            log.warning("%s is damaged: notices begin anew", self._state)
            return {}
        return found

    def _write_state(self) -> None:
        now = {name: each.reached for name, each in self._rounds.items()}
        if now == self._written:
            return
        scratch = self._state.with_name(f".{STATE}.{os.getpid()}.part")
        scratch.write_text(json.dumps(now, indent=1), encoding="utf-8")
        scratch.replace(self._state)
        self._written = now


def _name(rule: NoticeRule) -> str:
    """Name a rule by what it says: one that is changed begins anew."""
    return hashlib.sha256(rule.to_json().encode()).hexdigest()[:16]


# --- the ways there ---------------------------------------------------------------------------------------------------


def carrier(rule: NoticeRule, mail: MailServer | None, lab: str, base: Path) -> Carrier:
    """Return what takes the notices of *rule* to their place. Raises AccessError for a secret that others can read."""
    if rule.webhook is not None:
        return Webhook(rule.webhook, secret_of(rule.secret_file, base), lab)
    assert mail is not None
    return Mail(mail, rule.mail, secret_of(mail.password_file, base), lab)


def secret_of(name: str | None, base: Path) -> str:
    """Read a secret from a file that only its owner can read; nothing where none is named."""
    if name is None:
        return ""
    path = base / name
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}", hint="the file holds a secret of the laboratory's") from None
    if stat.S_IMODE(mode) & 0o077:
        raise AccessError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return path.read_text(encoding="utf-8").strip()


def one_line(text: str) -> str:
    """Return *text* on one line, without what is no sign, and not too long."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return plain if len(plain) <= MAX_TEXT else plain[:MAX_TEXT] + "…"


@dataclass(frozen=True)
class Webhook:
    """Sends a notice as JSON. Redirects are not followed, and answers other than 2xx count as none."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    lab: str

    def __call__(self, notice: Notice) -> None:
        """Send it."""
        body = json.dumps(told(notice, self.lab), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-SDL-Sequence": str(notice.sequence)}
        if self.secret:
            headers["X-SDL-Signature"] = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection  # other clients log the whole address
        with closing(kind(str(parts.hostname), parts.port, timeout=TIMEOUT)) as line:
            line.request("POST", parts._replace(scheme="", netloc="", fragment="").geturl() or "/", body, headers)
            status = line.getresponse().status
        if not 200 <= status < 300:
            raise LabError(f"the webhook answered {status}")


def told(notice: Notice, lab: str) -> dict[str, Any]:
    """Return what a webhook gets."""
    return {
        "sequence": notice.sequence,
        "occasion": notice.occasion,
        "lab": lab,
        "campaign": notice.campaign,
        "trial": notice.trial,
        "text": one_line(notice.text),
        "time": notice.time.astimezone(dt.UTC).isoformat(),
    }


@dataclass(frozen=True)
class Mail:
    """Sends a notice as an e-mail."""

    server: MailServer
    to: tuple[str, ...]
    password: str = field(repr=False)
    lab: str

    def __call__(self, notice: Notice) -> None:
        """Send it."""
        message = self.letter(notice)
        with self._line() as line:
            if self.server.user is not None:
                line.login(self.server.user, self.password)
            if refused := line.send_message(message):  # only some: where all are, it raises
                log.warning("%s took a notice, but not for %s", self.server.host, ", ".join(refused))

    def letter(self, notice: Notice) -> EmailMessage:
        """Write it; the same notice has the same Message-ID, so that repeats can be dropped."""
        message = EmailMessage()
        about = f"{notice.campaign}: " if notice.campaign else ""
        message["Subject"] = one_line(f"[{self.lab}] {about}{notice.text}")[:200]
        message["From"] = self.server.sender
        message["To"] = ", ".join(self.to)
        domain = self.server.sender.rpartition("@")[2]
        key = hashlib.sha256(f"{self.lab} {notice.campaign} {notice.time} {notice.key}".encode()).hexdigest()[:16]
        message["Message-ID"] = f"<sdl-{notice.sequence}-{key}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        facts = [f"{name}: {value}" for name, value in told(notice, self.lab).items() if value not in {None, ""}]
        message.set_content(one_line(notice.text) + "\n\n" + "\n".join(facts) + "\n")
        return message

    def _line(self) -> smtplib.SMTP:
        server = self.server
        context = ssl.create_default_context(cafile=server.certificate)
        if server.security == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
        line = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
        if server.security == "starttls":
            try:
                line.starttls(context=context)
            except BaseException:
                line.close()
                raise
        return line
