"""``sdl rehearse``: when a campaign would end, what keeps it, and what a second station would save."""

from __future__ import annotations

import contextlib
import functools
import runpy
import statistics
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, cast
from unittest.mock import patch

import numpy as np
from pydantic import JsonValue

from sdl.campaign import Campaign
from sdl.campaign.active import ActiveTrial
from sdl.campaign.file import load_campaign_file
from sdl.campaign.floor import Floor
from sdl.campaign.queueing import Queue
from sdl.campaign.view import CampaignView
from sdl.commands.output import say, say_facts, say_json, say_table, title
from sdl.commands.run import FILE_SUFFIXES, importing_from
from sdl.commands.stores import find_store, reading
from sdl.errors import CampaignError, JournalNotFound, LabError, ProblemError
from sdl.export.bars import Bar, bars_of
from sdl.export.words import count, duration, minute
from sdl.journal import Journal, MemoryJournal, open_journal
from sdl.lab import Settings, Station, WallClock
from sdl.lab.schedule import BatchRule, Calendar, Key, StationState, Work
from sdl.lab.schedule.whatif import WORTH, Outcome, Scenario, look_into

AGAIN = " (again)"

SEED = 0
"""Where points are only wanted for what their steps would take."""


@dataclass
class Rehearsal:
    """What is to be rehearsed, and how far that is known.

    Parameters
    ----------
    names
        The campaigns.
    source
        Where the durations come from, in words.
    scenario
        The model.
    counts
        What became of trials, where they were run.
    seconds
        How long it took where it was really run; None: only the model tells.
    """

    names: Sequence[str]
    source: str
    scenario: Scenario
    counts: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float | None = None


def rehearse(
    target: Path, *, trials: int | None, in_flight: int | None, begin: str | None, quick: bool, as_json: bool
) -> None:
    """Rehearse the campaign file, script or store *target*, and say what came of it."""
    at = _moment(begin)
    if target.is_dir():
        if trials is not None:
            raise ProblemError(f"--trials {trials}: a store is rehearsed with the trials that it holds")
        found = _of_store(find_store(target), at, in_flight)
    elif target.suffix in FILE_SUFFIXES:
        found = _of_file(target, at, trials, in_flight, quick=quick)
    elif target.suffix == ".py" and target.exists():
        found = _of_script(target, at, trials, in_flight, quick=quick)
    else:
        raise ProblemError(f"{target} is no campaign file (.yaml), script (.py) or store (.sdl)")
    outcome = look_into(found.scenario)
    if as_json:
        say_json(_as_json(found, outcome))
    else:
        _tell(found, outcome)


