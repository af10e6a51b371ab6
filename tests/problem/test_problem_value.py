"""What every value does: positional arguments, refusals of our own, copies that are checked."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from pydantic import model_validator

from sdl.errors import ProblemError, UnitError
from sdl.problem import Continuous, LinearConstraint, Measurement, Mixture, SearchSpace
from sdl.problem.value import FrozenMap, Tuple, Value


def test_positional_arguments_are_those_that_a_value_names() -> None:
    assert Measurement(1.0, "ohm") == Measurement(value=1.0, unit="ohm")
    with pytest.raises(ProblemError, match="Measurement takes 2 positional arguments, got 3"):
        cast("Any", Measurement)(1.0, "ohm", 0.1)
    with pytest.raises(ProblemError, match="Measurement got value twice"):
        cast("Any", Measurement)(1.0, value=2.0)


def test_what_is_wrong_is_said_in_a_line() -> None:
    with pytest.raises(ProblemError) as refused:
        cast("Any", Measurement)(value="high", colour="red")
    assert "value: input should be a valid number, got 'high'" in str(refused.value)
    assert "colour: extra inputs are not permitted, got 'red'" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ProblemError, match="value: field required"):
        cast("Any", Measurement)()
    with pytest.raises(ProblemError, match="Measurement is not valid"):
        Measurement.from_json("{")


def test_a_refusal_of_our_own_comes_through_as_it_is() -> None:
    with pytest.raises(UnitError, match="unknown unit 'foo'") as refused:
        SearchSpace.from_data({"parameters": {"a": {"kind": "continuous", "low": 0, "high": 1, "unit": "foo"}}})
    assert refused.value.hint


def test_copies_are_validated_and_forget_what_was_computed() -> None:
    mixture = Mixture(["a", "b"])
    before = mixture.digest
    assert mixture.replace(total=2.0).digest != before
    assert mixture.model_copy(update={"total": 2.0}) == mixture.replace(total=2.0)
    with pytest.raises(ProblemError):
        mixture.model_copy(update={"total": -1.0})
    assert copy.copy(mixture) is mixture
    assert copy.deepcopy({"m": mixture})["m"] is mixture


def test_equal_values_are_equal_whatever_was_computed_of_them() -> None:
    space = SearchSpace(a=Continuous(0, 1), constraints=LinearConstraint({"a": 1}, upper=1))
    again = SearchSpace(a=Continuous(0, 1), constraints=LinearConstraint({"a": 1}, upper=1))
    assert space.bounds
    assert space.digest
    assert space == again
    assert hash(space) == hash(again)
    assert space != SearchSpace(a=Continuous(0, 1))
    assert Mixture(["a", "b"]) != Measurement(1.0)


def test_a_measurement_reads_as_one_writes_it() -> None:
    assert str(Measurement(12.5, "ohm", standard_error=0.25)) == "12.50 ± 0.25 Ω"
    assert str(Measurement(3.0)) == "3"
    with pytest.raises(ProblemError, match="standard_error"):
        Measurement(1.0, standard_error=-1.0)


def test_json_is_read_alike_whether_or_not_a_validator_looks_at_it_first() -> None:
    class Plain(Value):
        names: Tuple[str]
        numbers: FrozenMap[float] = {}  # noqa: RUF012 # pydantic copies it

    class Looking(Plain):
        @model_validator(mode="before")
        @classmethod
        def _look(cls, data: object) -> object:
            return data

    text = '{"names": ["a", "b"], "numbers": {"x": 1}}'
    for kind in (Plain, Looking):
        value = kind.from_json(text)
        assert value.names == ("a", "b")
        assert value.numbers == {"x": 1.0}
        for numbers in (value.numbers, kind(names=("a",)).numbers, kind.from_json('{"names": []}').numbers):
            with pytest.raises(TypeError):
                cast("Any", numbers)["y"] = 2.0
        for wrong in (
            '{"names": "ab"}',
            '{"names": [1]}',
            '{"names": {"a": 1}}',
            '{"names": [], "numbers": {"x": "1"}}',
        ):
            with pytest.raises(ProblemError):
                kind.from_json(wrong)
