"""A person as a device: does what no instrument can, when told, and says that it is done.

A plan asks a person like it moves a motor::

    def load(lab, s):
        yield from lab.kim.do(f"Put vial {s.trial} into the furnace", expected="5 min")

Whether it was done, nobody can look up after a crash but the person: what a person does is *irreversible* to the engine
unless told otherwise, is recorded before and after like any such act, and is not asked for twice.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sdl.errors import DeviceError, LabError
from sdl.lab.actions import ActionClass, ActRecord, Evidence
from sdl.lab.batch import seconds_of
from sdl.lab.clock import current_time
from sdl.lab.schedule.calendar import Calendar

if TYPE_CHECKING:
    from sdl.lab.messages import Steps


class Desk(Protocol):
    """Where a person looks for what is to be done, in the place of the terminal."""

    def ask(self, person: Person, text: str, expected: float) -> Future[str]:
        """Lay *text* out for *person*, who may need *expected* seconds; return at once. Called on a station's loop."""
        ...

    def withdraw(self, answer: Future[str]) -> None:
        """Take away what nobody waits for any more."""
        ...


Ask = Callable[[str], str]
"""Shows a text to a person, waits, and returns what the person says."""

SHIFT = 28_800.0
"""Seconds that a person may take, unless told otherwise."""


