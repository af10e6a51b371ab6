"""Which outcomes are read on a logarithmic scale, and what a prediction says there.

A prediction is a mean and a standard deviation in the outcome's unit. For a positive outcome that spans orders of
magnitude, mean ± deviation reaches below zero and says nothing; there a prediction is read as the log-normal
distribution that has this mean and this deviation. Where the deviation is small both readings agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from sdl.campaign.view import CampaignView
from sdl.export.words import in_unit, number, with_error
from sdl.journal.records import Prediction
from sdl.problem import Measurement

DECADES = 1.5
"""Positive numbers that span more orders of magnitude than this are read on a logarithmic scale."""

LOG_NORMAL = " On the logarithmic axis a prediction is drawn as a log-normal distribution, around its median."
"""What a caption says where predictions are drawn on a logarithmic axis."""

FACTOR_FROM = 0.3
"""A relative deviation above which a prediction is told as a factor, on a logarithmic scale."""


class LogNormal(NamedTuple):
    """Mean and standard deviation of the natural logarithm."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, predicted: Prediction) -> LogNormal:
        """Return the log-normal distribution with the moments of *predicted*, whose mean is positive."""
        variance = math.log1p((predicted.standard_deviation / predicted.mean) ** 2)
        return cls(math.log(predicted.mean) - variance / 2, math.sqrt(variance))


def is_wide_span(values: Iterable[float]) -> bool:
    """Tell whether *values* are positive and span so much that a logarithmic scale serves them better."""
    found = [value for value in values if math.isfinite(value)]
    return bool(found) and min(found) > 0 and math.log10(max(found)) - math.log10(min(found)) > DECADES


def is_logarithmic(view: CampaignView, outcome: str, predicted: Iterable[Prediction] = ()) -> bool:
    """Tell whether what was measured of *outcome*, and is *predicted*, is read on a logarithmic scale."""
    measured = [
        entry.observation.outcomes[outcome].value
        for entry in view.history.completed
        if entry.observation is not None and outcome in entry.observation.outcomes
    ]
    return is_wide_span([*measured, *(prediction.mean for prediction in predicted)])


def centre(predicted: Prediction, *, is_log: bool) -> float:
    """Return the middle of *predicted*: its mean, or the median on a logarithmic scale."""
    return math.exp(LogNormal.of(predicted).mean) if is_log else predicted.mean


def interval(predicted: Prediction, n_deviations: float, *, is_log: bool) -> tuple[float, float]:
    """Return the range so many standard deviations around the middle."""
    if is_log:
        mean, deviation = LogNormal.of(predicted)
        return math.exp(mean - n_deviations * deviation), math.exp(mean + n_deviations * deviation)
    width = n_deviations * predicted.standard_deviation
    return predicted.mean - width, predicted.mean + width


def miss(predicted: Prediction, measured: Measurement, *, is_log: bool) -> float:
    """Return measurement minus prediction in standard deviations of both together; infinite where these are 0."""
    error = measured.standard_error or 0.0
    if is_log:
        mean, deviation = LogNormal.of(predicted)
        gap, spread = math.log(measured.value) - mean, math.hypot(deviation, error / measured.value)
    else:
        gap, spread = measured.value - predicted.mean, math.hypot(predicted.standard_deviation, error)
    return gap / spread if spread > 0 else math.copysign(math.inf, gap) if gap else 0.0


def told(predicted: Prediction, unit: str | None, *, is_log: bool) -> str:
    """Write a prediction: ``12.0 ± 1.5 Ω``, or ``120 Ω, give or take a factor of 2.1`` where that says more."""
    if is_log and predicted.standard_deviation > FACTOR_FROM * predicted.mean:
        found = LogNormal.of(predicted)
        factor = number(math.exp(found.deviation), 2)
        return f"{in_unit(number(math.exp(found.mean), 2), unit)}, give or take a factor of {factor}"
    return in_unit(with_error(predicted.mean, predicted.standard_deviation), unit)
