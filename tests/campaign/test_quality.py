"""Control samples, replicates, checks and verdicts, in campaigns from the first proposal to the planner's data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import LinePlanner, ToyLab, bodies, toy_campaign

import sdl
from sdl.campaign import CampaignView, Control, Expected, QualityControl, Replicates, Trial
from sdl.campaign.chart import ChartPoint, Reading, chart
from sdl.campaign.file import parse_campaign
from sdl.errors import PointError, ProblemError
from sdl.journal import MemoryJournal
from sdl.journal.records import Entry
from sdl.journal.trust import Finding, Quality, Role, TrialJudged, Verdict
from sdl.problem import Measurement

Plan = Any


def controls(**changes: Any) -> QualityControl:
    """A control sample at x = 0.3, known to give 1 V with a standard deviation of 0.01 V."""
    expected = {"signal": Expected(mean=1.0, standard_deviation=0.01)}
    options: dict[str, Any] = {"every": 3, "values": {"x": 0.3}, "expected": expected} | changes
    return QualityControl(controls=(Control(**options),), stuck_after=None)


def telling(values: Mapping[int, float], otherwise: float = 1.0) -> Any:
    """A plan that gives what the test says for some trials, else a number near *otherwise* of its own."""

    def plan(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from ()
        return {"signal": sdl.Measurement(values.get(s.trial, otherwise + 1e-6 * s.trial), "V")}

    return plan


def roles(campaign: sdl.Campaign) -> str:
    """One letter for each trial: search, control, blank, replicate."""
    return "".join(trial.role.value[0] for trial in campaign.trials)


def qualities(campaign: sdl.Campaign) -> str:
    """One sign for each trial: valid, suspect, invalid."""
    return "".join({"valid": ".", "suspect": "s", "invalid": "x"}[t.verdict.quality.value] for t in campaign.trials)


# --- the chart --------------------------------------------------------------------------------------------------------


def readings(values: Any) -> list[Reading]:
    return [Reading(number, float(value)) for number, value in enumerate(values, 1)]


def first_out(points: list[ChartPoint]) -> int | None:
    return next((index for index, point in enumerate(points) if point.is_out), None)


def test_a_chart_that_learns_its_own_limits_gives_few_false_alarms() -> None:
    rng = np.random.default_rng(3)
    alarms = [first_out(chart(readings(rng.normal(5, 0.2, 20)))) is not None for _ in range(300)]
    # 17 of 20 points are compared: 4.5 % of charts by Shewhart's rule, and less by the CUSUM's, at 1 in 465 points.
    assert sum(alarms) / 300 < 0.10


@pytest.mark.parametrize(("drift", "within"), [(0.5, 10), (1.0, 7)])
def test_a_chart_finds_a_drift_of_so_many_standard_deviations_a_point(drift: float, within: int) -> None:
    rng = np.random.default_rng(4)
    found = [
        first_out(chart(readings(rng.normal(5, 1, 40) + drift * np.clip(np.arange(40) - 5, 0, None))))
        for _ in range(100)
    ]
    assert None not in found
    assert float(np.median([number for number in found if number is not None])) - 5 <= within


def test_the_cusum_says_since_when() -> None:
    points = chart(readings([0.0, 0.1, -0.1, 1.9, 2.1, 2.0, 2.2, 1.8]), Expected(mean=0.0, standard_deviation=1.0))
    out = points[first_out(points) or 0]
    assert "drift above" in out.signal
    assert out.since == 3


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.floats(0.1, 10), st.floats(-100, 100))
def test_a_chart_does_not_depend_on_the_unit(values: list[float], factor: float, offset: float) -> None:
    plain = chart(readings(np.round(values, 3)), Expected(mean=0.5, standard_deviation=2.0))
    scaled = chart(
        readings(np.round(values, 3) * factor + offset),
        Expected(mean=0.5 * factor + offset, standard_deviation=2.0 * factor),
    )
    assert [point.q for point in plain] == pytest.approx([point.q for point in scaled], abs=1e-3)


# --- trials that judge others -----------------------------------------------------------------------------------------


def test_controls_come_every_so_many_trials_and_leave_the_budget_of_trials_to_the_planner() -> None:
    campaign = toy_campaign(experiment=telling({}), quality=controls(at_start=2))
    ended = campaign.run(trials=6)
    assert roles(campaign) == "ccssscsssc"
    assert ended.status == "finished"
    assert campaign.quality is not None
    assert campaign.quality.extra_trials(6) == 4
    assert "after every 3 trials" in campaign.trials[5].decision.note
    assert campaign.trials[5].decision.planner == "quality control"
    assert str(campaign.trials[5]).startswith("trial 6 (completed, control): signal = ")
    assert qualities(campaign) == "." * 10
    assert "control chart control, signal" in campaign.trials[5].verdict.checked


def test_a_resumed_campaign_makes_the_controls_that_an_uninterrupted_one_makes() -> None:
    journal, whole = MemoryJournal(), toy_campaign(experiment=telling({}), quality=controls())
    whole.run(trials=7)
    for trials in (2, 3, 7):
        parts = toy_campaign(experiment=telling({}), quality=controls(), journal=journal)
        parts.run(trials=trials)
    assert roles(parts) == roles(whole)


def test_a_step_returns_the_trial_of_the_planner() -> None:
    campaign = toy_campaign(
        experiment=telling({}), quality=controls(every=1), budget=sdl.Budget(trials=5), planner=LinePlanner()
    )
    assert campaign.step().role is Role.SEARCH
    assert campaign.step().role is Role.SEARCH


def test_blanks_are_seen_by_the_plan_and_never_by_the_planner() -> None:
    seen: list[str] = []

    def plan(lab: ToyLab, s: sdl.Settings) -> Plan:
        seen.append(s.role)
        yield from ()
        return {"signal": sdl.Measurement(-1.0 if s.role == "blank" else 1.0, "V")}

    blank = QualityControl(controls=(Control(every=2, values={"x": 0.0}, role="blank", name="dark"),), stuck_after=None)
    campaign = toy_campaign(experiment=plan, quality=blank)
    campaign.run(trials=2)
    assert set(seen) == {"blank", "search"}
    assert [entry.trial for entry in campaign.view.history.entries] == [2, 3]
    assert campaign.best is not None
    assert campaign.best.number == 2
    assert campaign.trials[0].kind == "blank dark"


def test_every_point_is_measured_as_often_as_replicates_says() -> None:
    campaign = toy_campaign(experiment=telling({}), quality=QualityControl(replicates=Replicates(n=2)))
    campaign.run(trials=2)
    assert roles(campaign) == "srrsrr"
    first, second, third = campaign.trials[:3]
    assert first.values == second.values == third.values
    assert third.of == first.number
    assert third.decision.note == "Trial 1 is measured again, 2 of 2 times."


def test_every_third_trial_is_repeated() -> None:
    campaign = toy_campaign(experiment=telling({}), quality=QualityControl(replicates=Replicates(every=3)))
    campaign.run(trials=6)
    assert roles(campaign) == "sssrsssr"


def test_controls_go_with_several_trials_at_once() -> None:
    lab = ToyLab(n_cells=3)
    campaign = toy_campaign(lab, experiment=telling({}), quality=controls(), in_flight=3)
    campaign.run(trials=9)
    assert sorted(roles(campaign)) == sorted("cccc" + "s" * 9)


def test_a_control_outside_the_space_is_refused_at_once() -> None:
    with pytest.raises(PointError, match="x = 2"):
        toy_campaign(quality=controls(values={"x": 2.0}))
    with pytest.raises(ProblemError, match="no outcome of the problem"):
        toy_campaign(quality=controls(outcomes=("colour",)))
    with pytest.raises(ProblemError, match="one name"):
        QualityControl(controls=(Control(every=1, values={}), Control(every=2, values={})))


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_control_that_is_out_makes_what_came_before_it_suspect_and_is_made_again() -> None:
    campaign = toy_campaign(experiment=telling({5: 1.1, 6: 1.1, 7: 1.1}), quality=controls())
    ended = campaign.run(trials=30)
    assert ended.status == "paused"
    assert "3 results in a row cannot be trusted" in ended.reason
    assert "standard deviations from 1" in ended.reason
    assert roles(campaign) == "cssscc" + "c"
    assert qualities(campaign) == ".ssssss"
    doubt = campaign.trials[1].verdict.findings[0]
    assert doubt.source == "control chart control, signal"
    assert doubt.trial == 5


def test_a_control_that_was_out_only_once_clears_the_trials_again() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(experiment=telling({5: 1.1}), quality=controls(), journal=journal)
    assert campaign.run(trials=6).status == "finished"
    assert qualities(campaign) == "....s....."
    assert "made again" in campaign.trials[2].verdict.checked[-1]
    verdicts = [e.body.verdict.quality for e in journal.read(trial=3) if isinstance(e.body, TrialJudged)]
    assert verdicts == [Quality.VALID, Quality.SUSPECT, Quality.VALID]  # nothing is overwritten


def test_a_campaign_that_paused_goes_on_when_the_control_is_good_again() -> None:
    journal = MemoryJournal()
    first = toy_campaign(experiment=telling({5: 1.1, 6: 1.1, 7: 1.1}), quality=controls(), journal=journal)
    first.run(trials=6)
    again = toy_campaign(experiment=telling({}), quality=controls(), journal=journal)
    assert again.run(trials=6).status == "finished"
    assert roles(again)[7] == "c"
    assert qualities(again)[7:] == "." * (len(again.trials) - 7)


def test_suspect_trials_are_pending_for_the_planner_and_cannot_be_the_best() -> None:
    campaign = toy_campaign(
        experiment=telling({2: -5.0}), checks=[lambda outcomes, s: "negative" if outcomes["signal"].value < 0 else None]
    )
    campaign.run(trials=4)
    entry = campaign.view.history.entries[1]
    assert (entry.observation, entry.verdict.quality) == (None, Quality.SUSPECT)
    assert [each.trial for each in campaign.view.history.pending] == [2]
    assert [each.trial for each in campaign.view.history.completed] == [1, 3, 4]
    assert campaign.best is not None
    assert campaign.best.number == 1


@pytest.mark.parametrize(("policy", "n_known"), [("use", 4), ("drop", 3), ("hold", 4)])
def test_the_policy_says_what_planners_make_of_suspects(policy: str, n_known: int) -> None:
    quality = QualityControl.from_data({"suspects": policy})
    campaign = toy_campaign(experiment=telling({2: -5.0}), quality=quality, checks=[below_zero])
    campaign.run(trials=4)
    assert len(campaign.view.history.entries) == n_known
    assert campaign.best is not None
    assert campaign.best.number == (2 if policy == "use" else 1)


def below_zero(outcomes: Mapping[str, Measurement], s: sdl.Settings) -> str | None:
    return "below zero" if outcomes["signal"].value < 0 else None


def test_a_check_may_say_invalid_and_one_that_raises_makes_suspect() -> None:
    def by_trial(outcomes: Mapping[str, Measurement], s: sdl.Settings) -> Finding | None:
        if s.trial == 2:
            return Finding(source="", quality=Quality.INVALID, text="the lid was open")
        return None if s.trial != 3 else 1 / 0  # type: ignore[return-value] # a check that breaks

    campaign = toy_campaign(experiment=telling({}), checks=[by_trial])
    campaign.run(trials=3)
    assert qualities(campaign) == ".xs"
    assert str(campaign.trials[1].verdict) == "invalid: check by_trial: the lid was open"
    assert "ZeroDivisionError" in str(campaign.trials[2].verdict)
    assert [each.trial for each in campaign.view.history.entries] == [1, 3]


def test_a_sensor_that_says_the_same_everywhere_is_stuck() -> None:
    campaign = toy_campaign(experiment=telling(dict.fromkeys(range(3, 30), 0.7)), quality=QualityControl())
    ended = campaign.run(trials=20)
    assert ended.status == "paused"
    assert qualities(campaign) == "..sssss"
    assert "to the last digit in 3 results in a row" in ended.reason


def test_values_that_may_repeat_are_no_sign_of_a_stuck_sensor() -> None:
    quality = QualityControl(ordinary=(0.0,))
    campaign = toy_campaign(experiment=telling(dict.fromkeys(range(30), 0.0)), quality=quality)
    assert campaign.run(trials=6).status == "finished"
    assert qualities(campaign) == "......"


def test_repeats_that_disagree_make_both_suspect() -> None:
    rng = np.random.default_rng(1)
    values = {number: 1.0 + 0.01 * float(rng.normal()) for number in range(1, 30)} | {14: 2.0}
    campaign = toy_campaign(experiment=telling(values), quality=QualityControl(replicates=Replicates()))
    campaign.run(trials=8)
    assert qualities(campaign) == "............ss.."
    assert "standard deviations of repeats" in str(campaign.trials[12].verdict)


def test_the_word_of_a_person_holds() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(experiment=telling({5: 1.1}), quality=controls(), journal=journal)
    campaign.run(trials=3)
    finding = Finding(source="Ada", quality=Quality.INVALID, text="wrong vial")
    body = TrialJudged(verdict=Verdict(Quality.INVALID, findings=(finding,)))
    journal.append(Entry(body, "toy", 2, actor="Ada"))
    campaign.run(trials=6)
    assert campaign.view.trial(2).verdict.quality is Quality.INVALID
    assert 2 not in {entry.trial for entry in campaign.view.history.entries}
    assert campaign.view.trial(3).verdict.quality is Quality.VALID


def test_verdicts_survive_in_a_store(tmp_path: Path) -> None:
    path = tmp_path / "toy.sdl"
    toy_campaign(experiment=telling({5: 1.1}), quality=controls(), journal=path).run(trials=4)
    reader = sdl.open_journal(path, mode="read")
    view = CampaignView.of(reader, "toy")
    reader.close()
    assert [trial.verdict.quality.value[0] for trial in view.trials] == list("vvvvsvv")
    assert view.standing.quality == controls().replace()
    found: Trial = view.trial(5)
    assert found.kind == "control"


def test_without_quality_control_nothing_is_recorded_of_it() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(journal=journal)
    campaign.run(trials=3)
    assert not bodies(journal, TrialJudged)
    assert campaign.trials[0].verdict == Verdict()


def test_a_file_may_ask_for_it(tmp_path: Path) -> None:
    text = """
    name: films
    lab: thin-film
    quality:
      controls: [{every: 4, values: {oxygen: 0.05 Pa, temperature: 300 degC, power: 0.1 kW}}]
      replicates: {every: 2}
    checks: ["operator:not_"]
    """
    campaign = parse_campaign(text, "films.yaml").make(tmp_path, progress=False)
    campaign.lab.close()
    assert campaign.quality is not None
    assert campaign.quality.controls[0].values == {"oxygen": 0.05, "temperature": 300.0, "power": 100.0}
    assert len(campaign.checks) == 1


def test_progress_tells_how_many_trials_come_on_top(capsys: pytest.CaptureFixture[str]) -> None:
    campaign = toy_campaign(experiment=telling({}), quality=controls(), progress=True)
    campaign.run(trials=3)
    said = capsys.readouterr().err
    assert "[5/5] trial 5 (completed, control)" in said


def test_a_table_has_roles_and_verdicts() -> None:
    campaign = toy_campaign(experiment=telling({2: -1.0}), quality=controls(), checks=[below_zero])
    campaign.run(trials=2)
    frame = campaign.dataframe()
    assert list(frame["role"]) == ["control", "search", "search"]
    assert list(frame["verdict"]) == ["valid", "suspect", "valid"]
    assert frame["doubts"][1] == "check below_zero: below zero"
