"""What becomes of a step that was cut off, by a crash or by a device that did not say how its act ended.

The journal says which acts that may not be repeated were intended, and how they ended. From that alone follows what may
be done by itself, and what may not:

=====================================================  =================================================================
the acts of the step                                   what happens
=====================================================  =================================================================
none was begun, or none of them happened               the step begins again
at least one happened, and none of them is in doubt    its plan for the rest runs, where the step has one
one failed, or is not known to have ended              it is unknown: the device's own probe is asked, then the policy
=====================================================  =================================================================

Steps that had ended do not run again; what they returned comes back from the journal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import JsonValue

from sdl.campaign.budget import OnUnknown, UnknownPolicy
from sdl.campaign.planner import TrialState
from sdl.campaign.returned import CannotRestore, restored
from sdl.campaign.trace import Trace
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.failpoints import fail_point
from sdl.journal.acts import ActAnswer, ActResolved, StepRecovered
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    Body,
    Failure,
    FailureCategory,
    TrialAbandoned,
    TrialFailed,
    TrialResolved,
    TrialUnknown,
)
from sdl.lab import Experiment, Job, Lab, Settings, Step
from sdl.lab.actions import ActionClass, ActRecord, Evidence, device_called

PROBE_TIMEOUT = 300.0
"""Clock seconds that a device's probe may take."""

PROBE = "engine:reconcile"
"""Who answers for a device's probe."""

Answer = Literal["redo", "failed", "abandoned"]
"""What may become of an unknown trial."""


class ActVerdict(NamedTuple):
    """What a person says of an act."""

    answer: ActAnswer
    because: str
    by: str = "operator"


@dataclass(frozen=True)
class Questions:
    """Whom to ask, where the policy says so. None leaves it for later."""

    about_act: Callable[[Trial, ActRecord], ActVerdict | None]
    about_trial: Callable[[Trial], Answer | None]


class Record(Protocol):
    """Records bodies together."""

    def __call__(self, *bodies: Body, trial: int | None = None, actor: str = "engine") -> None:
        """Record *bodies* of *trial*."""
        ...


class Verdict(NamedTuple):
    """What may be done with a step that was cut off. ``policy``: nothing by itself."""

    action: Literal["redo", "resume", "go_on", "restart", "policy"]
    step: str
    reason: str


@dataclass(frozen=True)
class Continuation:
    """A trial goes on where it was cut off.

    Parameters
    ----------
    trial, attempt
        Which.
    next_step
        The index of the step that runs next.
    resumes
        Whether its plan for the rest runs, and not the plan itself.
    results, runs
        What the steps before it returned, and their bluesky runs.
    ended_at
        When each of them ended, in UTC seconds.
    station, members
        Where the step was cut off, and the trials that its run treated; empty where none was, or where it treated one.
    keeps
        The stations that stay with the trial.
    """

    trial: int
    attempt: int
    next_step: int
    resumes: bool = False
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    runs: Sequence[str] = ()
    ended_at: Mapping[str, float] = field(default_factory=dict[str, float])
    station: str = ""
    members: Sequence[int] = ()
    keeps: Sequence[str] = ()


def verdict(steps: Sequence[Step], trace: Trace, *, keeps_state: bool, lost: str = "") -> Verdict:
    """Decide by the journal alone what may be done with an attempt that was cut off.

    Parameters
    ----------
    steps
        Of the experiment.
    trace
        What the journal says of the attempt.
    keeps_state
        Whether the laboratory is as the dead process left it.
    lost
        Why a result of an earlier step cannot be restored; empty where all can.
    """
    begun_step = trace.step_begun
    done = trace.names_done
    step = next((step for step in steps if step.name not in done), steps[-1])
    if not keeps_state:
        return _begins_anew(step.name, trace)
    if lost:
        return Verdict("policy", step.name, lost)
    if begun_step is None:
        ended = trace.steps_done
        return Verdict("go_on", step.name, f"step {ended[-1].step} had ended" if ended else "no step had begun")
    if begun_step.step != step.name:
        return Verdict(
            "policy", step.name, f"step {begun_step.step} was cut off, and the experiment now has {step.name}"
        )
    acts = trace.of_step(step.name)
    return _of_unknown(step.name, acts) or _of_known(step, acts)


