"""The flow cell of :mod:`sdl.simulators.epics_ioc` as a process that a test or an example starts, and can hurt."""

from __future__ import annotations

import importlib.util
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from sdl.errors import LabError

PATIENCE = 60.0
"""Wall seconds that the process may take to start, or to do what it is told; a loaded machine is slow."""


HOMED = 1 << 14
"""The bit of a motor record's ``MSTA`` that says that the axis has been homed: bit 15 in its own counting from 1."""


def free_port() -> int:
    """Return a port of the loopback interface that is free for TCP and for UDP."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError("there is no free port on 127.0.0.1")


def client_environment(*ports: int) -> Mapping[str, str]:
    """Return the variables with which a client of Channel Access looks on this host only, at *ports*."""
    return {
        "EPICS_CA_ADDR_LIST": " ".join(f"127.0.0.1:{port}" for port in ports),
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(ports[0]),
    }


class FlowCellIoc:
    """Starts, hurts and ends the IOC of a flow cell. A context manager.

    A client's library reads its environment once, when it looks for its first PV: make the environment of this process
    that of the IOC (:meth:`use`) before that.

    Parameters
    ----------
    prefix
        What the names of its PVs begin with.
    port
        Of the server; a free one, where it is left out. It keeps it when it is started again.
    seed
        Of the photodiode's noise.
    """

    def __init__(self, prefix: str = "cell:", *, port: int | None = None, seed: int = 0) -> None:
        if importlib.util.find_spec("caproto") is None:
            raise LabError("an EPICS IOC needs caproto", hint="pip install 'sdl[epics]'")
        self.prefix = prefix
        self.port = port or free_port()
        self.seed = seed
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def use(self) -> None:
        """Have the clients in this process, and in those that it starts, look for PVs here and nowhere else."""
        os.environ.update(client_environment(self.port))

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, at zero: the axis is not homed, the pump stands still. Returns when it answers."""
        self.close()
        command = [sys.executable, "-m", "sdl.simulators.epics_ioc", self.prefix]
        self._process = subprocess.Popen(  # noqa: S603 # our own command
            [*command, "--port", str(self.port), "--seed", str(self.seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._await(b"ready")

    def kill(self) -> None:
        """Kill it where it stands, as a power cut would."""
        if self._process is not None:
            self._process.kill()
        self.close()

    def stall(self) -> None:
        """Stop it without ending it: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`stall`."""
        self._signal(signal.SIGCONT)

    def order(self, words: str) -> None:
        """Make a fault: ``stale``, ``invalid diode``, ``well``. Returns when it is made."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(f"{words}\n".encode())
        process.stdin.flush()
        self._await(b"done")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.kill()
        process.wait()

    def _signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"the IOC of {self.prefix} does not run", hint="start() starts it")
        return self._process

    def _await(self, word: bytes) -> None:
        stream = self._running().stdout
        assert stream is not None
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while ready.select(PATIENCE):
                line = stream.readline()
                if line.strip() == word:
                    return
                if not line:
                    self.close()
                    raise LabError(f"the IOC of {self.prefix} ended", hint=f"is port {self.port} taken?")
        raise LabError(f"the IOC of {self.prefix} did not say {word.decode()!r} within {PATIENCE:g} s")
