"""Xopt's ``ExpectedImprovementGenerator`` for one goal, ``MOBOGenerator`` for several.

Random points first, as the examples do with ``random_evaluate``; their number is the user's choice. More of them as
long as none keeps all limits, without which the generator refuses to work. There is no way to tell what runs.

https://xopt-org.github.io/Xopt/index.html (examples of single- and multi-objective Bayesian optimization)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import (
    Knob,
    Limit,
    Point,
    Question,
    Unsupported,
    as_product,
    at_most_zero,
    bounds,
    from_scale,
    n_initial,
    to_scale,
)

np: Any = import_module("numpy")
pd: Any = import_module("pandas")
torch: Any = import_module("torch")
vocs_module: Any = import_module("xopt.vocs")
improvement: Any = import_module("xopt.generators.bayesian.expected_improvement")
mobo: Any = import_module("xopt.generators.bayesian.mobo")


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("xopt")


def variable(knob: Knob) -> Any:
    """Return a knob in Xopt's words."""
    if knob.kind == "categorical":
        raise Unsupported("no categories")
    return set(knob.values) if knob.kind == "discrete" else list(bounds(knob))


def limit(given: Limit) -> list[Any]:
    """Return a limit in Xopt's words."""
    if given.upper is None:
        return ["GREATER_THAN", given.lower]
    return ["LESS_THAN", given.upper] if given.lower is None else ["BOUNDS", given.lower, given.upper]


class Generator:
    """A generator and its data."""

    def __init__(self, question: Question, seed: int) -> None:
        if question.constraints:
            raise Unsupported("no constraints among parameters")
        self._question = as_product(question)
        self._knobs = {knob.name: knob for knob in self._question.knobs}
        torch.manual_seed(seed)
        np.random.seed(seed)  # Xopt draws from it
        vocs = vocs_module.VOCS(
            variables={knob.name: variable(knob) for knob in self._question.knobs},
            objectives={goal.outcome: "MAXIMIZE" if goal.is_maximized else "MINIMIZE" for goal in question.goals},
            constraints={given.outcome: limit(given) for given in question.limits},
        )
        if len(question.goals) == 1:
            self._generator = improvement.ExpectedImprovementGenerator(vocs=vocs)
        else:
            reference = {goal.outcome: goal.reference for goal in question.goals}
            self._generator = mobo.MOBOGenerator(vocs=vocs, reference_point=reference)
        drawn = vocs_module.random_inputs(vocs, n=question.n_trials, seed=seed)
        self._random = iter([self._point(row) for row in drawn])
        self._n_random = n_initial(question)
        self._n_asked = 0
        self._has_feasible = False
        self._rows: list[dict[str, Any]] = []

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points: the random ones first, then what the generator proposes."""
        if self._n_random > 0 or not self._has_feasible:
            self._n_random -= n
            self._n_asked += n
            return [next(self._random) for _ in range(n)]
        self._n_asked += n
        if self._rows:
            self._generator.add_data(pd.DataFrame(self._rows))
            self._rows = []
        return [self._point(row) for row in self._generator.generate(n)]

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Add a measurement."""
        self._n_asked -= 1
        if self._n_asked < 0:  # a point that was not asked for counts as one of the first
            self._n_random -= 1
            self._n_asked = 0
        self._has_feasible |= all(excess <= 0 for excess in at_most_zero(self._question.limits, outcomes))
        self._rows.append({name: to_scale(self._knobs[name], value) for name, value in point.items()} | dict(outcomes))

    def _point(self, row: Mapping[Any, Any]) -> Point:
        return {name: from_scale(knob, row[name]) for name, knob in self._knobs.items()}


def make(question: Question, seed: int, variant: str) -> Generator:  # noqa: ARG001 # there is one variant
    """Return a generator."""
    return Generator(question, seed)
