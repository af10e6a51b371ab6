"""The dry walk: reads a plan's messages without acting on them, to find beforehand what is not allowed."""

from __future__ import annotations

import asyncio
import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sdl.errors import LimitError, SdlError
from sdl.lab.elsewhere import Whereabouts, check_here
from sdl.lab.envelope import Envelope
from sdl.lab.interlocks import Interlocks
from sdl.lab.messages import Message, Steps, message

MESSAGE_CAP = 2_000
"""A plan is walked this far and no further; some plans never end."""

_CLOSING = threading.Lock()
"""Warning filters belong to the process, and change in one thread at a time."""

CHECK_TIMEOUT = 60.0
"""Clock seconds that a device may take to say whether it would take a value."""

BREATH = 200
"""After this many messages the walk lets the loop do other things, such as an abort."""


class _Finished:
    """A status that has ended well: the answer to every command in a walk."""

    done = True
    success = True

    def add_callback(self, callback: Callable[[_Finished], None]) -> None:
        callback(self)

    def exception(self, timeout: float | None = 0.0) -> None:  # noqa: ARG002 # the protocol's
        return None

    def wait(self, timeout: float | None = None) -> None:
        """Nothing to wait for."""


_FINISHED = _Finished()
_ANSWERS: dict[str, Any] = {
    **dict.fromkeys(("set", "trigger", "kickoff", "complete", "prepare"), _FINISHED),
    **dict.fromkeys(("stage", "unstage", "collect"), ()),
    **dict.fromkeys(("open_run", "close_run"), "dry-walk"),
    **dict.fromkeys(("create", "save", "drop", "declare_stream", "monitor", "unmonitor", "unsubscribe"), None),
    **dict.fromkeys(("null", "sleep", "stop", "checkpoint", "clear_checkpoint"), None),
    "configure": ({}, {}),
    "rewindable": True,
    "subscribe": 0,
    "wait": True,
}


@dataclass(frozen=True)
class WalkReport:
    """What a dry walk found.

    Parameters
    ----------
    n_messages
        How far it came.
    violations
        The set-points outside limits, and those that an interlock forbids, in the plan's order.
    stopped_because
        Why it did not reach the end of the plan; empty where it did.
    """

    n_messages: int
    violations: tuple[LimitError, ...]
    stopped_because: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the whole plan was walked."""
        return not self.stopped_because

    def check(self) -> None:
        """Raise :class:`~sdl.errors.LimitError` when there are violations."""
        if len(self.violations) == 1:
            raise self.violations[0]
        if self.violations:
            listed = "; ".join(error.message for error in self.violations[:8])
            more = f"; and {len(self.violations) - 8} more" if len(self.violations) > 8 else ""
            raise LimitError(
                f"{len(self.violations)} set-points of the plan are not allowed: {listed}{more}",
                hint="nothing was moved",
            )


def walk(plan: Steps[Any], envelope: Envelope, interlocks: Interlocks | None = None) -> WalkReport:
    """Walk *plan* outside any RunEngine. Devices whose ``check_value`` is async are only held to the envelope."""
    steps = walk_steps(plan, envelope, interlocks)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        report: WalkReport = end.value
        return report


def walk_steps(
    plan: Steps[Any], envelope: Envelope, interlocks: Interlocks | None = None, elsewhere: Whereabouts | None = None
) -> Steps[WalkReport]:
    """Walk *plan* inside a RunEngine: yields only what asks a device's async ``check_value``, and pauses for breath.

    No device is read or moved. Commands are answered with a status that has ended; readings that are recorded with
    None, which is bluesky's convention for a dry run. The walk ends where the plan asks for a value to decide by.

    Raises :class:`~sdl.errors.LabError` where the plan speaks to a device of another process.
    """
    violations: list[LimitError] = []
    targets: dict[int, object] = {}
    n_messages = 0
    answer: Any = None
    is_bundling = False
    stopped = ""
    try:
        while not stopped:
            try:
                given: Message = plan.send(answer)
            except StopIteration:
                break
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 # the answers were made up
                stopped = f"the plan raised {type(error).__name__}: {error}"
                break
            n_messages += 1
            if elsewhere:
                check_here(given.obj, elsewhere)
            stopped = _reason_to_stop(given, is_bundling=is_bundling, n_messages=n_messages)
            if given.command == "set":
                violations += yield from _violations(given, envelope)
                violations += _forbidden(given, envelope, interlocks, targets)
            is_bundling = given.command == "create" or (is_bundling and given.command not in {"save", "drop"})
            answer = _ANSWERS.get(given.command)
            if n_messages % BREATH == 0:
                yield message("null")
    finally:
        _close(plan)
    return WalkReport(n_messages, tuple(violations), stopped)


def _close(plan: Steps[Any]) -> None:
    """End *plan* where it stands, without a word of the plans that it made and will not come to now."""
    with _CLOSING, warnings.catch_warnings(), suppress(RuntimeError):  # RuntimeError: it yields while it is closed
        warnings.filterwarnings("ignore", message="(?s).*was never iterated", category=RuntimeWarning)
        plan.close()


def _reason_to_stop(given: Message, *, is_bundling: bool, n_messages: int) -> str:
    if n_messages > MESSAGE_CAP:
        return f"the plan has more than {MESSAGE_CAP} messages"
    if given.command == "read":
        return "" if is_bundling else "the plan reads a value"
    return "" if given.command in _ANSWERS else f"the plan asks for the answer to {given.command!r}"


def _violations(given: Message, envelope: Envelope) -> Steps[list[LimitError]]:
    try:
        yield from check_set(given, envelope)
    except LimitError as error:
        return [error]
    except (SdlError, OSError):  # a device that cannot be asked now may be asked at the act
        return []
    return []


def _forbidden(
    given: Message, envelope: Envelope, interlocks: Interlocks | None, targets: dict[int, object]
) -> list[LimitError]:
    """Return what an interlock has against a set-point, with all that the plan has set before."""
    if interlocks is None or not interlocks.rules or not given.args:
        return []
    targets[id(given.obj)] = given.args[0]
    error = interlocks.check_planned(envelope.name(given.obj), given.obj, targets)
    return [] if error is None else [error]


def check_set(given: Message, envelope: Envelope) -> Steps[None]:
    """Hold a ``set`` message to the laboratory's limits and to the device's own ``check_value``.

    Raises :class:`~sdl.errors.LimitError` naming the device, the value and the limit.
    """
    if not given.args:
        return
    device, value = given.obj, given.args[0]
    envelope.check(device, value)
    check = getattr(device, "check_value", None)
    if not callable(check):
        return
    answers: Sequence[asyncio.Future[object]] = ()
    if inspect.iscoroutinefunction(check):
        answers = (yield message("wait_for", None, [lambda: check(value)], timeout=CHECK_TIMEOUT)) or ()
    try:
        if answers:
            answers[0].result()
        elif not inspect.iscoroutinefunction(check):
            check(value)
    except (SdlError, OSError):  # OSError: timeouts and lost connections, which say nothing of the value
        raise
    except Exception as error:
        raise LimitError(
            f"{envelope.name(device)} was sent {value!r}, which the device refuses: {error or type(error).__name__}"
        ) from error
