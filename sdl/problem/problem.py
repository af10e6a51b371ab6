"""The whole question: where to search, and what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import field_validator, model_validator

from sdl.errors import ObservationError, ProblemError, UnitError
from sdl.problem import units
from sdl.problem.measurement import Measurement
from sdl.problem.objectives import Maximize, Minimize, Objective, OutcomeConstraint, Target
from sdl.problem.space import SearchSpace
from sdl.problem.value import Tuple, Value, as_tuple, listing


class Problem(Value):
    """A search space, one objective or several, and limits that outcomes must keep.

    Parameters
    ----------
    space
        What may be tried.
    objectives
        One objective or several, each for another outcome.
    outcome_constraints
        Limits on outcomes, whether they are objectives or not.
    """

    space: SearchSpace
    objectives: Tuple[Objective]
    outcome_constraints: Tuple[OutcomeConstraint] = ()
    positional: ClassVar[tuple[str, ...]] = ("space", "objectives", "outcome_constraints")

    if TYPE_CHECKING:

        def __init__(
            self,
            space: SearchSpace,
            objectives: Objective | Iterable[Objective],
            outcome_constraints: OutcomeConstraint | Iterable[OutcomeConstraint] = (),
        ) -> None: ...

    @field_validator("objectives", "outcome_constraints", mode="before")
    @classmethod
    def _several(cls, given: object) -> object:
        if isinstance(given, (Minimize, Maximize, Target, OutcomeConstraint)):
            return (given,)
        return as_tuple(given)

    @model_validator(mode="after")
    def _sound(self) -> Problem:
        names = [objective.outcome for objective in self.objectives]
        if not names:
            raise ProblemError("a Problem needs at least one objective")
        if len(set(names)) < len(names):
            raise ProblemError(f"two objectives speak of one outcome: {listing(names)}", hint="use OutcomeConstraint")
        shared = self.outcomes.keys() & self.space.parameters.keys()
        if shared:
            raise ProblemError(f"{listing(sorted(shared))} names a parameter and an outcome", hint="rename one of them")
        return self

    @cached_property
    def outcomes(self) -> Mapping[str, str | None]:
        """Name and unit of every outcome that the problem needs: objectives first, in order."""
        found: dict[str, str | None] = {}
        for item in (*self.objectives, *self.outcome_constraints):
            if found.setdefault(item.outcome, item.unit) != item.unit:
                raise ProblemError(
                    f"outcome {item.outcome!r} is declared in {found[item.outcome] or 'no unit'} "
                    f"and in {item.unit or 'no unit'}",
                    hint="declare one unit everywhere",
                )
        return found

    @property
    def reference_point(self) -> tuple[float, ...] | None:
        """The scores of the objectives' references, None unless every objective has one."""
        found = [o.score(o.reference) for o in self.objectives if o.reference is not None]
        return tuple(found) if len(found) == len(self.objectives) else None

    def observe(self, raw: Mapping[str, object], *, partial: bool = False) -> dict[str, Measurement]:
        """Make measurements from what an experiment returned: the unit edge for results.

        Parameters
        ----------
        raw
            Outcome name to a Measurement, a pint quantity, a text such as ``"12 ohm"``, or a bare number where the
            outcome is declared without a unit. Outcomes that the problem does not name are kept in their own unit.
        partial
            Whether outcomes may be missing, as in what a failed trial left behind.

        Raises
        ------
        ObservationError
            An outcome is missing, is no finite number, or has no unit or a wrong one.
        """
        if not isinstance(cast("object", raw), Mapping):
            raise ObservationError(
                f"the experiment returned {_short(raw)}", hint="return a mapping from outcome names to measurements"
            )
        missing = [name for name in self.outcomes if name not in raw]
        if missing and not partial:
            raise ObservationError(
                f"the experiment returned no {listing(missing)}, only {listing(raw) or 'an empty mapping'}",
                hint=f"return {listing(self.outcomes)}",
            )
        return {_name(name): self._measure(name, value) for name, value in raw.items()}

    def _measure(self, name: str, value: object) -> Measurement:
        try:
            given = _measurement(name, value)
            if name not in self.outcomes:
                units.check_unit(given.unit, name=name)
                return given
            return _in_unit(name, given, self.outcomes[name])
        except ProblemError as error:
            raise ObservationError(f"outcome {error.message}", hint=error.hint) from None

    def score(self, outcomes: Mapping[str, Measurement | float]) -> tuple[float, ...]:
        """Return how good *outcomes* are, one number per objective, higher is better.

        Measurements, or floats in the declared units.
        """
        return tuple(objective.score(self._value(outcomes, objective.outcome)) for objective in self.objectives)

    def is_feasible(self, outcomes: Mapping[str, Measurement | float]) -> bool:
        """Tell whether *outcomes* keep every outcome constraint."""
        return all(limit.is_met(self._value(outcomes, limit.outcome)) for limit in self.outcome_constraints)

    def _value(self, outcomes: Mapping[str, Measurement | float], name: str) -> float:
        value = outcomes[name]
        if isinstance(value, Measurement):
            return units.convert(value.value, value.unit, self.outcomes[name], name=name)
        return float(value)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ObservationError(f"the experiment returned an outcome called {name!r}", hint="outcome names are texts")
    return name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _measurement(name: str, value: object) -> Measurement:
    if isinstance(value, Measurement):
        return _checked(name, value)
    found, unit = units.split(value, name=name)
    return Measurement(value=found, unit=unit)


def _checked(name: str, value: Measurement) -> Measurement:
    """Validate again: pydantic's model_construct makes a Measurement of anything."""
    try:
        return value.replace()
    except ProblemError as error:
        raise ProblemError(f"{name}: {error.message}", hint=error.hint) from None


def _in_unit(name: str, given: Measurement, unit: str | None) -> Measurement:
    if given.unit == unit:
        return given
    if given.unit is None:
        raise UnitError(
            f"{name} = {given.value!r} has no unit, and {name} is declared in {unit}",
            hint=f'return a quantity, a Measurement with its unit, or a text such as "{given.value!r} {unit}"',
        )
    value = units.convert(given.value, given.unit, unit, name=name)
    error = given.standard_error
    if error is not None:
        error = units.convert_difference(error, given.unit, unit, name=name)
    return given.replace(value=value, unit=unit, standard_error=error)
