"""Runs that treat several samples at once, and what is done to a station between two runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from sdl.errors import LabError, UnitError
from sdl.problem.units import number, to_unit
from sdl.problem.value import Tuple, Value

if TYPE_CHECKING:
    from sdl.lab.settings import BatchPlan, Plan, Settings

PATIENCE = 1800.0
"""Seconds that a sample waits for others to share its run, unless the step says otherwise."""


def seconds_of(given: object, what: str) -> float:
    """Return a time in seconds, given as a number or as text with a unit.

    Raises
    ------
    UnitError
        The text has no unit of time.
    LabError
        It is no finite number, or below zero.
    """
    value = to_unit(given, "s", name=what) if isinstance(given, str) else number(given)
    if value is None:
        raise UnitError(f"{what} is {given!r}", hint='give seconds, or text with a unit: "2 h"')
    if not 0 <= value < float("inf"):
        raise LabError(f"{what} is {given!r}", hint="a time is finite, and not below zero")
    return value


def _patience(given: object) -> object:
    return seconds_of(given, "the patience of a batch") if isinstance(given, str) else given


def _names(given: object) -> object:
    return (given,) if isinstance(given, str) else given


class Batch(Value):
    """How many samples one run of a step can treat: a furnace that takes eight, a photoreactor that takes sixteen.

    Parameters
    ----------
    size
        How many trials at most.
    shared
        The parameters that must be equal in all of them: the furnace has one temperature.
    patience
        How long the first sample waits for others, in seconds or as text (``"30 min"``). Then the run begins with
        those that are there. It begins earlier when it is full, or when nobody else can come.
    least
        With fewer the run does not begin, for as long as another one may still come.
    """

    if TYPE_CHECKING:

        def __init__(
            self, size: int, *, shared: str | tuple[str, ...] = (), patience: float | str = PATIENCE, least: int = 1
        ) -> None: ...

    size: Annotated[int, Field(ge=1)]
    shared: Annotated[Tuple[str], BeforeValidator(_names)] = ()
    patience: Annotated[float, Field(ge=0), BeforeValidator(_patience)] = PATIENCE
    least: Annotated[int, Field(ge=1)] = 1
    positional: ClassVar[tuple[str, ...]] = ("size",)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.least > self.size:
            raise LabError(
                f"a batch of at least {self.least} does not fit into {self.size} places", hint="least <= size"
            )
        return self


class Changeover:
    """What is done to a station before a run for which it is not ready: rinsing, another target, another gas.

    Parameters
    ----------
    key
        The parameters that say what the station is ready for. Where their values are those of the last run there,
        nothing is done. At first, and after a run that failed, nobody knows: then it is done.
    plan
        A plan like that of the step, which gets what that gets; it runs before it, in the same job, under the same
        guard, limits and interlocks.
    duration
        A first estimate of how long it takes, in seconds or as text. What the journal has replaces it.
    """

    def __init__(self, *, key: str | tuple[str, ...], plan: Plan | BatchPlan, duration: float | str = 0.0) -> None:
        self.key: tuple[str, ...] = (key,) if isinstance(key, str) else tuple(key)
        if not self.key:
            raise LabError("a changeover has no key", hint='name the parameters: key=("solvent",)')
        self.plan: Plan | BatchPlan = plan
        self.duration = seconds_of(duration, "the duration of a changeover")

    def __repr__(self) -> str:
        return f"Changeover(key={self.key!r})"

    def key_of(self, values: Mapping[str, float | str]) -> str:
        """Return what the station is ready for after a run at *values*, as text: ``solvent=ethanol``."""
        return ", ".join(f"{name}={values[name]}" for name in self.key)


Duration = float | str | Callable[["Settings"], "float | str"]
"""How long a step takes: seconds, text with a unit, or a function of the settings that returns one of them."""


def window_of(given: Mapping[str, Any], step: str) -> dict[str, float]:
    """Return the windows of *step* in seconds, by the step that they count from."""
    return {name: seconds_of(value, f"the window of step {step!r} after {name!r}") for name, value in given.items()}


_AnyPlan = Callable[[Any, Any], Generator[Any, Any, Any]]


class Prepared:
    """A plan that does a changeover, says how long that took, and goes on with the plan of the step.

    Parameters
    ----------
    setup, plan
        The plans of the changeover and of the step; both get the same.
    monotonic
        Seconds of a clock that nobody sets.
    took
        Told of the seconds of the changeover.
    ready_for, is_ready
        What the station is ready for afterwards, and whether the journal has it as ready before. A station in another
        process leaves the changeover out where its own process knows so too.
    """

    def __init__(
        self,
        setup: _AnyPlan,
        plan: _AnyPlan,
        monotonic: Callable[[], float],
        took: Callable[[float], None],
        *,
        ready_for: str = "",
        is_ready: bool = False,
    ) -> None:
        self.setup = setup
        self.plan = plan
        self.took = took
        self.ready_for = ready_for
        self.is_ready = is_ready
        self._monotonic = monotonic
        self.__name__ = str(getattr(plan, "__name__", type(plan).__name__))

    def __call__(self, lab: Any, given: Any) -> Generator[Any, Any, Any]:
        """Plan: the changeover, then the step."""
        began = self._monotonic()
        yield from self.setup(lab, given)
        self.took(self._monotonic() - began)
        return (yield from self.plan(lab, given))
