"""NIMO's ``selection``: random points (``RE``), then ``PHYSBO``, each reading and writing tables of candidates.

NIMO chooses from a list. Where there is none, the list is a Sobol sequence of 4,096 points, since the choice of points
is the user's; the rounding this means is part of the result. Categories are written as one column of zeros and ones for
each. What runs is left out of the list.

https://nims-da.github.io/nimo/en/
https://issp-center-dev.github.io/PHYSBO/manual/master/en/index.html
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from planning.wire import Pending, Point, Question, Unsupported, Value, bounds, from_scale, key_of, n_initial, unscored

nimo: Any = import_module("nimo")
qmc: Any = import_module("scipy.stats.qmc")

N_CANDIDATES = 4096
N_LISTED = 20_000
INPUT, OUTPUT = Path("candidates.csv"), Path("proposals.csv")


def version() -> str:
    """Return the version that is reported."""
    return f"{metadata.version('nimo')} (PHYSBO {metadata.version('physbo')})"


def candidates(question: Question, seed: int) -> list[Point]:
    """Return the points to choose from."""
    if question.pool is not None:
        return question.rows()
    if question.constraints:
        raise Unsupported("no constraints among parameters, but by the list of candidates")
    n_levels = math.prod(len(knob.values) or N_LISTED for knob in question.knobs)
    if n_levels > N_LISTED or any(knob.kind == "continuous" for knob in question.knobs):
        return spread(question, seed)
    raise Unsupported("a space of levels without a list")  # no case has one


def spread(question: Question, seed: int) -> list[Point]:
    """Return Sobol points over all knobs."""
    rows = qmc.Sobol(len(question.knobs), seed=seed).random(N_CANDIDATES)
    points: list[Point] = []
    for row in rows.tolist():
        point: Point = {}
        for knob, share in zip(question.knobs, row, strict=True):
            if knob.kind == "continuous":
                low, high = bounds(knob)
                point[knob.name] = from_scale(knob, low + share * (high - low))
            else:
                point[knob.name] = knob.values[min(int(share * len(knob.values)), len(knob.values) - 1)]
        points.append(point)
    return points


class Selection:
    """A table of candidates and what was measured of it."""

    def __init__(self, question: Question, seed: int) -> None:
        if question.limits:
            raise Unsupported("no limits on outcomes")
        self._question = question
        self._seed = seed
        self._points = candidates(question, seed)
        self._features = [self._numbers(point) for point in self._points]
        self._where = {key_of(point): index for index, point in enumerate(self._points)}
        self._outcomes: dict[int, list[float]] = {}
        self._pending = Pending()

    def ask(self, n: int) -> Sequence[Point]:
        """Return *n* points: at random until there are enough, then by PHYSBO."""
        waiting = {self._where[key_of(point)] for point in self._pending.points}
        listed = [index for index in range(len(self._points)) if index not in waiting]
        self._write(listed)
        n_goals = len(self._question.goals)
        if len(self._outcomes) + len(waiting) < n_initial(self._question) or not self._outcomes:
            seed = self._seed + len(self._outcomes) + len(waiting)
            nimo.selection("RE", str(INPUT), str(OUTPUT), n_goals, n, re_seed=seed)
        else:
            nimo.selection("PHYSBO", str(INPUT), str(OUTPUT), n_goals, n, minimization=True)
        with OUTPUT.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        points = [self._points[listed[int(float(row["actions"]))]] for row in rows]
        for point in points:
            self._pending.add(point)
        return points

    def tell(self, point: Point, outcomes: Mapping[str, float]) -> None:
        """Write down what was measured; the point must be in the list."""
        self._pending.take(point)
        if key_of(point) not in self._where:
            self._where[key_of(point)] = len(self._points)
            self._points.append(dict(point))
            self._features.append(self._numbers(point))
        self._outcomes[self._where[key_of(point)]] = unscored(self._question.goals, outcomes)

    def _numbers(self, point: Point) -> list[float]:
        found: list[float] = []
        for knob in self._question.knobs:
            value: Value = point[knob.name]
            if knob.kind == "categorical":
                found += [float(value == level) for level in knob.values]
            else:
                found.append(math.log10(float(value)) if knob.is_log else float(value))
        return found

    def _write(self, listed: Sequence[int]) -> None:
        n_features, n_goals = len(self._features[0]), len(self._question.goals)
        with INPUT.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*(f"x{n}" for n in range(n_features)), *(f"y{n}" for n in range(n_goals))])
            for index in listed:
                writer.writerow([*self._features[index], *self._outcomes.get(index, [""] * n_goals)])


def make(question: Question, seed: int, variant: str) -> Selection:  # noqa: ARG001 # there is one variant
    """Return a selection."""
    return Selection(question, seed)
