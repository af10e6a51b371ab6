"""What is done with a suggestion: one or more steps, and what their results mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from sdl.errors import LabError, ObservationError, PointError
from sdl.lab.actions import ActRecord
from sdl.lab.materials import Use
from sdl.problem import units as _units
from sdl.problem.value import listing

if TYPE_CHECKING:
    from bluesky.utils import Msg
    from pint.facets.plain import PlainQuantity

Plan = Callable[[Any, "Settings"], "Generator[Msg, Any, Any]"]
"""A generator function of the laboratory and the settings; what it returns is the step's result."""


class NoSuchParameter(PointError, KeyError):
    """A plan asks for a parameter that the trial does not have."""


class Settings(Mapping[str, "float | str"]):
    """What a plan gets of a trial: its parameter values, and where it stands.

    Parameters
    ----------
    values
        A canonical point: floats in the declared units, and strings.
    units
        The declared unit of each parameter; a parameter without one may be left out.
    trial, attempt
        The trial's number in the campaign, and which attempt at it this is, both from 1.
    results
        What the plans of earlier steps returned, by step name.
    positions
        Where the trial's sample is or is to be put, by rack: ``s.positions["hotel"]``. See :class:`~sdl.Step`.
    acts
        What had been done of a step that was cut off, for its plan for the rest; see ``resume`` of :class:`~sdl.Step`.
    role
        What the trial is made for: ``search``, ``control``, ``blank`` or ``replicate``.
    """

    def __init__(
        self,
        values: Mapping[str, float | str],
        *,
        units: Mapping[str, str | None] | None = None,
        trial: int = 1,
        attempt: int = 1,
        results: Mapping[str, Any] | None = None,
        positions: Mapping[str, str] | None = None,
        acts: Sequence[ActRecord] = (),
        role: str = "search",
    ) -> None:
        self._values = dict(values)
        self._units = dict(units or {})
        self.trial = trial
        self.attempt = attempt
        self.results: Mapping[str, Any] = MappingProxyType(results if results is not None else {})
        self.acts = tuple(acts)
        self.role = role
        self.positions: Mapping[str, str] = MappingProxyType(positions if positions is not None else {})

    def __getitem__(self, name: str) -> float | str:
        try:
            return self._values[name]
        except KeyError:
            raise NoSuchParameter(
                f"trial {self.trial} has no parameter {name!r}", hint=f"it has {listing(self._values) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({self._values!r}, trial={self.trial}, attempt={self.attempt})"

    def __contains__(self, name: object) -> bool:
        return name in self._values

    @property
    def units(self) -> Mapping[str, str | None]:
        """The declared units, of the parameters that have one."""
        return MappingProxyType(self._units)

    def number(self, name: str) -> float:
        """Return the number *name*, in its declared unit. Raises :class:`~sdl.errors.PointError` for a string."""
        value = self[name]
        if isinstance(value, str):
            raise PointError(f"{name} = {value!r} is no number")
        return value

    def quantity(self, name: str) -> PlainQuantity[float]:
        """Return *name* as a pint quantity in its declared unit."""
        return _units.quantity(self.number(name), self._units.get(name))

    def in_unit(self, name: str, unit: str) -> float:
        """Return *name* converted to *unit*. Raises :class:`~sdl.errors.UnitError` for another dimension."""
        return _units.convert(self.number(name), self._units.get(name), unit, name=name)


class Step:
    """One plan, and where it runs.

    Parameters
    ----------
    name
        What the journal calls it.
    plan
        A generator function ``plan(lab, settings)`` that yields bluesky messages. What it returns is the step's result.
        It may be called twice, for the dry walk of the limits and for the execution, so it touches instruments only by
        what it yields.
    station
        The station that runs it, or several that could: a free one takes it. None: any station.
    timeout
        Clock seconds for one attempt; None for no limit.
    uses
        What the step uses of the laboratory's stock: a list of :class:`~sdl.Use`, or a function of the settings that
        returns one. It is called before the trial begins, when there are no results yet. A step that lacks something
        does not start.
    needs_position
        The rack in which the step needs a free position for the trial's sample. The plan finds it in
        ``s.positions``; the sample keeps it until it moves to another rack, is used up, or is taken out by a person.
    ends_sample
        Whether the sample is used up, or thrown away, when the step has ended; its position is free then.
    resume
        A plan for the rest of the step, written like *plan*. It runs where a crash cut the step off after acts that may
        not be repeated: ``s.acts`` says which of them were done. What it returns is the step's result. Without one,
        such a step does not go on by itself.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        *,
        station: str | Sequence[str] | None = None,
        timeout: float | None = None,
        uses: Sequence[Use] | Callable[[Settings], Sequence[Use]] = (),
        needs_position: str | None = None,
        ends_sample: bool = False,
        resume: Plan | None = None,
    ) -> None:
        if not name:
            raise LabError("a step needs a name")
        if timeout is not None and not timeout > 0:
            raise LabError(f"step {name!r} has a timeout of {timeout} s", hint="a timeout is above zero, or None")
        check_plan(plan, f"step {name!r}")
        if resume is not None:
            check_plan(resume, f"the rest of step {name!r}")
        self.resume = resume
        self.name = name
        self.plan = plan
        self.stations: tuple[str, ...] | None = (station,) if isinstance(station, str) else _tuple(station)
        self.timeout = timeout
        self.uses = uses if callable(uses) else tuple(uses)
        self.needs_position = needs_position
        self.ends_sample = ends_sample

    def __repr__(self) -> str:
        return f"Step({self.name!r})"

    @property
    def has_needs(self) -> bool:
        """Whether it uses material or handles a sample, so that an account is kept."""
        return bool(self.uses) or self.needs_position is not None or self.ends_sample

    def uses_of(self, settings: Settings) -> tuple[Use, ...]:
        """Return what the step uses at *settings*. Raises :class:`~sdl.errors.LabError` for what is no use."""
        given: Any = self.uses(settings) if callable(self.uses) else self.uses  # whatever a function returned
        uses = tuple(use for use in given if isinstance(use, Use))
        if len(uses) != len(given):
            raise LabError(f"the uses of step {self.name!r} are {given!r}", hint='write [Use("ethanol", "5 mL")]')
        return uses


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


class Experiment:
    """The steps of a trial, in order, and the evaluation that makes outcomes of their results.

    Parameters
    ----------
    steps
        At least one, with different names.
    evaluate
        ``evaluate(results, settings)`` gets what the steps returned, by step name, and returns the outcomes by name:
        measurements, quantities, or numbers where the outcome has no unit. Left out, the mappings that the steps
        returned are merged.
    cost
        What a trial costs: a number, or a function of the settings.
    """

    def __init__(
        self,
        *steps: Step,
        evaluate: Callable[[Mapping[str, Any], Settings], Mapping[str, Any]] | None = None,
        cost: float | Callable[[Settings], float] = 0.0,
    ) -> None:
        if not steps:
            raise LabError("an experiment has at least one step", hint='Experiment(Step("measure", plan))')
        names = [step.name for step in steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise LabError(f"two steps are called {listing(twice)}", hint="give each step a name of its own")
        self.steps = steps
        self._evaluate = evaluate
        self._cost = cost

    def __repr__(self) -> str:
        return f"Experiment({', '.join(repr(step) for step in self.steps)})"

    @classmethod
    def of(cls, given: Experiment | Step | Plan) -> Experiment:
        """Return *given* if it is an experiment, else an experiment of that one step or plan."""
        if isinstance(given, Experiment):
            return given
        return cls(given if isinstance(given, Step) else Step(_name_of(given), given))

    def evaluate(self, results: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
        """Return the outcomes by name. Raises :class:`~sdl.errors.ObservationError` where results are no outcomes."""
        outcomes = merge(results) if self._evaluate is None else self._evaluate(results, settings)
        if not _is_mapping(outcomes):
            raise ObservationError(
                f"the evaluation returned {outcomes!r}", hint="it returns a mapping of outcome names to values"
            )
        return outcomes

    def cost_of(self, settings: Settings) -> float:
        """Return what a trial with these *settings* costs."""
        return float(self._cost(settings) if callable(self._cost) else self._cost)


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def merge(results: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the mappings that steps returned; a step that returned None has nothing to say."""
    outcomes: dict[str, Any] = {}
    for step, returned in results.items():
        if returned is None:
            continue
        if not _is_mapping(returned):
            raise ObservationError(
                f"step {step!r} returned {returned!r}",
                hint="return a mapping of outcome names to values, or give the experiment an evaluate function",
            )
        twice = sorted(str(name) for name in returned if name in outcomes)
        if twice:
            raise ObservationError(
                f"step {step!r} returns {listing(twice)} again",
                hint="name the outcomes differently, or give the experiment an evaluate function",
            )
        outcomes.update(returned)
    return outcomes


def _name_of(plan: object) -> str:
    found = plan
    while isinstance(found, functools.partial):
        found = found.func
    return str(getattr(found, "__name__", type(found).__name__))


def check_plan(plan: Any, what: str) -> None:
    """Raise :class:`~sdl.errors.LabError` unless *plan* is a generator function of two arguments."""
    hint = "write it as def plan(lab, s): with a yield from in its body"
    if not callable(plan):
        raise LabError(f"{what} has {plan!r} for a plan, which is no function", hint=hint)
    if not inspect.isgeneratorfunction(_body_of(plan)):
        raise LabError(f"the plan {_name_of(plan)} of {what} yields nothing", hint=hint)
    try:
        inspect.signature(plan).bind("lab", "settings")
    except TypeError as error:
        raise LabError(f"the plan {_name_of(plan)} of {what} does not take (lab, s): {error}", hint=hint) from None


def _body_of(plan: Any) -> Callable[..., Any]:
    """Return the function whose body runs: below decorators, or the class's ``__call__``."""
    method: Any = plan.__class__.__call__
    body: Callable[..., Any] = inspect.unwrap(plan if _is_function(plan) else method)
    return body


def _is_function(plan: object) -> bool:
    return inspect.isroutine(plan) or isinstance(plan, functools.partial)
