"""SMAC's facades, asked and told.

``BlackBoxFacade`` (Gaussian process) where all knobs are continuous, ``HyperparameterOptimizationFacade`` (random
forest) where they are not, as the page on facades recommends. A measurement is not repeated (``deterministic``).
Several goals are weighed by ParEGO.

https://automl.github.io/SMAC3/latest/3_getting_started
https://automl.github.io/SMAC3/latest/api/smac/facade/blackbox_facade
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from planning.wire import Knob, Pending, Point, Question, Unsupported, as_product, from_scale, unscored

spaces: Any = import_module("ConfigSpace")
smac: Any = import_module("smac")
dataclasses_: Any = import_module("smac.runhistory.dataclasses")
parego: Any = import_module("smac.multi_objective.parego")


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("smac")


def hyperparameter(knob: Knob) -> Any:
    """Return a knob in the words of ConfigSpace."""
    if knob.kind == "continuous":
        return spaces.Float(knob.name, (knob.low, knob.high), log=knob.is_log)
    if knob.kind == "discrete":
        return spaces.OrdinalHyperparameter(knob.name, list(knob.values))
    return spaces.CategoricalHyperparameter(knob.name, list(knob.values))


class Facade:
    """A facade; its files go to a folder that is thrown away."""

    def __init__(self, question: Question, seed: int) -> None:
        if question.limits:
            raise Unsupported("no limits on outcomes")
        if question.constraints:
            raise Unsupported("no constraints among parameters")
        self._question = as_product(question)
        self._knobs = {knob.name: knob for knob in self._question.knobs}
        self._pending = Pending()
        self._folder = tempfile.TemporaryDirectory()
        self._space = spaces.ConfigurationSpace(seed=seed)
        self._space.add([hyperparameter(knob) for knob in self._question.knobs])
        n_goals = len(question.goals)
        scenario = smac.Scenario(
            self._space,
            deterministic=True,
            n_trials=question.n_trials,
            seed=seed,
            output_directory=Path(self._folder.name),
            objectives=[goal.outcome for goal in question.goals] if n_goals > 1 else "cost",
        )
        self._scenario = scenario
        self._made: Any = None

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points, one at a time; the facade knows that they run."""
        self._facade(is_warm=False)
        return [self._ask() for _ in range(n)]

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """End the trial at *point*, or add one."""
        is_pending, info = self._pending.take(point)
        if not is_pending:
            info = dataclasses_.TrialInfo(config=spaces.Configuration(self._space, dict(point)), seed=0)
        costs = unscored(self._question.goals, outcomes)
        self._facade(is_warm=True).tell(
            info, dataclasses_.TrialValue(cost=costs if len(costs) > 1 else costs[0]), save=False
        )

    def _facade(self, *, is_warm: bool) -> Any:
        """Return the facade. One that is told something before it is asked has no initial design."""
        if self._made is None:
            facade = smac.HyperparameterOptimizationFacade if self._question.is_mixed else smac.BlackBoxFacade
            several = len(self._question.goals) > 1
            first = {"initial_design": facade.get_initial_design(self._scenario, n_configs=0)} if is_warm else {}
            self._made = facade(
                self._scenario,
                None,
                multi_objective_algorithm=parego.ParEGO(self._scenario) if several else None,
                overwrite=True,
                logging_level=False,
                **first,
            )
        return self._made

    def _ask(self) -> Point:
        info = self._facade(is_warm=False).ask()
        values = dict(info.config)
        point = {name: from_scale_of(knob, values[name]) for name, knob in self._knobs.items()}
        self._pending.add(point, info)
        return point


def from_scale_of(knob: Knob, value: Any) -> Any:
    """Return a value as the question writes it; ConfigSpace keeps logarithms to itself."""
    return float(value) if knob.kind == "continuous" else from_scale(knob, value)


def make(question: Question, seed: int, variant: str) -> Facade:  # noqa: ARG001 # there is one variant
    """Return a facade."""
    return Facade(question, seed)
