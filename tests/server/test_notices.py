"""People are told what happens: once, in order, by mail and by webhook, and nothing secret is said aloud."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socketserver
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate

from sdl.errors import AccessError, ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.orders import ApprovalAsked
from sdl.journal.records import (
    Body,
    Entry,
    Failure,
    FailureCategory,
    SessionEnded,
    StepEnded,
    StepStarted,
    TrialFailed,
    TrialUnknown,
)
from sdl.server.laboratory import LabFile
from sdl.server.notices import MailServer, NoticeRule, Notices
from sdl.server.postman import Postman

NASTY = "no plasma\r\nBcc: everybody@example.org\x1b[2J"


@contextmanager
def running(server: socketserver.BaseServer) -> Generator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Hook(HTTPServer):
    """A webhook, which answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


class HookHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # its name
        """Say nothing."""


class Post(socketserver.TCPServer):
    """A mail server that speaks STARTTLS and wants a password."""

    def __init__(self, tls: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", 0), PostHandler)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(*tls)
        self.letters: list[str] = []
        self.logins: list[bytes] = []


class PostHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Post)
        self.say("220 ready")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            answer: Callable[[bytes], bool] = getattr(self, f"on_{word.decode().lower()}", self.fine)
            if not answer(line):
                return

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def fine(self, _line: bytes) -> bool:
        self.say("250 fine")
        return True

    def on_ehlo(self, _line: bytes) -> bool:
        self.say("250-here")
        if not isinstance(self.request, ssl.SSLSocket):
            self.say("250-STARTTLS")
        self.say("250 AUTH PLAIN")
        return True

    def on_starttls(self, _line: bytes) -> bool:
        assert isinstance(self.server, Post)
        self.say("220 go on")
        self.request = self.connection = self.server.context.wrap_socket(self.request, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined] # as it is made
        return True

    def on_auth(self, line: bytes) -> bool:
        assert isinstance(self.server, Post)
        assert isinstance(self.request, ssl.SSLSocket)
        self.server.logins.append(base64.b64decode(line.split()[-1]))
        self.say("235 known")
        return True

    def on_data(self, _line: bytes) -> bool:
        assert isinstance(self.server, Post)
        self.say("354 go on")
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        self.server.letters.append(b"".join(lines).decode())
        return self.fine(line)

    def on_quit(self, _line: bytes) -> bool:
        self.say("221 bye")
        return False


