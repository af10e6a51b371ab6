"""BoFire's strategies: ``SoboStrategy`` for one goal, ``MoboStrategy`` for several, with their own surrogates.

Points that fill the space first come from ``Inputs.sample``, as in the tutorials; their number is the user's choice.
Limits are sigmoid objectives as steep as in BoFire's own constrained benchmark. What runs is added as candidates.

https://experimental-design.github.io/bofire/docs/userguides/data_models_functionals.html
https://experimental-design.github.io/bofire/docs/tutorials/serialization/strategies_serial.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import (
    Goal,
    Knob,
    Limit,
    Linear,
    Pending,
    Point,
    Question,
    as_product,
    bounds,
    from_scale,
    n_initial,
    to_scale,
)

pd: Any = import_module("pandas")
domains: Any = import_module("bofire.data_models.domain.api")
features: Any = import_module("bofire.data_models.features.api")
constraints: Any = import_module("bofire.data_models.constraints.api")
objectives: Any = import_module("bofire.data_models.objectives.api")
models: Any = import_module("bofire.data_models.strategies.api")
mobo: Any = import_module("bofire.data_models.strategies.predictives.mobo")
strategies: Any = import_module("bofire.strategies.api")
enums: Any = import_module("bofire.data_models.enum")

STEEPNESS = 1000.0


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("bofire")


def feature(knob: Knob) -> Any:
    """Return a knob in BoFire's words."""
    if knob.kind == "categorical":
        return features.CategoricalInput(key=knob.name, categories=list(knob.values))
    if knob.kind == "discrete":
        return features.DiscreteInput(key=knob.name, values=list(knob.values))
    return features.ContinuousInput(key=knob.name, bounds=bounds(knob))


def goal_output(goal: Goal) -> Any:
    """Return a goal in BoFire's words."""
    objective = objectives.MaximizeObjective() if goal.is_maximized else objectives.MinimizeObjective()
    return features.ContinuousOutput(key=goal.outcome, objective=objective)


def limit_output(limit: Limit) -> Any:
    """Return a limit in BoFire's words."""
    kind = objectives.MaximizeSigmoidObjective if limit.upper is None else objectives.MinimizeSigmoidObjective
    bound = limit.lower if limit.upper is None else limit.upper
    return features.ContinuousOutput(key=limit.outcome, objective=kind(tp=bound, steepness=STEEPNESS))


def linear(given: Linear) -> list[Any]:
    """Return a constraint in BoFire's words."""
    names, weights = list(given.coefficients), list(given.coefficients.values())
    if given.lower is not None and given.lower == given.upper:
        return [constraints.LinearEqualityConstraint(features=names, coefficients=weights, rhs=given.upper)]
    less = constraints.LinearInequalityConstraint
    found: list[Any] = []
    if given.lower is not None:
        found.append(less(features=names, coefficients=[-weight for weight in weights], rhs=-given.lower))
    if given.upper is not None:
        found.append(less(features=names, coefficients=weights, rhs=given.upper))
    return found


class Strategy:
    """A strategy and its data."""

    def __init__(self, question: Question, seed: int) -> None:
        self._question = as_product(question)
        self._knobs = {knob.name: knob for knob in self._question.knobs}
        self._pending = Pending()
        self._domain = domains.Domain(
            inputs=domains.Inputs(features=[feature(knob) for knob in self._question.knobs]),
            outputs=domains.Outputs(features=[*map(goal_output, question.goals), *map(limit_output, question.limits)]),
            constraints=domains.Constraints(
                constraints=[found for given in question.constraints for found in linear(given)]
            ),
        )
        self._strategy = strategies.map(self._model(seed))
        self._first = self._initial(seed)
        self._n_given = 0  # points that were not asked for; they count as the first ones

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points: the prepared ones first, then what the strategy proposes, given what is pending."""
        if self._n_given >= n_initial(self._question):
            self._first = []
        points, self._first = self._first[:n], self._first[n:]
        if len(points) < n:
            points = points + self._propose(n - len(points))
        for point in points:
            self._pending.add(point)
        return points

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Add a measurement; the model is fitted when it is needed."""
        is_pending, _ = self._pending.take(point)
        self._n_given += not is_pending
        valid = {f"valid_{name}": 1 for name in outcomes}
        self._strategy.tell(self._frame([point]).assign(**outcomes, **valid), retrain=False)

    def _propose(self, n: int) -> list[Point]:
        self._strategy.reset_candidates()
        if self._pending.points:
            self._strategy.set_candidates(self._frame(self._pending.points))
        self._strategy.fit()
        found = self._strategy.ask(n, raise_validation_error=False)
        return [self._point(row) for row in found.to_dict("records")]

    def _model(self, seed: int) -> Any:
        if len(self._question.goals) == 1:
            return models.SoboStrategy(domain=self._domain, seed=seed)
        reference = {
            goal.outcome: mobo.FixedReferenceValue(value=goal.reference)
            for goal in self._question.goals
            if goal.reference is not None
        }
        return models.MoboStrategy(
            domain=self._domain, ref_point=mobo.ExplicitReferencePoint(values=reference), seed=seed
        )

    def _initial(self, seed: int) -> list[Point]:
        n = n_initial(self._question)
        if self._question.constraints:
            drawn = strategies.map(models.RandomStrategy(domain=self._domain, seed=seed)).ask(n)
        else:
            drawn = self._domain.inputs.sample(n, method=enums.SamplingMethodEnum.SOBOL, seed=seed)
        return [self._point(row) for row in drawn.to_dict("records")]

    def _frame(self, points: Sequence[Point]) -> Any:
        return pd.DataFrame([{name: to_scale(self._knobs[name], value) for name, value in p.items()} for p in points])

    def _point(self, row: Mapping[str, Any]) -> Point:
        return {name: from_scale(knob, row[name]) for name, knob in self._knobs.items()}


def make(question: Question, seed: int, variant: str) -> Strategy:  # noqa: ARG001 # there is one variant
    """Return a strategy."""
    return Strategy(question, seed)
