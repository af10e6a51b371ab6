"""Experiments, steps, and what a plan is told of a trial."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from bluesky import utils
from plain_devices import Steps

from sdl.errors import LabError, ObservationError, PointError, SdlError, UnitError
from sdl.journal.trust import Quality
from sdl.lab import Batch, Changeover, Experiment, Settings, Step, if_suspect

decorated: Callable[[Any], Any] = utils.plan  # bluesky declares no types for it


def measure(lab: Any, s: Settings) -> Steps:
    yield from bps.null()


class Recipe:
    def __call__(self, lab: Any, s: Settings) -> Steps:
        yield from bps.null()

    def method(self, lab: Any, s: Settings) -> Steps:
        yield from bps.null()


def with_more(lab: Any, s: Settings, minutes: float, *, hot: bool = False) -> Steps:
    yield from bps.null()


class TestPlans:
    @pytest.mark.parametrize(
        "plan",
        [
            measure,
            decorated(measure),
            Recipe(),
            Recipe().method,
            functools.partial(with_more, minutes=3.0),
            functools.partial(functools.partial(with_more, minutes=3.0), hot=True),
        ],
    )
    def test_generator_functions_of_two_arguments(self, plan: Any) -> None:
        assert Step("step", plan).plan is plan

    @pytest.mark.parametrize(
        ("plan", "told"),
        [
            (lambda lab, s: None, "yields nothing"),
            (print, "yields nothing"),
            (bps.null(), "no function"),
            ("measure", "no function"),
            (with_more, "does not take"),
            (functools.partial(measure, None), "does not take"),
        ],
    )
    def test_nothing_else(self, plan: Any, told: str) -> None:
        with pytest.raises(LabError, match=told):
            Step("step", plan)


class TestExperiments:
    def test_of_a_bare_function(self) -> None:
        experiment = Experiment.of(measure)
        assert [step.name for step in experiment.steps] == ["measure"]
        assert Experiment.of(experiment) is experiment
        step = Step("look", measure, station="probe", timeout=5.0)
        assert Experiment.of(step).steps == (step,)

    def test_have_steps_with_different_names(self) -> None:
        with pytest.raises(LabError, match="two steps are called a"):
            Experiment(Step("a", measure), Step("b", measure), Step("a", measure))
        with pytest.raises(LabError, match="at least one step"):
            Experiment()

    @pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
    def test_a_timeout_is_above_zero(self, timeout: float) -> None:
        with pytest.raises(LabError, match="timeout"):
            Step("step", measure, timeout=timeout)

    def test_merge_what_the_steps_return(self) -> None:
        experiment = Experiment(Step("grow", measure), Step("look", measure))
        settings = Settings({})
        assert experiment.evaluate({"grow": None, "look": {"y": 1}}, settings) == {"y": 1}
        assert experiment.evaluate({"grow": {"x": 2}, "look": {"y": 1}}, settings) == {"x": 2, "y": 1}

    @pytest.mark.parametrize(
        ("results", "told"),
        [
            ({"look": 3.0}, "step 'look' returned 3.0"),
            ({"grow": {"y": 1}, "look": {"y": 1}}, "step 'look' returns y again"),
        ],
    )
    def test_say_which_step_is_wrong(self, results: dict[str, Any], told: str) -> None:
        with pytest.raises(ObservationError, match=told):
            Experiment(Step("grow", measure), Step("look", measure)).evaluate(results, Settings({}))

    def test_evaluate_as_they_are_told(self) -> None:
        def ratio(results: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
            return {"ratio": results["look"] / settings.number("x")}

        experiment = Experiment(Step("look", measure), evaluate=ratio)
        assert experiment.evaluate({"look": 6.0}, Settings({"x": 2.0})) == {"ratio": 3.0}

    def test_an_evaluation_returns_a_mapping(self) -> None:
        wrong: Any = lambda results, settings: 3.0  # noqa: E731
        with pytest.raises(ObservationError, match=r"returned 3\.0"):
            Experiment(Step("look", measure), evaluate=wrong).evaluate({}, Settings({}))

    def test_cost_a_number_or_by_the_settings(self) -> None:
        settings = Settings({"hours": 3.0})
        assert Experiment(Step("look", measure)).cost_of(settings) == 0.0
        assert Experiment(Step("look", measure), cost=5).cost_of(settings) == 5.0
        by_hour = Experiment(Step("look", measure), cost=lambda s: 2 * s.number("hours"))
        assert by_hour.cost_of(settings) == 6.0


class TestSettings:
    settings = Settings(
        {"oxygen": 0.1, "temperature": 20.0, "gas": "argon"},
        units={"oxygen": "Pa", "temperature": "degC"},
        trial=3,
        attempt=2,
        results={"grow": 7},
    )

    def test_are_a_mapping(self) -> None:
        assert dict(self.settings) == {"oxygen": 0.1, "temperature": 20.0, "gas": "argon"}
        assert "oxygen" in self.settings
        assert (self.settings.trial, self.settings.attempt, self.settings.results["grow"]) == (3, 2, 7)
        assert self.settings.get("power") is None

    def test_name_what_is_missing(self) -> None:
        with pytest.raises(PointError, match=r"no parameter 'oxigen'.*it has oxygen, temperature, gas"):
            _ = self.settings["oxigen"]

    def test_convert_units(self) -> None:
        assert self.settings.in_unit("oxygen", "mPa") == pytest.approx(100.0)
        assert self.settings.in_unit("temperature", "K") == pytest.approx(293.15)
        assert self.settings.quantity("oxygen").to("mPa").magnitude == pytest.approx(100.0)
        with pytest.raises(UnitError):
            self.settings.in_unit("oxygen", "m")
        with pytest.raises(PointError, match="no number"):
            self.settings.in_unit("gas", "Pa")

    def test_see_the_results_of_steps_as_they_come(self) -> None:
        results: dict[str, Any] = {}
        settings = Settings({}, results=results)
        results["grow"] = 1
        assert settings.results == {"grow": 1}
        with pytest.raises(TypeError):
            settings.results["grow"] = 2  # type: ignore[index] # which is the point


class TestSchedule:
    def test_times_are_given_with_units(self) -> None:
        step = Step("anneal", measure, duration="2 h", within={"coat": "10 min"}, batch=Batch(8, patience="30 min"))
        assert step.declared_seconds(Settings({})) == 7200.0
        assert step.within == {"coat": 600.0}
        assert step.batch is not None
        assert step.batch.patience == 1800.0
        by_hours = Step("anneal", measure, duration=lambda s: f"{s['hours']} h")
        assert by_hours.declared_seconds(Settings({"hours": 2.0})) == 7200.0

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Step("a", measure, duration="2 mL"), "duration of step 'a'"),
            (lambda: Step("a", measure, within={"b": "-1 min"}), "window of step 'a' after 'b'"),
            (lambda: Step("a", measure, on_late="wait"), "on_late='wait'"),  # type: ignore[arg-type]
            (lambda: Batch(4, least=5), "at least 5 does not fit into 4"),
            (lambda: Changeover(key=(), plan=measure), "no key"),
            (lambda: Experiment(Step("a", measure, within={"b": 10}), Step("b", measure)), "refers to b"),
            (lambda: Experiment(Step("a", measure, when=if_suspect("b"))), "refers to b"),
            (lambda: _kept("robot"), "no step after it names"),
            (lambda: Experiment(Step("a", measure, keeps="robot"), Step("b", measure)), "which it does not use"),
        ],
    )
    def test_what_cannot_be_is_refused(self, make: Callable[[], object], message: str) -> None:
        with pytest.raises(SdlError, match=message):
            make()

    def test_a_condition_asks_whether_a_result_is_in_doubt(self) -> None:
        again = if_suspect("look")
        results = {"look": {"signal": 1.0}}
        assert not again(Settings({}))
        assert not again(Settings({}, results=results))
        assert again(Settings({}, results=results, judge=lambda step: Quality.SUSPECT))
        with pytest.raises(LabError, match="has returned nothing yet"):
            Settings({}).quality("look")

    def test_a_changeover_knows_what_the_station_is_ready_for(self) -> None:
        rinse = Changeover(key="solvent", plan=measure, duration="5 min")
        assert rinse.key_of({"solvent": "ethanol", "x": 1.0}) == "solvent=ethanol"


def _kept(station: str) -> Experiment:
    return Experiment(Step("a", measure, needs=station, keeps=station), Step("b", measure, station="other"))
