"""The dispatching rule: what begins now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sdl.lab.schedule.values import Decision, Key, Start, StationState, Wait, Work


def dispatch(
    now: float,
    works: Sequence[Work],
    stations: Sequence[StationState],
    *,
    usage: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    expecting: Collection[str] = (),
) -> Decision:
    """Decide what begins now.

    Parameters
    ----------
    now
        Seconds of the clock.
    works
        What could be started or is to come; the works of a trial in the order of its steps.
    stations
        Every station of the laboratory.
    usage
        Station seconds that each campaign has used so far; left out: none.
    shares
        The share of the laboratory that each campaign should get, in proportion to the others'; left out: 1.
    expecting
        Campaigns of which more trials may come at any time, because their planner thinks. A batch of theirs waits for
        its patience; one of another campaign does not, when nobody is left who could join it.
    """
    free = {station.name: station for station in stations if station.busy_until is None and not station.is_down}
    _ = usage, shares, expecting
    starts: list[Start] = []
    waits: dict[Key, Wait] = {}
    wake: list[float] = []
    for work in works:
        start = None if work.after or work.release > now else _start(now, work, free)
        if start is None:
            waits[work.key] = Wait("busy", work.stations[0]) if not work.after else Wait("order", about=(work.key,))
            if work.release > now:
                wake.append(work.release)
            continue
        starts.append(start)
        for name in start.taken:
            del free[name]
    return Decision(tuple(starts), min(wake, default=None), waits)


def _start(now: float, work: Work, free: Mapping[str, StationState]) -> Start | None:
    taken: list[str] = []
    for group in work.groups:
        usable = [name for name in group if name in free and name not in taken and _may(work, free[name])]
        if not usable:
            return None
        taken.append(usable[0])
    setup = free[taken[0]].setup_of(work)
    keeps = tuple(name for name in taken if name in work.keeps)
    return Start(taken[0], (work.key,), tuple(taken[1:]), keeps, setup, now + setup + work.duration)


def _may(work: Work, station: StationState) -> bool:
    return not station.held_by or work.holder in station.held_by
