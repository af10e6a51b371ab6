"""What stands between a plan and the RunEngine: limits, timeouts, readbacks, and one run for each step.

A :class:`Supervisor` passes a plan's messages on and acts on some of them:

``set``
    is held to the laboratory's limits and the device's own ``check_value`` before it is sent.
``wait``
    gets a timeout where it has none, and ends earlier where a device has lost its connection meanwhile; when it is
    over, every number that was set in its group is read back.
``read``, ``locate``
    give data, or raise: see :mod:`sdl.lab.channels`.
``create`` and others that need a run
    get one, if the plan has not opened one itself.
acts that may not be repeated
    are recorded before and after: see :mod:`sdl.lab.guard`.
``pause`` and ``install_suspender``
    are refused: on resuming, bluesky repeats what was done since the last checkpoint.

Errors are thrown into the plan where it yielded the message, so that its clean-up runs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bluesky.run_engine import WaitForTimeoutError
from bluesky.utils import FailedStatus

from sdl.errors import LabError, TransportError
from sdl.lab.actions import ACTING, ActionClass, Actions
from sdl.lab.channels import check_data, is_networked
from sdl.lab.clock import Clock
from sdl.lab.elsewhere import Whereabouts, check_here
from sdl.lab.envelope import Envelope, as_number
from sdl.lab.guard import Guard
from sdl.lab.messages import Message, Steps, group_of, message, with_timeout
from sdl.lab.readback import Move, Reading, read_back, reading_in, tolerance_of, verify, verify_renewed
from sdl.lab.walk import check_set

_ACTING = frozenset(ACTING)

LOOK = 1.0
"""Clock seconds between two looks at the connections of devices that are waited for."""

PATIENCE = 5.0
"""Clock seconds that a connection may be lost before what waits for the device fails."""


@dataclass(frozen=True)
class Rules:
    """What a station asks of every plan; see :class:`~sdl.lab.station.Station`."""

    envelope: Envelope
    wait_timeout: float
    tolerance: float
    actions: Actions = field(default_factory=Actions)
    before_act: Callable[[Message], Steps[None] | None] | None = None
    """Asked immediately before a device acts, after its limits; raises where it must not act."""
    elsewhere: Whereabouts = field(default_factory=dict[int, tuple[str, str]])
    """Devices that are in other processes, where no plan of this one reaches them."""


class _Command(NamedTuple):
    """A device was told something, and answered with a status."""

    device: object
    status: object
    is_connected: bool = False  # by what the device itself says, as the command was sent


def _at_once() -> Steps[None]:
    yield from ()


def _nothing() -> None:
    pass


class Supervisor:
    """Supervises one plan. :meth:`supervise` is a plan itself."""

    def __init__(self, rules: Rules, clock: Clock, guard: Guard) -> None:
        self._rules = rules
        self._clock = clock
        self._guard = guard
        self._last: dict[int, tuple[object, Reading]] = {}
        self._moves: defaultdict[Hashable, list[Move]] = defaultdict(list)
        self._commands: defaultdict[Hashable, list[_Command]] = defaultdict(list)
        self._triggers: dict[int, Move] = {}
        self._open_runs: set[Hashable] = set()
        self._is_run_ours = False
        self._is_rewindable = True
        self._n_runs = 0
        self._fault: tuple[BaseException, str] | None = None
        self._handlers: Mapping[str, Callable[[Message], Steps[Any]]] = {
            "set": self._set,
            "wait": self._wait,
            "wait_for": self._wait_for,
            "read": self._read,
            "locate": self._locate,
            "open_run": self._open_run,
            "close_run": self._close_run,
            "kickoff": self._kickoff,
            "rewindable": self._rewindable,
            **dict.fromkeys(("pause", "install_suspender"), self._refuse),
            **dict.fromkeys(("prepare", "complete"), self._command),
            "trigger": self._trigger,
            **dict.fromkeys(("stage", "unstage", "configure"), self._send),
            **dict.fromkeys(("create", "declare_stream", "monitor"), self._with_run),
            "collect": self._collect,
        }

    def is_moving(self, device: object) -> bool:
        """Tell whether *device* was told something that has not ended."""
        commands = itertools.chain.from_iterable(list(group) for group in list(self._commands.values()))
        return any(each.device is device and getattr(each.status, "done", True) is not True for each in commands)

    def culprit(self, error: BaseException) -> str | None:
        """Return the name of the device that *error* came from; None where the plan's own code raised it."""
        if isinstance(error, FailedStatus) and error.args:
            status = error.args[0]
            for command in itertools.chain.from_iterable(self._commands.values()):
                if command.status is status:
                    return self._rules.envelope.name(command.device)
        if self._fault is not None and _is_same(self._fault[0], error):
            return self._fault[1]
        return None

    def supervise(
        self,
        make: Callable[[], Steps[Any]],
        *,
        begin: Callable[[], Steps[None]] = _at_once,
        end: Callable[[], None] = _nothing,
    ) -> Steps[Any]:
        """Run the plan that *make* makes under supervision, and return what it returns.

        *begin* goes before it, *end* is called after it. This one generator stands between the RunEngine and the plan:
        for every stub that a plan uses, bluesky looks through the whole stack of frames.
        """
        try:
            yield from begin()
            plan = make()
            handlers, elsewhere = self._handlers, self._rules.elsewhere
            answer: Any = None
            error: Exception | None = None
            try:
                while True:
                    try:
                        given: Message = plan.send(answer) if error is None else plan.throw(error)
                    except StopIteration as over:
                        value = over.value
                        break
                    except (SystemExit, KeyboardInterrupt) as leaving:  # it would take the loop with it
                        raise LabError(
                            f"the plan raised {leaving!r}", hint="raise an Exception to end a step"
                        ) from leaving
                    answer = error = None
                    handler = handlers.get(given.command)
                    try:
                        if elsewhere:
                            check_here(given.obj, elsewhere)
                        if handler is None:
                            answer = yield given
                        elif given.command in _ACTING and (action := self._class_of(given)) is not None:
                            answer = yield from self._act(given, action, handler)
                        else:
                            answer = yield from handler(given)
                    except GeneratorExit:
                        plan.close()
                        raise
                    except Exception as raised:  # noqa: BLE001 # it is the plan's to handle
                        error = raised
                        self._note_fault(given, raised)
                yield from self._settle()
            except Exception:
                yield from self._failed()
                raise
            yield from self._conclude()
            return value
        finally:
            end()

    def _settle(self) -> Steps[None]:
        """The plan has ended: its acts have to end as well."""
        if self._guard.open:
            yield from self._guard.settle(self._longest(act.device for act in self._guard.open))
        yield from self._guard.recorded()

    def _failed(self) -> Steps[None]:
        """A failed step is a run too: the RunEngine closes it with the reason."""
        yield from self._guard.stop()
        if self._n_runs == 0:
            yield from self._open_run(message("open_run"))

    def _conclude(self) -> Steps[None]:
        if self._n_runs == 0:
            yield from self._open_ours()
        if self._is_run_ours:
            yield from self._close_ours()

    def _note_fault(self, given: Message, error: Exception) -> None:
        if isinstance(error, WaitForTimeoutError) and given.command == "wait":
            commands = self._commands.get(group_of(given), ())
            names = dict.fromkeys(self._rules.envelope.name(command.device) for command in commands)
            self._fault = (error, ", ".join(names) or "what the plan waited for")
        elif given.obj is not None and not isinstance(error, FailedStatus):
            self._fault = (error, self._rules.envelope.name(given.obj))
        elif given.obj is not None and error.args and self.culprit(error) is None:
            # The status had failed before anybody saw it.
            self._commands[given.kwargs.get("group")].append(_Command(given.obj, error.args[0]))

    # --- commands -------------------------------------------------------------------------------------------------

    def _class_of(self, given: Message) -> ActionClass | None:
        """Return the class of an act that may not be repeated, None for others."""
        return self._rules.actions.unrepeatable(given.obj, given.command)

    def _act(self, given: Message, action: ActionClass, handler: Callable[[Message], Steps[Any]]) -> Steps[Any]:
        """Do what may not be repeated. What is outside limits is not even intended."""
        if given.command == "set":
            yield from check_set(given, self._rules.envelope)
        return (yield from self._guard.once(given, action, handler))

    def _send(self, given: Message) -> Steps[Any]:
        """Let the device act: everything has been checked but the interlocks, which have the last word."""
        if self._rules.before_act is not None:
            asking = self._rules.before_act(given)
            if asking is not None:
                yield from asking
        self._guard.sending()
        return (yield given)

    def _command(self, given: Message) -> Steps[Any]:
        status = yield from self._send(given)
        self._commands[given.kwargs.get("group")].append(_Command(given.obj, status, _says_connected(given.obj)))
        if self._clock.is_virtual and _ends_in_wall_time(status):
            give_back = self._clock.lend()
            status.add_callback(functools.partial(_then, give_back))
        return status

    def _set(self, given: Message) -> Steps[Any]:
        yield from check_set(given, self._rules.envelope)
        target = as_number(given.args[0]) if given.args else None
        if target is None:
            return (yield from self._command(given))
        before = yield from self._before(given.obj)
        commanded = self._clock.time()
        status = yield from self._command(given)
        self._moves[given.kwargs.get("group")].append(Move(given.obj, target, commanded, before))
        return status

    def _wait(self, given: Message) -> Steps[Any]:
        group = group_of(given)
        try:
            is_done = yield from self._waited(with_timeout(given, self._timeout(group)), group)
        except Exception as error:
            self._guard.conclude_done()
            yield from self._guard.recorded_after(error)
            raise
        self._guard.conclude_done()
        yield from self._guard.recorded()
        if is_done is not False:
            self._commands.pop(group, None)
            for move in self._moves.pop(group, ()):
                yield from self._verify(move)
        return is_done

    def _waited(self, given: Message, group: Hashable) -> Steps[Any]:
        """Wait; where a device says whether it is connected, with a look at that now and then.

        A status over a connection that is lost may never end: ophyd's do not.
        """
        lines = [command.device for command in self._commands.get(group, ()) if command.is_connected]
        if not lines or self._clock.is_virtual:
            return (yield given)
        now = self._clock.monotonic()
        deadline, well = now + given.kwargs["timeout"], now
        while (left := deadline - now) > LOOK:
            looking = {**given.kwargs, "group": group, "timeout": LOOK, "error_on_timeout": False}
            if (yield message("wait", None, run=given.run, **looking)):
                return True
            now = self._clock.monotonic()
            lost = [device for device in lines if not _says_connected(device)]
            well = well if lost else now
            if now - well >= PATIENCE:
                raise self._lost(lost)
        last = {**given.kwargs, "group": group, "timeout": max(left, 0.0)}
        return (yield message("wait", None, run=given.run, **last))

    def _lost(self, devices: Iterable[object]) -> TransportError:
        names = ", ".join(self._rules.envelope.name(device) for device in devices)
        return TransportError(
            f"{names} lost the connection to its instrument before it had done what it was told",
            hint="where it is now, nobody knows; does its server (IOC) run?",
        )

    def _timeout(self, group: Hashable) -> float:
        return self._longest(command.device for command in self._commands.get(group, ()))

    def _longest(self, devices: Iterable[object]) -> float:
        return max([self._rules.wait_timeout, *(_own_timeout(device) for device in devices)])

    def _wait_for(self, given: Message) -> Steps[Any]:
        return (yield with_timeout(given, self._rules.wait_timeout))

    def _refuse(self, given: Message) -> Steps[Any]:
        raise LabError(
            f"the plan sends {given.command!r}, and after a pause bluesky repeats what was done since a checkpoint",
            hint="pause the campaign instead; use bps.sleep to wait",
        )
        yield

    def _rewindable(self, given: Message) -> Steps[Any]:
        """Answer as a RunEngine would. Nothing is rewound where nothing pauses, so it need not know."""
        (asked,) = given.args
        self._is_rewindable = self._is_rewindable if asked is None else bool(asked)
        return self._is_rewindable
        yield

    # --- readings -------------------------------------------------------------------------------------------------

    def _trigger(self, given: Message) -> Steps[Any]:
        """Trigger; of a device that says that it takes a reading by it, the time is noted."""
        if getattr(given.obj, "is_renewed_by_trigger", False) is True:
            before = yield from read_back(given.obj)
            self._triggers[id(given.obj)] = Move(given.obj, math.nan, self._clock.time(), before)
        return (yield from self._command(given))

    def _read(self, given: Message) -> Steps[Any]:
        answer = yield given
        name = self._rules.envelope.name(given.obj)
        yield from check_data(given.obj, answer, name)
        trigger = self._triggers.get(id(given.obj))
        now = None if trigger is None else reading_in(given.obj, answer)
        if trigger is not None and now is not None:
            verify_renewed(trigger, now, name=name)
        return answer

    def _locate(self, given: Message) -> Steps[Any]:
        """Locate. What is located has no alarm severity, so a device over the network is read as well."""
        answer = yield given
        for device in (given.obj, *given.args):
            if is_networked(device):
                yield from read_back(device, self._rules.envelope.name(device))
        return answer

    # --- readbacks ------------------------------------------------------------------------------------------------

    def _before(self, device: object) -> Steps[Reading | None]:
        # One reading for each device and job: a campaign that is resumed then asks what it would have asked.
        known = self._last.get(id(device))
        return known[1] if known is not None else (yield from read_back(device))

    def _verify(self, move: Move) -> Steps[None]:
        name = self._rules.envelope.name(move.device)
        try:
            now = yield from read_back(move.device, name)
        except Exception as error:
            self._fault = (error, name)
            raise
        if now is not None:
            tolerance = tolerance_of(move.device, move.target, self._rules.envelope, self._rules.tolerance)
            verify(move, now, name=name, tolerance=tolerance)
            self._last[id(move.device)] = (move.device, now)

    # --- runs -----------------------------------------------------------------------------------------------------

    def _with_run(self, given: Message) -> Steps[Any]:
        if given.run is None and None not in self._open_runs:
            yield from self._open_ours()
        return (yield given)

    def _collect(self, given: Message) -> Steps[Any]:
        if given.run is None and None not in self._open_runs:
            yield from self._open_ours()
        return (yield from self._send(given))

    def _kickoff(self, given: Message) -> Steps[Any]:
        if given.run is None and None not in self._open_runs:
            yield from self._open_ours()
        return (yield from self._command(given))

    def _open_ours(self) -> Steps[None]:
        yield from self._open_run(message("open_run"))
        self._is_run_ours = True

    def _close_ours(self) -> Steps[None]:
        yield from self._close_run(message("close_run", exit_status="success"))

    def _open_run(self, given: Message) -> Steps[Any]:
        if given.run is None and self._is_run_ours:
            yield from self._close_ours()
        uid = yield given
        self._open_runs.add(given.run)
        self._n_runs += 1
        return uid

    def _close_run(self, given: Message) -> Steps[Any]:
        uid = yield given
        self._open_runs.discard(given.run)
        if given.run is None:
            self._is_run_ours = False
        return uid


def _is_same(noted: BaseException, error: BaseException) -> bool:
    """Tell whether *error* is the one that was noted. On its way between threads a bare TimeoutError is made anew."""
    return noted is error or (type(noted) is type(error) is TimeoutError and noted.args == error.args)


def _own_timeout(device: object) -> float:
    for name in ("timeout_s", "timeout"):
        seconds = as_number(getattr(device, name, None))
        if seconds is not None and math.isfinite(seconds):
            return seconds
    return 0.0


def _says_connected(device: object) -> bool:
    """Whether a device says that it is connected; False where it does not say."""
    return getattr(device, "connected", None) is True


def _then(give_back: Callable[[], None], _status: object) -> None:
    give_back()


def _ends_in_wall_time(status: object) -> bool:
    """ophyd's own statuses call back from threads, which know nothing of virtual time."""
    return any(cls.__module__.startswith("ophyd.") for cls in type(status).__mro__)
