"""Asking a planner: where it runs, how long it may take, and what happens when it fails."""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
from pydantic import JsonValue

from sdl.campaign.planner import Checking, History, Planner, Situation, Suggestion
from sdl.errors import CampaignError, IllegalSuggestion, LabError, PlannerError, PlannerTimeout, SdlError
from sdl.journal.records import ParameterValue
from sdl.lab import Lab
from sdl.lab.clock import SIGNAL_PERIOD
from sdl.problem import Problem, SearchSpace
from sdl.problem.units import to_unit
from sdl.problem.value import Tuple, Value

T = TypeVar("T")

START_SECONDS = 120.0
"""Wall seconds that a planner's process gets to import what it needs."""


LEAST_MEMORY = 64 * 2**20
"""Bytes without which the process of a planner does not even start."""


class Request(Value):
    """All that a planner is given: its arguments, as data."""

    problem: Problem
    history: History
    n: int
    situation: Situation
    seed: int


class PlannerSpec(Value):
    """A planner as data: the class to import, and its options."""

    module: str
    name: str
    options: JsonValue

    def make(self) -> Planner:
        """Import the class and make the planner."""
        made = getattr(importlib.import_module(self.module), self.name)
        if not (isinstance(made, type) and issubclass(made, Value) and callable(getattr(made, "suggest", None))):
            raise CampaignError(f"{self.module}:{self.name} is no planner", hint="a planner derives from Value")
        return cast("Planner", made.from_data(self.options))


class Answer(Value):
    """What a planner process sends back: suggestions, or the error it met."""

    suggestions: Tuple[Suggestion] = ()
    error: str | None = None


class PlannerHost(Protocol):
    """A place where a planner runs."""

    def ask(self, request: Request) -> Sequence[Suggestion]:
        """Return the planner's suggestions; PlannerError when it raises, PlannerTimeout when it does not answer."""
        ...

    def close(self) -> None:
        """End whatever still runs."""
        ...


class ThreadHost:
    """Runs the planner in a thread of this process.

    A planner that does not answer is left behind: a thread cannot be ended from outside. It gets no second question
    before it has come back, because few planners bear two at once.
    """

    def __init__(self, planner: Planner, deadline: float) -> None:
        self._planner = planner
        self._deadline = deadline
        self._thread: threading.Thread | None = None

    def ask(self, request: Request) -> Sequence[Suggestion]:
        """Return the planner's suggestions."""
        if self._thread is not None:
            self._thread.join(self._deadline)
            if self._thread.is_alive():
                raise _too_late(self._planner.name, self._deadline)
        answers: queue.SimpleQueue[Sequence[Suggestion] | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._think, args=(request, answers), name="sdl-planner", daemon=True)
        self._thread.start()
        try:
            answer = answers.get(timeout=self._deadline)
        except queue.Empty:
            raise _too_late(self._planner.name, self._deadline) from None
        if isinstance(answer, BaseException):
            raise PlannerError(f"planner {self._planner.name} raised {type(answer).__name__}: {answer}") from answer
        return answer

    def _think(self, request: Request, answers: queue.SimpleQueue[Sequence[Suggestion] | BaseException]) -> None:
        try:
            suggestions = self._planner.suggest(
                request.problem, request.history, request.n, situation=request.situation, seed=request.seed
            )
            answers.put(list(suggestions))
        except BaseException as error:  # noqa: BLE001 # the border: whatever a planner raises is reported, not lost
            answers.put(error)

    def close(self) -> None:
        """Nothing to end."""


