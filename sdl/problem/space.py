"""The search space: parameters, and the constraints among them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from pydantic import field_serializer, field_validator, model_validator

from sdl.errors import PointError, ProblemError
from sdl.problem.constraints import AtMost, Constraint, LinearConstraint, Mixture
from sdl.problem.parameters import Categorical, Continuous, Discrete, Fixed, Parameter, ParameterValue
from sdl.problem.pool import CandidatePool
from sdl.problem.sampling import Sampler
from sdl.problem.soundness import check_constraint, check_names, check_pool, check_rows
from sdl.problem.value import FrozenMap, Tuple, Value, as_tuple, listing

if TYPE_CHECKING:
    from collections.abc import Iterable

Point = dict[str, ParameterValue]
"""A canonical point: every parameter's value, floats in the declared units."""


class SearchSpace(Value):
    """What may be tried.

    Write ``SearchSpace(oxygen=Continuous(0.01, 1.0, unit="Pa"), ...)``. Names that are no Python identifiers, and
    ``constraints``, ``pool`` and ``parameters`` as names, go through a mapping: ``SearchSpace({"O2 flow": ...})``.

    The order of the parameters is kept, and counts: planners lay out their coordinates by it, so two spaces with the
    same parameters in another order are different spaces. In JSON the parameters are therefore a list.

    Parameters
    ----------
    parameters
        Name to parameter.
    constraints
        What parameters must satisfy together.
    pool
        The points, where they are a list. Its columns are the free parameters; every row keeps bounds and constraints.
    """

    parameters: FrozenMap[Parameter]
    constraints: Tuple[Constraint] = ()
    pool: CandidatePool | None = None
    positional: ClassVar[tuple[str, ...]] = ("parameters",)

    if TYPE_CHECKING:

        def __init__(
            self,
            parameters: Mapping[str, Parameter] | None = None,
            /,
            *,
            constraints: Constraint | Iterable[Constraint] = (),
            pool: CandidatePool | None = None,
            **more: Parameter,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = dict(cast("dict[str, Any]", data))
        more = {name: value for name, value in fields.items() if isinstance(value, _PARAMETERS)}
        rest = {name: value for name, value in fields.items() if name not in more}
        if cls.model_fields.keys() & more.keys():
            raise ProblemError(
                f"{listing(cls.model_fields.keys() & more.keys())} cannot name a parameter by keyword",
                hint="give it through a mapping: SearchSpace({name: parameter})",
            )
        given = _mapping(rest.get("parameters"))
        if isinstance(given, Mapping):
            given = _joined(cast("Mapping[str, Any]", given), more)
        return {**rest, "parameters": given}

    @field_validator("constraints", mode="before")
    @classmethod
    def _several(cls, constraints: object) -> object:
        return (constraints,) if isinstance(constraints, _CONSTRAINTS) else as_tuple(constraints)

    def model_post_init(self, _context: object, /) -> None:
        """Check that constraints and pool fit the parameters, once: validators would run again within a Problem."""
        check_names(self.parameters)
        for constraint in self.constraints:
            check_constraint(constraint, self.parameters, self.bounds)
        if self.pool is not None:
            check_pool(self.pool, self.parameters, self.free)
            for constraint in self.constraints:
                check_rows(self.pool, constraint)

    @field_serializer("parameters")
    def _as_list(self, parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
        return [{"name": name, **parameter.model_dump(mode="json")} for name, parameter in parameters.items()]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.names == other.names and super().__eq__(other)

    def __hash__(self) -> int:
        return hash((tuple(self.parameters.items()), self.constraints, self.pool))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All parameters, in order."""
        return tuple(self.parameters)

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The parameters that a planner chooses."""
        return tuple(n for n, p in self.parameters.items() if not isinstance(p, Fixed) and not p.context)

    @cached_property
    def contextual(self) -> tuple[str, ...]:
        """The parameters that the laboratory gives."""
        return tuple(n for n, p in self.parameters.items() if p.context)

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """The parameters with one value."""
        return tuple(n for n, p in self.parameters.items() if isinstance(p, Fixed))

    @cached_property
    def targets(self) -> dict[str, str]:
        """The choice that counts of every parameter that offers approximations of it."""
        return {n: p.target for n, p in self.parameters.items() if isinstance(p, Categorical) and p.target is not None}

    def counts(self, values: Mapping[str, ParameterValue]) -> bool:
        """Tell whether a trial with these *values* is measured as what counts, and not by an approximation of it."""
        return all(values.get(name) == target for name, target in self.targets.items())

    @cached_property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of every numeric parameter, in its declared unit."""
        found: dict[str, tuple[float, float]] = {}
        for name, parameter in self.parameters.items():
            match parameter:
                case Continuous(low=low, high=high):
                    found[name] = (low, high)
                case Discrete(values=values):
                    found[name] = (values[0], values[-1])
                case Fixed(value=float(value)):
                    found[name] = (value, value)
                case _:
                    pass
        return found

    def contains(self, values: Mapping[str, object]) -> bool:
        """Tell whether *values* are a canonical point of the space: every parameter, in its unit, constraints kept."""
        try:
            self.check(values)
        except PointError:
            return False
        return True

    def check(self, values: Mapping[str, object]) -> None:
        """Raise :class:`~sdl.errors.PointError`, naming parameter, value and limit, unless *values* belong here."""
        if not isinstance(cast("object", values), Mapping):
            raise PointError(f"{values!r} is no point", hint="give a mapping from parameter names to values")
        if values.keys() != self.parameters.keys():
            self._refuse_names(values)
        for name, parameter in self.parameters.items():
            parameter.check(name, values[name])
        point = cast("Mapping[str, ParameterValue]", values)
        for constraint in self.constraints:
            constraint.check(point)
        if self.pool is not None:
            self.pool.check(point)

    def _refuse_names(self, values: Mapping[str, object]) -> None:
        unknown = [name for name in values if name not in self.parameters]
        if unknown:
            raise PointError(f"unknown parameter {listing(unknown)}", hint=f"the space has {listing(self.names)}")
        missing = [name for name in self.names if name not in values]
        raise PointError(f"no value for {listing(missing)}", hint="give every parameter a value")

    def point(self, values: Mapping[str, object] | None = None, /, **more: object) -> Point:
        """Make a canonical point from what a person wrote: the unit edge.

        A parameter with a unit takes a quantity or a text such as ``"0.1 Pa"``, never a bare number. Fixed parameters
        may be left out. A converted value that misses a bound or a level by rounding only becomes that bound or level.

        Raises
        ------
        UnitError
            A unit is missing, unknown or of another dimension.
        PointError
            The space does not contain the point.
        """
        written = {**(values or {}), **more}
        given = {**self._fixed_values, **written}
        if given.keys() != self.parameters.keys():
            self._refuse_names(given)
        point: Point = {}
        for name, parameter in self.parameters.items():
            point[name] = self._fixed_values[name] if name not in written else parameter.canonical(name, written[name])
        self.check(point)
        return point

    @cached_property
    def _fixed_values(self) -> dict[str, ParameterValue]:
        return {name: p.value for name, p in self.parameters.items() if isinstance(p, Fixed)}

    def sample(
        self, n: int, rng: np.random.Generator, *, context: Mapping[str, ParameterValue] | None = None
    ) -> list[Point]:
        """Draw *n* points uniformly from the feasible set; :mod:`sdl.problem.sampling` says what that means.

        Parameters
        ----------
        n
            How many. From a pool, rows are drawn without replacement; beyond its length they come again.
        rng
            The only source of chance.
        context
            Values of contextual parameters; those that are not given are drawn as well.

        Raises
        ------
        EmptySpaceError
            No point satisfies bounds and constraints together.
        """
        if n < 1:
            return []
        if not context:
            return self._sampler.draw(n, rng)
        for name, value in context.items():
            if name not in self.contextual:
                raise PointError(
                    f"{name} is not given by the laboratory", hint=f"contextual: {listing(self.contextual) or 'none'}"
                )
            self.parameters[name].check(name, value)
        return Sampler(self, self._fixed_values | dict(context)).draw(n, rng)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self, self._fixed_values)

    @cached_property
    def n_points(self) -> int | None:
        """How many points the space has, fixed parameters and contextual ones included; None where they are infinite.

        Exact up to 2**53. Where constraints tie very many discrete values together, an upper bound.
        """
        open_names = self.contextual if self.pool is not None else self.names
        if any(isinstance(self.parameters[name], Continuous) for name in open_names):
            return None
        return self._sampler.count()


_PARAMETERS = (Continuous, Discrete, Categorical, Fixed)
_CONSTRAINTS = (LinearConstraint, Mixture, AtMost)


def _mapping(given: object) -> object:
    """Parameters may come as a mapping, or as the list that JSON holds."""
    if given is None:
        return {}
    if not isinstance(given, (list, tuple)):
        return given
    found: dict[str, Any] = {}
    for item in cast("list[object]", given):
        fields = dict(cast("Mapping[str, object]", item)) if isinstance(item, Mapping) else {}
        name = fields.pop("name", None)
        if not isinstance(name, str):
            raise ProblemError(f"SearchSpace: every listed parameter needs a name, got {item!r}")
        found = _joined(found, {name: fields})
    return found


def _joined(parameters: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    twice = parameters.keys() & more.keys()
    if twice:
        raise ProblemError(f"SearchSpace: parameter {listing(sorted(twice))} is given twice")
    return {**parameters, **more}
