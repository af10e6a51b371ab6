"""Instruments that VISA reaches: USB-TMC, GPIB, VXI-11, HiSLIP, raw sockets. Messages are lines, mostly of SCPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdl.devices.lines.extras import library
from sdl.devices.transport import GRACE_S, LARGEST_ANSWER, LineTransport, bounded, end_of
from sdl.devices.worker import Worker
from sdl.errors import TransportError


class VisaTransport(LineTransport):
    """Lines over VISA, by PyVISA (``pip install 'sdl[instruments]'``).

    PyVISA blocks, so a thread of its own does the reading and writing.

    Parameters
    ----------
    address
        A VISA resource: ``USB0::0x05E6::0x2450::04412345::INSTR``, ``TCPIP0::10.0.0.7::5025::SOCKET``.
    backend
        The VISA library, as PyVISA takes it: ``@py`` is pyvisa-py, which needs no vendor's software; the empty string
        takes the vendor's library that is installed.
    terminator, timeout_s, largest
        See :class:`~sdl.devices.LineTransport`.
    """

    def __init__(
        self,
        address: str,
        *,
        backend: str = "@py",
        terminator: str = "\n",
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(
            _VisaChannel(address, backend, terminator, timeout_s),
            name=f"visa://{address}",
            terminator=terminator,
            timeout_s=timeout_s,
            largest=largest,
        )


class _VisaChannel:
    def __init__(self, address: str, backend: str, terminator: str, timeout_s: float) -> None:
        self._address = address
        self._backend = backend
        self._terminator = terminator
        self._timeout_s = timeout_s
        self._visa = library("pyvisa", "VisaTransport")
        self._resource: Any = None
        self._worker: Worker | None = None

    async def connect(self) -> None:
        self._worker = Worker(f"visa {self._address}")
        await self._worker.run(self._open)

    async def send(self, data: bytes) -> None:
        assert self._worker is not None
        await self._worker.run(lambda: self._write(data))

    async def exchange(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        assert self._worker is not None
        return await self._worker.run(lambda: self._write_and_read(data, ends, limit))

    async def disconnect(self) -> None:
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        await worker.close(self._close, grace_s=GRACE_S)

    def _open(self) -> None:
        try:
            manager = self._visa.ResourceManager(self._backend)
            milliseconds = round(1000 * self._timeout_s)
            self._resource = manager.open_resource(
                self._address, open_timeout=milliseconds, timeout=milliseconds, read_termination=self._terminator
            )
        except (self._visa.Error, ValueError) as error:
            raise TransportError(
                f"visa://{self._address}: cannot be opened: {error}",
                hint="is the address right? `pyvisa-shell` lists the instruments that VISA sees",
            ) from error

    def _close(self) -> None:
        if self._resource is not None:
            resource, self._resource = self._resource, None
            resource.close()

    def _write(self, data: bytes) -> None:
        with _as_os_errors(self._visa):
            self._resource.write_raw(data)

    def _write_and_read(self, data: bytes, ends: Sequence[bytes], limit: int) -> bytes:
        self._write(data)
        answer = bytearray()
        with _as_os_errors(self._visa):
            while (end := end_of(answer, ends)) is None:
                bounded(answer, limit)
                answer += self._resource.read_bytes(limit + 1 - len(answer), break_on_termchar=True)
        return bytes(answer[:end])


class _as_os_errors:  # noqa: N801 - reads as the statement that it is
    """Turns PyVISA's errors into TimeoutError and OSError."""

    def __init__(self, visa: Any) -> None:
        self._visa = visa

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._visa.errors.VisaIOError):
            status: Any = error
            if status.error_code == self._visa.constants.StatusCode.error_timeout:
                raise TimeoutError from error
            raise OSError(str(error)) from error
