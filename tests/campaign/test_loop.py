"""What the loop does with good trials, bad trials and people who change their minds."""

from __future__ import annotations

import math
import threading
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from toy import SPACE, LinePlanner, Plan, ToyLab, bodies, kinds, measure, toy_campaign

import sdl
from sdl.campaign import FailurePolicy, NoImprovementExpected, NotWorthIt
from sdl.errors import CampaignError, LabError
from sdl.journal import MemoryJournal
from sdl.journal.records import DocumentEmitted, FailureCategory


def test_a_campaign_ends_with_its_budget_and_knows_its_best_trial() -> None:
    lab = ToyLab()
    campaign = toy_campaign(lab)
    ended = campaign.run(trials=6)
    assert ended.status == "finished"
    assert "6 trials" in ended.reason
    signals = [trial.observation.outcomes["signal"].value for trial in campaign.trials if trial.observation]
    assert len(signals) == 6
    assert campaign.best is not None
    assert campaign.best.observation is not None
    assert campaign.best.observation.outcomes["signal"].value == min(signals)
    assert [trial.values["x"] for trial in campaign.trials] == lab.motor0.commands


def test_every_trial_is_proposed_begun_executed_and_recorded_in_this_order() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(journal=journal)
    campaign.run(trials=1)
    assert kinds(campaign, journal) == [
        "campaign.opened",
        "session.started",
        "trial.proposed",
        "trial.started",
        "step.started",
        "step.ended",
        "trial.completed",
        "session.ended",
    ]
    documents = bodies(journal, DocumentEmitted)
    assert [document.name for document in documents] == ["start", "descriptor", "event", "stop"]
    start = documents[0].document
    assert {name: start[name] for name in ("campaign", "trial", "attempt", "step")} == {
        "campaign": "toy",
        "trial": 1,
        "attempt": 1,
        "step": "measure",
    }
    trial = campaign.trials[0]
    assert trial.observation is not None
    assert trial.observation.runs == (start["uid"],)


def test_laboratory_time_is_the_clocks_not_the_walls() -> None:
    campaign = toy_campaign(ToyLab(seconds=3600.0))
    campaign.run(trials=5)
    assert campaign.view.lab_seconds == pytest.approx(5 * 3610.0, rel=1e-3)
    assert campaign.trials[0].seconds == pytest.approx(3610.0, rel=1e-3)


def test_a_failed_trial_is_kept_with_its_reason_and_the_loop_goes_on() -> None:
    lab = ToyLab()

    def fail_on_second(lab: ToyLab, s: sdl.Settings) -> Plan:
        lab.motor0.error = RuntimeError("stalled") if s.trial == 2 else None
        return (yield from measure(lab, s))

    campaign = toy_campaign(lab, experiment=fail_on_second)
    campaign.run(trials=3)
    assert [trial.state.value for trial in campaign.trials] == ["completed", "failed", "completed"]
    failure = campaign.trials[1].failure
    assert failure is not None
    assert failure.category is FailureCategory.DEVICE
    assert "stalled" in failure.reason
    assert failure.step == "fail_on_second"
    assert campaign.view.history.failed[0].failure == f"device: {failure.reason}"


def test_failures_in_a_row_stop_the_campaign_and_running_it_again_goes_on() -> None:
    lab = ToyLab()
    lab.motor0.error = RuntimeError("stalled")
    campaign = toy_campaign(lab, on_failure=FailurePolicy(max_in_a_row=3))
    ended = campaign.run(trials=10)
    assert (ended.status, ended.reason) == ("stopped", "3 failures in a row")
    assert len(campaign.trials) == 3
    lab.motor0.error = None
    assert campaign.run(trials=5).status == "finished"
    assert [trial.state.value for trial in campaign.trials] == ["failed"] * 3 + ["completed"] * 2


def test_a_trial_is_retried_as_often_as_the_policy_says() -> None:
    lab = ToyLab()
    journal = MemoryJournal()

    def fail_twice(lab: ToyLab, s: sdl.Settings) -> Plan:
        lab.motor0.error = RuntimeError("stalled") if s.attempt < 3 else None
        return (yield from measure(lab, s))

    campaign = toy_campaign(lab, experiment=fail_twice, on_failure=FailurePolicy(retries=2), journal=journal)
    campaign.run(trials=1)
    assert campaign.trials[0].state == "completed"
    assert campaign.trials[0].attempts == 3
    assert kinds(campaign, journal).count("trial.attempt_failed") == 2


