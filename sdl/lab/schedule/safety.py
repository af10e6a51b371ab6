"""No dead-lock: a trial comes to keep a station only if all trials that keep some can still let go, one after another.

This is the banker's algorithm (Dijkstra, EWD 108, 1964-1967): what a trial may still want while it keeps something is
known, because its later steps are. Steps take all their stations at once or none, so that only what is kept *between*
steps can lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product

from sdl.lab.schedule.values import Holder, Work


def stuck(held: Mapping[str, Collection[Holder]], works: Mapping[Holder, Sequence[Work]]) -> frozenset[Holder]:
    """Return the trials that could not let go of what they keep, whatever the order; none: it is safe.

    Parameters
    ----------
    held
        The trials that keep each station.
    works
        The works of each trial that have not begun, in the order of its steps.
    """
    left = {holder for holders in held.values() for holder in holders}
    while left:
        done = {holder for holder in left if _can_finish(holder, left, held, works.get(holder, ()))}
        if not done:
            break
        left -= done
    return frozenset(left)


def _can_finish(
    holder: Holder, left: Collection[Holder], held: Mapping[str, Collection[Holder]], works: Sequence[Work]
) -> bool:
    """Tell whether *holder* gets what it wants before it lets go, when the others that are *left* keep theirs."""
    own = {name for name, holders in held.items() if holder in holders}
    foreign = {name for name, holders in held.items() if name not in own and any(each in left for each in holders)}
    return all(_has_all(work, own, foreign) for work in until_let_go(own, works))


def _has_all(work: Work, own: Collection[str], foreign: Collection[str]) -> bool:
    usable = [
        [name for name in group if name in own] or [name for name in group if name not in foreign]
        for group in work.groups
    ]
    return any(len(set(taken)) == len(taken) for taken in product(*usable))


def until_let_go(own: Collection[str], works: Sequence[Work]) -> Iterator[Work]:
    """Yield the works of a trial that keeps the stations *own*, up to the one after which it keeps nothing."""
    kept: Collection[str] = set(own)
    for place, work in enumerate(works):
        if not kept:
            return
        yield work
        kept = kept_after(work, kept, works[place + 1 :])


def kept_after(work: Work, kept: Collection[str], later: Sequence[Work]) -> Collection[str]:
    """Return what a trial may keep after *work*, before which it keeps the stations *kept*.

    A step lets go of what it names, unless it keeps that on. What no *later* step names is free at once: nothing would
    let go of it.
    """
    named = _named(work)
    found = (set(kept) - named) | (named & set(work.keeps))
    return found & _named(*later) if found else found


def kept_by(work: Work, taken: Sequence[str], later: Sequence[Work]) -> tuple[str, ...]:
    """Return which of the stations *taken* stay with the trial after *work*."""
    if not work.keeps or not later:
        return ()
    named = _named(*later)
    return tuple(name for name in taken if name in work.keeps and name in named)


def _named(*works: Work) -> set[str]:
    return {name for work in works for group in work.groups for name in group}
