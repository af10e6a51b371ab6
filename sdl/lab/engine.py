"""The only place that knows a RunEngine.

An :class:`Engine` has one worker thread and one ``bluesky.RunEngine``, made with the first job. The RunEngine's loop
has a thread of its own (one for all engines, on a virtual clock). The worker calls the RunEngine, which blocks it until
the plan has ended; everything in the plan happens on the loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from bluesky.log import ComposableLogAdapter
from bluesky.run_engine import RunEngine, RunEngineResult, TransitionError  # type: ignore[attr-defined] # vendored, and raised by the public abort
from bluesky.utils import DuringTask, RunEngineInterrupted

from sdl.errors import DeviceTimeout, LabError, SdlError, StepAborted
from sdl.lab.checks import Rules, Supervisor
from sdl.lab.clock import CLOCK, Clock, Mailbox, Passage, thread_of
from sdl.lab.connection import Line, connect_all, disconnect_all, find_lines, reconnect
from sdl.lab.documents import plain
from sdl.lab.faults import translate
from sdl.lab.guard import Guard
from sdl.lab.job import Job, JobResult
from sdl.lab.messages import Steps, aside, awaited
from sdl.lab.quiet import muted
from sdl.lab.safety import StationSafety
from sdl.lab.scribe import Scribe
from sdl.lab.stopping import stop_touched
from sdl.lab.unimported import installed, unimported
from sdl.lab.walk import walk_steps

if TYPE_CHECKING:
    from sdl.lab.station import Station

CLOSE_TIMEOUT = 30.0
"""Wall seconds that an aborted job gets to clean up when its station closes."""

START_TIMEOUT = 60.0
"""Wall seconds that a loop may be busy with something else when a RunEngine is made on it."""

_UNASKED = ("ophyd", "ophyd_async")
_TIMED = frozenset(("start", "descriptor", "event", "stop"))
_STARTING = threading.Lock()
"""RunEngines that share a loop are made one after the other: the first one starts it."""

_LOG = logging.getLogger("sdl.lab.bluesky")


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what is in the job's result: that a run failed. A device that cannot be stopped is told in one line."""
    if record.msg == "Failed to stop %r." and record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args = "%s: %s", (record.getMessage(), repr(record.exc_info[1]))
        record.exc_info = None
    return record.msg != "Run aborted"


_LOG.addFilter(_is_news)


class _LoopDied(BaseException):
    """The loop's thread has ended under a plan. No Exception, because bluesky would try to halt a loop that is gone."""


class _Watch(DuringTask):
    """Blocks the worker during a plan, without a look at Qt, and not for ever when the loop is dead."""

    PERIOD: ClassVar[float] = 2.0
    """Wall seconds between two looks at the loop."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None

    def block(self, blocking_event: threading.Event) -> None:
        """Wait for the plan's end."""
        while not blocking_event.wait(self.PERIOD):
            if self.thread is not None and not self.thread.is_alive():
                raise _LoopDied


class _RunEngine(Protocol):
    """What is used of a RunEngine, with the types that bluesky does not declare."""

    log: logging.LoggerAdapter[Any]
    state_hook: Callable[[object, object], None] | None
    rewindable: bool

    @property
    def state(self) -> str: ...

    def __call__(self, plan: Steps[Any], /, **md: Any) -> RunEngineResult: ...

    def abort(self, reason: str = "") -> object: ...

    def subscribe(self, func: Callable[[str, dict[str, Any]], None]) -> int: ...


class _Runner(RunEngine):
    """A RunEngine that waits for no disk on its loop, and for no device that will not stop."""

    owner: Engine

    async def emit(self, name: Any, doc: Any) -> None:
        """Hand a document on, and wait where too many are under way."""
        runner: Any = super()
        runner.emit_sync(name, doc)
        await self.owner.keep_up()

    async def _stop_movable_objects(self, *, success: bool = True) -> None:
        """Stop what the plan has moved; after an abort side by side, and none for longer than it may take."""
        touched: set[object] = self._movable_objs_touched
        touched -= {device for device in touched if self.owner.safety.is_spared(device)}
        if not self.owner.is_aborting:
            await super()._stop_movable_objects(success=success)  # type: ignore[no-untyped-call] # bluesky's own
            return
        await stop_touched(touched, is_virtual=self.owner.is_virtual)


