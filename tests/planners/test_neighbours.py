"""Other people's planners on our campaigns, and ours in other people's loops."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from bluesky.run_engine import RunEngine
from generators import Nearby

import sdl
from sdl.campaign import History, HistoryEntry, Situation, TrialState
from sdl.errors import PlannerError, ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.records import Observation
from sdl.planners import SobolPlanner
from sdl.planners.gest import GestPlanner, XoptPlanner
from sdl.planners.optimizer import PlannerOptimizer
from sdl.planners.vocs import problem_of, vocs_of
from sdl.problem import Measurement, Problem
from sdl.simulators import ThinFilmLab

gest = pytest.importorskip("gest_api.vocs", reason="needs gest-api: pip install gest-api")

FILMS = Problem(ThinFilmLab.space(), ThinFilmLab.objective)
LINE = Problem(
    sdl.SearchSpace(
        x=sdl.Continuous(0.0, 1.0, unit="mm"), rate=sdl.Continuous(0.01, 1.0, log=True), gas=sdl.Fixed("Ar")
    ),
    sdl.Target("width", value=3.0, unit="um"),
    [sdl.OutcomeConstraint("roughness", upper=2.0, unit="nm")],
)
NEARBY = "generators:Nearby"


def completed(number: int, x: float, width: float) -> HistoryEntry:
    outcomes = {"width": Measurement(width, "um"), "roughness": Measurement(1.0, "nm")}
    return HistoryEntry(
        trial=number,
        values={"x": x, "rate": 0.1, "gas": "Ar"},
        state=TrialState.COMPLETED,
        observation=Observation(outcomes=outcomes),
    )


HISTORY = History([completed(1, 0.2, 1.0), completed(2, 0.6, 2.5)])


def suggest(planner: GestPlanner, problem: Problem, history: History, n: int = 1, seed: int = 5) -> list[Any]:
    return planner.suggest(problem, history, n, situation=Situation(), seed=seed)


# --- theirs with us ---------------------------------------------------------------------------------------------------


def test_a_generator_is_told_in_its_own_words() -> None:
    (found,) = suggest(GestPlanner(NEARBY, {"step": 0.2}, n_initial=2), LINE, HISTORY)
    told = {"x": 0.6, "rate": -1.0, "gas": "Ar", "width": 2.5, "off width": 0.5, "roughness": 1.0}
    assert Nearby.told[1] == pytest.approx(told)
    assert found.values == pytest.approx({"x": 0.8, "rate": 0.1, "gas": "Ar"})
    assert found.decision.note == "Proposed by Nearby of generators."
    assert (found.decision.planner, found.decision.n_observed) == ("Nearby", 2)


def test_the_first_trials_fill_the_space() -> None:
    found = suggest(GestPlanner(NEARBY, n_initial=3), LINE, HISTORY, n=2)
    assert all("Sobol" in each.decision.note for each in found)


def test_a_proposal_outside_the_space_gives_way_to_the_nearest_point_in_it() -> None:
    space = sdl.SearchSpace(
        x=sdl.Discrete([0.0, 0.2, 0.6, 0.7, 1.0]),
        rate=sdl.Fixed(0.1),
        gas=sdl.Fixed("Ar"),
        pool=sdl.CandidatePool({"x": (0.0, 0.2, 0.6, 0.7)}),
    )
    problem = LINE.replace(space=space)
    (found,) = suggest(GestPlanner(NEARBY, {"step": 0.4}, n_initial=2), problem, HISTORY)
    assert found.values["x"] == 0.7
    assert "the nearest point found that is" in found.decision.note


@pytest.mark.parametrize(
    ("planner", "says"),
    [
        (GestPlanner("generators:Broken", n_initial=0), "Broken: KeyError: 'x'"),
        (GestPlanner("generators:Missing", n_initial=0), "Missing"),
        (XoptPlanner("nelder", n_initial=0), "Xopt has no generator 'nelder'"),
        (XoptPlanner("neldermead", n_initial=0), "neldermead of Xopt goes by what it proposed before"),
    ],
)
def test_what_is_wrong_with_a_generator_is_said(planner: GestPlanner, says: str) -> None:
    with pytest.raises(PlannerError, match=says):
        suggest(planner, LINE, HISTORY)


def films(lab: ThinFilmLab, planner: Any, journal: MemoryJournal) -> sdl.Campaign:
    return sdl.Campaign(
        "films",
        space=lab.space(),
        objective=lab.objective,
        planner=planner,
        experiment=lab.deposit_and_measure,
        lab=lab,
        journal=journal,
        progress=False,
    )


@pytest.mark.filterwarnings("ignore")  # of Xopt's own
def test_a_generator_of_xopt_drives_a_campaign_the_same_way_twice() -> None:
    pytest.importorskip("xopt", reason="needs Xopt: pip install xopt")
    runs: list[list[Any]] = []
    notes: list[str] = []
    for _ in range(2):
        with ThinFilmLab(seed=7) as lab:
            campaign = films(lab, XoptPlanner("random", n_initial=2), MemoryJournal())
            assert campaign.run(trials=5).status == "finished"
            runs.append([dict(trial.values) for trial in campaign.trials])
            notes = [trial.decision.note for trial in campaign.trials]
    assert runs[0] == runs[1]
    assert notes[3].startswith("Proposed by random of Xopt 3")
    assert all(0.01 <= values["oxygen"] <= 1.0 for values in runs[0])


# --- ours with them ---------------------------------------------------------------------------------------------------


def test_a_vocs_and_a_problem_say_the_same() -> None:
    vocs = gest.VOCS(
        variables={"x": [0.0, 2.0], "kind": {"a", "b"}, "turns": {1.0, 2.0}},
        objectives={"f": "MAXIMIZE"},
        constraints={"c": ["LESS_THAN", 3.0], "d": ["BOUNDS", 0.0, 1.0]},
        constants={"power": 5.0},
    )
    problem = problem_of(vocs)
    assert problem.space.free == ("x", "kind", "turns")
    assert problem_of(vocs_of(problem, {})) == problem
    with pytest.raises(ProblemError, match="contextual"):
        problem_of(gest.VOCS(variables={"x": "CONTEXTUAL"}, objectives={"f": "MAXIMIZE"}))
    with pytest.raises(ProblemError, match="ExploreObjective"):
        problem_of(gest.VOCS(variables={"x": [0.0, 1.0]}, objectives={"f": "EXPLORE"}))


def test_our_planner_is_a_generator_of_gest_api() -> None:
    generator: Any = importlib.import_module("gest_api.generator").Generator
    from sdl.planners.generator import PlannerGenerator

    vocs = gest.VOCS(variables={"x": [0.0, 1.0]}, objectives={"f": "MINIMIZE"}, constants={"gas": "Ar"})
    made = PlannerGenerator(vocs, SobolPlanner(), seed=3)
    assert isinstance(made, generator)
    assert made.returns_id
    points = made.suggest(3)
    assert [set(point) for point in points] == [{"x", "gas", "_id"}] * 3
    made.ingest([{**points[0], "f": 0.5}, {**points[1], "f": float("nan")}, {"x": 0.1, "gas": "Ar", "f": 1.0}])
    states = [entry.state for entry in made.history.entries]
    assert states == [TrialState.COMPLETED, TrialState.FAILED, TrialState.PROPOSED, TrialState.COMPLETED]
    with pytest.raises(ValueError, match="was not suggested here"):
        made.ingest([{"x": 0.1, "gas": "Ar", "f": 1.0, "_id": 99}])
    again = PlannerGenerator(vocs, SobolPlanner(), seed=3)
    assert again.suggest(3) == points


def test_our_planner_drives_bluesky_adaptive_s_own_plan() -> None:
    plans = pytest.importorskip("bluesky_adaptive.plans", reason="needs bluesky-adaptive: pip install bluesky-adaptive")
    protocols: Any = importlib.import_module("bluesky_adaptive.protocols")
    from ophyd.sim import SynAxis, SynSignal

    motor: Any = SynAxis(name="x")
    detector: Any = SynSignal(name="signal", func=lambda: (motor.position - 0.3) ** 2)
    events: list[Any] = []
    engine: Any = RunEngine({}, context_managers=[])
    engine.subscribe(lambda name, document: events.append(document) if name == "event" else None)

    def evaluate(uid: str, suggestions: Any) -> list[dict[str, Any]]:
        measured = [event["data"]["signal"] for event in events if "signal" in event["data"]][-len(suggestions) :]
        assert uid
        return [
            {"_id": point["_id"], "signal": (value, 0.01)} for point, value in zip(suggestions, measured, strict=True)
        ]

    problem = Problem(sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0, unit="mm")), sdl.Minimize("signal", unit="V"))
    optimizer = PlannerOptimizer(problem, SobolPlanner(), seed=1)
    for protocol in (protocols.Optimizer, protocols.TrialFaultAware, protocols.CanRegisterSuggestions):
        assert isinstance(optimizer, protocol)
    task = protocols.OptimizationProblem(
        optimizer=optimizer, actuators=[motor], sensors=[detector], evaluation_function=evaluate
    )
    engine(plans.optimize(task, iterations=4))
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()  # which runs the loop, and has no public name
    engine.loop.close()
    tried = [entry.values["x"] for entry in optimizer.history.completed]
    ((number, values, outcomes),) = optimizer.get_best_points()
    assert len(tried) == 4
    assert values["x"] == min(tried, key=lambda x: abs(float(x) - 0.3))
    assert outcomes["signal"] == pytest.approx((values["x"] - 0.3) ** 2)
    (other,) = optimizer.register_suggestions([{"x": 0.25}])
    optimizer.register_failures([other])
    optimizer.ingest([{"x": 0.31, "signal": 0.0001, "_id": "baseline"}])
    assert [len(optimizer.history.failed), len(optimizer.history.completed)] == [1, 5]
    with pytest.raises(PlannerError, match="was not suggested here, and lacks x"):
        optimizer.ingest([{"_id": "baseline", "signal": 1.0}])
    assert number in range(1, 5)
