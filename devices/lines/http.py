"""Instruments with a web interface: a request is a method, a path and perhaps a body.

===============================  ====================================================================================
``GET /status``                  the body of the reply
``GET /status#/heater/actual``   the part of the reply that a JSON pointer (RFC 6901) names
``PUT /heater {"target": 80}``   ``OK``, whatever the body of the reply; POST, PATCH and DELETE likewise
``POST /measure#``               the body of the reply; and with a pointer, a part of it
===============================  ====================================================================================

A status of 400 and more is a refusal. A redirection is one too: a request goes where it was sent, and nowhere else.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdl.devices.lines.extras import library, pick, read_json, said
from sdl.devices.transport import LARGEST_ANSWER, GuardedTransport, bounded
from sdl.errors import DeviceError, DeviceTimeout, TransportError

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")


class HttpTransport(GuardedTransport):
    """Requests over HTTP, by httpx (``pip install 'sdl[instruments]'``).

    No request is repeated, no redirection followed, and no proxy of the environment used.

    Parameters
    ----------
    address
        ``http://host:port`` or ``https://host``, and perhaps a path that all requests have in common.
    headers
        Sent with every request, such as ``{"Authorization": "Bearer …"}``. They are in no message and no recording.
    authority
        A file with the certificates that an ``https`` server's is checked with; None takes those that this computer
        trusts.
    timeout_s
        Longest wait for an answer.
    largest
        Bytes that an answer may have.
    """

    def __init__(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        authority: Path | str | None = None,
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(name=address.rstrip("/"), timeout_s=timeout_s)
        self._headers = dict(headers or {})
        self._largest = largest
        self._client: Any = None
        self._httpx = library("httpx", "HttpTransport")
        # Reading the certificates takes a tenth of a second, which is not to pass on the loop.
        self._trust = ssl.create_default_context(cafile=authority) if address.startswith("https:") else False

    async def _connect(self) -> None:
        self._client = self._httpx.AsyncClient(
            headers=self._headers, timeout=self._timeout_s, follow_redirects=False, trust_env=False, verify=self._trust
        )

    async def _disconnect(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _ask(self, message: str) -> str | DeviceError:
        method, path, pointer, body = self._read(message)
        status, text = await self._exchanged(method, path, body)
        if not 200 <= status < 300:
            return DeviceError(
                f"{self.name} refused {message!r} with status {status}: {text[:200] or 'no reason given'}"
            )
        if pointer is None:
            return text if method == "GET" else "OK"
        try:
            return said(pick(read_json(text, f"the answer of {self.name}"), pointer)) if pointer else text
        except DeviceError as error:
            return error

    def _read(self, message: str) -> tuple[str, str, str | None, str]:
        """Split a message into method, path, pointer and body."""
        method, _, rest = message.partition(" ")
        target, _, body = rest.partition(" ")
        path, hash_, pointer = target.partition("#")
        if method not in METHODS or not path.startswith("/"):
            raise TransportError(
                f"{self.name}: {message!r} is no request", hint='it is as in "GET /status" or "PUT /heater {…}"'
            )
        return method, path, pointer if hash_ else None, body

    async def _exchanged(self, method: str, path: str, body: str) -> tuple[int, str]:
        kind = "application/json" if body.startswith(("{", "[")) else "text/plain; charset=utf-8"
        headers = {"Content-Type": kind} if body else {}
        try:
            async with self._client.stream(
                method, self.name + path, content=body.encode() if body else None, headers=headers
            ) as reply:
                data = bytearray()
                async for chunk in reply.aiter_bytes():
                    data += chunk
                    bounded(data, self._largest)
                return int(reply.status_code), data.decode("utf-8", errors="replace").strip()
        except self._httpx.TimeoutException as error:
            raise DeviceTimeout(f"{self.name} did not answer {method} {path} within {self._timeout_s:g} s") from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise TransportError(f"{self.name}: the line broke at {method} {path}: {error}") from error
