"""``sdl status``: how the campaigns of a store stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from sdl.campaign.budget import OnUnknown
from sdl.campaign.inspection import control_charts
from sdl.campaign.planner import TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.commands.facts import act_json, act_lines, time_json, trial_json, winner_lines
from sdl.commands.output import say, say_facts, say_json, say_table, title
from sdl.commands.stock import waiting_lines
from sdl.commands.stores import holder_of, reading
from sdl.export import words
from sdl.export.tables import winners
from sdl.journal.protocol import Journal
from sdl.journal.trust import Quality, Verdict
from sdl.lab.latches import latches_in
from sdl.lab.ledger import Ledger

MAX_LISTED = 10
"""How many failures, or trials of a Pareto front, are listed for a person; JSON has all."""


class Standing(NamedTuple):
    """Whether a campaign is being run, or how its last session ended."""

    state: str
    reason: str = ""

    @property
    def is_running(self) -> bool:
        """Whether a process runs it now."""
        return self.state == "running"


def status(store: Path, *, as_json: bool) -> None:
    """Print how every campaign of *store* stands."""
    holder = holder_of(store)
    with reading(store) as journal:
        views = [CampaignView.of(journal, name) for name in journal.campaigns]
        standings = [standing(view, journal, holder) for view in views]
        ledger = Ledger.of(journal)
        latches = latches_in(journal)
    if as_json:
        found = [campaign_json(*pair, ledger) for pair in zip(views, standings, strict=True)]
        closed: list[JsonValue] = [latch.body.model_dump(mode="json") for latch in latches]
        say_json({"store": str(store), "is_locked": holder is not None, "latches": closed, "campaigns": [*found]})
        return
    for view, how in zip(views, standings, strict=True):
        say_campaign(view, how)
        if how.state != "paused":  # whose reason says it already
            for line in waiting_lines(ledger, [view.name]):
                say(f"  {line}")
    for latch in latches:
        say(f"{latch}. sdl rearm lets it start again")
    if not views:
        say(f"{store} holds no campaign yet")


def standing(view: CampaignView, journal: Journal, holder: Mapping[str, object] | None) -> Standing:
    """Say whether the process that holds the store's lock runs the campaign, or how its last session ended."""
    if view.ended is not None:
        return Standing(view.ended.status, view.ended.reason)
    sessions: list[Any] = [event.body for event in journal.read(campaign=view.name, kinds={"session.started"})]
    if not sessions:
        return Standing("not begun")
    last = sessions[-1]
    who = f"process {last.pid} on {last.host}"
    if holder is not None and holder.get("pid", last.pid) == last.pid:
        return Standing("running", who)
    return Standing("killed", f"{who} is gone without a word; run the campaign again, and it goes on")


def campaign_json(view: CampaignView, how: Standing, ledger: Ledger) -> dict[str, JsonValue]:
    """Return what is known of a campaign, for programs."""
    waiting: dict[str, JsonValue] = {
        str(trial): {"step": body.step, "missing": list(body.missing)}
        for trial, body in ledger.waiting(view.name).items()
    }
    failures: list[JsonValue] = [trial_json(trial) for trial in view.in_state(TrialState.FAILED)]
    unknown: list[JsonValue] = [{**trial_json(trial), "acts": _acts_json(view, trial)} for trial in _cut_off(view, how)]
    best: list[JsonValue] = [trial_json(trial) for trial in winners(view)]
    is_single = len(view.problem.objectives) == 1
    return {
        "campaign": view.name,
        "state": how.state,
        "reason": how.reason or None,
        "n_trials": view.n_proposed,
        "trials": {state.value: view.counts[state] for state in TrialState},
        "quality": _quality_json(view),
        "best": best[0] if is_single and best else None,
        "pareto": None if is_single else best,
        "sessions": view.session,
        "lab_seconds": view.lab_seconds,
        "cost": view.cost,
        "budget": view.settings.get("budget"),
        "seed": view.seed,
        "planner": dict(view.planner),
        "lab": dict(view.lab),
        "failures": failures,
        "unknown": unknown,
        "stations": {**view.stations} if how.is_running else {},
        "waiting": waiting,
        "queued": {str(trial): reason for trial, reason in view.waiting.items()} if how.is_running else {},
        "last_event_at": time_json(view.last_time),
    }


def say_campaign(view: CampaignView, how: Standing) -> None:
    """Print what is known of a campaign."""
    sessions = f" in {view.session} sessions" if view.session > 1 else ""
    title(f"campaign {view.name}: {how.state}{f' ({how.reason})' if how.reason else ''}")
    facts = [
        ("trials", counts_text(view)),
        *quality_facts(view),
        *_best(view),
        ("lab time", f"{words.duration(view.lab_seconds)}{sessions}"),
        ("cost", words.number(view.cost) if view.cost else ""),
        ("budget", budget_text(view.settings.get("budget"))),
        ("planner", str(view.planner.get("name", ""))),
        ("laboratory", str(view.lab.get("name", ""))),
        *((f"station {name}", text) for name, text in view.stations.items() if how.is_running),
        *(queue_facts(view) if how.is_running else ()),
    ]
    say_facts(facts)
    _say_failures(view)
    for trial in _cut_off(view, how):
        because = f" ({trial.reason})" if trial.reason else ""
        say(f"  trial {trial.number} was cut off{because}: run the campaign again, and {_way_out(view)}")
        for line in act_lines(view.trace(trial.number).unknown):
            say(f"    {line}")


