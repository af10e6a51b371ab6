"""``sdl resolve``: what a person has found out about acts of which the journal does not know whether they were done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from sdl.campaign.identity import signed
from sdl.campaign.planner import TrialState
from sdl.campaign.recovery import Answer, resolution
from sdl.campaign.view import CampaignView
from sdl.commands.facts import act_lines, point_text
from sdl.commands.output import say, title
from sdl.commands.stores import find_store, holder_of, reading, view_of
from sdl.errors import CampaignError, ProblemError
from sdl.failpoints import fail_point
from sdl.journal import SqlJournal, open_journal
from sdl.journal.acts import ActAnswer, ActResolved
from sdl.journal.records import Body, Entry, TrialUnknown
from sdl.lab.actions import ActRecord
from sdl.problem.value import listing

ANSWERS = ("happened", "did-not-happen", "cannot-tell")
THEN = ("redo", "failed", "abandoned")


class Finding(NamedTuple):
    """What a person says: what happened, who says so, why; and what is to become of the trial."""

    answer: str | None
    by: str | None
    because: str | None
    then: str | None = None
    act: str | None = None


def resolve(words: Sequence[str], finding: Finding, campaign: str | None) -> None:
    """Record *finding* in a store, or list what there is to find out where it says nothing."""
    path, number = place_of(words)
    if finding.answer is None and finding.then is None:
        with reading(path) as journal:
            say_open(view_of(journal, campaign), number, path)
        return
    if not (finding.by and finding.by.strip() and finding.because and finding.because.strip()):
        raise ProblemError(
            "an answer needs a name and a reason", hint="add --by NAME --because TEXT; both are kept in the journal"
        )
    finding = finding._replace(by=signed(finding.by))
    if holder_of(path) is None:
        with reading(path) as journal:  # what is wrong with the question is said before the store is locked
            chosen(view_of(journal, campaign), number)
    journal = open_journal(path)
    try:
        record(journal, view_of(journal, campaign), number, finding)
    finally:
        journal.close()


def place_of(words: Sequence[str]) -> tuple[Path, int | None]:
    """Return the store and the trial that ``[STORE] [TRIAL]`` name."""
    if len(words) > 2:
        raise ProblemError(f"too many words: {' '.join(words)}", hint="sdl resolve [STORE] [TRIAL] --answer ...")
    *stores, last = words or ("",)
    if last.isdecimal():
        return find_store(Path(stores[0]) if stores else None), int(last)
    if stores:
        raise ProblemError(f"{last!r} is no number of a trial", hint="sdl resolve [STORE] [TRIAL] --answer ...")
    return find_store(Path(last) if last else None), None


def cut_off(view: CampaignView) -> list[int]:
    """Return the trials that nobody knows the end of, while nobody runs the campaign."""
    return [trial.number for trial in view.in_state(TrialState.UNKNOWN, TrialState.RUNNING)]


def chosen(view: CampaignView, number: int | None) -> int:
    """Return the trial that is meant. CampaignError where there is none, or where there are several."""
    found = [each for each in cut_off(view) if number in {None, each}]
    if len(found) == 1:
        return found[0]
    if number is not None:
        raise CampaignError(
            f"trial {number} of {view.name} is {view.trial(number).state.value}: there is nothing to resolve",
            hint=f"unknown: {listing(cut_off(view)) or 'none'}",
        )
    if not found:
        raise CampaignError(f"campaign {view.name} has no unknown trial", hint="sdl status says how it stands")
    raise CampaignError(f"campaign {view.name} has {len(found)} unknown trials", hint=f"name one of {listing(found)}")


def record(journal: SqlJournal, view: CampaignView, number: int | None, finding: Finding) -> None:
    """Record what a person has found out."""
    trial = chosen(view, number)
    acts = [act for act in view.trace(trial).unknown if finding.act in {None, act.act}]
    bodies: list[Body] = []
    if finding.answer is not None:
        if not acts:
            raise CampaignError(
                f"trial {trial} has no act {finding.act or 'that nobody knows of'}",
                hint="say what is to become of it: --then redo, failed or abandoned",
            )
        answer = cast("ActAnswer", finding.answer.replace("-", "_"))
        bodies += [ActResolved(act=act.act, answer=answer, evidence=str(finding.because)) for act in acts]
    if finding.then is not None:
        bodies += _and_then(view, trial, cast("Answer", finding.then), f"{finding.by}: {finding.because}")
    entries = [Entry(body=body, campaign=view.name, trial=trial, actor=str(finding.by)) for body in bodies]
    fail_point("resolve.before_answer")
    journal.append(*entries)
    fail_point("resolve.after_answer")
    view.catch_up(journal)
    _say_recorded(view, trial, acts, finding)


def _and_then(view: CampaignView, trial: int, then: Answer, reason: str) -> list[Body]:
    before = view.record(trial)
    because = before.reason or "the process that ran it is gone"
    unknown = TrialUnknown(attempt=before.attempts, reason=because)
    return [*([unknown] if before.state is TrialState.RUNNING else []), *resolution(then, reason, because)]


def _say_recorded(view: CampaignView, trial: int, acts: Sequence[ActRecord], finding: Finding) -> None:
    for act in acts if finding.answer else ():
        say(f"{act} of trial {trial}: {finding.answer}, says {finding.by}")
    if finding.then is not None:
        say(f"trial {trial} is {view.trial(trial).state.value}")
        return
    left = len(view.trace(trial).unknown) if finding.answer != "cannot-tell" else 0
    if left:
        say(f"{left} more to be answered")
    elif finding.answer == "cannot-tell":
        say(f"run the campaign again: trial {trial} is marked failed, because its sample cannot be trusted")
    else:
        say("run the campaign again: it goes on as far as that is safe")


def say_open(view: CampaignView, number: int | None, path: Path) -> None:
    """Print every trial of which nobody knows the end: what was intended, the last evidence, and how to answer."""
    numbers = [each for each in cut_off(view) if number in {None, each}]
    if not numbers:
        say(f"campaign {view.name} has no unknown trial")
    for each in numbers:
        trial = view.trial(each)
        title(f"trial {each} of campaign {view.name}: {trial.state.value}")
        say(f"  where  {point_text(trial.values, trial.units)}")
        if trial.reason:
            say(f"  why    {trial.reason}")
        for line in act_lines(view.trace(each).unknown):
            say(f"  {line}")
    if numbers:
        say(f"answer: sdl resolve {path} TRIAL --answer {'|'.join(ANSWERS)} --by NAME --because TEXT")
        say(f"   and: --then {'|'.join(THEN)}, where it is not to go on by itself")
