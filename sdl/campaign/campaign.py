"""The campaign: the one stateful object that a user drives."""

from __future__ import annotations

import contextlib
import copy
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from sdl.campaign.active import Status
from sdl.campaign.approvals import AUTONOMY
from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import Budget, FailurePolicy, StoppingRule, UnknownPolicy
from sdl.campaign.comparing import comparison
from sdl.campaign.concluding import Rules
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.floor import Floor
from sdl.campaign.identity import signed
from sdl.campaign.inspection import Check
from sdl.campaign.loop import Loop, check_parameters, check_stations
from sdl.campaign.opening import Opening, settings_of
from sdl.campaign.planner import Planner
from sdl.campaign.planning import PlannerPlace, PlanningDesk, describe_planner, fitting, host_for, memory_bytes
from sdl.campaign.progress import no_questions, terminal_observer, terminal_questions
from sdl.campaign.quality import QualityControl
from sdl.campaign.recorder import Observer
from sdl.campaign.safeguard import rearm
from sdl.campaign.together import drive
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.errors import CampaignError, JournalNotFound, LabError
from sdl.journal import open_journal
from sdl.journal.protocol import Journal
from sdl.journal.records import Entry
from sdl.journal.seeds import SeedData
from sdl.journal.trust import Role
from sdl.lab import Experiment, Lab, Ledger
from sdl.lab.latches import check_person
from sdl.lab.schedule.ahead import WHEN, When
from sdl.problem import Objective, OutcomeConstraint, Problem, SearchSpace
from sdl.problem.value import Value, listing

if TYPE_CHECKING:
    import pandas as pd


