"""The parts that drivers are made of.

A driver is a plain class. It takes a :class:`~sdl.devices.transport.Transport`, and its attributes are parts from this
module: a :class:`Knob` for what can be set and read back, a :class:`Gauge` for what can only be read, a
:class:`Sensor` for what measures when it is told to, an :class:`Activity` for everything else that takes time. Every
part has the verbs of ``bluesky.protocols``, so it can stand in a plan; what it says to the instrument is a matter of a
few strings and coroutines. See ``sputter.py`` for a driver that uses most of them.

All of this runs on the event loop of the RunEngine that executes the plan, and takes time from that loop, which is
virtual in simulation. ``set`` and ``trigger`` therefore belong into plans; called elsewhere they find no loop.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from bluesky.protocols import Location, Reading, Status
from event_model.documents.event_descriptor import DataKey

from sdl.devices.transport import SendingTransport, Transport
from sdl.devices.turns import Turns
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.lab.actions import ActionClass
from sdl.lab.clock import current_time
from sdl.lab.envelope import as_number

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """How to find out whether the right instrument is at the other end of the line.

    Parameters
    ----------
    question
        What it is asked.
    pattern
        A regular expression that somewhere in its answer must match; case counts.
    """

    question: str
    pattern: str


class Instrument:
    """What a driver says to its instrument, and how the answers are read.

    The convention, which the drivers of this package share: a command is answered ``OK``, a question by its value, and
    either by ``ERR code text`` when the instrument refuses. An instrument with a convention of its own has a subclass
    that overrides :meth:`_understood` and :meth:`command`.

    Parameters
    ----------
    name
        For messages.
    transport
        The line.
    identity
        Asked before the first request, and again after every failure: behind a line that was opened anew there may be
        another instrument.
    """

    def __init__(self, name: str, transport: Transport, *, identity: Identity | None = None) -> None:
        self.name = name
        self.transport = transport
        self.identity = identity
        self._is_identified = False
        self._asking_who = Turns()

    async def connect(self) -> None:
        """Open the line, and ask who is there. Raises as :meth:`ask` does."""
        await self.transport.open()
        await self._identify()

    async def disconnect(self) -> None:
        """Close the line."""
        self._is_identified = False
        await self.transport.close()

    async def ask(self, question: str) -> str:
        """Return the answer. Raises DeviceError if the instrument refuses, or is another one than expected."""
        await self._identify()
        return self._understood(question, await self._request(question))

    async def send(self, message: str) -> None:
        """Say something to which no answer comes. Raises DeviceError where the line cannot do that."""
        await self._identify()
        if not isinstance(self.transport, SendingTransport):
            raise DeviceError(
                f"{self.name} does not answer {message!r}, and {self.transport.name} waits for an answer to everything",
                hint="use a transport with send(), such as TcpTransport or SerialTransport",
            )
        try:
            await self.transport.send(message)
        except BaseException:
            self._is_identified = False
            raise

    def _understood(self, question: str, answer: str) -> str:
        """Return the answer to *question*. Raises DeviceError where it is a refusal."""
        if answer.startswith("ERR"):
            _, code, text = [*answer.split(" ", 2), "", ""][:3]
            raise DeviceError(f"{self.name} refused {question!r} with error {code or '?'}: {text or 'no reason given'}")
        return answer

    async def _request(self, message: str) -> str:
        try:
            return await self.transport.request(message)
        except BaseException:  # a cancelled wait included: the line is closed, and opened by the next request
            self._is_identified = False
            raise

    async def _identify(self) -> None:
        if self._is_identified:
            return
        async with self._asking_who:
            if self._is_identified:
                return
            if self.identity is not None:
                await self._check_identity(self.identity)
            await self._set_up()
            self._is_identified = True

    async def _check_identity(self, identity: Identity) -> None:
        answer = await self._request(identity.question)
        if re.search(identity.pattern, answer) is None:
            raise DeviceError(
                f"{self.name} is to be {identity.pattern!r}, and {self.transport.name} answers {answer[:80]!r}",
                hint="is the right instrument at this address? nothing else was said to it",
            )

    async def _set_up(self) -> None:
        """Tell the instrument what it has to know after it was found: units, modes. By ``_request``, not by ``ask``."""

    async def command(self, command: str) -> None:
        """Give a command. Raises DeviceError if the instrument refuses it, or answers something else than OK."""
        answer = await self.ask(command)
        if answer != "OK":
            raise self.nonsense(command, answer, "OK")

    async def number(self, question: str) -> float:
        """Return the answer as a finite number. Raises DeviceError for anything else."""
        answer = await self.ask(question)
        try:
            value = float(answer)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.nonsense(question, answer, "a number")
        return value

    def nonsense(self, message: str, answer: str, expected: str) -> DeviceError:
        """Return the error for an answer that makes no sense."""
        return DeviceError(
            f"{self.name} answered {answer[:80]!r} to {message!r}, expected {expected}",
            hint="is this the right instrument at the other end of the line?",
        )


class Action(Status):
    """A running coroutine as a bluesky Status.

    Create it on the event loop. It is done when the coroutine ends; its exception is the coroutine's. Callbacks are
    called on the loop, once each, at once if it is done already.
    """

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name=name)
        # Without this, an action that nobody waits for warns when its task is collected.
        self._task.add_done_callback(lambda task: None if task.cancelled() else task.exception())

    def add_callback(self, callback: Callable[[Status], None]) -> None:
        """Call *callback* with this status when it is done."""
        if self._task.done():
            callback(self)
        else:
            self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 - the protocol's argument
        """Return what went wrong, or None; None as well while it runs, since a loop cannot wait for itself."""
        if not self._task.done():
            return None
        if self._task.cancelled():
            return DeviceError(f"{self._task.get_name()} was cancelled")
        return self._task.exception()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self._task.done()

    @property
    def success(self) -> bool:
        """Whether it has ended well."""
        return self._task.done() and self.exception() is None

    def __repr__(self) -> str:
        state = "running" if not self.done else "done" if self.success else f"failed: {self.exception()}"
        return f"<Action {self._task.get_name()}: {state}>"


class Pause:
    """Waiting that a stop can end early. One wait at a time."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._future: asyncio.Future[None] | None = None

    async def sleep(self, seconds: float) -> bool:
        """Wait on the loop's clock; return whether it was stopped, at once if it is stopped already."""
        if self.is_stopped:
            return True
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(seconds, _finish, self._future)
        try:
            await self._future
        finally:
            timer.cancel()
        return self.is_stopped

    def stop(self) -> None:
        """End the wait, and refuse all later ones."""
        self.is_stopped = True
        if self._future is not None:
            _finish(self._future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Activity(Generic[T]):
    """Something that an instrument can be told to do, and that takes time (Movable, Checkable, Stoppable).

    Parameters
    ----------
    name
        Of the device in plans and documents.
    work
        Does it: gets the value and a :class:`Pause` to wait with, returns when it is done. When the pause says that it
        was stopped, *work* raises, or returns if stopping in the middle is a good end.
    halt
        Tells the instrument to stop; called only while *work* runs.
    check
        Raises LimitError for a value that is not allowed.
    action_class
        What doing it again would do: see :class:`~sdl.lab.ActionClass`.
    safe_action
        What it does when an interlock trips: see :mod:`sdl.lab.safe_actions`.
    parent
        The driver.
    unit, limits
        Of its value, where that is a number: for laboratories and checks; *check* is what refuses.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[T, Pause], Coroutine[Any, Any, None]],
        *,
        halt: Callable[[], Awaitable[None]],
        check: Callable[[T], None],
        action_class: ActionClass | str,
        safe_action: str = "stop_now",
        parent: object | None = None,
        unit: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.action_classes = {"set": ActionClass(action_class)}
        self.safe_action = safe_action
        self.name = name
        self.parent = parent
        self.unit = unit
        self.limits = limits
        self._work = work
        self._halt = halt
        self._check = check
        self._running: tuple[Action, Pause] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it is at work."""
        return self._running is not None and not self._running[0].done

    def check_value(self, value: T) -> None:
        """Raise LimitError if *value* is not allowed."""
        self._check(value)

    def set(self, value: T) -> Status:
        """Begin. Raises LimitError for a value that is not allowed, DeviceError while it is still busy."""
        self._check(value)
        if self.is_busy:
            raise DeviceError(f"{self.name} was told {value!r} while it is still busy", hint="wait for it, or stop it")
        pause = Pause()
        action = Action(self._work(value, pause), f"{self.name} {value!r}")
        self._running = (action, pause)
        return action

    async def stop(self, success: bool = True) -> None:  # noqa: ARG002 - the protocol's argument
        """Stop, if it is at work. An unfinished activity never counts as a success."""
        if self._running is not None and self.is_busy:
            self._running[1].stop()
            await self._halt()


@dataclass(frozen=True)
class Limits:
    """The range of values that an instrument takes, ends included."""

    low: float
    high: float


class Gauge:
    """A quantity that can be read at any time (Readable).

    Parameters
    ----------
    name
        Of the device, and of its one data key.
    instrument, question
        Whom to ask what; the answer is a number.
    unit
        Of that number, as pint spells it.
    limits
        Its range, for the description.
    """

    def __init__(
        self,
        name: str,
        *,
        instrument: Instrument,
        question: str,
        unit: str,
        limits: Limits | None = None,
        parent: object | None = None,
    ) -> None:
        self.name = name
        self.unit = unit
        self.limits = limits
        self.parent = parent
        self._instrument = instrument
        self._question = question

    async def value(self) -> float:
        """Ask the instrument."""
        return await self._instrument.number(self._question)

    async def read(self) -> dict[str, Reading[float]]:
        """Return a fresh reading."""
        return {self.name: reading(await self.value())}

    def describe(self) -> dict[str, DataKey]:
        """Return the data key: dtype, shape, source, units, limits."""
        return {self.name: data_key(f"{self._instrument.transport.name} {self._question}", self.unit, self.limits)}


class Knob(Gauge):
    """A quantity that can be set and read back (Movable, Readable, Locatable, Checkable, Stoppable).

    ``set`` sends the command and asks for the readback until it is within half of the tolerance, so that a noisy
    readback afterwards is still within the whole.

    Parameters
    ----------
    setter
        The command, with the value's format: ``"SET:OXYGEN {:.6g}"``.
    stopper
        The command that makes the instrument stay where it is, or what says it.
    tolerance, relative_tolerance
        How far from the set-point counts as there: the larger of the two, the second as a share of the set-point.
    timeout_s
        After which a move has failed.
    poll_s
        Time between two questions.
    safe_action
        What it does when an interlock trips: see :mod:`sdl.lab.safe_actions`.
    """

    action_classes: ClassVar[Mapping[str, ActionClass]] = {"set": ActionClass.SET_ABSOLUTE}

    def __init__(
        self,
        name: str,
        *,
        instrument: Instrument,
        question: str,
        setter: str,
        stopper: str | Callable[[], Awaitable[None]],
        unit: str,
        limits: Limits,
        tolerance: float,
        relative_tolerance: float = 0.0,
        timeout_s: float,
        poll_s: float = 1.0,
        safe_action: str = "hold_setpoint",
        parent: object | None = None,
    ) -> None:
        super().__init__(name, instrument=instrument, question=question, unit=unit, limits=limits, parent=parent)
        self.safe_action = safe_action
        self._range = limits
        self.tolerance = tolerance
        self.relative_tolerance = relative_tolerance
        self.timeout_s = timeout_s
        self.poll_s = poll_s
        self.setpoint: float | None = None
        self._setter = setter
        self._move: Activity[float] = Activity(
            name,
            self._go,
            halt=stopper if callable(stopper) else lambda: instrument.command(stopper),
            check=self.check_value,
            action_class=ActionClass.SET_ABSOLUTE,
            parent=parent,
        )

    def check_value(self, value: float) -> None:
        """Raise LimitError unless *value* is a number within the limits."""
        low, high = self._range.low, self._range.high
        number = as_number(value)  # a Python float: numpy would round the limits to the precision of its own
        if number is None or not low <= number <= high:
            raise LimitError(
                f"{self.name} was told {value!r}, its limits are {low:g} to {high:g} {self.unit}",
                hint="narrow the search space, or the plan",
            )

    def margin(self, setpoint: float) -> float:
        """Return how far from *setpoint* a readback still counts as there, in the knob's unit."""
        return max(self.tolerance, self.relative_tolerance * abs(setpoint))

    def set(self, value: float) -> Status:
        """Begin to move to *value*, in the knob's unit. Raises LimitError, and DeviceError while it still moves."""
        return self._move.set(value)

    async def stop(self, success: bool = True) -> None:
        """Make the instrument stay where it is, if it moves. A move that was stopped on its way has failed."""
        await self._move.stop(success)

    async def locate(self) -> Location[float]:
        """Return the last set-point (the readback if there was none) and the readback."""
        value = await self.value()
        return {"setpoint": value if self.setpoint is None else self.setpoint, "readback": value}

    async def _go(self, value: float, pause: Pause) -> None:
        self.setpoint = target = float(value)
        await self._instrument.command(self._setter.format(target))
        await self.arrived(target, pause)

    async def arrived(self, target: float, pause: Pause) -> None:
        """Wait until the readback is at *target*. Raises DeviceTimeout, and DeviceError where it was stopped."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while abs((now := await self.value()) - target) > self.margin(target) / 2:
            if loop.time() >= deadline:
                raise DeviceTimeout(
                    f"{self.name} is at {now:g} {self.unit}, {self.timeout_s:g} s after it was told {target:g}"
                )
            if await pause.sleep(self.poll_s):
                raise DeviceError(f"{self.name} was stopped at {now:g} {self.unit}, on its way to {target:g}")


class Sensor:
    """Something that measures when it is triggered (Triggerable, Readable).

    Parameters
    ----------
    name
        Of the device.
    measure
        Does the measurement; returns a number for each data key.
    units
        Data key -> unit; the empty string for a plain number.
    source
        For the description.
    """

    action_classes: ClassVar[Mapping[str, ActionClass]] = {"trigger": ActionClass.READ}
    safe_action: ClassVar[str] = "finish_step_then_hold"

    def __init__(
        self,
        name: str,
        measure: Callable[[], Awaitable[Mapping[str, float]]],
        *,
        units: Mapping[str, str],
        source: str,
        parent: object | None = None,
    ) -> None:
        self.name = name
        self.parent = parent
        self._measure = measure
        self._units = dict(units)
        self._source = source
        self._last: dict[str, Reading[float]] | None = None

    def trigger(self) -> Status:
        """Begin a measurement; :meth:`read` then gives its result."""
        return Action(self._take(), f"{self.name} measurement")

    def read(self) -> dict[str, Reading[float]]:
        """Return the result of the last trigger. Raises DeviceError if there was none, or if it failed."""
        if self._last is None:
            raise DeviceError(f"{self.name} has no measurement to read", hint="trigger it first")
        return dict(self._last)

    def describe(self) -> dict[str, DataKey]:
        """Return the data keys: dtype, shape, source, units."""
        return {key: data_key(self._source, unit) for key, unit in self._units.items()}

    async def _take(self) -> None:
        self._last = None
        values = await self._measure()
        self._last = {key: reading(values[key]) for key in self._units}


def reading(value: float) -> Reading[float]:
    """Return *value* as a reading taken now, by the clock of the running loop."""
    return {"value": value, "timestamp": current_time()}


def data_key(source: str, unit: str, limits: Limits | None = None) -> DataKey:
    """Return the description of a number."""
    key: DataKey = {"dtype": "number", "shape": [], "source": source, "units": unit}
    if limits is not None:
        key["limits"] = {"control": {"low": limits.low, "high": limits.high}}
    return key
