"""What a campaign's trials ask of the schedule: each step that could begin, or is to come, as a work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sdl.campaign.active import ActiveTrial, Run
from sdl.campaign.floor import Floor
from sdl.journal.protocol import Journal
from sdl.journal.records import StepEnded
from sdl.lab import Experiment, Settings, Step
from sdl.lab.schedule import BatchRule, Work
from sdl.lab.schedule.durations import CHANGEOVER

RATIO = "{} (by declared)"
"""Under which name it is kept how much longer a step took than its function of the settings said."""


class Queue:
    """Makes the works of one campaign.

    Parameters
    ----------
    campaign
        Its name.
    experiment
        The steps.
    floor
        The stations, and how long steps take on them.
    priority
        Of all its works.
    """

    def __init__(self, campaign: str, experiment: Experiment, floor: Floor, *, priority: int = 0) -> None:
        self._campaign = campaign
        self._experiment = experiment
        self._floor = floor
        self._priority = priority

    def works_of(self, number: int, active: ActiveTrial) -> tuple[Work, ...]:
        """Return the works of a trial, the next one first; made anew only where something has changed."""
        if active.works is None:
            active.works = self._make(number, active)
        return active.works

    def learn(self, journal: Journal, settings_of: Callable[[int], Settings]) -> None:
        """Learn from *journal* how much longer steps took than the functions said that give their duration.

        *settings_of* returns those of a trial, without what its steps returned: a function that asks for a result
        learns in the present session only.
        """
        if self._campaign in self._floor.taught:
            return
        self._floor.taught.add(self._campaign)
        steps = {step.name: step for step in self._experiment.steps if callable(step.duration)}
        last: tuple[object, ...] = ()
        for event in journal.read(campaign=self._campaign, kinds={"step.ended"}) if steps else ():
            body = event.body
            if not isinstance(body, StepEnded) or not body.is_success or body.step not in steps:
                continue
            run = (body.step, body.station, body.members, body.seconds)
            declared = None
            if not body.members or run != last:  # each sample of a run of several says when it ended
                declared = declared_seconds(steps[body.step], settings_of(event.trial or 0))
            last = run
            if declared:
                ratio = (body.seconds - body.setup_seconds) / declared
                self._floor.durations.add(self._campaign, RATIO.format(body.step), body.station, ratio)

    def duration(self, step: Step, settings: Settings, stations: Sequence[str]) -> float:
        """Return what *step* is expected to take, in seconds."""
        declared = declared_seconds(step, settings)
        station = stations[0] if len(stations) == 1 else None
        durations = self._floor.durations
        if callable(step.duration) and declared is not None:
            name = RATIO.format(step.name)
            return declared * durations.estimate(self._campaign, name, station, declared=1.0).median
        return durations.estimate(self._campaign, step.name, station, declared=declared).median

    def is_guess(self, step: Step, settings: Settings) -> bool:
        """Tell whether nobody has said or seen what *step* takes."""
        durations = self._floor.durations
        return declared_seconds(step, settings) is None and not durations.estimate(self._campaign, step.name).n_seen

    def expected(self, run: Run, settings: Settings) -> float | None:
        """Return what *run* is expected to take, its changeover too; None where nobody said, and too few have ended."""
        step = run.step
        n_seen = self._floor.durations.estimate(self._campaign, step.name, run.station).n_seen
        if declared_seconds(step, settings) is None and (callable(step.duration) or not n_seen):
            return None
        setup = 0.0 if step.setup is None or not run.setup_key else self._setup_seconds(step, step.setup.duration)
        return setup + self.duration(step, settings, (run.station,))

    def _make(self, number: int, active: ActiveTrial) -> tuple[Work, ...]:
        works: list[Work] = []
        kept = set(active.kept)
        running = None if active.run is None else active.run.step
        first = active.next_step + (running is not None)
        before = () if running is None else (running.name,)
        for index, step in enumerate(self._experiment.steps[first:]):
            is_rest = index == 0 and running is None and active.resumes
            work = self._work(number, active, step, before, kept, is_rest=is_rest)
            works.append(work)
            before = (*before, step.name)
            kept = {name for name in kept if all(name not in group for group in work.groups)} | {
                name for name in kept if name in work.keeps
            }
        return tuple(works)

    def _work(
        self,
        number: int,
        active: ActiveTrial,
        step: Step,
        before: tuple[str, ...],
        kept: set[str],
        *,
        is_rest: bool,
    ) -> Work:
        lab = self._floor.lab
        stations = (active.cut_off[0],) if is_rest and active.cut_off[0] else lab.stations_for(step)
        stations = _restricted(stations, kept)
        needs = tuple(_restricted(lab.stations_called(name), kept) for name in step.needs)
        setup_key = "" if step.setup is None or is_rest else step.setup.key_of(active.settings)
        return Work(
            campaign=self._campaign,
            trial=number,
            step=step.name,
            stations=stations,
            duration=self.duration(step, active.settings, stations),
            release=active.expected_end if active.run is not None else active.since,
            is_guess=self.is_guess(step, active.settings),
            is_release_guess=active.run is not None and self.is_guess(active.run.step, active.settings),
            after=before,
            needs=needs,
            keeps=tuple(dict.fromkeys(name for each in step.keeps for name in lab.stations_called(each))),
            due=active.due(step.within),
            within={name: seconds for name, seconds in step.within.items() if name in before},
            batch=_batch_rule(step, active, is_rest=is_rest),
            batch_key=batch_key(step, active, is_rest=is_rest),
            setup_key=setup_key,
            setup=0.0 if step.setup is None else self._setup_seconds(step, step.setup.duration),
            priority=self._priority,
        )

    def _setup_seconds(self, step: Step, declared: float) -> float:
        name = CHANGEOVER.format(step.name)
        return self._floor.durations.estimate(self._campaign, name, declared=declared).median


def declared_seconds(step: Step, settings: Settings) -> float | None:
    """Return what was said of the duration of *step*; None where nobody said, or a result is asked that is to come."""
    try:
        return step.declared_seconds(settings)
    except (LookupError, TypeError):
        return None


def _restricted(stations: tuple[str, ...], kept: set[str]) -> tuple[str, ...]:
    """Return the one of *stations* that the trial keeps, where it keeps one."""
    return tuple(name for name in stations if name in kept) or stations


def _batch_rule(step: Step, active: ActiveTrial, *, is_rest: bool) -> BatchRule | None:
    if step.batch is None:
        return None
    if is_rest:  # with those that it was begun with, and no others
        return BatchRule(size=max(1, len(active.cut_off[1])))
    return BatchRule(size=step.batch.size, least=step.batch.least, patience=step.batch.patience)


def batch_key(step: Step, active: ActiveTrial, *, is_rest: bool = False) -> str:
    """Return what trials must have in common to share a run of *step*, as text."""
    if step.batch is None:
        return ""
    if is_rest:
        return f"the rest of {step.name} of trials {', '.join(map(str, active.cut_off[1]))}"
    values: Mapping[str, float | str] = active.settings
    names = dict.fromkeys((*step.batch.shared, *(() if step.setup is None else step.setup.key)))
    return ", ".join(f"{name}={values[name]}" for name in names)
