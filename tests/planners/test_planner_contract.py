"""Every planner keeps the contract."""

import pytest

from sdl.campaign.planner import Planner
from sdl.planners import BayesianPlanner, GridPlanner, LatinHypercubePlanner, RandomPlanner, SobolPlanner
from sdl.testing.planner import PlannerContract


class TestRandomPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return RandomPlanner()


class TestSobolPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return SobolPlanner()


class TestLatinHypercubePlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return LatinHypercubePlanner(n=10)


class TestGridPlanner(PlannerContract):
    uses_chance = False

    @pytest.fixture
    def planner(self) -> Planner:
        return GridPlanner()


class TestBayesianPlanner(PlannerContract):
    @pytest.fixture
    def planner(self) -> Planner:
        return BayesianPlanner(n_initial=4)
