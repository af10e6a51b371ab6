"""Optuna's samplers, asked and told through a study.

``GPSampler`` and ``TPESampler`` as they are without arguments, but for the seed; TPE with ``multivariate=True``, which
its page recommends where parameters interact, and ``constant_liar=True``, which it recommends where trials run at the
same time. Trials that run are known to the study. Limits through ``Trial.set_constraint``. A discrete knob is the index
of its value.

https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.GPSampler.html
https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.TPESampler.html
https://optuna.readthedocs.io/en/stable/tutorial/20_recipes/009_ask_and_tell.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from planning.wire import Knob, Pending, Point, Question, Unsupported, Value, as_product, at_most_zero

optuna: Any = import_module("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def version() -> str:
    """Return the version that is reported."""
    return metadata.version("optuna")


def distribution(knob: Knob) -> Any:
    """Return a knob in Optuna's words."""
    if knob.kind == "continuous":
        return optuna.distributions.FloatDistribution(knob.low, knob.high, log=knob.is_log)
    if knob.kind == "discrete":
        return optuna.distributions.IntDistribution(0, len(knob.values) - 1)
    return optuna.distributions.CategoricalDistribution(list(knob.values))


def sampler_of(variant: str, seed: int, *, is_parallel: bool) -> Any:
    """Return the sampler."""
    if variant == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=is_parallel)


class Study:
    """A study in memory."""

    def __init__(self, question: Question, seed: int, variant: str) -> None:
        if question.constraints:
            raise Unsupported("no constraints among parameters")
        self._question = as_product(question)
        self._distributions = {knob.name: distribution(knob) for knob in self._question.knobs}
        self._pending = Pending()
        self._study = optuna.create_study(
            directions=["maximize" if goal.is_maximized else "minimize" for goal in question.goals],
            sampler=sampler_of(variant, seed, is_parallel=question.n_at_once > 1),
        )

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points; the study knows that they run."""
        return [self._ask() for _ in range(n)]

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """End the trial at *point*, or add one."""
        values = [outcomes[goal.outcome] for goal in self._question.goals]
        limits = {f"c{n}": value for n, value in enumerate(at_most_zero(self._question.limits, outcomes))}
        is_pending, trial = self._pending.take(point)
        if is_pending:
            for name, value in limits.items():
                trial.set_constraint(name, value)
            self._study.tell(trial, values)
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                params={knob.name: self._inner(knob, point[knob.name]) for knob in self._question.knobs},
                distributions=self._distributions,
                values=values,
                constraints=limits or None,
            )
        )

    def _ask(self) -> Point:
        trial = self._study.ask(self._distributions)
        point = {
            knob.name: knob.values[trial.params[knob.name]] if knob.kind == "discrete" else trial.params[knob.name]
            for knob in self._question.knobs
        }
        self._pending.add(point, trial)
        return point

    @staticmethod
    def _inner(knob: Knob, value: Value) -> Value:
        return knob.values.index(value) if knob.kind == "discrete" else value


def make(question: Question, seed: int, variant: str) -> Study:
    """Return the study of sampler *variant*: ``gp`` or ``tpe``."""
    return Study(question, seed, variant)
