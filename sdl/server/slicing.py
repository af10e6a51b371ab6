"""What the planner's model says around the best trial, for drawing: kept until another trial is completed or judged."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from sdl.campaign.planner import Predictor, TrialState
from sdl.campaign.view import CampaignView
from sdl.errors import SdlError
from sdl.journal.records import Prediction
from sdl.lab import WallClock
from sdl.problem import Categorical
from sdl.server import models
from sdl.server.dossiers import Dossier
from sdl.server.house import House
from sdl.server.urgent import Busy

DEVIATIONS = 1.96
"""Standard deviations to either side of the middle: 95 % of a normal distribution."""

MAX_KEPT = 100

RESTS = 5.0
"""A planner that has been asked for so long rests so many times as long: those who look must not take its core."""


@dataclass(frozen=True)
class _Kept:
    """What was found, of which version, and until what time it will do (wall seconds)."""

    version: tuple[int, ...]
    slices: models.Slices
    rests_until: float


class Slicer:
    """Asks planners for the slices of their models, one at a time, and of each campaign not too often."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._clock = WallClock()
        self._mutex = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def slices(self, dossier: Dossier) -> models.Slices:
        """Return the slices through the best trial of a campaign; none, and why, where there is no model.

        They are asked for anew when a trial was completed or judged since, after a rest that is longer the longer the
        planner takes. Raises :class:`~sdl.server.urgent.Busy` while a planner is asked for somebody else.
        """
        version = self._house.look(dossier, _version)
        if not version:
            return models.Slices(slices=(), note="the campaign has not begun")
        kept = self._kept.get(dossier.name)
        if kept is not None and (kept.version == version or self._clock.monotonic() < kept.rests_until):
            return kept.slices
        if not self._mutex.acquire(blocking=False):  # whoever waits would keep a thread from others
            if kept is not None:
                return kept.slices
            raise Busy("a planner is being asked for somebody else", hint="ask again in a few seconds")
        try:
            began = self._clock.monotonic()
            found = self._asked(dossier)
            ended = self._clock.monotonic()
            if len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[dossier.name] = _Kept(version, found, ended + RESTS * (ended - began))
        finally:
            self._mutex.release()
        return found

    def _asked(self, dossier: Dossier) -> models.Slices:
        planner = self._house.laboratory.read(dossier.submitted.file).planner.make()
        if not isinstance(planner, Predictor):
            return models.Slices(slices=(), note=f"planner {planner.name} has no model")
        view = CampaignView(dossier.name)  # one's own: the planner takes its time, and nobody waits for the view
        view.catch_up(self._house.journal)
        try:
            return _slices(view, planner)
        except (SdlError, ValueError, ArithmeticError, RuntimeError) as error:
            return models.Slices(slices=(), note=f"the model could not be asked: {error}")


def _version(view: CampaignView) -> tuple[int, ...]:
    """Return what changes when planners learn something; nothing before the campaign has begun."""
    return () if view.opened is None else (view.counts[TrialState.COMPLETED], view.standing.n_judged)


def _slices(view: CampaignView, planner: Predictor) -> models.Slices:
    from sdl.export.scales import is_logarithmic  # noqa: PLC0415 # drawing takes a second to load
    from sdl.export.slices import belief  # noqa: PLC0415

    found = belief(view, planner)
    if found is None:
        return models.Slices(slices=(), note="no trial is completed yet")
    slices: list[models.SliceInfo] = []
    for outcome, unit in view.problem.outcomes.items():
        every = [predicted for each in found.slices for predicted in each.of(outcome)]
        is_log = is_logarithmic(view, outcome, every)
        slices += [
            models.SliceInfo(
                outcome=outcome,
                unit=unit,
                parameter=each.name,
                parameter_unit=view.units[each.name],
                log=bool(getattr(each.parameter, "log", False)),
                outcome_log=is_log,
                choices=each.parameter.choices if isinstance(each.parameter, Categorical) else None,
                x=tuple(each.along),
                at=found.centre.values[each.name],
                **_band(each.of(outcome), is_log=is_log),
            )
            for each in found.slices
        ]
    return models.Slices(slices=tuple(slices), note=f"through trial {found.centre.number}", trial=found.centre.number)


def _band(predicted: list[Prediction], *, is_log: bool) -> Mapping[str, tuple[float, ...]]:
    from sdl.export.scales import centre, interval  # noqa: PLC0415

    ends = [interval(each, DEVIATIONS, is_log=is_log) for each in predicted]
    return {
        "mean": tuple(centre(each, is_log=is_log) for each in predicted),
        "low": tuple(low for low, _ in ends),
        "high": tuple(high for _, high in ends),
    }