def returning(value: Any) -> Any:
    def experiment(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor0, s["x"])
        return value(s) if callable(value) else value

    return experiment


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"signal": sdl.Measurement.model_construct(value=math.nan, unit="V")}, "signal"),
        ({"signal": "inf V"}, "signal"),
        ({"signal": 1.0}, "no unit"),
        ({"signal": sdl.Measurement(1.0, "kg")}, "kg"),
        ({"other": sdl.Measurement(1.0, "V")}, "signal"),
        ({"signal": True}, "signal"),
        (None, "returned no signal"),
        (lambda s: {"signal": "1 V", "_trial": s.trial + 1}, "for trial"),
    ],
)
def test_a_result_that_is_no_observation_is_a_failed_trial_and_its_raw_data_are_kept(value: Any, reason: str) -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(experiment=returning(value), journal=journal)
    campaign.run(trials=1)
    failure = campaign.trials[0].failure
    assert failure is not None
    assert failure.category is FailureCategory.MEASUREMENT
    assert reason in failure.reason
    assert failure.raw is not None
    assert journal.get(failure.raw).startswith(b"experiment: ")
    assert campaign.best is None


def test_an_outcome_in_another_unit_is_converted_once() -> None:
    campaign = toy_campaign(experiment=returning({"signal": "250 mV", "_trial": 1}))
    campaign.run(trials=1)
    best = campaign.best
    assert best is not None
    assert best.observation is not None
    assert best.observation.outcomes["signal"] == sdl.Measurement(0.25, "V")


def test_an_error_of_the_users_plan_is_filed_as_the_plans() -> None:
    def broken(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor0, s["x"])
        raise KeyError("sample holder")

    campaign = toy_campaign(experiment=broken)
    campaign.run(trials=1)
    failure = campaign.trials[0].failure
    assert failure is not None
    assert failure.category is FailureCategory.PLAN
    assert "KeyError" in failure.reason


def cell_plan(index: int) -> Any:
    def plan(lab: ToyLab, s: sdl.Settings) -> Plan:
        motor, detector = getattr(lab, f"motor{index}"), getattr(lab, f"detector{index}")
        yield from bps.mv(motor, s["x"])
        reading = yield from bps.trigger_and_read([detector])
        return {f"signal{index}": sdl.Measurement(reading[detector.name]["value"], "V")}

    return plan


def two_steps() -> sdl.Experiment:
    return sdl.Experiment(
        sdl.Step("first", cell_plan(0), station="cell0"), sdl.Step("second", cell_plan(1), station="cell1")
    )


def test_steps_on_two_stations_overlap_when_two_trials_are_in_flight() -> None:
    options: dict[str, Any] = {
        "experiment": two_steps(),
        "objective": sdl.Minimize("signal0", unit="V"),
        "planner": LinePlanner(),
    }
    one = toy_campaign(ToyLab(n_cells=2), **options)
    one.run(trials=6)
    two = toy_campaign(ToyLab(n_cells=2), in_flight=2, **options)
    two.run(trials=6)
    assert all(trial.observation is not None and len(trial.observation.runs) == 2 for trial in two.trials)
    assert two.view.lab_seconds < 0.7 * one.view.lab_seconds


def test_the_planner_sees_pending_trials() -> None:
    campaign = toy_campaign(
        ToyLab(n_cells=2),
        experiment=two_steps(),
        objective=sdl.Minimize("signal0", unit="V"),
        planner=LinePlanner(),
        in_flight=2,
    )
    campaign.run(trials=4)
    assert [trial.decision.n_pending for trial in campaign.trials] == [0, 0, 1, 1]
    assert [trial.decision.n_observed for trial in campaign.trials] == [0, 0, 1, 2]


def test_a_later_step_gets_what_an_earlier_one_returned() -> None:
    seen: list[Any] = []

    def second(lab: ToyLab, s: sdl.Settings) -> Plan:
        seen.append(s.results["first"]["signal0"].value)
        return (yield from cell_plan(1)(lab, s))

    experiment = sdl.Experiment(
        sdl.Step("first", cell_plan(0), station="cell0"),
        sdl.Step("second", second, station="cell1"),
        evaluate=lambda results, s: {"signal": "2 V" if results["second"] else "0 V"},
    )
    campaign = toy_campaign(ToyLab(n_cells=2), experiment=experiment)
    campaign.run(trials=1)
    assert campaign.trials[0].observation is not None
    assert campaign.trials[0].observation.outcomes["signal"].value == 2.0
    assert seen
    assert seen[0] == pytest.approx((campaign.trials[0].values["x"] - 0.3) ** 2)  # type: ignore[operator]


