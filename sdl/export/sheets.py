"""The tables of a report, as text: what was asked, what happened, who decided, and where the record is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdl.campaign.planner import TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.export.account import Account, Session
from sdl.export.tables import has_trade_off, is_feasible, measured, winners
from sdl.export.words import (
    NOTHING,
    count,
    duration,
    in_unit,
    label,
    minute,
    number,
    prediction,
    setting,
    shortened,
    with_error,
)
from sdl.problem import (
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    Maximize,
    Minimize,
    Objective,
    OutcomeConstraint,
    Parameter,
)
from sdl.problem.value import listing

MAX_ROWS = 300
"""A table of trials shows so many: the winners and the latest. The CSV file has all."""


@dataclass(frozen=True)
class Line:
    """A row of a table; ``mark`` is ``best``, ``failed``, ``infeasible``, ``pending`` or empty."""

    cells: Sequence[str]
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table: its caption, its headings, which columns hold numbers, its rows, and a note below."""

    caption: str
    headings: Sequence[str]
    lines: Sequence[Line]
    numeric: frozenset[int] = frozenset()
    note: str = ""


def shown(view: CampaignView) -> tuple[Sequence[Trial], str]:
    """Return the trials that a table lists, and a note where these are not all."""
    trials = view.trials
    if len(trials) <= MAX_ROWS:
        return trials, ""
    kept = {trial.number for trial in (*winners(view)[: MAX_ROWS // 2], *trials[-MAX_ROWS // 2 :])}
    listed = [trial for trial in trials if trial.number in kept]
    return listed, (
        f"{len(listed)} of {len(trials):,} trials are listed: the best and the latest. "
        "The file that sdl export --csv writes has them all."
    )


def trials(view: CampaignView) -> Sheet:
    """Return the table of trials."""
    listed, note = shown(view)
    best = {trial.number for trial in winners(view)}
    space, outcomes = view.problem.space, view.problem.outcomes
    names = [name for name in space.names if name not in space.fixed]
    headings = [
        "trial",
        "state",
        *(label(name, view.units[name]) for name in names),
        *(label(name, unit) for name, unit in outcomes.items()),
        "took",
        "remark",
    ]
    numbers = {index for index, name in enumerate(names, 2) if not isinstance(space.parameters[name], Categorical)}
    first = 2 + len(names)
    return Sheet(
        caption=f"All {count(len(view.trials), 'trial')}" if not note else "The best and the latest trials",
        headings=headings,
        lines=[_trial_line(view, trial, names, best) for trial in listed],
        numeric=frozenset({0, *numbers, *range(first, first + len(outcomes) + 1)}),
        note=note,
    )


def _trial_line(view: CampaignView, trial: Trial, names: Sequence[str], best: set[int]) -> Line:
    found = measured(trial)
    outcomes = [
        with_error(found[name].value, found[name].standard_error) if name in found else NOTHING
        for name in view.problem.outcomes
    ]
    cells = [
        str(trial.number),
        trial.state.value,
        *(setting(trial.values[name], None) for name in names),
        *outcomes,
        NOTHING if trial.seconds is None else duration(trial.seconds),
        _remark(view, trial, best),
    ]
    return Line(cells, mark_of(view, trial, best))


def mark_of(view: CampaignView, trial: Trial, best: set[int]) -> str:
    """Return how the trial's row is marked."""
    if trial.number in best:
        return "best"
    if trial.state is TrialState.COMPLETED:
        return "" if is_feasible(view, trial) else "infeasible"
    return "failed" if trial.state is TrialState.FAILED else "pending"


def _remark(view: CampaignView, trial: Trial, best: set[int]) -> str:
    said: list[str] = []
    if trial.number in best:
        said.append("on the Pareto front" if has_trade_off(view) else "best")
    if trial.failure is not None:
        step = f" in step {trial.failure.step}" if trial.failure.step else ""
        said.append(f"{trial.failure.category.value}{step}: {shortened(trial.failure.reason, 120)}")
    elif trial.reason and trial.state is not TrialState.COMPLETED:
        said.append(shortened(trial.reason, 120))
    if trial.state is TrialState.COMPLETED and not is_feasible(view, trial):
        said.append("breaks a constraint")
    if trial.attempts > 1:
        said.append(count(trial.attempts, "attempt"))
    return "; ".join(said)


def failures(view: CampaignView) -> Sheet | None:
    """Return how many trials failed in which way; None where none did."""
    failed = view.in_state(TrialState.FAILED)
    kinds = Counter(trial.failure.category.value for trial in failed if trial.failure)
    if not kinds:
        return None

    def line(category: str) -> Line:
        of_kind = [trial for trial in failed if trial.failure and trial.failure.category.value == category]
        last = of_kind[-1]
        reason = last.failure.reason if last.failure else ""
        return Line([category, str(len(of_kind)), listing([trial.number for trial in of_kind], 12), shortened(reason)])

    return Sheet(
        caption="Failures by category",
        headings=["category", "trials", "which", "the latest reason"],
        lines=[line(category) for category, _ in kinds.most_common()],
        numeric=frozenset({1}),
    )


def decisions(view: CampaignView) -> Sheet:
    """Return why each trial was proposed: by whom, on what grounds, with what expectation."""
    listed, note = shown(view)
    outcomes = view.problem.outcomes
    best = {trial.number for trial in winners(view)}
    return Sheet(
        caption="The decision records of the trials",
        headings=[
            "trial",
            "planner",
            "had seen",
            *(f"expected {label(name, unit)}" for name, unit in outcomes.items()),
            "acquisition",
            "why",
        ],
        lines=[_decision_line(trial, outcomes, mark_of(view, trial, best)) for trial in listed],
        numeric=frozenset({0, *range(3, 3 + len(outcomes))}),
        note=note,
    )


def _decision_line(trial: Trial, outcomes: Iterable[str], mark: str) -> Line:
    decision = trial.decision
    expected = [
        prediction(decision.predicted[name], None) if name in decision.predicted else NOTHING for name in outcomes
    ]
    acquisition = NOTHING
    if decision.acquisition is not None:
        acquisition = f"{decision.acquisition_name or 'value'} {number(decision.acquisition, 3)}"
    why = [decision.note] if decision.note else []
    if decision.fallback_from is not None:
        why.append(f"stands in for another planner: {shortened(decision.fallback_from, 100)}")
    seen = f"{decision.n_observed} done" + (f", {decision.n_pending} pending" if decision.n_pending else "")
    cells = [str(trial.number), decision.planner, seen, *expected, acquisition, " ".join(why)]
    return Line(cells, mark if mark == "best" else "")


def runners_up(view: CampaignView, trial: Trial) -> Sheet | None:
    """Return what was considered and not chosen when *trial* was proposed; None where nothing was kept."""
    decision = trial.decision
    if not decision.runners_up:
        return None
    names = view.problem.space.free
    rows = [(f"trial {trial.number}", trial.values, decision.acquisition, decision.predicted)]
    rows += [("not chosen", other.values, other.acquisition, other.predicted) for other in decision.runners_up]
    return Sheet(
        caption=f"What else was considered for trial {trial.number}",
        headings=[
            "point",
            *(label(name, view.units[name]) for name in names),
            decision.acquisition_name or "acquisition",
            *(f"expected {label(name, unit)}" for name, unit in view.problem.outcomes.items()),
        ],
        lines=[
            Line(
                [
                    what,
                    *(setting(values[name], None) if name in values else NOTHING for name in names),
                    NOTHING if value is None else number(value, 3),
                    *(prediction(expected[n], None) if n in expected else NOTHING for n in view.problem.outcomes),
                ],
                "best" if index == 0 else "",
            )
            for index, (what, values, value, expected) in enumerate(rows)
        ],
        numeric=frozenset(range(1, 2 + len(names) + len(view.problem.outcomes))),
    )


# --- what was asked ---------------------------------------------------------------------------------------------------


def parameters(view: CampaignView) -> Sheet:
    """Return the search space."""
    space = view.problem.space
    conditions = [str(constraint) for constraint in space.constraints]
    if space.pool is not None:
        conditions.append(f"one of {len(space.pool):,} candidates")
    return Sheet(
        caption="Parameters",
        headings=["parameter", "kind", "range"],
        lines=[Line([name, _kind(item), range_of(item)]) for name, item in space.parameters.items()],
        note=f"Together they must satisfy: {'; '.join(conditions)}." if conditions else "",
    )


def _kind(parameter: Parameter) -> str:
    said: list[str] = [parameter.kind]
    if isinstance(parameter, Continuous) and parameter.log:
        said.append("on a log scale")
    if parameter.context:
        said.append("given by the laboratory")
    return ", ".join(said)


def range_of(parameter: Parameter) -> str:
    """Write what values a parameter may take."""
    match parameter:
        case Continuous(low=low, high=high):
            return in_unit(f"{number(low)} to {number(high)}", parameter.unit)
        case Discrete(values=values):
            return in_unit(listing([number(value) for value in values], 10), parameter.unit)
        case Categorical(choices=choices):
            return listing(choices, 10)
        case Fixed(value=value):
            return setting(value, parameter.unit)


def wishes(view: CampaignView) -> Sheet:
    """Return the objectives and the outcome constraints."""
    lines = [Line([objective.outcome, wish(objective)]) for objective in view.problem.objectives]
    lines += [Line([limit.outcome, limit_of(limit)]) for limit in view.problem.outcome_constraints]
    return Sheet(caption="Objectives and constraints", headings=["outcome", "wanted"], lines=lines)


def wish(objective: Objective) -> str:
    """Write what is wanted of an outcome."""
    match objective:
        case Minimize():
            return "as low as possible"
        case Maximize():
            return "as high as possible"
        case _:
            return f"as near as possible to {target_of(objective.range, objective.unit)}"


def target_of(wanted: tuple[float, float], unit: str | None) -> str:
    """Write a target: a value or a range."""
    low, high = wanted
    return in_unit(number(low) if low == high else f"{number(low)} to {number(high)}", unit)


def limit_of(limit: OutcomeConstraint) -> str:
    """Write the limits of an outcome constraint."""
    said = [
        f"at {word} {in_unit(number(bound), limit.unit)}"
        for word, bound in (("least", limit.lower), ("most", limit.upper))
        if bound is not None
    ]
    return " and ".join(said)


# --- where it comes from ----------------------------------------------------------------------------------------------


def seeds(account: Account) -> Sheet | None:
    """Return the data that the campaign started from; None where there were none."""
    if not account.seeds:
        return None
    return Sheet(
        caption="Seed data",
        headings=["set", "measurements", "origin", "licence"],
        lines=[
            Line([seed.name, f"{len(seed.rows):,}", seed.origin, seed.licence or NOTHING]) for seed in account.seeds
        ],
        numeric=frozenset({1}),
    )


def stations(view: CampaignView, account: Account) -> Sheet | None:
    """Return how long each station worked on each step; None where no step was recorded."""
    if not account.use or view.lab_seconds <= 0:
        return None
    return Sheet(
        caption="Steps by station",
        headings=["station", "step", "times", "of them failed", "took in all", "share of the laboratory time"],
        lines=[
            Line(
                [
                    station,
                    step,
                    f"{use.n:,}",
                    str(use.n_failed),
                    duration(use.seconds),
                    f"{use.seconds / view.lab_seconds:.0%}",
                ]
            )
            for (station, step), use in account.use.items()
        ],
        numeric=frozenset({2, 3, 4, 5}),
    )


def sessions(account: Account) -> Sheet | None:
    """Return the processes that ran the campaign; None without a journal."""
    if not account.sessions:
        return None
    return Sheet(
        caption="Sessions",
        headings=["session", "started [UTC]", "ended [UTC]", "how it ended", "host", "time", "versions"],
        lines=[_session_line(session) for session in account.sessions],
        numeric=frozenset({0}),
    )


def _session_line(session: Session) -> Line:
    ending = f"{session.status}: {session.reason}" if session.status else "killed, or still running"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(session.versions.items()))
    return Line(
        [
            str(session.number),
            minute(session.started),
            minute(session.ended),
            ending,
            session.host,
            "simulated" if session.is_virtual else "real",
            versions,
        ]
    )


def comments(account: Account) -> Sheet | None:
    """Return what people wrote into the journal; None where they wrote nothing."""
    if not account.comments:
        return None
    lines = [Line([minute(time), actor, text]) for time, actor, text in account.comments]
    return Sheet(caption="Comments", headings=["time [UTC]", "by", "comment"], lines=lines)


def provenance(view: CampaignView, account: Account) -> Sheet:
    """Return what one needs to repeat the campaign, and to check this page against its record."""
    n_events, head = account.head or (None, None)
    rows = [
        ("campaign", view.name),
        ("problem digest (SHA-256)", view.opened.problem_digest if view.opened else NOTHING),
        ("planner", str(view.planner.get("name", NOTHING))),
        ("its options", _json(view.planner.get("options"))),
        ("laboratory", _json(view.lab)),
        ("settings", _json(view.settings)),
        ("seed", str(view.seed)),
        ("events in the journal", NOTHING if n_events is None else f"{n_events:,}"),
        ("hash of its last event", head or NOTHING),
    ]
    return Sheet(caption="Provenance", headings=["what", "value"], lines=[Line(row) for row in rows])


def _json(data: object) -> str:
    return NOTHING if not data else shortened(json.dumps(data, ensure_ascii=False, default=dict), 1200)
