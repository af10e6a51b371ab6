"""A simulated instrument behind a TCP port of this machine: a stand-in for the real one, in wall time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from sdl.errors import TransportError
from sdl.simulators.transport import LineInstrument, Reply

LOOPBACK = "127.0.0.1"


class ServedInstrument:
    """Lets a :class:`LineInstrument` answer at a port, so that a driver can be tried over a true line.

    It listens on the loopback interface only, from a thread of its own, inside a ``with`` block or from :meth:`start`
    to :meth:`close`.

    Parameters
    ----------
    instrument
        Who answers.
    port
        Where; 0 lets the system choose a free one.
    terminator
        What ends a line, in both directions.
    """

    def __init__(self, instrument: LineInstrument, *, port: int = 0, terminator: str = "\n") -> None:
        self._instrument = instrument
        self._port = port
        self._end = terminator.encode("ascii")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._opened: Future[int] = Future()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="sdl-served-instrument", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen. Raises TransportError where the port is taken."""
        self._thread.start()
        try:
            self._port = self._opened.result()
        except OSError as error:
            raise TransportError(f"no instrument can be served at port {self._port}: {error}") from None

    def close(self) -> None:
        """Break all lines, and listen no more."""
        self._call(self._is_over.set)
        self._thread.join()

    @property
    def address(self) -> str:
        """Where it answers, as ``sdl check-device --option transport=`` takes it: ``tcp://127.0.0.1:PORT``."""
        return f"tcp://{LOOPBACK}:{self._port}"

    @property
    def port(self) -> int:
        """The port of its address."""
        return self._port

    def cut(self) -> None:
        """Break all lines to it, as somebody who pulls the cable does; it can be reached again at once."""
        self._call(self._cut)

    def _call(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _work(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            server = await asyncio.start_server(self._talk, LOOPBACK, self._port)
        except OSError as error:
            self._opened.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        async with server:
            self._opened.set_result(server.sockets[0].getsockname()[1])
            await self._is_over.wait()
            self._cut()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readuntil(self._end):
                answer = self._instrument.answer(line.removesuffix(self._end).decode("ascii", "replace"))
                reply = answer if isinstance(answer, Reply) else Reply(answer)
                if reply.after_s is not None:
                    await asyncio.sleep(reply.after_s)
                    writer.write(reply.text.encode("ascii", "replace") + self._end)
                    await writer.drain()
        except (OSError, EOFError):  # the other side has gone
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