def test_what_a_failed_trial_measured_before_is_kept() -> None:
    def broken(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor1, s["x"])
        raise RuntimeError("no beam")

    experiment = sdl.Experiment(
        sdl.Step("first", cell_plan(0), station="cell0"), sdl.Step("second", broken, station="cell1")
    )
    campaign = toy_campaign(ToyLab(n_cells=2), experiment=experiment, objective=sdl.Minimize("signal0", unit="V"))
    campaign.run(trials=1)
    failure = campaign.trials[0].failure
    assert failure is not None
    assert failure.step == "second"
    assert failure.partial["signal0"].unit == "V"
    assert len(failure.runs) == 2


def test_an_unknown_station_is_refused_before_anything_runs() -> None:
    experiment = sdl.Experiment(sdl.Step("first", measure, station="furnace"))
    with pytest.raises(CampaignError, match="furnace"):
        toy_campaign(experiment=experiment)


class Interfering:
    """An observer that does something when a certain trial starts."""

    def __init__(self, trial: int, action: Any) -> None:
        self.trial, self.action = trial, action

    def notify(self, event: Any, view: Any) -> None:
        if event.body.kind == "step.started" and event.trial == self.trial:
            self.action()

    def close(self, view: Any) -> None:
        pass


def test_stop_finishes_what_runs_and_starts_nothing_more() -> None:
    observer = Interfering(2, lambda: campaign.stop("tea"))
    campaign: sdl.Campaign = toy_campaign(progress=observer)
    ended = campaign.run(trials=10)
    assert (ended.status, ended.reason) == ("stopped", "tea")
    assert [trial.state.value for trial in campaign.trials] == ["completed", "completed"]
    observer.action = bool
    assert campaign.run(trials=3).status == "finished"


def test_abort_ends_the_running_step_and_says_so() -> None:
    lab = ToyLab(seconds=1e6)
    campaign: sdl.Campaign = toy_campaign(
        lab, progress=Interfering(1, lambda: threading.Timer(0.0, campaign.abort, ["fire"]).start())
    )
    ended = campaign.run(trials=3)
    assert (ended.status, ended.reason) == ("aborted", "fire")
    assert len(campaign.trials) == 1


def test_pause_lets_running_trials_end_and_resume_goes_on() -> None:
    counts: list[int] = []

    def pause() -> None:
        campaign.pause()
        threading.Timer(0.3, resume).start()

    def resume() -> None:
        counts.append(len(campaign.trials))
        campaign.resume()

    campaign = toy_campaign(progress=Interfering(2, pause))
    campaign.run(trials=4)
    assert counts == [2]
    assert len(campaign.trials) == 4


def test_the_target_ends_the_campaign() -> None:
    campaign = toy_campaign(planner=LinePlanner(), stopping=[sdl.TargetReached(0.01)])
    ended = campaign.run(trials=20)
    assert ended.reason.startswith("target reached: signal")
    assert len(campaign.trials) == 4  # x = 0.20 gives 0.01


def test_no_improvement_ends_the_campaign() -> None:
    campaign = toy_campaign(planner=LinePlanner(), stopping=[sdl.NoImprovement(3)])
    ended = campaign.run(trials=20)
    assert ended.reason == "no improvement in the last 3 completed trials"
    assert len(campaign.trials) == 9  # best at x = 0.30, the sixth


def test_a_planner_that_expects_nothing_more_ends_the_campaign() -> None:
    class Resigned(LinePlanner):
        def suggest(self, *args: Any, **kwargs: Any) -> Any:
            suggestions = super().suggest(*args, **kwargs)
            return [s.replace(decision=s.decision.replace(expected_improvement=1e-6)) for s in suggestions]

    campaign = toy_campaign(planner=Resigned(), stopping=[NoImprovementExpected(1e-3, patience=2)])
    ended = campaign.run(trials=20)
    assert ended.reason.startswith("no improvement expected")
    assert len(campaign.trials) == 2


