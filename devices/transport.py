"""Lines to instruments: a request goes out, one line of text comes back.

``Transport`` is the seam between a driver and the world. On the bench it is a :class:`TcpTransport`, a
:class:`SerialTransport` or one of :mod:`sdl.devices.lines` (HTTP, VISA, Modbus, OPC UA, SiLA 2); in simulation
``sdl.simulators.SimulatedTransport``; in tests a :class:`~sdl.devices.recording.ReplayTransport` of what a
:class:`~sdl.devices.recording.RecordingTransport` wrote down.

The rules that every transport keeps:

* A request is atomic: while one waits for its answer, others wait in a queue.
* A message is sent once. What to do after a failure is for the driver to say, because only it knows whether a command
  may be given twice.
* After a failure inside a request (no answer in time, a broken line, a cancelled wait) the line is closed, so that a
  late answer cannot be taken for the answer to the next request. The next request opens it again.
* An answer has a largest size; a line that says more is broken.
* The event loop is never blocked: a library that blocks gets a thread of the transport's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import serial

from sdl.devices.turns import Turns
from sdl.devices.worker import Worker
from sdl.errors import DeviceError, DeviceTimeout, TransportError

T = TypeVar("T")

LARGEST_ANSWER = 65_536
"""Bytes of an answer, unless the transport is told otherwise."""

GRACE_S = 2.0
"""How long letting go of a broken line may take before it is left as it is."""


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
            What came is no text, or the instrument refuses.
        TransportError
            The line cannot be opened, or broke.
        """
        ...


@runtime_checkable
class SendingTransport(Transport, Protocol):
    """A transport for instruments that leave some commands unanswered."""

    async def send(self, message: str) -> None:
        """Send one line to which no answer comes. Raises as :meth:`Transport.request` does."""
        ...


