"""The problem: objectives, outcome constraints, and the unit edge for results."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pint
import pytest

from sdl.errors import ObservationError, ProblemError
from sdl.problem import (
    Continuous,
    Maximize,
    Measurement,
    Minimize,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
    units,
)

SPACE = SearchSpace(oxygen=Continuous(0.01, 1.0, unit="Pa", log=True), temperature=Continuous(20, 400, unit="degC"))
PROBLEM = Problem(
    SPACE,
    [Minimize("resistance", unit="ohm", reference="2 kohm"), Target("thickness", value=50, unit="nm", reference=90)],
    OutcomeConstraint("roughness", upper=2),
)
RAW = {"resistance": "1.5 kohm", "thickness": Measurement(0.06, "um", standard_error=0.001), "roughness": 1}


def test_scores_are_higher_for_better_values() -> None:
    assert Minimize("y").score(3.0) == -3.0
    assert Maximize("y").score(3.0) == 3.0
    assert Target("y", value=2).score(3.5) == -1.5
    in_range = Target("y", low="1 mV", high=2, unit="mV")
    assert [in_range.score(value) for value in (0.5, 1.0, 1.5, 2.0, 4.0)] == [-0.5, 0.0, 0.0, 0.0, -2.0]
    assert math.isnan(Target("y", value=2).score(math.nan))


def test_an_outcome_constraint_says_how_far_it_is_broken() -> None:
    limit = OutcomeConstraint("y", lower="1 V", upper="3000 mV", unit="V")
    assert [limit.violation(value) for value in (0.5, 1.0, 2.0, 3.0, 4.0)] == [0.5, 0.0, 0.0, 0.0, 1.0]
    assert [limit.is_met(value) for value in (0.5, 1.0, math.nan)] == [False, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target("y"), "Target 'y' needs either value= or both low= and high="),
        (lambda: Target("y", low=1), "Target 'y' needs either value= or both low= and high="),
        (lambda: Target("y", value=1, low=1, high=2), "Target 'y' needs either value= or both low= and high="),
        (lambda: Target("y", low=2, high=1), "Target 'y': low = 2.0 must lie below high = 1.0"),
        (lambda: Minimize(""), "outcome: string should have at least 1 character"),
        (lambda: Minimize("y", unit="foo"), "unknown unit 'foo'"),
        (lambda: Minimize("y", unit="V", reference="1 A"), "reference = 1.0 A: A does not convert to V"),
        (lambda: OutcomeConstraint("y"), "the constraint on 'y' has no limit (give lower=, upper= or both)"),
        (lambda: OutcomeConstraint("y", lower=2, upper=1), "cannot be met: lower = 2.0 exceeds upper = 1.0"),
        (lambda: Problem(SPACE, []), "a Problem needs at least one objective"),
        (lambda: Problem(SPACE, [Minimize("y"), Maximize("y")]), "two objectives speak of one outcome: y, y"),
        (
            lambda: Problem(SPACE, Minimize("y", unit="V"), OutcomeConstraint("y", upper=1, unit="mV")),
            "outcome 'y' is declared in V and in mV (declare one unit everywhere)",
        ),
        (
            lambda: Problem(SPACE, Minimize("y", unit="V"), OutcomeConstraint("y", upper=1)),
            "outcome 'y' is declared in V and in no unit",
        ),
        (lambda: Problem(SPACE, Minimize("oxygen")), "oxygen names a parameter and an outcome (rename one of them)"),
        (lambda: Problem(SPACE, cast("Any", "resistance")), "objectives: input should be a valid tuple"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ProblemError) as refused:
        make()
    assert message in str(refused.value)


def test_a_problem_lists_what_it_needs() -> None:
    assert dict(PROBLEM.outcomes) == {"resistance": "ohm", "thickness": "nm", "roughness": None}
    assert PROBLEM.reference_point == (-2000.0, -40.0)
    assert Problem(SPACE, [Minimize("a", reference=1), Maximize("b")]).reference_point is None
    assert Problem(SPACE, Minimize("a")).objectives == (Minimize("a"),)


def test_results_are_converted_to_the_declared_units() -> None:
    found = PROBLEM.observe(RAW)
    assert found == {
        "resistance": Measurement(1500.0, "ohm"),
        "thickness": Measurement(60.0, "nm", standard_error=1.0),
        "roughness": Measurement(1.0),
    }
    assert PROBLEM.score(found) == (-1500.0, -10.0)
    assert PROBLEM.score({"resistance": Measurement(1.5, "kohm"), "thickness": 60.0}) == (-1500.0, -10.0)
    assert PROBLEM.is_feasible(found)
    assert not PROBLEM.is_feasible({"roughness": 2.5})


def test_a_standard_error_of_a_temperature_has_no_offset() -> None:
    problem = Problem(SPACE, Maximize("onset", unit="K"))
    found = problem.observe({"onset": Measurement(20.0, "degC", standard_error=0.5, n_replicates=3)})
    assert found == {"onset": Measurement(293.15, "K", standard_error=0.5, n_replicates=3)}


def test_every_kind_of_number_and_quantity_is_a_result() -> None:
    foreign = cast("Any", pint.UnitRegistry())
    raw = {**RAW, "resistance": foreign.Quantity(np.float32(2.0), "ohm"), "roughness": np.int64(1)}
    assert PROBLEM.observe(raw)["resistance"] == Measurement(2.0, "ohm")
    assert PROBLEM.observe({**raw, "resistance": units.quantity(1.0, "kohm")})["resistance"].value == 1000.0


def test_other_outcomes_are_kept_as_they_are() -> None:
    found = PROBLEM.observe({**RAW, "pressure": "3 mbar", "shots": 5, "dose": Measurement(1.0, "mJ")})
    assert found["pressure"] == Measurement(3.0, "millibar") or found["pressure"] == Measurement(3.0, "mbar")
    assert found["shots"] == Measurement(5.0)
    assert found["dose"] == Measurement(1.0, "mJ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resistance": 12.0}, "outcome resistance = 12.0 has no unit, and resistance is declared in ohm (return a"),
        ({"resistance": Measurement(12.0)}, "outcome resistance = 12.0 has no unit"),
        ({"resistance": "12 V"}, "outcome resistance = 12.0 V: V does not convert to ohm"),
        ({"resistance": "12 oms"}, "unknown unit 'oms'"),
        ({"resistance": math.nan}, "outcome resistance = nan is not finite"),
        ({"resistance": math.inf}, "outcome resistance = inf is not finite"),
        (
            {"resistance": Measurement.model_construct(value=math.nan, unit="ohm")},
            "value: input should be a finite num",
        ),
        ({"resistance": Measurement.model_construct(value="1", unit="ohm")}, "value: input should be a valid number"),
        ({"resistance": True}, "outcome resistance = True is neither a number nor a quantity"),
        ({"resistance": None}, "outcome resistance = None is neither a number nor a quantity"),
        ({"resistance": [1.0]}, "outcome resistance = [1.0] is neither a number nor a quantity"),
        ({"resistance": {"value": 1.0}}, "is neither a number nor a quantity"),
        ({"roughness": "1 um"}, "outcome roughness = 1.0 um: a unit where none is declared"),
        ({"roughness": np.array([1.0, 2.0])}, "is neither a number nor a quantity"),
        ({"extra": "1 foo"}, "outcome extra: unknown unit 'foo'"),
        ({"extra": "note"}, "outcome extra = 'note' is neither a number nor a quantity"),
        ({3: 1.0}, "an outcome called 3 (outcome names are texts)"),
    ],
)
def test_what_is_no_result_is_refused(change: dict[Any, object], message: str) -> None:
    with pytest.raises(ObservationError) as refused:
        PROBLEM.observe({**RAW, **change})
    assert message in str(refused.value)


def test_a_missing_outcome_is_named() -> None:
    with pytest.raises(ObservationError, match="returned no thickness, roughness, only resistance"):
        PROBLEM.observe({"resistance": "1 ohm"})
    assert PROBLEM.observe({"resistance": "1 ohm"}, partial=True) == {"resistance": Measurement(1.0, "ohm")}
    with pytest.raises(ObservationError, match="the experiment returned None"):
        PROBLEM.observe(cast("Any", None))


def test_the_digest_is_the_same_in_every_process_and_version() -> None:
    problem = Problem(SearchSpace(x=Continuous(0, 1, unit="Pa")), Minimize("y"))
    digest = "18535b30e5ceecab91e0fd932889b73c8a1c8f2661cb48fd043cbcaeeb3ee90c"
    assert problem.digest == digest
    code = (
        "from sdl.problem import *\n"
        "print(Problem(SearchSpace(x=Continuous('0 Pa', '1000 mPa', unit='Pa')), [Minimize('y')]).digest)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest
    assert problem.replace(objectives=(Maximize("y"),)).digest != digest
