"""What stands before every route: the host, the origin, the size, the token, and how often somebody may ask.

It wraps the whole application, so that nothing is reached that it has not let through: what is not named here is
refused. There are no cookies, so that no other page can act in a person's name.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sdl.server.identities import PREFIX, Identity, UsersFile
from sdl.server.limits import Buckets

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"

PUBLIC = frozenset(("/api/v1/health", "/api/v1/openapi.json"))
"""What of the API answers without a token. The page does, too: it holds no data."""

MAX_BODY = 1_000_000
"""Bytes of a request."""

MAX_HEADERS = 100
MAX_PATH = 2000

LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")

IDENTITY = "sdl.identity"
"""Where the identity stands in the scope of a request."""

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = (
    (b"content-security-policy", PAGE_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
"""What every answer carries."""

TOKEN_WORDS = frozenset(("token", "access_token", "api_key", "authorization"))
"""Names under which a token has no place in an address: addresses are logged."""


@dataclass
class Guard:
    """Lets requests through to *app*, or answers them.

    Parameters
    ----------
    app
        What answers them.
    users
        Who may ask.
    hosts
        The names, without ports, under which the server may be asked.
    monotonic
        Seconds that never go back.
    """

    app: App
    users: UsersFile
    hosts: frozenset[str]
    monotonic: Callable[[], float]

    def __post_init__(self) -> None:
        self.failures = Buckets(20, 1.0, self.monotonic)
        self.asked = Buckets(300, 60.0, self.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have it answered."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # there is no socket that anybody may open
            return
        refusal = self._refusal(scope)
        answer = with_headers(send, is_api=str(scope["path"]).startswith(API))
        if refusal is not None:
            await refusal.send(answer)
            return
        meter = Meter(receive, answer, MAX_BODY)
        await self.app(scope, meter.receive, meter.send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = _headers(scope)
        for check in (self._host, self._shape, self._origin, self._who):
            refusal = check(scope, headers)
            if refusal is not None:
                return refusal
        return None

    def _host(self, _scope: Scope, headers: dict[str, str]) -> Refusal | None:
        if host_of(headers.get("host", "")) in self.hosts:
            return None
        hint = "the laboratory's file lists the names that it has: hosts: [lab.example.org]"
        return Refusal(421, "Misdirected", "this server does not answer under that name", hint)

    def _shape(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return TOO_LARGE
        if len(scope["headers"]) > MAX_HEADERS or len(scope["path"]) > MAX_PATH:
            return Refusal(431, "TooLarge", "the head of the request is too large")
        names = {name.lower() for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)}
        if names & TOKEN_WORDS or PREFIX.encode() in scope["query_string"]:
            hint = "send it in the header Authorization: Bearer"
            return Refusal(400, "TokenInAddress", "a token has no place in an address: addresses are logged", hint)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = length != "0" or "transfer-encoding" in headers
        if has_body and kind != "application/json":
            return Refusal(415, "NotJson", f"a body is application/json, not {kind or 'nothing'}")
        return None

    def _origin(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        origin = headers.get("origin")
        is_foreign = origin is not None and (
            "://" not in origin or host_of(origin.partition("://")[2]) not in self.hosts
        )
        is_cross_site = headers.get("sec-fetch-site") in {"cross-site", "same-site"} and str(scope["path"]).startswith(
            API
        )
        if is_foreign or is_cross_site:
            return Refusal(403, "ForeignOrigin", "another site's page may not ask here")
        return None

    def _who(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        if scope["path"] in PUBLIC or not str(scope["path"]).startswith(API):
            return self._too_often(f"address {_address(scope)}")
        identity = self._identity(headers)
        if identity is None:
            wait = self.failures.take(_address(scope))
            if wait:
                return too_many(wait)
            hint = "send Authorization: Bearer sdl_...; sdl users makes tokens"
            return Refusal(401, "NotKnown", "no token, or one that is nobody's", hint)
        scope[IDENTITY] = identity
        return self._too_often(f"identity {identity.name}")

    def _too_often(self, key: str) -> Refusal | None:
        wait = self.asked.take(key)
        return too_many(wait) if wait else None

    def _identity(self, headers: dict[str, str]) -> Identity | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.startswith(PREFIX) or len(token) > 200:
            return None
        return self.users.read().holding(token)


@dataclass(frozen=True)
class Refusal:
    """An answer in the place of the application's."""

    status: int
    title: str
    detail: str
    hint: str = ""
    retry_after: int = 0

    async def send(self, send: Send) -> None:
        """Send it."""
        data = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        body = json.dumps({**data, "hint": self.hint, "errors": []}).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        if self.retry_after:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


TOO_LARGE = Refusal(413, "TooLarge", f"a request has {MAX_BODY} bytes at most")


def too_many(seconds: float) -> Refusal:
    """Return the answer to somebody who asks too often."""
    wait = max(1, round(seconds + 0.5))
    return Refusal(429, "TooMany", "too many requests", f"wait {wait} s", retry_after=wait)


def with_headers(send: Send, *, is_api: bool) -> Send:
    """Return what sends an answer with the headers that every answer carries."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = (*HEADERS, (b"cache-control", b"no-store" if is_api else b"no-cache"))
            present = {name.lower() for name, _ in message.get("headers", [])}
            message["headers"] = [
                *message.get("headers", []),
                *((name, value) for name, value in more if name not in present),
            ]
        await send(message)

    return sending


class TooLargeError(Exception):
    """A body that did not say how large it is goes on for too long."""


class Meter:
    """Counts the bytes of a body, and answers in the place of the application where there are more than *most*."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive = receive
        self._send = send
        self._left = most
        self._is_answered = False

    async def receive(self) -> Message:
        """Receive the next part of the body."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLargeError
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if self._left >= 0:
            await self._send(message)
        elif not self._is_answered:
            self._is_answered = True
            await TOO_LARGE.send(self._send)


def host_of(text: str) -> str:
    """Return the name of a host without its port, in lower case; of IPv6 addresses without the brackets."""
    text = text.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def known_hosts(more: Iterable[str]) -> frozenset[str]:
    """Return the names of this machine for itself, and *more*."""
    return frozenset(host_of(each) for each in (*LOCAL, *more))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "nowhere"