@dataclass(eq=False)
class _Task:
    """A job on its way through the engine."""

    job: Job
    passage: Passage
    supervisor: Supervisor | None  # None for the engine's own errands, which are no steps
    guard: Guard | None = None
    started: float | None = None
    ended: float | None = None
    runs: list[str] = field(default_factory=list[str])
    document_error: Exception | None = None
    is_document_error_told: bool = False
    abort_reason: str | None = None
    abort_cause: SdlError | None = None
    is_begun: bool = False
    began: float = 0.0
    duration: float | None = None
    watchdog: asyncio.TimerHandle | None = None
    is_late: bool = False
    is_aborted: bool = False
    aborter: threading.Thread | None = None


class Engine:
    """One RunEngine on its own worker thread, for one station."""

    def __init__(self, station: Station, clock: Clock) -> None:
        self.name = self._name = station.name
        self._devices = station.devices
        self._clock = clock
        self.is_virtual = clock.is_virtual
        self._interlocks = station.interlocks
        self.safety = StationSafety(self, station.devices, station.envelope, station.interlocks, clock)
        self._rules = Rules(
            station.envelope,
            station.wait_timeout,
            station.tolerance,
            station.actions,
            self.safety.before_act,
            station.elsewhere,
        )
        self._scribe = None if clock.is_virtual else Scribe(f"sdl-{station.name}-record")
        self._jobs: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._task: _Task | None = None
        self._admission = threading.Lock()
        self._engine: _RunEngine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch = _Watch()
        self._is_connected = False
        self._is_doubtful = False
        self._lines: tuple[Line, ...] = ()
        self._worker = threading.Thread(target=self._work, name=f"sdl-{station.name}", daemon=True)
        self._worker.start()

    # --- from any thread ------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a job is queued or running."""
        return self._task is not None

    def submit(self, job: Job) -> None:
        """Run *job* on the worker thread."""
        self._submit(job, Guard(job, self._name, self._rules.envelope, self._clock, self._scribe))

    def connect(self) -> None:
        """Connect the devices, and wait until they are. Raises what :func:`connect_all` raises."""
        if self._is_connected:
            return
        box: Mailbox[JobResult] = self._clock.mailbox()
        self._submit(Job(self._connect, on_done=box.put), None)
        result = box.get()
        if result is not None and result.error is not None:
            raise result.error

    def abort(self, reason: str) -> None:
        """Stop the devices and abort the present job. Takes no lock, so that a signal handler may call it anywhere."""
        task = self._task
        if task is not None:
            task.abort_reason = task.abort_reason or reason
        if self._loop is None:  # there is no loop yet, and the job looks before it begins
            return
        self._clock.hold()
        try:
            self.safety.stop_all(functools.partial(self._interrupt, task, reason))
        except RuntimeError:  # it was closed a moment ago
            self._clock.release()

    def close(self) -> None:
        """Abort what runs, disconnect the devices, end the threads."""
        if self._task is not None:
            self.abort("the laboratory closes")
        self.safety.leave()
        self._jobs.put(None)
        box: Mailbox[bool] = self._clock.mailbox()
        waiter = threading.Thread(target=self._wait_for_worker, args=(box,), name="sdl-close", daemon=True)
        waiter.start()
        box.get()  # lets virtual time go on, which a clean-up may need
        waiter.join()
        self.safety.end()
        self._drop_engine()
        self._worker.join(2 * _Watch.PERIOD)
        if self._scribe is not None:
            self._scribe.end(_Watch.PERIOD)

    def _wait_for_worker(self, box: Mailbox[bool]) -> None:
        self._worker.join(CLOSE_TIMEOUT)
        box.put(True)

    def _submit(self, job: Job, guard: Guard | None) -> None:
        supervisor = None if guard is None else Supervisor(self._rules, self._clock, guard)
        with self._admission:  # two campaigns may share a laboratory, from two threads
            if self._task is not None:
                raise LabError(f"station {self._name} is busy", hint="it runs one job at a time")
            task = _Task(job, self._clock.admit(), supervisor, guard)
            self._task = task
        self._jobs.put(task)

    # --- on the worker thread -------------------------------------------------------------------------------------

    def _work(self) -> None:
        CLOCK.set(self._clock)
        while (task := self._jobs.get()) is not None:
            self._attend(task)
        if self._is_connected:
            farewell = _Task(Job(self._disconnect), self._clock.admit(), None)
            self._task = farewell
            self._attend(farewell)

    def _attend(self, task: _Task) -> None:
        result = self._execute(task)
        with task.passage.deliver():
            self._task = None
            try:
                task.job.on_done(result)
            except Exception:  # noqa: BLE001 # the border: the next job is not to suffer
                _LOG.exception("what station %s was told to call when a job is done raised", self._name)

    def _execute(self, task: _Task) -> JobResult:
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._call(task)
        except BaseException as raised:  # noqa: BLE001 # the border: whatever ended the plan is the job's result
            error = raised
        if task.guard is not None:
            task.guard.abandon("its plan is gone")
        if self._scribe is not None:
            self._scribe.drain()
        result = self._result(task, value, error)
        self._is_doubtful = result.error is not None
        return result

    def _call(self, task: _Task) -> Any:
        engine = self._ready()
        try:
            return engine(self._named(task), **task.job.md).plan_result
        finally:
            if task.aborter is not None:
                task.aborter.join()
            self._mend()

    def _result(self, task: _Task, value: Any, error: BaseException | None) -> JobResult:
        if task.document_error is not None:
            error = task.document_error
        elif error is not None:
            error = self._explain(task, error)
        ended = self._clock.time() if task.ended is None else task.ended
        return JobResult(
            value=value if error is None else None,
            error=error,
            runs=tuple(task.runs),
            started=ended if task.started is None else task.started,
            ended=ended,
            is_aborted=isinstance(error, StepAborted),
            is_begun=task.is_begun,
            duration=task.duration,
        )

    def _explain(self, task: _Task, error: BaseException) -> BaseException:
        if isinstance(error, _LoopDied):
            explained: BaseException = LabError(f"the event loop of station {self._name} died under the plan")
        elif task.abort_cause is not None:
            explained = type(task.abort_cause)(task.abort_cause.message, hint=task.abort_cause.hint)
        elif task.is_aborted and task.is_late:
            explained = DeviceTimeout(f"the step took longer than its {task.job.timeout:g} s")
        elif task.is_aborted or task.abort_reason is not None or isinstance(error, RunEngineInterrupted):
            explained = StepAborted(f"the step was aborted: {task.abort_reason or 'by somebody else'}")
        else:
            culprit = None if task.supervisor is None else task.supervisor.culprit(error)
            return translate(error, culprit)
        explained.__cause__ = error
        return explained

    # --- the RunEngine --------------------------------------------------------------------------------------------

    def _ready(self) -> _RunEngine:
        """Return the RunEngine; make one if there is none."""
        if self._engine is None:
            loop = self._loop = self._loop or self._clock.new_loop()
            with _STARTING:
                made = self._make(loop)
                made.owner = self
                engine = cast("_RunEngine", made)
            engine.log = ComposableLogAdapter(_LOG, {"RE": engine})
            engine.state_hook = self._state_changed
            engine.rewindable = False  # nothing is ever repeated: see Supervisor on pauses
            engine.subscribe(self._document)
            self._watch.thread = thread_of(loop, START_TIMEOUT)
            self._engine = engine
        return self._engine

    def _make(self, loop: asyncio.AbstractEventLoop) -> _Runner:
        with unimported(*_UNASKED):  # bluesky imports them for their versions, which takes more than a second
            return _Runner(
                {"versions": installed(*_UNASKED)},
                loop=loop,
                context_managers=[],
                scan_id_source=self._scan_id,
                during_task=self._watch,
                call_returns_result=True,
            )

    def _mend(self) -> None:
        """Leave a RunEngine that can take the next job, or none."""
        engine = self._engine
        if engine is None:
            return
        if engine.state == "paused":
            with muted(self._watch.thread):
                engine.abort("a plan cannot pause")
        is_alive = self._watch.thread is not None and self._watch.thread.is_alive()
        if engine.state != "idle" or not is_alive:
            self._drop_engine()

    def _drop_engine(self) -> None:
        loop, self._loop, self._engine = self._loop, None, None
        if loop is not None:
            self._clock.close_loop(loop)

    # --- on the loop ----------------------------------------------------------------------------------------------

    def _named(self, task: _Task) -> Steps[Any]:
        """Return the plan to execute, under the name that the start document gives it."""
        if task.supervisor is None:
            plan = self._errand(task)
        else:
            plan = task.supervisor.supervise(
                task.job.plan, begin=functools.partial(self._begin, task), end=functools.partial(self._end, task)
            )
        cast("GeneratorType[Any, Any, Any]", plan).__name__ = _name_of(task.job.plan)
        return plan

    def _errand(self, task: _Task) -> Steps[Any]:
        """What the engine does for itself: connecting, disconnecting."""
        yield from self._enter(task)
        return (yield from task.job.plan())

    def _enter(self, task: _Task) -> Steps[None]:
        if self._clock.is_virtual:
            yield from awaited(task.passage.begin)
        task.started, task.began = self._clock.time(), self._clock.monotonic()
        if task.abort_reason is not None:
            raise StepAborted(f"the step was aborted before it began: {task.abort_reason}")

    def _begin(self, task: _Task) -> Steps[None]:
        """All that comes before the first message of a step's plan: the dry walk too."""
        yield from self._enter(task)
        if task.job.hold is not None:  # which may take as long as a process needs to start
            yield from awaited(functools.partial(aside, task.job.hold))
        task.watchdog = self._watchdog(task)
        self.safety.check_start()
        if not self._is_connected:
            yield from self._connect()
        elif self._lines:
            yield from awaited(functools.partial(reconnect, self._lines, is_doubtful=self._is_doubtful))
        rules = self._rules
        if rules.envelope.is_checked or self._interlocks.rules or rules.elsewhere:
            report = yield from walk_steps(task.job.plan(), rules.envelope, self._interlocks, rules.elsewhere)
            report.check()
        task.is_begun = True

    def _end(self, task: _Task) -> None:
        """What comes after the last one, in whatever way it ended."""
        if task.watchdog is not None:
            task.watchdog.cancel()
        self.safety.step_ended()

    def _connect(self) -> Steps[Any]:
        yield from awaited(functools.partial(connect_all, self._devices))
        self._lines = find_lines(self._devices)
        yield from awaited(self.safety.begin)
        self._is_connected = True

    def _disconnect(self) -> Steps[Any]:
        yield from awaited(functools.partial(disconnect_all, self._devices))
        self._is_connected = False

    def _watchdog(self, task: _Task) -> asyncio.TimerHandle | None:
        seconds = task.job.timeout
        if seconds is None:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._expire, task, seconds)

    def _expire(self, task: _Task, seconds: float) -> None:
        task.is_late = True
        self._clock.hold()
        self._interrupt(task, f"took longer than {seconds:g} s")

    def _scan_id(self, md: dict[str, Any]) -> int:
        """The trial, so that a campaign that is resumed goes on counting where it was; elsewhere the next number."""
        trial = None if self._task is None else self._task.job.md.get("trial")
        return trial if isinstance(trial, int) else int(md.get("scan_id", 0)) + 1

    def _state_changed(self, new: object, _old: object) -> None:
        task = self._task
        if str(new) == "idle" and task is not None:
            task.ended = self._clock.time()
            if task.started is not None and not self.is_virtual:  # there nobody sets the clock
                task.duration = self._clock.monotonic() - task.began
            task.passage.finish()

    def _document(self, name: str, document: dict[str, Any]) -> None:
        task = self._task
        if task is None:
            return
        clean: dict[str, Any] = plain(document)
        if name == "start":
            task.runs.append(clean["uid"])
        if self._scribe is not None:
            self._scribe.note(functools.partial(_hand_on, task, name, clean))
            return
        if name in _TIMED:
            clean["time"] = self._clock.time()
        _hand_on(task, name, clean)
        self._check_documents(task)

    def _check_documents(self, task: _Task) -> None:
        """Raise, once, what went wrong in recording a document: the step fails by it."""
        if task.document_error is not None and not task.is_document_error_told:
            task.is_document_error_told = True
            raise task.document_error

    # --- what the station's safety asks ---------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop on which the devices live."""
        return self._loop

    @property
    def holds(self) -> tuple[str, ...]:
        """The stations that are held for the present job."""
        task = self._task
        return () if task is None else task.job.needs

    @property
    def is_in_step(self) -> bool:
        """Whether a plan is being executed."""
        return self._task is not None and self._task.supervisor is not None and self._task.ended is None

    @property
    def is_aborting(self) -> bool:
        """Whether the present job is being aborted."""
        return self._task is not None and self._task.aborter is not None

    def is_moving(self, device: object) -> bool:
        """Whether the plan has told *device* something that has not ended."""
        task = self._task
        return task is not None and task.supervisor is not None and task.supervisor.is_moving(device)

    def interrupter(self, reason: str, cause: SdlError | None) -> Callable[[], None]:
        """Return what aborts the step that is under way now, and no later one, because of *cause*; for the loop."""
        return functools.partial(self._abort_for, self._task, reason, cause)

    def _abort_for(self, task: _Task | None, reason: str, cause: SdlError | None) -> None:
        if task is None or task is not self._task or task.supervisor is None or task.ended is not None:
            return
        task.abort_reason, task.abort_cause = task.abort_reason or reason, task.abort_cause or cause
        self._clock.hold()
        self._interrupt(task, reason)

    async def keep_up(self) -> None:
        """Wait while too many documents are being recorded. A disk may hang, and an abort needs the loop."""
        if self._scribe is not None:
            await self._scribe.keep_up()
        if self._task is not None:
            self._check_documents(self._task)

    def _interrupt(self, task: _Task | None, reason: str) -> None:
        """Have the RunEngine abort *task*. The caller holds time, and gives the hold away.

        A RunEngine waits for its loop to abort, so that a thread of its own has to ask for it.
        """
        engine = self._engine
        is_over = task is None or task is not self._task or task.ended is not None
        if engine is None or task is None or is_over or task.aborter is not None or engine.state == "idle":
            self._clock.release()
            return
        task.aborter = threading.Thread(
            target=self._abort, args=(engine, task, reason), name=f"sdl-{self._name}-abort", daemon=True
        )
        task.aborter.start()

    def _abort(self, engine: _RunEngine, task: _Task, reason: str) -> None:
        try:
            with muted(self._watch.thread):
                engine.abort(reason)
            task.is_aborted = True
        except (TransitionError, RuntimeError):  # the plan ended a moment ago
            pass
        finally:
            self._clock.release()


def _hand_on(task: _Task, name: str, document: dict[str, Any]) -> None:
    try:
        task.job.on_document(name, document)
    except Exception as error:  # noqa: BLE001 # the plan is told with its next document, or fails at its end
        task.document_error = task.document_error or error


def _name_of(plan: object) -> str:
    while isinstance(plan, functools.partial):
        plan = plan.func
    return str(getattr(plan, "__name__", type(plan).__name__))
