"""Planners for exploration keep the contract."""

import pytest

from sdl.campaign.planner import Planner
from sdl.planners import ActiveLearningPlanner, BoundlessPlanner, LevelSetPlanner, PhaseMapPlanner
from sdl.testing.planner import PlannerContract


class TestActiveLearningPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return ActiveLearningPlanner(n_initial=4)


class TestLevelSetPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return LevelSetPlanner(lower=2.0, n_initial=4)


class TestPhaseMapPlanner(PlannerContract):
    n_completed = 4  # each is a class of its own here

    @pytest.fixture
    def planner(self) -> Planner:
        return PhaseMapPlanner(n_initial=3)


class TestBoundlessPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return BoundlessPlanner(n_initial=4)
