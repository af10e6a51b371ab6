"""Running a planner against a function, without a campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sdl.campaign.planner import History, HistoryEntry, Planner, Situation, Suggestion, TrialState
from sdl.journal.records import Observation, ParameterValue
from sdl.problem import Continuous, Maximize, Measurement, Minimize, Problem, SearchSpace

Values = Mapping[str, ParameterValue]

NOWHERE = Situation(context={})


def completed(trial: int, values: Values, **outcomes: float | Measurement) -> HistoryEntry:
    """Return a trial with these outcomes."""
    measured = {k: v if isinstance(v, Measurement) else Measurement(value=float(v)) for k, v in outcomes.items()}
    return HistoryEntry(
        trial=trial, values=values, state=TrialState.COMPLETED, observation=Observation(outcomes=measured)
    )


def unfinished(trial: int, values: Values, state: TrialState = TrialState.RUNNING) -> HistoryEntry:
    """Return a trial without outcomes."""
    return HistoryEntry(trial=trial, values=values, state=state)


def history_of(points: Sequence[Values], function: Callable[[Values], Mapping[str, float | Measurement]]) -> History:
    """Return the history of measuring *function* at *points*."""
    return History([completed(i + 1, point, **function(point)) for i, point in enumerate(points)])


def ask(
    planner: Planner, problem: Problem, history: History, n: int = 1, seed: int = 0, situation: Situation = NOWHERE
) -> list[Suggestion]:
    """Ask a planner."""
    return list(planner.suggest(problem, history, n, situation=situation, seed=seed))


def explore(
    planner: Planner,
    problem: Problem,
    function: Callable[[Values], Mapping[str, float | Measurement]],
    n_trials: int,
    *,
    seed: int = 0,
    start: Sequence[HistoryEntry] = (),
) -> History:
    """Run *n_trials* trials one after the other."""
    history = History(tuple(start))
    for number in range(n_trials):
        (suggestion,) = ask(planner, problem, history, seed=1000 * seed + number)
        entry = completed(len(history.entries) + 1, suggestion.values, **function(suggestion.values))
        history = History((*history.entries, entry))
    return history


def measured(history: History, outcome: str) -> list[float]:
    """Return the values of *outcome* in order."""
    return [entry.observation.outcomes[outcome].value for entry in history.entries if entry.observation]


BRANIN = Problem(SearchSpace(x=Continuous(-5.0, 10.0), y=Continuous(0.0, 15.0)), Minimize("loss"))
BRANIN_MINIMUM = 0.397887


def branin(values: Values) -> dict[str, float]:
    """The function of Branin, with three equal minima."""
    x, y = float(values["x"]), float(values["y"])
    hill = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return {"loss": float(hill + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)}


LINE = Problem(SearchSpace(x=Continuous(0.0, 1.0)), Maximize("gain"))


def bumps(values: Values) -> dict[str, float]:
    """Two bumps on a line, the higher one at 0.8."""
    x = float(values["x"])
    return {"gain": float(np.exp(-((x - 0.2) ** 2) / 0.01) + 1.5 * np.exp(-((x - 0.8) ** 2) / 0.02))}