class _Answering:
    """The status of a task that a person was given."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's signature
        return None if self._task.cancelled() else self._task.exception()

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self.done and not self._task.cancelled() and self._task.exception() is None


class Person:
    """Somebody who does things by hand, and is asked on the terminal.

    Enter says that it is done; a text is kept as a note; ``failed: the vial broke`` fails the step with that reason.

    Parameters
    ----------
    name
        What the journal calls this person.
    ask
        Another way to ask: a function that shows a text, waits, and returns the answer. It runs in a thread.
    patience
        How long it may take, in seconds or as text, before the step fails.
    action_class
        What repeating a task would do: ``"irreversible"``, or ``"set_absolute"`` for tasks that may be asked for again.

    Attributes
    ----------
    desk
        Where tasks are laid out in the place of asking: on a server, the page. None: it is asked.
    """

    parent = None

    def __init__(
        self,
        name: str,
        *,
        ask: Ask | None = None,
        patience: float | str = SHIFT,
        action_class: str = ActionClass.IRREVERSIBLE.value,
    ) -> None:
        self.name = name
        self.timeout_s = seconds_of(patience, f"the patience with {name}")
        self.action_classes = {"set": action_class}
        self.note = ""
        self.desk: Desk | None = None
        self._ask = ask or ask_on_terminal
        self._answered_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def do(self, text: str, *, expected: float | str = 300.0) -> Steps[str]:
        """Plan: ask for *text* to be done, wait until it is, and return what the person noted.

        Parameters
        ----------
        text
            The instruction, in words.
        expected
            How long it takes, in seconds or as text: a simulated person takes about so long.
        """
        from sdl.lab.messages import message  # noqa: PLC0415 # bluesky takes half a second, which `import sdl` saves

        seconds = seconds_of(expected, f"what {self.name} is expected to take")
        group = f"{self.name} is asked"
        yield message("set", self, text, expected=seconds, group=group)
        yield message("wait", None, group=group)
        return self.note

    # --- bluesky's verbs ----------------------------------------------------------------------------------------------

    def set(self, text: str, *, expected: float = 300.0) -> _Answering:
        """Ask for *text* to be done. The status ends when the person answers; it fails where the answer says so."""
        self._task = asyncio.get_running_loop().create_task(self._carry_out(text, expected))
        return _Answering(self._task)

    def stop(self, *, success: bool = False) -> None:  # noqa: ARG002 # bluesky's signature
        """Wait no longer for an answer."""
        if self._task is not None:
            self._task.cancel()

    def read(self) -> dict[str, Any]:
        """Return the last note."""
        return {self.name: {"value": self.note, "timestamp": self._answered_at}}

    def describe(self) -> dict[str, Any]:
        """Describe the note."""
        return {self.name: {"source": f"person {self.name}", "dtype": "string", "shape": []}}

    async def reconcile(self, act: ActRecord) -> Evidence:
        """Ask whether *act* was done, after a crash cut it off."""
        if self.desk is not None:  # those who answer for acts see it there, with all others
            return Evidence("cannot_tell", f"nobody has asked {self.name} yet")
        told = str(act.arguments)
        with suppress(LabError, EOFError):
            question = f"{self.name}: was this done? {told} (yes, no, or Enter if you cannot tell) "
            said = await self._answer(question, 60.0)
            if said.lower() in {"yes", "y"}:
                return Evidence("happened", f"{self.name} says that it was done")
            if said.lower() in {"no", "n"}:
                return Evidence("did_not_happen", f"{self.name} says that it was not done")
        return Evidence("cannot_tell", f"{self.name} cannot tell")

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _carry_out(self, text: str, expected: float) -> None:
        if self.desk is not None:
            said = await _laid_out(self.desk, self, text, expected)
        else:
            said = await self._answer(f"{self.name}: {text} [about {expected:g} s; Enter when done] ", expected)
        self._answered_at = current_time()
        if said.lower().startswith("failed"):
            reason = said.partition(":")[2].strip() or "no reason given"
            raise DeviceError(f"{self.name} could not do it: {reason}")
        self.note = said

    async def _answer(self, text: str, expected: float) -> str:
        del expected
        answer: Future[str] = Future()

        def wait() -> None:
            try:
                answer.set_result(self._ask(text).strip())
            except BaseException as error:  # noqa: BLE001 # whatever went wrong with asking is the task's error
                with suppress(Exception):
                    answer.set_exception(error)

        # Nobody can end a thread that waits for a terminal: it must not keep the process from ending.
        threading.Thread(target=wait, name=f"sdl-person-{self.name}", daemon=True).start()
        return await asyncio.wrap_future(answer)


async def _laid_out(desk: Desk, person: Person, text: str, expected: float) -> str:
    answer = desk.ask(person, text, expected)
    try:
        return (await asyncio.wrap_future(answer)).strip()
    finally:
        desk.withdraw(answer)


def ask_on_terminal(text: str) -> str:
    """Show *text* on the terminal and return the line that is typed. Raises LabError where there is no terminal."""
    if not sys.stdin.isatty():
        raise LabError(f"nobody can be asked: {text}", hint="run it on a terminal, or give the person another ask=")
    return input(f"\n{text}")


class SimulatedPerson(Person):
    """A person in simulation: does what is asked after a while, inside working hours.

    How long it takes is drawn from a lognormal distribution whose median is what was expected, from the seed, the text
    and the time of asking: the same in every run.

    Parameters
    ----------
    name, patience, action_class
        As for :class:`Person`.
    hours
        When this person works; always, unless told otherwise. What does not fit into today is done tomorrow.
    spread
        Standard deviation of the logarithm of the time; 0 for exactly what is expected.
    fails
        How often, between 0 and 1, a task fails.
    seed
        The source of chance.
    """

    def __init__(
        self,
        name: str,
        *,
        hours: Calendar | None = None,
        spread: float = 0.3,
        fails: float = 0.0,
        seed: int = 0,
        patience: float | str = 7 * 86_400.0,
        action_class: str = ActionClass.IRREVERSIBLE.value,
    ) -> None:
        super().__init__(name, ask=_no_terminal, patience=patience, action_class=action_class)
        self._hours = hours or Calendar()
        self._spread = spread
        self._fails = fails
        self._seed = seed

    async def _answer(self, text: str, expected: float) -> str:
        now = current_time()
        rng = np.random.default_rng([self._seed, zlib.crc32(text.encode()), round(now * 1000)])
        seconds = expected * float(np.exp(self._spread * rng.normal()))
        begins = self._hours.next_fit(now, seconds)
        if begins is None:
            raise DeviceError(f"{self.name} is never there for {seconds:g} s on end", hint="look at the hours")
        await asyncio.sleep(begins - now + seconds)
        return "failed: it went wrong" if rng.random() < self._fails else ""


def _no_terminal(text: str) -> str:
    raise LabError(f"a simulated person was asked on the terminal: {text}")
