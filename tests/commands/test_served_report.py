"""The report of a laboratory far away: what it says of its planner is data, and nothing is imported because of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import JsonValue

from sdl.campaign.planning import describe_planner, functions_named
from sdl.campaign.view import CampaignView
from sdl.commands import served_report
from sdl.planners import BayesianPlanner

LOOK: Any = served_report.predictor_here


def told(described: dict[str, JsonValue]) -> CampaignView:
    view = CampaignView("far")
    view.planner = described
    return view


def test_a_planner_of_sdl_draws_the_slices() -> None:
    assert LOOK(told(describe_planner(BayesianPlanner()))) is not None


@pytest.mark.parametrize(
    "described",
    [
        describe_planner(BayesianPlanner(prior_mean={"y": "os:system"})),
        {"module": "sdl.planners.gest", "class": "GestPlanner", "options": {"generator": "os:system"}},
        {"module": "os", "class": "BayesianPlanner", "options": {}},
    ],
    ids=["a prior mean", "a generator of others", "another module"],
)
def test_nothing_is_imported_because_a_laboratory_says_so(
    described: dict[str, JsonValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_report, "predictor_of", lambda view: pytest.fail("it was asked"))
    assert LOOK(told(described)) is None


def test_every_function_that_options_name_is_found_wherever_it_stands() -> None:
    own = {"prior_mean": {"y": "mine:f"}, "n_initial": 3}
    options: JsonValue = {"planner": own, "more": [{"options": {"prior_mean": ["mine:g"]}}], "seed": 1}  # type: ignore[dict-item]
    assert functions_named(options) == ["mine:f", "mine:g"]
    assert functions_named(describe_planner(BayesianPlanner())["options"]) == []