def _begins_anew(step: str, trace: Trace) -> Verdict:
    anew = "the simulated instruments begin anew with the process"
    if trace.begun:
        return Verdict("policy", step, f"{anew}, and what {trace.begun[0]} did is gone")
    return Verdict("restart", step, f"{anew}, and nothing had been done that may not be repeated")


def _of_unknown(step: str, acts: Sequence[ActRecord]) -> Verdict | None:
    unknown = [act for act in acts if act.is_unknown]
    if unknown:
        return Verdict("policy", step, f"{unknown[0]} was begun, and nobody knows whether it was done")
    failed = [act for act in acts if act.has_happened is None]
    if failed:
        return Verdict("policy", step, f"{failed[0]} failed, perhaps half way: {failed[0].reason}")
    return None


def _of_known(step: Step, acts: Sequence[ActRecord]) -> Verdict:
    done = [act for act in acts if act.has_happened]
    if not done:
        said = "it had begun nothing that may not be repeated" if not acts else "none of its acts had happened"
        return Verdict("redo", step.name, said)
    if step.resume is not None:
        return Verdict("resume", step.name, f"{done[-1]} was done, and the step says how to go on")
    return Verdict("policy", step.name, f"{done[-1]} was done, and the step does not say how to go on after it")


class Recovery:
    """Decides, and records what it decides and why. Used by the campaign's thread only."""

    def __init__(
        self,
        *,
        view: CampaignView,
        journal: Journal,
        lab: Lab,
        experiment: Experiment,
        policy: UnknownPolicy,
        questions: Questions,
        record: Record,
    ) -> None:
        self._view = view
        self._journal = journal
        self._lab = lab
        self._experiment = experiment
        self._policy = OnUnknown.of(policy)
        self._questions = questions
        self._record = record

    def recover(self, number: int) -> Continuation | None:
        """The last session left trial *number* behind: decide what becomes of it.

        Returns
        -------
        Where it goes on; None where it does not, or is proposed again.
        """
        gone = f"the process that ran session {self._view.session - 1} is gone"
        return self._decide(number, gone, may_ask=True, keeps_state=self._lab.keeps_state)

    def interrupted(self, number: int, reason: str, *bodies: Body) -> Continuation | None:
        """A step of trial *number* ended, and an act of it did not say how: decide what becomes of the trial.

        *bodies* are recorded with it. Nobody is asked in the middle of a session: the trial is parked.
        """
        self._become_unknown(number, reason, *bodies)
        return self._decide(number, reason, may_ask=False, keeps_state=True)

    def answered(self, number: int) -> Continuation | None:
        """A person has said what became of acts of the parked trial *number*: decide again, in a running session."""
        return self._decide(number, "a person has answered", may_ask=False, keeps_state=True)

    def _decide(self, number: int, why: str, *, may_ask: bool, keeps_state: bool) -> Continuation | None:
        trace = self._view.trace(number)
        self._reconcile(trace)
        results, lost = self._results(trace)
        decide = partial(self._verdict, trace, keeps_state=keeps_state, lost=lost)
        found = decide()
        if found.action == "policy":
            self._become_unknown(number, f"{why}: {found.reason}", self._recovered(trace, found))
            if may_ask and self._ask_about_acts(number, trace):
                found = decide()
        if found.action == "policy":
            self._apply_policy(number, trace, found, may_ask=may_ask)
            return None
        return self._go_on(number, trace, found, results)

    def _verdict(self, trace: Trace, *, keeps_state: bool, lost: str) -> Verdict:
        found = verdict(self._experiment.steps, trace, keeps_state=keeps_state, lost=lost)
        begun = trace.step_begun
        if found.action == "resume" and begun is not None and begun.station not in self._lab.stations:
            gone = f"it was cut off in station {begun.station!r}, which the laboratory does not have any more"
            return Verdict("policy", found.step, gone)
        return found

    # --- finding out ----------------------------------------------------------------------------------------------

    def _reconcile(self, trace: Trace) -> None:
        """Ask the devices' own probes of the acts that nobody knows of."""
        for act in trace.unknown:
            if is_said_by_person(act):
                continue
            evidence = self._recalled(act) or (self._probe(act) if self._policy.reconcile else None)
            if evidence is None or (act.answer, act.evidence) == (evidence.answer, str(evidence)):
                continue
            fail_point("recovery.before_evidence")
            resolved = ActResolved(act=act.act, answer=evidence.answer, evidence=str(evidence))
            self._record(resolved, trial=act.trial, actor=PROBE)
            fail_point("recovery.after_evidence")

    def _recalled(self, act: ActRecord) -> Evidence | None:
        """Return what the station itself knows of *act*, where it keeps a book of its own."""
        station = self._lab.stations.get(act.station)
        may_probe = self._policy.reconcile
        return None if station is None else station.recall(act, self._view.name, may_probe=may_probe)

    def _probe(self, act: ActRecord) -> Evidence | None:
        """Return what the device says of *act*; None where it has no probe, or is not there."""
        device = device_called(act.device, self._lab.devices)
        probe = getattr(device, "reconcile", None)
        station = self._lab.stations.get(act.station)
        if not callable(probe) or station is None:
            return None

        from sdl.lab.messages import Steps, message  # noqa: PLC0415 # bluesky takes half a second

        async def ask() -> object:
            answer = probe(act)
            return await answer if inspect.isawaitable(answer) else answer

        def plan() -> Steps[object]:
            done = yield message("wait_for", None, [ask], timeout=PROBE_TIMEOUT)
            return done[0].result()

        md: dict[str, JsonValue] = {"campaign": self._view.name, "trial": act.trial, "step": "reconcile"}
        result = station.run(Job(plan, md=md))
        if isinstance(result.value, Evidence):
            return result.value
        why = result.error or f"it answered {result.value!r}, which is no Evidence"
        return Evidence("cannot_tell", f"the probe of {act.device} could not tell: {why}")

    def _results(self, trace: Trace) -> tuple[dict[str, Any], str]:
        """Return what the finished steps returned, and why that is impossible."""
        try:
            return {ended.step: restored(ended, self._journal) for ended in trace.steps_done}, ""
        except CannotRestore as error:
            return {}, error.message

    def _ask_about_acts(self, number: int, trace: Trace) -> bool:
        """Ask a person about every act that nobody knows of, where the policy for its class says so."""
        answered = False
        for act in trace.unknown:
            if is_said_by_person(act) or self._policy.for_class(act.action_class) != "ask":
                continue
            said = self._questions.about_act(self._view.trial(number), act)
            if said is None:
                return answered
            resolved = ActResolved(act=act.act, answer=said.answer, evidence=said.because)
            self._record(resolved, trial=number, actor=said.by)
            answered = True
        return answered

    # --- deciding -------------------------------------------------------------------------------------------------

    def _apply_policy(self, number: int, trace: Trace, found: Verdict, *, may_ask: bool) -> None:
        chosen, reason = choose(self._policy, OnUnknown.recorded(trace.policy), trace)
        if chosen != "ask":
            self._resolve(number, chosen, f"{reason}: {found.reason}", "engine")
            return
        answer = self._questions.about_trial(self._view.trial(number)) if may_ask else None
        if answer is not None:
            self._resolve(number, answer, f"answered by a person: {found.reason}", "operator")

    def _resolve(self, number: int, answer: Answer, reason: str, actor: str) -> None:
        fail_point("recovery.before_resolution")
        self._record(*resolution(answer, reason, self._view.record(number).reason), trial=number, actor=actor)
        fail_point("recovery.after_resolution")

    def _become_unknown(self, number: int, reason: str, *bodies: Body) -> None:
        """Record that nobody knows; *bodies* too, unless it was known before that nobody knows."""
        record = self._view.record(number)
        if record.state is TrialState.UNKNOWN:
            return
        values = record.proposal.values
        settings = Settings(values, units=self._view.units, trial=number, attempt=record.attempts)
        unknown = TrialUnknown(attempt=record.attempts, reason=reason, cost=self._experiment.cost_of(settings))
        fail_point("recovery.before_unknown")
        self._record(*bodies, unknown, trial=number)
        fail_point("recovery.after_unknown")

    def _recovered(self, trace: Trace, found: Verdict) -> StepRecovered:
        return StepRecovered(attempt=trace.attempt, step=found.step, action=found.action, reason=found.reason)

    def _go_on(self, number: int, trace: Trace, found: Verdict, results: Mapping[str, Any]) -> Continuation | None:
        bodies: list[Body] = [self._recovered(trace, found)]
        if self._view.record(number).state is TrialState.UNKNOWN:
            is_anew = found.action == "restart"
            bodies.append(TrialResolved(answer="redo" if is_anew else "continue", reason=found.reason))
        fail_point("recovery.before_decision")
        self._record(*bodies, trial=number)
        fail_point("recovery.after_decision")
        if found.action == "restart":
            return None
        names = [step.name for step in self._experiment.steps]
        is_over = set(names) <= set(trace.names_done)  # it was about to be evaluated
        begun = trace.step_begun
        return Continuation(
            trial=number,
            attempt=trace.attempt,
            next_step=len(names) if is_over else names.index(found.step),
            resumes=found.action == "resume",
            results=results,
            runs=[run for ended in trace.steps_done for run in ended.runs],
            ended_at={body.step: time for body, time in trace.ends},
            station="" if begun is None else begun.station,
            members=() if begun is None else begun.members,
            keeps=trace.steps_done[-1].keeps if trace.steps_done else (),
        )


