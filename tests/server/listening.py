"""A laboratory that a real server serves, at a port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from asking import Asking

from sdl.server.app import guarded, make_app


class Served(uvicorn.Server):
    """Serves in a thread, which gets no signals."""

    def install_signal_handlers(self) -> None:
        """Signals are for the tests."""


@contextmanager
def listening(asking: Asking, port: int = 0, tls: tuple[Path, Path] | None = None) -> Generator[str]:
    """Let a laboratory be reached by a browser; by HTTPS where there is a certificate and its key."""
    with serving(guarded(make_app(asking.house), asking.house), port, tls) as address:
        yield address


@contextmanager
def serving(app: Any, port: int = 0, tls: tuple[Path, Path] | None = None) -> Generator[str]:
    """Serve an application; yield its address."""
    certificate, key = (None, None) if tls is None else map(str, tls)
    config = uvicorn.Config(
        app,
        port=port,
        log_level="critical",
        ws="none",
        loop="asyncio",
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = Served(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
