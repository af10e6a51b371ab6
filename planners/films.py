"""How much a composition spread is expected to improve on the best trial."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdl.campaign.planner import History
from sdl.planners.assumed import Assumptions
from sdl.planners.criteria import Belief
from sdl.planners.domain import Domain
from sdl.planners.encoding import Array
from sdl.planners.goals import scores
from sdl.planners.numerics import normal_draws
from sdl.planners.price import at_target
from sdl.planners.proposal import Request, model_of
from sdl.planners.surrogate import single_threaded
from sdl.problem import Problem

N_DRAWS = 64
"""Joint draws of the outcomes along a film."""

JITTER = 1e-8


def improvement_of_films(
    problem: Problem, history: History, domain: Domain, assumptions: Assumptions, seed: int
) -> Callable[[Array], Array]:
    """Return the expected improvement by the best place of films, as a function of their rows.

    The function takes rows of shape (films, places, columns) and returns shape (films,). Constraints on outcomes count
    by the chance that the places keep them.
    """
    assumed = assumptions.of(problem)
    with single_threaded():
        surrogate = model_of(problem, history, assumed)
    objective = problem.objectives[0]
    request = Request.of(problem, history, domain, seed, assumed)
    known = at_target(request.known, domain.encoding)
    belief = Belief.of(surrogate.fits[objective.outcome], known.pending)
    sign = float(scores(objective, np.ones(1))[0])
    rows = known.observed[known.feasible] if known.feasible.any() else known.observed
    best = float((sign * belief.field.at(rows).mean[:, 0]).max())

    def value(films: Array) -> Array:
        n, places, _ = films.shape
        normals = normal_draws(places, N_DRAWS, seed)
        found = np.zeros(n)
        for number, film in enumerate(films):
            glance = belief.field.at(film)
            covariance = belief.field.covariance(glance, glance) + JITTER * np.eye(places)
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            drawn = sign * glance.mean[:, :1] + root @ normals
            chances = surrogate.chance_to_keep(problem.outcome_constraints, film)[:, None]
            found[number] = (np.maximum(drawn - best, 0.0) * chances).max(axis=0).mean()
        return found

    return value
