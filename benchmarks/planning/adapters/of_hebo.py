"""HEBO's optimizer ``HEBO`` as it is without arguments, but for the seed.

https://hebo.readthedocs.io/en/latest/, https://github.com/huawei-noah/HEBO/tree/master/HEBO
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import Knob, Point, Question, Unsupported, as_product, unscored

np: Any = import_module("numpy")
pd: Any = import_module("pandas")
torch: Any = import_module("torch")
spaces: Any = import_module("hebo.design_space.design_space")
hebo: Any = import_module("hebo.optimizers.hebo")


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("HEBO")


def described(knob: Knob) -> dict[str, Any]:
    """Return a knob in HEBO's words; a discrete one is the number of its value."""
    if knob.kind == "continuous":
        return {"name": knob.name, "type": "pow" if knob.is_log else "num", "lb": knob.low, "ub": knob.high, "base": 10}
    if knob.kind == "discrete":
        return {"name": knob.name, "type": "int", "lb": 0, "ub": len(knob.values) - 1}
    return {"name": knob.name, "type": "cat", "categories": list(knob.values)}


class Optimizer:
    """An optimizer."""

    def __init__(self, question: Question, seed: int) -> None:
        if question.limits or len(question.goals) > 1:
            raise Unsupported("one goal and no limits")
        if question.constraints:
            raise Unsupported("no constraints among parameters")
        self._question = as_product(question)
        torch.manual_seed(seed)
        np.random.seed(seed)  # HEBO draws from it
        descriptions = [described(knob) for knob in self._question.knobs]
        for found in descriptions:
            if found["type"] != "pow":
                found.pop("base", None)
        self._optimizer = hebo.HEBO(spaces.DesignSpace().parse(descriptions), scramble_seed=seed)

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points."""
        return [self._outer(row) for row in self._optimizer.suggest(n_suggestions=n).to_dict("records")]

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Observe a measurement."""
        frame = pd.DataFrame([self._inner(point)])
        self._optimizer.observe(frame, np.array([unscored(self._question.goals, outcomes)]))

    def _outer(self, row: Mapping[str, Any]) -> Point:
        return {
            knob.name: knob.values[int(row[knob.name])] if knob.kind == "discrete" else row[knob.name]
            for knob in self._question.knobs
        }

    def _inner(self, point: Point) -> Point:
        return {
            knob.name: knob.values.index(point[knob.name]) if knob.kind == "discrete" else point[knob.name]
            for knob in self._question.knobs
        }


def make(question: Question, seed: int, variant: str) -> Optimizer:  # noqa: ARG001 # there is one variant
    """Return an optimizer."""
    return Optimizer(question, seed)
