"""A queue server with its Redis for tests, and a stand-in for one that loses answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdl.lab.queueserver import Client, QueueServer, Refused
from sdl.lab.stream import DocumentStream

STARTUP = """
import os, time
import bluesky.plan_stubs as bps
from bluesky import RunEngine
from sdl.lab.stream import DocumentStream

RE = RunEngine({})
RE.subscribe(DocumentStream(os.environ["SDL_TEST_DOCUMENTS"]))


class Detector:
    name, parent, x = "detector", None, 0.0

    def read(self):
        return {"detector": {"value": (self.x - 0.3) ** 2, "timestamp": time.time()}}

    def describe(self):
        return {"detector": {"source": "toy", "dtype": "number", "shape": []}}

    def read_configuration(self):
        return {}

    def describe_configuration(self):
        return {}


detector = Detector()


def measure(x: float, seconds: float = 0.0):
    yield from bps.open_run()
    detector.x = x
    yield from bps.sleep(seconds)
    if x > 0.9:
        raise ValueError("the lamp is gone")
    yield from bps.trigger_and_read([detector])
    yield from bps.close_run()
"""

GROUP = {
    f"{kind}_{what}": [":.*"] if kind == "allowed" else []
    for kind in ("allowed", "forbidden")
    for what in ("plans", "devices", "functions")
}
MINUTES = 3


@dataclass
class Bench:
    """Where a queue server is, and its process."""

    control: str
    documents: str
    manager: Any = None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def why_not() -> str:
    """Return why no queue server can be started here; empty where one can."""
    if shutil.which("redis-server") is None:
        return "needs Redis, which a queue server keeps its queue in: apt-get install redis-server"
    if not (Path(sys.executable).parent / "start-re-manager").exists():
        return "needs a queue server: pip install bluesky-queueserver"
    return ""


@contextlib.contextmanager
def queue_server_process(folder: Path) -> Generator[Bench]:
    """Start Redis and a queue server with a worker, on ports that the system chose."""
    import yaml

    redis, control, info, documents = (free_port() for _ in range(4))
    (folder / "startup").mkdir()
    (folder / "startup" / "startup.py").write_text(STARTUP)
    groups = {"user_groups": {"root": GROUP, "primary": GROUP}}
    (folder / "permissions.yaml").write_text(yaml.safe_dump(groups))
    bench = Bench(f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{documents}")
    keeper = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    manager = [
        str(Path(sys.executable).parent / "start-re-manager"),
        *("--redis-addr", f"127.0.0.1:{redis}", "--zmq-control-addr", bench.control),
        *("--zmq-info-addr", f"tcp://127.0.0.1:{info}", "--startup-dir", str(folder / "startup")),
        *("--user-group-permissions", str(folder / "permissions.yaml")),
        *("--existing-plans-devices", str(folder / "plans.yaml"), "--console-output", "OFF"),
    ]
    environment = {**os.environ, "SDL_TEST_DOCUMENTS": bench.documents}
    with (folder / "log").open("w") as log, running(keeper, log), running(manager, log, environment) as bench.manager:
        open_worker(bench.control, folder / "log")
        yield bench


@contextlib.contextmanager
def running(command: list[str], log: Any, environment: dict[str, str] | None = None) -> Generator[Any]:
    with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def open_worker(control: str, log: Path) -> None:
    """Wait until the server answers, and have it open its worker."""
    client = Client(QueueServer(control, ""))
    deadline = time.monotonic() + 60 * MINUTES
    is_asked = False
    try:
        while True:
            assert time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(Exception):  # it starts
                if not is_asked:
                    client.ask("environment_open")
                    is_asked = True
                status = client.ask("status")
                if status["worker_environment_exists"] and status["manager_state"] == "idle":
                    return
            time.sleep(0.05)
    finally:
        client.close()


@dataclass
class FakeServer:
    """Answers as a queue server does, runs plans at once, and loses what it is told to lose."""

    stream: DocumentStream
    loses_answer: bool = False
    loses_request: bool = False
    loses_documents: frozenset[str] = frozenset()
    refuses: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        match method:
            case "status":
                return {"manager_state": "idle", "worker_environment_exists": True}
            case "queue_get":
                return {"running_item": {}}
            case "history_get":
                return {"items": self.history}
            case _:
                return self.execute(**params)

    def execute(self, item: dict[str, Any], user: str, user_group: str) -> dict[str, Any]:
        self.requests.append(item)
        if self.refuses:
            raise Refused(self.refuses)
        if not self.loses_request:
            self.history.append({**item, "result": self.run(item)})
        if self.loses_answer or self.loses_request:
            raise TimeoutError("no answer")
        return {"success": True}

    def run(self, item: dict[str, Any]) -> dict[str, Any]:
        uid, value = str(uuid.uuid4()), (item["kwargs"]["x"] - 0.3) ** 2
        key = {"source": "toy", "dtype": "number", "shape": []}
        documents: list[tuple[str, dict[str, Any]]] = [
            ("start", {"uid": uid, "time": 0.0, **item["meta"]}),
            ("descriptor", {"uid": f"{uid}-d", "run_start": uid, "name": "primary", "data_keys": {"detector": key}}),
            ("event", {"uid": f"{uid}-e", "descriptor": f"{uid}-d", "data": {"detector": value}, "seq_num": 1}),
            ("stop", {"uid": f"{uid}-s", "run_start": uid, "exit_status": "success", "num_events": {"primary": 1}}),
        ]
        self.stream("start", {"uid": "another", "time": 0.0})  # others' runs are published there too
        for name, document in documents:
            if name not in self.loses_documents:
                self.stream(name, document)
        return {"exit_status": "completed", "run_uids": [uid], "msg": ""}


@dataclass
class SlowServer(FakeServer):
    """Runs a plan until it is paused and aborted; or until it is paused, and then another one, which is not ours."""

    is_overtaken: bool = False
    told: list[str] = field(default_factory=list[str])
    state: str = "idle"
    running: dict[str, Any] = field(default_factory=dict[str, Any])
    on_execute: Callable[[], None] = print

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        match method:
            case "status":
                return {"manager_state": self.state, "worker_environment_exists": True}
            case "queue_get":
                return {"running_item": self.running}
            case "re_pause" | "re_abort":
                self.told.append(method)
                if method == "re_abort" or self.is_overtaken:
                    self.history.append({**self.running, "result": {"exit_status": "aborted", "run_uids": []}})
                    self.running = {"meta": {"sdl_act": "another"}} if self.is_overtaken else {}
                self.state = "idle" if method == "re_abort" else "paused"
                return {"success": True}
            case _:
                return super().ask(method, **params)

    def execute(self, item: dict[str, Any], user: str, user_group: str) -> dict[str, Any]:
        self.on_execute()
        self.requests.append(item)
        self.running, self.state = item, "executing_queue"
        return {"success": True}