class ProcessHost:
    """Runs the planner in a process of its own, which is killed with its children when it does not answer in time.

    Parameters
    ----------
    spec
        How to make the planner.
    deadline
        Wall seconds in which it must answer.
    memory
        Bytes of memory that the process may have; None for no limit of ours.
    """

    def __init__(self, spec: PlannerSpec, deadline: float, memory: int | None = None) -> None:
        self._spec = spec
        self._deadline = deadline
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process and wait until it has imported and made the planner: that is no part of the deadline."""
        if self._is_closed:
            raise PlannerError(f"the process of planner {self._spec.name} was closed")
        if self._process is None:
            limit = () if self._memory is None else (str(self._memory),)
            command = [sys.executable, "-m", "sdl.campaign.worker", *limit]
            self._process = subprocess.Popen(  # noqa: S603 # our own module, no shell
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=_environment()
            )
            self._exchange(self._process, self._spec.to_json(), max(START_SECONDS, self._deadline))
        return self._process

    def ask(self, request: Request) -> Sequence[Suggestion]:
        """Return the planner's suggestions."""
        return self._exchange(self.start(), request.to_json(), self._deadline)

    def _exchange(self, process: subprocess.Popen[bytes], text: str, seconds: float) -> Sequence[Suggestion]:
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(
            target=self._converse, args=(process, text, lines), name="sdl-planner-pipe", daemon=True
        ).start()
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            self._kill()
            raise _too_late(self._spec.name, seconds) from None
        return self._read(process, line)

    def _read(self, process: subprocess.Popen[bytes], line: bytes) -> Sequence[Suggestion]:
        if not line:
            code = process.wait()
            self._kill()
            raise PlannerError(
                f"the process of planner {self._spec.name} ended with code {code} before it answered",
                hint=f"it may have run out of its {self._memory} bytes of memory" if self._memory else "",
            )
        answer = Answer.from_json(line)
        if answer.error is not None:
            raise PlannerError(f"planner {self._spec.name} raised {answer.error}")
        return answer.suggestions

    def _converse(self, process: subprocess.Popen[bytes], text: str, lines: queue.SimpleQueue[bytes]) -> None:
        try:
            self._send(process, text)
            assert process.stdout is not None
            lines.put(process.stdout.readline())
        except (OSError, ValueError):  # the pipe broke, or close() shut it: no answer
            lines.put(b"")

    @staticmethod
    def _send(process: subprocess.Popen[bytes], text: str) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the empty answer that follows says it better
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()

    def close(self) -> None:
        """Kill the process and its children, and start none again."""
        self._is_closed = True
        self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def memory_bytes(given: str | float | None) -> int | None:
    """Return a limit of memory in bytes; as it is given, with a unit (``"2 GiB"``) or as a number of bytes.

    Raises :class:`~sdl.errors.UnitError` for what is no amount of memory, :class:`~sdl.errors.CampaignError` for one
    that Python alone needs.
    """
    if given is None:
        return None
    found = to_unit(given, "byte", name="planner_memory") if isinstance(given, str) else float(given)
    if not found >= LEAST_MEMORY:
        raise CampaignError(f"planner_memory = {given}", hint=f"no planner starts below {LEAST_MEMORY} bytes")
    return int(found)


