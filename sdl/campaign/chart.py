"""Control charts: whether a control sample comes out as it always did.

A point is first turned into *q*, which is standard normal as long as nothing has changed. With a given mean and
standard deviation that is the distance from the mean in standard deviations. Without, the point is compared with the
controls before it: ``t = (x - mean) / (s * sqrt(1 + 1/n))`` has Student's distribution with n - 1 degrees of freedom,
and q is the normal quantile of that probability. So few controls give wide limits instead of false alarms (Quesenberry,
"SPC Q charts for start-up processes and short or long runs", Journal of Quality Technology 23, 213, 1991; the same
statistic is that of Hawkins's self-starting CUSUM, The Statistician 36, 299, 1987).

Two rules look at q. Shewhart's: one point beyond 3 (0.27 % of good points; Shewhart, *Economic Control of Quality of
Manufactured Product*, 1931). The tabular CUSUM for drift and small shifts: the sum of what q exceeds 0.5 by, one for
each side, beyond 5 (Page, Biometrika 41, 100, 1954; with these two numbers an alarm without a cause comes once in 465
points, Montgomery, *Introduction to Statistical Quality Control*, chapter 9). What Shewhart's rule catches is not added
to the sums: one spilt sample would ring for ten more points (Lucas and Crosier, Communications in Statistics 11, 2669,
1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sdl.problem.value import Value

LIMIT = 3.0
SLACK = 0.5
DECISION = 5.0
"""Shewhart's limit, and the reference value and the decision interval of the CUSUM, in standard deviations."""

FEWEST = 3
"""Controls that must be known before another one is compared with them."""

FARTHEST = 12.0
"""Larger q say no more."""


class Expected(Value):
    """What a control sample is known to give, in the outcome's unit: mean, and standard deviation of repeats."""

    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class Reading:
    """One measurement of a control sample.

    Parameters
    ----------
    trial, value
        Which, and what came out.
    session
        Counts the times that somebody looked and ran the campaign again: sums begin anew there.
    """

    trial: int
    value: float
    session: int = 0


@dataclass(frozen=True)
class ChartPoint:
    """A reading on its chart.

    Parameters
    ----------
    q
        Its distance from what is expected, in standard deviations; None while too few are known.
    center, low, high
        What it was compared with, in the outcome's unit; None likewise.
    up, down
        The two sums of the CUSUM after it.
    signal
        What is wrong, in words; empty where nothing is.
    since
        The last trial of the series at which nothing spoke for a change yet; None where there is none.
    """

    reading: Reading
    q: float | None = None
    center: float | None = None
    low: float | None = None
    high: float | None = None
    up: float = 0.0
    down: float = 0.0
    signal: str = ""
    since: int | None = None

    @property
    def is_out(self) -> bool:
        """Whether the point says that something has changed."""
        return bool(self.signal)


@dataclass(frozen=True)
class _Sum:
    """One side of the CUSUM: how far it has come, and the last trial at which it stood at 0."""

    value: float = 0.0
    since: int | None = None

    def add(self, excess: float, trial: int) -> _Sum:
        value = max(0.0, self.value + excess)
        return _Sum(value, trial if value == 0.0 else self.since)


def chart(readings: Sequence[Reading], expected: Expected | None = None) -> list[ChartPoint]:
    """Return the points of a control chart, oldest first. Points that are out are not learned from."""
    points: list[ChartPoint] = []
    known: list[float] = []
    up = down = _Sum()
    for reading in readings:
        last = points[-1].reading if points else None
        if last is not None and last.session != reading.session:
            up = down = _Sum(since=last.trial)
        compared = _compared(known, expected)
        q = None if compared is None else distance(reading.value, *compared)
        if q is None or abs(q) <= LIMIT:  # one wild point says nothing of a drift
            up, down = up.add((q or 0.0) - SLACK, reading.trial), down.add(-(q or 0.0) - SLACK, reading.trial)
        point = ChartPoint(reading, up=up.value, down=down.value)
        if compared is not None and q is not None:
            point = _judged(point, q, compared, max(up, down, key=lambda each: each.value), last)
        points.append(point)
        if not point.is_out:
            known.append(reading.value)
    return points


def _judged(
    point: ChartPoint, q: float, compared: tuple[float, float, int], larger: _Sum, last: Reading | None
) -> ChartPoint:
    center, spread, n = compared
    reach = spread_at(LIMIT, n) * spread * math.sqrt(1.0 + (1.0 / n if n else 0.0))
    signal, since, value = "", None if last is None else last.trial, point.reading.value
    if abs(q) > LIMIT:
        signal = f"{value:.4g} is {abs(q):.1f} standard deviations from {center:.4g}, the limit is {LIMIT:g}"
    elif larger.value > DECISION:
        way = "above" if point.up > point.down else "below"
        signal = f"controls drift {way} {center:.4g}: CUSUM {larger.value:.1f}, the limit is {DECISION:g}"
        since = larger.since
    return replace(point, q=q, center=center, low=center - reach, high=center + reach, signal=signal, since=since)


def _compared(known: Sequence[float], expected: Expected | None) -> tuple[float, float, int] | None:
    """Return mean, standard deviation, and how many readings they come from (0: they are given)."""
    if expected is not None:
        return expected.mean, expected.standard_deviation, 0
    if len(known) < FEWEST:
        return None
    mean = math.fsum(known) / len(known)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    # Readings that are equal to the last digit: what a change is cannot be told, and the check for stuck sensors asks.
    return (mean, spread, len(known)) if spread > 1e-9 * abs(mean) else None


def distance(value: float, mean: float, spread: float, n: int) -> float:
    """Return *value* as a standard normal quantile, by *mean* and *spread* of *n* readings; 0: known exactly."""
    if n == 0:
        return _bounded((value - mean) / spread)
    return by_student((value - mean) / (spread * math.sqrt(1.0 + 1.0 / n)), n - 1)


def by_student(t: float, degrees: int) -> float:
    """Return the standard normal quantile that is as improbable as Student's *t* with so many *degrees* of freedom."""
    # scipy is only needed where something is judged, and has no types
    from scipy.special import ndtri, stdtr  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    return _bounded(math.copysign(float(ndtri(float(stdtr(degrees, -abs(t))))), t))


def spread_at(q: float, n: int) -> float:
    """Return how many standard deviations lie at quantile *q*, where they are estimated from *n* readings."""
    if n == 0:
        return q
    from scipy.special import ndtr, stdtrit  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    return float(stdtrit(n - 1, float(ndtr(q))))


def _bounded(q: float) -> float:
    return max(-FARTHEST, min(FARTHEST, q))
