"""``sdl show``: one trial, and why it was proposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from sdl.campaign.trace import Trace
from sdl.campaign.trials import Trial
from sdl.campaign.view import ACT_KINDS, CampaignView
from sdl.commands.facts import (
    act_json,
    act_lines,
    expectations,
    mapping_json,
    outcomes_text,
    point_text,
    prediction_text,
    second,
    time_json,
    trial_json,
    values_json,
    verdict_lines,
)
from sdl.commands.output import say, say_facts, say_json, say_table, title
from sdl.commands.stores import reading, view_of
from sdl.export import beliefs, words
from sdl.journal.acts import StepRecovered
from sdl.journal.protocol import Journal
from sdl.journal.records import (
    AttemptFailed,
    Decision,
    DocumentEmitted,
    Failure,
    RunnerUp,
    StepEnded,
    StepQueued,
    StepSkipped,
    StepStarted,
)

KINDS = (
    "step.started",
    "step.ended",
    "step.skipped",
    "step.queued",
    "trial.attempt_failed",
    "document",
    "step.recovered",
    *ACT_KINDS,
)


@dataclass
class Course:
    """What was done for a trial: steps that ended, still run, were skipped or had to wait; failed attempts."""

    ended: list[StepEnded] = field(default_factory=list[StepEnded])
    under_way: dict[tuple[str, int], StepStarted] = field(default_factory=dict[tuple[str, int], StepStarted])
    failed_attempts: list[AttemptFailed] = field(default_factory=list[AttemptFailed])
    recovered: list[StepRecovered] = field(default_factory=list[StepRecovered])
    skipped: list[StepSkipped] = field(default_factory=list[StepSkipped])
    queued: list[tuple[datetime, StepQueued]] = field(default_factory=list["tuple[datetime, StepQueued]"])
    acts: Trace = field(default_factory=Trace)
    n_documents: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of its steps."""
        said = (self.ended, self.under_way, self.skipped, self.queued, self.recovered, self.failed_attempts)
        return not any(said) and not self.acts.acts

    @classmethod
    def of(cls, journal: Journal, campaign: str, trial: int) -> Course:
        """Read the course of *trial*."""
        course = cls()
        for event in journal.read(campaign=campaign, trial=trial, kinds=KINDS):
            match event.body:
                case StepStarted() as step:
                    course.under_way[step.step, step.attempt] = step
                case StepEnded() as step:
                    course.under_way.pop((step.step, step.attempt), None)
                    course.ended.append(step)
                case AttemptFailed() as attempt:
                    course.failed_attempts.append(attempt)
                case StepSkipped() as skipped:
                    course.skipped.append(skipped)
                case StepQueued() as queued:
                    course.queued.append((event.time, queued))
                case DocumentEmitted():
                    course.n_documents += 1
                case StepRecovered() as recovered:
                    course.recovered.append(recovered)
                case _:
                    course.acts.fold_act(event)
        return course


def show(number: int, store: Path, *, campaign: str | None, as_json: bool) -> None:
    """Print everything that the journal of *store* says of one trial."""
    with reading(store) as journal:
        view = view_of(journal, campaign)
        trial = view.trial(number)
        course = Course.of(journal, view.name, number)
    if as_json:
        say_json(_json(trial, course, view))
    else:
        _say(trial, course, view)


# --- for programs -----------------------------------------------------------------------------------------------------


def _json(trial: Trial, course: Course, view: CampaignView) -> dict[str, JsonValue]:
    is_best = len(view.problem.objectives) == 1 and view.best is not None and view.best.number == trial.number
    return {
        "campaign": view.name,
        **trial_json(trial),
        "is_best": is_best,
        "attempts": trial.attempts,
        "cost": trial.cost,
        "proposed_at": time_json(trial.proposed_at),
        "planner_wait": view.record(trial.number).proposal.planner_wait,
        "started_at": time_json(trial.started_at),
        "ended_at": time_json(trial.ended_at),
        "seconds": trial.seconds,
        "runs": [*trial.observation.runs] if trial.observation is not None else [],
        "steps": [_step_json(step) for step in course.ended],
        "steps_under_way": [_step_json(step) for step in course.under_way.values()],
        "steps_skipped": [step.model_dump(mode="json", exclude={"kind"}) for step in course.skipped],
        "steps_queued": [
            {"at": time_json(at), **step.model_dump(mode="json", exclude={"kind"})} for at, step in course.queued
        ],
        "failed_attempts": [attempt.model_dump(mode="json", exclude={"kind"}) for attempt in course.failed_attempts],
        "acts": [act_json(act) for act in course.acts.acts.values()],
        "recovered": [each.model_dump(mode="json", exclude={"kind"}) for each in course.recovered],
        "n_documents": course.n_documents,
        "decision": _decision_json(trial.decision, trial.units),
    }


def _step_json(step: StepStarted | StepEnded) -> dict[str, JsonValue]:
    """Return a step, without what there is to say only of those that share stations and runs."""
    data: dict[str, JsonValue] = step.model_dump(mode="json", exclude={"kind", "returned_as"})
    return {name: value for name, value in data.items() if value or name not in _OF_THE_SCHEDULE}


_OF_THE_SCHEDULE = frozenset(("members", "needs", "keeps", "setup_key", "setup_seconds", "late_seconds"))


def _decision_json(decision: Decision, units: Mapping[str, str | None]) -> dict[str, JsonValue]:
    runners_up: list[JsonValue] = [
        {
            "values": values_json(other.values, units),
            "acquisition": other.acquisition,
            "predicted": mapping_json(other.predicted),
        }
        for other in decision.runners_up
    ]
    return decision.model_dump(mode="json") | {"runners_up": runners_up}