def _environment() -> dict[str, str]:
    """Return this process's environment, and where it finds its modules: a planner may lie beside the user's script."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _too_late(name: str, deadline: float) -> PlannerTimeout:
    return PlannerTimeout(
        f"planner {name} did not answer within {deadline:g} s", hint="raise planner_deadline, or use a faster planner"
    )


def describe_planner(planner: Planner) -> dict[str, JsonValue]:
    """Return what the journal keeps of a planner: its name, its class and, where it is a value, its options."""
    described: dict[str, JsonValue] = {
        "name": planner.name,
        "module": type(planner).__module__,
        "class": type(planner).__qualname__,
    }
    if isinstance(planner, Value):
        described["options"] = planner.model_dump(mode="json")
    return described


def spec_of(described: Mapping[str, JsonValue]) -> PlannerSpec | None:
    """Return how to make the planner that :func:`describe_planner` described; None where it is not a value."""
    if "options" not in described or described["module"] == "__main__":
        return None
    return PlannerSpec(module=str(described["module"]), name=str(described["class"]), options=described["options"])


def functions_named(options: JsonValue) -> list[str]:
    """Return what *options* of a planner of sdl's own name of somebody's code: whoever asks that planner imports it."""
    found: list[str] = []
    if isinstance(options, Mapping):
        for name, value in options.items():
            found += _texts(value) if name == "prior_mean" else functions_named(value)
    elif isinstance(options, list | tuple):
        found += [name for value in options for name in functions_named(value)]
    return found


def _texts(value: JsonValue) -> list[str]:
    within = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else None
    return [str(value)] if within is None else [text for part in within for text in _texts(part)]


PlannerPlace = Literal["auto", "process", "thread"]


def host_for(
    planner: Planner, place: PlannerPlace, *, is_virtual: bool, deadline: float, memory: int | None = None
) -> PlannerHost:
    """Choose where *planner* runs.

    By itself a planner runs in a process of its own; in a thread where time is virtual (no experiment waits for it
    then) and where it cannot be made anew in another process: a class of the user's script, or no value. A limit of
    memory holds for a process alone, so one that has it always gets one.
    """
    spec = spec_of(describe_planner(planner))
    if memory is not None and place == "auto":
        place = "process"
    if memory is not None and place == "thread":
        raise CampaignError("planner_memory limits a process, and the planner is to run in a thread")
    if place == "process" and spec is None:
        raise CampaignError(
            f"planner {planner.name} cannot run in a process of its own: it is not a value of an importable module",
            hint='derive it from sdl.problem.value.Value and put it in a module, or say planner_place="thread"',
        )
    if place == "thread" or spec is None or (place == "auto" and is_virtual):
        return ThreadHost(planner, deadline)
    return ProcessHost(spec, deadline, memory)


def check_suggestions(suggestions: Sequence[object], request: Request) -> list[Suggestion]:
    """Return *suggestions* if every one is legal.

    Raises
    ------
    IllegalSuggestion
        For something that is no Suggestion, more than were asked for, a point outside the space, a contextual
        parameter that was changed, or a point that is pending already.
    """
    if len(suggestions) > request.n:
        raise IllegalSuggestion(f"the planner gave {len(suggestions)} suggestions where {request.n} were asked for")
    taken = {_key(entry.values) for entry in request.history.pending}
    legal: list[Suggestion] = []
    for suggestion in suggestions:
        if not isinstance(suggestion, Suggestion):
            raise IllegalSuggestion(f"the planner gave a {type(suggestion).__name__} where a Suggestion belongs")
        _check_values(suggestion, request)
        key = _key(suggestion.values)
        if key in taken:
            raise IllegalSuggestion(f"the planner proposed {dict(suggestion.values)}, which is pending already")
        taken.add(key)
        legal.append(suggestion)
    return legal


def _check_values(suggestion: Suggestion, request: Request) -> None:
    try:
        request.problem.space.check(suggestion.values)
    except SdlError as error:
        raise IllegalSuggestion(f"the planner proposed a point outside the space: {error}") from error
    for name, value in request.situation.context.items():
        if suggestion.values[name] != value:
            raise IllegalSuggestion(
                f"the planner proposed {name} = {suggestion.values[name]}, which the laboratory gives as {value}"
            )


def _key(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))


@dataclass
class PlanningDesk:
    """Asks the planner; once more when it fails; then the fall-back, or nobody.

    Parameters
    ----------
    host
        Where the planner runs.
    fallback
        Who answers in its place. None: the error is raised.
    on_failure
        Told of each failure: attempt, error, and what is done about it.
    max_fallbacks
        After so many fall-backs in a row the error is raised all the same.
    """

    host: PlannerHost
    fallback: Planner | None
    on_failure: Callable[[int, PlannerError, Literal["retry", "fall back", "pause"]], None]
    max_fallbacks: int = 10
    _n_fallbacks: int = field(default=0, init=False)

    def ask(self, request: Request) -> list[Suggestion]:
        """Return legal suggestions. Raises PlannerError when planner and fall-back have none to give."""
        try:
            legal = check_suggestions(self.host.ask(request), request)
        except PlannerError as error:
            self.on_failure(1, error, "retry")
            return self._ask_again(request)
        self._n_fallbacks = 0
        return legal

    def _ask_again(self, request: Request) -> list[Suggestion]:
        try:
            return check_suggestions(self.host.ask(request), request)
        except PlannerError as error:
            if self.fallback is None or self._n_fallbacks >= self.max_fallbacks:
                self.on_failure(2, error, "pause")
                raise
            self.on_failure(2, error, "fall back")
            self._n_fallbacks += 1
            return self._fall_back(self.fallback, request, error)

    def _fall_back(self, fallback: Planner, request: Request, error: PlannerError) -> list[Suggestion]:
        suggestions = fallback.suggest(
            request.problem, request.history, request.n, situation=request.situation, seed=request.seed
        )
        marked = [
            suggestion.replace(decision=suggestion.decision.replace(fallback_from=str(error)))
            for suggestion in suggestions
        ]
        return check_suggestions(marked, request)


def fitting(planner: Planner, problem: Problem) -> Planner:
    """Return *planner*, which has looked at *problem* if it can. Raises PlannerError where it does not fit."""
    if isinstance(planner, Checking):
        planner.check(problem)
    return planner


def request_seed(seed: int, n_proposed: int) -> int:
    """Return the seed of one request to the planner: a function of the campaign's seed and of how far it has come.

    So a campaign that is resumed asks with the seed that it would have asked with.
    """
    return int(np.random.SeedSequence([seed, n_proposed]).generate_state(1)[0])


def checked_context(lab: Lab, space: SearchSpace) -> Mapping[str, ParameterValue]:
    """Return the laboratory's values of the contextual parameters. LabError where they are not those of the space."""
    context = lab.context()
    if set(context) != set(space.contextual):
        raise LabError(
            f"laboratory {lab.name} gives context for {', '.join(context) or 'nothing'}, "
            f"and the space asks for {', '.join(space.contextual) or 'nothing'}",
            hint="let context() return exactly the contextual parameters of the space",
        )
    for name, value in context.items():
        space.parameters[name].check(name, value)
    return context


def wait_aside(call: Callable[[], T], *, until: Callable[[], bool]) -> T | None:
    """Return what *call* returns, from a thread of its own; None as soon as *until* says so, whatever it still does."""
    answers: queue.SimpleQueue[T] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(call()), name="sdl-planning", daemon=True).start()
    while not until():
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=SIGNAL_PERIOD)
    return None