def _moment(begin: str | None) -> float:
    if begin is None:
        return 60.0 * (WallClock().time() // 60)
    try:
        at = datetime.fromisoformat(begin)
    except ValueError:
        raise ProblemError(f"--begin {begin!r} is no time", hint="write 2026-11-23T08:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


# --- a campaign that can be run ---------------------------------------------------------------------------------------


def _of_file(file: Path, at: float, trials: int | None, in_flight: int | None, *, quick: bool) -> Rehearsal:
    if not file.exists():
        raise ProblemError(f"there is no file {file}")
    described = load_campaign_file(file)
    with importing_from(file.resolve().parent):
        campaign = described.make(file.resolve().parent, progress=False)
        with campaign.lab:
            return _of_campaigns([campaign], at, trials, in_flight, quick=quick)


_RUN, _RUN_ALL = Campaign.run, Campaign.run_all


class _Rehearsed(BaseException):
    """A script has come to where it would run its campaigns. No ``except Exception`` of it may hold this up."""

    def __init__(self, found: Rehearsal) -> None:
        super().__init__()
        self.found = found


def _of_script(script: Path, at: float, trials: int | None, in_flight: int | None, *, quick: bool) -> Rehearsal:
    # At the place where the script would run them: its own `with lab:` closes the laboratory when it is left.
    def run_all(campaigns: Sequence[Campaign], n: int | None = None, **more: int | None) -> NoReturn:
        wanted = more.get("trials", n) if trials is None else trials
        with _running(_RUN, _RUN_ALL), campaigns[0].lab:
            raise _Rehearsed(_of_campaigns(campaigns, at, wanted, in_flight, quick=quick))

    def run(campaign: Campaign, n: int | None = None, **more: int | None) -> NoReturn:
        run_all([campaign], n, **more)

    with importing_from(script.parent), patch.object(sys, "argv", [str(script)]), _running(run, run_all), _untouched():
        try:
            runpy.run_path(str(script), run_name="__main__")
        except _Rehearsed as rehearsed:
            return rehearsed.found
    raise CampaignError(f"{script} runs no campaign", hint="it has to call campaign.run(...)")


@contextlib.contextmanager
def _running(run: Callable[..., Any], run_all: Callable[..., Any]) -> Generator[None]:
    """Have campaigns run by these."""
    with patch.object(Campaign, "run", run), patch.object(Campaign, "run_all", run_all):
        yield


@contextlib.contextmanager
def _untouched() -> Generator[None]:
    """Refuse to connect or use stations in real time: a script may do that before it runs its campaign."""
    from sdl.lab.remote.station import RemoteStation  # ZeroMQ, for this only

    with contextlib.ExitStack() as stack:
        for kind in (Station, RemoteStation):
            for verb in ("connect", "submit"):
                stack.enter_context(patch.object(kind, verb, _in_virtual_time(getattr(kind, verb))))
        yield


def _in_virtual_time(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def guarded(station: Station, *args: Any) -> Any:
        if not station.clock.is_virtual:
            raise LabError(
                f"a rehearsal moves nothing, and the script uses station {station.name} before it runs its campaign",
                hint="put that behind the call of campaign.run, or rehearse a campaign file",
            )
        return verb(station, *args)

    return guarded


def _of_campaigns(
    campaigns: Sequence[Campaign], at: float, trials: int | None, in_flight: int | None, *, quick: bool
) -> Rehearsal:
    """Run *campaigns* aside where their laboratory is simulated and its time virtual; else let steps only take time."""
    lab = campaigns[0].lab
    if in_flight is not None:
        for campaign in campaigns:
            campaign.in_flight = in_flight
    if quick or not (lab.is_simulated and lab.clock.is_virtual):
        return _of_times(campaigns, at, trials)
    journal = MemoryJournal(time_source=lab.clock)
    lab.clock.advance_to(at)
    begin = lab.clock.time()  # later, where the script has let time pass
    aside = [campaign.aside(journal) for campaign in campaigns]
    Campaign.run_all(aside, trials) if len(aside) > 1 else aside[0].run(trials)
    found = _model(aside, journal, begin)
    ends = [bar.end for campaign in aside for bar in bars_of(journal, campaign.name)]
    seconds = max(ends, default=begin) - begin  # waiting for a station to open is part of it
    counts: dict[str, int] = {}
    for campaign in aside:
        for trial in campaign.trials:
            counts[trial.state.value] = counts.get(trial.state.value, 0) + 1
    names = [campaign.name for campaign in campaigns]
    return Rehearsal(names, "run in virtual time with the simulated laboratory", found, counts, seconds)


def _model(campaigns: Sequence[Campaign], journal: Journal, begin: float) -> Scenario:
    """Return the model of what was done: the works as they were declared, as long as they took."""
    trials: list[Sequence[Work]] = []
    took: dict[Key, float] = {}
    for campaign in campaigns:
        done = {
            (trial, bar.step): bar.end - bar.begin - bar.setup
            for bar in bars_of(journal, campaign.name)
            if bar.is_run
            for trial in bar.trials
        }
        points = [(trial.number, trial.values) for trial in campaign.trials]
        for works in _works(campaign, points, Floor(campaign.lab)):
            kept = [work for work in works if (work.trial, work.step) in done]
            took |= {work.key: done[work.trial, work.step] for work in kept}
            trials.append(kept)
    return _scenario(campaigns, trials, begin, took)


def _of_times(campaigns: Sequence[Campaign], at: float, trials: int | None) -> Rehearsal:
    """Return the model of trials that were not run: points from all over the space, steps as long as is known."""
    works: list[Sequence[Work]] = []
    n_seen = 0
    for campaign in campaigns:
        n = trials or campaign.budget.trials
        if n is None:
            raise CampaignError(f"it is not known how many trials {campaign.name} has", hint="say --trials")
        floor = Floor(campaign.lab)
        n_seen += _learn(campaign, floor)
        rng = np.random.default_rng(SEED)
        context = dict(campaign.lab.context()) or None
        points = campaign.problem.space.sample(n, rng, context=context)
        works += _works(campaign, list(enumerate(points, 1)), floor)
    declared = "no planner asked; steps take what is declared for them"
    source = f"{declared}, or what they took in the {count(n_seen, 'event')} of the journal" if n_seen else declared
    return Rehearsal([campaign.name for campaign in campaigns], source, _scenario(campaigns, works, at, {}))


def _learn(campaign: Campaign, floor: Floor) -> int:
    """Learn durations from the campaign's own journal, if there is one; return how many events it has."""
    with contextlib.suppress(JournalNotFound):
        kept = campaign.journal
        with contextlib.ExitStack() as stack:
            journal: Journal = (
                stack.enter_context(contextlib.closing(open_journal(kept, mode="read")))
                if isinstance(kept, str | Path)
                else kept
            )
            floor.read(journal)
            view = CampaignView(campaign.name)
            view.catch_up(journal)
            _queue(campaign, floor).learn(
                journal, lambda number: Settings(view.record(number).proposal.values, units=view.units, trial=number)
            )
            return journal.head[0]
    return 0


def _queue(campaign: Campaign, floor: Floor) -> Queue:
    return Queue(campaign.name, campaign.experiment, floor, priority=campaign.priority)


def _works(
    campaign: Campaign, points: Sequence[tuple[int, Mapping[str, float | str]]], floor: Floor
) -> list[Sequence[Work]]:
    queue = _queue(campaign, floor)
    parameters = campaign.problem.space.parameters.items()
    units: dict[str, str | None] = {name: getattr(parameter, "unit", None) for name, parameter in parameters}
    return [
        queue.works_of(number, ActiveTrial(Settings(values, units=units, trial=number), attempt=1))
        for number, values in points
    ]


def _scenario(
    campaigns: Sequence[Campaign], trials: Sequence[Sequence[Work]], begin: float, took: Mapping[Key, float]
) -> Scenario:
    lab = campaigns[0].lab
    return Scenario(
        trials=[works for works in trials if works],
        stations=[StationState(name=name, calendar=lab.calendars.get(name)) for name in lab.stations],
        begin=begin,
        in_flight={campaign.name: campaign.in_flight for campaign in campaigns},
        took=took,
    )


# --- a store ----------------------------------------------------------------------------------------------------------


def _of_store(path: Path, at: float, in_flight: int | None) -> Rehearsal:
    """Return the model of what a store tells: the same trials, where they ran, for as long as they took."""
    with reading(path) as journal:
        names = list(journal.campaigns)
        views = [CampaignView.of(journal, name) for name in names]
        bars = {name: bars_of(journal, name) for name in names}
    trials: list[Sequence[Work]] = []
    took: dict[Key, float] = {}
    for name in names:
        trials += _recorded(name, bars[name], took)
    if not trials:
        raise CampaignError(f"no step of {path} has ended yet", hint="rehearse the campaign file or the script")
    stations = list(dict.fromkeys(bar.station for name in names for bar in bars[name]))
    calendars = _calendars(views)
    scenario = Scenario(
        trials=trials,
        stations=[StationState(name=name, calendar=calendars.get(name)) for name in stations],
        begin=at,
        in_flight={view.name: in_flight or _in_flight(view) for view in views},
        took=took,
    )
    return Rehearsal(names, "the trials of the store once more, each step as long as it took", scenario)


def _recorded(campaign: str, bars: Sequence[Bar], took: dict[Key, float]) -> list[list[Work]]:
    """Make works of what was recorded: a step may run where it ever ran, and with what was ever held for it."""
    runs = [bar for bar in bars if bar.is_run]
    held: dict[_Run, list[str]] = {}
    for bar in bars:
        if not bar.is_run:
            held.setdefault(_run(bar), []).append(bar.station)
    ran: dict[str, dict[str, None]] = {}
    needs: dict[str, list[dict[str, None]]] = {}
    for bar in runs:
        ran.setdefault(bar.step, {})[bar.station] = None
        known = needs.setdefault(bar.step, [])
        for place, name in enumerate(held.get(_run(bar), ())):  # the first need of each run is one of the same kind
            known += [{}] if place == len(known) else []
            known[place][name] = None
    trials: dict[int, list[Work]] = {}
    for number, bar in enumerate(sorted(runs, key=lambda bar: bar.begin)):
        n = len(bar.trials)
        step = _label(bar, trials)
        for trial in bar.trials:
            work = Work(
                campaign=campaign,
                trial=trial,
                step=step,
                stations=tuple(ran[bar.step]),
                needs=tuple(map(tuple, needs[bar.step])),
                duration=bar.end - bar.begin,
                batch=BatchRule(size=n, least=n) if n > 1 else None,  # those that were treated together
                batch_key=str(number),
            )
            trials.setdefault(trial, []).append(work)
            took[work.key] = work.duration
    return [works for _, works in sorted(trials.items())]


_Run = tuple[str, str, float, int]


def _run(bar: Bar) -> _Run:
    """Return what the bars of one run have in common."""
    return bar.run_on, bar.step, round(bar.begin, 3), bar.trials[0]


def _label(bar: Bar, trials: Mapping[int, Sequence[Work]]) -> str:
    """Name the step; another attempt at it took time as well, and is a step of its own."""
    label = bar.step
    while any(work.step == label for trial in bar.trials for work in trials.get(trial, ())):
        label += AGAIN
    return label


def _in_flight(view: CampaignView) -> int:
    found = view.settings.get("in_flight")
    return found if isinstance(found, int) else 1


def _calendars(views: Sequence[CampaignView]) -> dict[str, Calendar]:
    found: dict[str, Calendar] = {}
    for view in views:
        given = view.lab.get("calendars")
        if isinstance(given, Mapping):
            found |= {name: Calendar.from_data(data) for name, data in cast("Mapping[str, Any]", given).items()}
    return found


# --- what came of it --------------------------------------------------------------------------------------------------


def _tell(found: Rehearsal, outcome: Outcome) -> None:
    done, seconds = outcome.done, _seconds(found, outcome)
    title(", ".join(found.names))
    counted = ", ".join(f"{n} {state}" for state, n in found.counts.items())
    say_facts(
        [
            ("rehearsed", found.source),
            ("trials", f"{len(found.scenario.trials)}{f' ({counted})' if counted else ''}"),
            ("at a time", ", ".join(str(n) for n in found.scenario.in_flight.values())),
            ("begins", f"{minute(datetime.fromtimestamp(done.begin, UTC))} UTC"),
            ("ends", f"{minute(datetime.fromtimestamp(done.begin + seconds, UTC))} UTC, after {duration(seconds)}"),
            ("late", f"{count(len(done.late), 'step')} begin after their window" if done.late else ""),
        ]
    )
    say()
    say_table(["station", "taken", "runs"], _station_rows(outcome), indent=2)
    say()
    say_table(["step", "takes", "waits before it"], _step_rows(outcome), indent=2)
    say()
    for line in _gains(found, outcome):
        say(line)


def _seconds(found: Rehearsal, outcome: Outcome) -> float:
    return outcome.done.seconds if found.seconds is None else found.seconds


def _station_rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    runs = [name for run in outcome.done.runs for name in run.taken]
    shares = sorted(outcome.utilisation.items(), key=lambda item: -item[1])
    return [(name, f"{share:.0%}", f"{runs.count(name):,}") for name, share in shares]


def _step_rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    took = _took(outcome)
    return [
        (step, duration(took[step]), duration(waited) if waited >= 1 else "-")
        for step, waited in outcome.waited.items()
    ]


def _took(outcome: Outcome) -> dict[str, float]:
    """Return the median seconds of each step, without set-ups."""
    found: dict[str, list[float]] = {}
    for run in outcome.done.runs:
        found.setdefault(run.works[0][2], []).append(run.end - run.begin - run.setup)
    return {step: statistics.median(seconds) for step, seconds in found.items()}


def _gains(found: Rehearsal, outcome: Outcome) -> list[str]:
    lines: list[str] = []
    bottleneck = outcome.bottleneck
    if bottleneck is not None:
        saved = f"{duration(bottleneck.seconds)} of {duration(outcome.done.seconds)}"
        groups = {group for works in found.scenario.trials for work in works for group in work.groups}
        has_others = any(bottleneck.station in group and len(group) > 1 for group in groups)
        more_of = "one more like it" if has_others else f"a second {bottleneck.station}"
        lines.append(f"The bottleneck is {bottleneck.station}: {more_of} would save {saved}.")
    more = next((each for each in outcome.savings if not each.station), None)
    if more is not None and more.seconds > WORTH * outcome.done.seconds:
        twice = ", ".join(str(2 * n) for n in found.scenario.in_flight.values())
        lines.append(f"{twice} trials at a time would save {duration(more.seconds)}.")
    return lines or ["Neither a second station nor more trials at a time would save anything to speak of."]


def _as_json(found: Rehearsal, outcome: Outcome) -> dict[str, JsonValue]:
    seconds, bottleneck = _seconds(found, outcome), outcome.bottleneck
    took = _took(outcome)
    return {
        "campaigns": list(found.names),
        "source": found.source,
        "trials": len(found.scenario.trials),
        "states": dict(found.counts),
        "in_flight": dict(found.scenario.in_flight),
        "begin": datetime.fromtimestamp(outcome.done.begin, UTC).isoformat(),
        "end": datetime.fromtimestamp(outcome.done.begin + seconds, UTC).isoformat(),
        "seconds": seconds,
        "model_seconds": outcome.done.seconds,
        "late": len(outcome.done.late),
        "utilisation": dict(outcome.utilisation),
        "waited": dict(outcome.waited),
        "took": dict(took),
        "bottleneck": None if bottleneck is None else bottleneck.station,
        "savings": [{"station": each.station or None, "seconds": each.seconds} for each in outcome.savings],
    }
