"""What a person at the terminal sees of a running campaign, and what he is asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

from sdl.campaign.budget import Budget
from sdl.campaign.identity import signed
from sdl.campaign.planner import TrialState
from sdl.campaign.recorder import Observer
from sdl.campaign.recovery import ActVerdict, Answer, Questions
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.errors import LabError
from sdl.journal.acts import ActAnswer
from sdl.journal.records import Event, PlannerFailed, ScheduleChosen, SessionEnded, SessionStarted
from sdl.lab.actions import ActRecord

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

ENDINGS = {"trial.completed", "trial.failed", "trial.abandoned", "trial.unknown"}


def terminal_observer(budget: Budget, stream: TextIO | None = None) -> Observer:
    """Return what shows progress on *stream* (standard error): a live panel on a terminal, plain lines elsewhere."""
    chosen: TextIO = sys.stderr if stream is None else stream
    return LivePanel(budget, chosen) if chosen.isatty() else PlainLines(budget, chosen)


def duration(seconds: float) -> str:
    """Write a duration for a person: ``45 s``, ``12 min``, ``5.5 h``, ``3.2 days``."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"


def seconds_left(view: CampaignView, budget: Budget) -> float | None:
    """Estimate the laboratory seconds to the end of the budget of trials; None where there is nothing to go by.

    So many ended in so much laboratory time, however many were under way at once; the rest will take as long each.
    """
    left = budget.trials_left(view)
    n_ended = view.counts[TrialState.COMPLETED] + view.counts[TrialState.FAILED]
    if left is None or n_ended == 0:
        return None
    n_open = left + view.counts[TrialState.PROPOSED] + view.counts[TrialState.RUNNING]
    return view.lab_seconds / n_ended * n_open


def best_so_far(view: CampaignView) -> str:
    """Say in a few words how far the search has come."""
    if len(view.problem.objectives) > 1:
        return f"front of {len(view.pareto)} trials"
    best = view.best
    return "none yet" if best is None else f"{best.outcome} (trial {best.number})"


class PlainLines:
    """A line for every trial that ends, for logs and pipes."""

    def __init__(self, budget: Budget, stream: TextIO) -> None:
        self._budget = budget
        self._stream = stream

    def notify(self, event: Event, view: CampaignView) -> None:
        """Print what the event means, if it means something to a person."""
        match event.body:
            case SessionStarted(session=session):
                again = "" if session == 1 else f" goes on with {view.n_proposed} trials (session {session})"
                self._print(f"campaign {view.name}{again or ' begins'}")
            case SessionEnded(status=status, reason=reason):
                self._print(f"{status}: {reason}")
            case ScheduleChosen(by=by, reason=reason):
                self._print(f"schedule by {by}: {reason}")
            case PlannerFailed(error=error, action=action):
                self._print(f"planner: {error} -> {action}")
            case _ if event.kind in ENDINGS and event.trial is not None:
                self._print(self._line(event.trial, view))
            case _:
                pass

    def _line(self, number: int, view: CampaignView) -> str:
        total = self._budget.trials
        if total is not None and view.standing.quality is not None:
            total += max(view.standing.quality.extra_trials(total), view.standing.n_assigned)
        place = f"[{number}/{total}]" if total is not None else f"[{number}]"
        return (
            f"{place} {view.trial(number)} | best {best_so_far(view)} | {duration(view.lab_seconds)} of laboratory time"
        )

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)  # this is the progress

    def close(self, view: CampaignView) -> None:
        """Nothing to end."""


class LivePanel:
    """A panel that stays in place: trials done and running, best so far, time left, what each station does."""

    def __init__(self, budget: Budget, stream: TextIO) -> None:
        self._budget = budget
        self._stream = stream
        self._live: Live | None = None

    def notify(self, event: Event, view: CampaignView) -> None:
        """Redraw the panel; print a line above it for every trial that ends."""
        live = self._started()
        if isinstance(event.body, PlannerFailed):
            live.console.print(f"[yellow]planner: {event.body.error} → {event.body.action}", highlight=False)
        elif event.kind in ENDINGS and event.trial is not None:
            live.console.print(_coloured(view.trial(event.trial)), highlight=False)
        live.update(self._panel(view))

    def close(self, view: CampaignView) -> None:
        """Draw the panel a last time and leave it on the screen."""
        live = self._started()
        live.update(self._panel(view), refresh=True)
        live.stop()
        self._live = None

    def _started(self) -> Live:
        if self._live is None:
            from rich.console import Console  # noqa: PLC0415 # rich is only needed where there is a terminal
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(console=Console(file=self._stream), refresh_per_second=8, transient=False)
            self._live.start()
        return self._live

    def _panel(self, view: CampaignView) -> RenderableType:
        from rich.console import Group  # noqa: PLC0415
        from rich.panel import Panel  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        facts = Table.grid(padding=(0, 2))
        for label, text in self._facts(view):
            facts.add_row(Text(label, style="bold"), Text(text))
        bar = Table.grid(expand=True)  # a bar by itself does not end its line
        bar.add_row(ProgressBar(total=self._budget.trials or 1, completed=_n_done(view) if self._budget.trials else 0))
        return Panel(Group(bar, facts), title=f"campaign {view.name}", title_align="left")

    def _facts(self, view: CampaignView) -> list[tuple[str, str]]:
        total = "" if self._budget.trials is None else f" of {self._budget.trials}"
        counts = f"{_n_done(view)}{total} done, {view.counts[TrialState.RUNNING]} running"
        counts += f", {view.counts[TrialState.FAILED]} failed" if view.counts[TrialState.FAILED] else ""
        counts += f", {view.counts[TrialState.UNKNOWN]} unknown" if view.counts[TrialState.UNKNOWN] else ""
        left = seconds_left(view, self._budget)
        time = f"{duration(view.lab_seconds)} of laboratory time"
        time += f", about {duration(left)} left" if left else ""
        stations = cast("dict[str, object]", view.lab.get("stations", {}))
        doing = [(f"station {name}", view.stations.get(name, "idle")) for name in stations]
        extra = view.standing.n_assigned
        counts += f", and {extra} controls and replicates" if extra else ""
        return [("trials", counts), ("best", best_so_far(view)), ("time", time), *doing]