class Ended(Value):
    """How a session of a campaign ended."""

    status: Status
    reason: str

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class Campaign:
    """A search: a problem, a planner, an experiment, a laboratory, a budget and a journal.

    Everything it knows is in its journal, so the same script run again goes on where the last run stopped, however
    that one ended.

    Parameters
    ----------
    name
        Names the campaign in its journal, and the store ``NAME.sdl`` in the current folder if *journal* is not given.
    space, objective, outcome_constraints
        What is asked. Several objectives make a Pareto front.
    planner
        Proposes the trials. Another one may take over in a later session.
    experiment
        A plan ``experiment(lab, s)`` (a generator function that returns a mapping from outcome to measurement), or an
        :class:`~sdl.Experiment` of several steps.
    lab
        The laboratory.
    seed
        The source of all chance in the campaign.
    in_flight
        How many trials may be under way at once. Left out, one; where a step treats several trials in one run, as many
        as fill all stations that can run it, and twice as many where the experiment has other steps as well.
    budget, stopping
        When to end. ``run(trials=...)`` overrides the budget's trials.
    seed_data
        Measurements made before, that the planner learns from.
    on_failure
        How often a failed trial is tried again, and how many failures in a row stop the campaign.
    on_unknown
        What becomes of a trial that was cut off where it cannot safely go on by itself: ``"ask"`` a person (by default
        on a real laboratory), ``"failed"``, or ``"redo"`` (by default in simulation, where nothing is spent); or an
        :class:`~sdl.OnUnknown`, which says it for each class of action.
    quality
        Control samples, blanks and replicates, and what becomes of results that cannot be trusted.
    checks
        Functions ``check(outcomes, s)`` that say what is wrong with a result, or None.
    planner_deadline
        Wall seconds in which the planner must answer.
    planner_place
        Where the planner runs: ``"process"``, ``"thread"``, or ``"auto"``.
    planner_memory
        How much memory the planner may take, such as ``"4 GiB"``; it runs in a process of its own then. One that wants
        more has failed, like one that raises.
    fallback
        Who proposes when the planner fails twice. None: the campaign pauses instead.
    priority, share
        Where several campaigns run on one laboratory (:func:`~sdl.run_together`): steps of a campaign with a higher
        priority go first; among equals each gets the stations in proportion to its share.
    fit_to_stock
        Whether a suggestion that the stock cannot make gives way to the nearest point found that it can make. Else the
        trial is proposed, and the campaign pauses until somebody adds what it lacks.
    autonomy
        How much it may do without asking; everything that the laboratory allows, where it is left out.
    suggest_ahead
        Whether the planner is asked for one trial more than there is room for, so that no free station waits for it.
        That trial is proposed with one result less to learn from.
    schedule_ahead
        Whether steps are scheduled together ahead of time, with the extra ``schedule``, instead of one by one as they
        come: ``"auto"`` from where a step is held back for the sake of a window (``within``), ``"always"`` or
        ``"never"``. The journal says who decides. See :class:`~sdl.lab.schedule.Ahead`.
    journal
        A store's path or a journal object.
    progress
        Whether to show progress on the terminal, or an observer of your own.
    """

    def __init__(
        self,
        name: str,
        *,
        space: SearchSpace,
        objective: Objective | Sequence[Objective],
        planner: Planner,
        experiment: Experiment | Callable[[Any, Any], Generator[Any, Any, Any]],
        lab: Lab,
        outcome_constraints: Sequence[OutcomeConstraint] = (),
        seed: int = 0,
        in_flight: int | None = None,
        budget: Budget | None = None,
        stopping: Sequence[StoppingRule] = (),
        seed_data: Sequence[SeedData] = (),
        on_failure: FailurePolicy | None = None,
        on_unknown: UnknownPolicy | None = None,
        quality: QualityControl | None = None,
        checks: Sequence[Check] = (),
        planner_deadline: float = 300.0,
        planner_place: PlannerPlace = "auto",
        planner_memory: str | float | None = None,
        fallback: Planner | None = SpaceFillingFallback(),  # noqa: B008 # a frozen value
        priority: int = 0,
        share: float = 1.0,
        fit_to_stock: bool = False,
        suggest_ahead: bool = False,
        schedule_ahead: When = "auto",
        autonomy: Autonomy | None = None,
        journal: Journal | Path | str | None = None,
        progress: bool | Observer = True,
    ) -> None:
        if not share > 0:
            raise CampaignError(f"share = {share}", hint="a share of the laboratory is above zero")
        if schedule_ahead not in WHEN:
            raise CampaignError(f"schedule_ahead = {schedule_ahead!r}", hint=f"it is one of {listing(WHEN)}")
        if in_flight is not None and in_flight < 1:
            raise CampaignError(f"in_flight = {in_flight}", hint="at least one trial must be able to run")
        self.name = name
        self.lab = lab
        self.experiment = Experiment.of(experiment)
        self.problem = Problem(space, objective, tuple(outcome_constraints))
        self.planner = fitting(planner, self.problem)
        self.seed = seed
        self.in_flight = default_in_flight(self.experiment, lab) if in_flight is None else in_flight
        self.priority = priority
        self.share = share
        self._fit_to_stock, self._suggest_ahead = fit_to_stock, suggest_ahead
        self._schedule_ahead: When = schedule_ahead
        self.autonomy = autonomy or Autonomy()
        self.autonomy.check(space)
        self.budget = budget or Budget()
        self.stopping = tuple(stopping)
        self.seed_data = tuple(seed_data)
        self.on_failure = on_failure or FailurePolicy()
        self.on_unknown: UnknownPolicy = on_unknown or ("redo" if lab.is_simulated else "ask")
        self.checks = tuple(checks)
        quality = QualityControl() if quality is None and self.checks else quality
        self.quality = None if quality is None else quality.bound_to(self.problem)
        self.fallback = fallback
        self._deadline = planner_deadline
        self._place: PlannerPlace = planner_place
        self._memory = memory_bytes(planner_memory)
        self._progress = progress
        self._journal = Path(f"{name}.sdl") if journal is None else journal
        self._view = CampaignView(name)
        self._loop: Loop | None = None
        check_stations(lab, self.experiment)
        check_parameters(self.experiment, space)
        self.refresh()

    # --- driving --------------------------------------------------------------------------------------------------

    def run(self, trials: int | None = None) -> Ended:
        """Run until the budget is used, a stopping rule fires, or somebody stops it. Blocks.

        Parameters
        ----------
        trials
            How many trials the campaign is to have in all, those of earlier sessions included.

        Returns
        -------
        Ended
            The status and the reason.
        """
        budget = self._budget_for(trials)
        return self._run(budget, recorded=budget)

    def aside(self, journal: Journal) -> Campaign:
        """Return the same campaign with nothing done yet, to be recorded in *journal*: for a rehearsal.

        It has the same laboratory, which must be a simulated one.
        """
        other = copy.copy(self)
        other._journal, other._view, other._progress = journal, CampaignView(self.name), False
        return other

    def _budget_for(self, trials: int | None) -> Budget:
        budget = self.budget if trials is None else self.budget.replace(trials=trials)
        if budget == Budget() and not self.stopping:
            raise CampaignError("the campaign has neither a budget nor a stopping rule", hint="say run(trials=30)")
        return budget

    def _run(self, budget: Budget, *, recorded: Budget) -> Ended:
        """Run one session. *recorded* is the budget that the journal tells of."""
        with opened(self._journal, self.lab) as journal:
            self._open(journal, recorded)
            with self._looping(journal, budget, Floor(self.lab)) as loop, _interrupts([loop]):
                status, reason = loop.run()
        return Ended(status=status, reason=reason)

    @contextlib.contextmanager
    def hosted(self, journal: Journal, floor: Floor) -> Generator[Loop]:
        """Open one session in *journal*, for somebody who turns its loop with others on *floor*."""
        budget = self._budget_for(None)
        self._open(journal, budget)
        with self._looping(journal, budget, floor, is_hosted=True) as loop:
            yield loop

    @classmethod
    def run_all(cls, campaigns: Sequence[Campaign], trials: int | None = None) -> tuple[Ended, ...]:
        """Run several campaigns together; see :func:`~sdl.run_together`."""
        check_together(campaigns)
        floor = Floor(campaigns[0].lab)
        budgets = [each._budget_for(trials) for each in campaigns]
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(opened(campaigns[0].journal, campaigns[0].lab))
            loops: list[Loop] = []
            for each, budget in zip(campaigns, budgets, strict=True):
                each._open(journal, budget)
                loops.append(stack.enter_context(each._looping(journal, budget, floor)))
            stack.enter_context(_interrupts(loops))
            return tuple(Ended(status=status, reason=reason) for status, reason in drive(loops))

    def step(self) -> Trial:
        """Run one more trial, and what was left proposed before, and return it.

        Raises
        ------
        CampaignError
            The budget or a stopping rule allows no further trial, or too many failed in a row.
        """
        number = self._view.n_proposed + 1
        ended = self._run(self.budget.replace(trials=self._view.n_counted + 1), recorded=self.budget)
        if self._view.n_proposed < number or self.on_failure.reason(self._view):
            raise CampaignError(f"campaign {self.name!r} has no further trial: {ended.reason}")
        latest = [n for n in range(number, self._view.n_proposed + 1) if self._view.record(n).role is Role.SEARCH]
        return self._view.trial(latest[-1] if latest else number)

    def pause(self) -> None:
        """Start no more trials until :meth:`resume`; those that run go on. From another thread than :meth:`run`'s."""
        self._running_loop.pause()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self._running_loop.resume()

    def stop(self, reason: str = "stopped on request") -> None:
        """Finish the running trials, start no more, and let :meth:`run` return."""
        self._running_loop.stop(reason)

    def abort(self, reason: str = "aborted on request") -> None:
        """Abort the running steps in order, and let :meth:`run` return."""
        self._running_loop.abort(reason)

    def rearm(self, *, by: str, because: str, station: str | None = None) -> None:
        """Let steps start again on a station that an interlock has latched. Nothing moves by this.

        Parameters
        ----------
        by, because
            The person who has looked at the laboratory, and what was found and done.
        station
            Which one; all that are latched, where it is left out.

        Raises
        ------
        CampaignError
            Nothing is latched.
        LabError
            No person or no reason is named, or a device is still on its way to be safe.
        """
        with opened(self._journal, self.lab) as journal:
            journal.keep_time(self.lab.clock)
            if self.lab.is_making_safe:
                raise LabError("devices are still on their way to be safe", hint="wait for them")
            check_person(by, because)
            for latch in rearm(journal, by=signed(by), because=because, station=station, lab=self.lab.name):
                self.lab.interlocks.release(latch.station)

    def compare(self, better: int, worse: int, *, by: str) -> None:
        """Record that the person *by* likes the outcomes of trial *better* more than those of trial *worse*.

        A :class:`~sdl.planners.PreferencePlanner` learns from it. Raises CampaignError for trials without outcomes.
        """
        with opened(self._journal, self.lab) as journal:
            journal.keep_time(self.lab.clock)
            self._view.catch_up(journal)
            body = comparison(self._view, better, worse, by)
            journal.append(Entry(body=body, campaign=self.name, actor=signed(by)))
            self._view.catch_up(journal)

    @property
    def _running_loop(self) -> Loop:
        if self._loop is None:
            raise CampaignError(f"campaign {self.name!r} is not running", hint="call run() first")
        return self._loop

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal | Path | str:
        """Where it is recorded: the store's path, or the journal object."""
        return self._journal

    @property
    def waiting(self) -> Mapping[int, str]:
        """Why each trial waits that is proposed or begun and that no station works on: trial to a sentence."""
        return self._view.waiting

    @property
    def view(self) -> CampaignView:
        """What the journal says of this campaign."""
        return self._view

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, oldest first."""
        return self._view.trials if self._view.opened else ()

    @property
    def best(self) -> Trial | None:
        """The best completed trial that meets the outcome constraints; CampaignError with several objectives."""
        return self._view.best if self._view.opened else None

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The completed trials that no other one beats in every objective."""
        return self._view.pareto if self._view.opened else ()

    def dataframe(self) -> pd.DataFrame:
        """Return the trials as a table: parameters, outcomes with standard errors, state, times, reasons."""
        from sdl.export.tables import dataframe  # noqa: PLC0415 # pandas takes half a second, and few ask for it

        return dataframe(self._view)

    @property
    def ledger(self) -> Ledger:
        """What is left of the stock and where the samples are, as the journal says now."""
        ledger = Ledger()
        self._read(ledger)
        return ledger

    def refresh(self) -> None:
        """Take in what another process has recorded since."""
        self._read(self._view)

    def _read(self, fold: CampaignView | Ledger) -> None:
        if isinstance(self._journal, str | Path):
            with contextlib.suppress(JournalNotFound):
                reader = open_journal(self._journal, mode="read")
                try:
                    fold.catch_up(reader)
                finally:
                    reader.close()
        else:
            fold.catch_up(self._journal)

    # --- opening --------------------------------------------------------------------------------------------------

    def _open(self, journal: Journal, budget: Budget) -> None:
        """Open the campaign in the journal, or make sure that it is the same one."""
        journal.keep_time(self.lab.clock)
        self._view.catch_up(journal)
        if self._view.last_time is not None:
            self.lab.clock.advance_to(self._view.last_time.timestamp())
        Opening(
            name=self.name,
            problem=self.problem,
            seed=self.seed,
            seed_data=self.seed_data,
            **self._description(budget),
        ).record(journal, self._view)

    def _description(self, budget: Budget) -> dict[str, dict[str, JsonValue]]:
        settings = settings_of(self._rules(budget), self.experiment, self._deadline, self.fallback)
        if self.autonomy != Autonomy():
            settings[AUTONOMY] = self.autonomy.model_dump(mode="json")
        return {"planner": describe_planner(self.planner), "lab": dict(self.lab.describe()), "settings": settings}

    # --- running --------------------------------------------------------------------------------------------------

    def _rules(self, budget: Budget, *, is_hosted: bool = False) -> Rules:
        return Rules(
            budget=budget,
            stopping=self.stopping,
            on_failure=self.on_failure,
            on_unknown=self.on_unknown,
            in_flight=self.in_flight,
            seed=self.seed,
            questions=no_questions() if is_hosted else terminal_questions(),
            quality=self.quality,
            checks=self.checks,
            priority=self.priority,
            share=self.share,
            fit_to_stock=self._fit_to_stock,
            suggest_ahead=self._suggest_ahead,
            schedule_ahead=self._schedule_ahead,
            is_hosted=is_hosted,
        )

    @contextlib.contextmanager
    def _looping(self, journal: Journal, budget: Budget, floor: Floor, *, is_hosted: bool = False) -> Generator[Loop]:
        is_virtual, deadline = self.lab.clock.is_virtual, self._deadline
        host = host_for(self.planner, self._place, is_virtual=is_virtual, deadline=deadline, memory=self._memory)
        self._loop = Loop(
            view=self._view,
            journal=journal,
            lab=self.lab,
            experiment=self.experiment,
            desk=lambda on_failure: PlanningDesk(host, self.fallback, on_failure),
            rules=self._rules(budget, is_hosted=is_hosted),
            observers=_observers(self._progress, budget),
            floor=floor,
        )
        try:
            yield self._loop
        finally:
            self._loop = None
            host.close()


