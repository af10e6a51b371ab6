"""The planner that asks a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sdl.campaign.planner import History, Situation, Suggestion
from sdl.errors import PlannerError, ProblemError
from sdl.journal.records import ParameterValue
from sdl.planners.domain import Domain
from sdl.planners.encoding import Point
from sdl.planners.space_filling import blank_decision
from sdl.problem import Categorical, Continuous, Discrete, Fixed, Parameter, Problem, units
from sdl.problem.value import listing

Ask = Callable[[str], str]
"""Shows a prompt and returns the line that a person wrote."""

Say = Callable[[str], None]
"""Shows a line."""

MAX_REFUSALS = 100
"""Unusable answers to one request before the planner gives up: nobody is reading what it says."""

NO_TERMINAL = "run the campaign in a terminal, or choose another planner"


@dataclass(frozen=True)
class ManualPlanner:
    """Asks a person on the terminal, parameter by parameter, and asks again until the answer is legal.

    Numbers are in the unit that the prompt shows, or carry their own (``20 mPa``). An empty answer to the first
    parameter of a point ends the request. The planner is no value, so a campaign runs it in its own process, where the
    terminal is.

    Parameters
    ----------
    ask
        Where a line comes from; None: the terminal.
    say
        Where a line goes to; None: standard output.
    """

    ask: Ask | None = None
    say: Say | None = None
    version: ClassVar[str] = "1"

    @property
    def name(self) -> str:
        """The name that decision records carry."""
        return "manual"

    def suggest(
        self, problem: Problem, history: History, n: int, *, situation: Situation, seed: int
    ) -> list[Suggestion]:
        """Return the points that the person chose, fewer than *n* where he had enough.

        Raises
        ------
        PlannerError
            There is no terminal to ask on, or it was closed.
        """
        dialogue = _Dialogue(self.ask or _terminal(), self.say or _print, Domain(problem.space, situation.context))
        decision = blank_decision(self.name, self.version, history, seed, "Chosen by a person.")
        taken = [dict(entry.values) for entry in history.pending]
        suggestions: list[Suggestion] = []
        while len(suggestions) < n:
            dialogue.say(f"Trial {len(history.entries) + len(suggestions) + 1}. An empty line ends.")
            point = dialogue.point(taken)
            if point is None:
                break
            suggestions.append(Suggestion(values=point, decision=decision))
            taken.append(point)
        return suggestions


class _Dialogue:
    """A conversation about the points of a domain."""

    def __init__(self, ask: Ask, say: Say, domain: Domain) -> None:
        self.say = say
        self._ask = ask
        self._domain = domain
        self._n_refused = 0

    def point(self, taken: Sequence[Mapping[str, ParameterValue]]) -> Point | None:
        """Return a legal point that is not among *taken*; None when the person ends."""
        while True:
            point = self._one_point()
            if point is None:
                return None
            try:
                self._domain.space.check(point)
            except ProblemError as error:
                self._refuse(error)
                continue
            if point not in taken:
                return point
            self._refuse(ProblemError("this point is running or waiting already", hint="choose another one"))

    def _one_point(self) -> Point | None:
        domain = self._domain
        chosen: Point = {}
        for name in domain.space.free:
            value = self._value(name, domain.space.parameters[name], may_end=not chosen)
            if value is None:
                return None
            chosen[name] = value
        known = {**domain.encoding.fixed, **domain.context, **chosen}
        return {name: known[name] for name in domain.space.names}

    def _value(self, name: str, parameter: Parameter, *, may_end: bool) -> ParameterValue | None:
        while True:
            text = self._answer(f"{name}{_limits(parameter)}: ")
            if not text and may_end:
                return None
            try:
                value = (
                    text
                    if isinstance(parameter, Categorical)
                    else units.to_unit_or_bare(text, parameter.unit, name=name)
                )
                parameter.check(name, value)
            except ProblemError as error:
                self._refuse(error)
                continue
            return value

    def _answer(self, prompt: str) -> str:
        try:
            return self._ask(prompt).strip()
        except EOFError:
            raise PlannerError("the terminal was closed while the manual planner asked", hint=NO_TERMINAL) from None

    def _refuse(self, error: ProblemError) -> None:
        self.say(str(error))
        self._n_refused += 1
        if self._n_refused >= MAX_REFUSALS:
            raise PlannerError(f"{MAX_REFUSALS} answers could not be used, the last because {error}")


def _limits(parameter: Parameter) -> str:
    """Return unit and range for a prompt: `` [degC], 20 to 80``."""
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    match parameter:
        case Continuous(low=low, high=high):
            return f"{unit}, {low:g} to {high:g}"
        case Discrete(values=values):
            return f"{unit}, one of {listing(f'{value:g}' for value in values)}"
        case Categorical(choices=choices):
            return f", one of {listing(choices)}"
        case Fixed():
            return unit


def _terminal() -> Ask:
    if not sys.stdin.isatty():
        raise PlannerError("the manual planner has no terminal to ask on", hint=NO_TERMINAL)
    return input


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
