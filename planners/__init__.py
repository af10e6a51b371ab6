"""Planners: what to try next.

Importing this package is cheap. The Bayesian planner imports PyTorch when it first has data to learn from.
"""

from __future__ import annotations

from sdl.planners.advised import AdvisedPlanner
from sdl.planners.adviser import Adviser
from sdl.planners.assumed import Additive, Monotonic
from sdl.planners.bayesian import BayesianPlanner
from sdl.planners.chemistry import smiles_descriptors
from sdl.planners.exploring import ActiveLearningPlanner, BoundlessPlanner, LevelSetPlanner, PhaseMapPlanner
from sdl.planners.manual import ManualPlanner
from sdl.planners.preferences import PreferencePlanner
from sdl.planners.space_filling import GridPlanner, LatinHypercubePlanner, RandomPlanner, SobolPlanner
from sdl.planners.spreads import SpreadPlanner

__all__ = [
    "ActiveLearningPlanner",
    "Additive",
    "AdvisedPlanner",
    "Adviser",
    "BayesianPlanner",
    "BoundlessPlanner",
    "GridPlanner",
    "LatinHypercubePlanner",
    "LevelSetPlanner",
    "ManualPlanner",
    "Monotonic",
    "PhaseMapPlanner",
    "PreferencePlanner",
    "RandomPlanner",
    "SobolPlanner",
    "SpreadPlanner",
    "smiles_descriptors",
]