class GuardedTransport(ABC):
    """What keeps the rules above; a protocol says how to connect, to ask and to let go.

    Parameters
    ----------
    name
        For messages.
    timeout_s
        Longest wait for an answer, opening included.
    """

    def __init__(self, *, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._lock = Turns()
        self._opened_on: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """The address, as in ``tcp://host:port``."""
        return self._name

    @abstractmethod
    async def _connect(self) -> None:
        """Connect. Raises OSError, EOFError, TimeoutError, or an error of ours."""

    @abstractmethod
    async def _ask(self, message: str) -> str | DeviceError:
        """Send and answer. Raises as :meth:`_connect`; a refusal, after which the line is sound, is returned."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Let go; nothing happens where nothing is connected."""

    async def open(self) -> None:
        """Open the line. Raises TransportError or DeviceTimeout."""
        async with self._lock:
            await self._guarded(self._opened(), "opening the line")

    async def close(self) -> None:
        """Close the line."""
        async with self._lock:
            await self._drop()

    async def request(self, message: str) -> str:
        """Send *message*, return the answer; see :class:`Transport`."""
        async with self._lock:
            answer = await self._guarded(self._asked(message), f"{message!r}")
        if isinstance(answer, DeviceError):
            raise answer
        return answer

    async def _opened(self) -> None:
        """Have the line open on the loop that runs: what was opened on another one ended with it."""
        loop = asyncio.get_running_loop()
        if self._opened_on is loop:
            return
        if self._opened_on is not None:
            with contextlib.suppress(Exception):  # its loop is closed, and whatever it says of that is of no use
                await self._drop()
        await self._connect()
        self._opened_on = loop

    async def _asked(self, message: str) -> str | DeviceError:
        await self._opened()
        return await self._ask(message)

    async def _guarded(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """Run *work* within the time limit; close the line if it fails in any way, a cancelled wait included."""
        is_done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await work
            is_done = True
        except TransportError:
            raise
        except TimeoutError:
            raise DeviceTimeout(
                f"{self._name} did not answer {what} within {self._timeout_s:g} s",
                hint="is the instrument switched on, and is the terminator right?",
            ) from None
        except (OSError, EOFError) as error:
            raise TransportError(f"{self._name}: the line broke at {what}: {error}") from error
        finally:
            # A loop that hung, and was replaced, may wake: the line is not its any more.
            if not is_done and self._opened_on in {None, asyncio.get_running_loop()}:
                await self._drop()
        return result

    async def _drop(self) -> None:
        self._opened_on = None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._disconnect(), 2 * GRACE_S)


class Channel(Protocol):
    """The bytes below a :class:`LineTransport`."""

    async def connect(self) -> None:
        """Open it. Raises OSError."""
        ...

    async def send(self, data: bytes) -> None:
        """Send *data*. Raises OSError."""
        ...

    async def exchange(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        """Send *data*, return what comes back up to and with the first of *ends*, at most *limit* bytes.

        What came before *data* was sent is thrown away. Raises OSError, EOFError, TimeoutError.
        """
        ...

    async def disconnect(self) -> None:
        """Close it; nothing happens if it is closed."""
        ...


class LineTransport(GuardedTransport):
    """Requests and answers as lines of ASCII text over a :class:`Channel`.

    Parameters
    ----------
    channel
        Where the bytes go.
    name
        For messages.
    terminator
        What ends a line, in both directions.
    ends
        What ends an answer where that is something else: any one of these.
    timeout_s
        Longest wait for an answer, opening included.
    largest
        Bytes that an answer may have.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        name: str,
        terminator: str = "\n",
        ends: Sequence[str] = (),
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(name=name, timeout_s=timeout_s)
        self._channel = channel
        self._terminator = terminator
        self._ends = tuple(end.encode("ascii") for end in ends or [terminator])
        self._largest = largest

    async def request(self, message: str) -> str:
        """Send *message*, return the answer; see :class:`Transport`."""
        self._check(message)
        return await super().request(message)

    async def send(self, message: str) -> None:
        """Send *message*, to which no answer comes; see :class:`SendingTransport`."""
        self._check(message)
        async with self._lock:
            await self._guarded(self._sent(message), f"{message!r}")

    def _check(self, message: str) -> None:
        if self._terminator in message or not message.isascii():
            raise TransportError(f"{self._name}: a message is one line of ASCII text, got {message!r}")

    async def _connect(self) -> None:
        await self._channel.connect()

    async def _disconnect(self) -> None:
        await self._channel.disconnect()

    async def _sent(self, message: str) -> None:
        await self._opened()
        await self._channel.send((message + self._terminator).encode("ascii"))

    async def _ask(self, message: str) -> str:
        data = await self._channel.exchange((message + self._terminator).encode("ascii"), self._ends, self._largest)
        for end in self._ends:
            if data.endswith(end):
                data = data.removesuffix(end)
                break
        try:
            return data.decode("ascii").strip()
        except UnicodeDecodeError:
            raise DeviceError(f"{self._name} answered {data[:40]!r} to {message!r}, which is no text") from None


class TcpTransport(LineTransport):
    """A line over TCP, for the bench: virtual time does not wait for the other side.

    Parameters
    ----------
    host, port
        Where the instrument, or the box between Ethernet and its serial port, listens.
    terminator, ends, timeout_s, largest
        See :class:`LineTransport`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        terminator: str = "\n",
        ends: Sequence[str] = (),
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(
            _TcpChannel(host, port),
            name=f"tcp://{host}:{port}",
            terminator=terminator,
            ends=ends,
            timeout_s=timeout_s,
            largest=largest,
        )


class SerialTransport(LineTransport):
    """A line over a serial port.

    pyserial blocks, so a thread of its own does the reading and writing.

    Parameters
    ----------
    port
        As pyserial takes it: ``/dev/ttyUSB0``, ``COM3``.
    baud
        Bits per second.
    frame
        Data bits, parity and stop bits: ``8N1``, ``7E1``.
    terminator, ends, timeout_s, largest
        See :class:`LineTransport`.
    """

    def __init__(
        self,
        port: str,
        baud: int = 9600,
        *,
        frame: Literal["8N1", "8N2", "8E1", "8O1", "7N1", "7N2", "7E1", "7O1"] = "8N1",
        terminator: str = "\n",
        ends: Sequence[str] = (),
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(
            _SerialChannel(port, baud, frame, timeout_s),
            name=f"serial://{port}",
            terminator=terminator,
            ends=ends,
            timeout_s=timeout_s,
            largest=largest,
        )


def end_of(data: bytes | bytearray, ends: Sequence[bytes]) -> int | None:
    """Return where the first line in *data* ends, its terminator included; None where it goes on."""
    found = [place + len(end) for end in ends if (place := data.find(end)) >= 0]
    return min(found, default=None)


def bounded(data: bytes | bytearray, limit: int) -> None:
    """Raise OSError where *data* is longer than *limit* and has not ended."""
    if len(data) > limit:
        raise OSError(f"the answer has no end within {limit} bytes")


class _Pipe(asyncio.Protocol):
    """What has come over a connection and was not read yet: the last *limit* bytes of it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.limit = LARGEST_ANSWER
        self.lost: Exception | None = None
        self.has_come = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        del self.buffer[: -self.limit - 1]
        self.has_come.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc or EOFError("the other side hung up")
        self.has_come.set()

    async def line(self, ends: Sequence[bytes]) -> bytes:
        while (end := end_of(self.buffer, ends)) is None:
            bounded(self.buffer, self.limit)
            if self.lost is not None:
                raise self.lost
            self.has_come.clear()
            await self.has_come.wait()
        return bytes(self.buffer[:end])


class _TcpChannel:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._ends: tuple[asyncio.WriteTransport, _Pipe] | None = None

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._ends = await loop.create_connection(_Pipe, self._host, self._port)

    async def send(self, data: bytes) -> None:
        assert self._ends is not None
        writer, pipe = self._ends
        if pipe.lost is not None:
            raise pipe.lost
        pipe.buffer.clear()
        writer.write(data)

    async def exchange(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        assert self._ends is not None
        _, pipe = self._ends
        pipe.limit = limit
        await self.send(data)
        return await pipe.line(ends)

    async def disconnect(self) -> None:
        if self._ends is None:
            return
        writer, pipe = self._ends
        self._ends = None
        with contextlib.suppress(RuntimeError):  # the loop that it was opened on is closed
            writer.abort()  # not close: a late answer is not wanted, and nothing waits for the other side
        while pipe.lost is None and pipe.loop is asyncio.get_running_loop():
            pipe.has_come.clear()
            await pipe.has_come.wait()


class _SerialChannel:
    def __init__(self, port: str, baud: int, frame: str, timeout_s: float) -> None:
        self._port = port
        self._settings: dict[str, Any] = {
            "baudrate": baud,
            "bytesize": int(frame[0]),
            "parity": frame[1],
            "stopbits": int(frame[2]),
            "timeout": timeout_s,
            "write_timeout": timeout_s,
        }
        self._serial: serial.Serial | None = None
        self._worker: Worker | None = None

    async def connect(self) -> None:
        self._worker = Worker(f"serial {self._port}")
        await self._run(self._open)

    async def send(self, data: bytes) -> None:
        await self._run(lambda: self._write(data))

    async def exchange(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        return await self._run(lambda: self._write_and_read(data, ends, limit))

    async def disconnect(self) -> None:
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        if self._serial is not None:
            self._serial.cancel_read()
        await worker.close(self._close, grace_s=GRACE_S)

    async def _run(self, work: Callable[[], T]) -> T:
        assert self._worker is not None
        try:
            return await self._worker.run(work)
        except termios.error as error:  # which pyserial lets through, and which is no OSError
            raise OSError(*error.args) from error

    def _open(self) -> None:
        self._serial = serial.Serial(self._port, exclusive=True, **self._settings)

    def _close(self) -> None:
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    def _write(self, data: bytes) -> None:
        assert self._serial is not None
        self._serial.reset_input_buffer()
        self._serial.write(data)
        self._serial.flush()

    def _write_and_read(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        assert self._serial is not None
        self._write(data)
        answer = bytearray()
        while (end := end_of(answer, ends)) is None:
            bounded(answer, limit)
            more = self._serial.read(max(1, min(self._serial.in_waiting, limit)))
            if not more:
                raise TimeoutError
            answer += more
        return bytes(answer[:end])
