"""What was said on a line, written down, and played back in place of the instrument."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TextIO

from sdl.devices.transport import SendingTransport, Transport
from sdl.errors import DeviceError, DeviceTimeout, LabError, ProblemError, TransportError
from sdl.problem.value import Value


class Exchange(Value):
    """One line of a recording.

    Parameters
    ----------
    request
        What was said.
    response
        What was answered; None to a failure, and to a message that is not answered.
    error, message
        Of a failure: the name of its class, and what it said.
    seconds
        How long it took.
    """

    request: str
    response: str | None = None
    error: str | None = None
    message: str = ""
    seconds: float = 0.0

    def row(self) -> str:
        """Return the line of the file: JSON with what there is to say, for people and programs."""
        said = {"request": self.request}
        heard = {"error": self.error, "message": self.message} if self.error else {"response": self.response}
        return json.dumps({**said, **heard, "seconds": self.seconds}, ensure_ascii=False)


class RecordingTransport:
    """Passes requests on and writes them down, one JSON object a line: see :class:`Exchange`.

    The file holds what went over the line and nothing else: keys and passwords that a transport was given are not in
    it, unless a driver sends them as a message. The file is begun anew by the first request.
    """

    def __init__(self, inner: Transport, path: Path | str) -> None:
        self._inner = inner
        self._path = Path(path)
        self._file: TextIO | None = None

    @property
    def name(self) -> str:
        """The name of the line that is recorded."""
        return self._inner.name

    async def open(self) -> None:
        """Open the line that is recorded."""
        await self._inner.open()

    async def close(self) -> None:
        """Close the line and the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        await self._inner.close()

    async def request(self, message: str) -> str:
        """Pass *message* on, write down what came of it."""
        answer = await self._passed(message, self._inner.request)
        assert answer is not None
        return answer

    async def send(self, message: str) -> None:
        """Pass *message* on, to which no answer comes. Raises TransportError where the line cannot."""
        if not isinstance(self._inner, SendingTransport):
            raise TransportError(f"{self.name} waits for an answer to every message, got {message!r} to send")
        await self._passed(message, self._inner.send)

    async def _passed(self, message: str, pass_on: Callable[[str], Awaitable[str | None]]) -> str | None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            response = await pass_on(message)
        except LabError as error:
            took = round(loop.time() - start, 6)
            self._write(Exchange(request=message, error=type(error).__name__, message=error.message, seconds=took))
            raise
        self._write(Exchange(request=message, response=response, seconds=round(loop.time() - start, 6)))
        return response

    def _write(self, exchange: Exchange) -> None:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
        self._file.write(exchange.row() + "\n")
        self._file.flush()


_ERRORS: dict[str, type[LabError]] = {error.__name__: error for error in (DeviceError, DeviceTimeout, TransportError)}


class ReplayTransport:
    """Answers from a recording, strictly in its order.

    A request other than the recorded one raises TransportError that names both, so a test says where a driver began to
    talk differently.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        lines = self._path.read_text(encoding="utf-8").splitlines()
        self._rows = [self._read(number, line) for number, line in enumerate(lines, start=1)]
        self._next = 0

    @property
    def name(self) -> str:
        """The file of the recording."""
        return f"replay://{self._path.name}"

    @property
    def n_left(self) -> int:
        """How many recorded requests have not been made yet."""
        return len(self._rows) - self._next

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def request(self, message: str) -> str:
        """Return the recorded answer to *message*, or raise the recorded error."""
        response = await self._answer(message)
        if response is None:
            raise TransportError(f"{self.name}: {message!r} was sent without an answer, and now waits for one")
        return response

    async def send(self, message: str) -> None:
        """Take *message*, which was sent without an answer, or raise the recorded error."""
        if (response := await self._answer(message)) is not None:
            raise TransportError(f"{self.name}: {message!r} was answered {response!r}, and now nobody waits for it")

    async def _answer(self, message: str) -> str | None:
        await asyncio.sleep(0)
        if not self.n_left:
            raise TransportError(f"{self.name} has ended after {self._next} requests, got {message!r}")
        row = self._rows[self._next]
        if row.request != message:
            raise TransportError(
                f"{self.name}: request {self._next + 1} was {row.request!r}, got {message!r}",
                hint="record again if the driver is meant to talk differently",
            )
        self._next += 1
        if row.error is not None:
            raise _ERRORS.get(row.error, TransportError)(row.message)
        return row.response

    def _read(self, number: int, line: str) -> Exchange:
        try:
            return Exchange.from_json(line)
        except ProblemError as error:
            raise TransportError(f"{self._path}: line {number} is no recorded request: {error.message}") from error
