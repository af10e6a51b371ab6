"""What simulated instruments are made of: lines that are answered, tasks that take time, and chance by name.

An instrument takes the time from the running loop. It keeps what happens to a sample under the sample's name, and draws
chance from (seed, name, use), so that a sample comes out the same whatever else the laboratory does meanwhile.
"""

from __future__ import annotations

import asyncio
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from sdl.simulators.transport import Reply

Handler = tuple[int | None, Callable[..., str | Reply]]
"""How many words a command takes (None: any number), and who answers it."""


class UnreadableError(Exception):
    """A word that is no number."""


def number(word: str) -> float:
    """Return *word* as a number. Raises UnreadableError."""
    try:
        return float(word)
    except ValueError:
        raise UnreadableError from None


def now() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


def chance(seed: int, name: str, *use: int) -> np.random.Generator:
    """Return the generator of the sample *name* for one use: the same whenever it is asked for."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *use])


class Answering(ABC):
    """Splits a line into its command and its words, and answers errors as instruments do."""

    identity = "sdl,simulated instrument,0,1"

    def answer(self, line: str) -> str | Reply:
        """Return the answer to *line*."""
        command, *words = line.split() or [""]
        if command == "*IDN?":
            return self.identity
        n_words, handler = self._commands().get(command, (0, None))
        if handler is None:
            return f"ERR 1 unknown command {command}"
        if n_words is not None and len(words) != n_words:
            return f"ERR 2 {command} takes {n_words} words, got {len(words)}"
        try:
            return handler(*words)
        except UnreadableError:
            return f"ERR 2 cannot read {line!r}"

    @abstractmethod
    def _commands(self) -> dict[str, Handler]:
        """Return who answers which command."""


PATROL_S = 1800.0
"""Seconds after which somebody has seen a fault and reset the instrument; assumed."""


class Tasking(Answering):
    """An instrument that does one task at a time, as :class:`~sdl.devices.tasks.TaskInstrument` expects.

    A task has an end, known when it begins, and a function that changes the world when the end is reached. A task that
    is stopped leaves the world as it was, unless the instrument says otherwise in :meth:`_cut_off`. A fault stays until
    it is reset, by the driver, by :meth:`mend`, or by the person who comes by within :data:`PATROL_S`.
    """

    def __init__(self) -> None:
        self.stand_still()

    def stand_still(self) -> None:
        """Be idle, with no fault."""
        self._ends: float | None = None
        self._began = 0.0
        self._finish: Callable[[], None] | None = None
        self._trouble = ""
        self._trouble_since = 0.0

    def mend(self) -> None:
        """Clear a fault, as a person would before the next experiment."""
        self._trouble = ""

    def answer(self, line: str) -> str | Reply:
        """Return the answer to *line*, after what has been finished by now."""
        self._advance()
        return super().answer(line)

    def _commands(self) -> dict[str, Handler]:
        return {"STATE?": (0, self._state), "STOP": (0, self._stop), "RESET": (0, self._reset), **self._tasks()}

    @abstractmethod
    def _tasks(self) -> dict[str, Handler]:
        """Return who answers the instrument's own commands."""

    def _begin(self, seconds: float, finish: Callable[[], None] | None = None, *, fault: str = "") -> str:
        """Begin a task of *seconds*; at its end *finish* is called, or the instrument shows the *fault*."""
        if self._trouble:
            return f"ERR 24 not before a reset: {self._trouble}"
        if self._ends is not None:
            return "ERR 23 busy"
        self._began = now()
        self._ends = self._began + seconds
        self._finish = (lambda: self._break(fault)) if fault else finish
        return "OK"

    def _advance(self) -> None:
        if self._trouble and now() > self._trouble_since + PATROL_S:
            self._trouble = ""
        if self._ends is None or now() < self._ends:
            return
        finish, self._finish, self._ends = self._finish, None, None
        if finish is not None:
            finish()

    def _break(self, fault: str) -> None:
        self._trouble, self._trouble_since = f"FAULT {fault}", now()

    def _state(self) -> str:
        if self._trouble:
            return self._trouble
        return "IDLE" if self._ends is None else f"BUSY {self._ends - now():.2f}"

    def _stop(self) -> str:
        if self._ends is not None:
            self._cut_off(now() - self._began)
            self._ends, self._finish = None, None
            self._trouble, self._trouble_since = "STOPPED by command", now()
        return "OK"

    def _cut_off(self, seconds: float) -> None:
        """Leave what a task has done when it is stopped after so many seconds."""

    def _reset(self) -> str:
        self._trouble = ""
        return "OK"
