"""The first points of a campaign: those that a person names, those that his model favours, and those between all."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from sdl.campaign.planner import History
from sdl.errors import PlannerError, ProblemError
from sdl.journal.records import ParameterValue
from sdl.planners.assumed import Model, asked
from sdl.planners.domain import Candidates, Domain, is_near
from sdl.planners.encoding import Array, Point
from sdl.planners.space_filling import legal_points, tried_rows
from sdl.problem import Continuous, Discrete, Fixed, Objective, SearchSpace, units

N_CANDIDATES = 1024
"""A user's model is asked about so many points before there are data."""

APART = 0.1
"""What it favours lies so far from all that was tried, in at least one coordinate, where there is such a point."""


def named_points(
    domain: Domain, history: History, written: Sequence[Mapping[str, ParameterValue]], n: int
) -> list[Point]:
    """Return up to *n* of the points that a person *written* down and that were not tried, in his order.

    Raises
    ------
    PlannerError
        One of them is no point of the space.
    """
    tried = domain.in_context(tried_rows(domain, history))
    found: list[Point] = []
    for values in written:
        point = _canonical(domain, values)
        row = domain.encoding.encode([point])[0]
        if len(found) < n and not is_near(row, tried):
            found.append(point)
            tried = np.vstack([tried, row])
    return found


def check_named(space: SearchSpace, written: Sequence[Mapping[str, ParameterValue]]) -> None:
    """Raise :class:`~sdl.errors.PlannerError` where a point that a person wrote down can be none of *space*.

    Where the laboratory gives the values of some parameters, which are not known yet, each other value is looked at by
    itself.
    """
    fixed = {name: each.value for name, each in space.parameters.items() if isinstance(each, Fixed)}
    for values in written:
        with _none_of_the_space(values):
            point = _converted(space, {**fixed, **values})
            if not space.contextual:
                space.check(point)
            for name in point if space.contextual else ():
                space.parameters[name].check(name, point[name])


def _canonical(domain: Domain, written: Mapping[str, ParameterValue]) -> Point:
    with _none_of_the_space(written):
        point = _converted(domain.space, {**domain.encoding.fixed, **written, **domain.context})
        domain.space.check(point)
        return {name: point[name] for name in domain.space.names}


def _converted(space: SearchSpace, values: Mapping[str, ParameterValue]) -> Point:
    point: Point = {}
    for name, value in values.items():
        parameter = space.parameters.get(name)
        is_number = isinstance(parameter, (Continuous, Discrete))
        unit = parameter.unit if parameter is not None else None
        point[name] = units.to_unit_or_bare(value, unit, name=name) if is_number else value
    return point


@contextmanager
def _none_of_the_space(written: Mapping[str, ParameterValue]) -> Generator[None]:
    try:
        yield
    except (ProblemError, KeyError) as error:
        raise PlannerError(f"the expert point {dict(written)} is none of the space: {error}") from error


def favoured_points(
    domain: Domain, history: History, model: Model, objective: Objective, *, n: int, rng: np.random.Generator
) -> list[Point]:
    """Return up to *n* new points that a user's *model* expects the best score of, apart from one another."""
    tried = tried_rows(domain, history)
    if domain.is_listable:
        candidates = domain.unseen(tried, N_CANDIDATES, rng)
    else:
        candidates = Candidates(domain.draw(N_CANDIDATES, rng))
    points = [domain.point(candidates, number) for number in range(len(candidates))]
    legal = np.array([number for number, point in enumerate(points) if point is not None], dtype=np.intp)
    candidates = candidates.only(legal)
    values = asked(model, [point for point in points if point is not None])
    scores = np.array([objective.score(float(value)) if np.isfinite(value) else -np.inf for value in values])
    return legal_points(domain, candidates.only(_best_apart(candidates.rows, scores, tried, n)), n)


def _best_apart(rows: Array, scores: Array, tried: Array, n: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    chosen: list[int] = []
    for number in np.argsort(-scores, kind="stable"):
        near = np.vstack([tried, rows[chosen]])
        is_apart = not len(near) or np.abs(near - rows[number]).max(axis=1, initial=0.0).min() > APART
        if is_apart and np.isfinite(scores[number]):
            chosen.append(int(number))
        if len(chosen) == n:
            break
    return np.array(chosen, dtype=np.intp)