def choose(policy: OnUnknown, before: OnUnknown, trace: Trace) -> tuple[Literal["ask", "failed", "redo"], str]:
    """Return what the policy says of an unknown attempt, and why.

    Parameters
    ----------
    policy, before
        The campaign's policy now, and as it was recorded when the attempt began: only that can have agreed to a redo.
    trace
        The attempt. The most careful answer for any of its acts holds.
    """
    discarded = [act for act in trace.unknown if is_said_by_person(act)]
    if discarded:
        return "failed", f"{discarded[0].answered_by} cannot tell, so the sample is discarded"
    classes = list(dict.fromkeys(act.action_class for act in trace.begun)) or list(OnUnknown.CLASSES)
    answers = {policy.for_class(each) for each in classes}
    if "ask" in answers:
        return "ask", "a person decides"
    if "failed" in answers:
        return "failed", f"by the policy for {_named(classes)} acts"
    if trace.attempt > policy.redos:
        return "failed", f"it was begun {trace.attempt} times, and the policy allows {policy.redos} redos"
    if all(before.for_class(each) == "redo" for each in classes):
        return "redo", f"by the policy for {_named(classes)} acts, agreed before the attempt began ({before.consent})"
    return "ask", "nobody had agreed to a redo when the attempt began"


def is_said_by_person(act: ActRecord) -> bool:
    """Whether a person has answered what became of *act*; no probe has a say then."""
    return act.answered_by not in {"", PROBE}


def resolution(answer: Answer, reason: str, unknown_because: str) -> list[Body]:
    """Return the events that say what becomes of an unknown trial, and carry it out."""
    resolved = TrialResolved(answer=answer, reason=reason)
    match answer:
        case "redo":
            return [resolved]  # the trial is proposed again
        case "failed":
            failure = Failure(category=FailureCategory.INTERRUPTED, reason=unknown_because)
            return [resolved, TrialFailed(failure=failure)]
        case "abandoned":
            return [resolved, TrialAbandoned(reason=unknown_because)]


def _named(classes: Sequence[ActionClass]) -> str:
    return " and ".join(each.value for each in classes)
