"""bluesky-adaptive's ``AxOptimizer``, the optimizer of its ``Agent``.

It hands everything on to an Ax client, so what it suggests is what Ax suggests; what is its own is the road there.

https://blueskyproject.io/bluesky-adaptive
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import Linear, Pending, Point, Question, Unsupported, as_product, prefixed

of_ax: Any = import_module("planning.adapters.of_ax")
optimizers: Any = import_module("bluesky_adaptive.ax.optimizer")
protocols: Any = import_module("bluesky_adaptive.protocols")


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("bluesky-adaptive")


def is_equation(given: Linear) -> bool:
    """Tell whether a sum is fixed."""
    return given.lower is not None and given.lower == given.upper


class Optimizer:
    """An optimizer."""

    def __init__(self, question: Question, seed: int) -> None:
        if any(is_equation(given) for given in question.constraints):
            raise Unsupported("no equations among parameters")
        question = prefixed(as_product(question), of_ax.PREFIX)
        self._names = question.names
        self._pending = Pending()
        self._optimizer = optimizers.AxOptimizer(
            parameters=[of_ax.parameter(knob) for knob in question.knobs],
            objective=", ".join(("" if goal.is_maximized else "-") + goal.outcome for goal in question.goals),
            parameter_constraints=[text for given in question.constraints for text in of_ax.inequalities(given)],
            outcome_constraints=of_ax.limits(question.limits, question.goals) or None,
            client_kwargs={"random_seed": seed},
        )

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points."""
        points: list[Point] = []
        while len(points) < n:
            found = self._optimizer.suggest(n - len(points))
            if not found:
                break
            for values in found:
                point = {name.removeprefix(of_ax.PREFIX): values[name] for name in self._names}
                self._pending.add(point, values[protocols.ID_KEY])
                points.append(point)
        return points

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Ingest a measurement: of a suggestion by its number, of another point by its values."""
        is_pending, number = self._pending.take(point)
        where = {protocols.ID_KEY: number} if is_pending else {}
        values = {of_ax.PREFIX + name: value for name, value in {**point, **outcomes}.items()}
        self._optimizer.ingest([{**where, **values}])


def make(question: Question, seed: int, variant: str) -> Optimizer:  # noqa: ARG001 # there is one variant
    """Return an optimizer."""
    return Optimizer(question, seed)