@contextlib.contextmanager
def opened(journal: Journal | Path | str, lab: Lab) -> Generator[Journal]:
    """Hold the journal for the length of a session; a journal object that the user gave stays open."""
    if not isinstance(journal, str | Path):
        yield journal
        return
    found = open_journal(journal, mode="write", time_source=lab.clock)
    try:
        yield found
    finally:
        found.close()


def _observers(progress: bool | Observer, budget: Budget) -> list[Observer]:
    if isinstance(progress, bool):
        return [terminal_observer(budget)] if progress else []
    return [progress]


@contextlib.contextmanager
def _interrupts(loops: Sequence[Loop]) -> Generator[None]:
    """Ctrl-C or SIGTERM once stops *loops* in order, twice aborts them, three times raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    n_interrupts = 0

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal n_interrupts
        n_interrupts += 1
        if n_interrupts > 2:
            signal.default_int_handler(number, frame)
        is_first, reason = n_interrupts == 1, "interrupted" if n_interrupts == 1 else "interrupted twice"
        # A handler interrupts any line, also one that holds a lock which the call needs: another thread makes it.
        for loop in loops:
            call = loop.stop if is_first else loop.abort
            threading.Thread(target=call, args=(reason,), name="sdl-interrupt").start()

    previous = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_together(*campaigns: Campaign, trials: int | None = None) -> tuple[Ended, ...]:
    """Run several campaigns on one laboratory, in one journal, until each has ended. Blocks.

    They share the stations: a step of a campaign with a higher ``priority`` goes first, and among equals each campaign
    gets the stations' time in proportion to its ``share``. Aborting one of them stops every device, and so all of them.

    Parameters
    ----------
    campaigns
        With different names, the same laboratory object, and the same journal.
    trials
        As for :meth:`Campaign.run`, for each of them.

    Returns
    -------
    How each ended, in the order given.

    Raises
    ------
    CampaignError
        They are none, or do not share laboratory and journal, or one has neither a budget nor a stopping rule.
    """
    return Campaign.run_all(campaigns, trials)


def check_together(campaigns: Sequence[Campaign]) -> None:
    """Refuse campaigns that cannot run together. Raises CampaignError."""
    if not campaigns:
        raise CampaignError("there is no campaign to run", hint="run_together(campaign_a, campaign_b)")
    first, names = campaigns[0], [each.name for each in campaigns]
    if len(set(names)) < len(names):
        raise CampaignError(f"two campaigns have one name: {listing(names)}", hint="give each a name of its own")
    for each in campaigns[1:]:
        if each.lab is not first.lab:
            raise CampaignError(
                f"campaigns {first.name!r} and {each.name!r} have different laboratories",
                hint="make one laboratory, and give it to both",
            )
        if each.journal != first.journal:
            raise CampaignError(
                f"campaigns {first.name!r} and {each.name!r} have different journals",
                hint='give both the same: journal="lab.sdl"',
            )


def default_in_flight(experiment: Experiment, lab: Lab) -> int:
    """Return how many trials keep the laboratory busy: enough to fill what treats several of them in one run."""
    places = [len(lab.stations_for(step)) * step.batch.size for step in experiment.steps if step.batch is not None]
    if not places:
        return 1
    return max(places) * (2 if len(experiment.steps) > 1 else 1)
