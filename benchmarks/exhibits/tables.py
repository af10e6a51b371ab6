"""Medians over seeds, and the tables of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from harness import print_table, short

from exhibits.common import NEVER, Outcome

WAYS = ("ours", "same planner, one at a time", "random", "grid", "one factor at a time")


def summary(name: str, runs: Sequence[Mapping[str, Outcome]], ratio: Callable[[float, float], float]) -> dict[str, Any]:
    """Return medians over seeds of one exhibit."""
    ways = {way: _median([run[way] for run in runs]) for way in WAYS}
    theirs = ways["random"]
    mine = ways["ours"]
    enhancement = [
        ratio(max(run["ours"].values), max(run["random"].values[: int(run["ours"].experiments)]))
        for run in runs
        if run["ours"].values and run["random"].values
    ]
    return {
        "name": name,
        "ways": ways,
        "acceleration": theirs["experiments"] / mine["experiments"],
        "enhancement": median(enhancement) if enhancement else None,
        "fewer_days": theirs["days"] / mine["days"],
        "is_bound": not theirs["is_reached"],
        "cpu": median(run["ours"].cpu for run in runs),
    }


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


def show(found: Sequence[Mapping[str, Any]], n_seeds: int) -> None:
    """Print the tables."""
    for key, title in (("experiments", "Experiments to the goal"), ("days", "Laboratory days to the goal")):
        rows = [[line["name"], *(written(line["ways"][way], key) for way in WAYS)] for line in found]
        print_table(f"{title}, medians over {n_seeds} seeds", ["exhibit", *WAYS], rows)
    rows = []
    for line in found:
        bound = "> " if line["is_bound"] else ""
        reached = line["ways"]["ours"]["n_reached"]
        enhancement = "" if line["enhancement"] is None else f"{line['enhancement']:.3g}"
        rows.append(
            [
                line["name"],
                f"{reached}/{n_seeds}",
                bound + short(line["acceleration"]),
                enhancement,
                bound + short(line["fewer_days"]),
                f"{line['cpu']:.0f}",
            ]
        )
    headings = ["exhibit", "reached", "acceleration", "enhancement", "times fewer days", "CPU s"]
    print_table("Ours against random points, one at a time", headings, rows)
    print(f"median over the exhibits: {short(median(line['fewer_days'] for line in found))} times fewer days\n")
