"""Instruments with SCPI: commands are followed by the question for errors, so that each of them is answered.

``SYSTem:ERRor?`` and the error numbers are those of SCPI 1999.0, volume 2, chapter 21; ``*CLS`` is IEEE 488.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from sdl.devices.driver import Identity, Instrument
from sdl.devices.transport import Transport
from sdl.errors import DeviceError

NO_READING = 9.9e37
"""SCPI's infinity is 9.9E37 and its not-a-number 9.91E37: from here on nothing is a reading."""

_LONGEST_QUEUE = 32


class ScpiInstrument(Instrument):
    """What a driver says to an instrument with SCPI.

    Parameters
    ----------
    name, transport, identity
        See :class:`~sdl.devices.Instrument`.
    settings
        Commands that the instrument is given whenever it was found: functions, ranges, protection. They must be such
        that a second time changes nothing.
    """

    def __init__(self, name: str, transport: Transport, *, identity: Identity, settings: Sequence[str] = ()) -> None:
        super().__init__(name, transport, identity=identity)
        self._settings = tuple(settings)

    async def command(self, command: str) -> None:
        """Give a command. Raises DeviceError with the instrument's own words if it complains."""
        await self._identify()
        await self._told(command)

    async def number(self, question: str) -> float:
        """Return the answer as a number. Raises DeviceError for 9.9E37 and above, which is out of range."""
        value = await super().number(question)
        if abs(value) >= NO_READING:
            raise DeviceError(f"{self.name} has no reading for {question!r}: it is out of range")
        return value

    async def numbers(self, question: str, n: int) -> list[float]:
        """Return *n* numbers that the answer has, separated by commas. Raises DeviceError for anything else."""
        answer = await self.ask(question)
        try:
            found = [float(word) for word in answer.split(",")]
        except ValueError:
            found = []
        if len(found) != n or any(abs(value) >= NO_READING for value in found):
            raise self.nonsense(question, answer, f"{n} numbers within range")
        return found

    async def is_true(self, question: str) -> bool:
        """Return whether the answer is ``1``. Raises DeviceError unless it is ``1`` or ``0``."""
        answer = await self.ask(question)
        if answer not in {"0", "1"}:
            raise self.nonsense(question, answer, "0 or 1")
        return answer == "1"

    async def _set_up(self) -> None:
        await self._told("*CLS")
        for setting in self._settings:
            await self._told(setting)

    async def _told(self, command: str) -> None:
        complaint = await self._request(f"{command};:SYST:ERR?")
        if self._is_error(command, complaint):
            for _ in range(_LONGEST_QUEUE):  # what else it complains of belongs to no later command
                if not self._is_error(command, await self._request(":SYST:ERR?")):
                    break
            raise DeviceError(f"{self.name} refused {command!r}: {complaint}")

    def _is_error(self, command: str, answer: str) -> bool:
        number, _, _ = answer.partition(",")
        try:
            return int(number) != 0
        except ValueError:
            raise self.nonsense(command, answer, 'an error number and its text, as in 0,"No error"') from None
