"""Predictions on a logarithmic scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import film_campaign

from sdl.export.scales import LogNormal, centre, interval, is_logarithmic, is_wide_span, miss, told
from sdl.journal.records import Prediction
from sdl.problem import Measurement

positive = st.floats(1e-6, 1e6)


@given(mean=positive, share=st.floats(0.01, 2.0))
def test_the_log_normal_reading_has_the_same_mean_and_deviation(mean: float, share: float) -> None:
    found = LogNormal.of(Prediction(mean, share * mean))
    nodes = np.linspace(-10, 10, 4001)
    weights = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    values = np.exp(found.mean + found.deviation * nodes)
    assert values @ weights == pytest.approx(mean, rel=1e-3)
    assert math.sqrt(max(0.0, (values - mean) ** 2 @ weights)) == pytest.approx(share * mean, rel=1e-2)


@given(mean=positive, share=st.floats(1e-6, 1e-3), n=st.floats(0.5, 3))
def test_both_readings_agree_where_the_deviation_is_small(mean: float, share: float, n: float) -> None:
    predicted = Prediction(mean, share * mean)
    assert centre(predicted, is_log=True) == pytest.approx(mean, rel=1e-5)
    assert interval(predicted, n, is_log=True) == pytest.approx(interval(predicted, n, is_log=False), rel=1e-4)


def test_a_range_stays_positive_on_a_logarithmic_scale() -> None:
    low, high = interval(Prediction(492.0, 911.0), 2, is_log=True)
    assert 0 < low < 233 < high


@pytest.mark.parametrize("is_log", [True, False])
def test_misses_count_the_errors_of_both(is_log: bool) -> None:
    predicted = Prediction(100.0, 0.3)
    assert miss(predicted, Measurement(101.0, None, standard_error=0.4), is_log=is_log) == pytest.approx(2.0, rel=0.02)
    assert miss(predicted, Measurement(99.7, None), is_log=is_log) == pytest.approx(-1.0, rel=0.02)
    assert miss(Prediction(5.0, 0.0), Measurement(5.0, None), is_log=is_log) == 0
    assert miss(Prediction(5.0, 0.0), Measurement(4.0, None), is_log=is_log) == -math.inf


def test_a_wide_prediction_is_told_as_a_factor() -> None:
    assert told(Prediction(12.0, 1.5), "ohm", is_log=True) == "12.0 ± 1.5 Ω"
    assert told(Prediction(492.0, 911.0), "ohm", is_log=True) == "234 Ω, give or take a factor of 3.4"
    assert told(Prediction(492.0, 911.0), "ohm", is_log=False) == "492 ± 911 Ω"


def test_which_outcomes_are_logarithmic() -> None:
    assert is_wide_span([1.0, 100.0])
    assert not is_wide_span([1.0, 10.0])
    assert not is_wide_span([-1.0, 100.0])
    assert not is_wide_span([])
    assert is_wide_span([5e-324, 1.7e308]), "the quotient of the two is no float"
    view = film_campaign(12).view
    assert is_logarithmic(view, "resistance")
    assert not is_logarithmic(view, "thickness")
