from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from trials import ask, unfinished

from sdl.campaign.planner import History, Situation
from sdl.errors import PlannerError
from sdl.planners import ManualPlanner
from sdl.problem import Categorical, Continuous, Discrete, Fixed, LinearConstraint, Maximize, Problem, SearchSpace

PROBLEM = Problem(
    SearchSpace(
        pressure=Continuous(1.0, 50.0, unit="mPa"),
        turns=Discrete([1, 2, 4]),
        power=Fixed(50.0, unit="W"),
        base=Categorical(["KOAc", "CsOAc"]),
        humidity=Continuous(0.0, 100.0, context=True),
    ),
    Maximize("gain"),
)
SITUATION = Situation(context={"humidity": 40.0})


class Person:
    """Answers from a list, and remembers what was shown."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.prompts: list[str] = []
        self.shown: list[str] = []

    def answer(self, prompt: str) -> str:
        self.prompts.append(prompt)
        try:
            return next(self._answers)
        except StopIteration:
            raise EOFError from None

    def planner(self) -> ManualPlanner:
        return ManualPlanner(ask=self.answer, say=self.shown.append)


def test_a_person_chooses_with_units_in_view() -> None:
    person = Person("20", "2", "KOAc")
    (suggestion,) = ask(person.planner(), PROBLEM, History(()), situation=SITUATION)
    assert dict(suggestion.values) == {"pressure": 20.0, "turns": 2.0, "power": 50.0, "base": "KOAc", "humidity": 40.0}
    assert person.prompts == ["pressure [mPa], 1 to 50: ", "turns, one of 1, 2, 4: ", "base, one of KOAc, CsOAc: "]
    assert suggestion.decision.planner == "manual"


def test_other_units_are_converted() -> None:
    (suggestion,) = ask(Person("0.02 Pa", "1", "CsOAc").planner(), PROBLEM, History(()), situation=SITUATION)
    assert suggestion.values["pressure"] == 20.0


def test_an_answer_that_cannot_be_used_is_explained_and_asked_for_again() -> None:
    person = Person("much", "20 K", "70", "20", "3", "2", "NaOAc", "KOAc")
    (suggestion,) = ask(person.planner(), PROBLEM, History(()), situation=SITUATION)
    assert suggestion.values["pressure"] == 20.0
    refusals = "\n".join(person.shown)
    for word in ("'much'", "mPa", "above its upper bound", "is none of its 3 values", "is none of its choices"):
        assert word in refusals


def test_a_point_that_breaks_a_constraint_is_asked_for_anew() -> None:
    space = SearchSpace(
        a=Continuous(0.0, 1.0), b=Continuous(0.0, 1.0), constraints=[LinearConstraint({"a": 1.0, "b": 1.0}, upper=1.0)]
    )
    person = Person("0.9", "0.8", "0.9", "0.1")
    (suggestion,) = ask(person.planner(), Problem(space, Maximize("gain")), History(()))
    assert dict(suggestion.values) == {"a": 0.9, "b": 0.1}
    assert any("breaks the linear constraint" in line for line in person.shown)


def test_a_pending_point_is_asked_for_anew() -> None:
    space = SearchSpace(a=Continuous(0.0, 1.0))
    history = History((unfinished(1, {"a": 0.5}),))
    person = Person("0.5", "0.25")
    (suggestion,) = ask(person.planner(), Problem(space, Maximize("gain")), history)
    assert suggestion.values["a"] == 0.25
    assert any("running or waiting" in line for line in person.shown)


def test_an_empty_line_ends_the_request() -> None:
    person = Person("20", "2", "KOAc", "")
    assert len(ask(person.planner(), PROBLEM, History(()), 3, situation=SITUATION)) == 1


def test_a_closed_terminal_is_an_error() -> None:
    with pytest.raises(PlannerError, match="terminal was closed"):
        ask(Person().planner(), PROBLEM, History(()), situation=SITUATION)


def test_nobody_who_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("20\n"))
    with pytest.raises(PlannerError, match="no terminal"):
        ask(ManualPlanner(), PROBLEM, History(()), situation=SITUATION)


def test_nonsense_without_end_is_an_error() -> None:
    with pytest.raises(PlannerError, match="100 answers could not be used"):
        ask(Person(*["?"] * 200).planner(), PROBLEM, History(()), situation=SITUATION)
