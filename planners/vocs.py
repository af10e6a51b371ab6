"""Between our problems and the VOCS of gest-api: variables, objectives, constraints and constants."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from sdl.errors import PlannerError, ProblemError
from sdl.journal.records import ParameterValue
from sdl.problem import (
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    Maximize,
    Measurement,
    Minimize,
    Objective,
    OutcomeConstraint,
    Parameter,
    Problem,
    SearchSpace,
    Target,
)

OFF = "off {}"
"""How far an outcome is off its target is an outcome of its own, to be made small."""


def gest_vocs() -> Any:
    """Return the module ``gest_api.vocs``. Raises :class:`~sdl.errors.PlannerError` where it is not installed."""
    try:
        return importlib.import_module("gest_api.vocs")  # only who talks to gest-api needs it
    except ImportError:
        raise PlannerError("gest-api is not installed", hint="pip install gest-api") from None


# --- from a problem ---------------------------------------------------------------------------------------------------


def vocs_of(problem: Problem, given: Mapping[str, ParameterValue]) -> Any:
    """Return *problem* as a VOCS. The parameters in *given* are settled: constants there, like fixed ones.

    A logarithmic parameter is its decimal logarithm there, so that a generator that knows no scales searches on the
    right one. How far a target is missed is an objective called :data:`OFF`. Constraints among parameters and pools of
    candidates have no counterpart: whoever uses the VOCS sees to them.
    """
    gest = gest_vocs()
    free = {name: problem.space.parameters[name] for name in problem.space.free if name not in given}
    constants = {name: given.get(name, _fixed(problem, name)) for name in problem.space.names if name not in free}
    return gest.VOCS(
        variables={name: _variable(gest, parameter) for name, parameter in free.items()},
        objectives=dict(map(_objective, problem.objectives)),
        constraints={each.outcome: _constraint(each) for each in problem.outcome_constraints},
        constants=constants,
    )


def _fixed(problem: Problem, name: str) -> ParameterValue:
    parameter = problem.space.parameters[name]
    if isinstance(parameter, Fixed):
        return parameter.value
    raise PlannerError(f"the situation gives no value for the contextual parameter {name}")


def _variable(gest: Any, parameter: Parameter) -> Any:
    match parameter:
        case Continuous():
            return gest.ContinuousVariable(domain=[coded(parameter, float(end)) for end in _ends(parameter)])
        case Discrete():
            return gest.DiscreteVariable(values=set(parameter.values))
        case Categorical():
            return gest.DiscreteVariable(values=set(parameter.choices))
        case _:  # a fixed one is a constant
            raise AssertionError(parameter)


def _ends(parameter: Continuous) -> tuple[float, float]:
    return float(parameter.low), float(parameter.high)


def _objective(objective: Objective) -> tuple[str, str]:
    match objective:
        case Minimize():
            return objective.outcome, "MINIMIZE"
        case Maximize():
            return objective.outcome, "MAXIMIZE"
        case _:
            return OFF.format(objective.outcome), "MINIMIZE"


def _constraint(constraint: OutcomeConstraint) -> list[Any]:
    match constraint.lower, constraint.upper:
        case None, upper:
            return ["LESS_THAN", upper]
        case lower, None:
            return ["GREATER_THAN", lower]
        case lower, upper:
            return ["BOUNDS", lower, upper]


def coded(parameter: Parameter | None, value: ParameterValue) -> ParameterValue:
    """Return a parameter's value as the VOCS of :func:`vocs_of` has it."""
    is_log = isinstance(parameter, Continuous) and parameter.log
    return math.log10(value) if is_log and not isinstance(value, str) else value


def decoded(parameter: Parameter, value: Any) -> ParameterValue:
    """Return the value that *value* of a VOCS stands for, within the bounds: a rounding error does not leave them."""
    match parameter:
        case Categorical():
            return str(value)
        case Continuous():
            number = 10.0 ** float(value) if parameter.log else float(value)
            low, high = _ends(parameter)
            return min(max(number, low), high)
        case Discrete():
            return min((float(each) for each in parameter.values), key=lambda each: abs(each - float(value)))
        case _:
            return parameter.value


def outcomes_for(problem: Problem, outcomes: Mapping[str, Measurement]) -> dict[str, float]:
    """Return measured *outcomes* under the names of the VOCS of :func:`vocs_of`."""
    found = {name: outcomes[name].value for name in problem.outcomes}
    for objective in problem.objectives:
        if isinstance(objective, Target):
            found[OFF.format(objective.outcome)] = -objective.score(outcomes[objective.outcome].value)
    return found


# --- to a problem -----------------------------------------------------------------------------------------------------


def problem_of(vocs: Any) -> Problem:
    """Return a VOCS as a problem; nothing has a unit there.

    Raises
    ------
    ProblemError
        It has contextual variables or objectives to explore, or a constraint that ours cannot say.
    """
    parameters: dict[str, Parameter] = {name: _parameter(name, each) for name, each in vocs.variables.items()}
    parameters |= {name: _constant(each.value) for name, each in vocs.constants.items()}
    return Problem(
        SearchSpace(parameters),
        [_wanted(name, each) for name, each in vocs.objectives.items()],
        [_limit(name, each) for name, each in vocs.constraints.items()],
    )


def _parameter(name: str, variable: Any) -> Parameter:
    gest = gest_vocs()
    if isinstance(variable, gest.ContextualVariable):
        raise ProblemError(f"variable {name} is contextual", hint="a campaign has contextual parameters: see sdl.Lab")
    if isinstance(variable, gest.ContinuousVariable):
        return Continuous(*map(float, variable.domain))
    values = list(variable.values)
    if all(isinstance(value, str) for value in values):
        return Categorical(sorted(values)) if len(values) > 1 else Fixed(values[0])
    return Discrete(sorted(map(float, values))) if len(values) > 1 else Fixed(float(values[0]))


def _constant(value: Any) -> Fixed:
    return Fixed(value if isinstance(value, str) else float(value))


def _wanted(name: str, objective: Any) -> Objective:
    gest = gest_vocs()
    if isinstance(objective, gest.MinimizeObjective):
        return Minimize(name)
    if isinstance(objective, gest.MaximizeObjective):
        return Maximize(name)
    raise ProblemError(f"objective {name} is a {type(objective).__name__}", hint="MINIMIZE or MAXIMIZE")


def _limit(name: str, constraint: Any) -> OutcomeConstraint:
    gest = gest_vocs()
    match constraint:
        case gest.LessThanConstraint():
            return OutcomeConstraint(name, upper=constraint.value)
        case gest.GreaterThanConstraint():
            return OutcomeConstraint(name, lower=constraint.value)
        case gest.BoundsConstraint():
            lower, upper = constraint.range
            return OutcomeConstraint(name, lower=lower, upper=upper)
        case _:
            raise ProblemError(f"constraint {name} is a {type(constraint).__name__}")