def _n_done(view: CampaignView) -> int:
    ended = {TrialState.COMPLETED, TrialState.FAILED}
    extra = sum(record.state in ended for record in view.standing.assigned)
    return view.counts[TrialState.COMPLETED] + view.counts[TrialState.FAILED] - extra


def _coloured(trial: Trial) -> str:
    from rich.markup import escape  # noqa: PLC0415

    colour = {TrialState.COMPLETED: "green", TrialState.FAILED: "red", TrialState.UNKNOWN: "yellow"}.get(trial.state)
    return f"[{colour or 'default'}]{escape(str(trial))}"


QUESTION = """
{trial}
Nobody knows what became of it: {reason}. What is to become of it?
  r  do it again, from the first step (only with a fresh sample, and if its materials allow that)
  f  mark it failed
  a  abandon it
  l  leave it for later (it stays pending)
"""

ACT_QUESTION = """
{trial}
Nobody knows whether this was done:
  intended  {act}, at {time}
  evidence  {evidence}
Look, and say:
  h  it happened
  n  it did not happen
  c  cannot tell (the sample is discarded)
  l  leave it for later (the trial stays pending)
"""

ANSWERS: Mapping[str, Answer | None] = {"r": "redo", "f": "failed", "a": "abandoned", "l": None}
ACT_ANSWERS: Mapping[str, ActAnswer | None] = {"h": "happened", "n": "did_not_happen", "c": "cannot_tell", "l": None}

T = TypeVar("T")


def terminal_questions() -> Questions:
    """Return how a person is asked: at the terminal where there is one, else not at all."""
    if sys.stdin is not None and sys.stdin.isatty():
        return Questions(ask_about_act, ask_on_terminal)
    return no_questions()


def no_questions() -> Questions:
    """Return how nobody is asked: what is open stays open until somebody says it."""
    return Questions(lambda _trial, _act: None, lambda _trial: None)


def ask_on_terminal(trial: Trial) -> Answer | None:
    """Ask the person at the terminal what is to become of an unknown trial."""
    print(QUESTION.format(trial=trial, reason=trial.reason))  # noqa: T201 # a question to a person
    return _chosen("r, f, a or l: ", ANSWERS)


def ask_about_act(trial: Trial, act: ActRecord) -> ActVerdict | None:
    """Ask the person at the terminal whether an act was done, who says so, and how it can be seen."""
    time = datetime.fromtimestamp(act.intended_at, UTC)
    known = (f"it ended as {act.outcome}" if act.outcome else "no end is recorded", act.reason, act.evidence)
    evidence = "; ".join(filter(None, known))
    print(  # noqa: T201 # a question to a person
        ACT_QUESTION.format(trial=trial, act=act, time=f"{time:%Y-%m-%d %H:%M:%S} UTC", evidence=evidence)
    )
    answer: ActAnswer | None = _chosen("h, n, c or l: ", ACT_ANSWERS)
    if answer is None:
        return None
    try:
        return ActVerdict(answer, because=_said("How can that be seen? "), by=_name())
    except EOFError:
        return None


def _name() -> str:
    while True:
        try:
            return signed(_said("Your name: "))
        except LabError as error:
            print(error)  # noqa: T201 # the question comes again


def _said(question: str) -> str:
    while not (text := input(question).strip()):
        pass
    return text


def _chosen(question: str, answers: Mapping[str, T | None]) -> T | None:
    while True:
        try:
            answer = input(question).strip().lower()
        except EOFError:
            return None
        if answer in answers:
            return answers[answer]
