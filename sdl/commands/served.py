"""What the commands say of a served laboratory: how it stands, its campaigns, a trial, the stock, what leaves it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from sdl.commands.exports import STANDARD_OUTPUT, check_writable
from sdl.commands.facts import outcomes_text, prediction_text, second
from sdl.commands.line import Line
from sdl.commands.output import say, say_facts, say_json, say_table, title
from sdl.commands.status import budget_text
from sdl.errors import CampaignError, ProblemError
from sdl.export import words
from sdl.journal.records import Decision, Prediction

if TYPE_CHECKING:
    from sdl.problem.value import Value
    from sdl.server import models
    from sdl.server.client import Client


def chosen(client: Client, *given: str | Path | None) -> models.CampaignInfo:
    """Return the campaign that is named, or the only one that may be seen."""
    named = [str(each) for each in given if each is not None]
    if len(set(named)) > 1:
        raise ProblemError(f"two campaigns are named: {' and '.join(named)}", hint="name one")
    if named:
        return client.campaign(named[0])
    found = client.campaigns()
    if len(found) != 1:
        there = ", ".join(each.name for each in found) or "none"
        raise CampaignError(f"{client.address} shows {len(found)} campaigns", hint=f"name one of {there}")
    return found[0]


# --- how all stands ---------------------------------------------------------------------------------------------------


def status(line: Line, campaign: str | Path | None, *, as_json: bool) -> None:
    """Print how a served laboratory stands, and its campaigns or one of them."""
    with line.client() as client:
        who, lab = client.me(), client.lab()
        found = client.campaigns() if campaign is None else (client.campaign(str(campaign)),)
        waiting = client.inbox()
    if as_json:
        campaigns: list[JsonValue] = [_plain(each) for each in found]
        say_json({"me": _plain(who), "lab": _plain(lab), "inbox": _plain(waiting), "campaigns": campaigns})
        return
    title(f"{lab.name} at {line.address}: {lab.engine}{f' ({lab.reason})' if lab.reason else ''}")
    say_facts([("you are", f"{who.name} ({', '.join(who.roles)})"), *map(_station_fact, lab.stations)])
    for each in found:
        say_campaign(each)
    if not found:
        say("there is no campaign that you may see")
    say_waiting(waiting, line)


def _plain(value: Value) -> JsonValue:
    plain: JsonValue = value.model_dump(mode="json", by_alias=True)
    return plain


def _station_fact(station: models.StationInfo) -> tuple[str, str]:
    doing = station.doing
    if station.latch is not None:
        text = f"closed: {station.latch.reason}; sdl rearm opens it"
    elif doing is None:
        text = station.state
    else:
        trials = words.several([str(each) for each in doing.trials])
        what = f"{doing.step} for trial {trials} of {doing.campaign_name}" if doing.campaign else "another campaign"
        text = f"{what}, since {second(doing.since)}"
    return f"station {station.name}", text


def say_campaign(found: models.CampaignInfo) -> None:
    """Print how a campaign stands."""
    position = f", number {found.position} in the queue" if found.position else ""
    title(f"campaign {found.name}: {found.state}{position}{f' ({found.reason})' if found.reason else ''}")
    counts = ", ".join(f"{n} {state}" for state, n in found.counts.items() if n)
    say_facts(
        [
            ("owner", f"{found.owner}{', for an agent' if found.agents else ''}, {found.visibility.scope}"),
            ("trials", f"{sum(found.counts.values())}: {counts}" if counts else "none yet"),
            *(("best" if n == 0 else "", winner_line(each)) for n, each in enumerate(found.best)),
            ("lab time", words.duration(found.lab_seconds) if found.lab_seconds else ""),
            ("left", f"about {words.duration(found.seconds_left)}" if found.seconds_left else ""),
            ("cost", words.number(found.cost) if found.cost else ""),
            ("budget", budget_text(found.budget.model_dump())),
            ("planner", found.planner),
            ("autonomy", f"level {found.autonomy.level}"),
            *((f"trial {number}", text) for number, text in found.waiting.items()),
        ]
    )


def winner_line(found: models.Winner) -> str:
    """Say what came out best, and where."""
    return f"trial {found.trial}: {outcomes_text(found.outcomes)} at {point_line(found.values)}"


def point_line(values: Mapping[str, models.ParameterSetting]) -> str:
    """Write a point for a person."""
    return ", ".join(f"{name} = {words.setting(each.value, each.unit)}" for name, each in values.items())


def say_waiting(found: models.Inbox, line: Line) -> None:
    """Say what waits for a person, and how it is answered."""
    there = f"--lab {line.address}"
    for each in found.approvals:
        trials = words.several([str(trial.trial) for trial in each.trials])
        say(f"waits: approval of trial {trials} of {each.campaign_name}: sdl approve {each.campaign_name} {there}")
    for trial in found.unknown:
        name = trial.campaign_name
        say(f"waits: trial {trial.trial} of {name} is unknown: sdl resolve {name} {there}")
    for latch in found.latches:
        say(f"waits: station {latch.station} is closed ({latch.reason}): sdl rearm --station {latch.station} {there}")
    for short in found.shortages:
        say(f"waits: trial {short.trial} of {short.campaign_name} lacks {'; '.join(short.missing)}")


# --- one trial --------------------------------------------------------------------------------------------------------


def show(line: Line, number: int, *campaign: str | Path | None, as_json: bool) -> None:
    """Print everything of one trial, and why it was proposed."""
    with line.client() as client:
        of = chosen(client, *campaign)
        found = client.trial(of.id, number)
    if as_json:
        say_json(_plain(found))
        return
    failure = found.failure
    title(f"trial {number} of campaign {of.name}: {found.state}")
    say_facts(
        [
            ("where", point_line(found.values)),
            ("measured", outcomes_text(found.outcomes)),
            ("failure", "" if failure is None else f"{failure.category.value}: {failure.reason}"),
            ("verdict", found.verdict if found.outcomes else ""),
            *(("", f"{each.source}: {each.text}") for each in found.verdict_findings),
            ("reason", found.reason if failure is None else ""),
            ("approval", found.approval or ""),
            ("waits", found.waiting),
            ("proposed", second(found.proposed_at)),
            ("started", second(found.started_at)),
            ("ended", second(found.ended_at)),
            ("attempts", str(found.attempts)),
            ("cost", words.number(found.cost) if found.cost else ""),
            *((f"step {each.step}", _step_text(each)) for each in found.steps),
            *((f"act {each.act}", f"{each.device} {each.verb}: {each.evidence}") for each in found.acts),
            *((f"{each.by} says", each.text) for each in found.comments),
        ]
    )
    say("why it was proposed")
    for sentence in found.why:
        say(f"  {sentence}")
    _say_expected(found.decision, {name: each.unit for name, each in found.outcomes.items()})


def _step_text(step: models.StepInfo) -> str:
    end = "no end recorded" if step.end is None else words.duration((step.end - step.begin).total_seconds())
    return f"{end} on {step.station}{'' if step.is_success in {True, None} else ', failed'}"


def _say_expected(decision: Decision, units: Mapping[str, str | None]) -> None:
    if decision.predicted:
        say(f"  Expected {prediction_text(decision.predicted, units)}.")
    for other in decision.runners_up[:3]:
        point = ", ".join(f"{name} = {value}" for name, value in other.values.items())
        say(f"  runner-up: {point}")


# --- the stock --------------------------------------------------------------------------------------------------------


def say_stock(found: models.StockInfo, *, as_json: bool) -> None:
    """Print the stock of a served laboratory."""
    if as_json:
        say_json(_plain(found))
        return
    if not (found.materials or found.racks):
        say("no stock is kept there")
        return
    rows = [
        [each.material, each.left, each.reserved, each.consumed, ", ".join(lot.lot for lot in each.lots)]
        for each in found.materials
    ]
    if rows:
        say_table(["material", "left", "set aside", "consumed", "lots"], rows)
    for rack in found.racks:
        say(f"{rack.rack}: {len(rack.free)} of {len(rack.positions)} positions are free")
    for sample in found.samples:
        if sample.state == "suspect":
            say(f"sample {sample.sample} is suspect: {sample.because}")
    for short in found.waiting:
        what = f"trial {short.trial} of {short.campaign_name}"
        say(f"{what} waits with step {short.step!r} for {'; '.join(short.missing)}")


# --- what is asked for, for others to answer ------------------------------------------------------------------------


def say_requests(found: Iterable[models.ApprovalInfo], line: Line) -> None:
    """Print what waits for approval: what, why, for how much, and what is expected."""
    n = 0
    for n, each in enumerate(found, 1):  # noqa: B007 # counted
        trials = words.several([str(trial.trial) for trial in each.trials])
        cost = f", cost {words.number(each.cost)}" if each.cost else ""
        title(f"trial {trials} of campaign {each.campaign_name}: {each.because}{cost}")
        for trial in each.trials:
            say(f"  {trial.trial}  {point_line(trial.values)}")
            if trial.predicted:
                units = {name: expected.unit for name, expected in trial.predicted.items()}
                means = {name: Prediction(it.mean, it.standard_deviation) for name, it in trial.predicted.items()}
                say(f"     expected  {prediction_text(means, units)}")
            for sentence in trial.why:
                say(f"     why       {sentence}")
    if n:
        say(f"answer: sdl approve CAMPAIGN TRIAL --lab {line.address} [--refuse --because TEXT]")
    else:
        say("nothing waits for approval")


def say_unknown(found: Iterable[models.UnknownTrial], line: Line) -> None:
    """Print the trials of which nobody knows the end: what was intended, the last evidence, and how to answer."""
    n = 0
    for n, each in enumerate(found, 1):  # noqa: B007 # counted
        title(f"trial {each.trial} of campaign {each.campaign_name}: unknown")
        say(f"  where  {point_line(each.values)}")
        say(f"  why    {each.reason}")
        for act in each.acts:
            say(f"  act {act.act}: {act.device} {act.verb}, intended {second(act.intended_at)}; {act.evidence}")
    if n:
        say(f"answer: sdl resolve CAMPAIGN TRIAL --lab {line.address} --answer ... --because TEXT")
        say("   and: --then redo|failed|abandoned, where it is not to go on by itself")
    else:
        say("no trial is unknown")


# --- what leaves it ---------------------------------------------------------------------------------------------------


def export_csv(line: Line, output: Path, *campaign: str | Path | None) -> None:
    """Write the trials as CSV to a file, or to standard output for ``-``."""
    with line.client() as client:
        _write(output, [client.csv(chosen(client, *campaign).id)], "")


def export_events(line: Line, output: Path, *campaign: str | Path | None) -> None:
    """Write the events of a campaign as lines of JSON, without bluesky documents."""
    with line.client() as client:
        of = chosen(client, *campaign)
        lines = (json.dumps(_plain(each), ensure_ascii=False) + "\n" for each in client.record(of.id))
        _write(output, lines, "event")


def _write(output: Path, lines: Iterable[str], what: str) -> None:
    if output == STANDARD_OUTPUT:
        sys.stdout.writelines(lines)
        return
    check_writable(output)
    n = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        for n, text in enumerate(lines, 1):  # noqa: B007 # counted
            file.write(text)
    say(f"{output}: {words.count(n, what)}" if what else str(output))
