"""A line to an instrument that exists only in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from sdl.devices.turns import Turns
from sdl.errors import DeviceTimeout, TransportError


@dataclass(frozen=True)
class Reply:
    """An answer that takes its time.

    Parameters
    ----------
    text
        The line.
    after_s
        How long the instrument takes for it, on the loop's clock. None: it never answers.
    """

    text: str
    after_s: float | None = 0.0


class LineInstrument(Protocol):
    """A simulated instrument: it gets a line, and answers one."""

    def answer(self, line: str) -> str | Reply:
        """Return the answer to *line*. Called on the loop, so ``asyncio.get_running_loop().time()`` is the time."""
        ...


class SimulatedTransport:
    """Carries requests to a :class:`LineInstrument`, in the time of the running loop.

    The driver above it is the one of the bench. Time passes only in ``asyncio.sleep``, so it is virtual where the
    loop's is.

    Parameters
    ----------
    instrument
        Who answers.
    name
        For messages and the ``source`` of readings.
    latency_s
        Time of a request besides what the instrument takes.
    timeout_s
        Longest wait for an answer.
    """

    def __init__(
        self, instrument: LineInstrument, *, name: str = "instrument", latency_s: float = 0.01, timeout_s: float = 60.0
    ) -> None:
        self.instrument = instrument
        self.is_connected = True
        self._name = name
        self._latency_s = latency_s
        self._timeout_s = timeout_s
        self._lock = Turns()

    @property
    def name(self) -> str:
        """``simulated://`` and the name."""
        return f"simulated://{self._name}"

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def request(self, message: str) -> str:
        """Return the instrument's answer, after the latency and the time that the instrument takes.

        Raises
        ------
        TransportError
            ``is_connected`` was set to False: somebody pulled the cable.
        DeviceTimeout
            The instrument does not answer in time.
        """
        async with self._lock:
            if not self.is_connected:
                raise TransportError(f"{self.name}: the line is broken")
            reply = self.instrument.answer(message)
            if isinstance(reply, str):
                reply = Reply(reply)
            if reply.after_s is None or reply.after_s > self._timeout_s:
                await asyncio.sleep(self._timeout_s)
                raise DeviceTimeout(f"{self.name} did not answer {message!r} within {self._timeout_s:g} s")
            await asyncio.sleep(self._latency_s + reply.after_s)
            return reply.text

    async def send(self, message: str) -> None:
        """Say *message*, to which no answer comes: what the instrument says is dropped.

        Raises
        ------
        TransportError
            ``is_connected`` was set to False: somebody pulled the cable.
        """
        async with self._lock:
            if not self.is_connected:
                raise TransportError(f"{self.name}: the line is broken")
            self.instrument.answer(message)
            await asyncio.sleep(self._latency_s)
