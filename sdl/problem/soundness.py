"""What a search space is checked for when it is made: that its constraints and its pool fit its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl.errors import EmptySpaceError, PointError, ProblemError
from sdl.problem.constraints import LINEAR_TOLERANCE, MIXTURE_TOLERANCE, AtMost, Constraint, LinearConstraint, Mixture
from sdl.problem.parameters import Categorical, Continuous, Discrete, Parameter
from sdl.problem.pool import CandidatePool
from sdl.problem.rows import linear_row, mixture_row
from sdl.problem.value import listing

Parameters = Mapping[str, Parameter]
Bounds = Mapping[str, tuple[float, float]]


def check_names(parameters: Parameters) -> None:
    """Refuse a space without parameters, and names that nobody could read in a table."""
    if not parameters:
        raise ProblemError("a SearchSpace needs at least one parameter")
    for name in parameters:
        if not name.strip() or name != name.strip() or not name.isprintable():
            raise ProblemError(f"{name!r} cannot name a parameter", hint="use a name without spaces around it")


def check_constraint(constraint: Constraint, parameters: Parameters, bounds: Bounds) -> None:
    """Refuse a constraint on parameters that are not there or no numbers, and one that the bounds cannot keep."""
    for name in constraint.names:
        if name not in parameters:
            raise ProblemError(
                f"the constraint {constraint} names {name!r}, which is no parameter",
                hint=f"the space has {listing(parameters)}",
            )
        if name not in bounds:
            raise ProblemError(f"the constraint {constraint} names {name}, which is no number", hint="leave it out")
    match constraint:
        case LinearConstraint():
            _check_reach(constraint, *_reach(constraint.coefficients, bounds), bounds)
        case Mixture():
            _check_one_unit(constraint, parameters)
            _check_reach(constraint, *_reach(dict.fromkeys(constraint.names, 1.0), bounds), bounds)
        case AtMost():
            _check_zeros(constraint, parameters)


def _reach(coefficients: Mapping[str, float], bounds: Bounds) -> tuple[float, float]:
    ends = [sorted((c * bounds[name][0], c * bounds[name][1])) for name, c in coefficients.items()]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def _check_reach(constraint: LinearConstraint | Mixture, low: float, high: float, bounds: Bounds) -> None:
    row = mixture_row(constraint) if isinstance(constraint, Mixture) else linear_row(constraint, bounds)
    if not (low <= row.upper + row.tolerance and high >= row.lower - row.tolerance):
        raise EmptySpaceError(
            f"no point satisfies {constraint}: within the bounds the sum runs from {low:.6g} to {high:.6g}",
            hint="widen a bound or change the limit",
        )


def _check_one_unit(mixture: Mixture, parameters: Parameters) -> None:
    units = {name: parameters[name].unit for name in mixture.names}
    if len(set(units.values())) > 1:
        shown = listing(f"{name} in {unit or 'no unit'}" for name, unit in units.items())
        raise ProblemError(
            f"the parts of a mixture need one unit, got {shown}", hint="declare one unit, or use LinearConstraint"
        )


def _check_zeros(constraint: AtMost, parameters: Parameters) -> None:
    for name in constraint.names:
        parameter = parameters[name]
        if isinstance(parameter, (Continuous, Discrete)) and not parameter.contains(0.0):
            raise ProblemError(
                f"{name} cannot be 0, and {constraint} wants to set it to 0",
                hint=f"let its range contain 0, or leave {name} out",
            )


def check_pool(pool: CandidatePool, parameters: Parameters, free: tuple[str, ...]) -> None:
    """Refuse a pool whose columns are not the free parameters, or that holds a value no parameter allows."""
    if set(pool.columns) != set(free):
        raise ProblemError(
            f"the columns of the pool ({listing(pool.columns)}) are not the free parameters of the space "
            f"({listing(free) or 'none'})",
            hint="a pool has one column for every parameter that is neither fixed nor contextual",
        )
    for name in free:
        row = _first(~_is_allowed(parameters[name], pool, name))
        if row is not None:
            try:
                parameters[name].check(name, pool.columns[name][row])
            except PointError as error:
                raise ProblemError(f"row {row} of the pool: {error.message}", hint=error.hint) from None


def _is_allowed(parameter: Parameter, pool: CandidatePool, name: str) -> NDArray[np.bool_]:
    """Whether each row's value is one that *parameter* allows."""
    column = pool.columns[name]
    if isinstance(column[0], str) != isinstance(parameter, Categorical):
        return np.zeros(len(pool), dtype=np.bool_)
    match parameter:
        case Continuous(low=low, high=high):
            values = pool.array(name)
            return np.asarray((values >= low) & (values <= high))
        case Discrete(values=levels):
            return np.isin(pool.array(name), levels)
        case Categorical(choices=choices):
            unknown = set(column) - set(choices)
            return ~np.isin(pool.array(name), sorted(map(str, unknown))) if unknown else np.ones(len(pool), np.bool_)
        case _:
            return np.ones(len(pool), dtype=np.bool_)


def check_rows(pool: CandidatePool, constraint: Constraint) -> None:
    """Refuse a pool with a row that breaks *constraint*."""
    outside = [name for name in constraint.names if name not in pool.columns]
    if outside:
        raise ProblemError(
            f"the constraint {constraint} names {listing(outside)}, which no row of the pool decides",
            hint="constraints of a space with a pool speak of its columns only",
        )
    row = _first(_is_broken(constraint, {name: pool.array(name) for name in constraint.names}))
    if row is not None:
        raise ProblemError(f"row {row} of the pool breaks {constraint}", hint="leave such rows out of the pool")


def _is_broken(constraint: Constraint, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    table = np.column_stack(list(columns.values())).astype(np.float64)
    match constraint:
        case AtMost(k=k):
            return np.asarray((table != 0).sum(axis=1) > k)
        case Mixture(total=total):
            return np.asarray(~(np.abs(table.sum(axis=1) - total) <= MIXTURE_TOLERANCE * total))
        case LinearConstraint(coefficients=coefficients, lower=lower, upper=upper):
            terms = table * np.array(list(coefficients.values()))
            sums, sizes = terms.sum(axis=1), np.abs(terms).sum(axis=1)
            low = -np.inf if lower is None else lower - LINEAR_TOLERANCE * (sizes + abs(lower))
            high = np.inf if upper is None else upper + LINEAR_TOLERANCE * (sizes + abs(upper))
            return np.asarray(~((sums >= low) & (sums <= high)))


def _first(is_true: NDArray[np.bool_]) -> int | None:
    return int(is_true.argmax()) if is_true.any() else None
