"""What may be done with a step that was cut off, decided from the journal alone; and how results come back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from toy import SPACE, Motor, Plan, Status, bodies

import sdl
from sdl.campaign import OnUnknown, TrialState
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.recovery import choose, resolution, verdict
from sdl.campaign.returned import MAX_RETURNED, CannotRestore, restored, written
from sdl.campaign.trace import Trace
from sdl.errors import DeviceTimeout, ProblemError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.acts import ActAnswer, ActEnded, ActIntended, ActOutcome, ActResolved, StepRecovered
from sdl.journal.records import AttemptFailed, Event, StepEnded, StepStarted, TrialResolved, TrialUnknown
from sdl.lab import ActRecord, Evidence, Step
from sdl.problem import units


def plan(lab: Any, s: Any) -> Plan:
    yield from bps.null()


STEPS = (Step("make", plan), Step("heat", plan, resume=plan), Step("measure", plan))


def event(body: Any, actor: str = "engine") -> Event:
    return MemoryJournal().append(Entry(body, "c", 1, actor=actor))[0]


def intended(n: int, step: str, action: Any = "cumulative") -> ActIntended:
    return ActIntended(
        act=f"1.1.{step}.{n}", step=step, station="s", attempt=1, device="d", verb="set", action_class=action
    )


def trace_of(
    *acts: ActOutcome | None, step: str = "make", done: tuple[str, ...] = (), action: str = "cumulative"
) -> Trace:
    """An attempt in which *done* had ended, and *step* had begun acts with these outcomes."""
    trace = Trace()
    for name in done:
        trace.fold_step(event(StepStarted(step=name, station="s", attempt=1)))
        ended = StepEnded(step=name, station="s", attempt=1, is_success=True, seconds=1.0, returned_as={})
        trace.fold_step(event(ended))
    if step:
        trace.fold_step(event(StepStarted(step=step, station="s", attempt=1)))
    for n, outcome in enumerate(acts, 1):
        trace.fold_act(event(intended(n, step, action)))
        if outcome is not None:
            trace.fold_act(event(ActEnded(act=f"1.1.{step}.{n}", outcome=outcome, seconds=1.0)))
    return trace


def answered(trace: Trace, answer: ActAnswer, actor: str = "engine:reconcile") -> Trace:
    for act in trace.unknown:
        trace.fold_act(event(ActResolved(act=act.act, answer=answer, evidence="seen"), actor))
    return trace


HEAT: dict[str, Any] = {"step": "heat", "done": ("make",)}


@pytest.mark.parametrize(
    ("trace", "action", "step", "reason"),
    [
        (trace_of(), "redo", "make", "begun nothing that may not be repeated"),
        (trace_of("refused"), "redo", "make", "none of its acts had happened"),
        (trace_of("done"), "policy", "make", "does not say how to go on"),
        (trace_of("done", **HEAT), "resume", "heat", "says how to go on"),
        (trace_of("done", "refused", **HEAT), "resume", "heat", "says how to go on"),
        (trace_of(None, **HEAT), "policy", "heat", "nobody knows"),
        (trace_of("unknown", **HEAT), "policy", "heat", "nobody knows"),
        (trace_of("done", None, **HEAT), "policy", "heat", "nobody knows"),
        (trace_of("failed", **HEAT), "policy", "heat", "perhaps half way"),
        (trace_of(step="", done=("make", "heat")), "go_on", "measure", "step heat had ended"),
        (trace_of(step="", done=()), "go_on", "make", "no step had begun"),
        (trace_of(step="paint", done=("make",)), "policy", "heat", "the experiment now has heat"),
        (answered(trace_of(None, **HEAT), "happened"), "resume", "heat", "says how to go on"),
        (answered(trace_of(None, **HEAT), "did_not_happen"), "redo", "heat", "none of its acts had happened"),
        (answered(trace_of(None, **HEAT), "cannot_tell"), "policy", "heat", "nobody knows"),
        (answered(trace_of("done", None, **HEAT), "did_not_happen"), "resume", "heat", "says how to go on"),
    ],
)
def test_the_journal_decides(trace: Trace, action: str, step: str, reason: str) -> None:
    found = verdict(STEPS, trace, keeps_state=True)
    assert (found.action, found.step) == (action, step)
    assert reason in found.reason


def test_simulated_instruments_begin_anew() -> None:
    assert verdict(STEPS, trace_of(), keeps_state=False).action == "restart"
    assert verdict(STEPS, trace_of("refused", **HEAT), keeps_state=False).action == "restart"
    assert verdict(STEPS, trace_of("done", **HEAT), keeps_state=False).action == "policy"


def test_a_result_that_is_lost_is_a_reason() -> None:
    found = verdict(STEPS, trace_of(**HEAT), keeps_state=True, lost="step make returned a file handle")
    assert (found.action, found.reason) == ("policy", "step make returned a file handle")


REDO = OnUnknown(cumulative="redo", irreversible="failed", transfer="ask", consent="Kim: a new vial each time")


def test_the_most_careful_answer_for_any_act_holds() -> None:
    both = trace_of(None)
    both.fold_act(event(intended(2, "make", "irreversible")))
    every = trace_of(None)
    every.fold_act(event(intended(2, "make", "irreversible")))
    every.fold_act(event(intended(3, "make", "transfer")))
    assert choose(REDO, REDO, trace_of(None))[0] == "redo"
    assert choose(REDO, REDO, both)[0] == "failed"
    assert choose(REDO, REDO, every)[0] == "ask"
    assert choose(REDO, REDO, Trace())[0] == "ask"  # a lost result, and no act to go by


def test_a_redo_needs_consent_from_before() -> None:
    assert choose(REDO, OnUnknown(), trace_of(None)) == ("ask", "nobody had agreed to a redo when the attempt began")
    with pytest.raises(ProblemError, match="nobody has agreed"):
        OnUnknown(transfer="redo")


def test_a_trial_is_not_done_again_for_ever() -> None:
    few = REDO.replace(redos=2)
    traces = [Trace(attempt=attempt) for attempt in (2, 3)]
    for trace in traces:
        trace.fold_act(event(intended(1, "make", "cumulative")))
    assert [choose(few, few, trace)[0] for trace in traces] == ["redo", "failed"]
    assert "begun 3 times" in choose(few, few, traces[1])[1]


def test_a_person_who_cannot_tell_discards_the_sample() -> None:
    chosen, reason = choose(REDO, REDO, answered(trace_of(None), "cannot_tell", "Kim"))
    assert (chosen, reason) == ("failed", "Kim cannot tell, so the sample is discarded")
    assert choose(REDO, REDO, answered(trace_of(None), "cannot_tell"))[0] == "redo"  # a probe that cannot


@pytest.mark.parametrize("given", ["ask", "failed", "redo", REDO])
def test_a_policy_comes_back_from_the_journal(given: Any) -> None:
    policy = OnUnknown.of(given)
    assert OnUnknown.recorded(policy.model_dump(mode="json")) == policy
    if given in {"ask", "failed", "redo"}:
        assert OnUnknown.recorded(given) == policy
    assert OnUnknown.recorded(None) == OnUnknown()


def test_what_a_person_decides_is_carried_out_with_it() -> None:
    kinds = {answer: [body.kind for body in resolution(answer, "r", "u")] for answer in ("redo", "failed", "abandoned")}
    assert kinds == {
        "redo": ["trial.resolved"],
        "failed": ["trial.resolved", "trial.failed"],
        "abandoned": ["trial.resolved", "trial.abandoned"],
    }


# --- what steps returned ----------------------------------------------------------------------------------------------


def back(value: object) -> object:
    journal = MemoryJournal()
    data, kinds = written(value, journal, name="x.json")
    ended = StepEnded(step="a", station="s", attempt=1, is_success=True, seconds=0.0, returned=data, returned_as=kinds)
    (kept,) = journal.append(Entry(ended, "c", 1))
    assert isinstance(kept.body, StepEnded)
    return restored(kept.body, journal)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        [1, [2.0, None]],
        (1, (2, "x")),
        {"a/b": {"~": (1.0,)}},
        {"y": sdl.Measurement(1.5, "V", standard_error=0.25, n_replicates=3)},
        {"y": [sdl.Measurement(1.5, None)]},
        math.inf,
        {"low": -math.inf},
        np.float64(0.1),
        np.int32(7),
        np.bool_(True),
        {"big": list(range(MAX_RETURNED))},
        tuple(range(MAX_RETURNED)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_comes_back_as_what_it_was(value: object) -> None:
    found = back(value)
    assert found == value
    assert type(found) is type(value)


def test_arrays_and_quantities_come_back() -> None:
    array = np.array([[0.1, math.nan], [math.inf, 4.0]], dtype=np.float32)
    found = back({"image": array, "volume": units.quantity(0.1, "mL"), "empty": np.zeros((0, 3))})
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["image"], array)
    assert found["image"].dtype == array.dtype
    assert found["empty"].shape == (0, 3)
    assert found["volume"] == units.quantity(0.1, "mL")
    assert str(found["volume"].units) == "milliliter"


@pytest.mark.parametrize("value", [object(), {"f": {1, 2}}, {1: "a"}, 1j, np.array([1j]), TrialState.RUNNING])
def test_what_cannot_come_back_says_so(value: object) -> None:
    with pytest.raises(CannotRestore, match="step a returned"):
        back(value)


# --- in a session -----------------------------------------------------------------------------------------------------


class Pump:
    """Doses; answers late, or not at all; its balance remembers."""

    parent = None
    timeout_s = 90.0
    action_classes: ClassVar[dict[str, str]] = {"set": "cumulative"}

    def __init__(self, name: str = "pump", *, seconds: float = 5.0) -> None:
        self.name = name
        self.seconds = seconds
        self.doses: list[float] = []
        self.errors: list[Exception | None] = []
        self.answer: Evidence | Exception | None = None
        self.asked: list[ActRecord] = []

    def set(self, value: float) -> Status:
        import asyncio

        self.doses.append(value)
        error = self.errors.pop(0) if self.errors else None

        async def work() -> None:
            await asyncio.sleep(self.seconds)
            if error is not None:
                raise error

        return Status(asyncio.get_running_loop().create_task(work()))

    def reconcile(self, act: ActRecord) -> Evidence:
        self.asked.append(act)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value] # None is no evidence, which is a test of its own


def dose(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.motor, s["x"])
    yield from bps.mv(lab.pump, s["x"])
    return {"signal": sdl.Measurement(1.0, "V")}


def after_dose(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.null()
    return {"signal": sdl.Measurement(float(len(s.acts)), "V")}


class Session:
    """A campaign with one pump."""

    def __init__(self) -> None:
        self.pump = Pump()
        self.journal = MemoryJournal()
        self.motor = Motor("motor", 10.0)
        self.lab = sdl.Lab("pumps", clock=sdl.VirtualClock(), pump=self.pump, motor=self.motor)

    def move_to(self, station: str) -> None:
        self.lab.close()
        self.lab = sdl.Lab(
            "pumps", clock=sdl.VirtualClock(), stations={station: ["pump", "motor"]}, pump=self.pump, motor=self.motor
        )

    def run(self, *, resume: bool = False, **options: Any) -> sdl.Campaign:
        campaign = sdl.Campaign(
            "doses",
            space=SPACE,
            objective=sdl.Minimize("signal", unit="V"),
            planner=SpaceFillingFallback(),
            experiment=sdl.Experiment(Step("dose", dose, resume=after_dose if resume else None)),
            lab=self.lab,
            journal=self.journal,
            progress=False,
            **options,
        )
        campaign.run(trials=2)
        return campaign


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.lab.close()


LATE = DeviceTimeout("no answer")


def states(campaign: sdl.Campaign) -> list[str]:
    return [trial.state.value for trial in campaign.trials]


def test_a_time_out_parks_the_trial_and_is_never_retried(session: Session) -> None:
    session.pump.errors = [LATE]
    campaign = session.run(on_failure=sdl.FailurePolicy(retries=3), on_unknown="ask")
    assert states(campaign) == ["unknown", "completed"]
    assert len(session.pump.doses) == 2
    assert not bodies(session.journal, AttemptFailed)
    (unknown,) = bodies(session.journal, TrialUnknown)
    assert "nobody knows whether it was done" in unknown.reason or "no answer" in unknown.reason


def test_a_probe_that_saw_the_dose_lets_the_step_go_on(session: Session) -> None:
    session.pump.errors = [LATE]
    session.pump.answer = Evidence("happened", "5 mL less in the bottle")
    campaign = session.run(on_unknown="ask", resume=True)
    assert states(campaign) == ["completed", "completed"]
    assert len(session.pump.doses) == 2
    assert [act.device for act in session.pump.asked] == ["pump"]
    assert [each.action for each in bodies(session.journal, StepRecovered)] == ["resume"]
    assert [each.answer for each in bodies(session.journal, TrialResolved)] == ["continue"]


BENT = RuntimeError("the needle is bent")


@pytest.mark.parametrize(
    ("policy", "doses", "reason"),
    [
        ("ask", 2, "on_unknown says 'ask'"),
        ("failed", 2, "on_unknown says 'failed'"),
        (OnUnknown(cumulative="redo", consent="Kim: every attempt has a new vial"), 3, ""),
    ],
)
def test_a_failed_trial_is_tried_again_after_acts_only_with_consent(
    session: Session, policy: Any, doses: int, reason: str
) -> None:
    session.pump.errors = [BENT]
    campaign = session.run(on_failure=sdl.FailurePolicy(retries=1), on_unknown=policy)
    assert len(session.pump.doses) == doses
    failure = campaign.trials[0].failure
    assert (failure is None) == (not reason)
    if failure is not None:
        assert "needle is bent" in failure.reason
        assert "not tried again" in failure.reason
        assert reason in failure.reason


def test_the_rest_of_a_step_runs_where_it_was_cut_off_though_another_station_is_free() -> None:
    """The sample is in there."""
    journal = MemoryJournal()
    pumps = {"a": Pump("pump_a"), "b": Pump("pump_b", seconds=60.0)}
    pumps["b"].errors, pumps["b"].answer = [LATE], Evidence("happened", "5 mL less in the bottle")

    def dose_there(lab: Any, s: sdl.Settings) -> Plan:
        yield from bps.mv(pumps[s.station], s["x"])
        return {"signal": sdl.Measurement(1.0, "V")}

    stations = {name: [pump.name] for name, pump in pumps.items()}
    devices: dict[str, Any] = {pump.name: pump for pump in pumps.values()}
    with sdl.Lab("pumps", clock=sdl.VirtualClock(), stations=stations, **devices) as lab:
        campaign = sdl.Campaign(
            "doses",
            space=SPACE,
            objective=sdl.Minimize("signal", unit="V"),
            planner=SpaceFillingFallback(),
            experiment=sdl.Experiment(Step("dose", dose_there, station=["a", "b"], resume=after_dose)),
            lab=lab,
            journal=journal,
            in_flight=2,
            on_unknown="ask",
            progress=False,
        )
        campaign.run(trials=2)
    assert states(campaign) == ["completed", "completed"]
    assert [body.station for body in bodies(journal, StepStarted)] == ["a", "b", "b"]


def test_the_rest_of_a_step_runs_nowhere_where_its_station_is_gone(session: Session) -> None:
    session.pump.errors = [LATE]
    session.run(resume=True, on_unknown="ask")
    (act,) = (body.act for body in bodies(session.journal, ActIntended) if body.act.startswith("1."))
    answer = ActResolved(act=act, answer="happened", evidence="a full vial")
    session.journal.append(Entry(answer, "doses", 1, actor="kim"))
    session.move_to("next_door")
    campaign = session.run(resume=True, on_unknown="failed")
    assert states(campaign) == ["failed", "completed"]
    (resolved,) = bodies(session.journal, TrialResolved)
    assert "cut off in station 'pumps', which the laboratory does not have any more" in resolved.reason


def test_a_probe_that_saw_nothing_lets_the_step_begin_again(session: Session) -> None:
    session.pump.errors = [LATE]
    session.pump.answer = Evidence("did_not_happen", "as much in the bottle as before")
    campaign = session.run(on_unknown="ask")
    assert states(campaign) == ["completed", "completed"]
    acts = [body.act for body in bodies(session.journal, ActIntended)]
    assert acts == ["1.1.dose.1", "1.1.dose.2", "2.1.dose.1"]
    assert [each.action for each in bodies(session.journal, StepRecovered)] == ["redo"]


@pytest.mark.parametrize("answer", [None, RuntimeError("the balance is off")])
def test_a_probe_that_fails_cannot_tell(session: Session, answer: Exception | None) -> None:
    session.pump.errors = [LATE]
    session.pump.answer = answer
    campaign = session.run(on_unknown="ask")
    assert states(campaign) == ["unknown", "completed"]
    (found,) = bodies(session.journal, ActResolved)
    assert found.answer == "cannot_tell"
    assert "the probe of pump could not tell" in found.evidence


def test_by_policy_an_unknown_trial_is_given_up_or_done_again(session: Session) -> None:
    session.pump.errors = [LATE]
    assert states(session.run(on_unknown=OnUnknown(cumulative="failed", reconcile=False))) == ["failed", "completed"]
    assert not session.pump.asked


def test_with_consent_the_whole_trial_is_done_again(session: Session) -> None:
    session.pump.errors = [LATE]
    campaign = session.run(on_unknown=REDO)
    assert [trial.attempts for trial in campaign.trials] == [2, 1]
    assert states(campaign) == ["completed", "completed"]
    assert [body.act for body in bodies(session.journal, ActIntended)] == ["1.1.dose.1", "1.2.dose.1", "2.1.dose.1"]


def test_a_person_answers_in_the_store_and_the_next_session_goes_on(session: Session) -> None:
    session.pump.errors = [LATE]
    session.run(on_unknown="ask", resume=True)
    said = ActResolved(act="1.1.dose.1", answer="happened", evidence="the vial is full")
    session.journal.append(Entry(said, "doses", 1, actor="Kim"))
    campaign = session.run(on_unknown="ask", resume=True)
    assert states(campaign) == ["completed", "completed"]
    assert len(session.pump.doses) == 2
    observation = campaign.trials[0].observation
    assert observation is not None
    assert observation.outcomes["signal"].value == 1.0, "the plan for the rest is told of the act that was done"


def test_a_person_who_cannot_tell_ends_the_trial(session: Session) -> None:
    session.pump.errors = [LATE]
    session.run(on_unknown="ask")
    said = ActResolved(act="1.1.dose.1", answer="cannot_tell", evidence="somebody has washed up")
    session.journal.append(Entry(said, "doses", 1, actor="Kim"))
    campaign = session.run(on_unknown="ask")
    assert states(campaign) == ["failed", "completed"]
    assert "Kim cannot tell" in bodies(session.journal, TrialResolved)[-1].reason
