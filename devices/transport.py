"""Lines to instruments: a request goes out, one line of text comes back.

``Transport`` is the seam between a driver and the world. On the bench it is a :class:`TcpTransport` or a
:class:`SerialTransport`; in simulation ``sdl.simulators.SimulatedTransport``; in tests a :class:`ReplayTransport` of
what a :class:`RecordingTransport` wrote down.

The rules that every transport keeps:

* A request is atomic: while one waits for its answer, others wait in a queue.
* A message is sent once. What to do after a failure is for the driver to say, because only it knows whether a command
  may be given twice.
* After a failure inside a request (no answer in time, a broken line, a cancelled wait) the line is closed, so that a
  late answer cannot be taken for the answer to the next request. The next request opens it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar, runtime_checkable

import serial

from sdl.errors import DeviceError, DeviceTimeout, LabError, TransportError

T = TypeVar("T")


@runtime_checkable
class Transport(Protocol):
    """A line to one instrument."""

    @property
    def name(self) -> str:
        """What error messages and the ``source`` of readings call this line."""
        ...

    async def open(self) -> None:
        """Open the line; nothing happens if it is open. A request opens it by itself."""
        ...

    async def close(self) -> None:
        """Close the line; nothing happens if it is closed."""
        ...

    async def request(self, message: str) -> str:
        """Send one line and return the line that comes back, both without terminator.

        Raises
        ------
        DeviceTimeout
            No complete answer came in time.
        DeviceError
            What came is no text.
        TransportError
            The line cannot be opened, or broke.
        """
        ...


class Channel(Protocol):
    """The bytes below a :class:`LineTransport`."""

    async def connect(self) -> None:
        """Open it. Raises OSError."""
        ...

    async def exchange(self, data: bytes, terminator: bytes) -> bytes:
        """Send *data*, return what comes back up to and with *terminator*. Raises OSError, EOFError, TimeoutError."""
        ...

    async def disconnect(self) -> None:
        """Close it; nothing happens if it is closed."""
        ...


class LineTransport:
    """Requests and answers as lines of ASCII text over a :class:`Channel`.

    Parameters
    ----------
    channel
        Where the bytes go.
    name
        For messages.
    terminator
        What ends a line, in both directions.
    timeout_s
        Longest wait for an answer, opening included.
    """

    def __init__(self, channel: Channel, *, name: str, terminator: str = "\n", timeout_s: float = 5.0) -> None:
        self._channel = channel
        self._name = name
        self._terminator = terminator
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._is_open = False

    @property
    def name(self) -> str:
        """The address, as in ``tcp://host:port``."""
        return self._name

    async def open(self) -> None:
        """Open the line. Raises TransportError or DeviceTimeout."""
        async with self._lock:
            await self._guarded(self._connect(), "opening the line")

    async def close(self) -> None:
        """Close the line."""
        async with self._lock:
            await self._drop()

    async def request(self, message: str) -> str:
        """Send *message*, return the answer; see :class:`Transport`."""
        if self._terminator in message:
            raise TransportError(f"{self._name}: a message is one line, got {message!r}")
        async with self._lock:
            return await self._guarded(self._exchange(message), f"{message!r}")

    async def _connect(self) -> None:
        if not self._is_open:
            await self._channel.connect()
            self._is_open = True

    async def _exchange(self, message: str) -> str:
        await self._connect()
        end = self._terminator.encode("ascii")
        data = await self._channel.exchange(message.encode("ascii") + end, end)
        try:
            return data.removesuffix(end).decode("ascii").strip()
        except UnicodeDecodeError:
            raise DeviceError(f"{self._name} answered {data[:40]!r} to {message!r}, which is no text") from None

    async def _guarded(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """Run *work* within the time limit; close the line if it fails in any way, a cancelled wait included."""
        is_done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await work
            is_done = True
        except TimeoutError:
            raise DeviceTimeout(
                f"{self._name} did not answer {what} within {self._timeout_s:g} s",
                hint="is the instrument switched on, and is the terminator right?",
            ) from None
        except (OSError, EOFError) as error:
            raise TransportError(f"{self._name}: the line broke at {what}: {error}") from error
        finally:
            if not is_done:
                await self._drop()
        return result

    async def _drop(self) -> None:
        self._is_open = False
        await self._channel.disconnect()


class TcpTransport(LineTransport):
    """A line over TCP, for the bench: virtual time does not wait for the other side."""

    def __init__(self, host: str, port: int, *, terminator: str = "\n", timeout_s: float = 5.0) -> None:
        super().__init__(
            _TcpChannel(host, port), name=f"tcp://{host}:{port}", terminator=terminator, timeout_s=timeout_s
        )


class SerialTransport(LineTransport):
    """A line over a serial port (8 bits, no parity, 1 stop bit).

    pyserial blocks, so a thread of its own does the reading and writing.

    Parameters
    ----------
    port
        As pyserial takes it: ``/dev/ttyUSB0``, ``COM3``.
    baud
        Bits per second.
    """

    def __init__(self, port: str, baud: int = 9600, *, terminator: str = "\n", timeout_s: float = 5.0) -> None:
        super().__init__(
            _SerialChannel(port, baud, timeout_s), name=f"serial://{port}", terminator=terminator, timeout_s=timeout_s
        )


class _TcpChannel:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> None:
        self._streams = await asyncio.open_connection(self._host, self._port)

    async def exchange(self, data: bytes, terminator: bytes) -> bytes:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(data)
        await writer.drain()
        try:
            return await reader.readuntil(terminator)
        except asyncio.LimitOverrunError:
            raise OSError("the answer has no end") from None

    async def disconnect(self) -> None:
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        # abort, not close: a late answer is not wanted, and nothing waits for the other side.
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _SerialChannel:
    def __init__(self, port: str, baud: int, timeout_s: float) -> None:
        self._port = port
        self._baud = baud
        self._timeout_s = timeout_s
        self._serial: serial.Serial | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def connect(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"serial {self._port}")
        await self._run(self._open)

    async def exchange(self, data: bytes, terminator: bytes) -> bytes:
        return await self._run(lambda: self._write_and_read(data, terminator))

    async def disconnect(self) -> None:
        if self._thread is None:
            return
        if self._serial is not None:
            self._serial.cancel_read()
        await self._run(self._close)
        self._thread.shutdown()
        self._thread = None

    async def _run(self, work: Callable[[], T]) -> T:
        assert self._thread is not None
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._serial = serial.Serial(
            self._port, self._baud, timeout=self._timeout_s, write_timeout=self._timeout_s, exclusive=True
        )

    def _close(self) -> None:
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    def _write_and_read(self, data: bytes, terminator: bytes) -> bytes:
        assert self._serial is not None
        self._serial.reset_input_buffer()
        self._serial.write(data)
        answer = self._serial.read_until(terminator)
        if not answer.endswith(terminator):
            raise TimeoutError
        return answer


class RecordingTransport:
    """Passes requests on and writes them down, one JSON object a line: ``request``, ``response``, ``seconds``.

    A failed request is written with ``error`` (the name of its class) and ``message`` in place of ``response``. The
    file is begun anew by the first request.
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
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            response = await self._inner.request(message)
        except LabError as error:
            failure = {"error": type(error).__name__, "message": error.message}
            self._write({"request": message, **failure, "seconds": round(loop.time() - start, 6)})
            raise
        self._write({"request": message, "response": response, "seconds": round(loop.time() - start, 6)})
        return response

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
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
        self._rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
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
        await asyncio.sleep(0)
        if not self.n_left:
            raise TransportError(f"{self.name} has ended after {self._next} requests, got {message!r}")
        row = self._rows[self._next]
        if row["request"] != message:
            raise TransportError(
                f"{self.name}: request {self._next + 1} was {row['request']!r}, got {message!r}",
                hint="record again if the driver is meant to talk differently",
            )
        self._next += 1
        if "error" in row:
            raise _ERRORS.get(row["error"], TransportError)(row["message"])
        return str(row["response"])
