"""The twin as a laboratory: the fifteen-line plan, laboratory time, chance, resuming, faults."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# bluesky leaves the types of its plan stubs open

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from bluesky.utils import MsgGenerator

from sdl.errors import DeviceError, LabError, LimitError, SdlError
from sdl.lab.clock import WallClock
from sdl.lab.job import Job
from sdl.lab.virtual import VirtualClock
from sdl.problem import Measurement
from sdl.simulators import TWINS, Faults, ThinFilmLab

GOOD = {"oxygen": 0.1, "temperature": 318.0}


def fifteen_lines(lab: Any, s: Mapping[str, Any]) -> MsgGenerator[Any]:
    """The plan of the README."""
    yield from bps.mv(lab.sputter.oxygen, s["oxygen"], lab.sputter.temperature, s["temperature"])
    yield from lab.sputter.deposit(minutes=20)
    return (yield from lab.probe.measure())


def trial(lab: ThinFilmLab, number: int, values: Mapping[str, float], attempt: int = 1) -> Measurement:
    lab.prepare(number, attempt)
    measured: Measurement = lab.run(fifteen_lines, values)["resistance"]
    return measured


def test_the_fifteen_line_plan_measures_the_film_it_made() -> None:
    with ThinFilmLab(seed=7) as lab:
        start = lab.clock.time()
        measured = trial(lab, 1, GOOD)
        hours = (lab.clock.time() - start) / 3600
    assert measured.unit == "ohm"
    assert measured.n_replicates == 8
    assert measured.value == pytest.approx(lab.truth(GOOD), rel=0.15)
    assert measured.standard_error is not None
    assert 0 < measured.standard_error < 0.1 * measured.value
    assert 1.8 < hours < 3


def test_a_trial_costs_little_cpu_time() -> None:
    costs: list[float] = []
    with ThinFilmLab(seed=7) as lab:
        for number in range(1, 6):
            start = time.process_time()
            trial(lab, number, GOOD)
            costs.append(time.process_time() - start)
    assert min(costs) < 0.1


@pytest.mark.parametrize("values", [{"oxygen": 0.01, "temperature": 20.0}, {"oxygen": 1.0, "temperature": 400.0}])
def test_the_corners_of_the_space_can_be_made(values: dict[str, float]) -> None:
    with ThinFilmLab(seed=1) as lab:
        assert trial(lab, 1, values).value == pytest.approx(lab.truth(values), rel=0.2)


def test_the_demo_plan_sets_the_knobs_it_is_given() -> None:
    values = {**GOOD, "power": 50.0}
    with ThinFilmLab(seed=7) as lab:
        lab.prepare(1, 1)
        measured = lab.run(lab.deposit_and_measure, values)["resistance"]
    assert lab.truth(values) > 1.3 * lab.truth(GOOD)
    assert measured.value == pytest.approx(lab.truth(values), rel=0.15)


def documents_of(lab: ThinFilmLab, number: int) -> list[tuple[str, dict[str, Any]]]:
    kept: list[tuple[str, dict[str, Any]]] = []
    lab.prepare(number, 1)
    job = Job(lambda: fifteen_lines(lab, GOOD), on_document=lambda name, document: kept.append((name, document)))
    assert lab.stations["thin-film"].run(job).error is None
    return kept


def test_the_run_holds_the_conditions_of_the_deposition_and_the_resistance() -> None:
    with ThinFilmLab(seed=7) as lab:
        documents = documents_of(lab, 1)
    streams = {d["uid"]: d for name, d in documents if name == "descriptor"}
    events = {streams[d["descriptor"]]["name"]: d["data"] for name, d in documents if name == "event"}
    assert events["deposition"]["sputter_oxygen"] == pytest.approx(0.1, rel=0.05)
    assert events["deposition"]["sputter_temperature"] == pytest.approx(318, abs=2)
    assert events["deposition"]["sputter_power"] == pytest.approx(100, abs=1)
    assert events["deposition"]["sputter_exposed"] == 1200.0
    assert events["primary"]["probe_resistance"] > 0
    units = {key: value.get("units") for d in streams.values() for key, value in d["data_keys"].items()}
    assert units["sputter_temperature"] == "degC"
    assert units["probe_resistance_error"] == "ohm"


def test_one_seed_makes_one_record() -> None:
    def readings(seed: int) -> list[Any]:
        with ThinFilmLab(seed=seed) as lab:
            documents = documents_of(lab, 1) + documents_of(lab, 2)
        return [(d["data"], d["timestamps"]) for name, d in documents if name == "event"]

    first = readings(7)
    assert first == readings(7)
    assert first != readings(8)
    assert first[1] != first[3]


@pytest.mark.parametrize("late", [0.0, 12_345.678901, 86_400 * 365.25])
def test_a_resumed_campaign_makes_the_same_films_to_the_last_bit(late: float) -> None:
    points = [GOOD, {"oxygen": 0.3, "temperature": 210.0}, {"oxygen": 0.03, "temperature": 372.5}]
    with ThinFilmLab(seed=11) as lab:
        whole = [trial(lab, number, values) for number, values in enumerate(points, 1)]
    clock = VirtualClock()
    clock.advance_to(clock.time() + late)
    with ThinFilmLab(seed=11, clock=clock) as lab:
        assert [trial(lab, number, points[number - 1]) for number in (2, 3)] == whole[1:]
        assert trial(lab, 1, points[0]) == whole[0]


def test_a_second_attempt_meets_other_noise() -> None:
    with ThinFilmLab(seed=11) as lab:
        assert trial(lab, 1, GOOD).value != trial(lab, 1, GOOD, attempt=2).value


def test_films_made_alike_differ_by_about_three_per_cent() -> None:
    with ThinFilmLab(seed=5) as lab:
        logs = [math.log(trial(lab, number, GOOD).value) for number in range(1, 26)]
    assert 0.015 < statistics.stdev(logs) < 0.05
    assert statistics.fmean(logs) == pytest.approx(math.log(lab.truth(GOOD)), abs=0.03)


def test_the_target_wears_with_the_trials() -> None:
    def mean(lab: ThinFilmLab, first: int) -> float:
        return statistics.fmean(trial(lab, number, GOOD).value for number in range(first, first + 6))

    with ThinFilmLab(seed=5) as lab:
        assert mean(lab, 840) > 1.2 * mean(lab, 0)  # 14 periods of the probe's drift later, a third of the rate is gone


def test_what_a_failed_trial_left_behind_does_no_harm() -> None:
    def deposit_only(lab: Any, s: Mapping[str, Any]) -> MsgGenerator[None]:
        yield from bps.mv(lab.sputter.oxygen, s["oxygen"], lab.sputter.temperature, s["temperature"])
        yield from lab.sputter.deposit(minutes=20)

    def measure_only(lab: Any, _: Mapping[str, Any]) -> MsgGenerator[Any]:
        return (yield from lab.probe.measure())

    with ThinFilmLab(seed=7) as lab:
        lab.run(deposit_only, {"oxygen": 0.01, "temperature": 100.0})  # nobody fetches this film, or prepares
        measured = lab.run(fifteen_lines, GOOD)["resistance"]
        again = lab.run(measure_only, {})["resistance"]
    assert measured.value == pytest.approx(lab.truth(GOOD), rel=0.15)
    assert again.value == pytest.approx(measured.value, rel=0.15)


def test_a_step_that_takes_too_long_is_ended_and_the_laboratory_works_on() -> None:
    with ThinFilmLab(seed=7) as lab:
        result = lab.stations["thin-film"].run(Job(lambda: fifteen_lines(lab, GOOD), timeout=4500.0))
        assert isinstance(result.error, SdlError)
        assert trial(lab, 1, GOOD).value == pytest.approx(lab.truth(GOOD), rel=0.15)


def test_a_point_outside_the_instruments_limits_moves_nothing() -> None:
    with ThinFilmLab(seed=7) as lab:
        start = lab.clock.time()
        with pytest.raises(LimitError, match="temperature"):
            lab.run(fifteen_lines, {"oxygen": 0.1, "temperature": 600.0})
        assert lab.clock.time() - start < 1


def outcomes(lab: ThinFilmLab, n: int, attempt: int = 1) -> list[str]:
    found: list[str] = []
    for number in range(1, n + 1):
        try:
            trial(lab, number, GOOD, attempt)
            found.append("")
        except DeviceError as error:
            found.append(error.message)
    return found


def test_faults_come_as_often_as_asked_and_always_at_the_same_trials() -> None:
    faults = Faults(robot_drop=0.1, no_plasma=0.15, no_contact=0.03)
    with ThinFilmLab(seed=3, faults=faults) as lab:
        first = outcomes(lab, 16)
        assert outcomes(lab, 16) == first
        second = outcomes(lab, 16, attempt=2)
    assert second != first
    n_failed = sum(map(bool, first))
    assert 2 <= n_failed <= 13  # two in five are expected
    assert all(any(word in message for message in first + second) for word in ("plasma", "lost", "contact"))


def test_nothing_goes_wrong_by_default() -> None:
    with ThinFilmLab(seed=3) as lab:
        assert not any(outcomes(lab, 10))


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_a_probability_is_between_0_and_1(probability: float) -> None:
    with pytest.raises(SdlError, match="no_plasma"):
        Faults(no_plasma=probability)


def test_on_the_wall_it_takes_as_long_as_it_takes() -> None:
    def turn(lab: Any, s: Mapping[str, Any]) -> MsgGenerator[None]:
        yield from bps.mv(lab.sputter.power, s["power"])

    def carry(lab: Any, _: Mapping[str, Any]) -> MsgGenerator[None]:
        yield from lab.robot.transfer("stage", "probe")

    with ThinFilmLab(seed=7, clock=WallClock()) as lab:
        lab.run(turn, {"power": 100.0})
        start = time.monotonic()
        lab.run(turn, {"power": 101.0})  # the generator follows in a second; the driver looks every two
        assert 1.9 < time.monotonic() - start < 10
        with pytest.raises(LabError, match="error 21"):
            lab.run(carry, {})


def test_space_objective_and_description_fit_together() -> None:
    with ThinFilmLab(seed=7) as lab:
        space = lab.space()
        assert space.contains({"oxygen": 0.08, "temperature": 330.0, "power": 100.0})
        assert lab.objective.outcome == "resistance"
        assert lab.truth({**GOOD, "power": 100.0}) == lab.truth(GOOD)
        description = json.loads(json.dumps(lab.describe()))
    assert description["seed"] == 7
    assert description["is_simulated"] is True


def test_the_list_of_twins_leads_to_the_laboratory() -> None:
    twin = TWINS["thin-film"]
    assert twin.load() is ThinFilmLab
    assert callable(getattr(twin.load(), twin.plan))
