"""BayBE's ``Campaign`` with the recommender that it chooses by itself: random points, then Bayesian optimisation.

Several goals through ``ParetoObjective``; lists of candidates through ``SearchSpace.from_dataframe``. What runs is
passed as ``pending_experiments``. There are no limits on outcomes.

https://emdgroup.github.io/baybe/stable/components/recommenders.html
https://emdgroup.github.io/baybe/stable/components/searchspace.html
https://emdgroup.github.io/baybe/stable/components/objectives.html#paretoobjective
https://emdgroup.github.io/baybe/stable/concepts/async.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import Knob, Linear, Pending, Point, Question, Unsupported, bounds, from_scale, to_scale

pd: Any = import_module("pandas")
baybe: Any = import_module("baybe")
parameters: Any = import_module("baybe.parameters")
constraints: Any = import_module("baybe.constraints")
objectives: Any = import_module("baybe.objectives")
searchspace: Any = import_module("baybe.searchspace")
targets: Any = import_module("baybe.targets")


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("baybe")


def parameter(knob: Knob, column: Sequence[Any] | None = None) -> Any:
    """Return a knob in BayBE's words; *column* are its values in a list of candidates."""
    if knob.kind == "categorical":
        return parameters.CategoricalParameter(knob.name, values=sorted(set(column or knob.values)))
    if knob.kind == "discrete" or column is not None:
        return parameters.NumericalDiscreteParameter(knob.name, values=sorted(set(column or knob.values)))
    return parameters.NumericalContinuousParameter(knob.name, bounds=bounds(knob))


def linear(given: Linear) -> list[Any]:
    """Return a constraint in BayBE's words."""
    names, weights = list(given.coefficients), list(given.coefficients.values())
    make = constraints.ContinuousLinearConstraint
    if given.lower is not None and given.lower == given.upper:
        return [make(names, "=", weights, given.lower)]
    found: list[Any] = []
    found += [] if given.lower is None else [make(names, ">=", weights, given.lower)]
    found += [] if given.upper is None else [make(names, "<=", weights, given.upper)]
    return found


def space(question: Question) -> Any:
    """Return the search space."""
    if question.pool is not None:
        pool = question.pool
        knobs = [parameter(knob, pool[knob.name]) for knob in question.knobs if len(set(pool[knob.name])) > 1]
        names = [knob.name for knob in knobs]
        return searchspace.SearchSpace.from_dataframe(pd.DataFrame(pool)[names], knobs)
    return searchspace.SearchSpace.from_product(
        [parameter(knob) for knob in question.knobs],
        [found for given in question.constraints for found in linear(given)],
    )


class Recommending:
    """A campaign."""

    def __init__(self, question: Question, seed: int) -> None:
        if question.limits:
            raise Unsupported("no limits on outcomes")
        self._question = question
        self._knobs = {knob.name: knob for knob in question.knobs}
        self._pending = Pending()
        baybe.active_settings.random_seed = seed
        goals = [targets.NumericalTarget(goal.outcome, minimize=not goal.is_maximized) for goal in question.goals]
        objective = objectives.ParetoObjective(goals) if len(goals) > 1 else goals[0].to_objective()
        self._campaign = baybe.Campaign(searchspace=space(question), objective=objective)

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points, given what is pending."""
        pending = self._frame(self._pending.points) if self._pending.points else None
        found = self._campaign.recommend(n, pending_experiments=pending)
        points = [self._point(row) for row in found.to_dict("records")]
        for point in points:
            self._pending.add(point)
        return points

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Add a measurement."""
        self._pending.take(point)
        self._campaign.add_measurements(self._frame([point]).assign(**outcomes))

    def _frame(self, points: Sequence[Point]) -> Any:
        return pd.DataFrame([{name: to_scale(self._knobs[name], value) for name, value in p.items()} for p in points])

    def _point(self, row: Mapping[str, Any]) -> Point:
        constant = {name: column[0] for name, column in (self._question.pool or {}).items()}
        return constant | {name: from_scale(self._knobs[name], row[name]) for name in self._knobs if name in row}


def make(question: Question, seed: int, variant: str) -> Recommending:  # noqa: ARG001 # there is one variant
    """Return a campaign."""
    return Recommending(question, seed)