def test_trials_that_are_not_worth_their_price_end_the_campaign() -> None:
    class Frugal(LinePlanner):
        def suggest(self, *args: Any, **kwargs: Any) -> Any:
            suggestions = super().suggest(*args, **kwargs)
            return [s.replace(decision=s.decision.replace(expected_improvement=0.02, price=5.0)) for s in suggestions]

    def trials(rule: NotWorthIt) -> tuple[int, str]:
        campaign = toy_campaign(planner=Frugal(), stopping=[rule])
        reason = campaign.run(trials=6).reason
        return len(campaign.trials), reason

    assert trials(NotWorthIt(300.0))[0] == 6  # worth 6
    n, reason = trials(NotWorthIt(200.0, patience=2))  # worth 4
    assert n == 2
    assert reason.endswith("expected to improve signal by 0.02, worth 4, and cost 5")
    assert trials(NotWorthIt(200.0, price=3.0))[0] == 6
    assert trials(NotWorthIt(100.0, price=3.0))[0] == 3


def test_laboratory_time_is_a_budget() -> None:
    campaign = toy_campaign(ToyLab(seconds=3590.0), budget=sdl.Budget(lab_time="2.5 h"))
    ended = campaign.run()
    assert "2.5 laboratory hours" in ended.reason
    assert len(campaign.trials) == 3


def test_a_trial_that_costs_more_than_is_left_does_not_start() -> None:
    lab = ToyLab()
    experiment = sdl.Experiment(sdl.Step("measure", measure), cost=lambda s: 10.0)
    campaign = toy_campaign(lab, experiment=experiment, budget=sdl.Budget(cost=25.0))
    ended = campaign.run()
    assert "does not fit the budget" in ended.reason
    assert [trial.state.value for trial in campaign.trials] == ["completed", "completed", "abandoned"]
    assert campaign.view.cost == 20.0
    assert len(lab.motor0.commands) == 2


def test_a_campaign_without_an_end_is_refused() -> None:
    with pytest.raises(CampaignError, match="neither a budget nor a stopping rule"):
        toy_campaign().run()


def test_step_runs_one_trial_and_returns_it() -> None:
    campaign = toy_campaign()
    assert campaign.step().number == 1
    assert campaign.step().number == 2


def test_set_points_beyond_a_limit_never_reach_the_instrument() -> None:
    lab = ToyLab()

    class Strict(type(lab.motor0)):  # type: ignore[misc]
        def check_value(self, value: float) -> None:
            if not 0 <= value <= 0.5:
                raise ValueError(f"{value} is beyond 0.5")

    lab.motor0.__class__ = Strict
    campaign = toy_campaign(lab, planner=LinePlanner())
    campaign.run(trials=12)
    refused = [trial for trial in campaign.trials if trial.failure is not None]
    assert {trial.failure.category for trial in refused if trial.failure} == {FailureCategory.LIMIT}
    assert [trial.number for trial in refused] == [11, 12]
    assert max(lab.motor0.commands) <= 0.5


def test_two_objectives_make_a_front_and_no_single_best() -> None:
    def both(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor0, s["x"])
        x = s["x"]
        assert isinstance(x, float)
        return {"a": x, "b": 1 - x if x < 0.5 else 2.0}

    campaign = toy_campaign(experiment=both, objective=[sdl.Minimize("a"), sdl.Minimize("b")], planner=LinePlanner())
    campaign.run(trials=12)
    assert [trial.number for trial in campaign.pareto] == list(range(1, 10))
    with pytest.raises(CampaignError, match="pareto"):
        _ = campaign.best


def test_outcome_constraints_decide_who_may_be_best() -> None:
    def both(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor0, s["x"])
        return {"a": s["x"], "b": s["x"]}

    campaign = toy_campaign(
        experiment=both,
        objective=sdl.Minimize("a"),
        outcome_constraints=[sdl.OutcomeConstraint("b", lower=0.22)],
        planner=LinePlanner(),
    )
    campaign.run(trials=8)
    assert campaign.best is not None
    assert campaign.best.number == 5
    assert SPACE.contains(campaign.best.values)


def costly(lab: ToyLab, cost: float = 1.0, **options: Any) -> sdl.Campaign:
    experiment = sdl.Experiment(sdl.Step("measure", measure), cost=cost)
    return toy_campaign(lab, experiment=experiment, planner=LinePlanner(), **options)


def test_with_several_in_flight_the_trials_that_fit_the_budget_still_run() -> None:
    campaign = costly(ToyLab(), budget=sdl.Budget(cost=3.0), in_flight=4)
    ended = campaign.run()
    assert "budget of 3" in ended.reason
    assert [trial.state.value for trial in campaign.trials] == ["completed"] * 3 + ["abandoned"]
    assert campaign.view.cost == 3.0


