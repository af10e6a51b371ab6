"""Which approximation of a target a trial is made at, where that is settled before any model.

The planner's first trials fill the space where that is cheapest. Then two are made at the target, where the
approximations promise most, so that the model can say how well they approximate. And the last that the budget allows is
made at the target, because nothing else counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from sdl.campaign.planner import History, Situation
from sdl.journal.records import ParameterValue
from sdl.problem import Categorical, Price, SearchSpace

N_AT_TARGET = 2
"""Trials at the target, before the model decides at which approximation a trial is worth its price."""

N_LAST = 1.5
"""The budget goes to the target alone once it does not pay for this many trials there."""


def cheapest(space: SearchSpace, price: Price | None) -> dict[str, ParameterValue]:
    """Return the cheapest choice of every parameter with a target; the first where no price is known."""
    found: dict[str, ParameterValue] = {}
    for name in space.targets:
        parameter = space.parameters[name]
        assert isinstance(parameter, Categorical)
        listed: Mapping[str, float] = {} if price is None else price.of.get(name, {})
        found[name] = min(parameter.choices, key=lambda choice: listed.get(choice, 0.0))
    return found


def _priced(space: SearchSpace, price: Price, choices: Mapping[str, ParameterValue]) -> float:
    """Return what a trial with *choices* costs, all numbers in the middle of their ranges."""
    middles = {name: 0.5 * sum(space.bounds.get(name, (0.0, 0.0))) for name in price.per}
    others = {name: min(levels.values()) for name, levels in price.of.items() if name not in choices}
    chosen = sum(price.of_choice(name, choice) for name, choice in choices.items() if name in price.of)
    return price.fixed + sum(price.per[name] * middles[name] for name in middles) + chosen + sum(others.values())


def settled(
    space: SearchSpace, history: History, situation: Situation, *, is_filling: bool
) -> Mapping[str, ParameterValue]:
    """Return the choices that are made before any model is asked; none where the model decides."""
    if not space.targets:
        return {}
    if is_filling:
        return cheapest(space, situation.price)
    n_at_target = sum(space.counts(entry.values) for entry in (*history.completed, *history.pending))
    is_last = situation.n_trials_left == 1 or _is_scarce(space, situation)
    return space.targets if n_at_target < N_AT_TARGET or is_last else {}


def _is_scarce(space: SearchSpace, situation: Situation) -> bool:
    """Tell whether the budget of cost pays for little more than one trial at the target."""
    if situation.cost_left is None or situation.price is None:
        return False
    return situation.cost_left < N_LAST * _priced(space, situation.price, space.targets)