def queue_facts(view: CampaignView) -> list[tuple[str, str]]:
    """Say why trials wait that no station works on."""
    waiting = list(view.waiting.items())
    facts = [(f"trial {number}", reason) for number, reason in waiting[:MAX_LISTED]]
    return facts if len(waiting) <= MAX_LISTED else [*facts, ("", f"and {len(waiting) - MAX_LISTED} more that wait")]


def _quality_json(view: CampaignView) -> dict[str, JsonValue]:
    standing = view.standing
    series: dict[str, JsonValue] = {
        name: [record.number for record in records] for name, records in standing.series.items()
    }
    verdicts: dict[str, JsonValue] = {quality.value: standing.count(quality) for quality in Quality}
    repeats: list[JsonValue] = [record.number for records in standing.replicates.values() for record in records]
    return {
        "verdicts": verdicts,
        "controls": series,
        "replicates": repeats,
        "suspects_in_a_row": standing.suspects_in_a_row,
    }


def quality_facts(view: CampaignView) -> list[tuple[str, str]]:
    """Say how many trials judge others, how the control charts stand, and which results cannot be trusted."""
    standing = view.standing
    facts: list[tuple[str, str]] = []
    if standing.n_assigned:
        of_them = f"{words.count(standing.n_assigned, 'trial')} of these to judge others, beside the budget"
        facts.append(("quality", of_them))
    for control in standing.quality.controls if standing.quality is not None else ():
        for outcome, points in control_charts(view, control).items():
            out = points[-1].signal if points else ""
            state = f"out: {out}" if out else f"in control after {words.count(len(points), 'sample')}"
            facts.append((control.name, f"{outcome} {state}"))
    doubtful = [record for record in standing.completed if record.verdict.quality is not Quality.VALID]
    facts += [
        (record.verdict.quality.value, f"trial {record.number}: {_first_reason(record.verdict)}")
        for record in doubtful[-MAX_LISTED:]
    ]
    if len(doubtful) > MAX_LISTED:
        facts.append(("", f"and {len(doubtful) - MAX_LISTED} before them"))
    return facts


def _first_reason(verdict: Verdict) -> str:
    if not verdict.findings:
        return ""
    first, *others = verdict.findings
    more = f" (and {len(others)} more)" if others else ""
    return words.shortened(f"{first.source}: {first.text}") + more


def counts_text(view: CampaignView) -> str:
    """Say how many trials there are, and in which states."""
    counts = [f"{view.counts[state]} {state.value}" for state in TrialState if view.counts[state]]
    return f"{view.n_proposed}: {', '.join(counts)}" if counts else "none yet"


def budget_text(budget: object) -> str:
    """Say what a campaign may use; nothing where that is only said in its call of ``run``."""
    if not isinstance(budget, Mapping):
        return ""
    limits = cast("Mapping[str, Any]", budget)
    trials, lab_time, cost = (limits.get(name) for name in ("trials", "lab_time", "cost"))
    parts = [
        "" if trials is None else words.count(trials, "trial"),
        "" if lab_time is None else f"{words.duration(lab_time)} of laboratory time",
        "" if cost is None else f"cost {words.number(cost)}",
    ]
    return ", ".join(filter(None, parts))


def _best(view: CampaignView) -> list[tuple[str, str]]:
    lines = winner_lines(view)
    if len(view.problem.objectives) == 1:
        return [("best", lines[0] if lines else "no result yet")]
    more = [("", f"and {len(lines) - MAX_LISTED} more")] if len(lines) > MAX_LISTED else []
    front = f"{words.count(len(lines), 'trial')} on the Pareto front"
    return [("best", front), *(("", line) for line in lines[:MAX_LISTED]), *more]


def _say_failures(view: CampaignView) -> None:
    failed = view.in_state(TrialState.FAILED)
    rows = [
        [str(trial.number), failure.category.value, failure.step or "", words.shortened(failure.reason)]
        for trial in failed[-MAX_LISTED:]
        if (failure := trial.failure) is not None
    ]
    if not rows:
        return
    say("  failures")
    say_table(["trial", "category", "step", "reason"], rows, indent=4)
    if len(failed) > len(rows):
        say(f"    and {len(failed) - len(rows)} before them")


def _cut_off(view: CampaignView, how: Standing) -> tuple[Trial, ...]:
    """Return the trials of which nobody knows the end: the next session has to see to them."""
    states = [TrialState.UNKNOWN] if how.is_running else [TrialState.UNKNOWN, TrialState.RUNNING]
    return view.in_state(*states)


def _acts_json(view: CampaignView, trial: Trial) -> list[JsonValue]:
    """Return the acts of *trial* of which nobody knows whether they were done."""
    return [act_json(act) for act in view.trace(trial.number).unknown]


def _way_out(view: CampaignView) -> str:
    policy = OnUnknown.recorded(view.settings.get("on_unknown"))
    chosen = {policy.for_class(each) for each in OnUnknown.CLASSES}
    if "ask" in chosen:
        return "you are asked what happened, where it cannot go on by itself (or say it with sdl resolve)"
    ways = [way for choice, way in (("redo", "is done again"), ("failed", "is marked failed")) if choice in chosen]
    return f"it goes on, or {' or '.join(ways)}"
