"""Turns: each campaign that shares a laboratory proposes, what may begin begins, and then everybody waits for news.

One thread runs them all, so that in virtual time nothing depends on the pace of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdl.campaign.active import Status
from sdl.campaign.floor import Floor
from sdl.lab.schedule import Decision, Key
from sdl.lab.schedule.values import SLACK

if TYPE_CHECKING:
    from sdl.campaign.loop import Loop

LOOK_SECONDS = 60.0
"""Seconds after which stations with hours are looked at again, if nothing happens before."""

SETTLE_SECONDS = 60.0
"""Clock seconds that aborted steps get to end before an erroneous session closes its journal."""


def drive(loops: Sequence[Loop]) -> list[tuple[Status, str]]:
    """Run *loops*, which share a floor, until each has nothing more to do; return how each ended."""
    opened: list[Loop] = []
    ended: dict[str, tuple[Status, str]] = {}
    try:
        for loop in loops:
            loop.begin()
            opened.append(loop)
        live = [loop for loop in loops if loop.open()]
        while live:
            turn(live)
            live = [loop for loop in live if not loop.is_over]
            ended |= {loop.name: loop.close() for loop in opened if loop not in live and loop.name not in ended}
            if live:
                live[-1].listen()
                _listen(live)
        ended |= {loop.name: loop.close() for loop in opened if loop.name not in ended}
    except BaseException as error:
        settle(opened)
        for loop in opened:
            if loop.name not in ended:
                loop.fail(error)
        raise
    return [ended[loop.name] for loop in loops]


def turn(loops: Sequence[Loop]) -> None:
    """Propose and begin until nothing changes any more by itself."""
    while True:
        for loop in loops:
            if loop.abort_of_all is not None:
                for other in loops:
                    other.be_aborted(loop.abort_of_all)
        for loop in loops:
            loop.propose()
        n_active = sum(loop.n_active for loop in loops)
        for loop in loops:
            loop.prepare_steps()
        _begin(loops, loops[0].floor)
        for loop in loops:
            loop.look_for_want()
            loop.look_for_approval()
        if sum(loop.n_active for loop in loops) >= n_active:
            return  # else a trial ended where it stood: another one may begin


def _begin(loops: Sequence[Loop], floor: Floor) -> None:
    """Begin what may begin now, on every station."""
    if len(loops) == 1 and loops[0].is_plain:
        loops[0].start_plain()
        return
    by_name = {loop.name: loop for loop in loops}
    lacking: set[Key] = set()
    while True:
        works = [work for loop in loops for work in loop.works() if work.key not in lacking]
        decision = floor.decide(works, frozenset(loop.name for loop in loops if loop.is_expecting))
        if floor.ahead.news is not None:
            loops[0].note_schedule(floor.ahead.news)
        refused = [start for start in decision.starts if not by_name[start.works[0][0]].start(start)]
        if not refused:
            break
        lacking.update(key for start in refused for key in start.works)
    for loop in loops:
        loop.note_waits(decision)
    if not floor.busy and next_wake(loops, decision) is None:
        for loop in loops:
            loop.stick(decision.waits)


def next_wake(loops: Sequence[Loop], decision: Decision) -> float | None:
    """Return when to look again if nothing happens before, in UTC seconds."""
    dues = [due + 2 * SLACK for loop in loops if (due := loop.next_due) is not None]
    alarms = [alarm for loop in loops if (alarm := loop.next_alarm) is not None]
    return min([*dues, *alarms, *(() if decision.wake_at is None else (decision.wake_at,))], default=None)


def _listen(loops: Sequence[Loop]) -> None:
    """Wait for news, and hand it to whom it concerns."""
    floor = loops[0].floor
    wake = next_wake(loops, floor.decision)
    timeout = None if wake is None else max(wake - floor.now(), SLACK)
    if timeout is not None and floor.lab.calendars and not floor.lab.clock.is_virtual:
        timeout = min(timeout, LOOK_SECONDS)  # somebody may set the clock, and with it the hours of stations
    news = floor.mailbox.get(timeout)
    if news is not None:
        loop, message = news
        if loop in loops:
            loop.handle(message)


def settle(loops: Sequence[Loop]) -> None:
    """After an error of ours: abort what still runs and wait for it, so that no instrument is left to itself."""
    for loop in loops:
        for name in loop.stations_at_work:
            loop.floor.lab.stations[name].abort("the session ended with an error")
    while any(loop.stations_at_work for loop in loops):
        news = loops[0].floor.mailbox.get(timeout=SETTLE_SECONDS)
        if news is None:
            return
        loop, message = news
        loop.forget(message)
