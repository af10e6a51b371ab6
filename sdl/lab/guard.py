"""The guard of acts that may not be repeated: intent, checks, the act once, outcome, in that order.

Around a verb whose class is cumulative, irreversible or transfer, four things happen:

1. what is going to be done is recorded (:class:`~sdl.journal.acts.ActIntended`), and is on the disk;
2. limits and interlocks are checked;
3. the device is told, once;
4. how it ended is recorded (:class:`~sdl.journal.acts.ActEnded`) when its status ends, before the plan goes on.

A process that dies between 1 and 4 leaves an act of which nobody knows whether it happened. Outside of that window the
journal knows. A time-out is no end: an act that has not ended when its step is over is *unknown*.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

from bluesky.utils import FailedStatus, RunEngineControlException
from pydantic import JsonValue

from sdl.errors import DeviceError, DeviceTimeout, TransportError
from sdl.failpoints import fail_point
from sdl.journal.acts import ActEnded, ActIntended, ActOutcome
from sdl.lab.actions import ActionClass
from sdl.lab.clock import Clock
from sdl.lab.documents import plain
from sdl.lab.envelope import Envelope
from sdl.lab.faults import translate
from sdl.lab.job import Job
from sdl.lab.messages import Message, Steps, awaited, message
from sdl.lab.scribe import Scribe, ended

SETTLE = 10.0
"""Clock seconds in which a device that was stopped may say how its act ended."""

BLINK = 0.002
"""Wall seconds that the loop may stand still for a disk. A healthy one is done by then, and a trip through the loop
costs as much processor time as the commit. From then on the loop is free for an abort, however long the disk hangs."""


@dataclass(eq=False)
class _Act:
    """An act under way."""

    id: str
    name: str
    device: object
    began: float
    is_sent: bool = False
    is_ended: bool = False
    outcome: ActOutcome | None = None
    status: Any = None

    @property
    def is_done(self) -> bool:
        """Whether its status says that it has ended."""
        return self.status is not None and bool(self.status.done)


class Guard:
    """Follows the acts of one job."""

    def __init__(self, job: Job, station: str, envelope: Envelope, clock: Clock, scribe: Scribe | None = None) -> None:
        self._job = job
        self._station = station
        self._envelope = envelope
        self._clock = clock
        self._scribe = scribe
        self._n = job.n_acts_before
        self._open: list[_Act] = []
        self._recording: list[Future[None]] = []
        self._current: _Act | None = None
        self._lock = threading.Lock()
        self._ended: asyncio.Event | None = None
        self._error: Exception | None = None  # of recording an end, raised where the plan can see it

    # --- the four things ------------------------------------------------------------------------------------------

    def once(self, given: Message, action: ActionClass, do: Callable[[Message], Steps[Any]]) -> Steps[Any]:
        """Have *do* let the device act on *given*, recorded before and after. *do* says :meth:`sending` as it does."""
        act = yield from self._intend(given, action)
        try:
            answer = yield from do(given)
        except Exception as error:
            self._current = None
            self._end(act, *(outcome_of(error) if act.is_sent else ("refused", str(error))))
            yield from self.recorded_after(error)
            raise
        finally:
            self._current = None
        fail_point("guard.after_act")
        if not self._follow(act, answer):
            self._end(act, "done")
            yield from self.recorded()
        return answer

    def sending(self) -> None:
        """Note that from here on the device may act."""
        if self._current is not None:
            self._current.is_sent = True
            fail_point("guard.before_act")

    def _intend(self, given: Message, action: ActionClass) -> Steps[_Act]:
        self._n += 1
        md = self._job.md
        trial, attempt, step = md.get("trial", 0), md.get("attempt", 0), str(md.get("step", ""))
        name = self._envelope.name(given.obj)
        act = _Act(f"{trial}.{attempt}.{step}.{self._n}", f"{name}.{given.command}", given.obj, self._clock.monotonic())
        intended = ActIntended(
            act=act.id,
            step=step,
            station=self._station,
            attempt=attempt if isinstance(attempt, int) else 0,
            device=name,
            verb=given.command,
            action_class=cast("Literal['cumulative', 'irreversible', 'transfer']", action.value),
            arguments=arguments_of(given),
        )
        fail_point("guard.before_intent")
        yield from self._record_intent(act, intended)
        fail_point("guard.after_intent")
        self._current = act
        return act

    def _record_intent(self, act: _Act, intended: ActIntended) -> Steps[None]:
        """Record that *act* is going to be done; the plan waits for the disk, and the loop does not."""
        self._open.append(act)
        recording: Future[None] | None = None
        try:
            if self._scribe is None:
                self._job.on_act(intended)
            else:
                recording = self._scribe.submit(lambda: self._job.on_act(intended))
                yield from _until_done([recording])
        except BaseException as error:
            if recording is None or (recording.done() and recording.exception() is error):
                self._open.remove(act)  # nothing is on record, and nothing will be done
            else:  # an abort: the disk may still take it
                self._end(act, "refused", f"it was aborted before it began: {error or type(error).__name__}")
            raise

    def _follow(self, act: _Act, answer: Any) -> bool:
        """Have the end of *act* recorded when its status ends; False where it has none, and is over."""
        if not callable(getattr(answer, "add_callback", None)):
            return False
        act.status = answer
        loop = asyncio.get_running_loop()

        def conclude(_: object) -> None:
            if threading.get_ident() == thread:
                self._conclude(act)
            else:  # ophyd's statuses call back from threads of their own
                with suppress(RuntimeError):  # the loop was closed a moment ago, and the act is concluded with it
                    loop.call_soon_threadsafe(self._conclude, act)

        thread = threading.get_ident()
        answer.add_callback(conclude)
        return True

    def _conclude(self, act: _Act) -> None:
        """Record how an act ended whose status is done."""
        if act.status.success:
            self._end(act, "done")
        else:
            error = failure_of(act.status)  # not "or": aioca's errors are false
            self._end(act, *outcome_of(DeviceError("the device says that it failed") if error is None else error))

    def _end(self, act: _Act, outcome: ActOutcome, reason: str = "") -> None:
        with self._lock:
            if act.is_ended:
                return
            act.is_ended = True
            self._open.remove(act)
        act.outcome = outcome
        body = ActEnded(act=act.id, outcome=outcome, seconds=self._clock.monotonic() - act.began, reason=reason)
        if self._scribe is None:
            self._record_end(body)
        else:
            self._recording.append(self._scribe.submit(lambda: self._record_end(body)))
        if self._ended is not None and not self._open:
            self._ended.set()

    def _record_end(self, body: ActEnded) -> None:
        fail_point("guard.before_end")
        try:
            self._job.on_act(body)
        except Exception as error:  # noqa: BLE001 # a callback of a status has nobody to raise it to
            self._error = self._error or error
        fail_point("guard.after_end")

    # --- the end of the step --------------------------------------------------------------------------------------

    @property
    def open(self) -> list[_Act]:
        """The acts whose end nobody knows yet."""
        return list(self._open)

    def recorded(self) -> Steps[None]:
        """Wait until the ends of acts are recorded that are known. Raises what went wrong in recording."""
        recording, self._recording = self._recording, []
        waiting = [each for each in recording if not each.done()]
        if waiting:
            yield from _until_done(waiting)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def recorded_after(self, error: Exception) -> Steps[None]:
        """Do as :meth:`recorded`, before the plan hears of *error*. An abort waits for no disk."""
        if not isinstance(error, RunEngineControlException):
            yield from self.recorded()

    def conclude_done(self) -> None:
        """Have the end of every act recorded whose status is done."""
        if not self._open:
            return
        for act in self.open:
            if act.is_done:
                self._conclude(act)

    def settle(self, seconds: float) -> Steps[None]:
        """The plan is over, and did not wait for all its acts: wait for them, *seconds* at most.

        Raises :class:`~sdl.errors.DeviceError` or :class:`~sdl.errors.DeviceTimeout` for one that does not end well.
        """
        left = self.open
        self.conclude_done()
        yield from self._until_ended(seconds, is_final=False)
        self._give_up(f"it had not ended {seconds:g} s after the plan")
        yield from self.recorded()
        for act in left:
            if act.outcome == "unknown":
                raise DeviceTimeout(f"{act.name} was begun, and has not said how it ended")
            if act.outcome != "done":
                raise DeviceError(f"{act.name} failed after the plan had ended", hint="wait for it in the plan")

    def stop(self) -> Steps[None]:
        """The plan has failed, or is aborted: stop what still acts, and let it say how it ended."""
        self.conclude_done()
        for act in self.open:
            if callable(getattr(act.device, "stop", None)):
                with suppress(Exception):  # it goes on, and is unknown
                    yield message("stop", act.device)
        yield from self._until_ended(SETTLE, is_final=True)
        self._give_up("it was stopped, and did not say how far it came")

    def _until_ended(self, seconds: float, *, is_final: bool) -> Steps[None]:
        """Wait for the acts that are open. An abort ends the wait, but not the *is_final* one, which is short."""
        deadline = self._clock.monotonic() + seconds
        for _ in range(len(self._open) + 3):  # each of them may fail, which is thrown in here
            left = deadline - self._clock.monotonic()
            if not self._open or left <= 0:
                return
            try:
                yield message("wait_for", None, [lambda left=left: self._all_ended(left)])
            except RunEngineControlException:
                if not is_final:
                    raise
            except Exception:  # noqa: BLE001, S110 # an act that failed: its own status says so
                pass
            self.conclude_done()

    async def _all_ended(self, seconds: float) -> None:
        self._ended = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def _give_up(self, reason: str) -> None:
        for act in self.open:
            self._end(act, "unknown", reason)

    def abandon(self, reason: str) -> None:
        """The plan is gone: what has not said how it ended is unknown. From any thread."""
        for act in self.open:
            if act.is_done:
                self._conclude(act)
            else:
                self._end(act, "unknown" if act.is_sent else "refused", reason)


def _until_done(futures: Sequence[Future[None]]) -> Steps[None]:
    """Wait for what the scribe does, in this order. Raises what it raised."""
    with suppress(TimeoutError):
        futures[-1].exception(BLINK)
    if not futures[-1].done():
        yield from awaited(functools.partial(ended, futures[-1]))
    for future in futures:
        future.result()


def failure_of(status: Any) -> BaseException | None:
    """Return what went wrong, of a status that has ended badly."""
    try:
        error: BaseException | None = status.exception(0.0)
    except Exception as raised:  # noqa: BLE001 # some raise it instead
        return raised
    return error


def outcome_of(error: BaseException) -> tuple[ActOutcome, str]:
    """Say how an act ended that raised *error*, and why.

    What only says that no answer came, or that something else went wrong meanwhile, does not say whether it was done.
    """
    if isinstance(error, RunEngineControlException | FailedStatus | asyncio.CancelledError):
        return "unknown", str(error) or type(error).__name__
    meant = translate(error, "the device")
    return ("unknown" if isinstance(meant, DeviceTimeout | TransportError) else "failed"), str(meant)


def arguments_of(given: Message) -> dict[str, JsonValue]:
    """Return what a device is told, as plain data, with the unit that it says it takes."""
    kwargs: Mapping[str, object] = {name: value for name, value in given.kwargs.items() if name not in _OF_BLUESKY}
    unit = getattr(given.obj, "unit", None)
    found: dict[str, JsonValue] = {"args": plain(given.args)}
    if kwargs:
        found["kwargs"] = plain(kwargs)
    if isinstance(unit, str) and unit:
        found["unit"] = unit
    return found


_OF_BLUESKY = frozenset({"group", "wait", "timeout"})
"""What a message tells the RunEngine and not the device."""
