"""What a campaign would take, before it begins: run in virtual time where the laboratory is a simulated one."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from pydantic import Field

from sdl.campaign.autonomy import Autonomy
from sdl.campaign.campaign import Campaign, Ended
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.file import CampaignFile
from sdl.campaign.floor import Floor
from sdl.campaign.queueing import declared_seconds
from sdl.errors import CampaignError
from sdl.journal import Journal, MemoryJournal
from sdl.journal.records import StepEnded
from sdl.lab import Lab, Ledger, Settings
from sdl.problem.value import FrozenMap, Tuple, Value
from sdl.server.laboratory import Laboratory

MAX_TRIALS = 40
"""A rehearsal runs so many trials at most, and takes the others to be like them."""


MAX_SECONDS = 60.0
"""Wall seconds after which a rehearsal begins no more trials."""


class StockUse(Value):
    """What a campaign takes of one material, and what is left of it now."""

    material: str
    amount: str
    left: str
    is_enough: bool


class Rehearsal(Value):
    """What was predicted.

    Parameters
    ----------
    how
        How it was found out, in words.
    trials, counts
        How many trials, and what became of those that were run.
    begin, end, seconds
        When it would end if it began now; None where that is not known.
    cost
        In the campaign's unit of cost.
    uses
        What it takes from the stock.
    bottleneck, utilisation
        The station that is taken most, and of each station the share of the time.
    warnings
        What somebody should know before it begins.
    """

    how: str
    trials: int | None = None
    counts: FrozenMap[int] = Field(default_factory=dict[str, int])
    begin: dt.datetime
    end: dt.datetime | None = None
    seconds: float | None = None
    cost: float | None = None
    uses: Tuple[StockUse] = ()
    bottleneck: str | None = None
    utilisation: FrozenMap[float] = Field(default_factory=dict[str, float])
    warnings: Tuple[str] = ()


def rehearse(laboratory: Laboratory, described: CampaignFile, lab: Lab, plan: str, journal: Journal) -> Rehearsal:
    """Predict what the campaign takes on *lab*, whose own plan is *plan* and whose journal is *journal*.

    Raises what making the campaign raises: nothing is handed in that cannot be made.
    """
    if not lab.is_simulated:
        campaign = laboratory.campaign(described, lab, plan, journal=MemoryJournal(), progress=False)
        return _of_times(campaign, lab, journal)
    other, _ = laboratory.make(is_rehearsal=True)
    with other:
        record = MemoryJournal(time_source=other.clock)
        other.clock.advance_to(lab.clock.time())
        laboratory.campaign(described, other, plan, journal=record, progress=False)  # the planner that it names, too
        aside = partial(laboratory.campaign, described, other, plan, journal=record, progress=False)
        return _of_run(aside, described, record, lab, journal)


def _of_run(
    aside: Callable[..., Campaign], described: CampaignFile, record: Journal, lab: Lab, journal: Journal
) -> Rehearsal:
    """Run a part of the campaign *aside*, which is recorded in *record*."""
    trials = described.budget.trials
    n = min(trials or MAX_TRIALS, MAX_TRIALS)
    budget = described.budget.replace(trials=n)
    campaign = aside(planner=SpaceFillingFallback(), autonomy=Autonomy(), budget=budget)
    began = campaign.lab.clock.time()
    ended = _run_for(campaign, MAX_SECONDS)
    view = campaign.view
    scale = 1.0 if trials is None or not view.n_counted else trials / max(1, view.n_counted)
    seconds = (campaign.lab.clock.time() - began) * scale
    begin = lab.clock.time()
    uses = _uses(Ledger.of(record), Ledger.of(journal), scale, dt.datetime.fromtimestamp(begin, dt.UTC).date())
    busy = _busy(record, campaign.name)
    return Rehearsal(
        how="run in virtual time with the simulated laboratory, at points from all over the space",
        trials=trials,
        counts={state.value: count for state, count in view.counts.items() if count},
        begin=dt.datetime.fromtimestamp(begin, dt.UTC),
        end=dt.datetime.fromtimestamp(begin + seconds, dt.UTC),
        seconds=seconds,
        cost=view.cost * scale,
        uses=uses,
        bottleneck=max(busy, key=busy.__getitem__, default=None),
        utilisation={name: min(1.0, share * scale / seconds) if seconds else 0.0 for name, share in busy.items()},
        warnings=(
            *(f"{use.material}: {use.amount} are needed, and {use.left} are left" for use in uses if not use.is_enough),
            *([f"the rehearsal ended: {ended}"] if ended.status != "finished" else []),
            *(
                [f"{view.n_counted} of {trials} trials were run, and the others taken to be like them"]
                if scale > 1.0
                else []
            ),
        ),
    )


def _run_for(campaign: Campaign, seconds: float) -> Ended:
    """Run *campaign*; end it after so many wall seconds, when the trials that run then are over."""

    def stop() -> None:
        with suppress(CampaignError):  # it has just ended
            campaign.stop(f"it took more than {seconds:g} s to rehearse")

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        return campaign.run()
    finally:
        timer.cancel()
        timer.join()


def _busy(journal: Journal, campaign: str) -> dict[str, float]:
    """Return how many seconds each station was taken."""
    found: dict[str, float] = {}
    seen: set[tuple[str, str, str]] = set()
    for event in journal.read(campaign=campaign, kinds=("step.ended",)):
        body = event.body
        if isinstance(body, StepEnded):
            key = (body.station, event.timestamp, body.step)
            if key not in seen:  # the members of a batch tell of one run each
                seen.add(key)
                found[body.station] = found.get(body.station, 0.0) + body.seconds
    return found


def _uses(rehearsed: Ledger, present: Ledger, scale: float, day: dt.date) -> tuple[StockUse, ...]:
    found: list[StockUse] = []
    for name in rehearsed.materials:
        used = rehearsed.balance(name, day).consumed
        if not used.most:
            continue
        now = (present if name in present.materials else rehearsed).balance(name, day)
        left = now.usable.most if name in present.materials else now.usable.most + used.most
        unit = f" {used.unit}" if used.unit else ""
        need = used.most * scale
        found.append(
            StockUse(
                material=name, amount=f"{need:.4g}{unit}", left=f"{left:.4g}{unit}", is_enough=need <= left * (1 + 1e-9)
            )
        )
    return tuple(found)


def _of_times(campaign: Campaign, lab: Lab, journal: Journal) -> Rehearsal:
    """Predict from how long steps are declared to take, or took before."""
    begin = dt.datetime.fromtimestamp(lab.clock.time(), dt.UTC)
    trials, known = campaign.budget.trials, _step_seconds(campaign, lab, journal)
    unknown = [step.name for step in campaign.experiment.steps if step.name not in known]
    if trials is None or unknown:
        why = f"nobody knows how long {unknown[0]} takes" if unknown else "the number of trials is not known"
        return Rehearsal(how="not rehearsed: the laboratory is a real one", trials=trials, begin=begin, warnings=(why,))
    seconds = trials * max(sum(known.values()) / campaign.in_flight, *known.values())
    return Rehearsal(
        how="from how long the steps are declared to take, or took before",
        trials=trials,
        begin=begin,
        end=begin + dt.timedelta(seconds=seconds),
        seconds=seconds,
    )


def _step_seconds(campaign: Campaign, lab: Lab, journal: Journal) -> Mapping[str, float]:
    floor = Floor(lab)
    floor.read(journal)
    found: dict[str, float] = {}
    for step in campaign.experiment.steps:
        declared = None if callable(step.duration) else declared_seconds(step, Settings({}))
        estimate = floor.durations.estimate(campaign.name, step.name, declared=declared)
        if estimate.n_seen or declared is not None:
            found[step.name] = estimate.median
    return found