class Stage:
    """A journal, a clock, and somebody who tells."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall = 0.0
        self.now = 1_800_000_000.0
        self.journal = MemoryJournal(time_source=self)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def write(self, body: Body, campaign: str = "films", trial: int | None = 3) -> None:
        self.journal.append(Entry(body, campaign, trial))

    def fail(self, trial: int, campaign: str = "films") -> None:
        self.write(TrialFailed(failure=Failure(category=FailureCategory.DEVICE, reason=NASTY)), campaign, trial)

    def postman(self, *rules: NoticeRule, mail: MailServer | None = None) -> Postman:
        notices = Notices(rules=rules, mail=mail)
        return Postman(notices, self.journal, self.folder, lab="thin-film", time=self.time, monotonic=lambda: self.wall)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def hook() -> Generator[Hook]:
    found = Hook()
    with running(found):
        yield found


def rule(hook: Hook, *when: str, **more: Any) -> NoticeRule:
    return NoticeRule.from_data(
        {"when": list(when), "webhook": f"http://127.0.0.1:{hook.server_port}/T0P/secret", **more}
    )


def test_what_happens_is_told_once_with_its_number(stage: Stage, hook: Hook) -> None:
    postman = stage.postman(rule(hook, "failed", "unknown", "approval", "target", "ended"))
    stage.fail(1)
    stage.fail(2)  # of the same campaign, at once: not told again
    stage.fail(1, "others")
    stage.write(TrialUnknown(attempt=1, reason="it was killed"))
    stage.write(ApprovalAsked(request="films/4", level=1, trials=(4, 5), because="each batch is approved"))
    stage.write(SessionEnded(session=1, status="finished", reason="target reached: resistance in trial 3"))
    stage.write(SessionEnded(session=1, status="finished", reason="the budget is spent"))
    stage.write(SessionEnded(session=2, status="error", reason="no planner answers"))
    for _ in range(3):
        postman.go()
    told = [(each["sequence"], each["occasion"], each["campaign"]) for each in hook.notices]
    assert told == [
        (1, "failed", "films"),
        (3, "failed", "others"),
        (4, "unknown", "films"),
        (5, "approval", "films"),
        (6, "target", "films"),
        (8, "ended", "films"),
    ]
    assert hook.notices[0]["text"] == "trial 1 failed (device): no plasma Bcc: everybody@example.org [2J"
    assert hook.got[0][0]["X-SDL-Sequence"] == "1"
    stage.now += 7200.0
    stage.fail(9)
    postman.go()
    assert hook.notices[-1]["text"].endswith("(and 1 more of the kind since the last notice)")


def test_a_step_that_takes_twice_as_long_as_usual_is_told_of(stage: Stage, hook: Hook) -> None:
    postman = stage.postman(rule(hook, "silent", silent_after=1000.0))
    for trial in (1, 2, 3):
        stage.write(StepStarted(step="anneal", station="furnace", attempt=1), trial=trial)
        stage.now += 100.0
        ended = StepEnded(step="anneal", station="furnace", attempt=1, is_success=True, seconds=100.0)
        stage.write(ended, trial=trial)
    stage.write(StepStarted(step="anneal", station="furnace", attempt=1), trial=4)
    stage.write(StepStarted(step="look", station="eye", attempt=1), trial=5)
    stage.now += 190.0
    postman.go()
    assert hook.notices == []
    stage.now += 20.0
    postman.go()
    postman.go()
    (told,) = hook.notices
    assert (told["trial"], told["occasion"]) == (4, "silent")
    assert told["text"].endswith("on furnace: 100 s are usual")
    stage.write(StepEnded(step="anneal", station="furnace", attempt=1, is_success=True, seconds=210.0), trial=4)
    stage.now += 1000.0
    postman.go()
    assert [each["trial"] for each in hook.notices] == [4, 5]  # nobody knows how long that one takes


def test_what_it_takes_to_make_a_station_ready_is_not_silence(stage: Stage, hook: Hook) -> None:
    postman = stage.postman(rule(hook, "silent"))

    def begin(trial: int, key: str) -> None:
        stage.write(StepStarted(step="anneal", station="furnace", attempt=1, setup_key=key), trial=trial)

    def end(trial: int, key: str, setup: float) -> None:
        stage.now += 100.0 + setup
        ended = StepEnded(step="anneal", station="furnace", attempt=1, is_success=True, seconds=100.0 + setup)
        stage.write(ended.replace(setup_key=key, setup_seconds=setup), trial=trial)

    for trial, key in enumerate(("air", "argon", "air"), 1):
        begin(trial, key)
        end(trial, key, 500.0)
    begin(4, "argon")
    stage.now += 1000.0
    postman.go()
    assert hook.notices == []  # twice 100 s, and twice 500 s before
    end(4, "argon", 500.0)
    begin(5, "argon")
    stage.now += 210.0
    postman.go()
    assert [each["trial"] for each in hook.notices] == [5]


def test_what_happened_last_is_told_before_the_end(stage: Stage, hook: Hook) -> None:
    with stage.postman(rule(hook, "failed")):
        stage.fail(1)
    assert [each["sequence"] for each in hook.notices] == [1]


def test_who_does_not_answer_is_told_later_and_others_at_once(stage: Stage, hook: Hook, caplog: Any) -> None:
    other = Hook()
    with running(other):
        postman = stage.postman(rule(hook, "failed"), rule(other, "failed", campaigns=["films"]))
        hook.status = 302  # a redirect is followed by nobody
        stage.fail(1)
        stage.fail(1, "others")
        with caplog.at_level(logging.WARNING):
            postman.go()
            postman.go()  # too early to try again
        assert [each["sequence"] for each in other.notices] == [1]
        assert caplog.messages == ["127.0.0.1 was not told (LabError); tried again in 1 s"]
        hook.status = 200
        again = stage.postman(rule(hook, "failed"), rule(other, "failed", campaigns=["films"]))  # after a kill
        again.go()
        assert [each["sequence"] for each in hook.notices] == [1, 2]
        assert len(other.notices) == 1
        stage.postman(rule(hook, "failed")).go()
        assert len(hook.notices) == 2


def test_a_webhook_is_signed_and_mail_is_sent_over_tls(stage: Stage, hook: Hook, caplog: Any) -> None:
    for name, text in (("hook.secret", "s3cret"), ("mail.secret", "passw0rd")):
        (stage.folder / name).touch(mode=0o600)
        (stage.folder / name).write_text(text + "\n")
    tls = certificate(stage.folder)
    post = Post(tls)
    with running(post), caplog.at_level(logging.DEBUG):
        mail = MailServer(
            host="127.0.0.1",
            port=post.server_address[1],
            sender="lab@example.org",
            user="lab",
            password_file="mail.secret",
            certificate=str(tls[0]),
        )
        letter = NoticeRule(when=("failed",), mail=("kim@example.org", "lee@example.org"))
        stage.postman(letter, rule(hook, "failed", secret_file="hook.secret"), mail=mail).go()
        stage.fail(1)
        postman = stage.postman(letter, rule(hook, "failed", secret_file="hook.secret"), mail=mail)
        postman.go()
    headers, body = hook.got[0]
    assert headers["X-SDL-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert post.logins == [b"\0lab\0passw0rd"]
    (sent,) = post.letters
    head, _, text = sent.partition("\r\n\r\n")
    assert "To: kim@example.org, lee@example.org" in head
    assert "\r\nBcc" not in head
    assert "Message-ID: <sdl-1-" in head
    assert "campaign: films" in text
    assert "T0P" not in caplog.text + (stage.folder / "notices.json").read_text()  # an address is often a secret
    for secret in ("s3cret", "passw0rd"):
        assert secret not in caplog.text + repr(postman.__dict__)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"rules": [{"when": ["failed"], "webhook": "http://example.org/x"}]}, "is none"),
        ({"rules": [{"when": ["failed"], "webhook": "https://example.org:99999/x"}]}, "address that is none"),
        ({"rules": [{"when": ["failed"], "webhook": "https://example.org/a b"}]}, "signs that no address has"),
        ({"rules": [{"when": ["failed"], "webhook": "https://me:pw@example.org/x"}]}, "names a user"),
        ({"rules": [{"when": ["failed"]}]}, "addresses of mail, or a webhook"),
        ({"rules": [{"when": ["failed"], "mail": ["kim@example.org"]}]}, "no mail server"),
        ({"rules": [{"when": ["failed"], "mail": ["a@b.c\nBcc: d@e.f"]}]}, "mail"),
        ({"mail": {"host": "example.org", "sender": "a@b.c", "security": "none"}}, "in the clear"),
        ({"rules": [{"when": [], "webhook": "https://example.org/x"}]}, "when"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ProblemError, match=what):
        LabFile.from_data({"type": "thin-film", "notices": wrong})


def test_a_secret_that_others_can_read_is_refused(stage: Stage, hook: Hook) -> None:
    (stage.folder / "open.secret").write_text("x")
    with pytest.raises(AccessError, match="can be read by others"):
        stage.postman(rule(hook, "failed", secret_file="open.secret"))
