"""Requests over HTTP to a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sdl.devices import Transport
from sdl.devices.lines import HttpTransport
from sdl.errors import DeviceError, DeviceTimeout, TransportError


class Heater(BaseHTTPRequestHandler):
    """A heater with a small web interface."""

    heard: list[tuple[str, str, str]]
    state: dict[str, Any]
    protocol_version = "HTTP/1.1"
    may_go_on: threading.Event

    def do_GET(self) -> None:
        self.heard.append(("GET", self.path, self.headers.get("Authorization", "")))
        match self.path:
            case "/status":
                self.reply(200, json.dumps(self.state))
            case "/elsewhere":
                self.reply(302, "", Location="http://127.0.0.1:1/")
            case "/endless":
                self.reply(200, "x" * 100_000)
            case "/slow":
                self.may_go_on.wait(10)
                self.close_connection = True
            case "/rude":
                self.close_connection = True
            case _:
                self.reply(404, "no such page")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.heard.append(("PUT", self.path, body))
        self.state["heater"]["target"] = json.loads(body)["target"]
        self.reply(200, json.dumps({"was": 20}))

    def reply(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Heater)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    Heater.may_go_on.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def address(server: ThreadingHTTPServer) -> str:
    Heater.heard = []
    Heater.may_go_on = threading.Event()
    Heater.state = {"heater": {"actual": 21.5, "target": 20}, "name": "hot/plate", "zones": [{"on": True}]}
    return f"http://127.0.0.1:{server.server_address[1]}"


def ask(address: str, *messages: str, **settings: Any) -> list[str]:
    async def main() -> list[str]:
        line = HttpTransport(address, **settings)
        try:
            return [await line.request(message) for message in messages]
        finally:
            await line.close()

    return asyncio.run(main())


def test_a_part_of_the_reply_is_named_by_a_pointer(address: str) -> None:
    questions = ("GET /status#/heater/actual", "GET /status#/zones/0/on", "GET /status#/name", "GET /status#/zones")
    assert ask(address, *questions) == ["21.5", "true", "hot/plate", '[{"on": true}]']
    assert json.loads(ask(address, "GET /status")[0]) == Heater.state
    assert isinstance(HttpTransport(address), Transport)


def test_what_changes_something_is_answered_ok_or_by_what_is_asked_for(address: str) -> None:
    requests = ('PUT /heater {"target": 80}', "GET /status#/heater/target", 'PUT /heater#/was {"target": 60}')
    assert ask(address, *requests) == ["OK", "80", "20"]


def test_a_key_is_sent_and_said_in_no_message(address: str) -> None:
    with pytest.raises(DeviceError) as raised:
        ask(address, "GET /nothing", headers={"Authorization": "Bearer secret"})
    assert Heater.heard == [("GET", "/nothing", "Bearer secret")]
    assert "secret" not in str(raised.value)
    assert "status 404: no such page" in str(raised.value)


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("GET /elsewhere", DeviceError, "status 302"),
        ("GET /status#/heater/power", DeviceError, "no '/heater/power'"),
        ("GET /endless", TransportError, "no end within 65536 bytes"),
        ("GET /rude", TransportError, "the line broke"),
        ("GET http://example.org/", TransportError, "is no request"),
        ("STEAL /status", TransportError, "is no request"),
    ],
)
def test_what_cannot_be_answered(address: str, message: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        ask(address, message)
    assert len(Heater.heard) == (0 if "no request" in text else 1), "a request is sent once"


def test_a_server_that_does_not_answer_and_then_does(address: str) -> None:
    async def main() -> None:
        line = HttpTransport(address, timeout_s=1.0)
        with pytest.raises(DeviceTimeout, match=r"'GET /slow'|GET /slow within 1 s"):
            await line.request("GET /slow")
        Heater.may_go_on.set()
        for _ in range(50):  # a machine that is busy may take its time
            try:
                assert await line.request("GET /status#/name") == "hot/plate"
                break
            except DeviceTimeout:
                continue
        await line.close()

    asyncio.run(main())
    assert [path for _, path, _ in Heater.heard].count("/slow") == 1
