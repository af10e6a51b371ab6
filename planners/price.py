"""What a suggestion costs, and how much it is worth for its price.

* Points of different price: log value minus ``weight`` times log price. The weight is the part of the budget that is
  left ("cost cooling"): a search begins with what is cheap and ends with what is best. Source: Lee, Perrone, Archambeau
  and Seeger, "Cost-aware Bayesian optimization" (2020, arXiv:2003.10870).
* Approximations of a target (a simulation, a quick measurement): the value at the target, times the part of the doubt
  about the target that the approximation takes away there, relative to what the target itself would take away, over
  the price. A form of the rule of Huang, Allen, Notz and Miller, "Sequential kriging optimization using
  multiple-fidelity evaluations", Struct. Multidisc. Optim. 32, 369 (2006). They take a correlation where a part of the
  variance stands here, so that the tenth measurement of one noisy place is worth about a tenth of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdl.campaign.planner import History, Situation
from sdl.journal.records import Decision
from sdl.planners.acquisition import Evidence
from sdl.planners.criteria import Belief
from sdl.planners.encoding import Array, Encoding, NumberCode, are_at_target, to_target
from sdl.planners.fitting import fit_outcome
from sdl.planners.improvement import Improvement
from sdl.planners.many import field_of
from sdl.planners.maximise import Ranked, RowFunction
from sdl.planners.outcome import OutcomeData
from sdl.planners.surrogate import NUMERICAL_ERRORS, Surrogate
from sdl.problem import Price, Problem

CHUNK = 256
"""Rows that are looked at together: their joint covariance is computed for the sake of its diagonal."""

STEP = 1e-4
"""Of the central differences that stand for gradients, in units of the coordinates."""

SMALLEST_SHARE = 1e-6
"""A measurement that teaches less of the target than this is worth as little as this."""

MAX_CANDIDATES = 100_000
"""Candidates of a list that are compared."""

CHEAPEST = 1e-3
"""Prices below this part of the median of those that cost something are raised to it: what costs nothing would be
measured for ever."""

N_TYPICAL = 256
"""Points of the space whose median price is the typical one."""


def prices(price: Price, encoding: Encoding, rows: Array) -> Array:
    """Return what trials at *rows* cost, shape (n,)."""
    total = np.full(len(rows), price.fixed)
    for code in encoding.codes:
        part = rows[:, code.start : code.start + code.width]
        if code.name in price.per and isinstance(code, NumberCode):
            total += price.per[code.name] * code.numbers(part[:, 0])
        if code.name in price.of and not isinstance(code, NumberCode):
            distances = np.abs(part[:, None, :] - code.levels()[None, :, :]).sum(axis=2)
            of_choice = np.array([price.of_choice(code.name, choice) for choice in code.choices])
            total += of_choice[distances.argmin(axis=1)]
    for name, value in encoding.fixed.items():
        total += price.per.get(name, 0.0) * float(value) if name in price.per else 0.0
        total += price.of_choice(name, value) if name in price.of else 0.0
    return np.asarray(np.maximum(total, 0.0))


@dataclass(frozen=True)
class Spending:
    """What trials cost, and how much that counts.

    Parameters
    ----------
    price
        ``price(rows)``: what trials cost, shape (n,), positive.
    weight
        1: value for money; 0: value alone.
    """

    price: Callable[[Array], Array]
    weight: float

    @classmethod
    def of(cls, problem: Problem, history: History, situation: Situation, thrift: float | None) -> Spending | None:
        """Return what *situation* says of prices, or else what the trials of *history* cost; None where it is nothing.

        Where no price was declared and the budget is one of cost, the logarithm of what trials have cost is learned by
        a Gaussian process, as Lee et al. do.
        """
        weight = _weight(problem, situation) if thrift is None else thrift
        if weight == 0.0:
            return None
        encoding = Encoding(problem.space)
        if situation.price is not None:
            declared, least = situation.price, _least(situation.price, encoding)
            return cls(lambda rows: np.maximum(prices(declared, encoding, rows), least), weight)
        learned = _learned(history, encoding)
        return None if learned is None else cls(learned, weight)

    def logs(self, rows: Array) -> Array:
        """Return what is taken off the log value at *rows*, shape (n,)."""
        return np.asarray(self.weight * np.log(self.price(rows)))


def _weight(problem: Problem, situation: Situation) -> float:
    if problem.space.targets:
        return 1.0
    if situation.cost_left is None or not situation.cost_budget:
        return 0.0
    return min(1.0, situation.cost_left / situation.cost_budget)


def _least(price: Price, encoding: Encoding) -> float:
    """Return what cheaper trials are taken to cost: prices must have a logarithm."""
    points = encoding.space.sample(N_TYPICAL, np.random.default_rng(0))
    found = prices(price, encoding, encoding.encode(points))
    return CHEAPEST * float(np.median(found[found > 0.0])) if (found > 0.0).any() else 1.0


def _learned(history: History, encoding: Encoding) -> Callable[[Array], Array] | None:
    """Return the price that the trials of *history* speak for; None where they all cost the same, or nothing."""
    paid = [e for e in history.completed if e.cost > 0.0 and e.trial > 0 and encoding.can_encode(e.values)]
    costs = np.array([entry.cost for entry in paid])
    if len(paid) < 2 or np.ptp(costs) <= 1e-9 * costs.max():
        return None
    rows = encoding.encode([entry.values for entry in paid])
    try:
        fit = fit_outcome(OutcomeData(rows, np.log(costs), np.zeros(len(costs))), encoding)
        field = field_of(fit)
    except NUMERICAL_ERRORS:
        return None
    low, high = float(np.log(costs.min() / 10.0)), float(np.log(costs.max() * 10.0))
    return lambda rows: np.asarray(np.exp(np.clip(fit.warp.backward(field.at(rows).mean[:, 0]), low, high)))


def at_target(known: Evidence, encoding: Encoding) -> Evidence:
    """Return what counts of what is *known*: trials at the target.

    Before anything at the target is known, the places of all approximations stand for it.
    """
    if not _has_approximations(encoding):
        return known
    counts = are_at_target(encoding, known.observed)
    pending = known.pending[are_at_target(encoding, known.pending)]
    if not counts.any():
        return replace(known, observed=to_target(encoding, known.observed), pending=pending)
    return replace(known, observed=known.observed[counts], feasible=known.feasible[counts], pending=pending)


def weighed(
    base: RowFunction, surrogate: Surrogate, encoding: Encoding, pending: Array, spending: Spending | None
) -> RowFunction:
    """Return *base* with what a measurement teaches of the target, and what it costs, taken into account."""
    if not isinstance(base, Improvement) or (spending is None and not _has_approximations(encoding)):
        return base
    teaching = None
    if _has_approximations(encoding):
        teaching = Teaching([Belief.of(fit, pending) for fit in surrogate.fits.values()], encoding)
    return WorthItsPrice(base, encoding, teaching, spending)


def _has_approximations(encoding: Encoding) -> bool:
    return bool(encoding.space.targets)


def priced(decision: Decision, acquisition: RowFunction, best: Ranked) -> Decision:
    """Fill in what the trial costs and, at an approximation, what it tells of the target."""
    if not isinstance(acquisition, WorthItsPrice):
        return decision
    price, share = acquisition.price(best.row), acquisition.share(best.row)
    told = "" if share is None else f"An approximation: it takes away {share:.0%} of the doubt that the target would."
    note = " ".join(filter(None, [decision.note, told, "" if price is None else f"Costs {price:.4g}."]))
    return decision.replace(price=price, note=note)


@dataclass(frozen=True)
class Teaching:
    """How much a measurement at an approximation teaches of the target.

    Parameters
    ----------
    beliefs
        The model of each outcome, pending trials taken into account.
    encoding
        Whose columns say what is an approximation.
    """

    beliefs: Sequence[Belief]
    encoding: Encoding

    def shares(self, rows: Array) -> Array:
        """Return the part of the target's variance that a measurement takes away at each row, over that of the target.

        Shape (n,); the mean over outcomes; 1 at the target.
        """
        at_target = to_target(self.encoding, rows)
        found = np.zeros(len(rows))
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            found[part] = np.mean([_share(belief, rows[part], at_target[part]) for belief in self.beliefs], axis=0)
        is_target = (rows == at_target).all(axis=1)
        return np.where(is_target, 1.0, np.clip(found, SMALLEST_SHARE, None))


def _share(belief: Belief, rows: Array, at_target: Array) -> Array:
    here, there = belief.field.at(rows), belief.field.at(at_target)
    covariances = np.diagonal(belief.field.covariance(here, there))
    noise = belief.fit.next_noise
    by_target = there.deviation**4 / (there.deviation**2 + noise)
    return np.asarray(covariances**2 / (here.deviation**2 + noise) / by_target)


class WorthItsPrice(Improvement):
    """An acquisition function at the target, weighed with what a measurement teaches of the target and what it costs.

    Parameters
    ----------
    base
        The value of a measurement at the target.
    encoding
        Which columns are approximations.
    teaching
        None where there are no approximations.
    spending
        None where prices do not count.
    """

    def __init__(
        self, base: Improvement, encoding: Encoding, teaching: Teaching | None, spending: Spending | None
    ) -> None:
        nothing = np.zeros((0, encoding.n_columns))
        super().__init__(base.name if spending is None else f"{base.name} for its price", (), nothing, nothing)
        self._base, self._encoding = base, encoding
        self._teaching, self._spending = teaching, spending

    @property
    def max_candidates(self) -> int:
        """How many candidates of a list are evaluated at most."""
        return min(self._base.max_candidates, MAX_CANDIDATES)

    @property
    def is_costly(self) -> bool:
        """Whether a value takes several times longer than the usual."""
        return self._base.is_costly

    def values(self, rows: Array) -> Array:
        """Return the value at each row, shape (n,); minus infinity where it is not a number."""
        found = self._base.values(to_target(self._encoding, rows)) + self._weights(rows)
        return np.nan_to_num(found, nan=-np.inf, posinf=-np.inf)

    def evaluate(self, rows: Array, *, with_slopes: bool = True) -> tuple[Array, Array]:
        """Return values, shape (n,), and gradients, shape (n, columns); those of the weights by central differences."""
        values, slopes = self._base.evaluate(to_target(self._encoding, rows), with_slopes=with_slopes)
        values = values + self._weights(rows)
        if not with_slopes:
            return values, slopes
        n, columns = rows.shape
        steps = STEP * np.eye(columns)
        around = (rows[:, None, None, :] + np.stack([steps, -steps])[None]).reshape(-1, columns)
        sides = self._weights(around).reshape(n, 2, columns)
        return values, slopes + (sides[:, 0] - sides[:, 1]) / (2.0 * STEP)

    def price(self, row: Array) -> float | None:
        """Return what a trial at *row* costs; None where that is not known."""
        return None if self._spending is None else float(self._spending.price(row[None, :])[0])

    def share(self, row: Array) -> float | None:
        """Return how much a measurement at *row* teaches of the target, relative to the target; None at the target."""
        if self._teaching is None or are_at_target(self._encoding, row[None, :])[0]:
            return None
        return float(self._teaching.shares(row[None, :])[0])

    def _weights(self, rows: Array) -> Array:
        total = np.zeros(len(rows))
        if self._teaching is not None:
            total += np.log(self._teaching.shares(rows))
        if self._spending is not None:
            total -= self._spending.logs(rows)
        return total
