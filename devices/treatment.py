"""Machines that do one thing to vessels: a capper, a sonicator, a mill, a lamp.

A :class:`~sdl.devices.tasks.TaskInstrument` with one command more, its name as the machine has it:

====================  ================================================================================================
``CAP V7 V8``         do it to these vessels
``LIGHT 3600 V7 V8``  do it to these vessels for so many seconds
====================  ================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Limits
from sdl.devices.stubs import go
from sdl.devices.tasks import TaskInstrument, check_name
from sdl.devices.transport import Transport
from sdl.errors import LimitError
from sdl.lab.actions import ActionClass
from sdl.lab.envelope import as_number

Treatment = tuple[float, tuple[str, ...]]
"""Seconds (0 where the machine takes its own time), and the vessels."""


class Treater:
    """Driver of such a machine.

    Parameters
    ----------
    transport
        The line to the controller.
    verb
        Its command: ``CAP``, ``SONICATE``, ``LIGHT``.
    capacity
        How many vessels it takes at once.
    seconds
        The range of durations that may be asked for; None where the machine takes its own time.
    action_class
        What a second time would do: ``cumulative`` unless told otherwise.
    name
        Prefix of the parts' names.
    timeout_s
        The longest time that the machine needs besides.

    Attributes
    ----------
    work
        Activity: ``set((seconds, vessels))``.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        verb: str,
        capacity: int,
        seconds: Limits | None = None,
        action_class: ActionClass | str = "cumulative",
        name: str = "treater",
        timeout_s: float = 3600.0,
    ) -> None:
        self.name = name
        self.parent = None
        self.capacity = capacity
        self.seconds = seconds
        self._verb = verb
        self._timeout_s = timeout_s
        longest = 0.0 if seconds is None else seconds.high
        self._line = TaskInstrument(name, transport)
        self.work: Activity[Treatment] = self._line.activity(
            "work",
            self._command,
            check=self._check,
            action_class=action_class,
            timeout_s=timeout_s + longest,
            parent=self,
        )

    def treat(self, vessels: Sequence[str], *, seconds: float = 0.0) -> MsgGenerator[None]:
        """Plan stub: do it to the *vessels*, for *seconds* where the machine can be told how long."""
        yield from go(self.work, (float(seconds), tuple(vessels)), timeout=seconds + self._timeout_s + 60)

    def reset(self) -> MsgGenerator[None]:
        """Plan stub: let the machine work again after a fault."""
        yield from self._line.reset()

    def _check(self, treatment: Treatment) -> None:
        seconds, vessels = treatment
        for vessel in vessels:
            check_name(vessel, f"a vessel of {self.name}")
        if not 1 <= len(vessels) <= self.capacity:
            raise LimitError(f"{self.name} takes 1 to {self.capacity} vessels, got {len(vessels)}")
        number = as_number(seconds)
        low, high = (0.0, 0.0) if self.seconds is None else (self.seconds.low, self.seconds.high)
        if number is None or not low <= number <= high:
            raise LimitError(f"{self.name} was told {seconds!r} s, its limits are {low:g} to {high:g} s")

    def _command(self, treatment: Treatment) -> str:
        seconds, vessels = treatment
        words = [self._verb, *([] if self.seconds is None else [f"{seconds:.6g}"]), *vessels]
        return " ".join(words)