# --- for people -------------------------------------------------------------------------------------------------------


def _say(trial: Trial, course: Course, view: CampaignView) -> None:
    title(f"trial {trial.number} of campaign {view.name}: {trial.state.value}")
    say_facts(
        [
            ("where", point_text(trial.values, trial.units)),
            ("measured", outcomes_text(trial.observation.outcomes) if trial.observation is not None else ""),
            *_failure_facts(trial.failure),
            *(("verdict" if index == 0 else "", line) for index, line in enumerate(verdict_lines(trial))),
            ("made as", trial.kind),
            ("reason", trial.reason if trial.failure is None else ""),
            ("proposed", second(trial.proposed_at)),
            ("planner wait", words.duration(wait) if (wait := view.record(trial.number).proposal.planner_wait) else ""),
            ("started", second(trial.started_at)),
            ("ended", second(trial.ended_at)),
            ("duration", "" if trial.seconds is None else words.duration(trial.seconds)),
            ("attempts", str(trial.attempts)),
            ("cost", words.number(trial.cost) if trial.cost else ""),
            ("documents", words.count(course.n_documents, "bluesky document") if course.n_documents else ""),
        ]
    )
    _say_steps(course)
    _say_decision(trial, view.problem.outcomes)


def _failure_facts(failure: Failure | None) -> list[tuple[str, str]]:
    if failure is None:
        return []
    step = f" in step {failure.step}" if failure.step else ""
    return [
        ("failure", f"{failure.category.value}{step}: {failure.reason}"),
        ("measured", f"{outcomes_text(failure.partial)}, before it failed" if failure.partial else ""),
        ("raw result", f"artifact {failure.raw.sha256} ({failure.raw.name})" if failure.raw is not None else ""),
    ]


def _say_steps(course: Course) -> None:
    if course.is_empty:
        return
    say("steps")
    if course.ended or course.under_way:
        _say_table_of(course)
    for step in course.ended:
        if step.members:
            say(f"  {step.step} treated trials {words.several([str(each) for each in step.members])} in one run")
    for skipped in course.skipped:
        say(f"  {skipped.step} was skipped: {skipped.reason}")
    for at, queued in course.queued:
        say(f"  {second(at)} {queued.step} {queued.reason}")
    if course.acts.acts:
        say("acts that may not be repeated")
        for line in act_lines(course.acts.acts.values()):
            say(f"  {line}")
    for each in course.recovered:
        say(f"  step {each.step} was cut off: {each.reason}; {ACTIONS[each.action]}")
    for attempt in course.failed_attempts:
        say(f"  attempt {attempt.attempt} failed: {attempt.failure.category.value}: {attempt.failure.reason}")


def _say_table_of(course: Course) -> None:
    rows = [
        [
            step.step,
            step.station,
            str(step.attempt),
            words.duration(step.seconds),
            "done" if step.is_success else "failed",
            ", ".join(step.runs),
        ]
        for step in course.ended
    ]
    rows += [
        [step.step, step.station, str(step.attempt), "", "no end recorded", ""] for step in course.under_way.values()
    ]
    say_table(["step", "station", "attempt", "time", "end", "runs"], rows, indent=2)


ACTIONS = {
    "redo": "it began again",
    "resume": "it went on with its plan for the rest",
    "go_on": "the next step began",
    "restart": "the trial began again",
    "policy": "the policy for unknown trials decides",
}


def _say_decision(trial: Trial, outcomes: Mapping[str, str | None]) -> None:
    decision = trial.decision
    say("why it was proposed")
    merits = (*_merit(decision, outcomes), *_grounds(decision))
    for sentence in (*_who(decision), *expectations(trial, outcomes), *merits):
        say(f"  {sentence}")
    if decision.runners_up:
        say("  The next best points:")
        _say_runners_up(decision.runners_up, trial.units, outcomes)


def _who(decision: Decision) -> Iterable[str]:
    seen = words.count(decision.n_observed, "result")
    pending = f" and {words.count(decision.n_pending, 'trial')} without a result yet" if decision.n_pending else ""
    yield f"Planner {decision.planner}, version {decision.version}, seed {decision.seed}; it had seen {seen}{pending}."
    if decision.fallback_from is not None:
        yield f"It answered in place of the chosen planner, which failed: {decision.fallback_from}"
    if decision.note:
        yield decision.note


def _grounds(decision: Decision) -> Iterable[str]:
    if decision.exploration is not None:
        yield f"{decision.exploration:.0%} of the expected improvement is doubt, the rest is in the expected value."
    if decision.influences:
        yield beliefs.speaking(decision.influences)
    for name, model in decision.models.items():
        yield beliefs.standing(name, model)


def _merit(decision: Decision, outcomes: Mapping[str, str | None]) -> Iterable[str]:
    if decision.acquisition is not None:
        yield f"{decision.acquisition_name or 'The acquisition value'} = {words.number(decision.acquisition)}."
    if decision.expected_improvement is not None:
        unit = next(iter(outcomes.values()), None)
        gain = words.in_unit(words.number(decision.expected_improvement), unit)
        yield f"It was expected to improve on the best so far by {gain}."


def _say_runners_up(
    others: Sequence[RunnerUp], units: Mapping[str, str | None], outcomes: Mapping[str, str | None]
) -> None:
    rows = [
        [
            point_text(other.values, units),
            "" if other.acquisition is None else words.number(other.acquisition),
            prediction_text(other.predicted, outcomes),
        ]
        for other in others
    ]
    say_table(["where", "acquisition", "expected"], rows, indent=4)
