"""Ax's ``Client`` with the generation strategy that it chooses by itself.

Goals and limits are written as the page on set-up writes them; the reference point of several goals is a limit on each.
Names are prefixed, because Ax reads them as formulas: ``yield`` would be none. A knob that a mixture fixes is a derived
parameter, which is what Ax offers instead of equations. Trials that run are known to the client, so pending points are
conditioned on.

https://ax.dev/docs/tutorials/getting_started/, https://ax.dev/docs/tutorials/quickstart/
https://ax.dev/docs/tutorials/multiobjective_optimization/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import Goal, Knob, Limit, Linear, Pending, Point, Question, as_product, prefixed

client_module: Any = import_module("ax.api.client")
configs: Any = import_module("ax.api.configs")
for _name in ("ax", "ax.api.client"):
    logging.getLogger(_name).setLevel(logging.ERROR)


PREFIX = "v_"


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("ax-platform")


def parameter(knob: Knob) -> Any:
    """Return a knob in Ax's words."""
    if knob.kind == "continuous":
        scaling = "log" if knob.is_log else "linear"
        return configs.RangeParameterConfig(
            name=knob.name, bounds=(knob.low, knob.high), parameter_type="float", scaling=scaling
        )
    is_number = knob.kind == "discrete"
    return configs.ChoiceParameterConfig(
        name=knob.name,
        values=list(knob.values),
        parameter_type="float" if is_number else "str",
        is_ordered=is_number,
    )


def total(coefficients: Mapping[str, float]) -> str:
    """Write a weighted sum."""
    return " + ".join(f"{weight!r} * {name}" for name, weight in coefficients.items())


def inequalities(given: Linear) -> list[str]:
    """Write a constraint as inequalities."""
    found: list[str] = []
    if given.lower is not None:
        found.append(f"{total(given.coefficients)} >= {given.lower!r}")
    if given.upper is not None:
        found.append(f"{total(given.coefficients)} <= {given.upper!r}")
    return found


def limits(given: Sequence[Limit], goals: Sequence[Goal]) -> list[str]:
    """Write limits, and the reference point of several goals."""
    found: list[str] = []
    for limit in given:
        found += [] if limit.lower is None else [f"{limit.outcome} >= {limit.lower!r}"]
        found += [] if limit.upper is None else [f"{limit.outcome} <= {limit.upper!r}"]
    if len(goals) > 1:
        found += [
            f"{goal.outcome} {'>=' if goal.is_maximized else '<='} {goal.reference!r}"
            for goal in goals
            if goal.reference is not None
        ]
    return found


class Platform:
    """A client in memory."""

    def __init__(self, question: Question, seed: int) -> None:
        question = prefixed(as_product(question), PREFIX)
        self._question = question
        self._pending = Pending()
        self._client = client_module.Client(random_seed=seed)
        equations = [given for given in question.constraints if given.lower is not None and given.lower == given.upper]
        others = [given for given in question.constraints if given not in equations]
        derived = [derived_by(given) for given in equations]
        knobs = [knob for knob in self._question.knobs if knob.name not in {found.name for found in derived}]
        self._client.configure_experiment(
            parameters=[*(parameter(knob) for knob in knobs), *(found.config for found in derived)],
            parameter_constraints=[
                *(text for given in others for text in inequalities(given)),
                *(text for found in derived for text in found.inequalities),
            ],
        )
        signs = [("" if goal.is_maximized else "-") + goal.outcome for goal in question.goals]
        self._client.configure_optimization(", ".join(signs), limits(question.limits, question.goals) or None)

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points; Ax may give fewer at a time, so it is asked until they are there."""
        points: list[Point] = []
        while len(points) < n:
            found = self._client.get_next_trials(max_trials=n - len(points))
            if not found:
                break
            for index, values in found.items():
                point = {name.removeprefix(PREFIX): values[name] for name in self._question.names}
                self._pending.add(point, index)
                points.append(point)
        return points

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Complete the trial at *point*, or attach one."""
        is_pending, index = self._pending.take(point)
        if not is_pending:
            index = self._client.attach_trial(parameters={PREFIX + name: value for name, value in point.items()})
        raw_data = {PREFIX + name: value for name, value in outcomes.items()}
        self._client.complete_trial(trial_index=index, raw_data=raw_data)


class derived_by:  # noqa: N801 # reads as a function
    """The last component of a sum that is fixed, derived from the others."""

    def __init__(self, given: Linear) -> None:
        *first, self.name = given.coefficients
        last = given.coefficients[self.name]
        weights = {name: given.coefficients[name] / last for name in first}
        assert given.upper is not None
        rest = given.upper / last
        text = " ".join(f"- {weight!r} * {name}" for name, weight in weights.items())
        self.config = configs.DerivedParameterConfig(
            name=self.name, expression_str=f"{rest!r} {text}", parameter_type="float"
        )
        self.inequalities = [f"{total(weights)} <= {rest!r}"]


def make(question: Question, seed: int, variant: str) -> Platform:  # noqa: ARG001 # there is one variant
    """Return a client."""
    return Platform(question, seed)
