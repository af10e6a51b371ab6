"""What the journal says of one campaign, as answers: how it stands, its trials, what is asked, its results."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sdl.campaign.approvals import Approval
from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import Budget
from sdl.campaign.planner import TrialState
from sdl.campaign.progress import seconds_left
from sdl.campaign.trials import Trial
from sdl.campaign.view import ACT_KINDS, CampaignView
from sdl.errors import CampaignError
from sdl.export.tables import columns, moment, winners
from sdl.journal.protocol import Journal
from sdl.journal.records import Comment, Decision, ParameterValue, Prediction, StepEnded, StepStarted
from sdl.lab.actions import ActRecord
from sdl.problem import Categorical, Fixed, Objective, Target
from sdl.problem.value import FrozenMap
from sdl.server import models
from sdl.server.dossiers import Dossier
from sdl.server.identities import Identity, Role
from sdl.server.rehearsal import Rehearsal


def settings(values: Mapping[str, ParameterValue], view: CampaignView) -> FrozenMap[models.ParameterSetting]:
    """Return parameter values with their units."""
    return {name: models.ParameterSetting(value=value, unit=view.units[name]) for name, value in values.items()}


# --- a campaign -------------------------------------------------------------------------------------------------------


def goals(objectives: Iterable[Objective]) -> tuple[models.Goal, ...]:
    """Return the objectives."""
    return tuple(
        models.Goal(
            outcome=each.outcome,
            goal=each.kind,
            unit=each.unit,
            value=each.value if isinstance(each, Target) else None,
            low=each.low if isinstance(each, Target) else None,
            high=each.high if isinstance(each, Target) else None,
        )
        for each in objectives
    )


def problem_info(view: CampaignView) -> models.ProblemInfo:
    """Return what the campaign asks."""
    problem = view.problem
    return models.ProblemInfo(
        parameters=tuple(_parameter(view, name) for name in problem.space.parameters),
        objectives=goals(problem.objectives),
        outcome_constraints=tuple(
            models.ConstraintInfo(outcome=each.outcome, lower=each.lower, upper=each.upper, unit=each.unit)
            for each in problem.outcome_constraints
        ),
    )


def _parameter(view: CampaignView, name: str) -> models.ParameterInfo:
    parameter = view.problem.space.parameters[name]
    data = parameter.model_dump(mode="json")
    choices = data.get("choices") or data.get("values")
    if isinstance(parameter, Fixed):
        choices = [parameter.value]
    return models.ParameterInfo(
        name=name,
        kind=parameter.kind,
        unit=view.units[name],
        low=None if isinstance(parameter, Categorical) else data.get("low"),
        high=None if isinstance(parameter, Categorical) else data.get("high"),
        log=bool(data.get("log", False)),
        choices=None if choices is None else tuple(choices),
        is_free=name in view.problem.space.free,
    )


def winner_infos(view: CampaignView) -> tuple[models.Winner, ...]:
    """Return the best trial, or the Pareto front."""
    return tuple(
        models.Winner(
            trial=each.number,
            outcomes=each.observation.outcomes if each.observation is not None else {},
            values=settings(each.values, view),
        )
        for each in winners(view)
    )


def campaign_info(
    dossier: Dossier,
    view: CampaignView,
    who: Identity,
    *,
    running: frozenset[str],
    position: int | None,
    orders: tuple[str, ...],
    autonomy: Autonomy,
) -> models.CampaignInfo:
    """Return how a campaign stands, for *who*."""
    is_begun = view.opened is not None
    budget = Budget.from_data(view.settings.get("budget") or {})
    return models.CampaignInfo(
        id=dossier.id,
        name=dossier.name,
        owner=dossier.owner,
        is_mine=dossier.owner == who.name,
        state=dossier.state(running),
        reason=dossier.reason,
        visibility=dossier.visibility,
        autonomy=autonomy,
        submitted_at=dossier.submitted_at,
        started_at=dossier.started_at,
        ended_at=dossier.ended_at,
        last_event_at=view.last_time,
        position=position,
        objectives=goals(view.problem.objectives) if is_begun else (),
        counts={state.value: view.counts[state] for state in TrialState},
        budget=budget,
        n_counted=view.n_counted,
        lab_seconds=view.lab_seconds,
        seconds_left=seconds_left(view, budget) if is_begun else None,
        cost=view.cost,
        best=winner_infos(view) if is_begun else (),
        n_approvals=len(open_approvals(view)),
        n_unknown=view.counts[TrialState.UNKNOWN],
        waiting={str(number): text for number, text in view.waiting.items()},
        rehearsal=_rehearsal(dossier),
        planner=str(view.planner.get("name", "")),
        agents=dossier.submitted.is_agent,
        priority=dossier.submitted.priority,
        may=may(dossier, who, orders),
    )


def _rehearsal(dossier: Dossier) -> Rehearsal | None:
    kept = dossier.submitted.rehearsal
    return None if kept is None else Rehearsal.from_data(kept)


def may(dossier: Dossier, who: Identity, orders: tuple[str, ...]) -> tuple[str, ...]:
    """Return what *who* may do with a campaign of which *orders* make sense now."""
    is_mine = dossier.owner == who.name and who.may([Role.SUBMIT])
    may_order = is_mine or who.may([Role.OPERATE])
    return (
        *(orders if may_order else ()),
        *(("visibility",) if is_mine or who.may([Role.ADMIN]) else ()),
        *(("autonomy",) if is_mine or who.may([Role.APPROVE]) else ()),
        *(("comment",) if who.may([Role.SUBMIT, Role.OPERATE, Role.APPROVE]) else ()),
        *(("approve", "verdict") if who.may([Role.APPROVE]) else ()),
        *(("answer",) if who.may([Role.OPERATE]) else ()),
    )


# --- trials -----------------------------------------------------------------------------------------------------------


def trial_row(view: CampaignView, trial: Trial, best: frozenset[int]) -> models.TrialRow:
    """Return a trial in short."""
    return models.TrialRow(**_row(view, trial, best))


def _row(view: CampaignView, trial: Trial, best: frozenset[int]) -> dict[str, Any]:
    approval = view.approvals.of_trial(trial.number)
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "role": trial.role.value,
        "values": settings(trial.values, view),
        "outcomes": {} if trial.observation is None else trial.observation.outcomes,
        "failure": trial.failure,
        "reason": trial.reason if trial.failure is None else trial.failure.reason,
        "verdict": trial.verdict.quality.value,
        "attempts": trial.attempts,
        "cost": trial.cost,
        "planner": trial.decision.planner,
        "approval": None if approval is None else approval.answer or "asked",
        "proposed_at": trial.proposed_at,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "is_best": trial.number in best,
    }


def best_numbers(view: CampaignView) -> frozenset[int]:
    """Return the numbers of the best trial, or of those on the Pareto front."""
    return frozenset(each.number for each in winners(view))


def trials_page(view: CampaignView, after: int, limit: int, state: str | None) -> models.Trials:
    """Return the trials after number *after*, *limit* at most, those in *state* where one is given."""
    best = best_numbers(view) if view.opened is not None else frozenset[int]()
    rows: list[models.TrialRow] = []
    for number in range(max(0, after) + 1, view.n_proposed + 1):
        if state is not None and view.record(number).state.value != state:
            continue
        if len(rows) == limit:
            return models.Trials(trials=tuple(rows), next=rows[-1].trial)
        rows.append(trial_row(view, view.trial(number), best))
    return models.Trials(trials=tuple(rows), next=None)


def trial_info(view: CampaignView, journal: Journal, number: int) -> models.TrialInfo:
    """Return everything of one trial. Raises CampaignError where there is none of that number."""
    trial = view.trial(number)
    steps, comments, acts = _course(journal, view.name, number)
    return models.TrialInfo(
        **_row(view, trial, best_numbers(view)),
        why=why(trial.decision),
        decision=trial.decision,
        verdict_findings=trial.verdict.findings,
        steps=tuple(steps),
        acts=tuple(map(act_info, acts)),
        waiting=view.waiting.get(number, ""),
        runs=() if trial.observation is None else trial.observation.runs,
        comments=tuple(comments),
    )


def _course(
    journal: Journal, campaign: str, number: int
) -> tuple[list[models.StepInfo], list[models.CommentInfo], list[ActRecord]]:
    from sdl.campaign.trace import Trace  # noqa: PLC0415 # only here

    steps: dict[tuple[str, int], models.StepInfo] = {}
    comments: list[models.CommentInfo] = []
    trace = Trace()
    for event in journal.read(
        campaign=campaign, trial=number, kinds=("step.started", "step.ended", "comment", *ACT_KINDS)
    ):
        match event.body:
            case StepStarted(step=step, station=station, attempt=attempt):
                steps[step, attempt] = models.StepInfo(step=step, station=station, attempt=attempt, begin=event.time)
            case StepEnded(step=step, attempt=attempt, is_success=is_success) if (step, attempt) in steps:
                steps[step, attempt] = steps[step, attempt].replace(end=event.time, is_success=is_success)
            case Comment(text=text):
                comments.append(models.CommentInfo(by=event.actor, text=text, time=event.time))
            case _:
                trace.fold_act(event)
    return [*steps.values()], comments, [*trace.acts.values()]


def act_info(act: ActRecord) -> models.ActInfo:
    """Return an act that may not be repeated."""
    ended = f"it ended as {act.outcome}" if act.outcome else "no end is recorded"
    return models.ActInfo.model_validate(
        {
            "act": act.act,
            "step": act.step,
            "device": act.device,
            "verb": act.verb,
            "class": act.action_class.value,
            "arguments": act.arguments,
            "intended_at": dt.datetime.fromtimestamp(act.intended_at, dt.UTC),
            "outcome": act.outcome,
            "reason": act.reason,
            "answer": act.answer,
            "evidence": "; ".join(filter(None, (ended, act.reason, act.evidence))),
            "answered_by": act.answered_by,
            "is_unknown": act.is_unknown,
        }
    )


def why(decision: Decision) -> tuple[str, ...]:
    """Say in sentences why a trial was proposed."""
    lines = [
        f"{decision.planner} proposed it, after {decision.n_observed} results and with {decision.n_pending} pending."
    ]
    if decision.note:
        lines.append(decision.note)
    if decision.fallback_from is not None:
        lines.append(f"It stood in for the planner, which failed: {decision.fallback_from}.")
    if decision.acquisition is not None:
        lines.append(f"Its {decision.acquisition_name or 'acquisition'} is {decision.acquisition:.4g}.")
    if decision.exploration is not None:
        lines.append(
            f"{decision.exploration:.0%} of what it may gain comes from doubt, the rest from what is expected."
        )
    if decision.runners_up and decision.runners_up[0].acquisition is not None:
        lines.append(f"The runner-up has {decision.runners_up[0].acquisition:.4g}.")
    return tuple(lines)


# --- approvals --------------------------------------------------------------------------------------------------------


def is_waiting(view: CampaignView, approval: Approval) -> bool:
    """Whether any trial still waits for the request."""
    return any(view.record(number).state is TrialState.PROPOSED for number in approval.asked.trials)


def open_approvals(view: CampaignView) -> list[Approval]:
    """Return the requests that wait for an answer, oldest first."""
    return view.approvals.open(lambda number: view.record(number).state is TrialState.PROPOSED)


def approval_info(dossier: Dossier, view: CampaignView, approval: Approval, who: Identity) -> models.ApprovalInfo:
    """Return a request for approval."""
    is_open = approval.answer is None and is_waiting(view, approval)
    state: Literal["open", "approved", "refused", "withdrawn"] = approval.answer or ("open" if is_open else "withdrawn")
    return models.ApprovalInfo(
        request=approval.request,
        campaign=dossier.id,
        campaign_name=dossier.name,
        level=approval.asked.level,
        because=approval.asked.because,
        cost=approval.asked.cost,
        state=state,
        trials=tuple(_asked(view, number) for number in approval.asked.trials),
        asked_at=approval.asked_at,
        answered_at=approval.answered_at,
        answered_by=approval.by,
        answer_because=approval.because,
        may_answer=is_open and who.may([Role.APPROVE]),
    )


def _asked(view: CampaignView, number: int) -> models.AskedTrial:
    proposal = view.record(number).proposal
    return models.AskedTrial(
        trial=number,
        values=settings(proposal.values, view),
        predicted={
            name: _expectation(each, view.problem.outcomes.get(name))
            for name, each in proposal.decision.predicted.items()
        },
        cost=proposal.decision.price,
        why=why(proposal.decision),
    )


def _expectation(predicted: Prediction, unit: str | None) -> models.Expectation:
    return models.Expectation(mean=predicted.mean, standard_deviation=predicted.standard_deviation, unit=unit)


def unknown_trials(
    dossier: Dossier, view: CampaignView, who: Identity, *, is_running: bool
) -> list[models.UnknownTrial]:
    """Return the trials of which nobody knows how far they came; of a campaign at rest, those that were cut off too."""
    states = [TrialState.UNKNOWN] if is_running else [TrialState.UNKNOWN, TrialState.RUNNING]
    if view.opened is None:
        return []
    return [
        models.UnknownTrial(
            campaign=dossier.id,
            campaign_name=dossier.name,
            trial=trial.number,
            values=settings(trial.values, view),
            reason=trial.reason or "the process that ran it is gone",
            acts=tuple(map(act_info, view.trace(trial.number).unknown)),
            may_answer=who.may([Role.OPERATE]),
        )
        for trial in view.in_state(*states)
    ]


# --- results ----------------------------------------------------------------------------------------------------------


def table(view: CampaignView) -> models.ResultsTable:
    """Return the results as a table."""
    trials = view.trials
    used = columns(view, trials)
    kinds = {str: "text", float: "number", int: "number", bool: "truth", dt.datetime: "time"}
    rows = tuple(
        tuple(moment(cell) if isinstance(cell := column.cell(trial), dt.datetime) else cell for column in used)
        for trial in trials
    )
    infos = tuple(models.ColumnInfo(name=column.heading, kind=kinds[column.kind]) for column in used)
    return models.ResultsTable(columns=infos, rows=rows)


def begun(view: CampaignView) -> CampaignView:
    """Return *view*. Raises CampaignError where the campaign has not begun, and so has no problem and no results."""
    if view.opened is None:
        raise CampaignError(f"campaign {view.name} has not begun", hint="it is queued, or was not started")
    return view
