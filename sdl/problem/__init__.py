"""What is asked: parameters, the space they span, objectives, and units."""

from sdl.problem import units
from sdl.problem.amount import Amount
from sdl.problem.constraints import AtMost, Constraint, LinearConstraint, Mixture
from sdl.problem.measurement import Measurement
from sdl.problem.objectives import Maximize, Minimize, Objective, OutcomeConstraint, Target
from sdl.problem.parameters import Categorical, Continuous, Discrete, Fixed, Parameter, ParameterValue
from sdl.problem.pool import CandidatePool
from sdl.problem.price import Price
from sdl.problem.problem import Problem
from sdl.problem.space import Point, SearchSpace

__all__ = [
    "Amount",
    "AtMost",
    "CandidatePool",
    "Categorical",
    "Constraint",
    "Continuous",
    "Discrete",
    "Fixed",
    "LinearConstraint",
    "Maximize",
    "Measurement",
    "Minimize",
    "Mixture",
    "Objective",
    "OutcomeConstraint",
    "Parameter",
    "ParameterValue",
    "Point",
    "Price",
    "Problem",
    "SearchSpace",
    "Target",
    "units",
]
