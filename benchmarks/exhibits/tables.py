"""Medians over seeds, and the tables of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from harness import print_table, short

from exhibits.common import NEVER, Outcome

REFERENCES = ("random", "grid", "one factor at a time")
WAYS = ("ours", "same planner, one at a time", *REFERENCES)
Ratio = Callable[[float, float], float]


def summary(name: str, runs: Sequence[Mapping[str, Outcome]], ratio: Ratio) -> dict[str, Any]:
    """Return medians over seeds of one exhibit."""
    ways = {way: _median([run[way] for run in runs]) for way in WAYS}
    return {
        "name": name,
        "seeds": len(runs),
        "ways": ways,
        "against": {way: _against(way, ways, runs, ratio) for way in REFERENCES},
        "cpu": median(run["ours"].cpu for run in runs),
    }


def _against(
    way: str, ways: Mapping[str, Mapping[str, Any]], runs: Sequence[Mapping[str, Outcome]], ratio: Ratio
) -> dict[str, Any]:
    """Return what ours gains on one reference; infinite where that never comes to the goal."""
    theirs, mine = ways[way], ways["ours"]
    is_never = theirs["experiments"] == NEVER
    enhancement = [found for run in runs if (found := _enhancement(run["ours"], run[way], ratio)) is not None]
    return {
        "acceleration": math.inf if is_never else theirs["experiments"] / mine["experiments"],
        "fewer_days": math.inf if is_never else theirs["days"] / mine["days"],
        "is_bound": not is_never and not theirs["is_reached"],
        "enhancement": median(enhancement) if enhancement else None,
    }


def _enhancement(mine: Outcome, theirs: Outcome, ratio: Ratio) -> float | None:
    """Return the best value of ours over the reference's best after as many experiments; None where it has none."""
    values = theirs.values[: int(mine.experiments)]
    if not mine.values or not values or not max(values):
        return None
    return ratio(max(mine.values), max(values))


def _median(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    never = sum(o.is_never for o in outcomes) > len(outcomes) / 2
    kept = [o for o in outcomes if not o.is_never]
    return {
        "experiments": NEVER if never else median(o.experiments for o in kept),
        "days": NEVER if never else median(o.days for o in kept),
        "is_reached": not never and sum(o.is_reached for o in outcomes) > len(outcomes) / 2,
        "n_reached": sum(o.is_reached for o in outcomes),
    }


def written(way: Mapping[str, Any], key: str) -> str:
    """Write a median: with ``>`` where it is a budget, ``never`` where there is none."""
    if way[key] == NEVER:
        return "never"
    return ("" if way["is_reached"] else "> ") + short(way[key])


def _factor(found: Mapping[str, Any], key: str) -> str:
    if found[key] is None:
        return ""
    if math.isinf(found[key]):
        return "never"
    return ("> " if found["is_bound"] and key != "enhancement" else "") + f"{found[key]:.3g}"


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """Print the tables."""
    for key, title in (("experiments", "Experiments to the goal"), ("days", "Laboratory days to the goal")):
        rows = [[line["name"], line["seeds"], *(written(line["ways"][way], key) for way in WAYS)] for line in found]
        print_table(f"{title}, medians over seeds", ["exhibit", "seeds", *WAYS], rows)
    rows = [
        [
            line["name"],
            f"{line['ways']['ours']['n_reached']}/{line['seeds']}",
            *(_factor(line["against"][way], key) for key in FACTORS for way in REFERENCES),
            f"{line['cpu']:.0f}",
        ]
        for line in found
    ]
    headings = [f"{key.replace('_', ' ')}: {way}" for key in FACTORS for way in REFERENCES]
    print_table("Ours against each reference", ["exhibit", "reached", *headings, "CPU s"], rows)
    for way in REFERENCES:
        factors = [line["against"][way]["fewer_days"] for line in found if _applies(line, way)]
        if factors:
            print(f"against {way}: {median(factors):.3g} times fewer days, median over {len(factors)} exhibits")
    print()


FACTORS = ("acceleration", "enhancement", "fewer_days")


def _applies(line: Mapping[str, Any], way: str) -> bool:
    """Return whether an exhibit can be worked at that way at all: one factor at a time tells no set."""
    return not (line["name"] == "electrolytes" and way == "one factor at a time")
