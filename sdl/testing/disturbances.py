"""Misbehaviour to order: slow, hanging and lying devices, clocks that jump, planners that propose what they may not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np

from sdl.journal.records import Decision
from sdl.lab.clock import WallClock
from sdl.problem import Categorical, Problem
from sdl.problem.value import Value

if TYPE_CHECKING:
    from sdl.campaign import History, Situation, Suggestion

READ = "read"


class Verb(Protocol):
    """A method of a device: ``set``, ``trigger``, ``read``, …"""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Do it."""
        ...


Disturbance = Callable[[Verb], Verb]
"""From what a device does to what it does instead."""


class LateStatus:
    """A status that ends when it is told to."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._is_done = False
        self._callbacks: list[Callable[[Any], None]] = []

    def end(self, error: BaseException | None = None) -> None:
        """End, well or with *error*."""
        self._error, self._is_done = error, True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        """Have *callback* called at the end."""
        if self._is_done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's protocol
        """Return the error that it ended with."""
        return self._error

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._is_done

    @property
    def success(self) -> bool:
        """Whether it has ended well."""
        return self._is_done and self._error is None


def slow(seconds: float) -> Disturbance:
    """Say that it is done *seconds* of the clock later than it is."""

    def disturb(verb: Verb) -> Verb:
        def late(*arguments: Any, **named: Any) -> LateStatus:
            status, loop = LateStatus(), asyncio.get_running_loop()

            def ended(real: Any) -> None:
                loop.call_later(seconds, status.end, real.exception(0.0))

            verb(*arguments, **named).add_callback(ended)
            return status

        return late

    return disturb


def hanging() -> Disturbance:
    """Do it, and never say that it is done."""

    def disturb(verb: Verb) -> Verb:
        def hang(*arguments: Any, **named: Any) -> LateStatus:
            verb(*arguments, **named)
            return LateStatus()

        return hang

    return disturb


def failing(error: Exception, *, after_acting: bool = False) -> Disturbance:
    """Fail with *error*; before the device does anything, or after it has."""

    def disturb(verb: Verb) -> Verb:
        def fail(*arguments: Any, **named: Any) -> LateStatus:
            status = LateStatus()

            def ended(_: Any) -> None:
                status.end(error)

            if after_acting:
                verb(*arguments, **named).add_callback(ended)
            else:
                asyncio.get_running_loop().call_soon(status.end, error)
            return status

        return fail

    return disturb


def reading(value: object) -> Disturbance:
    """Let every reading be *value*: NaN, a text, a number that never changes."""

    def disturb(verb: Verb) -> Verb:
        def lie(*arguments: Any, **named: Any) -> Any:
            told = verb(*arguments, **named)
            if asyncio.iscoroutine(told):
                return _later(told)
            return _all(told)

        return lie

    def _all(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: {**entry, "value": value} for name, entry in told.items()}

    async def _later(told: Any) -> dict[str, dict[str, Any]]:
        return _all(await told)

    return disturb


@contextmanager
def disturbed(device: Any, verb: str, disturbance: Disturbance) -> Generator[None]:
    """Let *device* misbehave at *verb* inside this context."""
    own = cast("dict[str, Any]", vars(device))  # past the setattr of ophyd-async, which refuses verbs
    had = own.get(verb)
    own[verb] = disturbance(getattr(device, verb))
    try:
        yield
    finally:
        if had is None:
            del own[verb]
        else:
            own[verb] = had


class JumpingClock(WallClock):
    """A wall clock that somebody sets again and again: by NTP, by hand, for summer time.

    Parameters
    ----------
    rng
        When it jumps, and which way.
    size
        How far it jumps, in seconds.
    every
        At how many questions for the time it jumps once, on average.
    """

    def __init__(self, rng: np.random.Generator, *, size: float = 3600.0, every: int = 20) -> None:
        self._rng = rng
        self._size = size
        self._every = every
        self.offset = 0.0
        self.n_jumps = 0

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC, as far as this clock knows."""
        if self._rng.random() < 1 / self._every:
            self.offset += self._size * float(self._rng.choice([-1.0, 1.0]))
            self.n_jumps += 1
        return super().time() + self.offset


class AdversarialPlanner(Value):
    """Proposes what no planner may: points outside by much or by one bit, NaN, texts, other names, repeats.

    Every *mercy*-th suggestion is a legal one, so that a campaign gets on.
    """

    version: ClassVar[str] = "1"
    mercy: int = 5

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "adversary"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> Sequence[Suggestion]:
        """Return *n* suggestions, or some other number, most of them illegal."""
        rng = np.random.default_rng(seed)
        context = dict(situation.context)
        if rng.integers(self.mercy) == 0:
            points = problem.space.sample(n, rng, context=context or None)
            return [self._suggestion(point) for point in points]
        number = n + int(rng.integers(0, 2))
        return [self._suggestion(self.evil(problem, history, rng, context)) for _ in range(number)]

    def evil(
        self, problem: Problem, history: History, rng: np.random.Generator, context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return one illegal point."""
        point: dict[str, Any] = dict(problem.space.sample(1, rng, context=dict(context) or None)[0])
        name = str(rng.choice(sorted(point)))
        match int(rng.integers(6)):
            case 0:
                del point[name]
            case 1:
                point["nobody knows me"] = 1.0
            case 2 if history.pending:
                return dict(history.pending[0].values)
            case _:
                point[name] = self._wrong(problem, name, rng)
        return point

    def _wrong(self, problem: Problem, name: str, rng: np.random.Generator) -> Any:
        parameter = problem.space.parameters[name]
        anything = [math.nan, math.inf, -math.inf, 1e308, None, True, "", "0.5", [0.5], {"value": 0.5}, b"0"]
        if isinstance(parameter, Categorical):
            return anything[int(rng.integers(len(anything)))]
        low, high = float(getattr(parameter, "low", 0.0)), float(getattr(parameter, "high", 1.0))
        anything += [math.nextafter(low, -math.inf), math.nextafter(high, math.inf), low - 1.0, high * 1000.0 + 1.0]
        return anything[int(rng.integers(len(anything)))]

    def _suggestion(self, values: Mapping[str, Any]) -> Suggestion:
        decision = Decision(planner=self.name, version=self.version, seed=0, n_observed=0, n_pending=0)
        from sdl.campaign import Suggestion  # noqa: PLC0415 # half a second, which the checks of a device need not pay

        return Suggestion.model_construct(values=values, decision=decision)