def test_every_attempt_costs_and_a_retry_needs_its_share_of_the_budget() -> None:
    lab = ToyLab()
    lab.motor0.error = RuntimeError("stalled")
    campaign = costly(lab, budget=sdl.Budget(cost=2.0), on_failure=FailurePolicy(retries=9))
    campaign.run()
    assert campaign.view.cost == 2.0
    assert len(lab.motor0.commands) == 2


def test_a_trial_that_is_aborted_between_two_steps_costs_as_well() -> None:
    class AtEnd(Interfering):
        def notify(self, event: Any, view: Any) -> None:
            if event.body.kind == "step.ended":
                self.action()

    campaign: sdl.Campaign = toy_campaign(
        experiment=sdl.Experiment(sdl.Step("make", measure), sdl.Step("measure", measure), cost=2.5),
        progress=AtEnd(1, lambda: campaign.abort("smoke")),
    )
    assert campaign.run(trials=1).status == "aborted"
    assert [trial.state.value for trial in campaign.trials] == ["failed"]
    assert campaign.view.cost == 2.5


def test_trials_that_were_left_over_keep_to_the_budget_and_to_the_slots() -> None:
    journal = MemoryJournal()
    first: sdl.Campaign = costly(
        ToyLab(), journal=journal, in_flight=4, progress=Interfering(1, lambda: first.stop("tea"))
    )
    first.run(trials=4)
    assert [trial.state.value for trial in first.trials] == ["completed"] + ["proposed"] * 3
    lab = ToyLab()
    second = costly(lab, journal=journal, budget=sdl.Budget(cost=3.0))
    second.run()
    assert len(lab.motor0.commands) == 2
    assert second.view.cost == 3.0


def test_a_planner_that_has_no_more_is_not_asked_again_before_something_is_learned() -> None:
    asked: list[int] = []

    class Dry(LinePlanner):
        def suggest(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(1)
            return super().suggest(*args, **kwargs) if len(asked) < 2 else []

    lab = ToyLab(seconds=0.3, clock=sdl.WallClock())
    lab.detector0.settle = 0.01
    campaign = toy_campaign(lab, planner=Dry(), in_flight=3, planner_place="thread")
    campaign.run(trials=9)
    assert len(campaign.trials) == 3
    assert len(asked) <= 5


def test_time_between_two_sessions_is_no_laboratory_time() -> None:
    journal = MemoryJournal()
    lab = ToyLab()
    toy_campaign(lab, journal=journal).run(trials=2)
    lab.clock.advance_to(lab.clock.time() + 1e6)
    later = toy_campaign(lab, journal=journal)
    later.run(trials=3)
    assert later.view.lab_seconds == pytest.approx(3 * 70, abs=5)


def test_failures_in_a_row_are_counted_over_single_steps() -> None:
    lab = ToyLab()
    lab.motor0.error = RuntimeError("stalled")
    campaign = toy_campaign(lab, on_failure=FailurePolicy(max_in_a_row=2))
    campaign.step()
    with pytest.raises(CampaignError, match="2 failures in a row"):
        campaign.step()
    assert len(campaign.trials) == 2


def test_a_step_that_a_rule_forbids_says_so() -> None:
    campaign = toy_campaign(planner=LinePlanner(), stopping=[sdl.TargetReached(0.1)])
    campaign.step()
    with pytest.raises(CampaignError, match="target reached"):
        campaign.step()


def test_a_trial_that_joins_the_front_is_an_improvement() -> None:
    def both(lab: ToyLab, s: sdl.Settings) -> Plan:
        yield from bps.mv(lab.motor0, s["x"])
        return {"a": s.number("x"), "b": 1 - s.number("x")}

    campaign = toy_campaign(
        experiment=both,
        objective=[sdl.Minimize("a"), sdl.Minimize("b")],
        planner=LinePlanner(),
        stopping=[sdl.NoImprovement(3)],
    )
    campaign.run(trials=8)
    assert len(campaign.pareto) == 8


def test_a_context_that_the_space_does_not_know_is_refused_by_name() -> None:
    class Humid(ToyLab):
        def context(self) -> dict[str, float | str]:
            return {"humidity": 0.4}

    with pytest.raises(LabError, match="humidity"):
        toy_campaign(Humid()).run(trials=1)
